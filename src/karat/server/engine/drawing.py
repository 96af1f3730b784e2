"""The thread that draws: whatever computes on a loaded run is done in it, one step after another."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from karat.errors import FitError, KaratError
from karat.server.engine import work
from karat.server.engine.apart import SLICE, Apart
from karat.server.engine.book import Book
from karat.server.engine.drawn import Drawn
from karat.server.engine.line import Line
from karat.server.engine.meters import Meters
from karat.server.engine.shelf import Loaded, Shelf, Source
from karat.server.engine.ticket import End, Post, Ticket
from karat.server.problems import Problem
from karat.workflow.curating import NONE

LOG = logging.getLogger("karat.server")
LINGER, LONGEST = 0.01, 0.1  # seconds without a request, and in all, after which no more are waited for
FALLS = 0.9  # share of the requests of a batch that are looked for in the next ones


class Drawing(threading.Thread):
    """Ends once `line` is closed and empty.   running: requests under way.   settles: that the process is the server's own, whose
    garbage it may settle whenever runs were loaded or let go.   asked: how many are open, whose answers are not yet
    out."""

    def __init__(
        self, line: Line, shelf: Shelf, meters: Meters, hidden: Sequence[Path], asked: Callable[[], int]
    ) -> None:
        super().__init__(name="engine", daemon=True)
        self._line, self._shelf, self._meters, self._hidden = line, shelf, meters, hidden
        self._book, self._post = Book(), Post()
        self.running, self._last = 0, 1
        self.settles, self._settled = False, ""
        self._asked, self._absent = asked, 0

    def run(self) -> None:
        while (ticket := self._line.take(10.0)) is not None or not self._line.closed:
            if ticket is not None and ticket.steps is None:
                self._begin(ticket)
            elif ticket is not None:
                self._step(ticket)
            self._post.send()
            self._book.settle()
            if self.settles and self._settled != (loaded := self._shelf.state):
                self._settled = loaded
                settle()
        self._book.settle(now=True)

    def _answered(self) -> int:
        """How many requests are neither waiting nor being drawn: their answers are written, or they are read."""
        return self._asked() - len(self._line) - self.running

    def _coming(self) -> bool:
        """Whether some are on their way: who was answered in a batch and asks again is best drawn with the others of that batch.

        As many as did not come when they were waited for, such as readers who are slow, are waited for no more.
        """
        found = self._answered()
        self._absent = min(self._absent, found)
        return found > self._absent

    def _begin(self, first: Ticket) -> None:
        """Draws a request together with all those in the line that may be, as many as have room."""
        began, group = time.perf_counter(), [first]
        try:
            loaded = self._shelf.get(first.name)
            kind = _kind(first, loaded)
            if kind is not None:
                if self._last > 1:  # several came at a time lately
                    late = self._line.linger(loaded.together.most - 1, LINGER, LONGEST, self._coming)
                    self._absent = self._answered() if late else self._absent
                group += self._line.also(_Fitting(first, loaded))
                began = time.perf_counter()
            self._last = max(len(group), int(FALLS * self._last))
            sources = [Source(loaded.synth)]
            if kind is not None:
                gated = [ticket.options.gate != NONE for ticket in group]
                sources = loaded.ahead([ticket.request for ticket in group], gated)
        except BaseException as error:  # all others wait for this thread: nothing may end it
            self._line.spend(first, time.perf_counter() - began)
            self._fail(group, error)
            return
        self._meters.together.labels(loaded.name).observe(len(group))
        seconds, records = time.perf_counter() - began, sum(ticket.request.n for ticket in group)
        self._book.busy(loaded, seconds)
        self.running += len(group)
        for ticket, source in zip(group, sources, strict=True):
            self._line.spend(ticket, seconds * ticket.request.n / records)
            steps = ticket.work(ticket, loaded, source)
            ticket.loaded, ticket.steps = loaded, Apart(steps) if kind is None and not ticket.alone else steps
        for ticket in group:
            self._meters.queue.labels(loaded.name).observe(ticket.waited)
            self._step(ticket)

    def _step(self, ticket: Ticket) -> None:
        """Its work, until it gives something or others may have their turn; its end answers it."""
        loaded, steps, began = ticket.loaded, ticket.steps, time.perf_counter()
        assert loaded is not None and steps is not None, "it was begun"
        if ticket.gone:
            steps.close()
            self._end(ticket, loaded)
            return
        try:
            while (given := next(steps)) is None and not ticket.gone and time.perf_counter() - began < SLICE:
                pass
        except StopIteration as end:
            self._spend(ticket, loaded, began)
            self._answer(ticket, loaded, end.value)
        except BaseException as error:  # all others wait for this thread: nothing may end it
            self._spend(ticket, loaded, began)
            self._end(ticket, loaded)
            self._fail([ticket], error)
        else:
            self._spend(ticket, loaded, began)
            if given is not None:
                self._post.add(ticket, given)
            self._line.again(ticket)

    def _answer(self, ticket: Ticket, loaded: Loaded, last: object) -> None:
        if isinstance(last, Drawn):
            money = self._book.money(loaded, ticket.spent)
            currency = loaded.prices.currency
            last = replace(last, waited=ticket.waited, seconds=ticket.spent, money=money, currency=currency)
            self._book.made(loaded, last)
            self._meters.items.labels(loaded.name, ticket.caller.name).inc(last.count)
            self._meters.dropped.labels(loaded.name).inc(sum(last.tally.dropped.values()))
            if money is not None:
                self._meters.money.labels(loaded.name, str(currency)).inc(money)
        self._post.add(ticket, last, End())
        self._end(ticket, loaded)

    def _end(self, ticket: Ticket, loaded: Loaded) -> None:
        self.running -= 1
        self._line.done(ticket)
        self._meters.latency.labels(loaded.name).observe(time.perf_counter() - ticket.since)

    def _spend(self, ticket: Ticket, loaded: Loaded, began: float) -> None:
        seconds = time.perf_counter() - began
        self._line.spend(ticket, seconds)
        self._book.busy(loaded, seconds)
        self._meters.busy.labels(loaded.name).inc(seconds)

    def _fail(self, tickets: Sequence[Ticket], error: BaseException) -> None:
        said = work.told(error, self._hidden)
        if not isinstance(said, Exception):  # such as SystemExit, which would end whoever waits for it
            said = RuntimeError(f"drawing was ended by {type(error).__name__}")
        self._meters.rejected.labels(said.code if isinstance(said, Problem) else type(said).__name__).inc(len(tickets))
        if not isinstance(error, KaratError | Problem):
            LOG.error("%s could not be drawn from", tickets[0].name, exc_info=error)
        for ticket in tickets:
            self._post.add(ticket, said)


def settle() -> None:
    """Takes what the process holds now out of the garbage collector's sight, less what can be let go.

    To look through all of torch and scipy takes 0.2 s, in which nobody is answered, and that every few hundred requests.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


class _Fitting:
    """Says of one ticket after another whether it is drawn together with `first`, until there is no more room."""

    def __init__(self, first: Ticket, loaded: Loaded) -> None:
        self._first, self._loaded, self._kind = first, loaded, _kind(first, loaded)
        self._left = loaded.together.most - first.request.n

    def __call__(self, ticket: Ticket) -> bool:
        fits = ticket.name == self._first.name and ticket.request.n <= self._left
        if not fits or _kind(ticket, self._loaded) != self._kind:
            return False
        self._left -= ticket.request.n
        return True


def _kind(ticket: Ticket, loaded: Loaded) -> tuple[bool, bool] | None:
    """As of `Together.kind`; None for what is drawn alone."""
    if ticket.alone or not ticket.plain:
        return None
    try:
        return loaded.together.kind(ticket.request)
    except FitError:  # which its own drawing will say
        return None
