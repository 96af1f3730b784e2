"""Distances between records in a space of features, the nearest of them, and the leading components of a set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Components:
    """The leading principal components of a set: `of(points)` is [n, k], centred on that set."""

    centre: Tensor
    basis: Tensor

    def of(self, flat: Tensor) -> Tensor:
        return (flat.flatten(1).float() - self.centre) @ self.basis

    def left(self, flat: Tensor) -> Tensor:
        """The squared length [n] of what the components leave of each."""
        away = flat.flatten(1).float() - self.centre
        return (away - (away @ self.basis) @ self.basis.T).square().sum(1)


def components(flat: Tensor, k: int) -> Components:
    """At most `k` components of `flat` [n, ...], from its first 5,000 rows."""
    some = flat[:5000].flatten(1).double()
    if some.shape[1] > 1024:  # the exact eigenproblem of colour pictures takes longer than all else
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            _, _, basis = torch.pca_lowrank(some.float(), q=min(k + 16, len(some)), niter=4)
        return Components(some.mean(0).float(), basis[:, :k])
    _, vectors = torch.linalg.eigh(torch.atleast_2d(torch.cov(some.T)))
    return Components(some.mean(0).float(), vectors.flip(1)[:, :k].float())


def nearest(a: Tensor, b: Tensor, block: int = 4096) -> tuple[Tensor, Tensor]:
    """Squared distance [n] of each of `a` [n, d] to the nearest of `b` [m, d], and which one it is [n]."""
    least, row = torch.full((len(a),), torch.inf), torch.zeros(len(a), dtype=torch.long)
    for start in range(0, len(b), block):  # blocks that stay in the processor's cache
        part = b[start : start + block]
        d, j = torch.addmm(part.square().sum(1)[None], a, part.T, alpha=-2).min(1)
        closer = d < least
        least, row = torch.where(closer, d, least), torch.where(closer, j + start, row)
    return (least + a.square().sum(1)).clamp_min(0), row


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distances [n, m] of `a` [n, d] and `b` [m, d], never negative."""
    out = torch.addmm(b.square().sum(1)[None], a, b.T, alpha=-2)
    return out.add_(a.square().sum(1)[:, None]).clamp_min_(0)
