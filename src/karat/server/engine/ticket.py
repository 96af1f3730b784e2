"""A request on its way through the engine."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from karat.options import MakeOptions
from karat.request import Request
from karat.server.engine.shelf import Loaded, Source
from karat.server.guard.guard import Caller

Work = Callable[["Ticket", Loaded, Source], Generator[Any, None, Any]]


FEW = 8  # answers of a batch that are handed out before the loop looks who else has come
ANYONE = Caller("", frozenset())


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
    caller: Caller = ANYONE
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
    def whose(self) -> tuple[str, str]:
        """By whom it takes its turn."""
        return self.caller.account, self.caller.connection

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
                loop.call_soon_threadsafe(_hand_out, loop, deque(each for each in letters if each[0].loop is loop))


def _hand_out(loop: asyncio.AbstractEventLoop, letters: deque[tuple[Ticket, Any]]) -> None:
    """A few at a time: who comes meanwhile is not kept waiting until all have had their files written."""
    for _ in range(min(FEW, len(letters))):
        ticket, answer = letters.popleft()
        ticket.answers.put_nowait(answer)
    if letters:
        loop.call_soon(_hand_out, loop, letters)
