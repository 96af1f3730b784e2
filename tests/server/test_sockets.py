"""What only a real socket shows: slow, endless and forged requests, and an end that loses none."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, Request, Response

from karat.options import ServeOptions
from karat.server import running
from karat.server.app import application
from karat.server.guard import access, bodies
from karat.server.guard.guard import keys_of
from karat.server.guard.hosts import bound
from karat.server.guard.shedding import EVERY

HOST = b"host: localhost\r\n"
LARGE = 24 * 2**20


@dataclass
class Site:
    """A server in a thread, with routes that wait, and that answer much."""

    port: int
    server: running.Server
    thread: threading.Thread
    go: threading.Event = field(default_factory=threading.Event)
    seen: list[str] = field(default_factory=list)

    def open(self, sent: bytes = b"") -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        client.sendall(sent)
        return client

    def answer(self, sent: bytes) -> bytes:
        """All that comes until the server closes the connection."""
        with self.open(sent) as client:
            return everything(client)

    def lives(self) -> bool:
        return self.answer(b"GET /healthz HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n").startswith(
            b"HTTP/1.1 200"
        )


def everything(client: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(2**16):
            parts.append(part)
    return b"".join(parts)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site_of(ServeOptions([tmp_path], root=tmp_path, port=0), monkeypatch) as site:
        yield site


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server in whose line nobody has a place."""
    with site_of(ServeOptions([tmp_path], root=tmp_path, port=0, waiting=0), monkeypatch) as site:
        yield site


