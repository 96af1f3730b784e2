"""Clients that leave while they wait."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from karat.server.problems import Problem

T = TypeVar("T")


async def unless_gone(http: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives. When the client of `http`, whose body was read, goes before, `work` is cancelled, which frees its place
    in the line.

    Raises Problem (499) then, which nobody reads but the log.
    """
    mine, waiting, gone = asyncio.current_task(), True, False
    assert mine is not None, "a coroutine runs in a task"

    def left(of: asyncio.Task[None]) -> None:
        nonlocal gone
        if waiting and not of.cancelled() and of.exception() is None:
            gone = mine.cancel()

    leaving = asyncio.ensure_future(_gone(http))
    leaving.add_done_callback(left)
    try:
        return await work
    except asyncio.CancelledError:
        if gone and mine.uncancel() == 0:
            raise Problem(499, "client_gone", "the client went before it was answered.") from None
        raise  # another ended this task
    finally:
        waiting = False
        leaving.cancel()


async def _gone(http: Request) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass
