"""Draws that come close to the rows learned from oftener than they should are drawn anew, and only as many as that."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from karat.errors import RunError
from karat.families.trees import Model
from karat.space import Codes
from karat.stats.copies import Learned, Refusal, shares, unseen

COLUMNS = 9


def answers(n: int, rng: np.random.Generator) -> np.ndarray:
    """People of two kinds, who answer two of five questions alike: int64 [n, COLUMNS]."""
    kind = rng.integers(0, 2, (n, 1))
    own = rng.integers(0, 4, (n, COLUMNS))
    return np.where(rng.random((n, COLUMNS)) < 0.4, kind, own)


def test_a_row_is_known_by_its_cells_and_its_neighbours_by_all_but_one_of_them() -> None:
    rng = np.random.default_rng(0)
    known, asked = rng.integers(0, 3, (40, 5)), rng.integers(0, 3, (500, 5))
    apart = (asked[:, None] != known[None]).sum(2).min(1)
    assert set(apart.tolist()) >= {0, 1, 2}
    assert (Learned.of(known).kinds(asked) == np.minimum(apart, 2)).all()
    among = (known[:, None] != known[None]).sum(2) + 9 * np.eye(40, dtype=np.int64)
    assert unseen(known).tolist() == shares(among.min(1)).tolist()


def test_made_rows_lie_a_cell_from_those_learned_from_no_oftener_than_unseen_ones_do() -> None:
    """Before, 1 of 6 did, and 1 of 20 unseen ones."""
    made, new = np.zeros(2)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        real = answers(60, rng)
        model = Model(Codes((4,) * COLUMNS, (False,) * COLUMNS), 0)
        assert list(model.fit(torch.from_numpy(real), None, seed, None))[-1] == 1.0
        drawn = model.sample(3000, None, torch.Generator().manual_seed(seed), independent=True).numpy()
        made, new = (
            a + shares(Learned.of(real).kinds(b))[1] / 3 for a, b in ((made, drawn), (new, answers(3000, rng)))
        )
    assert made < 1.4 * new


def test_draws_are_refused_down_to_what_is_due_and_no_further() -> None:
    rng = np.random.default_rng(1)
    learned, kinds = Learned.of(rng.integers(0, 3, (40, 6))), np.arange(3).repeat((3_000, 3_000, 24_000))
    drawn, never = shares(kinds), np.full(2, np.inf)
    refusal = Refusal.fit(learned, drawn, never, np.array([0.05, 0.15]))
    assert refusal is not None
    kept = kinds[rng.random(len(kinds)) < refusal.passing[kinds]]
    assert np.abs(shares(kept) - [0.05, 0.15]).max() < 0.01
    assert Refusal.fit(learned, drawn, never, drawn) is None, "nothing comes too often"
    assert Refusal.fit(learned, np.array([0.5, 0.6]), never, np.zeros(2)) is None, "too many would be refused"
    fair = Refusal.fit(learned, drawn, np.array([1.5, 1.0]), np.zeros(2))
    assert fair is not None
    assert fair.passing[0] == pytest.approx(1 / 1.5), "as many times as it leans on them"
    assert fair.passing[1:].min() == 1.0


def test_what_is_refused_is_saved_and_damage_to_it_is_told() -> None:
    rng = np.random.default_rng(2)
    refusal = Refusal(Learned.of(rng.integers(0, 3, (30, 4))), np.array([0.5, 0.75, 1.0]))
    weights, asked = refusal.weights(), rng.integers(0, 3, (200, 4))
    again = Refusal.restore(weights, 4)
    assert (again.learned.kinds(asked) == refusal.learned.kinds(asked)).all()
    for wrong in (
        {"digests": weights["digests"][:2]},
        {"passing": np.array([0.5, np.nan, 1.0])},
        {"passing": np.zeros(3)},
    ):
        with pytest.raises(RunError, match="Train the run again"):
            Refusal.restore(weights | wrong, 4)
