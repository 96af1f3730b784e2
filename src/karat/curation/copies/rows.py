"""Whether made rows are training rows, as they are or with a cell changed, or with all numbers moved a little.

A run keeps digests of its rows, whole and without each column, exact and with numbers in coarse intervals; of the cells it
keeps how common the common ones are. Two rows that agree in all but one cell agree the more surprisingly, the rarer what
they agree in (Fellegi and Sunter, https://doi.org/10.1080/01621459.1969.10501049). How surprising is too surprising is told
by the training rows, each beside all others, which have met no copy of themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np

from karat.curation.copies.bars import REJECTED, WORTH, bar_of
from karat.curation.copies.planting import rows
from karat.errors import RunError
from karat.stats.copies import digests_of, held
from karat.views import TableView, plain

MOST = 100_000  # rows, beyond which no recipe knows them by heart
COUNTS = (8, 16, 32, 64)  # of intervals that a column of numbers may be cut into, with as many rows in each
WIDTHS = (0.1, 0.2, 0.4)  # or of intervals as wide as so many standard deviations
ENDS = (0.001, 0.999)  # quantiles beyond which is one more interval on each side
OFFSETS = (
    0.25,
    0.75,
)  # of an interval, where two such divisions begin: what crosses a border of one is inside the other
COMMON, RARE = 1000, 5  # a value is common that one in so many rows have, and at least so many
TRIED = 500  # training rows that show how well copies are told
WHOLE, COARSE, BUT_ONE = range(3)  # rows that agree in all, in the intervals of all but one, in all but one
PARTS = (0.6, 0.5, 1.0)  # of what may still be rejected, in this order
MANY = 0.02  # of honest draws that a bar may reject before it is asked whether the cells leave a choice
SEEN = 10  # draws that met rows set aside, fewer of which say nothing of how often they do
LEANS = (
    2.0  # times as often as rows set aside, relative to their numbers, by which a generator may meet those learned from
)


class Rows:
    """What tells copies of the rows that it was fitted to."""

    def __init__(self, edges: list[np.ndarray], common: list[tuple[np.ndarray, np.ndarray]], rest: np.ndarray) -> None:
        """edges: float [2, k] of columns of numbers, where intervals end.   common: values and nats, of each column in each way of
        `_ways`.   rest: nats of others."""
        self.edges, self.common, self.rest = edges, common, rest
        self.digests: list[np.ndarray] = []  # uint32 [columns + 1, n], ascending, for each way
        self.bars = np.full(len(PARTS), np.inf)

    @classmethod
    def fit(cls, train: TableView, seed: int) -> Self:
        """Of a random choice of very many rows; with intervals as wide as tell most copies whose numbers were moved."""
        rng = np.random.default_rng([seed, 15])
        if len(train) > MOST:
            train = train.take(np.sort(rng.choice(len(train), MOST, replace=False)))
        planted = [*rows(train.take(rng.permutation(len(train))[:TRIED]), rng).values()]
        # one column of numbers alone may differ as it likes: that is `BUT_ONE`
        tried = [cls._fitted(train, k, planted) for k in ((*COUNTS, *WIDTHS) if len(train.numbers) > 1 else (0,))]
        best = max(tried, key=lambda one: float(one.copied(planted[-1]).mean()))
        return best if len(best.digests) == 1 or np.isfinite(best.bars[COARSE]) else cls._fitted(train, 0, planted)

    @classmethod
    def _fitted(cls, train: TableView, cut: float, planted: list[TableView]) -> Self:
        """cut: a number of intervals, or their width below 1; 0 for none.

        planted: copies that `WHOLE`, `BUT_ONE` and `COARSE` are to see, in the order of `planting.rows`.
        """
        values = train.values
        edges = [np.zeros((2, 0))] * train.width
        for j in train.numbers if cut else ():
            known = values[:, j][~np.isnan(values[:, j])]
            if len(known):
                edges[j] = np.stack([_edges(known, cut, offset) for offset in OFFSETS])
        out = cls(edges, [], np.zeros(0))
        ways, rest, met = list(out._ways(values)), [], []
        for cells in ways:
            for column in cells.T:
                value, many = np.unique(column, return_counts=True)
                often = many >= max(RARE, len(column) / COMMON)
                out.common.append((value[often], -np.log(many[often] / len(column))))
                seldom = many[~often]
                rest.append(np.log(len(column) * seldom.sum() / max(1, int((seldom**2).sum()))) if len(seldom) else 0.0)
            digests = _short(cells)
            out.digests.append(np.sort(digests, 1))
            met.append(np.stack([_twice(each) for each in digests]))
        out.rest = np.array(rest)
        innocent = out._agreement(ways, met)
        whole, but_one, coarse = (out._scores(view) for view in planted)
        left = REJECTED
        for kind, (part, copies) in enumerate(zip(PARTS, (whole, coarse, but_one), strict=True)):
            few = kind == WHOLE and (innocent[kind] > 0).mean() <= left
            bar = 0.0 if few else bar_of(innocent[kind], part * left)
            # where what lies above is hardly ever a copy, unseen rows agree as training rows do, and the rarest would go
            if (copies[kind] > bar).mean() >= WORTH:
                out.bars[kind] = bar
                left -= float((innocent[kind] > bar).mean())
        return out

    def settle(self, drawn: TableView, unseen: TableView) -> float:
        """Lifts the bars where draws meet rows that nothing learned from about as often: the cells leave no choice there.

        Of a table that lists each case once no training row meets another, and every honest draw is one of the cases. Copies meet
        only what was learned from.   drawn: rows of the generator.   Returns how likely a draw equals an unseen row.
        """
        twin = type(self)(self.edges, self.common, self.rest)
        twin.digests = [np.sort(_short(cells), 1) for cells in self._ways(unseen.values)]
        mine, other = ((each._scores(drawn) > self.bars[:, None]) for each in (self, twin))
        times = self.digests[0].shape[1] / len(unseen)  # as many learned from as set aside
        for kind, (held_by_train, met) in enumerate(zip(mine, other, strict=True)):
            due = 1 - (1 - met.mean()) ** times
            if held_by_train.mean() > MANY and met.sum() >= SEEN and held_by_train.mean() <= LEANS * due:
                self.bars[kind] = np.inf
        whole = twin._scores(drawn)[WHOLE] > 0
        return float(whole.mean()) / len(unseen) if whole.sum() >= SEEN else 0.0

    def copied(self, made: TableView) -> np.ndarray:
        """bool [n]."""
        return np.asarray((self._scores(made) > self.bars[:, None]).any(0))

    def _scores(self, made: TableView) -> np.ndarray:
        """float [kinds, n]: how surprising what each row shares with a training row is."""
        ways, met = self._ways(made.values), []
        for cells, known in zip(ways, self.digests, strict=True):
            met.append(np.stack([held(mine, asked) for mine, asked in zip(known, _short(cells), strict=True)]))
        return self._agreement(ways, met)

    @property
    def blind(self) -> bool:
        return not np.isfinite(self.bars).any()

    def _ways(self, values: np.ndarray) -> list[np.ndarray]:
        """int64 [n, columns]: the cells as they are, and with numbers in intervals."""
        out = [plain(values).view(np.int64).reshape(values.shape)]
        if any(edges.size for edges in self.edges):
            out += [out[0].copy() for _ in OFFSETS]
        for j, both in enumerate(self.edges):
            for cells, edges in zip(out[1:], both, strict=False):
                if len(edges):
                    inside = np.searchsorted(np.unique(edges), values[:, j], "right")
                    cells[:, j] = np.where(np.isnan(values[:, j]), -1, inside)
        return out

    def _nats(self, way: int, cells: np.ndarray) -> np.ndarray:
        """float [n, columns]: how rare each cell is."""
        out = np.empty(cells.shape)
        for j, column in enumerate(cells.T):
            k = way * cells.shape[1] + j
            value, nats = self.common[k]
            out[:, j] = self.rest[k]
            if len(value):
                at = np.minimum(np.searchsorted(value, column), len(value) - 1)
                out[:, j] = np.where(value[at] == column, nats[at], self.rest[k])
        return out

    def _agreement(self, ways: list[np.ndarray], met: list[np.ndarray]) -> np.ndarray:
        """float [kinds, n]: how surprising what each row shares with a training row is; of those that agree in all only this.

        met: bool [columns + 1, n] for each way, which digests are those of a training row.
        """
        out = np.zeros((len(PARTS), len(ways[0])))
        for w, (cells, same) in enumerate(zip(ways, met, strict=True)):
            some = np.flatnonzero(same.any(0))
            nats = self._nats(w, cells[some])
            total = nats.sum(1)
            whole = np.where(same[0, some], total, 0)
            but_one = np.where(same[1:, some].T, total[:, None] - nats, 0).max(1, initial=0)
            if w == 0:
                out[WHOLE, some], out[BUT_ONE, some] = whole, but_one
            else:
                out[COARSE, some] = np.maximum(out[COARSE, some], np.maximum(whole, but_one))
        out[1:, met[0][0]] = 0
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it."""
        flat = {
            "edges": np.concatenate([np.zeros((2, 0)), *self.edges], 1),
            "edges.sizes": np.array([e.shape[1] for e in self.edges], np.int64),
            "common.values": np.concatenate([np.zeros(0, np.int64), *(v for v, _ in self.common)]),
            "common.nats": np.concatenate([np.zeros(0), *(n for _, n in self.common)]),
            "common.sizes": np.array([len(v) for v, _ in self.common], np.int64),
            "rest": self.rest,
            "bars": self.bars,
        }
        return {**flat, "digests": np.stack(self.digests).view(np.int32)}

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """What gave the arrays; RunError where they cannot be any."""
        try:
            edges = np.split(arrays["edges"], np.cumsum(arrays["edges.sizes"])[:-1], 1)
            at = np.cumsum(arrays["common.sizes"])[:-1]
            common = zip(np.split(arrays["common.values"], at), np.split(arrays["common.nats"], at), strict=True)
            out = cls(edges, list(common), arrays["rest"])
            out.digests, out.bars = list(arrays["digests"].view(np.uint32)), arrays["bars"]
            width = len(edges)
            good = all(d.shape[0] == width + 1 and d.shape[1] > 0 for d in out.digests)
            good = good and len(out.common) == len(out.rest) == width * len(out.digests) and out.bars.shape == (3,)
        except (KeyError, ValueError, IndexError) as error:
            raise RunError(f"what tells copies of training rows is damaged ({error}). Train the run again.") from None
        if not good:
            raise RunError("what tells copies of training rows is damaged. Train the run again.")
        return out


def _edges(known: np.ndarray, cut: float, offset: float) -> np.ndarray:
    """Where the intervals of a column end, the first of them moved by a share of an interval."""
    if cut >= 1:
        return np.asarray(np.quantile(known, (np.arange(cut) + offset) / cut))
    width, (low, high) = max(cut * float(known.std()), 1e-12), np.quantile(known, ENDS)
    return np.asarray(low + width * (offset + np.arange(1 + min(1000, int((high - low) / width)))))


def _short(cells: np.ndarray) -> np.ndarray:
    """uint32 [columns + 1, n]: half of each digest, which meets another one of 100,000 by chance once in 40,000."""
    return np.asarray((digests_of(cells) >> np.uint64(32)).astype(np.uint32))


def _twice(digests: np.ndarray) -> np.ndarray:
    """bool [n]: which of the digests [n] come more than once."""
    _, which, many = np.unique(digests, return_inverse=True, return_counts=True)
    return np.asarray(many[which] > 1)
