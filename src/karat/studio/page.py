"""How a page is made: its language, its role, its template, and an error as a page."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

from karat import __version__, words
from karat.errors import KaratError
from karat.languages import Language
from karat.languages import language as language_of
from karat.report import drawing
from karat.server.guard import caller_of
from karat.server.problems import DISK_FULL, Problem, of_fields, of_http, of_karat, of_system
from karat.server.served import served
from karat.studio.hearing import shown

ROOT = Path(__file__).parent
STATIC = {  # what is sent as it stands; the report's own stylesheet first, so that pages look as it does
    "report.css": (ROOT.parent / "report" / "style.css", "text/css"),
    "studio.css": (ROOT / "static" / "studio.css", "text/css"),
    "studio.js": (ROOT / "static" / "studio.js", "text/javascript"),
    "items.css": (ROOT / "static" / "items.css", "text/css"),
    "items.js": (ROOT / "static" / "items.js", "text/javascript"),
    "review.js": (ROOT / "static" / "review.js", "text/javascript"),
    "htmx.min.js": (ROOT / "static" / "htmx.min.js", "text/javascript"),
    "mark.svg": (ROOT / "static" / "mark.svg", "image/svg+xml"),
}
CODES = ("en", "zh")
ROLES = ("engineer", "reviewer", "finance", "compliance")
LANGUAGE, ROLE = "karat_language", "karat_role"  # cookies
YEAR = 365 * 86400
ALONE = (  # of a sheet, which may be a stranger's: no script, nothing from elsewhere; its styles stand in its elements
    "default-src 'none'; img-src data:; media-src data:; style-src 'self'; style-src-attr 'unsafe-inline'; "
    "frame-ancestors 'self'; sandbox allow-same-origin"
)


@dataclass(frozen=True)
class Viewer:
    """Who looks at a page: in which language, and in which role, which decides what comes first."""

    language: Language
    role: str

    def t(self, key: str, **values: object) -> str:
        """The sentence `studio.KEY`."""
        return self.language.say(f"studio.{key}", **values)

    @property
    def code(self) -> str:
        return self.language.code


def viewer(request: Request) -> Viewer:
    """By the cookies of the two switches, else by what the browser asks for."""
    code, role = request.cookies.get(LANGUAGE), request.cookies.get(ROLE)
    if code not in CODES:
        code = _accepted(request.headers.get("accept-language", ""))
    return Viewer(language_of(code), role if role in ROLES else ROLES[0])


def _accepted(header: str) -> str:
    """The language of ours that an Accept-Language header likes most."""
    liked: list[tuple[float, int, str]] = []
    for i, part in enumerate(header.split(",")[:20]):
        name, _, quality = part.partition(";q=")
        code = name.strip().lower().partition("-")[0]
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            continue
        if code in CODES and weight > 0:
            liked.append((-weight, i, code))
    return min(liked)[2] if liked else CODES[0]


def page(request: Request, template: str, *, command: str, status: int = 200, **values: Any) -> HTMLResponse:
    """The template, filled in for who looks.   command: the line that does the same in a terminal; shown below each screen."""
    return HTMLResponse(rendered(request, template, command=command, **values), status)


def rendered(request: Request, template: str, **values: Any) -> str:
    """The text of a template, whole or of a part of a page."""
    seen = viewer(request)
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    known = {"viewer": seen, "t": seen.t, "say": seen.language.say, "money": seen.language.money, "here": here}
    known |= {"own": partial(shown, seen.language), "seal": partial(drawing.seal, language=seen.language)}
    known |= {"path": request.url.path, "logged_in": caller_of(request).session is not None}
    return environment().get_template(template).render(**known, **values)


@lru_cache(maxsize=1)
def environment() -> Environment:
    """What fills in templates; all text is escaped, for names of runs, classes and files are strangers' text."""
    env = Environment(
        loader=FileSystemLoader(ROOT / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "number": words.number,
        "count": words.count,
        "duration": words.duration,
        "score": words.score,
        "bytes": _bytes,
        "moment": _moment,
    }
    env.globals |= {
        "static": static_url,
        "rosette": cache(drawing.rosette),
        "roles": ROLES,
        "version": __version__,
    }
    return env


def _moment(seconds: float) -> str:
    """A time since 1970 as this machine's clock shows it, to the minute."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def _bytes(n: int) -> str:
    """A size of a file: 812 B, 3.1 kB, 4.5 MB."""
    size, units = float(n), ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{words.number(size)} {units[0]}"


@cache
def static_url(name: str) -> str:
    """The address of a file of `STATIC`, another one with each change of it."""
    return f"/static/{name}?v={hashlib.sha256(STATIC[name][0].read_bytes()).hexdigest()[:12]}"


class PageRoute(APIRoute):
    """A route whose errors are pages too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except (Problem, KaratError, OSError, HTTPException, RequestValidationError) as error:
                return failure(request, told(request, error))

        return handled


def told(request: Request, error: Exception) -> Problem:
    """An error as a page may say it: no path of this machine in it. What is no error of a person's is raised again."""
    if isinstance(error, OSError):
        return of_system(error)
    if isinstance(error, HTTPException):
        return of_http(error)
    if isinstance(error, RequestValidationError):
        return of_fields(error.errors())
    if not isinstance(error, Problem | KaratError):
        raise error
    found = error if isinstance(error, Problem) else of_karat(error, served(request).catalogue.hidden)
    return replace(found, message=DISK_FULL) if found.status == 507 else found


def router() -> APIRouter:
    """Routes of pages, which are no part of the API that /openapi.json describes."""
    return APIRouter(route_class=PageRoute, include_in_schema=False)


def failure(request: Request, problem: Problem) -> HTMLResponse:
    """What was found, what was wanted, what to do: as a page."""
    message, status = problem.message, problem.status
    return page(request, "failure.html.j2", command="karat --help", status=status, message=message, code=status)


def go(address: str) -> RedirectResponse:
    """To another page after a form was sent, so that a reload does not send it again."""
    return RedirectResponse(address, status_code=303)


def local(address: str) -> str:
    """`address` where it is a page of ours, else the first page."""
    plain = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if plain else "/"
