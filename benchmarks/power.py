"""Proves what findings promise: each fault of `karat.assays.power`, planted at just the size that it should be seen at.

    python benchmarks/power.py $KARAT_DATA/tables/published/magic.data --sizes 100 300 1000 --seeds 20

A finding may speak, or say that it cannot tell at so few records; where it reads "ok" beside its fault, its promise is broken.
It promises that in 19 of 20 samples (`power.OFTEN`). Not every table can be given every fault: noise lies among the real rows
where these are far apart, and few regions cannot be left out by halves. Where the interval of a share shows that less is wrong than
what is promised to be seen, "small" counts it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

import karat.assays.points as of_view
import karat.assays.table as of_table
import karat.assays.text as of_text
from karat.assays import Finding, power
from karat.assays.chance import draw
from karat.assays.discovery import modules
from karat.assays.encoder import FeatureExtractor, open_extractor
from karat.assays.neighbours import distances
from karat.assays.points import diversity, fidelity, points
from karat.assays.points.embedded import Embedded, embed_points
from karat.assays.references import points as of_points
from karat.assays.references import tables as of_tables
from karat.assays.references import texts as of_texts
from karat.assays.references.calibration import exact
from karat.assays.references.reference import Case
from karat.assays.table import categories, tables
from karat.assays.table.sheet import embed
from karat.assays.text import texts
from karat.data import load
from karat.training import pace
from karat.views import Points, TableView, TextView, View
from karat.workflow.learning import data_options

Rng = np.random.Generator


@dataclass(frozen=True)
class Fault:
    """finding: who must speak.   plant(train, source, n, rng): made records with the fault, of real ones."""

    finding: str
    plant: Callable[..., Any]


# Tables


def near(t: TableView, u: TableView, m: TableView) -> list[torch.Tensor]:
    return [torch.as_tensor(x) for x in embed((t, u, m), 0)]


def with_noise(share: float) -> Callable[[TableView, TableView, int, Rng], TableView]:
    """Rows of which a share are no good: of noise over the training rows' range those that lie furthest from any of them."""

    def plant(t: TableView, s: TableView, n: int, rng: Rng) -> TableView:
        out, bad = s.take(np.arange(n)), rng.random(n) < share
        wrong = of_tables.noise(Case(t, s, 4 * n, rng))
        x, _, y = near(t, s, wrong)
        far = torch.cat([distances(x, part).amin(0) for part in y.split(1000)])
        wrong = wrong.take(far.argsort(descending=True)[:n].numpy())
        return TableView(t.columns, np.where(bad[:, None], wrong.values, out.values))

    return plant


