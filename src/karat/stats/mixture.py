"""A mixture of full-covariance Gaussians, fitted by expectation-maximisation that is one matrix product a chunk.

The log density of component k is linear in the features f(z) = [upper triangle of z z^T, z, 1], so that the E step is
f W^T and the M step is its softmax transposed times f. Covariances are shrunk towards the pooled one by a count of
imaginary points (the conjugate prior of Fraley & Raftery, https://doi.org/10.1007/s00357-007-0004-5), without which a
component with few points begins to copy them.
"""

from __future__ import annotations

from math import log, pi
from warnings import catch_warnings, simplefilter

import torch
from torch import Tensor, nn

from karat.space import UNLIMITED, Allowance

FEW = 64  # points that are placed one by one


class Mixture(nn.Module):
    """Buffers: log_weight [k], mean [k, d], scale [k, d, d] (lower Cholesky factors)."""

    log_weight: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, components: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("log_weight", torch.full((components,), -log(max(components, 1))))
        self.register_buffer("mean", torch.zeros(components, dim))
        scale = torch.zeros(components, dim, dim)
        scale.diagonal(dim1=1, dim2=2).fill_(
            1
        )  # without memory, eye and diag_embed would import a compiler for a second
        self.register_buffer("scale", scale)

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """[n, d] draws."""
        which = torch.multinomial(self.log_weight.exp(), n, replacement=True, generator=rng)
        return self.sample_of(which, rng)

    def sample_of(self, which: Tensor, rng: torch.Generator) -> Tensor:
        """One draw [n, d] from each component named in `which` [n]."""
        return self.place(which, torch.randn(len(which), self.mean.shape[1], generator=rng, device=rng.device))

    def of(self, z: Tensor, rng: torch.Generator, chunk: int = 4096) -> Tensor:
        """A component [n] for each of `z` [n, d], drawn by how likely each is to have made it."""
        w, pairs = self._weights()
        shares = ((_features(part, pairs) @ w.T).softmax(1) for part in z.split(chunk))
        return torch.cat([torch.multinomial(share, 1, generator=rng)[:, 0] for share in shares])

    def whitened(self, which: Tensor, z: Tensor) -> Tensor:
        """`z` [n, d] seen from the components `which` [n]: what `place` takes back."""
        inverse = torch.linalg.solve_triangular(
            self.scale, torch.eye(z.shape[1], device=z.device).expand_as(self.scale), upper=False
        )
        seen: Tensor = (inverse[which] @ (z - self.mean[which])[:, :, None])[:, :, 0]
        return seen

    def place(self, which: Tensor, noise: Tensor) -> Tensor:
        """Standard normal `noise` [n, d] as draws from the components `which` [n].

        A few are each placed by itself, so that none is rounded otherwise for who is drawn beside it.
        """
        if len(noise) <= FEW:
            return self.mean[which] + (self.scale[which] @ noise[:, :, None])[:, :, 0]
        out = torch.empty_like(noise)
        order = which.argsort(stable=True)
        counts = torch.bincount(which, minlength=len(self.mean)).tolist()
        # one matrix product a component, where a gather of [n, d, d] factors would cost n d^2 memory
        start = 0
        for k, count in enumerate(counts):
            if count:
                rows = order[start : start + count]
                out[rows] = self.mean[k] + noise[rows] @ self.scale[k].T
                start += count
        return out

    def log_density(self, z: Tensor, chunk: int = 4096) -> Tensor:
        """[n] nats."""
        w, pairs = self._weights()
        return torch.cat([(_features(c, pairs) @ w.T).logsumexp(1) for c in z.split(chunk)])

    def _weights(self) -> tuple[Tensor, Tensor]:
        """Rows [k, d(d+1)/2 + d + 1] whose product with the features is log weight + log density."""
        k, d = self.mean.shape
        pairs = torch.triu_indices(d, d, device=self.mean.device)
        precision = torch.cholesky_inverse(self.scale)
        twice = torch.where(pairs[0] == pairs[1], 1.0, 2.0).to(self.mean)
        linear = (precision @ self.mean[:, :, None])[:, :, 0]
        constant = (
            self.log_weight
            - self.scale.diagonal(dim1=1, dim2=2).log().sum(1)
            - d / 2 * log(2 * pi)
            - (linear * self.mean).sum(1) / 2
        )
        return torch.cat([-precision[:, pairs[0], pairs[1]] * twice / 2, linear, constant[:, None]], 1), pairs

    @torch.no_grad()
    def fit(
        self,
        z: Tensor,
        rng: torch.Generator,
        *,
        iterations: int = 30,
        shrink: float = 16.0,
        time: Allowance = UNLIMITED,
        chunk: int = 4096,
    ) -> int:
        """Fits `z` [n, d] and says how many iterations ran: `iterations`, or as many as `time` allows (at least two)."""
        n, d = z.shape
        k = len(self.mean)
        began = time.left()
        pooled = torch.cov(z.T).reshape(d, d) + 1e-4 * torch.eye(d, device=z.device)
        self.mean.copy_(
            z[torch.randperm(n, generator=rng, device=rng.device)[:k].to(z.device)]
            if n >= k
            else z[torch.randint(n, (k,), generator=rng, device=rng.device)]
        )
        self.scale.copy_(torch.linalg.cholesky(0.3 * pooled).expand(k, d, d))
        self.log_weight.fill_(-log(k))
        rows = torch.arange(d, device=z.device)
        for i in range(iterations):
            w, pairs = self._weights()
            total = torch.zeros(k, w.shape[1], device=z.device)
            for part in z.split(chunk):
                f = _features(part, pairs)
                total += (f @ w.T).softmax(1).T @ f
            count = total[:, -1].clamp_min(1e-6)
            mean = total[:, -1 - d : -1] / count[:, None]
            second = torch.zeros(k, d, d, device=z.device)
            second[:, pairs[0], pairs[1]] = total[:, : -1 - d]
            second = second + second.transpose(1, 2)
            second[:, rows, rows] /= 2
            scatter = second - count[:, None, None] * mean[:, :, None] * mean[:, None, :]
            # within-component covariance of the fit so far is the natural target of shrinkage
            within = scatter.sum(0) / n + 1e-5 * torch.eye(d, device=z.device)
            covariance = (scatter + shrink * within) / (count + shrink)[:, None, None]
            covariance[:, rows, rows] += 1e-5
            factor, bad = torch.linalg.cholesky_ex(covariance)
            fallback = torch.linalg.cholesky(pooled)
            self.scale.copy_(torch.where((bad == 0)[:, None, None], factor, fallback))
            self.mean.copy_(mean)
            self.log_weight.copy_((count / count.sum()).log())
            if i >= 1 and not time.another(i + 1, began):
                return i + 1
        return iterations