@contextlib.contextmanager
def site_of(options: ServeOptions, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(running, "HEADER_SECONDS", 0.3)
    monkeypatch.setattr(running, "READ_SECONDS", 0.3)
    monkeypatch.setattr(running, "LINGER", 0.2)
    monkeypatch.setattr(bodies, "PAUSE", 0.3)
    for row in ("GET /waits", "GET /much", "POST /takes"):
        monkeypatch.setitem(access.SCOPE, row, access.READ)
    router = APIRouter()
    go = threading.Event()
    seen: list[str] = []

    @router.get("/waits")
    async def waits() -> str:
        seen.append("waits")
        await asyncio.to_thread(go.wait, 20)
        return "done"

    @router.get("/much")
    def much() -> Response:
        return Response(b"x" * LARGE)

    @router.post("/takes")
    async def takes(request: Request) -> int:
        seen.append("takes")
        return len(await request.body())

    app, started = application(options, (router,)), threading.Event()
    listener = bound("127.0.0.1", 0)
    server = running.server_of(app, options, started.set)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    assert started.wait(20)
    yield Site(listener.getsockname()[1], server, thread, go, seen)
    go.set()
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nhost:", b"GET /healthz HTTP/1.1\r\n" + HOST])
def test_a_client_that_never_ends_its_headers_is_let_go(site: Site, sent: bytes) -> None:
    with site.open(sent) as slow:
        assert site.lives()
        assert everything(slow) == b""


def test_a_connection_that_was_used_may_not_wait_for_ever_with_half_a_request(site: Site) -> None:
    with site.open(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n") as client:
        assert client.recv(2**16).startswith(b"HTTP/1.1 200")
        client.sendall(b"GET /healthz HTTP/1.1\r\nx")
        everything(client)
    assert site.lives()


def test_a_body_that_stops_coming_is_refused(site: Site) -> None:
    answer = site.answer(b"POST /takes HTTP/1.1\r\n" + HOST + b"content-length: 10\r\n\r\nab")
    assert answer.startswith(b"HTTP/1.1 408") and b"body_too_slow" in answer and site.seen == []


def test_a_body_without_end_is_refused(site: Site) -> None:
    with site.open(b"POST /takes HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n") as client:
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                client.sendall(b"10000\r\n" + b"x" * 2**16 + b"\r\n")
        answer = everything(client)
    assert answer.startswith(b"HTTP/1.1 413") or answer == b""  # where the end of the connection overtook it
    assert site.seen == [] and site.lives()


def test_a_length_that_is_too_large_is_refused_before_the_body_comes(site: Site) -> None:
    answer = site.answer(
        b"POST /takes HTTP/1.1\r\n" + HOST + b"content-length: 99999999999\r\nexpect: 100-continue\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 413") and b"100 Continue" not in answer


def test_who_has_no_key_is_not_asked_for_a_body(site: Site) -> None:
    head = (
        b"POST /takes HTTP/1.1\r\n"
        + HOST
        + b"content-length: 9\r\nexpect: 100-continue\r\nauthorization: Bearer karat-x\r\n"
    )
    with site.open(head + b"\r\n") as client:
        assert client.recv(2**16).startswith(b"HTTP/1.1 401")
    with site.open(head.replace(b"karat-x", b"x") + b"\r\n") as client:
        assert client.recv(2**16).startswith(b"HTTP/1.1 100")


def test_headers_of_more_than_32_kilobytes_are_refused(site: Site) -> None:
    long = b"".join(b"x-%d: %s\r\n" % (i, b"y" * 1000) for i in range(40))
    answer = site.answer(b"GET /healthz HTTP/1.1\r\n" + HOST + long + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 431")
    endless = b"GET /healthz HTTP/1.1\r\n" + HOST + b"x: " + b"y" * 2**17
    assert site.answer(endless)[:12] in (b"HTTP/1.1 400", b"")
    assert site.lives()


FORGED = {
    "both lengths": b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"content-length: 4\r\ncontent-length: 5\r\n\r\nabcd",
    "a list of lengths": b"content-length: 4, 5\r\n\r\nabcd",
    "a signed length": b"content-length: +4\r\n\r\nabcd",
    "a length in hexadecimal": b"content-length: 0x4\r\n\r\nabcd",
    "another coding": b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings": b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "the coding twice": b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a blank before the colon": b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": b"x: a\r\n transfer-encoding: chunked\r\ncontent-length: 4\r\nhost: localhost\r\n\r\nabcd",
    "a null": b"x: a\0b\r\n\r\n",
    "a bare carriage return": b"x: a\rcontent-length: 4\r\n\r\n",
    "a chunk of odd size": b"transfer-encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n",
    "a second host": b"host: evil.example\r\ncontent-length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", FORGED)
def test_what_two_servers_could_read_differently_is_refused_and_ends_the_connection(site: Site, name: str) -> None:
    inner = b"GET /much HTTP/1.1\r\n" + HOST + b"\r\n"
    answer = site.answer(b"POST /takes HTTP/1.1\r\n" + HOST + FORGED[name] + inner)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501")), answer[:300]
    assert answer.count(b"HTTP/1.1 ") == 1 and site.seen == []


def test_an_absolute_target_and_a_tunnel_reach_nothing(site: Site) -> None:
    for line in (b"GET http://evil.example/healthz HTTP/1.1", b"CONNECT 127.0.0.1:22 HTTP/1.1", b"OPTIONS * HTTP/1.1"):
        answer = site.answer(line + b"\r\n" + HOST + b"connection: close\r\n\r\n")
        assert answer[9:12] in (b"400", b"404", b"405"), answer[:200]


def test_who_speaks_as_a_proxy_that_rewrites_the_host_and_adds_nothing_needs_a_key(site: Site) -> None:
    ask = b"GET /metrics HTTP/%s\r\nhost: 127.0.0.1:8321\r\nconnection: close\r\n\r\n"
    assert site.answer(ask % b"1.1").startswith(b"HTTP/1.1 200")
    assert b" 401 " in site.answer(ask % b"1.0")[:20]


def test_a_client_that_does_not_take_its_answer_is_let_go(site: Site) -> None:
    with site.open(b"GET /much HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n") as client:
        assert client.recv(1) == b"H"
        while site.server.server_state.connections:  # it reads nothing meanwhile
            threading.Event().wait(0.02)
        assert len(everything(client)) < LARGE
    assert site.lives()


def test_a_client_that_reads_slowly_gets_all(site: Site) -> None:
    with site.open(b"GET /much HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n") as client:
        got = 0
        while part := client.recv(2**21):
            got += len(part)
    assert got > LARGE


def test_on_sigterm_what_was_begun_is_answered_and_readyz_says_no(site: Site) -> None:
    ask = b"GET /waits HTTP/1.1\r\n" + HOST + b"\r\n"
    with site.open(ask) as first, site.open(ask) as second:
        while len(site.seen) < 2:
            threading.Event().wait(0.01)
        site.server.handle_exit(signal.SIGTERM, None)
        site.server._captured_signals.clear()  # this process is not to end
        assert site.answer(b"GET /readyz HTTP/1.1\r\n" + HOST + b"\r\n").startswith(b"HTTP/1.1 503")
        while not site.server.should_exit:
            threading.Event().wait(0.01)
        threading.Event().wait(0.3)  # it accepts no more
        with pytest.raises(ConnectionError):
            site.open().close()
        site.go.set()
        for client in (first, second):
            answer = everything(client)
            assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b'"done"')
            assert b"connection: close" in answer
    site.thread.join(20)
    assert not site.thread.is_alive()


ASK = b"POST /v1/images/generations HTTP/1.1\r\n" + HOST + b"content-type: application/json\r\n"
BODY = b'content-length: 15\r\n\r\n{"model": "no"}'


def parts_of(answer: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Status, headers and JSON of one answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    return int(lines[0].split()[1]), dict(line.split(": ", 1) for line in lines[1:]), json.loads(body)


def test_what_is_refused_before_it_is_read_is_answered_as_by_the_way_of_all_others(full: Site) -> None:
    last = b"connection: close\r\n"
    early, late = (parts_of(full.answer(ASK + last + more + BODY)) for more in (b"", b"cookie: x=y\r\n"))
    assert early[0] == late[0] == 429 and early[2] == late[2] and early[2]["error"]["code"] == "queue_full"
    number = [headers.pop("x-request-id") for _, headers, _ in (early, late)]
    assert len(set(number)) == 2 and all(each.startswith("req_") for each in number)
    late[1].pop("connection", None)
    assert early[1].pop("date")[:5] == late[1].pop("date")[:5]
    assert early[1] == late[1] and int(early[1]["retry-after"]) >= 1
    said = full.answer(b"GET /metrics HTTP/1.1\r\n" + HOST + last + b"\r\n").decode()
    assert "karat_http_requests_shed_total 1.0" in said and 'karat_rejected_total{why="full"} 2.0' in said
    assert 'route="/v1/images/generations",status="429"} 2.0' in said


def test_a_connection_goes_on_after_a_refusal_and_keeps_its_order(full: Site) -> None:
    asks = (ASK + BODY) * 3 + b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n" + ASK + b"connection: close\r\n" + BODY
    found = re.findall(rb"HTTP/1.1 (\d+)", full.answer(asks))
    assert found == [b"429"] * 3 + [b"200", b"429"]


def test_a_refused_request_whose_body_does_not_come_is_let_go(full: Site) -> None:
    assert full.answer(ASK + b"content-length: 999\r\n\r\n{") == b""
    assert full.answer(ASK + b"content-length: 99999999\r\n\r\n{").startswith(b"HTTP/1.1 429")
    assert full.lives()


def test_who_has_no_key_learns_nothing_of_how_full_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys_of(tmp_path).add("ann=make")
    with site_of(ServeOptions([tmp_path], root=tmp_path, port=0, waiting=0), monkeypatch) as site:
        for more in (b"", b"authorization: Bearer karat-x\r\n", b"authorization: Bearer x\r\n"):
            assert site.answer(ASK + b"connection: close\r\n" + more + BODY).startswith(b"HTTP/1.1 401")


def test_what_follows_a_body_in_chunks_replaces_no_header(site: Site) -> None:
    head = b"POST /takes HTTP/1.1\r\n" + HOST + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    answer = site.answer(head + b"2\r\nab\r\n0\r\nhost: evil.example\r\nauthorization: Bearer karat-x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"2")


def test_a_pipelined_request_is_not_cut_off_while_the_one_behind_it_waits(site: Site) -> None:
    ask = b"GET /waits HTTP/1.1\r\n" + HOST
    with site.open(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n" + ask + b"connection: close\r\n\r\n") as client:
        while not site.seen:
            threading.Event().wait(0.01)
        threading.Event().wait(3 * running.HEADER_SECONDS)
        site.go.set()
        assert everything(client).endswith(b'"done"')


def test_refusals_that_nobody_reads_are_not_heaped_up(full: Site) -> None:
    with full.open() as client:
        client.settimeout(1)
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 64 * 2**20:
                sent += client.send((ASK + BODY) * 1000)
        heaped = [each.transport.get_write_buffer_size() for each in full.server.server_state.connections]
        assert sent < 64 * 2**20 and max(heaped, default=0) < 8 * 2**20
    assert full.lives()


def test_who_reads_late_gets_all_refusals(full: Site) -> None:
    number = 4000
    with full.open() as client:
        writer = threading.Thread(
            target=client.sendall, args=((ASK + BODY) * number + ASK + b"connection: close\r\n" + BODY,)
        )
        writer.start()
        threading.Event().wait(0.1)
        assert everything(client).count(b"HTTP/1.1 429") == number + 1
        writer.join()


def test_the_log_tells_of_every_refusal_once(full: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "karat.server"):
        full.answer((ASK + BODY) * 30 + ASK + b"connection: close\r\n" + BODY)
        threading.Event().wait(1.5 * EVERY)
    told = [each.__dict__["fields"] for each in caplog.records if "refused" in str(each.msg)]
    assert [each["count"] for each in told] == [31]


def test_a_file_of_keys_that_others_may_read_is_no_bad_request(full: Site, tmp_path: Path) -> None:
    keys_of(tmp_path).add("ann=make")
    keys_of(tmp_path).path.chmod(0o644)
    threading.Event().wait(0.05)
    assert full.answer(ASK + b"connection: close\r\nauthorization: Bearer x\r\n" + BODY).startswith(b"HTTP/1.1 5")
