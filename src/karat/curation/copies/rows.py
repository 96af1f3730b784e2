"""Whether made rows are training rows, as they are or with a cell changed, or with all numbers moved a little.

A run keeps digests of its rows (`traces.py`) and how likely rows are (`density.py`), no row. How many training rows a row
agrees with, and in what, is the more surprising the less likely the row and the fewer lie near it: logistic regression learns
the likelihood ratio from training rows that were altered on trial, and from others that were held apart from them. By the lemma
of Neyman and Pearson (https://doi.org/10.1098/rsta.1933.0009) a bar on it finds most copies for what it refuses of rows that
nobody learned from. It lies no lower than finds nearly all of those on trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from karat.curation.copies.bars import RECALL, REJECTED, WORTH, bar_of
from karat.curation.copies.density import Density
from karat.curation.copies.planting import ROWS, rows
from karat.curation.copies.traces import Traces
from karat.errors import RunError
from karat.views import TableView

MOST = 100_000  # rows, beyond which no recipe knows them by heart
TRIED = 1500  # training rows that are altered, each in all ways
ASKED = 8000  # training rows, at most, that are held against the others
PARTS = 8  # of the training rows, of which one is held against the others
FEWEST = 20  # of either on trial, fewer of which say nothing
FOLDS = 4  # of those on trial, of which one is scored by what was fitted to the others
MISSED = 0.002  # of copies on trial, that may lie below the bar
FAR = 6.0  # standard deviations beyond which a feature says no more
STRENGTH = 3.0  # of the weights' prior, as scikit-learn has it
MANY = 0.02  # of honest draws that a bar may reject before it is asked whether the cells leave a choice
SEEN = 10  # draws that met rows set aside, fewer of which say nothing of how often they do
LEANS = 2.0  # times as often as rows set aside, by which a generator may meet as many of those learned from
EQUAL, APART = 0, 1  # features: how many training rows a row equals; in how many ways it is a cell from one


@dataclass(frozen=True)
class Ratio:
    """Log likelihood ratio of copies, up to a constant, in features [n, k], their products and squares.

    mean, spread: float [k] each.   weights: float [1 + k + k(k + 1)/2].
    """

    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return np.asarray(_lifted(features, self.mean, self.spread) @ self.weights)

    @classmethod
    def none(cls, k: int) -> Self:
        """That of `k` features which says nothing."""
        mean, spread = np.zeros(k), np.ones(k)
        return cls(mean, spread, np.zeros(_lifted(mean[None], mean, spread).shape[1]))

    @classmethod
    def fit(
        cls, copies: np.ndarray, innocent: np.ndarray, rng: np.random.Generator
    ) -> tuple[Self, np.ndarray, np.ndarray]:
        """copies [ways, m, k] and innocent [ways, n, k], one row in several ways each.   Also the scores [ways, m] and [ways, n]
        of both, by what was fitted to other rows."""
        from sklearn.linear_model import LogisticRegression

        k = copies.shape[-1]
        both = np.concatenate([copies.reshape(-1, k), innocent.reshape(-1, k)])
        fold = [np.tile(rng.permutation(part.shape[1]) % FOLDS, len(part)) for part in (copies, innocent)]
        y, apart = np.arange(len(both)) < len(fold[0]), np.concatenate(fold)
        mean, spread = (
            both.mean(0),
            np.maximum(both.std(0), 1.0),
        )  # nats: of a few more rows that lie near nothing follows
        lifted, score, weights = _lifted(both, mean, spread), np.zeros(len(both)), []
        for part in range(FOLDS):
            model = LogisticRegression(C=STRENGTH, fit_intercept=False, solver="newton-cholesky", tol=1e-3)
            model.fit(lifted[apart != part], y[apart != part])
            weights.append(model.coef_[0])
            score[apart == part] = model.decision_function(lifted[apart == part])
        found = cls(mean, spread, np.mean(weights, 0))
        return found, score[y].reshape(copies.shape[:2]), score[~y].reshape(innocent.shape[:2])


class Rows:
    """What tells copies of the rows that it was fitted to.   found [ways]: of training rows altered on trial, how many it finds."""

    def __init__(self, traces: Traces, density: Density, ratio: Ratio, bar: float, found: np.ndarray) -> None:
        self.traces, self.density, self.ratio, self.bar, self.found = traces, density, ratio, bar, found

    @classmethod
    def fit(cls, train: TableView, seed: int) -> Self:
        """Of a random choice of very many rows."""
        rng = np.random.default_rng([seed, 15])
        if len(train) > MOST:
            train = train.take(np.sort(rng.choice(len(train), MOST, replace=False)))
        copies, innocent = _trial(train, rng)
        bar, found, ratio = np.inf, np.zeros(len(copies)), Ratio.none(copies.shape[-1])
        if min(copies.shape[1], innocent.shape[1]) >= FEWEST:
            ratio, theirs, others = Ratio.fit(copies, innocent, rng)
            bar = max(
                *(bar_of(each, REJECTED * (1 - 1 / PARTS)) for each in others), float(np.quantile(theirs, MISSED))
            )
            found = (theirs > bar).mean(1)
        traces, density = Traces.of(train), Density.of(train, rng)
        return cls(traces, density, ratio, bar if found.max() >= WORTH else np.inf, found)

    def settle(self, drawn: TableView, train: TableView, unseen: TableView) -> float:
        """Lifts the bar where draws are no more like rows learned from than like as many that nothing learned from: the cells
        leave no choice there.

        Of a table that lists each case once no training row meets another, and every honest draw is one of the cases. Copies meet
        only what was learned from.   drawn: rows of the generator.   Returns how likely a draw equals an unseen row.
        """
        some = train.take(np.arange(k := min(len(train), len(unseen))) * len(train) // k)
        mine, other = (_features(self.traces.again(side.values), self.density, drawn.values) for side in (some, unseen))
        held, met = ((self.ratio(each) > self.bar) for each in (mine, other))
        if self.copied(drawn).mean() > MANY and met.sum() >= SEEN and held.mean() <= LEANS * met.mean():
            self.bar = np.inf
        whole = other[:, EQUAL] > 0
        return float(whole.mean()) / len(unseen) if whole.sum() >= SEEN else 0.0

    def copied(self, made: TableView) -> np.ndarray:
        """bool [n]."""
        return np.asarray(self.ratio(_features(self.traces, self.density, made.values)) > self.bar)

    @property
    def missed(self) -> str:
        """Which copies are not nearly all found, in words; "" where there are none."""
        few = zip(ROWS, self.found, strict=True)
        return ", ".join(f"{found:.0%} of {how}" for how, found in few if found < RECALL)

    @property
    def blind(self) -> bool:
        return not np.isfinite(self.bar)

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it."""
        own = {"mean": self.ratio.mean, "spread": self.ratio.spread, "weights": self.ratio.weights}
        told = {"bar": np.array([self.bar]), "found": self.found}
        return {**self.traces.arrays(), **self.density.arrays(), **own, **told}

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """What gave the arrays; RunError where they cannot be any."""
        try:
            traces, density = Traces.restore(arrays), Density.restore(arrays)
            ratio = Ratio(arrays["mean"], arrays["spread"], arrays["weights"])
            out = cls(traces, density, ratio, float(arrays["bar"][0]), arrays["found"])
            out.ratio(_features(traces, density, np.zeros((1, len(traces.scale)))))
        except (KeyError, ValueError, IndexError) as error:
            raise RunError(
                f"what tells copies of training rows has another form than this version gives it ({error}). Train the run again."
            ) from None
        return out


