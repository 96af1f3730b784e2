"""Generators of tables whose worth is known, on which the assay of tables is proved; `REFERENCES` says which findings must
speak.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from karat.assays.neighbours import nearest
from karat.assays.references.reference import Case, Reference, bootstrap, oracle, overdrawn
from karat.assays.table.sheet import embed, finite
from karat.views import TableView


def categories(sheet: TableView, low: float, high: float, most: int) -> list[tuple[int, int]]:
    """Columns of at most `most` choices, with the codes whose share lies from `low` to `high`."""
    out = []
    for j, choices in enumerate(sheet.columns.choices):
        if 2 <= len(choices) <= most:
            share = np.bincount(sheet.codes(j), minlength=len(choices) + 2)[: len(choices)] / len(sheet)
            out += [(j, int(i)) for i in np.flatnonzero((share >= low) & (share <= high))]
    return out


def copier(case: Case[TableView], *, share: float = 0.02) -> TableView:
    """Unseen real rows, but a `share` are training rows with one cell changed, numbers rounded or noise added.

    Rounded: to two significant digits. Noise: a hundredth of the column's standard deviation, kept whole where the
    column is whole.
    """
    out = case.fresh()
    values = out.values
    count = max(1, round(share * len(values)))
    copies = case.train.values[case.rng.permutation(len(case.train))[:count]].copy()
    donors = case.train.values[case.rng.integers(len(case.train), size=count)]
    numbers = list(case.train.numbers)
    for i, row in enumerate(copies):
        how = i % 3 if numbers else 0
        if how == 0:
            differs = np.flatnonzero(row != donors[i])
            cells = differs if len(differs) else np.arange(len(row))
            j = int(cells[case.rng.integers(len(cells))])
            row[j] = donors[i, j]
        for j in numbers if how else ():
            if np.isnan(row[j]) or row[j] == 0:
                continue
            if how == 1:
                scale = 10.0 ** (np.floor(np.log10(abs(row[j]))) - 1)
                row[j] = round(row[j] / scale) * scale
            else:
                known = finite(case.train.values[:, j])
                moved = row[j] + 0.01 * float(known.std()) * case.rng.standard_normal()
                row[j] = np.round(moved) if (known == np.round(known)).all() else moved
    values[:count] = copies
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
    return name != "blurrer" or bool(train.numbers)


REFERENCES: dict[str, Reference[TableView]] = {
    "oracle": Reference(oracle),
    "bootstrap": Reference(bootstrap, ("copy rate", "near copies", "nearest record share", "membership")),
    "copier": Reference(copier, ("near copies",), "share", (0.02, 0.05, 0.1, 0.2), 0.05, "{:.0%} altered copies"),
    "collapser": Reference(
        collapser, ("missing classes",), "least", (0.02, 0.05, 0.1), 0.1, "a category of {:.0%} to 25% lost"
    ),
    "blurrer": Reference(blurrer, ("two-sample auc",)),
    "skewer": Reference(skewer, ("class balance",), "times", (1.5, 2, 3), 3, "one group {:g} times as often"),
    "shuffler": Reference(shuffler, ("usefulness",)),
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
