"""A request on its way through the engine, and the line in which it waits."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from karat.options import MakeOptions
from karat.request import Request
from karat.server.engine.shelf import Loaded, Source

Work = Callable[["Ticket", Loaded, Source], Generator[Any, None, Any]]


class End:
    """Nothing more comes."""


@dataclass(eq=False)
class Ticket:
    """What is asked, of which run; where its answers go.

    work: what makes them, step by step, in the engine's thread: it yields what is given meanwhile, or None, and returns what is
    given last.   alone: that it is never drawn together with others.   begun: when it left the line, 0 before.   loaded, steps:
    its run and its work from then on.   gone: that nobody waits for it any more.   spent: seconds of the thread's time.
    """

    name: str
    request: Request
    options: MakeOptions
    work: Work
    caller: str = ""
    alone: bool = False
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    answers: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    since: float = field(default_factory=time.perf_counter)
    begun: float = 0.0
    spent: float = 0.0
    loaded: Loaded | None = None
    steps: Generator[Any, None, Any] | None = None
    gone: bool = False

    @property
    def plain(self) -> bool:
        """Whether what is drawn is the request itself, as it is."""
        asked = self.options
        return not asked.watermark and asked.keep is None and asked.classes is None

    @property
    def waited(self) -> float:
        """Seconds in the line."""
        return self.begun - self.since


class Post:
    """What tickets are given, handed to their event loops all at once, since each waking of a loop costs a system call."""

    def __init__(self) -> None:
        self._letters: list[tuple[Ticket, Any]] = []

    def add(self, ticket: Ticket, *answers: Any) -> None:
        """An exception is raised where the ticket is awaited; after `End` nothing more comes."""
        self._letters += [(ticket, answer) for answer in answers if not ticket.gone]

    def send(self) -> None:
        letters, self._letters = self._letters, []
        for loop in {ticket.loop for ticket, _ in letters}:
            with contextlib.suppress(RuntimeError):  # it was closed
                loop.call_soon_threadsafe(_hand_out, [each for each in letters if each[0].loop is loop])


def _hand_out(letters: Sequence[tuple[Ticket, Any]]) -> None:
    for ticket, answer in letters:
        ticket.answers.put_nowait(answer)


class Line:
    """Those that wait, at most `most`, and those that were begun and have more steps to go, each of which is as one that came
    when it last stepped.
    """

    def __init__(self, most: int) -> None:
        self._most, self._closed = most, False
        self._tickets: deque[Ticket] = deque()
        self._waiting = 0
        self._some = threading.Condition()

    def __len__(self) -> int:
        """How many wait to be begun."""
        return self._waiting

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def full(self) -> bool:
        """Whether nobody may join."""
        return self._closed or self._waiting >= self._most

    def join(self, ticket: Ticket) -> bool:
        """Whether there was room."""
        with self._some:
            if self.full:
                return False
            self._waiting += 1
            self._tickets.append(ticket)
            self._some.notify()
            return True

    def again(self, ticket: Ticket) -> None:
        """Puts one that was begun behind all others."""
        with self._some:
            self._tickets.append(ticket)

    def leave(self, ticket: Ticket) -> bool:
        """Nobody waits for it any more; whether it had not been begun."""
        ticket.gone = True
        return self.drop(ticket)

    def drop(self, ticket: Ticket) -> bool:
        """Takes it out where it had not been begun; whether that is so."""
        with self._some:
            if ticket.begun or ticket not in self._tickets:
                return False
            self._tickets.remove(ticket)
            self._waiting -= 1
            return True

    def take(self, seconds: float) -> Ticket | None:
        """The next, None where none came in so many seconds, or all is done after `close`."""
        with self._some:
            if not self._tickets and not self._closed:
                self._some.wait(seconds)
            if not self._tickets:
                return None
            ticket = self._tickets.popleft()
            self._begin(ticket)
            return ticket

    def linger(self, most: int, seconds: float) -> None:
        """Returns once so many wait, or so much time has passed."""
        with self._some:
            self._some.wait_for(lambda: self._waiting >= most or self._closed, seconds)

    def also(self, fits: Callable[[Ticket], bool]) -> list[Ticket]:
        """Takes all that wait and fit, in their order."""
        with self._some:
            taken = [ticket for ticket in self._tickets if not ticket.begun and fits(ticket)]
            for ticket in taken:
                self._tickets.remove(ticket)
                self._begin(ticket)
            return taken

    def _begin(self, ticket: Ticket) -> None:
        if not ticket.begun:
            ticket.begun = time.perf_counter()
            self._waiting -= 1

    def close(self) -> None:
        """Lets nobody in any more."""
        with self._some:
            self._closed = True
            self._some.notify_all()
