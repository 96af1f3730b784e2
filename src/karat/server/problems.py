"""Errors as clients of OpenAI's API know them: {"error": {"message", "type", "param", "code"}}.

Whatever goes wrong is answered so, and says nothing that an answer must not: no path of this machine, no trace, and of what
nobody foresaw no more than a number under which the log has it.
"""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Scope

from karat.errors import DataError, DivergedError, FitError, GateError, KaratError, RunError, TooLarge, UnsafeFile
from karat.server import logs

SHOWN = 60  # characters of a value that is not what was wanted
ABOUT = 3  # fields that one message is about, at most
KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
FULL = (errno.ENOSPC, errno.EDQUOT)  # no room is left on the disk, or none for this user
DISK_FULL = "the server's disk is full. Free some room; nothing that was finished is lost."
CODES: dict[type[KaratError], str] = {  # of errors of the workflow; the first that fits
    UnsafeFile: "unsafe_file",
    DataError: "bad_data",
    FitError: "unfit",
    RunError: "run_unusable",
    TooLarge: "too_large",
    GateError: "gate_refused",
    KaratError: "bad_request",
}
NUMBERS = Random()  # of requests: they are told apart by them, and nobody is let in for one
HTTP = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "wrong_media_type"}
PATH = re.compile(r"(?<![\w.:/\\])/(?!v1/)(?:[^\s/'\"`,;:()]+/)+(?=[^\s/'\"`,;:()]*)")  # all but the last part
FLAG = re.compile(r"(?<![\w-])--?([a-z][a-z-]*)(?![\w])")
KIND = re.compile(r"(constrained-)?(str|int|float|bool|list|dict)|[a-z-]+\[.*\]")  # pydantic's name of one of several
FIELDS = {"class": "label", "number": "n"}  # flags of the command line that are no fields of their name


@dataclass
class Problem(Exception):
    """An answer that says what was found, what was wanted and what to do.

    status: of HTTP.   code: a word that programs can tell it by.   param: the field that it is about, if it is about one.
    headers: such as Retry-After.
    """

    status: int
    code: str
    message: str
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """OpenAI's word for the kind of error."""
        return KINDS.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")

    def body(self) -> dict[str, Any]:
        told = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": {name: text and _writable(text) for name, text in told.items()}}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body(), self.status, self.headers)


def of_karat(error: KaratError, hidden: Iterable[Path] = ()) -> Problem:
    """What an error of the workflow is to a client.   hidden: folders of which no answer says where they are."""
    if isinstance(error, DivergedError):
        return Problem(500, "diverged", in_fields(without_places(str(error), hidden)))
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError) and cause.errno in FULL:
        return Problem(507, "disk_full", in_fields(without_places(str(error), hidden)))
    code = next(code for kind, code in CODES.items() if isinstance(error, kind))
    return Problem(400, code, in_fields(without_places(str(error), hidden)))


def of_system(error: OSError) -> Problem:
    """A full disk, as it is said to a client; any other refusal of the system is raised again, as a fault that the log tells of."""
    if error.errno not in FULL:
        raise error
    return Problem(507, "disk_full", DISK_FULL)


def without_places(text: str, hidden: Iterable[Path] = ()) -> str:
    """The text without the folders that it names: of what lies in one of `hidden` the path from there, else the last name."""
    return PATH.sub("", str(below(text, hidden)))


def below(value: Any, hidden: Iterable[Path]) -> Any:
    """The value, as JSON has it, with paths in `hidden` as they are named from there."""
    folders = sorted((text for text in map(str, hidden) if len(text) > 1), key=len, reverse=True)
    if isinstance(value, dict):
        return {key: below(inner, hidden) for key, inner in value.items()}
    if isinstance(value, list):
        return [below(inner, hidden) for inner in value]
    for folder in folders if isinstance(value, str) else ():
        value = value.replace(f"{folder}/", "").replace(folder, Path(folder).name)
    return value


