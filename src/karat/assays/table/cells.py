"""Whether single cells betray their origin: how numbers are printed, and which cells are missing."""

from __future__ import annotations

import math

import numpy as np

from karat.assays import power
from karat.assays.details.rows import Formatting, Holes, Missingness, Printed
from karat.assays.finding import Finding, Limit, Sample, Score, exact, scored
from karat.assays.points.bias import BEYOND
from karat.assays.shares import all_certain, certain, scores
from karat.assays.table.tables import Case
from karat.views import TableView
from karat.words import said, term

FINDS = ("formatting", "missingness")
DIGITS = 8  # after the point, beyond which a number counts as unrounded
HEAPS = 50  # values that count as heaped, at most
HEAP = 0.005  # share of the training rows that makes a value heaped
HOLES = 30  # columns whose missing cells are looked at in pairs, those with most
MULTIPLES = (5, 10, 100, 1000)
GRAINS = (
    said("unrounded"),
    *(said("printed with {n} digits after the point", n=d) for d in range(DIGITS, 1, -1)),
    said("printed with 1 digit after the point"),
    said("whole"),
    *(said("a multiple of {n}", n=k) for k in MULTIPLES),
)


def grain(values: np.ndarray) -> np.ndarray:
    """int64 [n] into `GRAINS`: the coarsest grain of each of `values` [n], finite and not 0."""
    out = np.zeros(len(values), np.int64)
    size = np.abs(values)
    for d in range(DIGITS, -1, -1):
        scaled = size * 10.0**d
        out[np.abs(scaled - np.round(scaled)) <= 1e-7 + 1e-15 * scaled] = 1 + DIGITS - d
    whole = out == 1 + DIGITS
    for k, multiple in enumerate(MULTIPLES):
        out[whole & (np.round(size) % multiple == 0)] = 2 + DIGITS + k
    return out


def findings(case: Case) -> list[Finding]:
    """Formatting (where there are numbers) and missingness."""
    sides = case.train, case.unseen, case.made
    return [*_formatting(*sides), _missingness(*sides)]


def _formatting(train: TableView, unseen: TableView, made: TableView) -> list[Finding]:
    printed = _spelled(train, unseen, made)
    for j in train.numbers:
        sides = [s.values[:, j] for s in (made, unseen, train)]
        sides = [x[~np.isnan(x)] for x in sides]
        if min(len(x) for x in sides) >= 10:
            printed.append(_grained(train.names[j], *sides))
    if not printed:
        return []
    printed.sort(key=lambda c: (not c.off, c.real_gap - c.gap))
    first = printed[0]
    off_names = [c.column for c in printed if c.off]
    summary = said(
        "{column}: {made:.1%} of what was made is {grain}, of unseen real rows {real:.1%}",
        column=first.column,
        made=first.made,
        grain=term(first.grain),
        real=first.real,
    )
    summary += (
        said("; printed otherwise than in real data: {listed}.", listed=", ".join(off_names))
        if off_names
        else said("; no column is printed otherwise than in real data.")
    )
    half = 1.96 * math.sqrt(max(first.gap * (1 - first.gap), 0) / first.n)
    score = Score(first.gap, first.gap - half, first.gap + half, first.real_gap, half / 1.96).clipped(0.0, 1.0)
    limit, detail = Limit(above=first.real_gap + 0.05, only=BEYOND), Formatting(columns=tuple(printed[:24]))
    samples = apart(len(made), len(unseen), power.OTHERWISE, 0.05)
    return [scored("formatting", score, limit, summary, detail=detail, samples=samples, raised=bool(off_names))]


def _grained(name: str, made: np.ndarray, unseen: np.ndarray, train: np.ndarray) -> Printed:
    """How finely the numbers of a column are printed; the arguments are its values that are not missing."""
    distinct, counts = np.unique(train, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:HEAPS]
    heaped = distinct[order[counts[order] >= HEAP * len(train)]]
    # the grain of what is not heaped, zeros and other heaps apart: how often a heap comes is a matter of shape
    sides = (made, unseen, train)
    marks = [_marks(x, heaped) for x in sides]
    rates = [mark / max(len(x), 1) for mark, x in zip(marks, sides, strict=True)]
    gap, real = (float(np.abs(rates[i] - rates[2]).sum()) / 2 for i in (0, 1))
    n, m = len(made), len(unseen)
    worst = int(np.abs(scores(marks[0], n, marks[1], m)).argmax())
    return Printed(
        column=name,
        gap=gap,
        real_gap=real,
        grain=(*GRAINS, said("a common value"))[worst],
        made=float(rates[0][worst]),
        real=float(rates[1][worst]),
        off=bool(gap - real > 0.05 and certain(int(marks[0][worst]), n, int(marks[1][worst]), m)),
        n=n,
    )


