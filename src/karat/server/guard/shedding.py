"""Refusals where there is no room, before a request costs more than to be read.

Ten times more than can be made may come, and each refusal takes from the thread that answers what those who were let in need.
What is known from a request's first line and its key suffices: it gets the same 429 as by the way of all others, and the log one
line a second for all of them.
"""

from __future__ import annotations

import asyncio
import http
import json
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate

from karat.errors import KaratError
from karat.server import logs
from karat.server.guard.access import MAKE, Route
from karat.server.guard.guard import LOCAL, Caller, Guard
from karat.server.guard.headers import SAFE
from karat.server.guard.keys import PREFIX
from karat.server.guard.middleware import PROXIED
from karat.server.problems import Problem, new_id

FEW = 8  # requests that are begun in a turn of the loop
SAME, MOST = 0.05, 1000  # seconds for which the refusals of an account are alike, and accounts
EVERY = 1.0  # seconds between two lines of the log
OTHERS = frozenset(name.encode() for name in (*PROXIED, "cookie", "expect", "x-request-id", "transfer-encoding"))
HEAD = "".join(f"{name}: {value}\r\n" for name, value in SAFE.items())


class Shedding:
    """Says for a request by its first line and headers whether it is refused at once.   routes: of the application."""

    def __init__(self, guard: Guard, routes: Sequence[Route]) -> None:
        self._guard = guard
        making = [route.template for route in routes if route.scope == MAKE and route.method == "POST"]
        self._making: Mapping[bytes, str] = {each.encode(): each for each in making if "{" not in each}
        self._answers: dict[str, Answer] = {}
        self._refused: Counter[tuple[str, str]] = Counter()  # by route and caller, in this turn of the loop
        self._unsaid: Counter[tuple[str, str]] = Counter()  # which the log has not told of
        self._let: Counter[str] = Counter()  # requests of each account that were let in and not yet begun
        self._starting: deque[tuple[Callable[[], None], str | None]] = deque()
        self._last: str | None = None  # whose request was let in last, if it is one to make something

    def __call__(self, method: bytes, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
        """The whole answer, after which the connection may be used again; None where the request goes the way of all others."""
        template = self._making.get(url) if method == b"POST" else None
        if template is None or self._guard.draining:
            return None
        try:
            caller = self._caller(headers)
        except KaratError:  # a file of keys that cannot be read, which the way of all others tells of
            return None
        if caller is None:
            return None
        if self._guard.full(caller.account, self._let[caller.account], self._let.total()):
            return self._refusal(template, caller)
        self._let[caller.account] += 1
        self._last = caller.account
        return None

    def start(self, begin: Callable[[], None]) -> None:
        """Has a request that was just let in begun, a few in each turn of the loop: who is to be refused need not wait for all."""
        account, self._last = self._last, None
        self._starting.append((begin, account))
        if len(self._starting) == 1:
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        for begin, account in [self._starting.popleft() for _ in range(min(FEW, len(self._starting)))]:
            begin()
            if account is not None:
                self._let[account] -= 1
        if self._starting:
            asyncio.get_running_loop().call_soon(self._start)
        else:
            self._let.clear()

    def _caller(self, headers: Sequence[tuple[bytes, bytes]]) -> Caller | None:
        """Who calls, where that is plain to see."""
        given = None
        for name, value in headers:
            if name == b"authorization":
                if given is not None:
                    return None
                given = value.decode("latin-1")
            elif name in OTHERS or name.startswith(b"x-forwarded-") or (name == b"content-length" and len(value) > 6):
                return None
        scheme, _, text = (given or "").partition(" ")
        key = self._guard.keys.find(text.strip(), lately=True) if scheme.lower() == "bearer" else None
        if key is not None:
            return Caller.of(key)
        if self._guard.local and not self._guard.keys.there(lately=True) and not text.strip().startswith(PREFIX):
            return Caller(LOCAL.name, LOCAL.scopes, account=text.strip())
        return None

    def _refusal(self, template: str, caller: Caller) -> bytes | None:
        """The answer of all refusals of an account, but for its number, for as long as it may be taken to be the same."""
        now = time.monotonic()
        known = self._answers.get(caller.account)
        if known is None or known.until < now:
            try:
                self._guard.admit(caller, self._let[caller.account], self._let.total())
            except Problem as problem:
                if len(self._answers) >= MOST:
                    self._answers.clear()
                known = self._answers[caller.account] = Answer.of(problem, now + SAME)
            else:
                return None
        if not self._refused:
            asyncio.get_running_loop().call_soon(self._count)
        self._refused[template, caller.name] += 1
        return known.numbered(new_id())

    def _count(self) -> None:
        """Enters what this turn of the loop refused in the meters, and has the log told of it."""
        if not self._unsaid:
            asyncio.get_running_loop().call_later(EVERY, self._say)
        for (route, name), count in self._refused.items():
            self._guard.meters.refused(route, count)
            self._unsaid[route, name] += count
        self._refused.clear()

    def _say(self) -> None:
        for (route, name), count in self._unsaid.items():
            logs.event(logging.INFO, "refused", route=route, status=429, caller=name, count=count)
        self._unsaid.clear()


@dataclass(frozen=True)
class Answer:
    """A problem as HTTP/1.1 has it, in two parts, between which the number of the request stands.   until: when it is old."""

    before: bytes
    after: bytes
    until: float

    @classmethod
    def of(cls, problem: Problem, until: float) -> Answer:
        body = json.dumps(problem.body(), separators=(",", ":")).encode()
        own = "".join(f"{name.lower()}: {value}\r\n" for name, value in problem.headers.items())
        phrase = http.HTTPStatus(problem.status).phrase
        head = f"HTTP/1.1 {problem.status} {phrase}\r\ncontent-type: application/json\r\n{own}{HEAD}"
        head += f"date: {formatdate(usegmt=True)}\r\nx-request-id: "
        return cls(head.encode("latin-1"), f"\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body, until)

    def numbered(self, number: str) -> bytes:
        return self.before + number.encode() + self.after
