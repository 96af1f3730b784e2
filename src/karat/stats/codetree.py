"""The distribution of one of k codes given features: a binary tree over the codes, each fork a boosted classifier.

Every fork halves the mass of its range of codes and asks a LightGBM classifier (Ke et al., 2017) which half; forks with
too few rows have a constant chance. The idea of walking down a tree of binary questions is that of Unmasking Trees
(McCarter, https://arxiv.org/abs/2407.05593). Saved as plain arrays and LightGBM's own text, checked before it is read.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from karat.errors import FitError, RunError
from karat.stats.stratified import systematic

SPARSE = 60  # rows; below them a fork has a constant chance
LEAST = 15  # rows of the rarer half
CHOICES = 254  # values of a feature without order that are told apart
HELD = 0.2  # of the rows say how boldly to boost
TUNED = 1_000  # rows of a fork from which on they are asked
BOLD_LEAVES = 31  # of bolder trees
CLIP = 1e-3  # of a probability: what is sure and wrong costs no more
NUMBERS = ("split_feature", "threshold", "decision_type", "left_child", "right_child", "leaf_value")


@dataclass(frozen=True)
class Boosting:
    """rounds of boosting, their rate, leaves of a tree, rows a leaf at least has, gain of a split, ridge.

    signal: gain of the very first split below which a fork is taken for independent of the features: what the best of some
    hundred candidate splits gains by chance.   most: rows that one classifier learns from.   tuned: most rounds of bolder trees,
    larger and of any gain, that are taken where they tell held-out rows better, and for as many rounds; 0 for none.
    """

    rounds: int = 30
    rate: float = 0.2
    leaves: int = 15
    leaf: int = 20
    gain: float = 0.5
    ridge: float = 1.0
    signal: float = 20.0
    most: int = 30_000
    tuned: int = 0

    def rounds_of(self, n: int) -> int:
        """Rounds that `n` rows are boosted for: fewer where there are few."""
        return math.ceil(self.rounds * min(1.0, math.sqrt(n / 4000))) + 2


def engine() -> Any:
    """LightGBM; FitError saying what is missing where it cannot be loaded."""
    try:
        import lightgbm
    except (ImportError, OSError) as error:
        raise FitError(
            f"LightGBM cannot be loaded ({error}). Install the system library libgomp (Debian: apt-get install libgomp1; "
            "macOS: brew install libomp), or use --recipe cart, which grows plain trees."
        ) from None
    return lightgbm


class CodeTree:
    """Forks as arrays: `middle[f]` is the first code of the right half, `left`/`right` the next fork or -1 - code,
    `chance` of the right half where `model[f]` is -1, else the index of the classifier that tells it."""

    def __init__(
        self, middle: np.ndarray, left: np.ndarray, right: np.ndarray, chance: np.ndarray, model: np.ndarray
    ) -> None:
        self.middle, self.left, self.right, self.chance, self.model = middle, left, right, chance, model
        self.classifiers: list[Any] = []

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        codes: np.ndarray,
        count: int,
        nominal: list[int],
        how: Boosting,
        rng: np.random.Generator,
    ) -> CodeTree:
        """features float32 [n, f]; codes int [n] below `count`; nominal: which features have no order."""
        forks: list[list[float]] = []
        classifiers: list[Any] = []

        def grow(low: int, high: int, rows: np.ndarray, how: Boosting) -> int:
            if high - low == 1:
                return -1 - low
            mass = np.cumsum(np.bincount(codes[rows] - low, minlength=high - low))
            cut = int(np.abs(mass[:-1] - mass[-1] / 2).argmin()) + 1
            right = codes[rows] >= low + cut
            me = len(forks)
            forks.append([low + cut, 0, 0, (right.sum() + 0.5) / (len(rows) + 1) if len(rows) else 0.5, -1])
            rare = min(int(right.sum()), len(rows) - int(right.sum()))
            if rare == 0 and len(rows):  # an empty half stays empty
                forks[me][3] = float(right.any())
            elif how.rounds and features.shape[1] and len(rows) >= SPARSE and rare >= LEAST:
                some = rows if len(rows) <= how.most else np.sort(rng.choice(rows, how.most, replace=False))
                half = codes[some] >= low + cut
                if how.tuned and len(some) >= TUNED:
                    how = _tuned(features[some], half, nominal, how, rng)
                made = _boost(features[some], half, nominal, how)
                if made is not None:
                    forks[me][4] = len(classifiers)
                    classifiers.append(made)
            forks[me][1] = grow(low, low + cut, rows[~right], how)
            forks[me][2] = grow(low + cut, high, rows[right], how)
            return me

        if count > 1:
            grow(0, count, np.arange(len(codes)), how)
        table = np.array(forks, np.float64).reshape(-1, 5)
        whole = [table[:, i].astype(np.int32) for i in (0, 1, 2, 4)]
        tree = cls(whole[0], whole[1], whole[2], table[:, 3].astype(np.float32), whole[3])
        tree.classifiers = classifiers
        return tree

    def _right(self, fork: int, different: np.ndarray, which: np.ndarray) -> np.ndarray:
        """The chance of the right half [n] for rows whose features are `different[which]`; like rows are asked for once."""
        model = int(self.model[fork])
        if model < 0:
            return np.full(len(which), self.chance[fork], np.float64)
        asked = np.zeros(len(different), bool)
        asked[which] = True
        predicted = np.empty(len(different))
        predicted[asked] = self.classifiers[model].predict(
            different[asked], num_threads=1, predict_disable_shape_check=True
        )
        return np.asarray(predicted[which])

    def draw(self, features: np.ndarray, rng: np.random.Generator, order: np.ndarray | None = None) -> np.ndarray:
        """A code for each row of `features` [n, f]; evenly along an `order` [n] of the rows, or else each for itself."""
        out = np.zeros(len(features), np.int64)
        if not len(self.middle):
            return out
        different, which = _different(features)
        waiting = [(0, np.arange(len(features)) if order is None else order)]
        while waiting:
            fork, rows = waiting.pop()
            if fork < 0:
                out[rows] = -1 - fork
            elif len(rows):
                chance = self._right(fork, different, which[rows])
                right = rng.random(len(rows)) < chance if order is None else systematic(chance, rng)
                waiting += [(int(self.left[fork]), rows[~right]), (int(self.right[fork]), rows[right])]
        return out

    def likelihood(self, features: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """The chance float64 [n] of `codes` [n] given `features` [n, f]."""
        out = np.ones(len(features))
        different, which = _different(features)
        waiting = [(0, np.arange(len(features)))] if len(self.middle) else []
        while waiting:
            fork, rows = waiting.pop()
            if fork < 0 or not len(rows):
                continue
            chance, right = self._right(fork, different, which[rows]), codes[rows] >= self.middle[fork]
            out[rows] *= np.where(right, chance, 1 - chance)
            waiting += [(int(self.left[fork]), rows[~right]), (int(self.right[fork]), rows[right])]
        return out

    def weights(self) -> dict[str, np.ndarray]:
        """All of it as arrays."""
        return {
            "middle": self.middle,
            "left": self.left,
            "right": self.right,
            "chance": self.chance,
            "model": self.model,
            "text": packed(self.classifiers),
        }

    @classmethod
    def restore(cls, weights: Mapping[str, np.ndarray], count: int, width: int) -> CodeTree:
        """The tree over `count` codes and `width` features that gave `weights`; RunError where they cannot be one."""
        parts = [np.asarray(weights[name]) for name in ("middle", "left", "right", "chance", "model")]
        tree = cls(*parts)
        n = len(tree.middle)
        forward = all(
            bool(((ends < 0) & (ends >= -count) | (ends > np.arange(n)) & (ends < n)).all()) for ends in parts[1:3]
        )
        if (n and n != count - 1) or not forward or any(len(p) != n for p in parts):
            raise RunError("a tree over codes is damaged: its forks lead nowhere. Train the run again.")
        tree.classifiers = unpacked(weights["text"], width)
        if n and int(tree.model.max()) >= len(tree.classifiers):
            raise RunError("a tree over codes is damaged: a classifier is missing. Train the run again.")
        return tree


def _different(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows among `features` [n, f], told apart by a hash of 64 bits, and which of them each row is."""
    odd = np.random.Philox(0).random_raw(features.shape[1]) | np.uint64(1)
    mixed = (
        (features.astype(np.int64).view(np.uint64) * odd).sum(1, dtype=np.uint64)
        if features.shape[1]
        else np.zeros(len(features), np.uint64)
    )
    mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    _, first, which = np.unique(mixed, return_index=True, return_inverse=True)
    return features[first], which


