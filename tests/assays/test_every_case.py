"""Data that list every case once: real records never meet each other, and whatever is like them meets some of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from karat.assays import Finding, find
from karat.assays.chance import draw
from karat.assays.points import memory, points
from karat.assays.points.embedded import Embedded
from karat.assays.table import linkage
from karat.assays.text import copying, texts
from karat.views import Columns, TableView, TextView

BOARDS = Columns(tuple("abcdefghi"), (tuple("xo-"),) * 9)


def boards(rng: np.random.Generator, n: int) -> np.ndarray:
    """Different boards that differ from each other in two cells at least: the last is what makes the sum even."""
    first = rng.permutation(3**8)[:n]
    cells = np.stack([first // 3**k % 3 for k in range(8)], 1)
    return np.column_stack([cells, -cells.sum(1) % 3]).astype(float)


def altered(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each row with one cell changed."""
    out, column = rows.copy(), rng.integers(rows.shape[1], size=len(rows))
    at = np.arange(len(rows)), column
    out[at] = (out[at] + rng.integers(1, 3, size=len(rows))) % 3
    return out


def near_copies(share: float, seed: int, train: int = 480, unseen: int = 480, made: int = 3000) -> Finding:
    """Of boards that lie one cell from a real one, whichever it is; a `share` of them from one that was learned from."""
    rng = np.random.default_rng(seed)
    whole = boards(rng, train + unseen)
    rows = whole[rng.integers(len(whole), size=made)]
    copies = round(share * made)
    rows[:copies] = whole[rng.integers(train, size=copies)]
    sides = whole[:train], whole[train:], altered(rows, rng)
    return linkage._near(*(TableView(BOARDS, side) for side in sides))


def test_rows_beside_real_ones_of_which_none_repeats_are_no_near_copies_where_unseen_ones_have_as_many_beside_them() -> (
    None
):
    """Whichever board a made one lies beside stands out for it, as for no real one; then four of ten lie beside learned ones."""
    fair, copied = near_copies(0.0, 0), near_copies(0.4, 0)
    assert fair.value > 0.4 and not fair.raised, fair.summary
    assert copied.raised and copied.value > copied.real + 0.1, copied.summary


def test_few_unseen_rows_that_have_made_ones_beside_them_cannot_tell_whether_rows_were_copied() -> None:
    found = near_copies(0.0, 0, train=150, unseen=30, made=1000)
    assert found.value > 0.4 and found.state == "cannot tell", found.summary


@pytest.mark.exam
@pytest.mark.parametrize(("share", "states"), [(0.0, {"cannot tell"}), (0.4, {"raised"})])
def test_of_twenty_tables_of_boards_none_is_accused_wrongly_and_none_let_go(share: float, states: set[str]) -> None:
    assert {near_copies(share, seed).state for seed in range(20)} == states


def wide(rng: np.random.Generator, n: int) -> np.ndarray:
    """Ten numbers that go with each other, and four choices."""
    shared = rng.standard_normal((n, 3))
    numbers = shared @ np.random.default_rng(0).standard_normal((3, 10)) + rng.standard_normal((n, 10))
    return np.column_stack([numbers, rng.integers(0, (3, 4, 5, 8), (n, 4))])


@pytest.mark.parametrize(("train", "unseen"), [(900, 100), (500, 500)])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.2])
def test_jittered_copies_of_wide_rows_are_found(train: int, unseen: int, share: float) -> None:
    """A copy has each number moved by a tenth of a standard deviation."""
    rng = np.random.default_rng(1)
    sides = [wide(rng, n) for n in (train, unseen, 500)]
    copies = round(share * 500)
    sides[2][:copies] = sides[0][rng.permutation(train)[:copies]]
    sides[2][:copies, :10] += 0.1 * sides[0][:, :10].std(0) * rng.standard_normal((copies, 10))
    columns = Columns(tuple("abcdefghijklmn"), ((),) * 10 + tuple(tuple("stuvwxyz"[:k]) for k in (3, 4, 5, 8)))
    found = linkage._near(*(TableView(columns, side) for side in sides))
    assert found.raised == (share > 0), found.summary
    assert not share or found.value > 0.5 * share


def parts(cases: int, copied: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which cases are learned from, unseen and made, 1,000 with repetition; a share `copied` of these was learned from."""
    rng = np.random.default_rng(0)
    order, made = rng.permutation(cases), rng.integers(cases, size=1000)
    train, unseen = order[: cases // 2], order[cases // 2 : 3 * cases // 4]
    made[: round(copied * 1000)] = train[rng.integers(len(train), size=round(copied * 1000))]
    return train, unseen, made


def icons(cases: np.ndarray) -> Embedded:
    """Pictures of 4 x 4 squares, each bright or dark, no two of which differ in less than two squares."""
    bits = 2.0 * (cases[:, None] >> np.arange(10) & 1) - 1
    frame = np.broadcast_to([-1.0, 1.0, 1.0, 1.0, 1.0], (len(bits), 5))
    squares = np.column_stack([bits, bits.prod(1), frame]).reshape(-1, 1, 4, 4)
    pictures = torch.from_numpy(np.kron(squares, np.ones((3, 3)))).float()
    return Embedded(pictures, pictures.flatten(1), None, None)


@pytest.mark.parametrize(("copied", "state"), [(0.0, "cannot tell"), (0.6, "raised")])
def test_pictures_that_equal_learned_ones_as_often_as_unseen_ones_are_no_copies(copied: float, state: str) -> None:
    train, unseen, made = (icons(part) for part in parts(1024, copied))
    draws = draw(len(unseen), len(made), np.random.default_rng(0))
    found = find(memory.findings(points.Case(train, unseen, made, (), (), 0, draws)), "copy rate")
    assert found.value > 0.4 and found.state == state, found.summary


SENTENCES = [
    f"The {size} {shape} lies {place} {time}."
    for size, shape, place, time in itertools.product(
        ("red", "green", "blue", "black", "white", "small"),
        ("circle", "square", "triangle", "hexagon", "star", "ring"),
        ("on a table", "under a chair", "beside the door", "behind the house"),
        ("in the morning", "at noon", "at night", "in the evening", "all day"),
    )
]


@pytest.mark.parametrize(("copied", "state"), [(0.0, "cannot tell"), (0.6, "raised")])
def test_sentences_that_equal_learned_ones_as_often_as_unseen_ones_are_not_copied(copied: float, state: str) -> None:
    sides = (TextView(tuple(SENTENCES[i] for i in part)) for part in parts(len(SENTENCES), copied))
    found = copying.findings(texts.Case(*sides))
    for name in ("verbatim run", "copy rate"):
        assert find(found, name).state == state, find(found, name).summary
