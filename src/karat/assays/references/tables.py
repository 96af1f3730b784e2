"""Generators of tables whose worth is known, on which the assay of tables is proved; `REFERENCES` says which findings must
speak.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from karat.assays.neighbours import nearest
from karat.assays.references.reference import Case, Reference, bootstrap, oracle, overdrawn
from karat.assays.table.altering import altered
from karat.assays.table.sheet import embed, finite
from karat.views import TableView

WHOLE = 0.8  # of a group, beyond which it is the whole


def categories(sheet: TableView, low: float, high: float, most: int) -> list[tuple[int, int]]:
    """Columns of at most `most` choices, with the codes whose share lies from `low` to `high`."""
    out = []
    for j, choices in enumerate(sheet.columns.choices):
        if 2 <= len(choices) <= most:
            share = np.bincount(sheet.codes(j), minlength=len(choices) + 2)[: len(choices)] / len(sheet)
            out += [(j, int(i)) for i in np.flatnonzero((share >= low) & (share <= high))]
    return out


def copier(case: Case[TableView], *, share: float = 0.02) -> TableView:
    """Unseen real rows, but a `share` are training rows that were `altered`."""
    out = case.fresh()
    values = out.values
    count = max(1, round(share * len(values)))
    copies = case.train.values[case.rng.permutation(len(case.train))[:count]]
    values[:count] = altered(copies, case.train, case.rng)
    return replace(out, values=values, rows=None)


def collapser(case: Case[TableView], *, least: float = 0.02) -> TableView:
    """Unseen real rows without one category that a share of `least` to 25% of the training rows have."""
    groups = categories(case.train, least, 0.25, 1 << 30)
    if not groups:
        return case.fresh()
    column, code = groups[int(case.rng.integers(len(groups)))]
    return replace(case, unseen=case.unseen.take(np.flatnonzero(case.unseen.codes(column) != code))).fresh()


def blurrer(case: Case[TableView]) -> TableView:
    """Unseen real rows whose numbers are the mean of their own and those of the nearest other row."""
    out = case.fresh()
    near = embed((case.train, out), 0)[1]
    other = np.empty(len(out), np.int64)
    order = case.rng.permutation(len(out))
    half = len(out) // 2
    for mine, theirs in ((order[:half], order[half:]), (order[half:], order[:half])):
        other[mine] = theirs[nearest(near[mine], near[theirs])[1].numpy()]
    numbers = list(case.train.numbers)
    values = out.values.copy()
    values[:, numbers] = (values[:, numbers] + out.values[other][:, numbers]) / 2
    return replace(out, values=values, rows=None)


def skewer(case: Case[TableView], *, times: float = 3.0) -> TableView:
    """Unseen real rows with one group of 5% to 30% drawn `times` as often, without repeating a row."""
    groups = categories(case.train, 0.05, 0.3, 20)
    if not groups:
        return case.fresh()
    column, code = groups[int(case.rng.integers(len(groups)))]
    return overdrawn(case, case.unseen.codes(column) == code, times)


def shuffler(case: Case[TableView]) -> TableView:
    """Unseen real rows whose target is permuted; every column, where there is none."""
    out = case.fresh()
    values = out.values.copy()
    for j in range(out.width) if case.target is None else (out.names.index(case.target),):
        values[:, j] = values[case.rng.permutation(len(values)), j]
    return replace(out, values=values, rows=None)


def strayer(case: Case[TableView], *, share: float = 0.1) -> TableView:
    """Unseen real rows of which a `share` have one number half of its real range above all of it."""
    out = case.fresh()
    numbers = [j for j in case.train.numbers if len(finite(case.train.values[:, j]))]
    j = numbers[int(case.rng.integers(len(numbers)))]
    known = finite(case.train.values[:, j])
    values = out.values.copy()
    values[: max(1, round(share * len(values))), j] = np.ceil(known[-1] + max(1.0, (known[-1] - known[0]) / 2))
    return replace(out, values=values, rows=None)


def _together(sheet: TableView, low: float, high: float) -> list[tuple[int, int, int, int]]:
    """Two columns of choices and a code of each, which each have 10% of the rows and together from `low` to `high` of them.

    Neither has nearly all of its rows with the other: without these it would be lost altogether.
    """
    common = categories(sheet, 0.1, 0.9, 20)
    has = {(j, code): sheet.codes(j) == code for j, code in common}
    out = []
    for a, b in itertools.combinations(common, 2):
        both = float((has[a] & has[b]).mean())
        if a[0] != b[0] and low <= both <= min(high, *(WHOLE * float(has[x].mean()) for x in (a, b))):
            out.append((*a, *b))
    return out


def mismatcher(case: Case[TableView], *, share: float = 0.1) -> TableView:
    """Unseen real rows of which a `share` have two values that no training row has together."""
    never = _together(case.train, 0.0, 0.0)
    a, first, b, second = never[int(case.rng.integers(len(never)))]
    out = case.fresh()
    values = out.values.copy()
    values[: max(1, round(share * len(values))), [a, b]] = first, second
    return replace(out, values=values, rows=None)


def omitter(case: Case[TableView], *, least: float = 0.1) -> TableView:
    """Unseen real rows without those of one group that have one value of the target, which are `least` to 30% of them."""
    both = _of_target(case.train, least, case.target)
    a, first, b, second = both[int(case.rng.integers(len(both)))]
    here = (case.unseen.codes(a) == first) & (case.unseen.codes(b) == second)
    return replace(case, unseen=case.unseen.take(np.flatnonzero(~here))).fresh()


def _of_target(train: TableView, least: float, target: str | None) -> list[tuple[int, int, int, int]]:
    return [x for x in _together(train, least, 0.3) if target in (train.names[x[0]], train.names[x[2]])]


def noise(case: Case[TableView]) -> TableView:
    """Every column by itself and even: numbers over the training rows' range, whole where they are; choices alike."""
    out = np.empty((case.n, case.train.width))
    for j, choices in enumerate(case.train.columns.choices):
        known = finite(case.train.values[:, j])
        if choices:
            out[:, j] = case.rng.integers(len(choices), size=case.n)
        elif len(known) == 0:
            out[:, j] = np.nan
        else:
            drawn = case.rng.uniform(known[0], known[-1], case.n)
            out[:, j] = np.round(drawn) if (known == np.round(known)).all() else drawn
    return TableView(case.train.columns, out, {rule: np.zeros(case.n, bool) for rule in case.train.broken})


