"""Whether everything that real data shows is also made.

Recall: https://arxiv.org/abs/1904.06991. Coverage: https://arxiv.org/abs/2002.09797. Clipped coverage:
https://arxiv.org/abs/2507.01761. Vendi score: https://arxiv.org/abs/2210.02410.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from warnings import catch_warnings, simplefilter

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from karat.assays import power
from karat.assays.chance import Draws, limit_of, resampled, wilson
from karat.assays.details.records import Covered, MissingClasses, MissingModes, Sampled
from karat.assays.finding import Finding, Limit, Sample, exact, scored
from karat.assays.neighbours import components, distances
from karat.assays.points import modes
from karat.assays.points.embedded import Embedded
from karat.assays.points.fidelity import radii
from karat.assays.points.points import Case
from karat.words import Sentence, said, together

SHARES = "{name} ({made:.1%}, real {real:.1%})"
FINDS = ("recall", "coverage", "clipped coverage", "vendi", "missing classes", "missing modes")
NONE = Limit(above=0.0)
ABSENT = 0.2  # a class made at less than this share of its real rate is missing


def recall(d: Tensor, radius: Tensor) -> float:
    """Share of real records strictly inside the ball of some made one; `d` [n, m], `radius` [m] squared."""
    return float((d < radius[None]).any(1).double().mean())


def coverage(d: Tensor, radius: Tensor) -> float:
    """Share of real records whose ball holds a made one; `d` [n, m], `radius` [n] squared."""
    return float((d.amin(1) < radius).double().mean())


def clipped_coverage(d: Tensor, radius: Tensor, k: int) -> float:
    """Mean over real records of min(made ones in the ball, k) / k: how fully each neighbourhood is supplied."""
    return float((((d < radius[:, None]).sum(1).double() / k).clamp_max(1)).mean())


def expected_coverage(n: int, m: int, k: int) -> float:
    """Coverage of `n` real records by `m` made from the same distribution: 1 - prod_i (n - i) / (n + m - i)."""
    return 1 - math.prod((n - i) / (n + m - i) for i in range(1, k + 1))


def vendi(features: Tensor) -> float:
    """Effective number of different records among `features` [n, d]: exp entropy of the cosine kernel's eigenvalues."""
    unit = torch.nn.functional.normalize(features.double(), dim=1)
    gram = unit.T @ unit if unit.shape[1] < len(unit) else unit @ unit.T
    return vendi_of_kernel(gram / len(unit))


def vendi_of_kernel(kernel: Tensor) -> float:
    """exp of the entropy of the eigenvalues of a `kernel` with trace 1 (a similarity matrix over n)."""
    values = torch.linalg.eigvalsh(kernel.double())
    values = values[values > 1e-12]
    return float(torch.exp(-(values * values.log()).sum()))


def findings(case: Case) -> list[Finding]:
    """Recall, coverage, clipped coverage, Vendi, and missing classes (or missing modes where there are no labels)."""
    sides, draws = (case.train, case.unseen, case.made), case.draws
    return [*_balls(*sides, draws), _vendi(*sides[1:], draws), _missing(*sides, case.classes)]


def _balls(train: Embedded, unseen: Embedded, made: Embedded, draws: Draws) -> list[Finding]:
    reference = train.features[: draws.size]
    fifth = radii(reference, 5)
    cache: dict[tuple[bool, int, int], tuple[float, float, float]] = {}

    def scores(of: Embedded, rows: Tensor) -> tuple[float, float, float]:
        key = (of is made, len(rows), int(rows[0]) * len(of) + int(rows[-1]))
        if key not in cache:
            some = of.features[rows]
            d = distances(reference, some)
            cache[key] = (recall(d, radii(some, 3)), coverage(d, fifth), clipped_coverage(d, fifth, 5))
        return cache[key]

    out = []
    kinds = (
        (
            "recall",
            0.03,
            "{value:.1%} of real records lie where made ones lie; where unseen real ones lie: {real:.1%}.",
        ),
        (
            "coverage",
            0.02,
            "{value:.1%} of real records have a made one in their neighbourhood; one of as many unseen real ones: {real:.1%}.",
        ),
        (
            "clipped coverage",
            0.02,
            "Neighbourhoods of real records hold {value:.1%} of the made ones that they should; of as many unseen real ones: "
            "{real:.1%}.",
        ),
    )
    for i, (name, least, sentence) in enumerate(kinds):
        s = resampled(lambda r, i=i: scores(unseen, r)[i], lambda r, i=i: scores(made, r)[i], draws, True)  # type: ignore[misc]
        detail = Covered(n=draws.size, z=s.z, expected=expected_coverage(draws.size, draws.size, 5))
        samples = power.scored(name, s.error, len(made), len(unseen), s.real, beyond=least)
        summary = said(sentence, value=s.value, real=s.real)
        out.append(scored(name, s, limit_of(name, s, least), summary, detail=detail, samples=samples))
    return out


def _vendi(unseen: Embedded, made: Embedded, draws: Draws) -> Finding:
    s = resampled(lambda r: vendi(unseen.features[r]), lambda r: vendi(made.features[r]), draws)
    summary = said(
        "The effective number of different records (Vendi) is {value:.1f}; among as many unseen real ones {real:.1f}.",
        value=s.value,
        real=s.real,
    )
    samples, detail = (
        power.of_score(s.error, 0.2, len(made), len(unseen), s.real, 0.05 * s.real),
        Sampled(n=draws.size, z=s.z),
    )
    return scored("vendi", s, limit_of("vendi", s, 0.05 * s.real), summary, detail=detail, samples=samples)