def region(key: str, base: torch.Tensor, x: torch.Tensor, along: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    """`n` rows of `x` [., d] without those that lie furthest `along`, as many as take the gap from the score."""
    size = min(n, len(x) // 3)
    base = base[:size]

    def score(part: float) -> float:
        kept = np.flatnonzero(along <= np.quantile(along, 1 - part))
        some = [x[torch.from_numpy(rng.permutation(kept)[:size])] for _ in range(4)]
        if key == "recall":
            return float(np.mean([diversity.recall(distances(base, y), fidelity.radii(y, 3)) for y in some]))
        of = diversity.coverage if key == "coverage" else lambda d, r: diversity.clipped_coverage(d, r, 5)
        return float(np.mean([of(distances(base, y), fidelity.radii(base, 5)) for y in some]))

    low, high, goal = 0.0, 0.9, score(0.0) * (1 - power.GAPS[key])
    for _ in range(7):
        middle = (low + high) / 2
        low, high = (middle, high) if score(middle) > goal else (low, middle)
    return rng.permutation(np.flatnonzero(along <= np.quantile(along, 1 - high)))[:n]


def without_region(key: str) -> Callable[[TableView, TableView, int, Rng], TableView]:
    """Real rows without those that lie furthest along a random direction."""

    def plant(t: TableView, s: TableView, n: int, rng: Rng) -> TableView:
        x, y = near(t, s, s)[:2]
        along = (y @ torch.from_numpy(rng.standard_normal(y.shape[1])).to(y.dtype)).numpy()
        return s.take(np.sort(region(key, x, y, along, n, rng)))

    return plant


def moved_cells(t: TableView, s: TableView, n: int, rng: Rng) -> TableView:
    """Real rows, of which in one column a fifth of the rows would have to move: their cells hold the rarer end, or choice."""
    out = s.take(np.arange(n))
    values, j = out.values.copy(), int(rng.integers(t.width))
    known = t.values[:, j][np.isfinite(t.values[:, j])]
    ends = np.unique(known) if t.columns.choices[j] else np.array([known.min(), known.max()])
    share = [float((known == end).mean()) for end in ends]
    to = int(np.argmin(share))
    values[rng.random(n) < power.GAPS["column shapes"] / (1 - share[to]), j] = ends[to]
    return replace(out, values=values)


def copies(share: float) -> Callable[[TableView, TableView, int, Rng], TableView]:
    def plant(t: TableView, s: TableView, n: int, rng: Rng) -> TableView:
        some = rng.random(n) < share
        return TableView(t.columns, np.where(some[:, None], t.values[rng.integers(len(t), size=n)], s.values[:n]))

    return plant


def altered(t: TableView, s: TableView, n: int, rng: Rng) -> TableView:
    return of_tables.copier(Case(t, s, n, rng), share=power.COPIES)


def leaked(t: TableView, s: TableView, n: int, rng: Rng) -> TableView:
    """Rows that give `2 gap` of the training rows away: copies of these, the rest is real."""
    values = s.values[:n].copy()
    given = rng.permutation(len(t))[: min(n, round(2 * power.GAPS["membership"] * len(t)))]
    values[: len(given)] = t.values[given]
    return TableView(t.columns, values)


def half_rare(t: TableView, s: TableView, n: int, rng: Rng) -> TableView:
    """Real rows without half of those that hold a rare category."""
    rare = np.zeros(len(s), bool)
    for j, choices in enumerate(t.columns.choices):
        if choices:
            counts = np.bincount(t.codes(j), minlength=len(choices) + 2)[: len(choices)]
            rare |= np.isin(s.codes(j), np.flatnonzero((counts > 0) & (counts < categories.RARE * len(t))))
    return s.take(np.flatnonzero(~rare | (rng.random(len(s)) < 0.5))[:n])


def mistaught(t: TableView, s: TableView, n: int, rng: Rng) -> TableView:
    """Real rows whose last column is permuted among so many that it teaches half."""
    values = s.values[:n].copy()
    some = np.flatnonzero(rng.random(n) < 0.75)
    values[some, -1] = values[rng.permutation(some), -1]
    return TableView(t.columns, values)


TABLES = [
    Fault("two-sample auc", with_noise(2 * power.GAPS["two-sample auc"])),
    *(Fault(key, with_noise(power.GAPS[key])) for key in ("precision", "density")),
    *(Fault(key, without_region(key)) for key in ("recall", "coverage")),
    Fault("column shapes", moved_cells),
    Fault("rare categories", half_rare),
    Fault("copy rate", copies(power.COPIES)),
    Fault("near copies", altered),
    Fault("nearest record share", copies(2 * power.GAPS["nearest record share"])),
    Fault("membership", leaked),
    Fault("usefulness", mistaught),
]


# Points


def spoiled(share: float) -> Callable[[Embedded, Embedded, int, Rng], torch.Tensor]:
    """Records of which a share are even noise."""

    def plant(t: Embedded, s: Embedded, n: int, rng: Rng) -> torch.Tensor:
        bad = torch.from_numpy(rng.random(n) < share)
        wrong = torch.from_numpy(rng.uniform(-1, 1, (n, *s.points.shape[1:]))).float()
        return torch.where(bad.reshape(-1, *[1] * (s.points.ndim - 1)), wrong, s.points[:n])

    return plant


def beside(key: str) -> Callable[[Embedded, Embedded, int, Rng], torch.Tensor]:
    """Real records without those that lie furthest along a random direction, as many as take the gap from the score."""

    def plant(t: Embedded, s: Embedded, n: int, rng: Rng) -> torch.Tensor:
        along = (s.features @ torch.from_numpy(rng.standard_normal(s.features.shape[1])).float()).numpy()
        kept = region(key, t.features, s.features, along, n, rng)
        return s.points[torch.from_numpy(np.sort(kept))]

    return plant


def smoothed(t: Embedded, s: Embedded, n: int, rng: Rng) -> torch.Tensor:
    """Real records mixed with their smoothed selves until a fifth of the fine detail is gone."""
    x = s.points[:n]
    soft = of_points.blurrer(Case(Points(x), Points(x), n, np.random.default_rng(0))).points
    order = torch.from_numpy(np.random.default_rng(0).permutation(n))
    low, high, whole = 0.0, 1.0, float(fidelity.roughness(x).mean())
    for _ in range(12):
        middle = (low + high) / 2
        left = float(fidelity.roughness((1 - middle) * x[order] + middle * soft).mean())
        low, high = (middle, high) if left > whole * (1 - power.GAPS["sharpness"]) else (low, middle)
    return (1 - high) * x[order] + high * soft


def pixel_copies(t: Embedded, s: Embedded, n: int, rng: Rng) -> torch.Tensor:
    return of_points.copier(Case(Points(t.points), Points(s.points), n, rng), share=power.COPIES).points


POINTS = [
    *(Fault(key, spoiled(power.GAPS[key])) for key in ("precision", "density", "clipped density")),
    Fault("two-sample auc", spoiled(2 * power.GAPS["two-sample auc"])),
    Fault("sharpness", smoothed),
    *(Fault(key, beside(key)) for key in ("recall", "coverage", "clipped coverage")),
    Fault("copy rate", pixel_copies),
]


# Text


def changed(share: float, change: Callable[[TextView, TextView, int, Rng], TextView]) -> Callable[..., TextView]:
    """Real passages of which a share are changed."""

    def plant(t: TextView, s: TextView, n: int, rng: Rng) -> TextView:
        out = s.take(np.arange(n))
        wrong = change(t, out, n, rng).texts
        texts = tuple(b if rng.random() < share else a for a, b in zip(out.texts, wrong, strict=False))
        return replace(out, texts=texts, rows=None)

    return plant


def shortened(t: TextView, s: TextView, n: int, rng: Rng) -> TextView:
    return replace(s, texts=tuple(x[: len(x) // 2] for x in s.texts), rows=None)


def unlined(t: TextView, s: TextView, n: int, rng: Rng) -> TextView:
    return replace(s, texts=tuple(x.replace("\n", " ") for x in s.texts), rows=None)


def noisy(t: TextView, s: TextView, n: int, rng: Rng) -> TextView:
    letters, count = np.unique(list("".join(t.texts[:500])), return_counts=True)
    texts = tuple("".join(rng.choice(letters, len(x), p=count / count.sum())) for x in s.texts)
    return replace(s, texts=texts, rows=None)


def kept_in_order(make: Callable[..., TextView]) -> Callable[[TextView, TextView, int, Rng], TextView]:
    return lambda t, s, n, rng: make(Case(t, s, len(s), np.random.default_rng(0)))


@dataclass(frozen=True)
class Tuned:
    """A fault whose strength is found once, at which the score lies the gap from that of real records."""

    finding: str
    change: Callable[[TextView, TextView, int, Rng], TextView]

    def at(self, whole: TextView, size: int) -> Fault:
        drawn = [parts(whole, size, seed)[:3] for seed in (10_000, 10_001, 10_002)]

        def score(share: float) -> float:
            found = []
            for t, u, s in drawn:
                made = changed(share, self.change)(t, s, size, np.random.default_rng(7))
                found += [f.value for f in judged(self.finding, t, u, made)]
            return float(np.mean(found))

        low, high, real = 0.0, 1.0, score(0.0)
        gap = power.GAPS[self.finding] * (real if self.finding in ("fluency", "compression") else 1.0)
        for _ in range(6):
            middle = (low + high) / 2
            low, high = (low, middle) if abs(score(middle) - real) > gap else (middle, high)
        print(f"{self.finding}: {high:.1%} are changed", file=sys.stderr, flush=True)
        return Fault(self.finding, changed(high, self.change))


def alike(t: TextView, s: TextView, n: int, rng: Rng) -> TextView:
    return replace(s, texts=tuple(s.texts[0] for _ in s.texts), rows=None)


TEXTS = [
    Tuned("length", shortened),
    Tuned("layout", unlined),
    Tuned("own-feature mauve", noisy),
    Tuned("distinct-2", kept_in_order(of_texts.blurrer)),
    Tuned("self-bleu", alike),
    Tuned("fluency", noisy),
    Tuned("compression", noisy),
    Fault("two-sample auc", changed(2 * power.GAPS["two-sample auc"], noisy)),
    Fault("loops", lambda t, s, n, rng: of_texts.looper(Case(t, s, n, rng), share=power.BAD)),
    Fault("near copies", lambda t, s, n, rng: of_texts.copier(Case(t, s, n, rng), share=power.COPIES)),
]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="real data, anything that karat reads")
    parser.add_argument("--set", action="append", default=[], help="a setting of the data")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[100, 300, 1000], help="unseen records, and as many made"
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="findings")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(f"{pace.processor()}\n\n| data | finding | n | raised | cannot tell | small | ok | broken, 95% |")
    print("|---|---|---|---|---|---|---|---|")
    for path in args.data:
        data = load(path, options=data_options(args.set))
        everything = np.concatenate([data.train, data.holdout])
        whole = data.codec.view(data.contents.records, everything).known(data.known(everything))
        for fault in faults(whole):
            if args.only and fault.finding not in args.only:
                continue
            for size in args.sizes:
                if 4.3 * size <= len(whole):
                    row(path.split("/")[-1], whole, fault, size, range(args.first, args.first + args.seeds))


def row(name: str, whole: View, fault: Fault | Tuned, size: int, seeds: range) -> None:
    start = time.process_time()
    if isinstance(fault, Tuned):
        fault = fault.at(whole, size)
    states = Counter(state(whole, fault, size, seed) for seed in seeds)
    n = states["raised"] + states["ok"]
    low, high = exact(states["ok"], n) if n else (0.0, 1.0)
    cells = " | ".join(str(states[s]) for s in ("raised", "cannot tell", "small", "ok"))
    print(f"| {name} | {fault.finding} | {size} | {cells} | {low:.2f} to {high:.2f} |", flush=True)
    print(f"{time.process_time() - start:.1f} CPU s {states['absent'] or ''}", file=sys.stderr, flush=True)


def faults(whole: View) -> Sequence[Fault | Tuned]:
    return POINTS if isinstance(whole, Points) else TEXTS if isinstance(whole, TextView) else TABLES


def parts(whole: View, size: int, seed: int) -> list[View]:
    """Records to learn from, unseen ones, and those that are made of; pictures are learned from once, as is their extractor."""
    rng = np.random.default_rng(seed)
    learned = min(2 * size, (len(whole) - 2 * size) // 2)
    order = (
        np.random.default_rng(0).permutation(len(whole)) if isinstance(whole, Points) else rng.permutation(len(whole))
    )
    rest = rng.permutation(order[learned:])[: 9 * size]
    return [whole.take(x) for x in (order[:learned], rest[:size], rest[size:])]


def state(whole: View, fault: Fault, size: int, seed: int) -> str:
    t, u, s = parts(whole, size, seed)
    chance = np.random.default_rng([seed, 1])
    if isinstance(whole, Points):
        extractor = seer(whole, len(t), t)
        t, u, s = (embed_points(extractor, x.points, x.labels) for x in (t, u, s))
        made = embed_points(extractor, fault.plant(t, s, size, chance), None)
    else:
        made = fault.plant(t, s, size, chance)
    found = judged(fault.finding, t, u, made)
    if not found:
        return "absent"
    f = found[0]
    small = f.key in (*power.SHARES, "density") and f.real - f.low < power.GAPS[f.key] * f.real
    return "small" if small and f.state == "ok" else f.state


def judged(key: str, t: Any, u: Any, m: Any) -> list[Finding]:
    """What the module of this finding says of it."""
    chance = np.random.default_rng(0)
    if isinstance(t, TableView):
        wide, tight = (draw(len(u), len(m), chance, most) for most in (tables.LARGE, tables.SMALL))
        package, case = of_table, tables.Case(t, u, m, wide, tight, t.names[-1])
    elif isinstance(t, TextView):
        package, case = of_text, texts.Case(t, u, m)
    else:
        package, case = (
            of_view,
            points.Case(
                t,
                u,
                m,
                tuple(map(str, range(0 if t.read is None else t.read.shape[1]))),
                (),
                0,
                draw(len(u), len(m), chance),
            ),
        )
    module = next(module for module in modules(package) if key in module.FINDS)
    return [f for f in module.findings(case) if f.key == key]


SEERS: dict[tuple[int, int], FeatureExtractor] = {}


def seer(whole: Points, learned: int, t: Points) -> FeatureExtractor:
    """The extractor that was fitted to the training records."""
    key = id(whole), learned
    if key not in SEERS:
        SEERS[key] = open_extractor(
            t.points, t.labels, len(t.classes), fingerprint=f"power-{len(whole)}-{learned}", seed=0
        )
    return SEERS[key]


if __name__ == "__main__":
    main()
