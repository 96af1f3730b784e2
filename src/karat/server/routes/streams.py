"""Server-sent events of made content: the label stands in the headers before the first, and an error is an event as well."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, TypeVar

from fastapi import Request as Http

from karat.errors import KaratError
from karat.provenance.label import Label
from karat.server.answers import LabelledStream
from karat.server.engine import unless_gone
from karat.server.problems import Problem, of_karat, request_id, unforeseen
from karat.server.served import served

T = TypeVar("T")
DONE = b"data: [DONE]\n\n"


def event(data: Any, name: str | None = None) -> bytes:
    """One event.   name: its type, where it has one."""
    head = b"" if name is None else f"event: {name}\n".encode()
    return (
        head
        + b"data: "
        + json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
        + b"\n\n"
    )


async def begun(http: Http, items: AsyncIterator[T]) -> AsyncIterator[T]:
    """The same items, of which the first is there: what fails before is raised here, while it can still have a status."""

    async def first() -> T:
        return await anext(items)

    one = await unless_gone(http, first())

    async def all_of_them() -> AsyncIterator[T]:
        yield one
        async for item in items:
            yield item

    return all_of_them()


def streamed(http: Http, events: AsyncIterator[bytes], label: Label) -> LabelledStream:
    """The answer with these events; what fails on the way is the last of them."""

    async def safely() -> AsyncIterator[bytes]:
        try:
            async for one in events:
                yield one
        except Problem as problem:
            yield event(problem.body(), "error")
        except KaratError as error:
            yield event(of_karat(error, served(http).catalogue.hidden).body(), "error")
        except Exception as error:
            yield event(unforeseen(error, request_id(http.scope)).body(), "error")

    return LabelledStream(safely(), label, "text/event-stream", headers={"cache-control": "no-store"})
