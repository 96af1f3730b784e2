"""Small narrow tables whose rows come back: copying and membership are seen by few unseen rows; innocent ones are let go."""

from __future__ import annotations

import numpy as np
import pytest
from cases import case

from karat.assays import Finding, find
from karat.assays.table import linkage, membership
from karat.views import Columns, TableView

KINDS = {
    "whole numbers": lambda rng, n: np.stack([rng.integers(18, 90, n), rng.integers(0, 60, n)], 1).astype(float),
    "amounts": lambda rng, n: np.round(np.stack([rng.lognormal(2, 1, n), rng.normal(50, 20, n)], 1), 1),
    "a number and a choice": lambda rng, n: np.stack([rng.integers(0, 900, n), rng.integers(0, 5, n)], 1).astype(float),
    "three columns": lambda rng, n: rng.integers(0, (40, 5, 30), (n, 3)).astype(float),
}
CHOICES = {"a number and a choice": ((), tuple("abcde")), "three columns": ((), tuple("abcde"), ())}


def columns(kind: str) -> Columns:
    choices = CHOICES.get(kind, ((), ()))
    return Columns(tuple("abc"[: len(choices)]), choices)


def judged(kind: str, n: int, share: float, seed: int) -> list[Finding]:
    """Of 300 independent rows 31 are unseen; of `n` made ones a `share` are training rows, the others new ones."""
    rng = np.random.default_rng(seed)
    values = KINDS[kind](rng, 300)
    train, unseen, made = values[:269], values[269:], KINDS[kind](rng, n)
    copies = round(share * n)
    made[:copies] = train[rng.integers(len(train), size=copies)]
    sheets = [TableView(columns(kind), x) for x in (train, unseen, made)]
    of = case(*sheets)
    return [*linkage.findings(of), *membership.findings(of)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_table_of_which_four_rows_in_ten_come_back_is_accused_of_it(kind: str) -> None:
    few, many = judged(kind, 300, 0.4, 0), judged(kind, 5000, 0.4, 0)
    assert find(few, "copy rate").raised and find(many, "copy rate").raised
    assert find(many, "membership").raised, find(many, "membership").summary


@pytest.mark.parametrize("kind", KINDS)
def test_independent_rows_of_a_small_table_are_not_accused(kind: str) -> None:
    for seed in range(2):
        for n in (60, 300, 3000):
            assert not [f.summary for f in judged(kind, n, 0.0, seed) if f.raised]


def test_rows_that_repeat_in_real_data_may_repeat_in_what_is_made() -> None:
    """Half of all real rows are one of ten; so are half of the made ones, and they equal training rows."""
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(10, 2))

    def rows(n: int) -> np.ndarray:
        return np.where(rng.random(n)[:, None] < 0.5, kinds[rng.integers(10, size=n)], rng.normal(size=(n, 2)))

    sheets = [TableView(columns("amounts"), rows(n)) for n in (269, 31, 3000)]
    assert not find(linkage.findings(case(*sheets)), "copy rate").raised


@pytest.mark.parametrize("values", [4, 3])
def test_rows_that_many_training_rows_have_are_no_copies_though_unseen_ones_have_a_rare_value(values: int) -> None:
    names = Columns(("a",), (tuple("abcdef"[: values + 1]),))
    train = np.repeat(np.arange(values), 5)[:, None].astype(float)
    unseen = np.array([[values]] * 4 + [[0.0]] * 16, float)
    made = np.random.default_rng(0).integers(0, values, (5_000, 1)).astype(float)
    found = linkage.copies(*(TableView(names, rows) for rows in (train, unseen, made)))
    assert found.value == 1 and not found.raised


def test_training_rows_that_were_recorded_twice_excuse_no_copies_where_unseen_rows_repeat_none() -> None:
    rng = np.random.default_rng(0)
    names = Columns(("a", "b"), ((), ()))
    once, unseen, fresh = (rng.integers(0, 60, (k, 2)).astype(float) for k in (150, 60, 1_500))
    train = np.concatenate([once, once])
    copied = np.where(rng.random((1_500, 1)) < 0.4, train[rng.integers(0, 300, 1_500)], fresh)
    found = [linkage.copies(*(TableView(names, rows) for rows in (train, unseen, made))) for made in (copied, fresh)]
    assert found[0].raised and not found[1].raised


def every_case(seed: int) -> np.ndarray:
    """All 5,184 combinations of six columns, each once, in an order of chance."""
    cells = np.stack(np.meshgrid(*map(np.arange, (6, 6, 4, 4, 3, 3)), indexing="ij"), -1).reshape(-1, 6)
    return np.random.default_rng(seed).permutation(cells).astype(float)


@pytest.mark.parametrize(("share", "accused"), [(0.0, False), (0.2, True)])
def test_rows_of_a_table_that_lists_every_case_once_are_copies_only_beyond_how_often_unseen_ones_are_met(
    share: float, accused: bool
) -> None:
    """No two real rows are equal, and 7 of 10 rows drawn from all cases equal a training row; then one of five is copied."""
    whole, rng = every_case(0), np.random.default_rng(1)
    train, unseen, made = whole[:3600], whole[3600:], whole[rng.integers(len(whole), size=4000)]
    copies = round(share * len(made))
    made[:copies] = train[rng.integers(len(train), size=copies)]
    names = Columns(tuple("abcdef"), ((),) * 6)
    found = linkage.copies(*(TableView(names, rows) for rows in (train, unseen, made)))
    assert found.value > 0.6 and found.raised == accused, found.summary


def test_few_unseen_rows_that_are_met_cannot_tell_what_is_due() -> None:
    whole, rng = every_case(2), np.random.default_rng(3)
    train, unseen, made = whole[:3600], whole[3600:3700], whole[rng.integers(len(whole), size=1500)]
    names = Columns(tuple("abcdef"), ((),) * 6)
    found = linkage.copies(*(TableView(names, rows) for rows in (train, unseen, made)))
    assert not found.raised and found.state == "cannot tell", found.summary


@pytest.mark.exam
@pytest.mark.parametrize(("share", "states"), [(0.0, {"cannot tell"}), (0.05, {"cannot tell"}), (0.2, {"raised"})])
def test_of_twenty_such_tables_none_is_accused_wrongly_and_none_with_a_fifth_of_copies_let_go(
    share: float, states: set[str]
) -> None:
    names, seen = Columns(tuple("abcdef"), ((),) * 6), set[str]()
    for seed in range(20):
        whole, rng = every_case(seed), np.random.default_rng(seed + 99)
        train, unseen, made = whole[:3600], whole[3600:4600], whole[rng.integers(len(whole), size=3000)]
        copies = round(share * len(made))
        made[:copies] = train[rng.integers(len(train), size=copies)]
        seen.add(linkage.copies(*(TableView(names, rows) for rows in (train, unseen, made))).state)
    assert seen == states
