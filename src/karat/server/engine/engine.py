"""One line of requests before one thread that draws."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry

from karat.content.table.rules.conditions import names_file
from karat.curation.wording import SHIPPED, Personal
from karat.options import MakeOptions, ServeOptions
from karat.request import Request
from karat.server.catalogue import Catalogue
from karat.server.engine import files, work
from karat.server.engine.book import Book
from karat.server.engine.drawing import Drawing
from karat.server.engine.drawn import Drawn, File, Partial
from karat.server.engine.line import Line
from karat.server.engine.meters import Meters
from karat.server.engine.shelf import Loaded, Shelf
from karat.server.engine.ticket import ANYONE, End, Ticket
from karat.server.guard.guard import Caller
from karat.server.guard.spending import Charge, Spending
from karat.server.problems import Problem
from karat.workflow.curating import NONE

GATES = frozenset({*SHIPPED, Personal.name, NONE})  # that a client may name; all others are files of this machine
SMALL = 2**12  # numbers whose files are written sooner than a thread is woken for it
T = TypeVar("T")


class Engine:
    """Loaded runs, a bounded line, one thread that draws; metrics on `registry`.

    Whatever waits in the line ends by being drawn, by its deadline, by the client's leaving (the task that awaits is cancelled:
    see `unless_gone`) or by `close`.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        options: ServeOptions,
        registry: CollectorRegistry | None = None,
        spending: Spending | None = None,
        asked: Callable[[], int] = int,
    ) -> None:
        """spending: what callers have quotas in; None where nobody has one.   asked: how many requests are open; none, where that
        is not known."""
        self.catalogue, self.options, self._spending = catalogue, options, spending
        self._each: dict[str, float] = {}  # what a record of each run cost when it was last drawn from
        self.metrics = Meters(CollectorRegistry() if registry is None else registry)
        self._line, self._shelf = Line(options.waiting), Shelf(catalogue, options.memory * 10**6)
        self._drawing = Drawing(self._line, self._shelf, self.metrics, catalogue.hidden, asked)
        self.metrics.waiting.set_function(lambda: len(self._line))
        self.metrics.running.set_function(lambda: self._drawing.running)
        self.metrics.runs.set_function(lambda: len(self._shelf.names()))
        self.metrics.memory.set_function(lambda: self._shelf.size)
        self._drawing.start()

    async def draw(
        self,
        name: str,
        request: Request,
        options: MakeOptions | None = None,
        *,
        gates: bool = True,
        deadline: float | None = None,
        caller: Caller = ANYONE,
    ) -> Drawn:
        """The records of a request: the same, byte for byte, whatever is drawn together with them.

        name: of the run, as `catalogue` has it.   options: labels, producer, gates, classes, keep, watermark, visible and
        safe_cells as of `karat make`; of gates those in GATES alone, and no `given` that is a file's name, since they would name
        files of this machine.   gates: whether made records must pass any.   deadline: seconds that it may wait, by default the
        server's.   caller: who asks, whose turn it is then.
        Raises Problem: 404 (no such run), 400 (what is not to be asked), 429 (the line is full; Retry-After), 504 (it waited too
        long), 503 (the server closes, or the run is too large), 500 (the run is damaged, or a gate failed); and KaratError for
        what the run cannot be asked.
        """
        ticket = await self._ticket(name, request, options, gates, caller, work.records)
        drawn: Drawn = await self._last(ticket, deadline)
        return drawn

    async def stream_text(
        self,
        name: str,
        request: Request,
        options: MakeOptions | None = None,
        *,
        deadline: float | None = None,
        caller: Caller = ANYONE,
    ) -> AsyncIterator[str | Drawn]:
        """One passage while it comes, beginning with the prompt, then all of it as `Drawn`. No gate looks at what was shown
        already. Raises as `draw` does; what is known before the first text, in the first step of the iterator.
        """
        if request.n != 1:
            raise Problem(400, "one_at_a_time", "text can be followed while it comes one passage at a time.", "n")
        ticket = await self._ticket(name, request, options, False, caller, work.text)
        async for answer in self._answers(ticket, deadline):
            yield answer

    async def partial(
        self,
        name: str,
        request: Request,
        options: MakeOptions | None = None,
        *,
        shown: int = 3,
        gates: bool = True,
        deadline: float | None = None,
        caller: Caller = ANYONE,
    ) -> AsyncIterator[Partial | Drawn]:
        """Up to `shown` earlier states of the records, where the family has steps; then the records as `draw` gives them."""
        ticket = await self._ticket(name, request, options, gates, caller, work.Shown(shown))
        async for answer in self._answers(ticket, deadline):
            yield answer

    async def open(self, name: str) -> Loaded:
        """The run as it is loaded, at once where it is; not to be computed with, but by `look`. Raises as `draw` does."""
        there = self._shelf.there(name)
        return await self.look(name, lambda loaded: loaded) if there is None else there

    async def look(self, name: str, look: Callable[[Loaded], T], *, deadline: float | None = None) -> T:
        """What `look` finds in the loaded run, in the thread that draws, in its turn: for latents, likelihoods and the like.

        `look` changes nothing and is quick. Raises as `draw` does.
        """
        ticket = await self._ticket(name, Request(), None, False, ANYONE, work.Look(look))
        found: T = await self._last(ticket, deadline)
        return found

    async def count(self, name: str, items: int, caller: Caller) -> None:
        """Takes records of a run that are shown though `draw` did not make them from the quota of who asks; Problem as there."""
        ticket = await self._ticket(name, Request(items), None, False, caller, work.records)
        async with self._charged(ticket) as charge:
            charge.keep()

    async def answer(self, drawn: Drawn, form: str) -> tuple[File, ...]:
        """Files of what was drawn, labelled.   form: a suffix of `codec.each`, for a file of each record, or of `codec.wholes`,
        or .npy, .npz and .zip where `each` is not empty, for one file of all. FitError for another.
        """
        if drawn.request.n * drawn.codec.spaces[0].numel <= SMALL:
            return files.files(drawn, form)
        return await asyncio.to_thread(files.files, drawn, form)

    def full(self, account: str, mine: int = 0, all_of: int = 0) -> bool:
        """Whether `admit` would raise for a caller with this account."""
        return self._line.full(account, mine, all_of)

    def admit(self, caller: Caller, mine: int = 0, all_of: int = 0) -> None:
        """Problem (429 or 503), as `draw` raises it, where the caller may have no more wait: cheaper than to ask.

        mine, all_of: requests that were let in and do not wait yet, of the caller and of all.
        """
        if self.full(caller.account, mine, all_of):
            raise self._refused(caller)

    def settles(self) -> None:
        """Lets the thread that draws settle the garbage of the whole process, which is the server's own, when runs are loaded."""
        self._drawing.settles = True

    def loaded(self) -> tuple[str, ...]:
        """Names of the runs that are loaded, the one used last at the end."""
        return self._shelf.names()

    def close(self) -> None:
        """Takes no more, draws what waits, enters in the ledgers what was made, and ends."""
        self._line.close()
        self._drawing.join()

    # In the event loop ----------------------------------------------------------------------------------------------

    async def _ticket(
        self, name: str, request: Request, options: MakeOptions | None, gates: bool, caller: Caller, do: Any
    ) -> Ticket:
        if self._shelf.there(name) is None:
            await asyncio.to_thread(self.catalogue.run, name)  # 404 at once, before it takes a place
        asked = MakeOptions("") if options is None else options
        named = [asked.gate] if isinstance(asked.gate, str) else [*asked.gate]
        gates = gates and named != [NONE]
        if not GATES.issuperset(named):
            raise Problem(
                400, "no_such_gate", f"the gates that may be asked for are {', '.join(sorted(GATES))}.", "gate"
            )
        if request.given is not None and names_file(request.given):
            raise Problem(
                400, "bad_request", "given holds conditions such as age=30..40, and no name of a file.", "given"
            )
        own = MakeOptions(
            "",
            seed=request.seed,
            gate=named if gates else NONE,
            keep=asked.keep if gates else None,
            classes=asked.classes,
            producer=asked.producer,
            labels=asked.labels,
            visible=asked.visible,
            safe_cells=asked.safe_cells,
            watermark=asked.watermark,
        )
        return Ticket(name, request, own, do, caller, alone=do is not work.records)

    async def _last(self, ticket: Ticket, deadline: float | None) -> Any:
        last: Any = None
        async for answer in self._answers(ticket, deadline):
            last = answer
        return last

    async def _answers(self, ticket: Ticket, deadline: float | None) -> AsyncIterator[Any]:
        """What is given for a ticket, from when it stands in the line until nothing more comes."""
        async with self._charged(ticket) as charge:
            if not self._line.join(ticket):
                raise self._refused(ticket.caller)
            seconds = self.options.deadline if deadline is None else deadline
            timer = ticket.loop.call_later(seconds, self._late, ticket, seconds)
            try:
                while not isinstance(answer := await ticket.answers.get(), End):
                    if isinstance(answer, BaseException):
                        raise answer
                    if isinstance(answer, Drawn):
                        charge.settle(answer.count, answer.money)
                        if answer.money is not None and answer.count:
                            self._each[ticket.name] = answer.money / answer.count
                    else:  # who has seen a part and goes is charged for all
                        charge.keep()
                    yield answer
            finally:
                timer.cancel()
                if self._line.leave(ticket):
                    self.metrics.rejected.labels("gone").inc()

    @asynccontextmanager
    async def _charged(self, ticket: Ticket) -> AsyncIterator[Charge]:
        """Takes what is asked from the quota of who asks, if he has one."""
        key = ticket.caller.key
        if key is None or self._spending is None:
            yield Charge(ticket.request.n, 0.0)
            return
        money: float | None = 0.0
        if key.money is not None:
            priced = Book.money(await self.open(ticket.name), 1.0) is not None
            money = self._each.get(ticket.name, 0.0) * ticket.request.n if priced else None
        with self._spending.reserve(key, ticket.request.n, money) as charge:
            yield charge

    def _late(self, ticket: Ticket, seconds: float) -> None:
        if self._line.drop(ticket):  # one that was begun is answered, however late
            self.metrics.rejected.labels("deadline").inc()
            problem = Problem(
                504, "deadline", f"it waited for {seconds:g} s without being drawn.", headers=self._later(ticket.caller)
            )
            ticket.answers.put_nowait(problem)

    def _refused(self, caller: Caller) -> Problem:
        if self._line.closed:
            self.metrics.rejected.labels("closing").inc()
            return Problem(
                503, "closing", "the server is being closed; ask again later.", headers={"Retry-After": "10"}
            )
        self.metrics.rejected.labels("full").inc()
        return Problem(
            429,
            "queue_full",
            f"{len(self._line):,} requests are waiting already, and places are kept for others; ask again later.",
            headers=self._later(caller),
        )

    def _later(self, caller: Caller) -> dict[str, str]:
        """When what waits for the caller now will have been drawn."""
        return {"Retry-After": str(max(1, math.ceil(self._line.later(caller.account))))}
