"""Whether what was made looks like real data.

Frechet distance: https://arxiv.org/abs/1706.08500. Kernel distance: https://arxiv.org/abs/1801.01401. Precision:
https://arxiv.org/abs/1904.06991. Density: https://arxiv.org/abs/2002.09797. Clipped density:
https://arxiv.org/abs/2507.01761. Two-sample test: https://arxiv.org/abs/1610.06545.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from karat.assays import classifier, power
from karat.assays.chance import Draws, averaged, limit_of, outside, resampled
from karat.assays.details.records import Balls, FrechetDistance, KernelDistance, Standardised, TwoSample
from karat.assays.finding import Finding, Score, scored
from karat.assays.neighbours import Components, distances
from karat.assays.points.embedded import Embedded
from karat.assays.points.points import Case
from karat.words import number, said, term

FINDS = (
    *("frechet distance", "pixel frechet distance", "kernel distance"),
    *("precision", "density", "clipped density", "two-sample auc", "sharpness"),
)
BLOCK = 256  # columns of a covariance that are reckoned at once
FOLDS = 2  # of the two-sample test


def frechet(a: Tensor, b: Tensor) -> float:
    """Frechet distance of Gaussians fitted to `a` [n, d] and `b` [m, d], float64."""
    return frechet_gaussians(*gaussian(a), *gaussian(b))


def gaussian(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [d] and covariance [d, d] of `x` [n, d], float64."""
    x = x.double()
    mean = x.mean(0)
    x, d = x - mean, x.shape[1]
    cov = x.new_empty(d, d)
    for start in range(0, d, BLOCK):  # what lies above the diagonal is known from below
        stop = min(start + BLOCK, d)
        torch.mm(x[:, start:].T, x[:, start:stop], out=cov[start:, start:stop])
        cov[start:stop, stop:] = cov[stop:, start:stop].T
    return mean, cov / (len(x) - 1)


