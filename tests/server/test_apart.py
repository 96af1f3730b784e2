"""Steps that are held up in the middle give what they would give, at once or not at all, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
import torch

from karat import limits
from karat.server.engine import apart
from karat.server.engine.apart import Apart


@pytest.fixture(autouse=True)
def _at_every_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "SLICE", 0.0)


def counted(said: list[str], fails: bool = False) -> Generator[Any, None, Any]:
    try:
        with torch.no_grad():
            limits.pause()
            said.append("one")
            yield 1
            for _ in range(3):
                limits.pause()
            if fails:
                raise KeyError("two")
        said.append("two")
        return 2
    finally:
        said.append("end")


def test_the_steps_come_with_nothing_in_between_as_often_as_they_pause() -> None:
    said: list[str] = []
    steps, given = Apart(counted(said)), []
    while True:
        try:
            given.append(next(steps))
            assert torch.is_grad_enabled(), "what holds in their thread holds nowhere else"
        except StopIteration as end:
            assert end.value == 2
            break
    assert given == [None, 1, None, None, None] and said == ["one", "two", "end"]
    with pytest.raises(StopIteration):
        next(steps)


def test_what_goes_wrong_in_the_middle_is_raised_where_the_step_was_asked_for() -> None:
    said: list[str] = []
    with pytest.raises(KeyError, match="two"):
        list(Apart(counted(said, fails=True)))
    assert said == ["one", "end"]


@pytest.mark.parametrize(("taken", "left"), [(0, []), (1, ["end"]), (2, ["one", "end"]), (4, ["one", "end"])])
def test_steps_that_are_closed_end_where_they_were_held_up_and_their_thread_with_them(
    taken: int, left: list[str]
) -> None:
    said: list[str] = []
    steps = Apart(counted(said))
    for _ in range(taken):
        next(steps)
    steps.close()
    if taken:
        steps._thread.join(10)
    assert said == left and not steps._thread.is_alive() and not list(steps)


def test_where_nobody_holds_work_up_a_pause_does_nothing() -> None:
    said: list[str] = []
    assert list(counted(said)) == [1]