UNAIMED = ("two-sample auc", "column pairs")  # must speak of the shuffler of all columns, where there is no target


def able(name: str, train: TableView, strength: float | None) -> bool:
    """Whether the reference `name` does anything to rows like these: they may have no such category, or no number."""
    if name == "collapser":
        return bool(categories(train, strength or 0.02, 0.25, 1 << 30))
    if name == "skewer":
        return bool(categories(train, 0.05, 0.3, 20))
    if name == "mismatcher":
        return bool(_together(train, 0.0, 0.0))
    return name not in ("blurrer", "strayer") or bool(train.numbers)


def due(name: str, train: TableView, target: str | None) -> tuple[str, ...] | None:
    """The findings that must speak of the reference `name`; None where it can do nothing, as no group has a target's value."""
    if name == "omitter" and not _of_target(train, REFERENCES[name].usual, target):
        return None
    return UNAIMED if name == "shuffler" and target is None else REFERENCES[name].must


REFERENCES: dict[str, Reference[TableView]] = {
    "oracle": Reference(oracle),
    "bootstrap": Reference(bootstrap, ("copy rate", "near copies", "nearest record share", "membership")),
    "copier": Reference(
        copier, ("near copies",), "share", (0.02, 0.05, 0.1, 0.2), 0.05, "{strength:.0%} altered copies"
    ),
    "collapser": Reference(
        collapser, ("missing classes",), "least", (0.02, 0.05, 0.1), 0.1, "a category of {strength:.0%} to 25% lost"
    ),
    "blurrer": Reference(blurrer, ("two-sample auc",)),
    "skewer": Reference(skewer, ("class balance",), "times", (1.5, 2, 3), 3, "one group {strength:g} times as often"),
    "shuffler": Reference(shuffler, ("usefulness",)),
    "strayer": Reference(
        strayer, ("out of range",), "share", (0.01, 0.02, 0.05, 0.1), 0.1, "{strength:.0%} of the rows out of range"
    ),
    "mismatcher": Reference(
        mismatcher,
        ("combinations",),
        "share",
        (0.01, 0.02, 0.05, 0.1),
        0.1,
        "{strength:.0%} with values that never come together",
    ),
    "omitter": Reference(
        omitter, ("groups",), "least", (0.02, 0.05, 0.1), 0.1, "{strength:.0%} to 30% lost, one value in one group"
    ),
    "noise": Reference(
        noise,
        (
            "two-sample auc",
            "column shapes",
            "column pairs",
            "three-way marginals",
            "precision",
            "density",
            "coverage",
            "rules",
        ),
    ),
}
