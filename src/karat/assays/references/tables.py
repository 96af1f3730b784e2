"""Generators of tables whose worth is known, on which the assay of tables is proved.

Each takes the training rows, unseen rows that it may emit, a count, a source of chance and the target's name, and
returns a sheet. `REFERENCES` says which findings must speak of each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from karat.assays.neighbours import nearest
from karat.assays.references.reference import Reference
from karat.assays.table.sheet import embed, finite
from karat.views import TableView

Maker = Callable[..., TableView]  # of training rows, unseen rows, a count, chance, the target's name, and a dial


def _fresh(unseen: TableView, n: int, rng: np.random.Generator) -> TableView:
    """A copy of at most `n` unseen rows, as many as there are."""
    some = unseen.take(rng.permutation(len(unseen))[:n])
    return TableView(some.columns, some.values.copy(), some.broken)


def _groups(sheet: TableView, low: float, high: float, most: int) -> list[tuple[int, int]]:
    """Columns of at most `most` choices, with the codes whose share lies from `low` to `high`."""
    out = []
    for j, choices in enumerate(sheet.columns.choices):
        if 2 <= len(choices) <= most:
            share = np.bincount(sheet.codes(j), minlength=len(choices) + 2)[: len(choices)] / len(sheet)
            out += [(j, int(i)) for i in np.flatnonzero((share >= low) & (share <= high))]
    return out


def oracle(train: TableView, unseen: TableView, n: int, rng: np.random.Generator, target: str | None) -> TableView:
    """Unseen real rows: nothing is wrong with them. At most `n`, as many as there are."""
    return _fresh(unseen, n, rng)


def bootstrap(train: TableView, unseen: TableView, n: int, rng: np.random.Generator, target: str | None) -> TableView:
    """Training rows drawn again."""
    some = train.take(rng.integers(len(train), size=n))
    return TableView(some.columns, some.values, some.broken)


def copier(
    train: TableView, unseen: TableView, n: int, rng: np.random.Generator, target: str | None, *, share: float = 0.02
) -> TableView:
    """Unseen real rows, but a `share` are training rows with one cell changed, numbers rounded or noise added.

    Rounded: to two significant digits. Noise: a hundredth of the column's standard deviation, kept whole where the
    column is whole.
    """
    out = _fresh(unseen, n, rng)
    values = out.values
    count = max(1, round(share * len(values)))
    copies = train.values[rng.permutation(len(train))[:count]].copy()
    donors = train.values[rng.integers(len(train), size=count)]
    numbers = list(train.numbers)
    for i, row in enumerate(copies):
        how = i % 3 if numbers else 0
        if how == 0:
            differs = np.flatnonzero(row != donors[i])
            cells = differs if len(differs) else np.arange(len(row))
            j = int(cells[rng.integers(len(cells))])
            row[j] = donors[i, j]
        for j in numbers if how else ():
            if np.isnan(row[j]) or row[j] == 0:
                continue
            if how == 1:
                scale = 10.0 ** (np.floor(np.log10(abs(row[j]))) - 1)
                row[j] = round(row[j] / scale) * scale
            else:
                known = finite(train.values[:, j])
                moved = row[j] + 0.01 * float(known.std()) * rng.standard_normal()
                row[j] = np.round(moved) if (known == np.round(known)).all() else moved
    values[:count] = copies
    return replace(out, values=values)


def collapser(
    train: TableView, unseen: TableView, n: int, rng: np.random.Generator, target: str | None, *, least: float = 0.02
) -> TableView:
    """Unseen real rows without one category that a share of `least` to 25% of the training rows have."""
    groups = _groups(train, least, 0.25, 1 << 30)
    if not groups:
        return _fresh(unseen, n, rng)
    column, code = groups[int(rng.integers(len(groups)))]
    return _fresh(unseen.take(np.flatnonzero(unseen.codes(column) != code)), n, rng)


def blurrer(train: TableView, unseen: TableView, n: int, rng: np.random.Generator, target: str | None) -> TableView:
    """Unseen real rows whose numbers are the mean of their own and those of the nearest other row."""
    out = _fresh(unseen, n, rng)
    near = embed((train, out), 0)[1]
    other = np.empty(len(out), np.int64)
    order = rng.permutation(len(out))
    half = len(out) // 2
    for mine, theirs in ((order[:half], order[half:]), (order[half:], order[:half])):
        other[mine] = theirs[nearest(near[mine], near[theirs])[1].numpy()]
    numbers = list(train.numbers)
    values = out.values.copy()
    values[:, numbers] = (values[:, numbers] + out.values[other][:, numbers]) / 2
    return replace(out, values=values)


def skewer(
    train: TableView, unseen: TableView, n: int, rng: np.random.Generator, target: str | None, *, times: float = 3.0
) -> TableView:
    """Unseen real rows with one group of 5% to 30% drawn `times` as often, without repeating a row."""
    groups = _groups(train, 0.05, 0.3, 20)
    if not groups:
        return _fresh(unseen, n, rng)
    column, code = groups[int(rng.integers(len(groups)))]
    inside = unseen.codes(column) == code
    share = min(0.9, times * float(inside.mean()))
    size = min(n, int(inside.sum() / share), int((~inside).sum() / (1 - share)))
    many = round(share * size)
    rows = [rng.permutation(np.flatnonzero(side)) for side in (inside, ~inside)]
    return _fresh(unseen.take(np.concatenate([rows[0][:many], rows[1][: size - many]])), n, rng)


def shuffler(train: TableView, unseen: TableView, n: int, rng: np.random.Generator, target: str | None) -> TableView:
    """Unseen real rows whose target is permuted; every column, where there is none."""
    out = _fresh(unseen, n, rng)
    values = out.values.copy()
    for j in range(out.width) if target is None else (out.names.index(target),):
        values[:, j] = values[rng.permutation(len(values)), j]
    return replace(out, values=values)


def noise(train: TableView, unseen: TableView, n: int, rng: np.random.Generator, target: str | None) -> TableView:
    """Every column by itself and even: numbers over the training rows' range, whole where they are; choices alike."""
    out = np.empty((n, train.width))
    for j, choices in enumerate(train.columns.choices):
        known = finite(train.values[:, j])
        if choices:
            out[:, j] = rng.integers(len(choices), size=n)
        elif len(known) == 0:
            out[:, j] = np.nan
        else:
            drawn = rng.uniform(known[0], known[-1], n)
            out[:, j] = np.round(drawn) if (known == np.round(known)).all() else drawn
    return TableView(train.columns, out, {rule: np.zeros(n, bool) for rule in train.broken})


UNAIMED = ("two-sample auc", "column pairs")  # must speak of the shuffler of all columns, where there is no target


def able(name: str, train: TableView, strength: float | None) -> bool:
    """Whether the reference `name` does anything to rows like these: they may have no such category, or no number."""
    if name == "collapser":
        return bool(_groups(train, strength or 0.02, 0.25, 1 << 30))
    if name == "skewer":
        return bool(_groups(train, 0.05, 0.3, 20))
    return name != "blurrer" or bool(train.numbers)


REFERENCES: dict[str, Reference[Maker]] = {
    "oracle": Reference(oracle),
    "bootstrap": Reference(bootstrap, ("copy rate", "near copies", "nearest record share", "membership")),
    "copier": Reference(copier, ("near copies",), "share", (0.02, 0.05, 0.1, 0.2), 0.05, "{:.0%} altered copies"),
    "collapser": Reference(
        collapser, ("missing classes",), "least", (0.02, 0.05, 0.1), 0.1, "a category of {:.0%} to 25% lost"
    ),
    "blurrer": Reference(blurrer, ("two-sample auc", "formatting")),
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
