"""What boosted trees predict, as features of a tree of donors: what it finds, when it is silent, what it refuses to load."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from karat.errors import RunError
from karat.families.trees import Config, Model
from karat.space import Codes
from karat.stats.stacking import FEW, Stacked


def lines(rows: int) -> np.ndarray:
    """int64 [rows, 8]: seven cells of three kinds, and whether three side by side are of the first."""
    cells = np.random.default_rng(0).integers(0, 3, (rows, 7))
    return np.column_stack([cells, won(cells)])


def won(cells: np.ndarray) -> np.ndarray:
    return (np.lib.stride_tricks.sliding_window_view(cells, 3, 1) == 0).all(2).any(1)


SPACE = Codes((3,) * 7 + (2,), (False,) * 8)


def test_what_columns_say_only_together_is_learned_of_few_rows() -> None:
    model = Model(SPACE, 0, Config())
    for _ in model.fit(torch.from_numpy(lines(500)), None, 0, None):
        pass
    made = model.sample(3000, None, torch.Generator().manual_seed(0), independent=True).numpy()
    right = won(made[:, :7]) == made[:, 7]
    assert right.mean() > 0.97
    assert right[made[:, 7] == 1].mean() > 0.9, "who has won has three side by side"
    back = Model(SPACE, 0, Config())
    back.put(model.weights())
    again = back.sample(3000, None, torch.Generator().manual_seed(0), independent=True).numpy()
    assert np.array_equal(made, again), "what is saved draws the same"


def test_nothing_is_predicted_of_what_is_independent_or_constant() -> None:
    rng = np.random.default_rng(0)
    features = rng.integers(0, 5, (400, 6)).astype(np.float32)
    for codes in (rng.integers(0, 3, 400), rng.integers(0, 200, 400), np.zeros(400, np.int64)):
        for ordered in (True, False):
            stacked, predicted = Stacked.fit(features, [0], codes, ordered, FEW, rng)
            assert stacked.targets == 0 and predicted.shape == (400, 0)
            assert stacked.predict(features, None).shape == (400, 0)


def test_rows_learned_from_are_predicted_no_better_than_new_ones() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(1200, 3)).astype(np.float32)
    codes = np.argsort(np.argsort(features[:, 0] + rng.normal(size=1200)))  # every second bit of it is chance
    stacked, own = Stacked.fit(features[:600], [], codes[:600], True, FEW, rng)
    mean, one = stacked.predict(features[600:], None), stacked.predict(features[600:], rng)
    of_own, of_mean, of_one = (
        np.corrcoef(p[:, 0], c)[0, 1] for p, c in ((own, codes[:600]), (mean, codes[600:]), (one, codes[600:]))
    )
    assert 0.5 < of_own < of_mean + 0.05
    assert abs(of_own - of_one) < 0.05, "a fold for each row is as uncertain as what was learned from"


def test_predictors_with_one_missing_are_refused() -> None:
    cells = lines(300)
    stacked, _ = Stacked.fit(cells[:, :7].astype(np.float32), [], cells[:, 7], True, FEW, np.random.default_rng(0))
    assert Stacked.restore(stacked.weights(), 7).targets == stacked.targets == 1
    stacked.boosters[0].pop()
    with pytest.raises(RunError, match="one is missing"):
        Stacked.restore(stacked.weights(), 7)


@pytest.mark.exam
def test_a_table_that_lists_every_case_once_keeps_what_its_last_column_follows_from() -> None:
    boards = np.array([b for b in itertools.product((0, 1), repeat=12) if sum(b) == 6])
    right = three(boards)
    rows = np.random.default_rng(3).permutation(np.column_stack([boards, right]))[:647]
    model = Model(Codes((2,) * 13, (False,) * 13), 0, Config())
    for _ in model.fit(torch.from_numpy(rows), None, 0, None):
        pass
    made = model.sample(4000, None, torch.Generator().manual_seed(0), independent=True).numpy()
    assert (three(made[:, :12]) == made[:, 12]).mean() > 0.7, "half would be chance"


def three(boards: np.ndarray) -> np.ndarray:
    """Whether three ones stand side by side in one of three rows, or above each other in one of four columns."""
    grid = boards.reshape(-1, 3, 4)
    down, across = grid.all(1).any(1), np.lib.stride_tricks.sliding_window_view(grid, 3, 2).all(3).any((1, 2))
    return down | across


@pytest.mark.exam
def test_a_smooth_relation_of_many_rows_is_drawn_more_exactly_than_its_parts_are_wide() -> None:
    rng = np.random.default_rng(2)
    parents = rng.integers(0, 200, (5000, 3))
    cells = np.column_stack([parents, parents.sum(1)])
    space = Codes((200, 200, 200, 598), (True,) * 4)
    model = Model(space, 0, Config())
    for _ in model.fit(torch.from_numpy(cells), None, 0, None):
        pass
    made = model.sample(5000, None, torch.Generator().manual_seed(0), independent=True).numpy()
    missed = np.abs(made[:, 3] - made[:, :3].sum(1))
    assert np.median(missed) < 12, "where a 48th of the range is wider"
