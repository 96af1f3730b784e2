"""The process of a server: a socket that is bound before anything is loaded, and an end that loses no request.

On SIGTERM or Ctrl-C /readyz says 503 and answers close their connections, while new requests are still taken for LINGER seconds:
who routes requests here learns of the end before connections are refused. Then requests under way are answered, as long as a
request may wait and be drawn; a second signal ends the process at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from karat.options import ServeOptions
from karat.server import logs
from karat.server.engine.drawing import settle
from karat.server.guard import routes_of
from karat.server.guard.guard import Guard
from karat.server.guard.hosts import bound, url_of
from karat.server.guard.middleware import LONGEST_HEAD
from karat.server.guard.shedding import Shedding

LINGER = 0.5  # seconds
HEADER_SECONDS = 15.0  # in which a request's headers must have come
READ_SECONDS = 30.0  # in which a client must take some of what was sent
IDLE = 15  # seconds that a connection may be kept without a request
SWITCH = (
    0.0005  # seconds that the thread which draws may hold up the one that answers, where Python is what both wait for
)
CONNECTIONS = 16_000  # at once; each takes a file descriptor


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 by llhttp, the parser of Node.js, as strict as it comes, and stricter where two readers could differ.

    A client that is slow to ask, or to take what it asked for, is let go.
    """

    _waiting: asyncio.TimerHandle | None = None
    _until: float | None = None  # when the headers of a request must have come; None while one is answered
    _stalled: asyncio.TimerHandle | None = None
    _heading = _begun = False  # whether headers of a request are being read, and began in this piece
    _head = 0  # bytes of pieces in which there was nothing else
    _refusal: bytes | None = None  # of the request whose body is being read
    _full = False  # whether no more is read until refusals were taken

    def __init__(self, shedding: Shedding, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._shedding = shedding

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        before, self._begun = self.cycle, False
        super().data_received(data)
        if self.cycle is not before:
            self._until = None
        # of the piece in which they begin it is not known where; complete ones are measured by the middleware
        self._head = self._head + len(data) if self._heading and not self._begun else 0
        if self._head > LONGEST_HEAD and not self.transport.is_closing():
            self.send_400_response(f"The headers are longer than {LONGEST_HEAD} bytes.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._heading = self._begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._heading:  # what follows a body in chunks could otherwise replace what was looked at before it
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """ValueError, answered with 400, for forms of a request that some readers take for another."""
        self._heading = False
        if self.parser.get_http_version() not in ("1.0", "1.1"):
            raise ValueError("neither HTTP/1.0 nor HTTP/1.1")
        if self.url[:1] not in (b"/", b"*"):
            raise ValueError("a whole address or a host in place of a path")
        if self.cycle is None or self.cycle.response_complete:
            self._refusal = self._shedding(self.parser.get_method(), self.url, self.headers)
            if self._refusal is not None:
                return
        super().on_headers_complete()
        if self.parser.should_upgrade():  # nobody here speaks what it would change to
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._shedding.start(partial(super()._start_asgi_task, cycle, app))

    def on_body(self, body: bytes) -> None:
        if self._refusal is None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._refusal is None:
            super().on_message_complete()
            return
        self.transport.write(self._refusal)
        self._refusal = None
        if self.flow.write_paused:  # who reads no answers is not asked for more requests
            self._full = True
            self.flow.pause_reading()
        if not self.parser.should_keep_alive():
            self.transport.close()
            return
        self._expect_request()

    def on_response_complete(self) -> None:
        if self.cycle.response_complete:  # else others are there already, which came behind this one
            self._expect_request()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._full and not self.pipeline:
            self._full = False
            self.flow.resume_reading()
        if self._stalled is not None:
            self._stalled.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._waiting, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def _expect_request(self) -> None:
        """The connection ends unless all headers of a request come in time, once the last answer is out."""
        self._until = self.loop.time() + HEADER_SECONDS
        if self._waiting is None:
            self._waiting = self.loop.call_at(self._until, self._late)

    def _late(self) -> None:
        self._waiting = None
        if self._until is None:
            return
        if self.loop.time() < self._until:  # others came and were answered since this was to be looked at
            self._waiting = self.loop.call_at(self._until, self._late)
        elif self.transport.get_write_buffer_size():
            self._expect_request()
        else:
            self.transport.abort()

    def _expect_reading(self) -> None:
        """The connection ends unless its client takes some of what waits for it, time and again."""
        waits = self.transport.get_write_buffer_size()

        def late() -> None:
            if self.transport.get_write_buffer_size() >= waits:
                self.transport.abort()
            else:
                self._expect_reading()

        self._stalled = self.loop.call_later(READ_SECONDS, late)


class Server(uvicorn.Server):
    """uvicorn's server, which says when it answers and ends as this file's head has it."""

    def __init__(self, config: uvicorn.Config, guard: Guard, started: Callable[[], None]) -> None:
        super().__init__(config)
        self.guard, self.when_started = guard, started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.when_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.guard.draining:
            os._exit(128 + sig)
        self.guard.draining = True
        self._captured_signals.append(sig)

    async def on_tick(self, counter: int) -> bool:
        if self.guard.draining and not self.should_exit:
            await asyncio.sleep(LINGER)
            self.should_exit = True
        return await super().on_tick(counter)


def run(options: ServeOptions, make: Callable[[ServeOptions], FastAPI], say: Callable[[str], None]) -> None:
    """Serves until it is stopped.   make: the application.   say: is told the address once requests are answered.

    FitError where the port is taken, the host is none of this machine, or it needs a key and there is none.
    """
    with contextlib.closing(bound(options.host, options.port)) as listener:
        address, port = listener.getsockname()[:2]
        app = make(replace(options, host=address, port=port))
        runs = len(app.state.served.catalogue.paths())
        count = "1 run" if runs == 1 else f"{runs} runs"
        _allow_connections()
        sys.setswitchinterval(SWITCH)
        logs.to_stderr()
        app.state.served.engine.settles()
        settle()
        line = f"serving {count} at {url_of(address, port)}, until Ctrl-C\n{app.state.served.guard.warning}"
        server_of(app, options, lambda: say(line)).run([listener])


def server_of(app: FastAPI, options: ServeOptions, started: Callable[[], None]) -> Server:
    """The server of an application.   started: is called once requests are answered."""
    config = uvicorn.Config(
        app,
        http=partial(Protocol, Shedding(app.state.served.guard, routes_of(app))),  # type: ignore[arg-type]
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        backlog=4096,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=int(2 * options.deadline),
    )
    return Server(config, app.state.served.guard, started)


def _allow_connections() -> None:
    """As many open files as the system allows this process."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
