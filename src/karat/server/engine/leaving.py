"""Clients that leave while they wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from karat.server.problems import Problem

LOOKED = 0.05  # seconds between two looks whether a client is still there
T = TypeVar("T")


async def unless_gone(http: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives. When the client of `http` goes before, `work` is cancelled, which frees its place in the queue.

    Raises Problem(499) then, which nobody reads but the log.
    """
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=LOOKED)
            if not task.done() and await http.is_disconnected():
                raise Problem(499, "client_gone", "the client went before it was answered.")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