def _spelled(train: TableView, unseen: TableView, made: TableView) -> list[Printed]:
    """The columns of which cells are spelled otherwise than real ones: 40.0 for 40, 1.2.2024 for 2024-02-01."""
    printed = []
    for name, (share, theirs, ours) in made.otherwise.items():
        if name not in train.names:
            continue
        n, m = (int((~np.isnan(s.values[:, train.names.index(name)])).sum()) for s in (made, unseen))
        if not n or not m:
            continue
        off = share > 0.05 and certain(round(share * n), n, 0, m)
        what = said("printed as {theirs!r} where real data have {ours!r}", theirs=theirs, ours=ours)
        printed.append(
            Printed(column=name, gap=share, real_gap=0.0, grain=what, made=share, real=0.0, off=bool(off), n=n)
        )
    return printed


def apart(n: int, m: int, share: float, beyond: float = 0.0) -> tuple[Sample, ...]:
    """What a test of counts needs to see a `share` of made cells or rows that no real one is like; no fault up to `beyond`."""

    def sees(made: int, real: int, fault: float) -> bool:
        count = power.reached(made, fault)
        return count / made > beyond and certain(count, made, 0, real)

    return power.of_count(sees, n, m, share)


def _marks(values: np.ndarray, heaped: np.ndarray) -> np.ndarray:
    """How many of `values` have each grain, and how many are heaped (the last)."""
    heap = np.isin(values, heaped)
    rest = values[~heap & (values != 0)]
    return np.append(np.bincount(grain(rest), minlength=len(GRAINS)), int(heap.sum()))


def _missingness(train: TableView, unseen: TableView, made: TableView) -> Finding:
    holes = [np.isnan(s.values) for s in (made, unseen, train)]
    n, m, t = len(made), len(unseen), len(train)
    samples = apart(n, m + t, power.BAD, 0.01)
    some = np.flatnonzero(holes[0].any(0) | holes[1].any(0) | holes[2].any(0))
    if len(some) == 0:
        summary = said("No cell is missing, neither in real data nor in what was made.")
        nothing = Missingness(columns=(), pairs=())
        return exact("missingness", 0.0, Limit(above=0.01, only=BEYOND), summary, detail=nothing, samples=samples)
    names, counts = _holes(train.names, holes, some)
    z = scores(counts[0], n, counts[1] + counts[2], m + t)
    gap, real = (np.abs(counts[i] / size - counts[2] / t) for i, size in ((0, n), (1, m)))
    far = np.flatnonzero(gap - real > 0.01)
    off = far[all_certain(counts[0][far], n, (counts[1] + counts[2])[far], m + t)].tolist()
    worst = max(off, key=lambda k: gap[k]) if off else int(gap.argmax())
    rows = [
        Holes(columns=names[k], made=float(counts[0][k] / n), real=float(counts[1][k] / m), z=float(z[k]))
        for k in np.argsort(-np.abs(z), kind="stable")[:48]
    ]
    share = counts[0][worst] / n
    summary = said(
        "{first} and {second} are both missing in {made:.1%} of what was made and in {real:.1%} of unseen real rows; "
        if len(names[worst]) > 1
        else "{first} is missing in {made:.1%} of what was made and in {real:.1%} of unseen real rows; ",
        first=names[worst][0],
        second=names[worst][-1],
        made=share,
        real=counts[1][worst] / m,
    ) + (said("{n} such rates are beyond chance.", n=len(off)) if off else said("no such rate is beyond chance."))
    error = math.sqrt(max(share * (1 - share), 0) / n)
    value, theirs = float(gap[worst]), float(real[worst])
    score = Score(value, value - 1.96 * error, value + 1.96 * error, theirs, error).clipped(low=0.0)
    alone, pairs = (tuple(r for r in rows if (len(r.columns) > 1) == two) for two in (False, True))
    limit, detail = Limit(above=theirs + 0.01, only=BEYOND), Missingness(columns=alone, pairs=pairs)
    return scored("missingness", score, limit, summary, detail=detail, samples=samples, raised=bool(off))


def _holes(
    names: tuple[str, ...], holes: list[np.ndarray], some: np.ndarray
) -> tuple[list[tuple[str, ...]], list[np.ndarray]]:
    """The columns `some` and pairs of those with most missing cells; and of each of `holes` [n, c] how many rows lack them.

    The last of `holes` are those of the training rows.
    """
    rate = holes[2].mean(0)
    top = some[np.argsort(-rate[some], kind="stable")[:HOLES]]
    both = [h[:, top].astype(np.float64).T @ h[:, top] for h in holes]
    upper = np.triu_indices(len(top), 1)
    counts = [np.concatenate([h[:, some].sum(0), b[upper]]) for h, b in zip(holes, both, strict=True)]
    pairs = [(names[top[i]], names[top[j]]) for i, j in zip(*upper, strict=True)]
    return [*((names[j],) for j in some), *pairs], counts