def _features(z: Tensor, pairs: Tensor) -> Tensor:
    return torch.cat([z[:, pairs[0]] * z[:, pairs[1]], z, torch.ones_like(z[:, :1])], 1)


class Cells(nn.Module):
    """K-means cells of points or latents: labels for data that has none. Buffers: shift [p], basis [p, q], centre [k, q].

    Conditioning on cells splits one hard many-modal target into easy ones, which is most of what labels are worth to a
    small generator (Liu et al., "Diverse image generation via self-conditioned GANs", https://arxiv.org/abs/2006.10728).
    """

    shift: Tensor
    basis: Tensor
    centre: Tensor
    share: Tensor

    def __init__(self, cells: int, features: int, dims: int = 48) -> None:
        super().__init__()
        dims = min(dims, features)
        self.register_buffer("shift", torch.zeros(features))
        self.register_buffer("basis", torch.zeros(features, dims))
        self.register_buffer("centre", torch.zeros(cells, dims))
        self.register_buffer("share", torch.full((cells,), 1.0 / max(cells, 1)))

    @torch.no_grad()
    def fit(self, points: Tensor, rng: torch.Generator) -> None:
        """scikit-learn's k-means on the first principal components of `points` [n, ...]; of fewer than k, each is a centre."""
        flat = points.flatten(1).float()
        self.shift.copy_(flat.mean(0))
        self.basis.copy_(_leading(flat - self.shift, self.basis.shape[1], rng))
        q = (flat - self.shift) @ self.basis
        k = len(self.centre)
        if len(q) <= k:
            self.centre.copy_(q[torch.arange(k, device=q.device) % len(q)])
        else:
            from sklearn.cluster import KMeans  # here, as most models have no cells
            from sklearn.exceptions import ConvergenceWarning
            from threadpoolctl import threadpool_limits

            seed = int(torch.randint(2**31 - 1, (1,), generator=rng, device=rng.device))
            means = KMeans(k, n_init=1, max_iter=25, random_state=seed)
            with threadpool_limits(1), catch_warnings():  # sums of several threads have no order
                simplefilter("ignore", ConvergenceWarning)  # fewer different points than cells
                self.centre.copy_(torch.from_numpy(means.fit(q.cpu().numpy()).cluster_centers_))
        near = torch.cdist(q, self.centre).argmin(1)
        self.share.copy_(torch.bincount(near, minlength=k) / len(q))

    def of(self, points: Tensor) -> Tensor:
        """The cell [n] of each of `points` [n, ...]."""
        q = (points.flatten(1).float() - self.shift) @ self.basis
        return (q @ self.centre.T * -2 + self.centre.square().sum(1)).argmin(1)

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """[n] cells as often as the data has them."""
        return torch.multinomial(self.share, n, replacement=True, generator=rng)


def _leading(centred: Tensor, dims: int, rng: torch.Generator) -> Tensor:
    """The `dims` leading principal directions [d, dims] of centred points [n, d].

    Exact up to 1,024 numbers a point; beyond, by three rounds of subspace iteration from random directions (Halko et
    al., https://arxiv.org/abs/0909.4061, algorithm 4.4), whose cost grows with d and not with its cube.
    """
    d = centred.shape[1]
    if d <= 1024:
        _, vectors = torch.linalg.eigh(torch.cov(centred.T).reshape(d, d).double().cpu())
        exact: Tensor = vectors.flip(1)[:, :dims].float()
        return exact
    basis: Tensor = torch.linalg.qr(torch.randn(d, dims + 16, generator=rng, device=centred.device)).Q
    for _ in range(3):
        basis = torch.linalg.qr(centred.T @ (centred @ basis)).Q
    within = centred @ basis
    _, vectors = torch.linalg.eigh(within.T @ within)
    leading: Tensor = basis @ vectors.flip(1)[:, :dims]
    return leading