def frechet_gaussians(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> float:
    """|mu_a - mu_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2).

    With A = LL' and B = MM' the eigenvalues of A^1/2 B A^1/2 are those of L'M(L'M)'; where A or B has no full rank, by the
    eigenvectors of A.
    """
    a, b = cov_a.double(), cov_b.double()
    (left, one), (right, two) = torch.linalg.cholesky_ex(a), torch.linalg.cholesky_ex(b)
    if int(one) or int(two):
        values, vectors = torch.linalg.eigh(a)
        root = vectors * values.clamp_min(0).sqrt() @ vectors.T
        product = root @ b @ root
    else:
        product = left.T @ right
        product = product @ product.T
    cross = torch.linalg.eigvalsh(product).clamp_min(0).sqrt().sum()
    return float((mean_a.double() - mean_b.double()).square().sum() + a.trace() + b.trace() - 2 * cross)


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Unbiased squared MMD of `a` [n, d] and `b` [m, d] with k(x, y) = (x.y / d + 1)^3; legally negative."""
    return _mmd(_self_kernel(a), float(_cubic(a, b).mean(dtype=torch.float64)), _self_kernel(b))


def _cubic(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1).pow(3)


def _self_kernel(a: Tensor) -> float:
    k = _cubic(a, a)
    n = len(a)
    return float((k.sum(dtype=torch.float64) - k.diagonal().sum(dtype=torch.float64)) / (n * (n - 1)))


def _mmd(aa: float, ab: float, bb: float) -> float:
    return aa + bb - 2 * ab


def radii(points: Tensor, k: int) -> Tensor:
    """Squared distances [n] of each of `points` [n, d] to its k-th neighbour, itself excluded."""
    near = distances(points, points)
    near.fill_diagonal_(math.inf)
    return near.topk(min(k, len(points) - 1), dim=1, largest=False).values[:, -1]


def precision(d: Tensor, radius: Tensor) -> Tensor:
    """Per made record [m], 1 where it lies strictly inside the ball of some real one; `d` [n, m] squared distances."""
    return (d < radius[:, None]).any(0).float()


def density(d: Tensor, radius: Tensor, k: int) -> Tensor:
    """Per made record [m], the number of real balls that hold it over `k`; its mean over real data is 1."""
    return (d < radius[:, None]).sum(0).float() / k


def clipped_density(d: Tensor, radius: Tensor, k: int) -> Tensor:
    """Density with every ball no wider than the median one and every record's count clipped to 1 (not yet scaled)."""
    return density(d, radius.clamp_max(radius.median()), k).clamp_max(1)


def discriminant_auc(a: Tensor, b: Tensor, seed: int) -> tuple[float, float]:
    """The two-sample AUC of `a` [n, d] and `b` [m, d] by a linear discriminant, and its standard deviation by chance.

    Of the longer one as many rows as the other has are drawn.
    """
    n = min(len(a), len(b))
    rng = torch.Generator().manual_seed(seed)
    x, y = (of[torch.randperm(len(of), generator=rng)[:n]].double().numpy() for of in (a, b))
    return classifier.two_sample_auc(x, y, classifier.discriminant, seed, FOLDS), classifier.fold_spread(n, FOLDS)


def roughness(points: Tensor) -> Tensor:
    """Per record [n], the mean squared Laplacian of `points` [n, c, *size]: what blur lowers and noise raises."""
    total = torch.zeros_like(points)
    for axis in range(2, points.ndim):
        if points.shape[axis] > 2:
            before, after = points.roll(1, axis), points.roll(-1, axis)
            total = total + before + after - 2 * points
            total.narrow(axis, 0, 1).zero_()  # no neighbour beyond the edge
            total.narrow(axis, points.shape[axis] - 1, 1).zero_()
    return total.square().flatten(1).mean(1)


def findings(case: Case) -> list[Finding]:
    """Frechet distance, pixel Frechet distance, kernel distance, precision, density, two-sample AUC, sharpness.

    Where the points' axes have names, detail is measured along each of them in place of sharpness.
    """
    train, unseen, made, draws, pixels = case.train, case.unseen, case.made, case.draws, case.pixels
    flat = [pixels.of(each.points) for each in (train, unseen, made)]
    raw = "the leading components of the raw records"
    space = "the judge's features"
    out = [
        _frechet("frechet distance", train.features, unseen.features, made.features, draws, space),
        _frechet("pixel frechet distance", flat[0], flat[1], flat[2], draws, raw),
        _kernel(train.features, unseen.features, made.features, draws),
        *_balls(train, unseen, made),
        _auc(train, unseen, made, pixels, case.seed),
    ]
    if made.points.ndim > 2 and not case.axes:
        out.append(_sharpness(train, unseen, made))
    return out


def _frechet(name: str, train: Tensor, unseen: Tensor, made: Tensor, draws: Draws, what: str) -> Finding:
    mean, cov = gaussian(train)

    def score(of: Tensor, rows: Tensor) -> float:
        return frechet_gaussians(mean, cov, *gaussian(of[rows]))

    s = resampled(lambda rows: score(unseen, rows), lambda rows: score(made, rows), draws)
    scale = float(cov.trace())
    limit = limit_of(name, s, max(0.003 * scale, 0.15 * s.real))
    summary = said(
        "In {what}, the Frechet distance of {size} made records to the training data is {value:.3g}, "
        "that of {size} unseen real ones {real:.3g} (0 is identical, the variance of the data is "
        "{scale:.3g}).",
        what=term(what),
        size=draws.size,
        value=s.value,
        real=s.real,
        scale=scale,
    )
    comparable = "within this report"
    detail = FrechetDistance(n=draws.size, reference=len(train), z=s.z, variance=scale, comparable=comparable)
    samples = power.of_score(
        s.error, 1.0, len(made), len(unseen), max(0.02 * scale, s.real), max(0.003 * scale, 0.15 * s.real)
    )
    return scored(name, s, limit, summary, detail=detail, samples=samples)


def _kernel(train: Tensor, unseen: Tensor, made: Tensor, draws: Draws) -> Finding:
    scale = train.square().mean().sqrt()  # unit variance per feature: the cubic kernel has no scale of its own
    reference = (train / scale)[:2000]
    own = _self_kernel(reference)

    def score(of: Tensor, cross: Tensor, rows: Tensor) -> float:
        return 1000 * _mmd(_self_kernel(of[rows]), float(cross[rows].mean()), own)

    u, m = unseen / scale, made / scale
    cross_u, cross_m = (torch.cat([_cubic(b, reference).double().mean(1) for b in x.split(1000)]) for x in (u, m))
    s = resampled(lambda rows: score(u, cross_u, rows), lambda rows: score(m, cross_m, rows), draws)
    summary = said(
        "The kernel distance (squared MMD, times 1,000) of what was made to the training data is "
        "{value}, that of unseen real data {real} (it is unbiased and may be below 0).",
        value=number(s.value),
        real=number(s.real),
    )
    detail = KernelDistance(n=draws.size, unit=0.001, z=s.z)
    samples = power.of_score(s.error, 1.0, len(made), len(unseen), 5.0, 1.0)
    return scored("kernel distance", s, limit_of("kernel distance", s, 1.0), summary, detail=detail, samples=samples)


def _balls(train: Embedded, unseen: Embedded, made: Embedded, most: int = 3000) -> list[Finding]:
    reference = train.features[:most]
    near = distances(reference, reference)
    near.fill_diagonal_(math.inf)
    sorted_ = near.topk(min(5, len(reference) - 1), dim=1, largest=False).values
    third, fifth = sorted_[:, min(2, sorted_.shape[1] - 1)], sorted_[:, -1]

    def scores(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        parts = [distances(reference, block) for block in features.split(1000)]
        return (
            torch.cat([precision(d, third) for d in parts]),
            torch.cat([density(d, fifth, 5) for d in parts]),
            torch.cat([clipped_density(d, fifth, 5) for d in parts]),
        )

    m, u = scores(made.features), scores(unseen.features)
    out = []
    kinds = (
        ("precision", 0.02, "{value:.1%} of what was made lies where real data lies; unseen real data: {real:.1%}."),
        (
            "density",
            0.05,
            "Made records lie in the neighbourhoods of {value:.3g} times as many real ones as expected; unseen real data: "
            "{real:.3g}.",
        ),
        (
            "clipped density",
            0.05,
            "Density with every neighbourhood and count clipped is {value:.1%} of that of unseen real data ({real:.0%}).",
        ),
    )
    for (name, least, sentence), a, b in zip(kinds, m, u, strict=True):
        s = averaged(a, b, share=name != "density")
        if name == "clipped density":  # scaled so that real data scores 1: linear in the share of bad records
            by = max(s.real, 1e-9)
            s = Score(s.value / by, s.low / by, s.high / by, 1.0, s.error / by)
        summary = said(sentence, value=s.value, real=s.real)
        detail = Balls(n=len(a), reference=len(reference), z=s.z)
        samples = power.scored(name, s.error, len(made), len(unseen), s.real, beyond=least)
        out.append(scored(name, s, limit_of(name, s, least), summary, detail=detail, samples=samples))
    return out


def _auc(train: Embedded, unseen: Embedded, made: Embedded, pixels: Components, seed: int) -> Finding:
    n = min(5000, len(train), len(unseen), len(made))
    t, u, m = (torch.cat([s.features[:n], pixels.of(s.points[:n])], 1) for s in (train, unseen, made))
    value, sd = discriminant_auc(m, t, seed)
    real, _ = discriminant_auc(u, t, seed)
    s = Score(value, value - 1.96 * sd, min(1.0, value + 1.96 * sd), real, sd * math.sqrt(2))
    summary = said(
        "Shown one made and one training record, a simple classifier picks the made one {value:.0%} of "
        "the time (50% is guessing); an unseen real one, {real:.0%}.",
        value=value,
        real=real,
    )
    detail = TwoSample(n=n, z=s.z, null_sd=sd)
    samples = power.scored("two-sample auc", s.error, len(made), len(unseen), beyond=0.05)
    limit = limit_of("two-sample auc", s, 0.05)
    if not limit.broken(value) and not any(x.short for x in samples):  # so many would do if all there is were learned
        gap = power.GAPS["two-sample auc"]
        learned = discriminant_auc(_spoiled(u, 2 * gap, seed), t, seed)[0] - real
        samples = power.scored("two-sample auc", s.error * gap / min(gap, max(learned, 1e-3)), len(made), len(unseen))
    return scored("two-sample auc", s, limit, summary, detail=detail, samples=samples)


def _spoiled(x: Tensor, share: float, seed: int) -> Tensor:
    """`x` [n, d] of which a `share` are far from it: by themselves they would be told from it with certainty."""
    rng = torch.Generator().manual_seed(seed)
    bad = torch.rand(len(x), 1, generator=rng) < share
    wide = x.mean(0) + 2 * x.std(0) * torch.randn(x.shape, generator=rng, dtype=x.dtype)
    return torch.where(bad, wide, x)


def _sharpness(train: Embedded, unseen: Embedded, made: Embedded) -> Finding:
    learned = roughness(train.points[:5000])
    by = float(learned.mean().clamp_min(1e-12))
    mine = roughness(made.points) / by
    s = averaged(mine, roughness(unseen.points) / by)
    # unseen records set aside by name (another speaker) may themselves differ from what there was to learn
    limit = outside(*(limit_of("sharpness", x, 0.05) for x in (s, averaged(mine, learned / by))))
    fault = "" if not limit.broken(s.value) else said(": too smooth") if s.z < 0 else said(": too rough")
    summary = said(
        "Fine detail is {value:.2f} times that of the training data (unseen real data: {real:.2f}){fault}.",
        value=s.value,
        real=s.real,
        fault=fault,
    )
    samples = power.scored("sharpness", s.error, len(made), len(unseen), beyond=0.05)
    return scored("sharpness", s, limit, summary, detail=Standardised(z=s.z), samples=samples)