def cells(train: Tensor, k: int, seed: int) -> Tensor:
    """Centres [min(k, n), d] of scikit-learn's k-means on at most 5,000 rows of `train` [n, d]."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    rng = torch.Generator().manual_seed(seed)
    some = train[torch.randperm(len(train), generator=rng)[:5000]].float()
    means = KMeans(min(k, len(some)), n_init=1, max_iter=25, random_state=seed % 2**32)
    with threadpool_limits(1), catch_warnings():  # sums of several threads have no order
        simplefilter("ignore", ConvergenceWarning)  # fewer different rows than cells
        return torch.from_numpy(means.fit(some.cpu().numpy()).cluster_centers_).to(train)


def absent(
    shown: Tensor, real: Tensor, truth: Tensor, learned: Tensor, k: int
) -> tuple[list[int], list[int], Tensor, Tensor]:
    """Which of `k` classes certainly and which probably miss among `shown` [n], and the shares of each, made and real.

    `real` [m] and `truth` [m] are the same unseen records read and known: a class gets reads that are another's. `learned`
    [l]: the training records' classes. Few unseen records may hold more of a class than real data do, all together; of a
    class that was not learned at all only they can tell.
    """
    count, n = torch.bincount(shown, minlength=k), len(shown)
    share = torch.bincount(real, minlength=k).double() / len(real)
    wrong = torch.bincount(real[truth != real], minlength=k)
    stray = wrong.double() / len(real)
    known = torch.bincount(learned, minlength=k)
    common = (torch.bincount(truth, minlength=k) + known).double() / (len(truth) + len(learned))
    own = (share - stray).clamp_min(0).minimum(common.where(known > 0, 1.0))
    # few unseen records say little of how often reads go astray
    fewest = [wilson(int(c), len(real), 2.0)[0] for c in wrong]
    likely = [i for i in range(k) if int(count[i]) / n < fewest[i] + ABSENT * float(own[i])]
    # and certainly below half of its real rate, so that a rare class in a small set is not called missing by chance
    sure = [i for i in likely if wilson(int(count[i]), n, 3.5)[1] < fewest[i] + float(own[i]) / 2]
    return sure, likely, count.double() / n, share


def missed(sure: list[int], classes: Sequence[str], made: Tensor, real: Tensor) -> Sentence:
    """The classes that miss, each with its shares [k] of what was made and of unseen real records."""
    return together((said(SHARES, name=classes[i], made=float(made[i]), real=float(real[i])) for i in sure[:8]), ", ")


def needed(n: int, m: int, k: int) -> tuple[Sample, ...]:
    """What `absent` needs to see that a class is never made that a tenth of real records are of, or as many as it has part."""

    def sees(made: int, real: int, share: float) -> bool:
        low = wilson(round(real * power.STRAY), real, 2.0)[0]
        return wilson(round(made * power.STRAY), made, 3.5)[1] < low + share / 2

    return power.of_count(sees, n, m, min(power.GROUP, 1 / max(k, 1)))


def _classed(s: Embedded) -> Tensor:
    """The classes of records, known or else read; none where neither."""
    if s.labels is not None:
        return s.labels
    return torch.zeros(0, dtype=torch.long) if s.read is None else s.read.argmax(1)


def _missing(train: Embedded, unseen: Embedded, made: Embedded, classes: tuple[str, ...]) -> Finding:
    if made.read is None or unseen.read is None:
        return _modes(train, unseen, made)
    shown, real = made.read.argmax(1), unseen.read.argmax(1)
    truth = real if unseen.labels is None else unseen.labels
    learned, k = _classed(train), len(classes)
    sure, likely, shares, share = absent(shown, real, truth, learned, k)
    if made.labels is not None and unseen.labels is not None:  # also what was never asked for is missing
        asked = absent(made.labels, unseen.labels, unseen.labels, learned, k)
        sure, likely = sorted({*sure, *asked[0]}), sorted({*likely, *asked[1]})
    gone = tuple(classes[i] for i in sure)
    summary = (
        said("Missing from what was made, or nearly: class {listed}.", listed=missed(sure, classes, shares, share))
        if gone
        else said("Every class that real data shows is made.")
    )
    made_shares, real_shares = tuple(shares.tolist()), tuple(share.tolist())
    detail = MissingClasses(missing=gone, names=classes, made=made_shares, real=real_shares, kind="class")
    high, samples = float(max(len(likely), len(sure))), needed(len(made), len(unseen), k)
    return exact("missing classes", float(len(gone)), NONE, summary, high=high, detail=detail, samples=samples)


def _modes(train: Embedded, unseen: Embedded, made: Embedded) -> Finding:
    pixels = components(train.points, 32)
    sides = (train, unseen, made)
    views = [tuple(s.features for s in sides), tuple(pixels.of(s.points) for s in sides)]
    looks = modes.look(views)
    lost = modes.lost(looks)
    if lost:
        shares = (
            said("one of {unseen:.0%} (made: {made:.1%})", unseen=mode.unseen, made=mode.made) for mode in lost[:4]
        )
        listed = together(shares, ", ")
        summary = said(
            "Hardly made, or never: {n} mode of real data, {listed}."
            if len(lost) == 1
            else "Hardly made, or never: {n} modes of real data, {listed}.",
            n=len(lost),
            listed=listed,
        )
    else:
        summary = said("Wherever real records crowd, some are made.")
    names = tuple(str(i) for i in range(len(lost)))
    detail = MissingModes(
        missing=names,
        names=names,
        made=tuple(mode.made for mode in lost),
        real=tuple(mode.unseen for mode in lost),
        kind="mode",
        examples=tuple(train.row(mode.row) for mode in lost),
    )
    return exact("missing modes", float(len(lost)), NONE, summary, detail=detail, samples=modes.needed(looks))
