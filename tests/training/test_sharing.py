"""How many threads a training takes of a processor that others use too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from karat.training import sharing
from karat.training.loop import Plan


@pytest.fixture
def four() -> Iterator[None]:
    """Four threads, whatever this process has otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("took", "wanted"),
    [
        ({8: 1.0, 4: 1.9, 2: 3.7, 1: 7.2}, 8),  # alone
        ({8: 1.0, 4: 1.0, 2: 1.0, 1: 1.0}, 8),  # too small to be split
        ({8: 30.0, 4: 1.9, 2: 3.7, 1: 7.2}, 4),  # half of the cores are taken
        ({8: 90.0, 4: 60.0, 2: 40.0, 1: 7.2}, 1),  # all are
        ({6: 9.0, 3: 2.0, 1: 5.0}, 3),
        ({1: 5.0}, 1),
    ],
)
def test_the_threads_are_halved_as_long_as_that_is_faster(took: dict[int, float], wanted: int) -> None:
    assert sharing.fastest(max(took), took.__getitem__) == wanted


def test_others_who_come_and_go_between_two_measurements_do_not_decide() -> None:
    times = {2: iter([0.5, 30.0, 30.0]), 1: iter([1.0, 1.0, 1.0])}
    assert sharing.fastest(2, lambda n: next(times[n])) == 1


def test_a_training_leaves_as_many_threads_as_it_found(four: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "GAIN", 0.0)  # one thread is always faster
    with sharing.sharing(free=True) as look:
        look()
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 4
    with sharing.sharing(free=False) as look:
        look()
        assert torch.get_num_threads() == 4


def test_only_a_budget_in_time_without_threads_of_its_own_follows_what_others_leave() -> None:
    cpu = torch.device("cpu")
    assert sharing.may_change(Plan(minutes=1, shared=True), cpu)
    assert not sharing.may_change(Plan(minutes=1, shared=False), cpu), "the person named a number"
    assert not sharing.may_change(Plan(minutes=1, clock="cpu", shared=True), cpu)
    assert not sharing.may_change(Plan(steps=9, shared=True), cpu), "the same seed gives the same bytes"
    assert not sharing.may_change(Plan(minutes=1, shared=True), torch.device("cuda"))
