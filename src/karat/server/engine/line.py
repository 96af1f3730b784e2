"""The line of requests: who is next, and who may join.

Who asks takes turns with the others, whatever he asks and however often, by start-time fair queueing (Goyal, Vin & Cheng, 1996,
https://doi.org/10.1145/248156.248171): each has a clock that goes on by the seconds of drawing that he was given, and the one
whose clock is furthest behind is next. Who comes, or comes again, begins no earlier than the clock of who was next, nor than
those who wait are in the mean, so that nobody saves up what he did not ask for, or was refused. Of two who both wait neither gets
more seconds than the other, in any stretch of time, by more than the longest step of each.

How many places one may hold follows the thresholds of shared buffers (Choudhury & Hahne, 1998,
https://doi.org/10.1109/90.664262): no more than are free. One alone holds half of them, k of them a k + 1st each: nobody fills the
line for others.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from karat.server.engine.ticket import Ticket

LATELY = 0.05  # weight of the last request in the mean time that one takes
FIRST = 0.1  # seconds that one takes, before any was drawn


class Turns:
    """The tickets of several by their names, each of whom may be several in turn; without names, of one in their order.

    clock: seconds that he had, on the common clock.   pace: seconds that a request of his took lately.
    """

    def __init__(self, clock: float = 0.0, pace: float = FIRST) -> None:
        self.clock, self.pace = clock, pace
        self.now = 0.0  # at which who comes begins: the clock of whose turn it was last, or how far all are in the mean
        self.count, self.busy, self.spent = (
            0,
            0,
            0.0,
        )  # tickets, parts that have some, seconds that went into these tickets
        self.parts: dict[str, Turns] = {}
        self.tickets: deque[Ticket] = deque()

    def add(self, ticket: Ticket, whose: Sequence[str]) -> None:
        if not self.count:  # what any had while the others wanted nothing is forgotten
            self.now = max([self.now, *(part.clock for part in self.parts.values())])
        self.count, self.spent = self.count + 1, self.spent + ticket.spent
        if not whose:
            self.tickets.append(ticket)
            return
        part = self.part(whose[0])
        self.busy += not part.count
        part.clock = part.clock if part.count else max(part.clock, self.now)
        part.add(ticket, whose[1:])

    def remove(self, ticket: Ticket, whose: Sequence[str]) -> None:
        self.count, self.spent = self.count - 1, self.spent - ticket.spent
        if whose:
            part = self.parts[whose[0]]
            part.remove(ticket, whose[1:])
            self.busy -= not part.count
        else:
            self.tickets.remove(ticket)

    def next(self) -> Ticket:
        """Whose turn it is; there is one."""
        if self.tickets:
            return self.tickets[0]
        part = min((part for part in self.parts.values() if part.count), key=lambda part: part.clock)
        self.now = max(self.now, part.clock)
        self.parts = {name: part for name, part in self.parts.items() if part.count or part.clock > self.now}
        return part.next()

    def all(self) -> Iterator[Ticket]:
        """One of each in turn, the one whose turn it is first."""
        left = [part.all() for part in sorted(self.parts.values(), key=lambda part: part.clock) if part.count]
        yield from self.tickets
        while left:
            for part in list(left):
                if (ticket := next(part, None)) is None:
                    left.remove(part)
                else:
                    yield ticket

    def spend(self, seconds: float, whose: Sequence[str]) -> None:
        if whose:
            self.now += seconds / (self.busy + 1)  # else who was drawn for before would wait for ever new ones
            part = self.part(whose[0])
            part.clock += seconds
            part.spend(seconds, whose[1:])

    def took(self, seconds: float, whose: Sequence[str]) -> None:
        """One request took so long in all."""
        self.pace += LATELY * (seconds - self.pace)
        if whose:
            self.part(whose[0]).took(seconds, whose[1:])

    def part(self, name: str) -> Turns:
        return self.parts.setdefault(name, Turns(self.now, self.pace))


class Line:
    """Those that wait, and those that were begun and have more steps to go: `most` together, but for such as are begun."""

    def __init__(self, most: int) -> None:
        self._most, self._closed = most, False
        self._turns = Turns()
        self._waiting = 0
        self._some = threading.Condition()

    def __len__(self) -> int:
        """How many wait to be begun."""
        return self._waiting

    @property
    def closed(self) -> bool:
        return self._closed

    def full(self, account: str, mine: int = 0, all_of: int = 0) -> bool:
        """Whether the account may have none join, once `mine` of its own and `all_of` of all have joined that are about to."""
        with self._some:
            return self._closed or self._held(account) + mine >= self._most - self._turns.count - all_of

    def later(self, account: str) -> float:
        """Seconds until what the account has in the line will be done, by how long its requests took lately."""
        with self._some:
            part, all_of = self._turns.part(account), self._turns
            mine = max(part.pace * max(1, part.count), part.spent)
            return min(mine * max(1, all_of.busy), mine + all_of.pace * (all_of.count - part.count))

    def join(self, ticket: Ticket) -> bool:
        """Whether there was room."""
        with self._some:
            if self._closed or self._held(ticket.whose[0]) >= self._most - self._turns.count:
                return False
            self._waiting += 1
            self._turns.add(ticket, ticket.whose)
            self._some.notify()
            return True

    def again(self, ticket: Ticket) -> None:
        """Puts one that was begun back, for its next step."""
        with self._some:
            self._turns.add(ticket, ticket.whose)

    def spend(self, ticket: Ticket, seconds: float) -> None:
        """Whose ticket this is had so many seconds."""
        with self._some:
            ticket.spent += seconds
            self._turns.spend(seconds, ticket.whose)

    def done(self, ticket: Ticket) -> None:
        """It has no more steps."""
        with self._some:
            self._turns.took(ticket.spent, ticket.whose)

    def leave(self, ticket: Ticket) -> bool:
        """Nobody waits for it any more; whether it had not been begun."""
        ticket.gone = True
        return self.drop(ticket)

    def drop(self, ticket: Ticket) -> bool:
        """Takes it out where it had not been begun; whether that is so."""
        with self._some:
            if ticket.begun or ticket not in self._turns.all():
                return False
            self._taken(ticket)
            self._waiting -= 1
            return True

    def take(self, seconds: float) -> Ticket | None:
        """The next, None where none came in so many seconds, or all is done after `close`."""
        with self._some:
            if not self._turns.count and not self._closed:
                self._some.wait(seconds)
            if not self._turns.count:
                return None
            ticket = self._turns.next()
            self._begin(ticket)
            return ticket

    def linger(self, most: int, pause: float, longest: float, coming: Callable[[], bool]) -> bool:
        """Returns once `most` wait, or nobody came for `pause` seconds and none is `coming`, or `longest` seconds have passed.

        Whether it was for the last that some were coming still.
        """
        end = time.monotonic() + longest
        with self._some:
            while self._waiting < most and not self._closed:
                if (left := end - time.monotonic()) <= 0:
                    return coming()
                if not self._some.wait(min(pause, left)) and not coming():
                    break
            return False

    def also(self, fits: Callable[[Ticket], bool]) -> list[Ticket]:
        """Takes all that wait and fit, in turn of who asked."""
        with self._some:
            taken = [ticket for ticket in self._turns.all() if not ticket.begun and fits(ticket)]
            for ticket in taken:
                self._begin(ticket)
            return taken

    def close(self) -> None:
        """Lets nobody in any more."""
        with self._some:
            self._closed = True
            self._some.notify_all()

    def _held(self, account: str) -> int:
        part = self._turns.parts.get(account)
        return 0 if part is None else part.count

    def _begin(self, ticket: Ticket) -> None:
        self._taken(ticket)
        if not ticket.begun:
            ticket.begun = time.perf_counter()
            self._waiting -= 1

    def _taken(self, ticket: Ticket) -> None:
        self._turns.remove(ticket, ticket.whose)
