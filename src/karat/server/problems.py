"""Errors as clients of OpenAI's API know them: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from karat.errors import KaratError


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
        known = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
        return known.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")

    def body(self) -> dict[str, Any]:
        return {
            "error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code},
        }

    def response(self) -> JSONResponse:
        return JSONResponse(self.body(), self.status, self.headers)


def install(app: FastAPI) -> None:
    """Every error of ours is answered as a `Problem`."""

    @app.exception_handler(Problem)
    async def _problem(_: Request, problem: Problem) -> JSONResponse:
        return problem.response()

    @app.exception_handler(KaratError)
    async def _karat(_: Request, error: KaratError) -> JSONResponse:
        return Problem(400, "bad_request", str(error)).response()
