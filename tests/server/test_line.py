"""Who is next in the line, how many places one may hold, and when a refused one should come again."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from karat.options import MakeOptions
from karat.request import Request
from karat.server.engine import work
from karat.server.engine.line import FIRST, Line
from karat.server.engine.ticket import Ticket
from karat.server.guard.guard import Caller


@pytest.fixture
def ticket() -> Iterator[Callable[..., Ticket]]:
    """Makes tickets of an account, or of one connection of it."""
    loop = asyncio.new_event_loop()

    def made(account: str, connection: str = "", n: int = 1) -> Ticket:
        caller = Caller(account, frozenset(), account=account, connection=connection)
        return Ticket("run", Request(n), MakeOptions(""), work.records, caller, loop=loop)

    yield made
    loop.close()


def step(line: Line, seconds: float, more: bool = True) -> Ticket:
    """Gives the next one that long, and puts it back where it is to have more steps."""
    found = line.take(0)
    assert found is not None
    line.spend(found, seconds)
    if more:
        line.again(found)
    else:
        line.done(found)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_of_two_who_wait_neither_gets_more_time_than_the_other_by_more_than_a_step_of_each(
    ticket: Callable[..., Ticket], seed: int
) -> None:
    rng, line = np.random.default_rng(seed), Line(10_000)
    longest = dict(zip("abcde", (0.01, 0.1, 0.5, 2.0, 3.0), strict=True))
    for name in longest:  # some ask once, others in hundreds
        for _ in range(int(rng.integers(1, 300))):
            assert line.join(ticket(name))
    had = [dict.fromkeys(longest, 0.0)]
    for _ in range(2000):
        name = next(name for name in longest if line._turns.next().caller.account == name)
        seconds = float(rng.uniform(0, longest[name]))
        step(line, seconds)
        had.append({**had[-1], name: had[-1][name] + seconds})
    for one, other in itertools.combinations(longest, 2):
        apart = np.array([each[one] - each[other] for each in had])
        assert np.ptp(apart) <= longest[one] + longest[other], "in any stretch of time"


def test_who_comes_is_next_however_many_of_another_wait_and_were_begun(ticket: Callable[..., Ticket]) -> None:
    line = Line(600)
    for i in range(270):
        line.join(ticket("many", f"port {i}"))
    for _ in range(1000):
        step(line, 0.3)
    line.join(ticket("one"))
    assert {step(line, 0.3).caller.account for _ in range(2)} == {"one", "many"}


def test_connections_of_one_account_take_turns_and_gain_nothing_over_another_account(
    ticket: Callable[..., Ticket],
) -> None:
    line = Line(1000)
    for i in range(30):
        line.join(ticket("team", f"port {i % 3}"))
        line.join(ticket("ann", "port"))
    had = Counter(step(line, 1).whose for _ in range(60))
    assert had == {("ann", "port"): 30, **{("team", f"port {i}"): 10 for i in range(3)}}


def test_nobody_saves_up_what_he_did_not_ask_for(ticket: Callable[..., Ticket]) -> None:
    line = Line(100)
    line.join(ticket("idle"))
    step(line, 0.1, more=False)
    line.join(ticket("busy"))
    for _ in range(50):
        step(line, 1)
    line.join(ticket("idle"))
    assert Counter(step(line, 1).caller.account for _ in range(20)) == {"idle": 10, "busy": 10}


def test_what_one_had_while_nobody_else_asked_is_not_held_against_him(ticket: Callable[..., Ticket]) -> None:
    line = Line(100)
    for i in range(50):
        line.join(ticket("busy", f"port {i}"))
        step(line, 1, more=False)
    for name in ("busy", "new"):
        line.join(ticket(name))
    assert [step(line, 1, more=False).caller.account for _ in range(2)] == ["busy", "new"]
    assert len(line._turns.parts) <= 2, "who left is forgotten"


def test_one_holds_half_of_the_places_two_a_third_each_and_another_is_still_let_in(
    ticket: Callable[..., Ticket],
) -> None:
    line = Line(60)
    assert sum(line.join(ticket("a")) for _ in range(100)) == 30
    assert line.full("a") and not line.full("b")
    for _ in range(30):
        step(line, 1)
    assert line.full("a"), "what was begun keeps its place"
    assert sum(line.join(ticket("b")) for _ in range(100)) == 15
    for _ in range(10):
        line.drop(next(each for each in line._turns.all() if each.caller.account == "b"))
    for name in "cdefgh":
        assert line.join(ticket(name)), "every further one"
    line.close()
    assert line.full("new") and not line.join(ticket("new"))


def test_a_line_of_one_place_takes_one_and_a_line_of_none_nobody(ticket: Callable[..., Ticket]) -> None:
    line = Line(1)
    assert line.join(ticket("a")) and not line.join(ticket("a")) and not line.join(ticket("b"))
    assert not Line(0).join(ticket("a"))


def test_what_is_drawn_together_is_taken_of_each_in_turn(ticket: Callable[..., Ticket]) -> None:
    line, left = Line(100), iter(range(4))
    for _ in range(10):
        line.join(ticket("many"))
    few = [ticket("few", port) for port in ("1", "2", "2")]
    for each in few:
        line.join(each)
    taken = line.also(lambda _: next(left, None) is not None)
    assert Counter(each.caller.account for each in taken) == {"many": 2, "few": 2}
    assert [each for each in taken if each in few] == few[:2], "of its connections too"
    assert len(line) == 9


def test_when_to_come_again_follows_what_ones_own_requests_take_and_how_many_share_the_thread(
    ticket: Callable[..., Ticket],
) -> None:
    line = Line(1000)
    assert line.later("a") == pytest.approx(FIRST)
    for _ in range(10):
        line.join(ticket("slow"))
    line.join(ticket("quick"))
    for _ in range(200):
        line.join(ticket("slow"))
        line.join(ticket("quick"))
        line.take(0)
        for name, seconds in (("slow", 4.0), ("quick", 0.01)):
            done = ticket(name)
            line.spend(done, seconds)
            line.done(done)
        for each in list(line._turns.all())[11:]:
            line.drop(each)
    mine = sum(each.caller.account == "slow" for each in line._turns.all())
    assert 4 * mine * 0.95 <= line.later("slow") <= 4 * mine * 2.05, "between alone and two who share"
    assert line.later("quick") < 1
    line.join(ticket("new"))
    assert line.later("new") < line.later("slow")


def test_requests_that_take_longer_than_those_before_are_waited_for_longer(ticket: Callable[..., Ticket]) -> None:
    line = Line(1000)
    for _ in range(20):
        line.join(ticket("a"))
    for _ in range(200):
        step(line, 3)  # none of which is done yet
    assert line.later("a") >= 20 * 30


def test_who_is_on_the_way_is_waited_for_and_nobody_else(ticket: Callable[..., Ticket]) -> None:
    line, left = Line(100), [3]

    def comes() -> bool:  # as long as some are on their way, one of them arrives
        if left[0]:
            left[0] -= 1
            assert line.join(ticket("a"))
        return bool(left[0])

    assert not line.linger(50, 0.001, 60.0, comes)
    assert len(line) == 3
    assert line.linger(50, 0.001, 0.01, lambda: True), "whoever is slow is waited for no longer than that"
    assert not line.linger(3, 60.0, 60.0, lambda: True), "as many as were wanted wait already"


def test_what_is_kept_in_numbers_is_what_the_tickets_say(ticket: Callable[..., Ticket]) -> None:
    rng, line, begun = np.random.default_rng(0), Line(10_000), list[Ticket]()
    for _ in range(3000):
        kind = rng.integers(4)
        if kind < 2:
            line.join(ticket(str(rng.integers(5)), str(rng.integers(3))))
        elif kind == 2 and (found := line.take(0)) is not None:
            line.spend(found, float(rng.uniform(0, 0.1)))
            begun.append(found)
        elif begun:
            back = begun.pop()
            line.again(back) if rng.integers(2) else line.done(back)
        waiting = list(line._turns.all())
        assert line._turns.busy == len({each.caller.account for each in waiting})
        assert line._turns.spent == pytest.approx(sum(each.spent for each in waiting))


def test_who_asks_more_than_the_others_does_not_wait_until_all_of_them_have_had_as_much(
    ticket: Callable[..., Ticket],
) -> None:
    line, rng, waits, there = Line(10_000), np.random.default_rng(0), [0], set[str]()
    for _ in range(6000):  # of 300 who ask, few find a place; one comes again as soon as it was drawn for
        if "often" not in there:
            there.add("often")
            assert line.join(ticket("a", "often"))
            waits.append(0)
        while len(there) < 20:
            if (name := str(rng.integers(300))) not in there:
                there.add(name)
                assert line.join(ticket("a", name))
        there.discard(step(line, 1.0, more=False).caller.connection)
        waits[-1] += 1
    assert len(waits) > 200 and max(waits) <= 60  # 134 where those who were refused have as much to come