def _tuned(
    features: np.ndarray, right: np.ndarray, nominal: list[int], how: Boosting, rng: np.random.Generator
) -> Boosting:
    """`how` or bolder trees, whichever tell held-out rows best, in as many rounds; the forks below start from that."""
    held = rng.random(len(right)) < HELD
    if min(right[held].sum(), right[~held].sum()) < LEAST:
        return how

    def trained(booster: Any, rounds: int) -> float:
        """Nats per held-out row after so many `rounds`."""
        while booster.current_iteration() < rounds and not booster.update():
            pass  # until nothing is left to split
        chance = booster.predict(features[held], num_threads=1).clip(CLIP, 1 - CLIP)
        return float(-np.log(np.where(right[held], chance, 1 - chance)).mean())

    n, last = len(right), np.inf
    best, least = how, trained(_started(features[~held], right[~held], nominal, how), how.rounds_of(n))
    bold = replace(how, leaves=max(how.leaves, BOLD_LEAVES), gain=0.0)
    booster = _started(features[~held], right[~held], nominal, bold)
    for part in (8, 4, 2, 1):
        bold = replace(bold, rounds=how.tuned // part)
        loss = trained(booster, bold.rounds_of(n))
        if loss < least:
            best, least = bold, loss
        if loss >= last:
            break
        last = loss
    return best


def _started(features: np.ndarray, right: np.ndarray, nominal: list[int], how: Boosting) -> Any:
    """A booster that has not been trained yet."""
    lightgbm = engine()
    settings = {
        "objective": "binary",
        "learning_rate": how.rate,
        "num_leaves": max(2, min(how.leaves, len(right) // SPARSE)),
        "min_data_in_leaf": how.leaf,
        "min_gain_to_split": how.gain,
        "lambda_l2": how.ridge,
        "verbose": -1,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "seed": 0,
    }
    data = lightgbm.Dataset(
        features, right.astype(np.float32), categorical_feature=nominal, params={"verbose": -1, "max_bin": 255}
    )
    return lightgbm.Booster(settings, data)


def _boost(features: np.ndarray, right: np.ndarray, nominal: list[int], how: Boosting) -> Any:
    booster = _started(features, right, nominal, how)
    for done in range(how.rounds_of(len(right))):
        if booster.update():  # nothing is left to split
            break
        if done == 0:
            root = booster.dump_model(num_iteration=1)["tree_info"][0]["tree_structure"]
            if root.get("split_gain", 0.0) < how.signal:
                return None
    booster.free_dataset()
    return booster


def packed(classifiers: list[Any]) -> np.ndarray:
    """uint8 [bytes]: the classifiers as LightGBM's own text."""
    text = "\0".join(_bare(m.model_to_string()) for m in classifiers)
    return np.frombuffer(zlib.compress(text.encode(), 6), np.uint8).copy()


def unpacked(text: np.ndarray, width: int) -> list[Any]:
    """The classifiers over `width` features that gave `text`; RunError where they cannot be any."""
    inflate = zlib.decompressobj()
    raw = inflate.decompress(np.asarray(text, np.uint8).tobytes(), 1 << 28)
    if inflate.unconsumed_tail:
        raise RunError("boosted classifiers of this run are larger than karat writes them. Train the run again.")
    texts = raw.decode("ascii", "strict").split("\0") if raw else []
    for each in texts:
        _check(each, width)
    return [engine().Booster(model_str=each) for each in texts]


def _bare(text: str) -> str:
    """LightGBM's text without its settings, which are long and not needed to predict."""
    return re.sub(r"\nparameters:.*?end of parameters\n", "\n", text, flags=re.S)


def _check(text: str, width: int) -> None:
    """Refuses a classifier whose numbers would lead LightGBM out of its own arrays."""
    match = re.search(r"^max_feature_idx=(\d+)$", text, re.M)
    good = match is not None and int(match[1]) < max(1, width) and text.startswith("tree\n")
    for block in text.split("\nTree=")[1:]:
        rows = dict(line.split("=", 1) for line in block.split("\n\n")[0].splitlines() if "=" in line)
        try:
            leaves, cats = int(rows["num_leaves"]), int(rows.get("num_cat", "0"))
            if leaves == 1:
                good = good and len(rows["leaf_value"].split()) == 1
                continue
            values = {name: [float(v) for v in rows[name].split()] for name in NUMBERS}
            inner = leaves - 1
            good = good and all(len(values[name]) == (leaves if name == "leaf_value" else inner) for name in NUMBERS)
            good = good and all(0 <= f < width for f in values["split_feature"])
            for side in ("left_child", "right_child"):
                good = good and all(i < c < inner or -leaves <= c < 0 for i, c in enumerate(values[side]))
            if cats:
                edges = [int(v) for v in rows["cat_boundaries"].split()]
                good = good and len(edges) == cats + 1 and edges == sorted(edges) and edges[0] == 0
                good = good and len(rows["cat_threshold"].split()) == edges[-1]
            for kind, at in zip(values["decision_type"], values["threshold"], strict=True):
                good = good and (not int(kind) & 1 or 0 <= at < cats)
        except (KeyError, ValueError, IndexError):
            good = False
        if not good:
            break
    if not good:
        raise RunError("a boosted classifier of this run is damaged, or was not written by karat. Train the run again.")
