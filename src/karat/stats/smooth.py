"""Smooth functions of several columns, by ridge regression on their values and on distances to a few of the rows.

What is linear or curved, and what is near in many columns at once, boosted trees of few rows find only roughly. Ridge
regression over the columns and over radial functions around landmark rows (Nystroem's approximation of a Gaussian kernel:
Williams & Seeger, 2001; penalty by leave-one-out residuals in closed form: Allen's PRESS, 1974) finds it in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from karat.errors import RunError

LANDMARKS = 150  # rows that distances are measured to
NEAR = 3.0  # rows that are learned from for each landmark, at least
WIDTHS = (0.5, 1.0, 2.0)  # of the kernel, in medians of the distances between landmarks
PENALTIES = 10.0 ** np.arange(-4, 5)  # per row, of which leave-one-out says which
KINDS = 10  # commonest values of a feature without order that are told apart
FAR = 3.0  # standard deviations beyond which a value lies no further off

ARRAYS = ("kinds", "middle", "scale", "landmarks", "width", "weights", "base")


class Smooth:
    """`at`: arrays. kinds [features]: 0 for one in order, else how many values are told apart, of which the first has no column;
    `middle`, `scale` [columns]; `landmarks` [m, features in order] in those units; `width`: of the kernel, 0 for a linear
    function; `weights` [columns + m, targets]; `base` [targets]."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.at = {name: np.asarray(arrays[name]) for name in ARRAYS}

    @classmethod
    def fit(cls, features: np.ndarray, nominal: list[int], targets: np.ndarray, rng: np.random.Generator) -> Smooth:
        """The function of `features` [n, f] that is nearest to `targets` float64 [n, t]; `nominal`: features without order."""
        kinds = np.zeros(features.shape[1], np.int64)
        for j in nominal:
            kinds[j] = min(KINDS, max(2, int(features[:, j].max()) + 1))
        spread = _spread(features, kinds)
        middle, scale = spread.mean(0), spread.std(0)
        scale = np.where(scale > 0, scale, 1.0)
        x = ((spread - middle) / scale).clip(-FAR, FAR)
        many = min(LANDMARKS, int(len(x) / NEAR))
        landmarks = x[:, _in_order(kinds)][np.sort(rng.permutation(len(x))[:many])]
        apart = np.sqrt(np.median(_squared(landmarks, landmarks)[np.triu_indices(many, 1)])) if many > 1 else 0.0
        tried = [wide * apart for wide in (0.0, *(WIDTHS if apart > 0 else ()))]
        fits = [_ridge(_mapped(x, kinds, landmarks, width), targets) for width in tried]
        chosen = int(np.argmin([loss for *_, loss in fits]))
        width, (best, base, _) = tried[chosen], fits[chosen]
        return cls(
            {
                "kinds": kinds,
                "middle": middle,
                "scale": scale,
                "landmarks": landmarks if width else landmarks[:0],
                "width": np.array([width]),
                "weights": best,
                "base": base,
            }
        )

    def predict(self, features: np.ndarray) -> np.ndarray:
        """float64 [n, targets], from 0 to 1."""
        at = self.at
        x = ((_spread(features, at["kinds"]) - at["middle"]) / at["scale"]).clip(-FAR, FAR)
        return np.asarray(
            (at["base"] + _mapped(x, at["kinds"], at["landmarks"], float(at["width"][0])) @ at["weights"]).clip(0, 1)
        )

    def of(self, targets: list[int]) -> Smooth:
        """The same of some of its targets."""
        return Smooth({**self.at, "weights": self.at["weights"][:, targets], "base": self.at["base"][targets]})

    def weights(self) -> dict[str, np.ndarray]:
        """All of it as arrays."""
        return dict(self.at)

    @classmethod
    def restore(cls, weights: Mapping[str, np.ndarray], width: int, targets: int) -> Smooth:
        """The function of `width` features that gave `weights`; RunError where they cannot be one."""
        at = {name: np.asarray(weights[name]) for name in ARRAYS}
        columns = int(np.where(at["kinds"] > 0, at["kinds"] - 1, 1).sum())
        good = at["kinds"].shape == (width,) and bool(np.isin(at["kinds"], (0, *range(2, KINDS + 1))).all())
        good = good and at["middle"].shape == at["scale"].shape == (columns,) and bool((at["scale"] > 0).all())
        good = (
            good
            and at["landmarks"].ndim == 2
            and at["landmarks"].shape[1] == int((at["kinds"] == 0).sum())
            and at["width"].shape == (1,)
        )
        good = (
            good and at["weights"].shape == (columns + len(at["landmarks"]), targets) and at["base"].shape == (targets,)
        )
        if not good or not all(np.isfinite(a).all() for a in at.values()):
            raise RunError("smooth predictors of this run are damaged. Train the run again.")
        return cls(at)


def smoothed(
    features: np.ndarray, nominal: list[int], targets: np.ndarray, fold: np.ndarray, rng: np.random.Generator
) -> tuple[list[Smooth], np.ndarray]:
    """A smooth function for each of the folds `fold` [n], learned from the others' rows, and its predictions for its own rows
    [n, targets].
    """
    kept, out = [], np.empty(targets.shape)
    for f in range(int(fold.max()) + 1):
        kept.append(Smooth.fit(features[fold != f], nominal, targets[fold != f], rng))
        out[fold == f] = kept[-1].predict(features[fold == f])
    return kept, out


def _spread(features: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """float64 [n, columns]: what is in order as it is, of the rest one column for each of its commonest values but the first."""
    parts = [
        features[:, [j]] if not many else features[:, [j]] == np.arange(1, many)[None]
        for j, many in enumerate(kinds.tolist())
    ]
    return np.concatenate(parts, 1, dtype=np.float64) if parts else np.zeros((len(features), 0))


def _squared(x: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Squared distances [n, m]."""
    out = (x**2).sum(1)[:, None] + (landmarks**2).sum(1)[None] - 2 * x @ landmarks.T
    return np.asarray(out.clip(0))


def _in_order(kinds: np.ndarray) -> np.ndarray:
    """bool [columns]: those of features in order, of which alone there are distances."""
    return np.repeat(kinds == 0, np.where(kinds > 0, kinds - 1, 1))


def _mapped(x: np.ndarray, kinds: np.ndarray, landmarks: np.ndarray, width: float) -> np.ndarray:
    if not width:
        return x
    return np.concatenate([x, np.exp(-_squared(x[:, _in_order(kinds)], landmarks) / (2 * width**2))], 1)


def _ridge(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Weights [columns, targets] and constants [targets] at the best penalty of each target, and the sum over targets of the
    mean squared leave-one-out residual.
    """
    n = len(x)
    middle, level = x.mean(0), y.mean(0)
    own = x - middle
    value, vector = np.linalg.eigh(own.T @ own / n)
    value = value.clip(0)
    turned = own @ vector
    along = turned.T @ (y - level) / n
    shrunk = 1 / (value[:, None] + PENALTIES)  # [columns, penalties]
    weights = shrunk[:, :, None] * along[:, None]  # [columns, penalties, targets]
    told = (turned @ weights.reshape(len(value), -1)).reshape(n, *weights.shape[1:])
    itself = np.minimum((turned**2 @ shrunk + 1) / n, 1 - 1e-6)  # [n, penalties]: the share of a row in its prediction
    loss = (((y - level)[:, None] - told) ** 2 / ((1 - itself) ** 2)[:, :, None]).mean(0)
    best = loss.argmin(0)
    chosen = vector @ weights[:, best, np.arange(y.shape[1])]
    return chosen, level - middle @ chosen, float(loss.min(0).sum())
