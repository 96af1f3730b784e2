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
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

import uvicorn
from fastapi import APIRouter
from uvicorn.protocols.http.h11_impl import H11Protocol

from karat.options import ServeOptions
from karat.server import logs
from karat.server.app import application
from karat.server.guard.guard import Guard
from karat.server.guard.hosts import bound

LINGER = 0.5  # seconds
HEADER_SECONDS = 15.0  # in which a request's headers must have come
HEADER_BYTES = 32 * 2**10
IDLE = 15  # seconds that a connection may be kept without a request
CONNECTIONS = 16_000  # at once; each takes a file descriptor


class Protocol(H11Protocol):
    """HTTP/1.1 by h11, whose reading is strict; a client that takes long to send its headers is let go."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._waiting.cancel()

    def on_response_complete(self) -> None:
        self._expect()
        super().on_response_complete()

    def _expect(self) -> None:
        """From now on a request must come."""
        cycle = self.cycle

        def late() -> None:
            if self.cycle is cycle and not self.transport.is_closing():
                self.transport.close()

        self._waiting = self.loop.call_later(HEADER_SECONDS, late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._waiting.cancel()
        super().connection_lost(exc)


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


def run(options: ServeOptions, pages: tuple[APIRouter, ...], say: Callable[[str], None]) -> None:
    """Serves until it is stopped.   say: is told the address once requests are answered.

    FitError where the port is taken, the host is none of this machine, or it needs a key and there is none.
    """
    listener = bound(options.host, options.port)
    with contextlib.closing(listener):
        address, port = listener.getsockname()[:2]
        app = application(replace(options, host=address, port=port), pages)
        url = f"http://{f'[{address}]' if ':' in address else address}:{port}"
        served = app.state.served
        runs = len(served.catalogue.paths())
        _allow_connections()
        logs.to_stderr()
        config = uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=HEADER_BYTES,
            limit_concurrency=CONNECTIONS,
            backlog=4096,
            timeout_keep_alive=IDLE,
            timeout_graceful_shutdown=int(2 * options.deadline),
        )
        count = "1 run" if runs == 1 else f"{runs} runs"
        Server(config, served.guard, lambda: say(f"serving {count} at {url}, until Ctrl-C")).run([listener])


def _allow_connections() -> None:
    """As many open files as the system allows this process."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
