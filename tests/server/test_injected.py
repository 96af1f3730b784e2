"""Rows S12 to S23 of the catalogue of faults, injected into a server; docs/reliability.md lists all rows with their tests."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from clients import client_of
from drawings import pictures
from fastapi.testclient import TestClient
from PIL import Image, PngImagePlugin
from served import listening

import karat
from karat.options import ServeOptions
from karat.provenance.label import Label
from karat.provenance.signing import Key, Signer, make_key
from karat.request import Request
from karat.server.app import application
from karat.server.guard.guard import Caller, keys_of
from karat.server.guard.spending import Spending

DESCRIBED = application(ServeOptions(["none"], root=Path("none"))).openapi()
WRONG = (2**63, -1, -(2**63), 1e300, "3", True, [1])
PRODUCTS: dict[str, tuple[str, dict[str, Any]]] = {
    "texts times tokens": ("/v1/completions", {"model": "lines", "prompt": ["L"] * 16, "n": 100, "max_tokens": 90_000}),
    "passages times characters": ("/v1/runs/lines/make", {"n": 90_000, "characters": 10_000_000}),
    "records of a file": ("/v1/runs/digits/make", {"n": 100_001}),
}


@pytest.fixture(scope="module")
def client(served_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client_of(ServeOptions([served_runs], root=tmp_path_factory.mktemp("root"))) as client:
        yield client


def measured(client: TestClient | httpx.Client, name: str, **labels: str) -> float:
    """What /metrics says, summed over all other labels."""
    found = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", client.get("/metrics").text, re.M)
    return sum(float(value) for told, value in found if all(f'{k}="{v}"' in told for k, v in labels.items()))


def until(fact: Callable[[], bool]) -> None:
    """Returns once it is so; it must become so within a minute."""
    end = time.monotonic() + 60
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.01)


def numbers() -> Iterator[tuple[str, dict[str, Any], str, dict[str, Any]]]:
    """(path, a request that is in order, a field, its schema) for each number that a request may hold."""
    for path, item in DESCRIBED["paths"].items():
        body = item.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json")
        schema = DESCRIBED["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]] if body else {}
        for name, field in schema.get("properties", {}).items():
            for kind in field.get("anyOf", [field]):
                if kind.get("type") in ("integer", "number"):
                    yield path.replace("{name}", "none"), schema["examples"][0], name, kind


def test_s12_a_number_beyond_its_limits_is_refused_by_its_name_before_its_run_is_looked_for(tmp_path: Path) -> None:
    client, tried = client_of(ServeOptions([tmp_path], root=tmp_path, studio=False)), 0
    for path, good, name, kind in numbers():
        low, high = kind.get("minimum", kind.get("exclusiveMinimum")), kind.get("maximum", kind.get("exclusiveMaximum"))
        assert -1 <= low <= high < 2**63, (path, name)
        assert name == "seed" or high <= 10**12, f"{name} of {path} has no limit"
        wrong = [
            *(value for value in WRONG if name != "holdout" or value != "3"),
            high + max(1, high // 10**9),
            low - 1,
        ]
        for value in [*wrong, *([1.5] if kind["type"] == "integer" else []), *([0] if low > 0 else [])]:
            answer = client.post(path, json={**good, name: value})
            assert answer.status_code == 422, (path, name, value, answer.text[:200])
            assert answer.json()["error"]["param"].startswith(name)
            tried += 1
    assert tried > 250


@pytest.mark.parametrize("name", PRODUCTS)
def test_s12_what_is_within_its_limits_and_too_much_together_is_refused_before_it_is_drawn(
    client: TestClient, name: str
) -> None:
    path, body = PRODUCTS[name]
    before = measured(client, "karat_items_total")
    answer = client.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "too_large")
    assert measured(client, "karat_items_total") == before and measured(client, "karat_waiting") == 0


@pytest.mark.parametrize("stream", [True, False])
def test_s14_a_client_that_hangs_up_while_text_is_drawn_ends_that_and_frees_its_place(
    served_runs: Path, tmp_path: Path, stream: bool
) -> None:
    body = b'{"model": "lines", "prompt": "L", "max_tokens": 100000, "characters": 1000000, "stream": %s}'
    body = body % (b"true" if stream else b"false")
    head = b"POST /v1/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    with (
        listening(ServeOptions([served_runs], root=tmp_path, studio=False, waiting=1)) as address,
        httpx.Client(base_url=address) as client,
    ):
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as goes:
            goes.sendall(head % len(body) + body)
            until(lambda: measured(client, "karat_running") == 1)
        until(lambda: measured(client, "karat_running") == 0)
        assert measured(client, "karat_items_total") == 0
        assert client.post("/v1/rows", json={"model": "people", "n": 2}).status_code == 200


@pytest.mark.exam
def test_s15_callers_at_once_get_what_each_gets_alone_and_pay_for_their_own(runs: Path) -> None:
    texts = {name: keys_of(runs).add(f"{name}=make", items=60) for name in ("ann", "bob", "cat")}
    asked = [
        (name, {"model": "digits", "n": 1 + i % 2, "seed": 10 * i + k})
        for i in range(6)
        for k, name in enumerate(texts)
    ]
    asked += [(name, {"model": "lines", "prompt": name, "max_tokens": 9, "seed": 3}) for name in texts]
    with (
        listening(ServeOptions([runs], studio=False)) as address,
        httpx.Client(base_url=f"{address}/v1", timeout=60) as client,
        ThreadPoolExecutor(len(asked)) as many,
    ):

        def ask(one: tuple[str, dict[str, Any]]) -> list[Any]:
            path = "/completions" if "prompt" in one[1] else "/images/generations"
            answer = client.post(path, json=one[1], headers={"authorization": f"Bearer {texts[one[0]]}"})
            found = answer.json()
            return [each.get("b64_json", each.get("text")) for each in found.get("data", found.get("choices", []))]

        at_once = list(many.map(ask, asked))
        assert at_once == [ask(one) for one in asked]
    pictures = [picture for files in at_once[:18] for picture in files]
    assert len(set(pictures)) == len(pictures) == 27
    spending = Spending(runs / ".karat" / "spending.db", keys_of(runs))
    for key in keys_of(runs).all():
        assert spending.spent(key)[0] == 2 * (3 * 1 + 3 * 2 + 1), "twice what its own requests were of"
    spending.close()


@pytest.mark.exam
def test_s15_long_draws_that_take_turns_get_the_bytes_that_each_gets_alone(client: TestClient) -> None:
    forms = {"digits": ".png", "steps": ".webp", "tones": ".wav", "people": ".csv", "lines": ".txt"}
    many = {"digits": 1_500, "steps": 400, "tones": 400, "people": 9_000, "lines": 60}
    asked = [(name, Request(n, seed)) for name, n in many.items() for seed in (0, 1)]
    asked += [("people", Request(9_000, 2, given="income=>50K")), ("digits", Request(900, 3, label="3"))]
    engine = client.app.state.served.engine  # type: ignore[attr-defined]
    assert client.portal is not None

    async def made(name: str, request: Request, who: str) -> list[bytes]:
        drawn = await engine.draw(name, request, caller=Caller(who, frozenset(), account=who), deadline=300)
        return [file.content for file in await engine.answer(drawn, forms[name])]

    async def use() -> None:
        tasks = [asyncio.create_task(made(*one, f"caller {i}")) for i, one in enumerate(asked)]
        at_once = 0.0
        while not all(task.done() for task in tasks):
            at_once = max(at_once, engine.metrics.registry.get_sample_value("karat_running"))
            await asyncio.sleep(0.01)
        assert at_once >= 4, "several were under way at once"
        for one, task in zip(asked, tasks, strict=True):
            assert task.result() == await made(*one, "alone"), one

    client.portal.call(use)


def test_s16_a_request_that_ends_the_thread_that_draws_is_answered_and_others_are_drawn(client: TestClient) -> None:
    engine = client.app.state.served.engine  # type: ignore[attr-defined]
    assert client.portal is not None

    async def ends() -> None:
        await asyncio.wait_for(engine.look("people", lambda _: sys.exit(1)), 60)

    with pytest.raises(RuntimeError, match="SystemExit"):  # a 500 by every route
        client.portal.call(ends)
    assert client.post("/v1/rows", json={"model": "people", "n": 2}).status_code == 200


FORMULA, TAG, COLOUR = "=cmd|' /C calc'!A0", "<script>alert(1)</script>", "\x1b[31mred"


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with odd.csv, whose texts a spreadsheet, a terminal or a page would run, and with a run that learned from it."""
    root = tmp_path_factory.mktemp("odd")
    with (root / "odd.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["age", "kind"])
        rows.writerows([20 + i * 37 % 60, (FORMULA, TAG, COLOUR)[i % 3]] for i in range(180))
    karat.train(root / "odd.csv", recipe="cart", out=root / "runs" / "odd", discover=False, threads=1)
    return root


@pytest.mark.exam
def test_s20_formulas_are_said_and_made_harmless_where_that_is_asked_for(odd: Path) -> None:
    with client_of(ServeOptions([odd / "runs"], root=odd)) as client:
        told = client.post("/v1/look", json={"data": "odd.csv", "probe": False}).json()["warnings"]
        assert any("formulas" in note for note in told)
        body = {"model": "odd", "n": 40, "format": "csv", "gate": "none"}  # one text, where a list of them is described
        plain, safe = (client.post("/v1/rows", json={**body, "safe_cells": on}).text for on in (False, True))
        assert f",{FORMULA}" in plain and f",'{FORMULA}" in safe and f",{FORMULA}" not in safe
        answer = client.post("/v1/rows", json=body)
        assert answer.headers["content-disposition"].startswith("attachment"), "no browser shows it as a page"
        assert answer.headers["x-content-type-options"] == "nosniff"
        for address in ("/data/look?place=odd.csv", "/runs/odd/make", "/runs/odd/explore"):
            assert TAG not in client.get(address).text, address


def test_s20_nothing_that_is_sent_reaches_a_line_of_the_log_or_a_name_of_a_metric(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    client, evil = client_of(ServeOptions([tmp_path], root=tmp_path)), "\x1b[31mred\r\n{forged: 1}"
    with caplog.at_level("INFO"):
        client.get("/v1/models/" + quote(evil), headers={"x-request-id": "a\tb"})
        client.post("/v1/rows", json={"model": evil, "n": 2}, headers={"user-agent": "forged\tagent"})
        client.request("FORGED", "/v1/rows")
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("karat")]
    said = "".join(lines) + client.get("/metrics").text + "".join(capfd.readouterr())
    assert len(lines) >= 3 and not re.search(r"forged|31mred|\x1b|\t", said, re.I)


def test_s21_the_fingerprint_of_the_data_is_told_with_the_run(client: TestClient, served_runs: Path) -> None:
    told = client.get("/v1/runs/people").json()
    assert told["fingerprint"] == karat.open(served_runs / "people").spec["fingerprint"] != ""


def checked(client: TestClient, name: str, blob: bytes, run: str | None = "digits") -> dict[str, Any]:
    data = {} if run is None else {"run": run}
    answer = client.post("/v1/check", files={"file": (name, blob)}, data=data)
    assert answer.status_code == 200 and not re.search(r"authentic|genuine|by a human", answer.json()["says"], re.I)
    return dict(answer.json())


@pytest.mark.exam
def test_s23_a_label_that_was_stripped_copied_or_signed_by_another_is_told_as_such(runs: Path, tmp_path: Path) -> None:
    for file, blob in make_key("Mallory").items():
        (tmp_path / file).write_bytes(blob)
        (tmp_path / file).chmod(0o600)
    karat.make(runs / "digits", n=1, out=tmp_path / "made.png", threads=1)
    made = (tmp_path / "made.png").read_bytes()
    with Image.open(io.BytesIO(made)) as picture:
        words, pixels = dict(picture.info), np.array(picture)
    photo = Image.fromarray(pictures(1, 8, 8, 1)[0, :, :, 0])

    def written(picture: Image.Image, label: bool) -> bytes:
        info, out = PngImagePlugin.PngInfo(), io.BytesIO()
        for key, text in words.items() if label else ():
            if isinstance(text, str):
                info.add_itxt(key, text)
        picture.save(out, "PNG", pnginfo=info)
        return out.getvalue()

    pixels[0, 0] ^= 8
    with client_of(ServeOptions([runs])) as client:
        assert checked(client, "a.png", made)["state"] == "intact"
        with Image.open(io.BytesIO(made)) as picture:
            assert checked(client, "a.png", written(picture, False))["state"] == "stripped"
        assert checked(client, "a.png", written(Image.fromarray(pixels), True))["state"] == "edited"
        assert checked(client, "a.png", written(photo, True))["state"] == "edited", "the label of another content"
        bare = checked(client, "a.png", written(photo, False))
        assert bare["state"] == "no label" and {each["outcome"] for each in bare["results"]} <= {
            "not_detected",
            "not_applicable",
        }
        signed = Signer(Key.read(tmp_path), "0.1").inside("a.png", made, Label("karat", "0" * 12, "seed0-0", "0.1"))
        assert signed is not None
        forged = checked(client, "a.png", signed)
        manifest = next(each for each in forged["results"] if each["type"] == "c2pa")
        assert (manifest["validation_state"], manifest["issuer"]) == ("valid", "Mallory"), "valid, and not trusted"
        assert checked(client, "a.png", made[:-30])["state"] == "damaged"