def in_fields(text: str) -> str:
    """The text with the fields of a request in place of the flags of the command line."""

    def named(flag: re.Match[str]) -> str:
        return FIELDS.get(flag[1], flag[1].replace("-", "_"))

    return FLAG.sub(named, text)


def request_id(scope: Scope) -> str:
    """The number of a request, made where it has none yet."""
    state = scope.setdefault("state", {})
    return str(state.get("request_id") or state.setdefault("request_id", new_id()))


def new_id() -> str:
    return f"req_{NUMBERS.getrandbits(96):024x}"


def install(app: FastAPI, hidden: Iterable[Path] = ()) -> None:
    """Every error is answered as a `Problem`.   hidden: folders of which no answer says where they are."""
    places = tuple(hidden)

    @app.exception_handler(Problem)
    async def _problem(_: Request, problem: Problem) -> JSONResponse:
        return replace(problem, message=without_places(problem.message, places)).response()

    @app.exception_handler(KaratError)
    async def _karat(_: Request, error: KaratError) -> JSONResponse:
        return of_karat(error, places).response()

    @app.exception_handler(OSError)
    async def _system(_: Request, error: OSError) -> JSONResponse:
        return of_system(error).response()

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return of_fields(error.errors()).response()

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        return of_http(error).response()


def unforeseen(error: Exception, number: str) -> Problem:
    """A fault of ours, which the log gets under the number of the request, by its kind and the lines that led to it."""
    logs.event(logging.ERROR, "fault", id=number, **logs.where(error))
    return Problem(500, "internal_error", f"a fault of the server's own; its log has more under {number}.")


def nearest(name: str, known: Iterable[str]) -> str:
    """A half sentence that names what `name` may have meant, or all that there is."""
    import difflib

    names = list(known)
    near = difflib.get_close_matches(name, names, 1, 0.5)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}."


def short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def of_fields(errors: Iterable[Mapping[str, Any]]) -> Problem:
    """What pydantic found of a request's fields."""
    found = list(errors)
    first = found[0]
    if first["type"] == "json_invalid":
        return Problem(400, "malformed_json", f"the body is no JSON: {first['ctx']['error']}.")
    if first["loc"] == ("body",) and isinstance(first.get("input"), bytes):
        return Problem(
            415, "wrong_media_type", "the body must be JSON; send it with the header content-type: application/json."
        )
    lines = dict.fromkeys(f"{_place(each)} {_complaint(each)}" for each in found)
    told = "; ".join(list(lines)[:ABOUT]) + (f"; and {len(lines) - ABOUT} more" if len(lines) > ABOUT else "")
    missing = all(each["type"] == "missing" for each in found)
    return Problem(422, "missing_field" if missing else "invalid_value", f"{told}.", _place(first))


def _place(error: Mapping[str, Any]) -> str:
    """The field that an error is about: stop.0, or body."""
    parts = [str(part) for part in error["loc"] if not KIND.fullmatch(str(part))]
    return ".".join(parts[1:] if len(parts) > 1 else parts)


def _complaint(error: Mapping[str, Any]) -> str:
    if error["type"] == "missing":
        return "is missing"
    wanted = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return f"is {short(error.get('input'))}: {wanted[:1].lower()}{wanted[1:]}"


def of_http(error: HTTPException) -> Problem:
    """What an error of Starlette's is to a client."""
    headers = dict(error.headers or {})
    if isinstance(error.__cause__, Problem):  # raised while the body was read
        return error.__cause__
    if error.status_code == 404:
        return Problem(404, "not_found", "there is nothing at this address; /openapi.json lists what there is.")
    if error.status_code == 405:
        allowed = headers.get("Allow", headers.get("allow", "another"))
        return Problem(405, "method_not_allowed", f"this address takes {allowed}.", headers=headers)
    return Problem(error.status_code, HTTP.get(error.status_code, "bad_request"), str(error.detail), headers=headers)


def _writable(text: str) -> str:
    """Text that UTF-8 can write: JSON may bring halves of characters."""
    return text.encode("utf-8", "replace").decode()
