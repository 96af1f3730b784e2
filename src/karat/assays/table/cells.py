"""Whether single cells betray their origin: how numbers are printed, and which cells are missing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from karat.assays import power
from karat.assays.finding import Finding, Limit, Sample
from karat.assays.points.bias import BEYOND
from karat.assays.shares import all_certain, certain, scores
from karat.views import TableView

DIGITS = 8  # after the point, beyond which a number counts as unrounded
HEAPS = 50  # values that count as heaped, at most
HEAP = 0.005  # share of the training rows that makes a value heaped
HOLES = 30  # columns whose missing cells are looked at in pairs, those with most
MULTIPLES = (5, 10, 100, 1000)
GRAINS = (
    "unrounded",
    *(f"printed with {d} digits after the point" for d in range(DIGITS, 0, -1)),
    "whole",
    *(f"a multiple of {k}" for k in MULTIPLES),
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


def findings(train: TableView, unseen: TableView, made: TableView) -> list[Finding]:
    """Formatting (where there are numbers) and missingness."""
    return [*_formatting(train, unseen, made), _missingness(train, unseen, made)]


def _formatting(train: TableView, unseen: TableView, made: TableView) -> list[Finding]:
    told = _spelled(train, unseen, made)
    for j in train.numbers:
        sides = [s.values[:, j] for s in (made, unseen, train)]
        sides = [x[~np.isnan(x)] for x in sides]
        if min(len(x) for x in sides) < 10:
            continue
        distinct, counts = np.unique(sides[2], return_counts=True)
        order = np.argsort(-counts, kind="stable")[:HEAPS]
        heaped = distinct[order[counts[order] >= HEAP * len(sides[2])]]
        # the grain of what is not heaped, zeros and other heaps apart: how often a heap comes is a matter of shape
        marks = [_marks(x, heaped) for x in sides]
        rates = [mark / max(len(x), 1) for mark, x in zip(marks, sides, strict=True)]
        gap, real = (float(np.abs(rates[i] - rates[2]).sum()) / 2 for i in (0, 1))
        n, m = len(sides[0]), len(sides[1])
        z = scores(marks[0], n, marks[1], m)
        worst = int(np.abs(z).argmax())
        off = gap - real > 0.05 and certain(int(marks[0][worst]), n, int(marks[1][worst]), m)
        what = (*GRAINS, "a common value")[worst]
        shown = {"made": float(rates[0][worst]), "real": float(rates[1][worst])}
        told.append(
            {"column": train.names[j], "gap": gap, "real gap": real, "grain": what, **shown, "off": off, "n": n}
        )
    if not told:
        return []
    told.sort(key=lambda c: (not c["off"], c["real gap"] - c["gap"]))
    first = told[0]
    off_names = [c["column"] for c in told if c["off"]]
    says = f"{first['column']}: {first['made']:.1%} of what was made is {first['grain']}, of unseen real rows {first['real']:.1%}"
    says += (
        f"; {', '.join(off_names)} can be told by how it is printed."
        if off_names
        else "; numbers are as finely printed."
    )
    half = 1.96 * math.sqrt(max(first["gap"] * (1 - first["gap"]), 0) / first["n"])
    low, high = max(0.0, first["gap"] - half), min(1.0, first["gap"] + half)
    detail = {"columns": told[:24]}
    limit, raised = Limit(above=first["real gap"] + 0.05, only=BEYOND), bool(off_names)
    return [
        Finding(
            "formatting",
            first["gap"],
            low,
            high,
            first["real gap"],
            "lower",
            raised,
            says,
            detail,
            limit=limit,
            samples=apart(len(made), len(unseen), power.OTHERWISE),
        )
    ]


def _spelled(train: TableView, unseen: TableView, made: TableView) -> list[dict[str, Any]]:
    """The columns of which cells are spelled otherwise than real ones: 40.0 for 40, 1.2.2024 for 2024-02-01."""
    told = []
    for name, (share, theirs, ours) in made.otherwise.items():
        if name not in train.names:
            continue
        n, m = (int((~np.isnan(s.values[:, train.names.index(name)])).sum()) for s in (made, unseen))
        if not n or not m:
            continue
        off = share > 0.05 and certain(round(share * n), n, 0, m)
        what = f"printed as {theirs!r} where real data have {ours!r}"
        told.append(
            {
                "column": name,
                "gap": share,
                "real gap": 0.0,
                "grain": what,
                "made": share,
                "real": 0.0,
                "off": off,
                "n": n,
            }
        )
    return told


def apart(n: int, m: int, share: float) -> tuple[Sample, ...]:
    """What a test of counts needs to see a `share` of made cells or rows that no real one is like."""
    return power.of_count(lambda made, real: certain(power.reached(made, share), made, 0, real), n, m)


def _marks(values: np.ndarray, heaped: np.ndarray) -> np.ndarray:
    """How many of `values` have each grain, and how many are heaped (the last)."""
    heap = np.isin(values, heaped)
    rest = values[~heap & (values != 0)]
    return np.append(np.bincount(grain(rest), minlength=len(GRAINS)), int(heap.sum()))


def _missingness(train: TableView, unseen: TableView, made: TableView) -> Finding:
    holes = [np.isnan(s.values) for s in (made, unseen, train)]
    some = np.flatnonzero(holes[0].any(0) | holes[1].any(0) | holes[2].any(0))
    if len(some) == 0:
        says = "No cell is missing, neither in real data nor in what was made."
        nothing: dict[str, Any] = {"columns": [], "pairs": []}
        limit = Limit(above=0.01, only=BEYOND)
        return Finding(
            "missingness",
            0.0,
            0.0,
            0.0,
            0.0,
            "lower",
            False,
            says,
            nothing,
            limit=limit,
            samples=apart(len(made), len(unseen) + len(train), power.BAD),
        )
    rate = holes[2].mean(0)
    top = some[np.argsort(-rate[some], kind="stable")[:HOLES]]
    both = [h[:, top].astype(np.float64).T @ h[:, top] for h in holes]
    upper = np.triu_indices(len(top), 1)
    counts = [np.concatenate([h[:, some].sum(0), b[upper]]) for h, b in zip(holes, both, strict=True)]
    n, m, t = len(made), len(unseen), len(train)
    names = [[train.names[j]] for j in some] + [
        [train.names[top[i]], train.names[top[j]]] for i, j in zip(*upper, strict=True)
    ]
    z = scores(counts[0], n, counts[1] + counts[2], m + t)
    gap, real = (np.abs(counts[i] / size - counts[2] / t) for i, size in ((0, n), (1, m)))
    far = np.flatnonzero(gap - real > 0.01)
    off = far[all_certain(counts[0][far], n, (counts[1] + counts[2])[far], m + t)].tolist()
    worst = max(off, key=lambda k: gap[k]) if off else int(gap.argmax())
    rows = [
        {"columns": names[k], "made": float(counts[0][k] / n), "real": float(counts[1][k] / m), "z": float(z[k])}
        for k in np.argsort(-np.abs(z), kind="stable")[:48]
    ]
    share = counts[0][worst] / n
    says = (
        f"{' and '.join(names[worst])} {'are both' if len(names[worst]) > 1 else 'is'} missing in {share:.1%} of what was "
        f"made and in {counts[1][worst] / m:.1%} of unseen real rows; "
        + (f"{len(off)} such rates are beyond chance." if off else "no such rate is beyond chance.")
    )
    half = 1.96 * math.sqrt(max(share * (1 - share), 0) / n)
    value = float(gap[worst])
    detail = {
        "columns": [r for r in rows if len(r["columns"]) == 1],
        "pairs": [r for r in rows if len(r["columns"]) > 1],
    }
    limit, low = Limit(above=float(real[worst]) + 0.01, only=BEYOND), max(0.0, value - half)
    return Finding(
        "missingness",
        value,
        low,
        value + half,
        float(real[worst]),
        "lower",
        bool(off),
        says,
        detail,
        limit=limit,
        samples=apart(n, m + t, power.BAD),
    )
