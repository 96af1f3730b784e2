"""Bodies of requests: how long they may be, and how slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from karat.server.problems import Problem

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

SMALL = 2**20  # bytes of a body that carries no files
PAUSE = 20.0  # seconds within which more of a body must come
SLOWEST = 20_000  # bytes a second, after the first PAUSE
CLOSE = {"connection": "close"}  # the rest of a body that was refused is not waited for


def too_long(most: int) -> Problem:
    return Problem(
        413, "body_too_large", f"the body is longer than {most:,} bytes, the most this route takes.", headers=CLOSE
    )


class Body:
    """The body of one request as the application receives it: Problem(413) once it is too long, Problem(408) when too slow.

    `failed` keeps the problem, since what receives may catch the exception.
    """

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self.most = receive, most
        self._came, self._begun, self._whole = 0, time.monotonic(), False
        self._kept: Message | None = None
        self.failed: Problem | None = None

    async def __call__(self) -> Message:
        if self._kept is not None:
            message, self._kept = self._kept, None
            return message
        if self._whole:  # all that can come is that the client goes
            return await self._receive()
        late = self._begun + PAUSE + self._came / SLOWEST - time.monotonic()
        try:
            async with asyncio.timeout(min(PAUSE, max(late, 0.0))):
                message = await self._receive()
        except TimeoutError:
            self.failed = Problem(408, "body_too_slow", "the body came too slowly.", headers=CLOSE)
            raise self.failed from None
        if message["type"] == "http.request":
            self._came += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self._came > self.most:
                self.failed = too_long(self.most)
                raise self.failed
        return message

    async def whole(self) -> bool:
        """Waits for the whole body, which the application then receives as one message; whether it came."""
        parts: list[bytes] = []
        while not self._whole:
            message = await self()
            if message["type"] != "http.request":  # the client has gone
                return False
            parts.append(message.get("body", b""))
        self._kept = {"type": "http.request", "body": b"".join(parts), "more_body": False}
        return True