def _trial(train: TableView, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features of copies [ways, m, k] of rows that most of the training rows hold, and of innocent ones [2, n, k], the others.

    Each part of the rows is among the others in turn, until these are as many as are asked. They are held against the rest as
    they are, and with numbers that some training row has, as a generator gives them that draws from these.
    """
    whole = Traces.of(train)  # whose numbers noise would move is the same for all parts
    copies, innocent, order = [], [], np.array_split(rng.permutation(len(train)), PARTS)
    for k in range(PARTS):
        known = train.take(np.concatenate(order[:k] + order[k + 1 :]))
        traces, density = whole.again(known.values), Density.of(known, rng)
        some = known.take(rng.permutation(len(known))[: TRIED if len(train) > PARTS * ASKED else TRIED // PARTS])
        copies.append(np.stack([_features(traces, density, view.values) for view in rows(some, rng).values()]))
        others = train.values[order[k][:ASKED]]
        innocent.append(np.stack([_features(traces, density, each) for each in (others, _drawn(others, known))]))
        if sum(each.shape[1] for each in innocent) >= ASKED:
            break
    found = np.concatenate(innocent, 1)
    equal = found[0, :, EQUAL] > 0
    if (
        equal.mean() > (found[0, :, APART] > 0).mean()
    ):  # by chance more would differ in a cell: these were recorded twice
        found = found[:, ~equal]
    return np.concatenate(copies, 1), found


def _drawn(values: np.ndarray, known: TableView) -> np.ndarray:
    """The rows `values` [n, c] with the next greater number that the column of `known` holds in place of each number."""
    out = values.copy()
    for j in known.numbers:
        column = np.sort(known.values[:, j][~np.isnan(known.values[:, j])])
        if len(column):
            at = np.minimum(np.searchsorted(column, out[:, j]), len(column) - 1)
            out[:, j] = np.where(np.isnan(out[:, j]), np.nan, column[at])
    return out


def _features(traces: Traces, density: Density, values: np.ndarray) -> np.ndarray:
    """float [n, k], of rows [n, c]: how many training rows agree with each, and how surprising that is."""
    met, (alone, given) = traces.met(values), density.nats(values)
    differs, at = met.one > 0, np.arange(len(values))
    left = np.where(differs, given.sum(1)[:, None] - given, -np.inf)
    j = left.argmax(1)  # the cell without which the agreement is most surprising
    near, others = differs[at, j], met.cell.astype(np.float64)
    others[at, j] = np.inf
    found = (
        np.log1p(met.whole),
        np.log1p(differs.sum(1)),
        np.log1p(np.where(near, met.one[at, j], 0)),
        np.log1p(met.rest),
        alone.sum(1),
        given.sum(1),
        np.where(near, alone.sum(1) - alone[at, j], 0),
        np.where(near, left[at, j], 0),
        np.log1p(met.cell.min(1)),  # a number that tells nearly everybody apart is worth what few have it
        np.where(near, np.log1p(np.minimum(others.min(1), len(traces.rest))), 0),
        np.where(near, np.log1p(met.cell[at, j]), 0),
    )
    return np.concatenate([np.stack(found, 1), np.log1p(met.near)], 1)


def _lifted(features: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """float [n, 1 + k + k(k + 1)/2]: a constant, the features, none too far out, and their products and squares."""
    z = np.clip((features - mean) / spread, -FAR, FAR)
    first, second = np.triu_indices(z.shape[1])
    return np.concatenate([np.ones((len(z), 1)), z, z[:, first] * z[:, second]], 1)
