"""Requests that are refused before a route sees them, and what every answer carries."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest
from clients import client_of
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from karat.options import ServeOptions
from karat.server import problems
from karat.server.guard import Guard, Middleware, access, caller_of
from karat.server.guard import guard as guards
from karat.server.guard.headers import SAFE


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """Of an application with a route for JSON, one for files and one that fails."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    problems.install(app)

    @app.post("/echo")
    def echo(body: dict[str, object], request: Request) -> dict[str, object]:
        return {"body": body, "caller": caller_of(request).name}

    @app.post("/files")
    async def files(request: Request) -> int:
        async with request.form() as form:
            return sum([len(await file.read()) for file in form.values() if not isinstance(file, str)])

    @app.get("/fails")
    def fails() -> None:
        raise ValueError(f"secret training text in {tmp_path}")

    for row in ("POST /echo", "POST /files", "GET /fails"):
        monkeypatch.setitem(access.SCOPE, row, "read")
    monkeypatch.setattr(access, "UPLOADS", {"POST /files"})
    app.add_middleware(Middleware, guard=Guard(ServeOptions(upload=2), tmp_path), routes=access.routes_of(app))
    return TestClient(app, base_url="http://localhost:1", raise_server_exceptions=False)


def test_a_request_that_is_allowed_arrives_whole(client: TestClient) -> None:
    answer = client.post("/echo", json={"a": [1, {"b": 2.5}]})
    assert answer.json() == {"body": {"a": [1, {"b": 2.5}]}, "caller": "local"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:8321", 200),
        ("[::1]:8321", 200),
        ("LOCALHOST.:1", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example:8321", 421),
        ("192.168.1.5", 421),
        ("0.0.0.0", 421),
        ("", 400),
        ("localhost/x", 400),
        ("user@localhost", 400),
        ("localhost:port", 400),
        ("[::1", 400),
    ],
)
def test_on_loopback_only_names_of_loopback_are_answered(client: TestClient, host: str, status: int) -> None:
    assert client.post("/echo", json={}, headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://localhost:1"}, 200),
        ({"origin": "http://localhost:1", "sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:2"}, 403),
        ({"origin": "http://localhost"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "https://localhost:1.evil.example"}, 403),
        ({"origin": "file://"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, 403),
    ],
)
def test_a_page_of_another_site_changes_nothing(client: TestClient, headers: dict[str, str], status: int) -> None:
    answer = client.post("/echo", json={}, headers=headers)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers


def test_a_link_from_another_site_opens_a_page_but_embeds_none(tmp_path: Path) -> None:
    with client_of(ServeOptions([tmp_path], root=tmp_path, studio=False)) as client:
        link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        assert client.get("/healthz", headers=link).status_code == 200
        assert client.get("/healthz", headers={**link, "sec-fetch-dest": "iframe"}).status_code == 403
        assert client.get("/healthz", headers={**link, "sec-fetch-mode": "no-cors"}).status_code == 403
        assert client.options("/healthz", headers={"origin": "http://evil.example"}).status_code == 403


@pytest.mark.parametrize("name", ["host", "content-type", "origin", "content-length", "content-encoding"])
def test_a_header_that_is_there_twice_is_refused(client: TestClient, name: str) -> None:
    value = {"host": "localhost", "content-type": "application/json", "content-length": "2"}.get(name, "identity")
    headers = [
        ("host", "localhost"),
        ("content-type", "application/json"),
        ("content-length", "2"),
        (name, value),
        (name, value),
    ]
    answer = client.post("/echo", content=b"{}", headers=headers)
    assert answer.status_code == 400 and "twice" in answer.json()["error"]["message"]


def test_a_body_with_two_lengths_is_refused(client: TestClient) -> None:
    answer = client.post("/echo", content=b"{}", headers={"transfer-encoding": "chunked", "content-length": "2"})
    assert answer.status_code == 400 and answer.headers["connection"] == "close"


@pytest.mark.parametrize("kind", ["gzip", "br", "deflate", "zstd", "gzip, identity", "x"])
def test_a_packed_body_is_refused(client: TestClient, kind: str) -> None:
    headers = {"content-encoding": kind, "content-type": "application/json"}
    assert client.post("/echo", content=b"{}", headers=headers).status_code == 415


