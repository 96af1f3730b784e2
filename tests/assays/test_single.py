"""Findings about records one by one: those that are odd in one way, those that repeat each other, passages with two halves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from karat.assays.chance import draw
from karat.assays.finding import Finding
from karat.assays.points.embedded import Embedded
from karat.assays.points.points import Case
from karat.assays.points.single import _alike, mislabelled
from karat.assays.single import outlying, repeating
from karat.assays.single.outlying import Read
from karat.assays.single.repeating import Alike, choices, grouped
from karat.assays.text.single import coherence

N, REAL = 1_000, 2_000


def measured(share: float, seed: int, learned: int = REAL) -> list[Finding]:
    """Ten numbers of records, of one of which a share lies 6 standard deviations off."""
    rng = np.random.default_rng(seed)
    out = []
    for k in range(10):
        made = rng.normal(size=N)
        if k == 3:
            made[: round(share * N)] += 6
        out.append(Read(f"number {k}", rng.normal(size=learned), rng.normal(size=REAL), made))
    return outlying.judged(out, "record")[0]


def test_a_twentieth_that_is_odd_in_one_way_is_found_and_named() -> None:
    (found,) = measured(0.05, 0)
    assert found.raised and "number 3 is at most" in found.summary and "number 4" not in found.summary
    assert all(one.column == "number 3" for one in found.detail.columns)  # type: ignore[union-attr]


def test_odd_ones_are_found_beside_unseen_records_alone() -> None:
    assert measured(0.05, 1, learned=0)[0].raised


def test_real_records_are_seldom_odd() -> None:
    for seed in range(40):
        (found,) = measured(0, seed)
        assert found.state == "ok", found.summary


def pairs(n: int, twice: int, often: int = 0) -> Alike:
    """The first `twice` records with the next as many, and the last `often` with one another."""
    a, b = np.arange(twice), twice + np.arange(twice)
    last = np.arange(n - often, n)
    one, other = (x.ravel() for x in np.meshgrid(last, last))
    return grouped(n, [(a, b), (b, a), (one, other)])


def repeats(made: Alike, real: list[Alike], like: int = 0) -> Finding:
    (found,) = repeating.judged(made, real, lambda _: like, REAL, "record", repeating.numbered)
    return found


def test_records_that_are_alike_are_grouped() -> None:
    some = pairs(100, 5, 4)
    assert some.groups == 6 and int(some.which.sum()) == 14 and some.others[-1] == 3


def test_the_same_again_and_again_is_one_group_however_many_there_are() -> None:
    x = torch.zeros(2_500, 3)
    x[::5] = 1
    alike = _alike(x, 0.5)
    assert alike.groups == 2 and set(np.unique(alike.others)) == {499, 1_999}


def test_many_that_are_made_twice_are_found_and_shown() -> None:
    none = pairs(N, 0)
    found = repeats(pairs(N, 50), [none, none])
    assert found.raised and "10.00%" in found.summary and "numbers 1, 51" in found.summary
    assert not repeats(pairs(N, 3), [none, none]).raised


def test_what_repeats_itself_in_real_data_may_be_made_so() -> None:
    usual = pairs(N, 60)
    assert not repeats(pairs(N, 62), [usual, usual]).raised


def test_one_record_over_and_over_is_found_by_itself() -> None:
    none = pairs(N, 0)
    found = repeats(pairs(N, 0, 20), [none, none])
    assert found.raised and "is made 20 times; of 2,000 real ones 0 are like it" in found.summary
    assert not repeats(pairs(N, 0, 20), [none, none], like=40).raised


def test_of_few_real_records_nothing_is_said() -> None:
    assert choices(10, 20, 0) == [] and repeating.judged(pairs(N, 0), [], int, 10, "record", repeating.numbered) == []


def test_the_second_half_of_a_passage_takes_up_words_of_the_first() -> None:
    weight = {"a": 1.0, "b": 2.0, "x": 1.0}
    same = ["a", "b", "x", "x", "x", "x", "a", "b", "x", "x", "x", "x"]
    other = ["a", "b", "x", "x", "x", "x", "c", "c", "c", "c", "c", "x"]
    assert coherence([same, other, ["a"]], weight, 3.0).tolist() == pytest.approx([1.0, 0.25])


def labelled(wrong: float, pair: float, seed: int) -> Finding:
    """1,500 made records of ten classes, a share of which have the next label, and a share of the fours are called nine."""
    rng = np.random.default_rng(seed)

    def side(n: int, spoilt: bool) -> Embedded:
        true = torch.from_numpy(rng.integers(0, 10, n))
        read = torch.where(torch.from_numpy(rng.random(n) < 0.03), torch.from_numpy(rng.integers(0, 10, n)), true)
        label = torch.where(torch.from_numpy(rng.random(n) < wrong * spoilt), (true + 1) % 10, true)
        label = torch.where(torch.from_numpy((true.numpy() == 4) & (rng.random(n) < pair * spoilt)), 9, label)
        return Embedded(torch.zeros(n, 1, 2, 2), torch.zeros(n, 1), label, torch.eye(10)[read])

    sides = side(100, False), side(1_500, False), side(1_500, True)
    case = Case(*sides, tuple("0123456789"), (), seed, draw(1_500, 1_500, rng))
    return mislabelled(case)[0]


def test_wrong_labels_are_found_in_one_class_and_in_all() -> None:
    assert "labelled 9" in labelled(0, 0.4, 0).summary and labelled(0, 0.4, 0).raised
    assert labelled(0.1, 0, 1).raised
    assert not [seed for seed in range(20) if labelled(0, 0, seed).state != "ok"]
