"""What a client with few rights tries: to plant runs, to make uncounted, to make more than its key may, to fill the memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import pytest
from clients import client_of
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient

from karat.options import ServeOptions
from karat.server.guard.guard import keys_of
from karat.studio.pages.data import SURVEYS
from karat.worth.policy import Policy

HOSTILE = '<script src="/static/htmx.min.js"></script><p hx-post="/runs/orders/delete" hx-trigger="load">'


def with_key(root: Path, key: str, more: APIRouter | None = None, items: int | None = None) -> TestClient:
    text = keys_of(root).add(key, items)
    return client_of(ServeOptions([root / "runs"], root=root), text, more)


def test_an_uploaded_folder_is_data_and_never_a_run_even_where_it_has_the_record_of_one(
    visitor: TestClient, root: Path
) -> None:
    record = (root / "runs" / "orders" / "karat.json").read_bytes()
    sent = [("files", ("orders/karat.json", record)), ("files", ("orders/report/report.html", HOSTILE.encode()))]
    assert visitor.post("/data/upload", files=sent).status_code in (200, 400)
    assert (root / "uploads" / "orders" / "karat.json").is_file()
    assert [run["id"] for run in visitor.get("/v1/runs").json()["data"]] == ["orders"]
    assert visitor.get("/runs/uploads--orders").status_code == 404


@pytest.mark.parametrize("address", ["/v1/runs/orders/report?format=html", "/runs/orders/report"])
def test_a_report_runs_no_script_not_even_the_studios_own(visitor: TestClient, root: Path, address: str) -> None:
    (root / "runs" / "orders" / "report" / "report.html").write_text(HOSTILE)
    answer = visitor.get(address)
    policy = answer.headers["content-security-policy"]
    assert answer.status_code == 200 and "sandbox" in policy and "script" not in policy and "form" not in policy


def test_no_run_is_made_inside_another(visitor: TestClient, root: Path) -> None:
    for out in ("runs/orders/b", "runs/orders/a/b"):
        answer = visitor.post("/v1/train", json={"source": "orders.csv", "out": out, "recipe": "cart"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "out")


@pytest.mark.parametrize("names", [("d/x", "d/x"), ("d/x", "d/x/y")])
def test_a_file_that_is_sent_twice_is_said(visitor: TestClient, names: tuple[str, str]) -> None:
    answer = visitor.post("/data/upload", files=[("files", (name, b"1")) for name in names])
    assert answer.status_code == 409 and "is there already" in answer.text


def test_an_upload_is_looked_at_under_its_name_whatever_that_is(visitor: TestClient) -> None:
    answer = visitor.post("/data/upload", files={"files": ("a&b#c+d%.csv", b"a\n1\n")}, follow_redirects=False)
    assert answer.headers["location"] == "/data/look?place=uploads/a%26b%23c%2Bd%25.csv"


def test_a_run_of_any_name_is_led_to(visitor: TestClient, root: Path) -> None:
    (root / "runs" / "orders").rename(root / "runs" / "数#?")
    answer = visitor.post("/runs/%E6%95%B0%23%3F/notes", data={"tags": "new"})
    assert answer.status_code == 200 and answer.url.path == "/runs/数#?/notes"


def test_what_explore_shows_counts_as_made(picture_root: Path) -> None:
    with with_key(picture_root, "ann=make,read", items=2) as client:
        pictures = [client.get(f"/runs/digits/explore/thing/0?seed={seed}") for seed in range(3)]
    assert [answer.status_code for answer in pictures] == [200, 200, 429]


def test_a_key_that_may_only_train_makes_by_no_job(root: Path) -> None:
    with with_key(root, "ann=train,read") as client:
        answer = client.post("/v1/jobs", json={"kind": "make", "options": {"run": "orders", "n": 5}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "missing_scope")


@pytest.mark.parametrize("address", ["/v1/check", "/check", "/data/upload", "/runs/orders/review/mended?of=made"])
def test_a_form_of_many_long_fields_is_not_held_in_memory(visitor: TestClient, address: str) -> None:
    fields = {f"field{i}": "x" for i in range(40)}
    answer = visitor.post(address, data=fields, files={"file": ("a.png", b"x")})
    assert answer.status_code == 400 and "Too many fields" in answer.text


def test_who_signs_by_a_key_is_named_by_it(root: Path) -> None:
    what = Policy.load("eu").signatures[0].what
    with with_key(root, "ann=review,read") as client:
        client.post("/runs/orders/sign", data={"policy": "eu", "who": "The Director", "what": what})
    assert Policy.load(root / "policy-eu.toml").signatures[0].who == "The Director (key ann)"


@pytest.mark.parametrize("header", ["via", "x-real-ip", "x-forwarded-host", "x-forwarded-for", "forwarded"])
def test_what_came_through_a_proxy_needs_a_key(visitor: TestClient, header: str) -> None:
    assert visitor.get("/v1/models", headers={header: "1.1 proxy"}).status_code == 401


def test_an_answer_under_way_ends_when_its_key_is_revoked(root: Path) -> None:
    more = APIRouter()

    async def parts() -> Iterator[bytes]:  # type: ignore[misc]
        yield b"one"
        keys_of(root).revoke("ann")
        yield b"two"

    @more.get("/long")
    def long() -> StreamingResponse:
        return StreamingResponse(parts())  # type: ignore[arg-type]

    with with_key(root, "ann=read", more) as client:
        assert client.get("/long").content == b"one"


@pytest.mark.parametrize(
    ("method", "address", "count"), [("GET", "/data/look/part?place=orders.csv", 45), ("POST", "/train", 1)]
)
def test_surveys_that_take_long_keep_nobody_else_waiting(
    visitor: TestClient, method: str, address: str, count: int
) -> None:
    form = {"place": "orders.csv", "name": "new", "seed": "none"} if method == "POST" else None
    with ThreadPoolExecutor(count + 1) as pool:
        with SURVEYS._turn:  # as one that takes long holds it
            looks = [pool.submit(visitor.request, method, address, data=form) for _ in range(count)]
            done, _ = wait(looks, 1.0)
            other = pool.submit(visitor.get, "/runs")
            found, _ = wait([other], 10.0)
        assert not done and found and other.result().status_code == 200
        assert {look.result().status_code for look in looks} == {400 if form else 200}


def test_who_serves_one_run_does_not_serve_those_beside_it_but_what_is_trained_there(root: Path) -> None:
    for name in ("beside", "new/trained"):
        shutil.copytree(root / "runs" / "orders", root / "runs" / name)
    shutil.copy(root / "orders.csv", root / "runs")

    def served(options: ServeOptions) -> list[str]:
        with client_of(options) as client:
            return [run["id"] for run in client.get("/v1/runs").json()["data"]]

    one = ServeOptions([root / "runs" / "orders"])
    assert served(one) == ["orders", "trained"]
    assert served(replace(one, root=root / "runs")) == ["beside", "orders", "trained"], (
        "a root that is named is served whole"
    )
    with client_of(one) as client:
        client.app.state.served.jobs.close()  # type: ignore[attr-defined]
        job = client.post("/v1/train", json={"source": "orders.csv", "out": "mine", "recipe": "cart"}).json()
        hidden = client.post("/v1/train", json={"source": "orders.csv", "out": "else/mine", "recipe": "cart"})
    assert job["run"] == "mine" and hidden.status_code == 400 and hidden.json()["error"]["param"] == "out"