def test_a_body_that_is_too_long_is_refused_whether_it_says_so_or_not(client: TestClient) -> None:
    small, large = b" " * 2**20, b" " * (2**20 + 1)
    kind = {"content-type": "application/json"}
    assert client.post("/echo", content=small[:-2] + b"{}", headers=kind).status_code == 200
    assert client.post("/echo", content=large, headers=kind).status_code == 413
    assert client.post("/echo", content=iter([small, b"{}"]), headers=kind).status_code == 413
    assert client.post("/echo", content=b"{}", headers={**kind, "content-length": "9" * 30}).status_code == 413
    assert client.post("/files", files={"a": large}).text == str(len(large))
    assert client.post("/files", files={"a": large, "b": large}).status_code == 413
    parts = iter([b'--x\r\ncontent-disposition: form-data; name="a"; filename="a"\r\n\r\n', large, large])
    answer = client.post("/files", content=parts, headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 413 and answer.json()["error"]["code"] == "body_too_large"


def test_a_form_of_ten_thousand_parts_is_refused(client: TestClient) -> None:
    part = b'--x\r\ncontent-disposition: form-data; name="a"; filename="a"\r\n\r\n\r\n'
    for boundary, parts in ((b"x", 10_000), (b"x" * 20_000, 3)):
        body = part.replace(b"--x", b"--" + boundary) * parts + b"--" + boundary + b"--"
        kind = {"content-type": f"multipart/form-data; boundary={boundary.decode()}"}
        answer = client.post("/files", content=body, headers=kind)
        assert answer.status_code in ((400,) if parts > 3 else (200, 400))


def test_an_id_of_the_clients_is_kept_where_it_is_plain(client: TestClient) -> None:
    assert client.get("/fails", headers={"x-request-id": "a-1.B_2"}).headers["x-request-id"] == "a-1.B_2"
    seen = set()
    for odd in ("", "a b", "<script>", "x" * 65, "\x1b[31m", "a\xe9"):
        given = client.get("/fails", headers={"x-request-id": odd.encode("latin-1")}).headers["x-request-id"]
        assert re.fullmatch("req_[0-9a-f]{24}", given)
        seen.add(given)
    assert len(seen) == 6


def test_a_failure_says_an_id_and_nothing_of_what_failed(
    client: TestClient, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with caplog.at_level(logging.INFO, "karat.server"):
        answer = client.get("/fails", headers={"x-request-id": "fault-1"})
    assert answer.status_code == 500
    assert answer.json()["error"]["message"] == "a fault of the server's own; its log has more under fault-1."
    failure = next(r.fields for r in caplog.records if r.fields.get("event") == "fault")  # type: ignore[attr-defined]
    assert failure["exception"] == "ValueError" and failure["id"] == "fault-1"
    assert failure["lines"][-1].endswith(" fails")
    for text in (answer.text, json.dumps(failure)):
        assert "secret" not in text and str(tmp_path) not in text


def test_a_log_line_names_the_route_the_status_and_the_caller_and_nothing_that_was_sent(
    client: TestClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = guards.keys_of(tmp_path).add("ann=read")
    with caplog.at_level(logging.INFO):
        client.post("/echo?token=hidden", json={"a": "content"}, headers={"authorization": f"Bearer {text}"})
        client.post("/nowhere/hidden", json={"a": "content"}, headers={"authorization": "Bearer karat-hidden"})
    lines = [r.fields for r in caplog.records if r.name == "karat.server"]  # type: ignore[attr-defined]
    first, second = lines
    assert {**first, "id": 0, "seconds": 0} == {
        "event": "request",
        "id": 0,
        "method": "POST",
        "route": "/echo",
        "status": 200,
        "seconds": 0,
        "caller": "ann",
    }
    assert (second["route"], second["status"], second["caller"]) == ("-", 401, "-")
    for hidden in ("content", "hidden", text.removeprefix("karat-"), "localhost"):
        assert hidden not in json.dumps(lines)


def test_every_answer_carries_the_headers_that_keep_a_page_to_itself(client: TestClient) -> None:
    for answer in (client.post("/echo", json={}), client.get("/fails"), client.get("/nowhere"), client.post("/echo")):
        assert SAFE.items() <= dict(answer.headers).items()
        rules = answer.headers["content-security-policy"]
        assert "unsafe" not in rules and "http" not in rules and "*" not in rules and "default-src 'none'" in rules
        assert "server" not in answer.headers


def test_a_path_that_is_not_served_and_a_method_that_is_not_taken_are_said(client: TestClient) -> None:
    assert client.get("/nowhere").status_code == 404
    assert client.get("/echo").status_code == 405 and client.get("/echo").headers["allow"] == "POST"
    for path in ("/echo/", "//echo", "/ECHO", "/echo%2f", "/%2e%2e/echo", "/echo%00"):
        assert client.post(path, json={}).status_code == 404, path


def test_metrics_count_requests_by_route_and_never_by_what_a_client_chose(client: TestClient, tmp_path: Path) -> None:
    with client_of(ServeOptions([tmp_path], root=tmp_path, studio=False)) as served:
        served.get("/healthz")
        served.get("/odd-path-1")
        served.request("ODD", "/odd-path-2")
        text = served.get("/metrics").text
    assert 'karat_http_requests_total{method="GET",route="/healthz",status="200"} 1.0' in text
    assert 'karat_http_requests_total{method="OTHER",route="-",status="404"} 1.0' in text
    assert "karat_http_requests_running 1.0" in text
    assert 'karat_http_request_seconds_bucket{le="0.005",route="/healthz"}' in text
    assert "odd" not in text.lower()


def test_a_server_that_is_being_stopped_says_so_and_closes_connections(tmp_path: Path) -> None:
    with client_of(ServeOptions([tmp_path], root=tmp_path, studio=False)) as client:
        assert client.get("/readyz").json() == {"status": "ready"}
        client.app.state.served.guard.draining = True  # type: ignore[attr-defined]
        answer = client.get("/readyz")
        assert answer.status_code == 503 and answer.headers["connection"] == "close"
        assert client.get("/healthz").status_code == 200
