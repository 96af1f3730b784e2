"""Whether made rows repeat each other more than real rows do: one row over and over, or many rows twice.

A choice of real rows, without replacement, repeats itself as fresh rows do, if it is as large as what it is held against: the
larger a table, the more of its rows have their like. Rows that repeat each other come in groups, and it is these that chance
draws: as many rows in fewer groups say less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from karat.assays.chance import LEVEL
from karat.assays.details.rows import Combined
from karat.assays.shares import tail
from karat.assays.table.joint.counting import FAMILY, LEAST, level_of
from karat.assays.table.joint.showing import examples
from karat.assays.table.tables import Case
from karat.views import row_digests
from karat.words import said

MOST = 20_000  # rows of each side
CHOICES = 4  # of real rows, at most
FEWEST = 4  # columns, from which on it says something that all but one agree
MARGIN, FACTOR = 0.01, 1.25  # more than real rows, and times as many, from which on it is a fault


@dataclass(frozen=True)
class Groups:
    """Of rows [n], how many are alike with each, itself included."""

    size: np.ndarray

    @property
    def which(self) -> np.ndarray:
        return self.size > 1

    @property
    def share(self) -> float:
        return float(self.which.mean())

    @property
    def many(self) -> int:
        """How many groups there are of two rows and more."""
        return round(float((1 / self.size[self.which]).sum()))

    @property
    def variance(self) -> float:
        """Of the share: that of a Poisson number of groups, each as large as it is."""
        return float(self.size[self.which].sum()) / len(self.size) ** 2


def whole(values: np.ndarray) -> Groups:
    """Rows [n, c] that are equal."""
    return Groups(_alike(row_digests(values)))


def but_one(values: np.ndarray) -> Groups:
    """Rows [n, c] that are equal in all columns but one, or in all."""
    cells = np.stack(
        [row_digests(np.stack([column, np.full(len(column), float(j))], 1)) for j, column in enumerate(values.T)]
    )
    total = cells.sum(0, dtype=np.uint64)
    return Groups(np.max([_alike(total - cell) for cell in cells], 0))


def repeated(case: Case) -> tuple[Combined, ...]:
    """The row that is made most often, and rows that are made twice, whole or all but for one cell; where real ones are not."""
    out, values = list(_one(case)), case.made.values
    rng = np.random.default_rng([case.seed, 71])
    learned, many = len(case.train), len(case.train) + len(case.unseen)
    k = min(len(values), many, MOST)
    some = np.sort(rng.permutation(len(values))[:k])
    order = rng.permutation(many)
    rows = [order[i * k : (i + 1) * k] for i in range(min(CHOICES, many // k))]
    choices = [
        np.vstack([case.train.values[r[r < learned]], case.unseen.values[r[r >= learned] - learned]]) for r in rows
    ]
    ways = [(said("A row that is another row over again"), whole)]
    if case.train.width >= FEWEST:
        ways.append((said("A row that is another row but for one cell"), but_one))
    for words, grouped in ways:
        made, known = grouped(values[some]), [grouped(each) for each in choices]
        usual = float(np.mean([each.share for each in known]))
        error = np.sqrt(made.variance + np.mean([each.variance for each in known]) / len(known))
        # of few groups a normal score says too little: 18 among the made and none among as many real ones are no chance
        p = tail(made.many, k, sum(each.many for each in known), k * len(known))
        sure = made.share - usual > LEVEL * error or p < FAMILY / len(ways)
        if made.share > max(usual + MARGIN, FACTOR * usual) and sure:
            shown = np.zeros(len(values), bool)
            shown[some[made.which]] = True
            out.append(
                Combined(
                    values=words,
                    given="",
                    made=int(made.which.sum()),
                    of_made=k,
                    real=round(usual * k),
                    of_real=k,
                    examples=examples(case.made, shown, ()),
                )
            )
            break
    return tuple(out)


def _alike(keys: np.ndarray) -> np.ndarray:
    """int [n]: how many of the keys [n] equal each."""
    _, at, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return np.asarray(counts[at])


def _one(case: Case) -> tuple[Combined, ...]:
    """The row that is made most often, where it is no more often a real one."""
    n = len(case.made)
    keys, counts = np.unique(row_digests(case.made.values), return_counts=True)
    top = keys[int(counts.argmax())]
    which = row_digests(case.made.values) == top
    k = int(which.sum())
    real = int(sum((row_digests(side.values) == top).sum() for side in (case.train, case.unseen)))
    m = len(case.train) + len(case.unseen)
    if k / n - real / m < LEAST or tail(k, n, real, m) >= level_of(len(keys)):
        return ()
    shown = examples(case.made, which, ())
    return (
        Combined(
            values=said("One and the same row"), given="", made=k, of_made=n, real=real, of_real=m, examples=shown[:1]
        ),
    )
