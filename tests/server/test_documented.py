"""Every error that /openapi.json documents for a route occurs, with the code of its example, in the form of its schema."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from clients import client_of
from fastapi.testclient import TestClient

from karat.options import ServeOptions
from karat.server.app import application
from karat.server.guard.guard import LOCAL, keys_of
from karat.server.jobs.table import Table

PUBLIC = "192.0.2.1"  # of a documentation's net: never loopback
GOOD: dict[str, dict[str, Any]] = {  # a request of each kind that would be answered
    "/v1/images/generations": {"model": "digits", "prompt": "7"},
    "/v1/audio/speech": {"model": "tones", "input": "low", "voice": "any"},
    "/v1/completions": {"model": "lines", "prompt": "L", "max_tokens": 3},
    "/v1/rows": {"model": "people", "n": 2},
    "/v1/runs/{name}/make": {"n": 2},
    "/v1/look": {"data": "data/people.csv", "probe": False},
    "/v1/train": {"source": "digits"},
    "/v1/train/price": {"source": "digits"},
    "/v1/runs/{name}/assay": {"n": 50},
    "/v1/jobs": {"kind": "train", "options": {"source": "digits"}},
}
LOST = {  # how each names what is not there, where that is not in its path
    **{path: {**GOOD[path], "model": "nothing"} for path in ("/v1/images/generations", "/v1/audio/speech")},
    **{path: {**GOOD[path], "model": "nothing"} for path in ("/v1/completions", "/v1/rows")},
    **{path: {"run": "nothing"} for path in ("/v1/train", "/v1/train/price")},
    "/v1/jobs": {"kind": "train", "options": {"run": "nothing"}},
}
WRONG = {"/v1/runs/{name}/report": "format=xml", "/v1/jobs": "limit=0", "/v1/jobs/{job}/events": "after=-1"}
MANY = b" " * (2**20 + 1)
DOCUMENTED = application(ServeOptions(["none"], root=Path("none"))).openapi()["paths"]
ALL = [
    (method.upper(), path, int(status))
    for path, item in DOCUMENTED.items()
    for method, operation in item.items()
    for status in operation["responses"]
    if path.startswith("/v1/") and int(status) >= 400
]


@dataclass
class Servers:
    """Servers in each of the states in which errors occur, made when they are first asked for."""

    runs: Path
    place: Path
    opened: dict[str, TestClient] = field(default_factory=dict)
    done: threading.Event = field(default_factory=threading.Event)

    def of(self, state: str) -> TestClient:
        if state not in self.opened:
            self.opened[state] = self.begun(state)
        return self.opened[state]

    def begun(self, state: str) -> TestClient:
        how: dict[str, Any] = {"root": self.root(state)}
        how |= {
            "full": {"waiting": 0, "jobs": 1, "uploads": 0},
            "late": {"deadline": 0.01},
            "public": {"host": PUBLIC},
        }.get(state, {})
        key = None
        if state == "public":
            key = keys_of(how["root"]).add("nobody=review")
        client = client_of(ServeOptions([how["root"]], studio=False, **how), key)
        client.__enter__()
        engine = client.app.state.served.engine  # type: ignore[attr-defined]
        if state == "closed":
            engine.close()
        if state == "full":  # its worker has gone, and as many jobs wait as may
            served = client.app.state.served  # type: ignore[attr-defined]
            served.jobs.close()
            served.jobs._table = None
            served.jobs.submit("look", {"data": "digits"})
        if state == "late":  # its thread is busy
            busy = threading.Event()

            def hold(_: object) -> None:
                busy.set()
                self.done.wait(60)

            assert client.portal is not None
            client.portal.start_task_soon(lambda: engine.look("people", hold, deadline=60.0))
            assert busy.wait(30)
        return client

    def root(self, state: str) -> Path:
        root = self.place / state
        shutil.copytree(self.runs, root, symlinks=True)
        if state == "damaged":
            for model in root.glob("*/model-*.safetensors"):
                model.write_bytes(model.read_bytes()[:-100])
        if state == "closed":
            (root / ".karat").mkdir()
            with sqlite3.connect(root / ".karat" / "jobs.db") as db:
                db.execute("CREATE TABLE other (x)")
                db.execute("PRAGMA user_version = 99")
            db.close()
        return root


@pytest.fixture(scope="module")
def servers(served_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    servers = Servers(served_runs, tmp_path_factory.mktemp("states"))
    yield servers
    servers.done.set()
    for client in servers.opened.values():
        client.__exit__(None, None, None)


NAME = {"/v1/runs/{name}/make": "digits"}
STATE = {401: "public", 403: "public", 429: "full", 500: "damaged", 503: "closed", 504: "late", 507: "full"}


def a_job(client: TestClient, state: Any) -> str:
    served = client.app.state.served  # type: ignore[attr-defined]
    table = Table(served.jobs.home.table)
    job = table.add("look", {}, None, LOCAL.id, None)
    table.move(job.id, ("queued",), state)
    table.close()
    return str(job.id)


def an_upload_in_use(client: TestClient) -> str:
    served = client.app.state.served  # type: ignore[attr-defined]
    sent = client.post("/v1/uploads", files=[("files", ("in use.csv", b"a"))]).json()["name"]
    table = Table(served.jobs.home.table)
    job = table.add("look", {"data": str(served.uploads.folder / sent)}, None, LOCAL.id, None)
    table.move(job.id, ("queued",), "running")
    table.close()
    return str(sent)


def ask(servers: Servers, method: str, path: str, status: int) -> Any:
    """The answer to a request that should be answered with the status."""
    client = servers.of(STATE.get(status, "usual"))
    job = "nothing"
    if "{job}" in path and status in (409, 422, 429):
        job = a_job(client, "cancelled" if status == 429 else "running" if method == "DELETE" else "succeeded")
    name = "nothing" if status == 404 else NAME.get(path, "people")
    if path == "/v1/uploads/{name}" and status == 409:
        name = an_upload_in_use(client)
    address = path.replace("{name}", name).replace("{model}", name).replace("{job}", job)
    takes = DOCUMENTED[path][method.lower()].get("requestBody", {}).get("content", {})
    body: dict[str, Any] = {"json": GOOD[path]} if "application/json" in takes else {}
    if "multipart/form-data" in takes:
        named = "files" if path == "/v1/uploads" else "file"
        sent = [(named, ("d/x.png", b"nothing"))] * (2 if status == 409 else 1)
        body = {"files": sent, "data": {"run": "nothing"} if status == 404 else {}}
    if status == 400:
        wrong = {"content-type": "multipart/form-data"}
        body = {"json": {"nothing": 1}} if "json" in body else {"content": b"--x", "headers": wrong}
    elif status == 401:
        body["headers"] = {"authorization": "Bearer karat-nothing"}
    elif status == 403:
        body["headers"] = {"origin": "http://elsewhere.example", "sec-fetch-site": "cross-site"}
    elif status == 404 and path in LOST:
        body = {"json": LOST[path]}
    elif status == 409 and "json" in body:
        options = {"source": "digits", "out": "digits"}
        body = {"json": {"kind": "train", "options": options} if path == "/v1/jobs" else options}
    elif status == 413:
        body = {"content": MANY, "headers": {"content-type": "application/json"}}
        if "multipart/form-data" in takes:
            body["headers"] = {"content-type": "multipart/form-data; boundary=x", "content-length": str(2**40)}
    elif status == 415:
        body = {"content": b'{"n": 1}', "headers": {"content-type": "text/plain"}}
    elif status == 422 and "json" in body:
        body = {"json": [1]}
    elif status == 422 and body:
        body = {"data": {"run": "people"}}
    elif status == 422:
        address += f"?{WRONG[path]}"
    return client.request(method, address, **body)


CODES = {
    401: {"invalid_api_key"},
    403: {"missing_scope", "cross_site"},
    404: {"model_not_found", "no_such_job", "no_such_upload"},
    507: {"uploads_full"},
    409: {"run_exists", "exists", "in_use", "job_is_over", "job_is_not_over", "job_cannot_resume"},
    413: {"body_too_large"},
    415: {"wrong_media_type"},
    422: {"invalid_value", "missing_field"},
    429: {"queue_full"},
    503: {"closing", "jobs_of_another_version"},
    504: {"deadline"},
}
FAULTS = [row for row in ALL if row[2] == 500 and row[1] not in {**LOST, "/v1/runs/{name}/make": 0}]


@pytest.mark.parametrize(("method", "path", "status"), [row for row in ALL if row not in FAULTS])
def test_a_documented_error_occurs_as_documented(servers: Servers, method: str, path: str, status: int) -> None:
    if status == 500 and "train" in path + str(GOOD[path]):
        pytest.skip("nothing that a client can do brings a fault there")
    answer = ask(servers, method, path, status)
    assert answer.status_code == status, answer.text[:300]
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    assert status not in CODES or error["code"] in CODES[status]
    assert str(servers.place) not in answer.text
    if status in (429, 504):
        assert int(answer.headers["retry-after"]) >= 1
