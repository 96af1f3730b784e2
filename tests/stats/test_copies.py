"""Whether drawn rows are copies is told beside how often rows of the same source equal each other, and what leaves no choice."""

from __future__ import annotations

import numpy as np
import torch

from karat.families.trees import Config, Model
from karat.space import Codes
from karat.stats.copies import Learned, as_often, copies, shares


def pairs(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 60, (n, 2))


def test_rows_learned_by_heart_are_copies_and_others_of_their_source_are_none() -> None:
    rng = np.random.default_rng(0)
    real = pairs(900, rng)
    assert copies(real, real[rng.integers(900, size=4000)])
    assert not copies(real, pairs(4000, rng))


def test_a_single_column_leaves_no_choice() -> None:
    """Nearly every row equals another, and every drawn one, whatever is done."""
    rng = np.random.default_rng(1)
    one = np.append(np.arange(40).repeat(10), 99)[:, None]
    assert not copies(one, one[rng.integers(401, size=4000)])


def test_plain_trees_copy_no_rows_that_are_drawn_given_others() -> None:
    """As the rows of a child table are, given their parent's: before, 1 of 3 was one, and 1 of 5 unseen ones."""
    rng = np.random.default_rng(2)
    cells = np.concatenate([rng.integers(0, 3, (900, 1)), pairs(900, rng)], 1)
    model = Model(Codes((3, 60, 60), (False, True, True)), 0, Config(boost=False, prune=False, context=1))
    assert list(model.fit(torch.from_numpy(cells), None, 0, None))[-1] == 1.0
    given = torch.full((4000, 3), -1)
    given[:, 0] = torch.from_numpy(rng.integers(0, 3, 4000))
    made = model.impute(given, torch.Generator().manual_seed(0), independent=True).numpy()[:, 1:]
    real = {tuple(row) for row in cells[:, 1:].tolist()}
    shares = [np.mean([tuple(row) in real for row in rows.tolist()]) for rows in (made, pairs(4000, rng))]
    assert shares[0] < shares[1] + 0.05


def follows(cells: np.ndarray) -> np.ndarray:
    return np.where(cells[:, 0] == 0, cells[:, 1] == 1, cells[:, 2] > 1)


def designed() -> np.ndarray:
    """Every combination of five columns once, and a sixth that follows from them, in chance order: int64 [432, 6]."""
    sizes = (3, 3, 4, 4, 3)
    cells = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), -1).reshape(-1, len(sizes))
    answer = follows(cells)
    return np.random.default_rng(3).permutation(np.column_stack([cells, answer]))


def test_rows_that_equal_those_kept_apart_as_often_as_those_learned_from_are_none_for_that() -> None:
    whole, rng = designed(), np.random.default_rng(4)
    own, other = Learned.of(whole[:216]), Learned.of(whole[216:])

    def fair(drawn: np.ndarray) -> bool:
        return as_often(float(shares(own.kinds(drawn))[0]), float(shares(other.kinds(drawn))[0]), 216)

    assert fair(whole[rng.integers(432, size=4000)])
    assert not fair(whole[rng.integers(216, size=4000)])
    assert not fair(np.concatenate([whole[:216], whole])[rng.integers(648, size=4000)])


def test_in_a_table_of_every_combination_once_what_follows_from_them_is_learned() -> None:
    """Its rows never repeat, so that any that are drawn looked like copies: leaves grew until nothing followed from anything."""
    whole = designed()
    space = Codes((3, 3, 4, 4, 3, 2), (True, True, True, True, True, False))
    model = Model(space, 0)
    assert list(model.fit(torch.from_numpy(whole[:320]), None, 0, None))[-1] == 1.0
    assert model.fair
    made = model.sample(2000, None, torch.Generator().manual_seed(0), independent=True).numpy()
    assert (follows(made) == made[:, 5]).mean() > 0.95
