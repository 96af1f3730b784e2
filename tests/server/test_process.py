"""`karat serve` as a process: what it says, what it refuses, how it ends."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import threading
from pathlib import Path

import pytest
from processes import Forked, karat_process

from karat.server import running  # noqa: F401  # before the forks, which then need not import it
from karat.server.guard.guard import keys_of
from karat.studio import ROUTERS  # noqa: F401


def started(folder: Path, *more: str) -> tuple[Forked, int]:
    """A server over `folder`, and its port."""
    process = karat_process("serve", str(folder), "--port", "0", *more, cwd=folder)
    process.until(lambda: "until Ctrl-C" in process.said()[0])
    found = re.search(
        r"serving 0 runs at http://127\.0\.0\.1:(\d+), until Ctrl-C\n(?:no key|a key) is asked for", process.said()[0]
    )
    assert found, process.said()
    return process, int(found[1])


def asked(port: int, path: str, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_server_says_its_address_answers_logs_no_secret_and_ends_on_sigterm(tmp_path: Path) -> None:
    key = keys_of(tmp_path).add("ann=read")
    process, port = started(tmp_path)
    with process:
        assert asked(port, "/healthz?token=hidden") == 200
        assert asked(port, "/metrics", authorization=f"Bearer {key}") == 200
        assert asked(port, f"/metrics?key={key}", authorization=f"Bearer {key}x") == 401
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"hidden\r\n\r\n")
            assert b"400" in client.recv(1000)
        taken = karat_process("serve", str(tmp_path), "--port", str(port), cwd=tmp_path)
        assert taken.wait() == 2 and "is taken; choose another with --port" in taken.said()[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
    lines = [json.loads(line) for line in process.said()[1].splitlines()]
    assert [line["status"] for line in lines if line.get("event") == "request"] == [200, 200, 401]
    assert [line.get("caller") for line in lines[:3]] == ["-", "ann", "-"]
    said = "".join(process.said())
    assert "hidden" not in said and key[6:] not in said


@pytest.mark.exam
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "0"])
def test_where_others_can_reach_it_a_server_does_not_start_without_a_key(tmp_path: Path, host: str) -> None:
    process = karat_process("serve", str(tmp_path), "--port", "0", "--host", host, cwd=tmp_path)
    assert process.wait() == 2
    assert "can be reached by other machines, and there is no key" in process.said()[1]


def test_a_key_is_shown_once_and_a_server_of_all_addresses_asks_for_it(tmp_path: Path) -> None:
    made = karat_process("serve", str(tmp_path), "--add-key", "ann=read", "--days", "2", cwd=tmp_path)
    assert made.wait() == 0
    key = made.said()[0].strip()
    assert re.fullmatch(r"karat-[\w-]{43}", key) and key not in made.said()[1]
    process = karat_process("serve", str(tmp_path), "--port", "0", "--host", "0.0.0.0", cwd=tmp_path)
    with process:
        process.until(lambda: "until Ctrl-C" in process.said()[0])
        found = re.search(r":(\d+), until Ctrl-C\nkeys and content pass the network unencrypted", process.said()[0])
        assert found, process.said()
        port = int(found[1])
        assert asked(port, "/metrics") == 401
        assert asked(port, "/metrics", authorization=f"Bearer {key}") == 200
        revoked = karat_process("serve", str(tmp_path), "--revoke-key", "ann", cwd=tmp_path)
        assert revoked.wait() == 0
        assert asked(port, "/metrics", authorization=f"Bearer {key}") == 401
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130


@pytest.mark.exam
def test_ten_thousand_idle_connections_keep_nobody_out(tmp_path: Path) -> None:
    process, port = started(tmp_path)
    with process:
        idle = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(10_000)]
        assert asked(port, "/healthz") == 200
        for client in idle[:100]:
            client.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        for client in idle[:100]:
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        for client in idle:
            client.close()
        process.until(lambda: asked(port, "/healthz") == 200)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143


@pytest.mark.exam
def test_under_load_sigterm_drops_no_request_that_was_begun(tmp_path: Path) -> None:
    process, port = started(tmp_path)
    lost: list[str] = []
    answered: list[int] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        while True:
            try:
                connection.request("GET", "/metrics")
            except OSError:  # it takes no more
                return
            try:
                response = connection.getresponse()
                response.read()
            except ConnectionError:
                # a request on a connection that the server closed before it could see the request is nobody's: HTTP has the
                # client send it again (RFC 9112, 9.3.1); on a new connection it would be lost
                if connection.sock is None:
                    return
                lost.append("begun")
                return
            answered.append(response.status)
            if response.getheader("connection") == "close":
                connection.close()

    threads = [threading.Thread(target=client) for _ in range(16)]
    with process:
        for thread in threads:
            thread.start()
        process.until(lambda: len(answered) > 200)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
        for thread in threads:
            thread.join()
    assert lost == [] and set(answered) == {200} and len(answered) > 200
