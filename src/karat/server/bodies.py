"""JSON as it is read from strangers: one value for each name, only numbers that are numbers, and not too deep."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from karat.server.problems import Problem, short

FIELDS = {"max_files": 4, "max_fields": 16}  # of a form: each field is held in memory, up to a megabyte
DEEPEST = 32  # lists and objects in one another


class Strict(Request):
    """A request whose body is read with care."""

    async def json(self) -> Any:
        return strict_json(await self.body())

    def form(self, **limits: Any) -> Any:
        return super().form(**{**FIELDS, **limits})


class Route(APIRoute):
    """A route whose bodies are read with care: for `APIRouter(route_class=...)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(Strict(request.scope, request.receive))

        return strictly


def strict_json(blob: bytes) -> Any:
    """The value that JSON in UTF-8 stands for; Problem (400) where it is none, or one that readers take differently."""
    try:
        value = json.loads(
            blob.decode(), object_pairs_hook=_once, parse_float=_finite, parse_constant=_finite, parse_int=_whole
        )
        _check_depth(value)
        return value
    except RecursionError:
        raise _malformed(f"it is nested deeper than {DEEPEST} levels") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg} at character {error.pos}") from None
    except UnicodeDecodeError as error:
        raise _malformed(f"byte {error.start} is no UTF-8") from None


def _malformed(what: str) -> Problem:
    return Problem(400, "malformed_json", f"the body is no JSON that can be read: {what}.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _malformed(f"the name {short(name)} comes twice in one object")
        found[name] = value
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _malformed(f"{short(text)} is no finite number")
    return value


def _whole(text: str) -> int:
    if len(text) > 20:
        raise _malformed(f"{short(text)} has more digits than a number of 64 bits")
    return int(text)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return
    raise RecursionError
