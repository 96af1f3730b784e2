"""The way of a request: its form, its host and origin, its key, its body, the application, its log.

What fails is answered as any other error of the API. The order matters: nothing of a body is read for who has no key.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from karat.server import logs
from karat.server.guard import bodies, hosts
from karat.server.guard.access import ANY, MAKE, OPEN, Route
from karat.server.guard.guard import COOKIE, LOCAL, LOGIN, Caller, Guard
from karat.server.guard.headers import SAFE
from karat.server.guard.keys import PREFIX
from karat.server.problems import Problem, of_http, request_id, unforeseen

ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
ONCE = ("host", "content-length", "transfer-encoding", "content-type", "content-encoding", "origin", "cookie")
PROXIED = {"forwarded", "via", "x-real-ip"}  # headers that proxies add
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
NOBODY = Caller("-", frozenset())
LONGEST_HEAD = 32 * 2**10  # bytes of headers
ALWAYS = [(name.encode(), value.encode()) for name, value in SAFE.items()]
GONE = 499  # status in logs and meters where the client left before an answer


class Middleware:
    """In front of `app`, which must be inside the FastAPI application whose routes are served."""

    def __init__(self, app: ASGIApp, guard: Guard, routes: Sequence[Route]) -> None:
        self.app, self.guard, self.routes = app, guard, routes
        plain = [route for route in routes if "{" not in route.template]
        self._plain = {(each.method, each.template): self._tried(each.method, each.template) for each in plain}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await Exchange(self, scope, send).run(receive)
        elif scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        else:  # there are no web sockets
            await send({"type": "websocket.close", "code": 1008})

    def route(self, scope: Scope) -> Route | Problem:
        """The route that the application will choose, or why there is none."""
        return self._plain.get((scope["method"], scope["path"])) or self._tried(scope["method"], scope["path"])

    def _tried(self, method: str, path: str) -> Route | Problem:
        there = [route for route in self.routes if route.pattern.match(path)]
        for route in there:
            if method == route.method:
                return route
        if not there:
            return of_http(HTTPException(404))
        allowed = ", ".join(sorted({route.method for route in there}))
        return of_http(HTTPException(405, headers={"allow": allowed}))


class Given(dict[str, str]):
    """The headers of a request by their names, of each the first.   twice: names that come again."""

    def __init__(self, raw: Sequence[tuple[bytes, bytes]]) -> None:
        super().__init__()
        self.twice: set[str] = set()
        for name, value in raw:
            known = name.decode("latin-1").lower()
            if known in self:
                self.twice.add(known)
            else:
                self[known] = value.decode("latin-1")


class Exchange:
    """One request and its answer."""

    def __init__(self, middleware: Middleware, scope: Scope, send: Send) -> None:
        self.app, self.guard, self.middleware = middleware.app, middleware.guard, middleware
        self.scope, self._send = scope, send
        self.headers = Given(scope["headers"])
        given = self.headers.get("x-request-id", "")
        scope["state"] = {**scope.get("state", {}), **({"request_id": given} if ID.fullmatch(given) else {})}
        self.id = request_id(scope)
        self.template, self.caller = "-", NOBODY
        self.status: int | None = None
        self.body: bodies.Body | None = None
        self.makes = False

    async def run(self, receive: Receive) -> None:
        begun = time.perf_counter()
        self.guard.meters.running.inc()
        try:
            await self._answer(receive)
        finally:
            self.guard.meters.running.dec()
            self.guard.making -= self.makes
            self._note(time.perf_counter() - begun)

    async def _answer(self, receive: Receive) -> None:
        try:
            self._check_form()
            self._check_origin()
            route = self.middleware.route(self.scope)
            self.caller = self._find_caller(isinstance(route, Route) and route.scope == OPEN)
            if isinstance(route, Problem):
                raise route
            self.template = route.template
            self._check_scope(route.scope)
            self.guard.rates.take(self.caller.key)
            self.scope["state"]["caller"] = self.caller
            if route.scope == MAKE and route.method == "POST":
                self.guard.admit(self.caller)
                self.guard.making += 1
                self.makes = True
            self.body = bodies.Body(receive, self.guard.upload if route.upload else bodies.SMALL)
            self._check_length(self.body.most)
            if not route.upload and not await self.body.whole():
                return  # the client has gone
            await self.app(self.scope, self.body, self._from_app)
            if self.body.failed is not None:
                raise self.body.failed
        except Problem as problem:
            await self._refuse(problem)
        except ClientDisconnect:
            return
        except ConnectionAbortedError:
            raise
        except Exception as error:
            await self._refuse(unforeseen(error, self.id))

    def _check_form(self) -> None:
        """Refuses what two readers could read differently (request smuggling), and bodies that grow when unpacked."""
        if sum(len(name) + len(value) for name, value in self.scope["headers"]) > LONGEST_HEAD:
            message = f"the headers are longer than {LONGEST_HEAD:,} bytes."
            raise Problem(431, "headers_too_large", message, headers=bodies.CLOSE)
        for name in ONCE if self.headers.twice else ():
            if name in self.headers.twice:
                raise Problem(400, "bad_header", f"the header {name} is there twice.", headers=bodies.CLOSE)
        coding = self.headers.get("transfer-encoding")
        if coding is not None and ("content-length" in self.headers or self.scope.get("http_version") == "1.0"):
            message = "a request has transfer-encoding or content-length, not both; of HTTP/1.0 only the latter."
            raise Problem(400, "bad_header", message, headers=bodies.CLOSE)
        if coding is not None and coding.lower() != "chunked":
            raise Problem(501, "bad_header", "of transfer-encoding only chunked is read.", headers=bodies.CLOSE)
        if self.headers.get("content-encoding", "identity").lower() != "identity":
            message = "bodies are taken as they are; send it without content-encoding."
            raise Problem(415, "unsupported_encoding", message, headers=bodies.CLOSE)

    def _check_origin(self) -> None:
        host = hosts.split(self.headers.get("host", ""))
        if host is None:
            raise Problem(400, "bad_host", "the header Host names no host.")
        if self.guard.local and not hosts.loopback(host[0]):
            message = "this server answers only to this machine: ask for http://127.0.0.1 or http://localhost."
            raise Problem(421, "wrong_host", message)
        if not hosts.same_site(self.headers, self.headers["host"], self.scope["method"]):
            raise Problem(403, "cross_site", "a page of another site sent this request; open the studio's own.")

    def _find_caller(self, open_to_all: bool) -> Caller:
        """Who calls, by the key in the header Authorization; the query and other headers are not looked at."""
        connection, single = str(self.scope.get("client")), "authorization" not in self.headers.twice
        scheme, _, text = self.headers.get("authorization", "").partition(" ") if single else ("", "", "")
        key = self.guard.keys.find(text.strip()) if scheme.lower() == "bearer" else None
        if key is not None:
            return Caller.of(key, connection=connection)
        # Without keys a client that always sends one, such as OpenAI's, may send any word; one of ours that is not known is a
        # mistake that is better seen.
        plain = single and not text.strip().startswith(PREFIX)
        if plain and self.guard.keyless and not self._proxied():
            return replace(LOCAL, account=text.strip(), connection=connection)
        token = "" if "authorization" in self.headers else Request(self.scope).cookies.get(COOKIE, "")
        key = self.guard.spending.logged_in(token) if token else None
        if key is not None:
            return Caller.of(key, token, connection)
        if open_to_all:
            return replace(NOBODY, connection=connection)
        message = "no valid key was sent; send one, once, as the header Authorization: Bearer KEY."
        if plain and self.guard.keyless:
            message = "this came through a proxy, and so perhaps from anywhere; make a key first: karat serve --add-key"
        raise Problem(401, "invalid_api_key", message, headers={"www-authenticate": "Bearer"})

    def _proxied(self) -> bool:
        """Whether it came through a proxy, and so perhaps from anywhere: by what proxies add, or by HTTP/1.0, which nginx speaks
        where it is not told otherwise and no browser or client of the API does."""
        return self.scope.get("http_version") == "1.0" or any(
            name in PROXIED or name.startswith("x-forwarded-") for name in self.headers
        )

    def _check_scope(self, wanted: str) -> None:
        if wanted not in (OPEN, ANY) and wanted not in self.caller.scopes:
            message = f"the key {self.caller.name} may not do this; it takes one with the scope {wanted}."
            raise Problem(403, "missing_scope", message)

    def _check_length(self, most: int) -> None:
        length = self.headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 18 or int(length) > most:
            raise bodies.too_long(most)

    async def _from_app(self, message: Message) -> None:
        """Sends what the application answers, but not what it makes of a body that broke off: that is refused instead."""
        if self.body is None or self.body.failed is None or self.status is not None:
            await self.send(message)

    async def send(self, message: Message) -> None:
        """Sends, with the headers of every response, unless the request was refused meanwhile."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = {b"x-request-id": self.id.encode("latin-1")}
            if self.guard.draining:
                own[b"connection"] = b"close"
            theirs = [pair for pair in message.get("headers", ()) if pair[0] not in own]
            named = {name for name, _ in theirs}
            message["headers"] = [*theirs, *(pair for pair in ALWAYS if pair[0] not in named), *own.items()]
        elif message.get("more_body") and (key := self.caller.key) is not None and self.guard.keys.of(key.id) is None:
            raise ConnectionAbortedError(f"the key {key.name} was revoked or has expired while it was answered")
        await self._send(message)

    def _login(self, problem: Problem) -> Response | None:
        """To where a key can be given, if a person's browser asked for a page without one."""
        if problem.status != 401 or all(route.template != LOGIN for route in self.middleware.routes):
            return None
        if "hx-request" in self.headers:  # a part of a page that is open
            return Response(status_code=401, headers={"hx-redirect": LOGIN})
        if self.scope["method"] != "GET" or "text/html" not in self.headers.get("accept", ""):
            return None
        query = self.scope["query_string"].decode("latin-1")
        here = self.scope["path"] + (f"?{query}" if query else "")
        return RedirectResponse(f"{LOGIN}?{urlencode({'next': here})}", 303)

    def _page(self, problem: Problem) -> Response | None:
        """The problem as a page, where there are pages and a browser goes to one; parts of pages and programs get JSON."""
        goes = "text/html" in self.headers.get("accept", "") and "hx-request" not in self.headers
        if self.guard.failure is None or not goes:
            return None
        self.scope["state"]["caller"] = self.caller
        response = self.guard.failure(Request(self.scope), problem)
        response.headers.update(problem.headers)
        return response

    async def _refuse(self, problem: Problem) -> None:
        if self.status is not None:  # an answer has begun, and cannot be taken back: the connection ends
            raise ConnectionAbortedError(problem.message) from None
        response = self._login(problem) or self._page(problem) or problem.response()
        await response(self.scope, _nothing, self.send)

    def _note(self, seconds: float) -> None:
        method = self.scope["method"] if self.scope["method"] in METHODS else "OTHER"
        status = GONE if self.status is None else self.status
        self.guard.meters.answered(method, self.template, status, seconds)
        fields: dict[str, Any] = {"id": self.id, "method": method, "route": self.template, "status": status}
        fields |= {"seconds": round(seconds, 4), "caller": self.caller.name}
        logs.event(logging.INFO, "request", **fields)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
