"""Requests wait in one bounded line, are drawn together where they may be, and each gets what it would get alone."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients import client_of
from coroutines import ended
from fastapi import Request as Http
from prometheus_client import CollectorRegistry

import karat
from karat.errors import FitError
from karat.options import MakeOptions, ServeOptions
from karat.provenance.reading import read_label
from karat.request import Request
from karat.server.app import catalogue_of
from karat.server.engine import Drawn, Engine, Partial, unless_gone
from karat.server.engine.shelf import Shelf
from karat.server.guard.guard import Caller
from karat.server.problems import Problem

FORMS = {"digits": ".png", "steps": ".webp", "tones": ".wav", "people": ".csv", "lines": ".txt"}


def engine_of(runs: Path, **options: Any) -> Engine:
    asked = ServeOptions([runs], **options)
    engine = Engine(catalogue_of(asked), asked, CollectorRegistry())
    engine._shelf.every = 0.0
    return engine


def running(runs: Path, use: Callable[[Engine], Coroutine[Any, Any, None]], **options: Any) -> Engine:
    """Uses an engine, and closes it."""
    engine = engine_of(runs, **options)
    try:
        ended(use(engine))
    finally:
        engine.close()
    return engine


def metric(engine: Engine, name: str, **labels: str) -> float:
    value = engine.metrics.registry.get_sample_value(name, labels)
    return 0.0 if value is None else value


async def contents(engine: Engine, name: str, request: Request) -> list[bytes]:
    drawn = await engine.draw(name, request)
    return [file.content for file in await engine.answer(drawn, FORMS[name])]


@contextlib.asynccontextmanager
async def held(engine: Engine, name: str = "people") -> AsyncIterator[None]:
    """Within it, the thread that draws is busy."""
    began, go_on = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        began.set()
        go_on.wait(30)

    task = asyncio.create_task(engine.look(name, wait))
    await asyncio.to_thread(began.wait, 30)
    try:
        yield
    finally:
        go_on.set()
        await task


async def joined(engine: Engine, tasks: int) -> None:
    """Returns once so many wait."""
    while metric(engine, "karat_waiting") < tasks:
        await asyncio.sleep(0.001)


def test_many_at_once_get_the_bytes_that_each_gets_alone(served_runs: Path) -> None:
    asked = [
        *(("digits", Request(1 + seed % 3, seed, label=(None, "0", "1")[seed % 3])) for seed in range(12)),
        *((name, Request(1 + seed, seed)) for seed in range(3) for name in ("steps", "tones")),
        *(("people", Request(5 + seed, seed, given=("income=>50K", None)[seed % 2])) for seed in range(4)),
        *(("lines", Request(2, seed, prompt="the " if seed % 2 else None)) for seed in range(4)),
    ]

    async def use(engine: Engine) -> None:
        async with held(engine):
            many = [asyncio.create_task(contents(engine, name, request)) for name, request in asked]
            await joined(engine, len(many))
        together = await asyncio.gather(*many)
        alone = [await contents(engine, name, request) for name, request in asked]
        assert together == alone
        assert len({content for files in together for content in files}) == sum(len(files) for files in together)

    engine = running(served_runs, use)
    batches = metric(engine, "karat_batch_requests_count", run="digits")
    assert batches == 2 + 12, "those with a class, those without one, and then each alone"


def test_what_is_served_is_what_make_makes(served_runs: Path, tmp_path: Path) -> None:
    made = karat.make(served_runs / "people", n=20, seed=3, out=tmp_path / "made.csv")

    async def use(engine: Engine) -> None:
        assert await contents(engine, "people", Request(20, 3)) == [Path(made[0]).read_bytes()]

    running(served_runs, use)


def test_files_are_labelled_inside(served_runs: Path, tmp_path: Path) -> None:
    async def use(engine: Engine) -> None:
        drawn = await engine.draw("digits", Request(2, 5), MakeOptions("", labels="eu"))
        for file in await engine.answer(drawn, ".jpg"):
            (tmp_path / file.name).write_bytes(file.content)
            assert file.media_type == "image/jpeg"
            found = read_label(tmp_path / file.name)
            assert found is not None and found.fields["ProduceID"] == f"{drawn.run.id}/{file.label.item}"

    running(served_runs, use)


def caller(account: str) -> Caller:
    return Caller(account, frozenset(), account=account)


def test_who_holds_his_share_of_the_line_is_refused_and_told_when_to_come_again_and_others_are_let_in(
    served_runs: Path,
) -> None:
    async def use(engine: Engine) -> None:
        def ask(seed: int, name: str = "many") -> asyncio.Task[Drawn]:
            return asyncio.create_task(engine.draw("people", Request(2, seed), caller=caller(name)))

        async with held(engine):
            waiting = [ask(0), ask(1)]
            await joined(engine, 2)
            with pytest.raises(Problem) as refused:
                await ask(9)
            assert refused.value.status == 429 and int(refused.value.headers["Retry-After"]) >= 1
            waiting.append(ask(2, "one"))
            await joined(engine, 3)
        assert [(await task).count for task in waiting] == [2, 2, 2], "those that were let in are drawn"
        assert (await ask(9)).count == 2, "and later all are let in again"

    assert metric(running(served_runs, use, waiting=4), "karat_rejected_total", why="full") == 1


def test_a_picture_of_one_is_drawn_before_the_many_long_texts_of_another(served_runs: Path) -> None:
    async def use(engine: Engine) -> None:
        done: list[str] = []

        async def ask(name: str, request: Request, who: Caller) -> None:
            await engine.draw(name, request, caller=who)
            done.append(name)

        async with held(engine):
            long = Request(1, prompt="the ", tokens=60)
            texts = [asyncio.create_task(ask("lines", replace(long, seed=i), caller("many"))) for i in range(8)]
            await joined(engine, 8)
            picture = asyncio.create_task(ask("digits", Request(1), caller("one")))
            await joined(engine, 9)
        await asyncio.gather(picture, *texts)
        assert done.index("digits") <= 1, "behind what was begun at most"

    running(served_runs, use)


def test_what_waits_too_long_is_refused_and_leaves_its_place(served_runs: Path) -> None:
    async def use(engine: Engine) -> None:
        async with held(engine):
            with pytest.raises(Problem) as late:
                await engine.draw("people", Request(2), deadline=0.01)
            assert late.value.status == 504 and metric(engine, "karat_waiting") == 0

    running(served_runs, use)


def test_a_request_whose_deadline_comes_while_it_is_drawn_is_answered(served_runs: Path) -> None:
    async def use(engine: Engine) -> None:
        late = threading.Event()
        asyncio.get_running_loop().call_later(0.05, late.set)  # which is after the deadline, in the same loop
        found = engine.look("people", lambda loaded: late.wait(20) and loaded.name, deadline=0.02)
        assert await asyncio.wait_for(found, 20) == "people"

    running(served_runs, use)


def test_a_client_that_leaves_frees_its_place(served_runs: Path) -> None:
    async def use(engine: Engine) -> None:
        async with held(engine):
            leaving = asyncio.create_task(engine.draw("people", Request(2)))
            await joined(engine, 1)
            leaving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await leaving
            staying = asyncio.create_task(engine.draw("people", Request(3)))
            await joined(engine, 1)
        assert (await staying).count == 3

    assert metric(running(served_runs, use, waiting=1), "karat_items_total", run="people", caller="") == 3


def test_a_client_that_leaves_while_text_comes_ends_it(served_runs: Path) -> None:
    async def use(engine: Engine) -> None:
        text = engine.stream_text("lines", Request(prompt="the ", characters=1_000_000))
        assert await anext(text) == "the "
        await text.aclose()
        while metric(engine, "karat_running"):
            await asyncio.sleep(0.001)
        assert (await engine.draw("people", Request(2))).count == 2

    running(served_runs, use)


def test_others_are_drawn_while_text_comes(served_runs: Path) -> None:
    async def use(engine: Engine) -> None:
        text = engine.stream_text("lines", Request(prompt="the ", characters=1_000_000))
        await anext(text)
        assert (await engine.draw("people", Request(2))).count == 2
        assert isinstance(await anext(text), str), "which goes on"
        await text.aclose()

    running(served_runs, use)


@pytest.mark.parametrize(
    ("name", "long"),
    [("digits", Request(50_000)), ("people", Request(50_000)), ("lines", Request(prompt="the ", tokens=1_000_000))],
)
def test_others_are_drawn_in_the_middle_of_a_long_block_and_a_client_that_leaves_ends_it(
    served_runs: Path, name: str, long: Request
) -> None:
    async def use(engine: Engine) -> None:
        task = asyncio.create_task(engine.draw(name, long, caller=caller("many")))
        while not metric(engine, "karat_running"):
            await asyncio.sleep(0.001)
        assert (await engine.draw("people", Request(2), caller=caller("one"))).count == 2
        assert metric(engine, "karat_running") == 1, "which goes on"
        task.cancel()
        while metric(engine, "karat_running"):
            await asyncio.sleep(0.001)
        assert (await engine.draw("people", Request(2))).count == 2

    engine = running(served_runs, use)
    assert metric(engine, "karat_items_total", run=name, caller="many") == 0


def test_text_comes_piece_by_piece_as_it_is_drawn_at_once(served_runs: Path) -> None:
    request = Request(1, 4, prompt="gold ", characters=40)

    async def use(engine: Engine) -> None:
        *pieces, drawn = [piece async for piece in engine.stream_text("lines", request)]
        assert isinstance(drawn, Drawn) and len(pieces) > 10
        assert "".join(map(str, pieces)) == drawn.records[0] == (await engine.draw("lines", request)).records[0]

    running(served_runs, use)


def test_pictures_are_shown_on_their_way_and_come_as_they_come_at_once(served_runs: Path) -> None:
    async def use(engine: Engine) -> None:
        request = Request(2, 6)
        *early, drawn = [step async for step in engine.partial("steps", request, shown=2)]
        assert [(step.step, step.steps) for step in early if isinstance(step, Partial)] == [(1, 4), (2, 4)]
        assert isinstance(drawn, Drawn)
        whole = await engine.draw("steps", request)
        assert np.array_equal(drawn.records, whole.records) and drawn.tally.candidates >= 2
        assert not any(np.array_equal(step.block.records, whole.records) for step in early if isinstance(step, Partial))
        assert len([step async for step in engine.partial("digits", request, shown=2)]) == 1, "a vae has no steps"

    running(served_runs, use)


def test_closing_draws_what_waits_and_lets_nobody_in(served_runs: Path) -> None:
    engine = engine_of(served_runs)

    async def use() -> None:
        async with held(engine):
            waiting = [asyncio.create_task(engine.draw("people", Request(2, seed))) for seed in range(3)]
            await joined(engine, 3)
            closing = asyncio.create_task(asyncio.to_thread(engine.close))
            while not engine._line.closed:
                await asyncio.sleep(0.001)
            with pytest.raises(Problem) as refused:
                await engine.draw("people", Request())
            assert refused.value.status == 503
        assert [(await task).count for task in waiting] == [2, 2, 2]
        await closing

    ended(use())


def test_serving_is_one_entry_in_the_ledger_however_many_asked(runs: Path) -> None:
    async def use(engine: Engine) -> None:
        await asyncio.gather(*(engine.draw("people", Request(3, seed)) for seed in range(5)))

    before = (runs / "people" / "ledger.jsonl").read_text().splitlines()
    running(runs, use)
    new = [json.loads(line) for line in (runs / "people" / "ledger.jsonl").read_text().splitlines()[len(before) :]]
    assert [(entry["verb"], entry["items"], entry["note"]) for entry in new] == [("make", 15, "served 5 requests")]
    assert new[0]["cpu_seconds"] > 0 and new[0]["candidates"] >= 15


def test_a_ledger_that_cannot_be_written_stops_no_answer(runs: Path) -> None:
    ledger = runs / "people" / "ledger.jsonl"
    ledger.unlink()
    ledger.mkdir()  # no file can be written there, by root neither

    async def use(engine: Engine) -> None:
        assert (await engine.draw("people", Request(2))).count == 2

    running(runs, use)


def test_runs_that_have_no_room_are_let_go_the_one_not_used_for_longest_first(served_runs: Path) -> None:
    catalogue = catalogue_of(ServeOptions([served_runs]))
    alone = {}
    for name in ("digits", "people", "lines"):
        shelf = Shelf(catalogue, 10**9)
        alone[name] = shelf.get(name).size
    shelf = Shelf(catalogue, sum(alone.values()) - 1)
    shelf.get("lines"), shelf.get("people"), shelf.get("lines"), shelf.get("digits")
    assert "people" not in shelf.names() and "digits" in shelf.names()
    assert shelf.size < sum(alone.values())
    with pytest.raises(Problem, match="--memory"):
        Shelf(catalogue, alone["digits"] - 1).get("digits")


def test_a_run_that_was_trained_anew_is_loaded_anew(runs: Path, served_runs: Path) -> None:
    async def use(engine: Engine) -> None:
        before = await contents(engine, "people", Request(9))
        shutil.rmtree(runs / "people")
        karat.train(served_runs / "data" / "people.csv", out=runs / "people", set=["model.rounds=4"], seed=1, threads=1)
        drawn = await engine.draw("people", Request(9))
        assert drawn.run.id == karat.open(runs / "people").id
        assert [file.content for file in await engine.answer(drawn, ".csv")] != before

    running(runs, use)


def test_a_run_that_was_deleted_is_served_no_more(runs: Path) -> None:
    async def use(engine: Engine) -> None:
        await engine.draw("people", Request(2))
        shutil.rmtree(runs / "people")
        for ask in (engine.draw("people", Request(2)), engine.open("people")):
            with pytest.raises(Problem) as gone:
                await ask
            assert gone.value.status == 404

    running(runs, use)


def test_a_run_that_is_spoiled_while_it_is_served_goes_on_as_it_was(runs: Path) -> None:
    async def use(engine: Engine) -> None:
        before = await contents(engine, "people", Request(9))
        (model,) = (runs / "people").glob("model-*.safetensors")
        model.write_bytes(b"\0" * 1000)
        assert await contents(engine, "people", Request(9)) == before
        record = json.loads((runs / "people" / "karat.json").read_text())
        record["models"] = ["model-0123456789abcdef.safetensors"]
        (runs / "people" / "karat.json").write_text(json.dumps(record))
        assert await contents(engine, "people", Request(9)) == before

    running(runs, use)

    async def anew(engine: Engine) -> None:
        with pytest.raises(Problem) as found:
            await engine.draw("people", Request(9))
        assert found.value.status == 500 and str(runs) not in found.value.message
        assert (await engine.draw("lines", Request(1))).count == 1, "others are served"

    running(runs, anew)


@pytest.mark.parametrize(
    ("name", "request_", "options", "status"),
    [
        ("nobody", Request(), None, 404),
        ("people", Request(given="rows.csv"), None, 400),
        ("people", Request(), MakeOptions("", gate="spy.py:gate"), 400),
        ("people", Request(2_000_000), None, 400),
        ("digits", Request(prompt="x"), None, None),
        ("digits", Request(label="zebra"), None, None),
    ],
)
def test_what_cannot_be_asked_is_refused(
    served_runs: Path, name: str, request_: Request, options: MakeOptions | None, status: int | None
) -> None:
    async def use(engine: Engine) -> None:
        with pytest.raises((Problem, FitError)) as found:
            await engine.draw(name, request_, options)
        assert getattr(found.value, "status", None) == status
        assert metric(engine, "karat_running") == metric(engine, "karat_waiting") == 0

    running(served_runs, use)


def test_gates_look_at_what_is_served(served_runs: Path) -> None:
    async def use(engine: Engine) -> None:
        drawn = await engine.draw("digits", Request(4, 1))
        assert drawn.tally.candidates >= 4 and drawn.tally.kept == 4
        assert (await engine.draw("digits", Request(4, 1), gates=False)).tally.candidates == 0

    running(served_runs, use)


def test_a_fault_of_one_request_is_its_own(served_runs: Path) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    async def use(engine: Engine) -> None:
        with pytest.raises(ZeroDivisionError):
            await engine.look("people", fail)
        assert np.shape((await engine.draw("digits", Request(2))).records)[0] == 2

    running(served_runs, use)


def test_who_waits_for_a_client_that_goes_is_told_and_ends() -> None:
    async def use() -> None:
        sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        http, ended = Http({"type": "http"}, sent.get), asyncio.Event()

        async def work() -> int:
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()
            return 1

        waiting = asyncio.create_task(unless_gone(http, work()))
        await sent.put({"type": "http.request"})
        await asyncio.sleep(0)
        assert not waiting.done(), "a piece of a body is no leaving"
        await sent.put({"type": "http.disconnect"})
        with pytest.raises(Problem) as gone:
            await waiting
        assert gone.value.status == 499 and ended.is_set()
        assert await unless_gone(http, asyncio.sleep(0, 7)) == 7

    ended(use())


def test_a_full_line_refuses_over_http_before_anything_else_is_looked_at(served_runs: Path) -> None:
    with client_of(ServeOptions([served_runs], waiting=0)) as client:
        refused = client.post("/v1/images/generations", json={"model": "nobody"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
        assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/v1/models").status_code == 200


def test_without_keys_clients_are_told_apart_by_the_word_that_they_send_as_one(served_runs: Path) -> None:
    began, go_on = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        began.set()
        go_on.wait(30)

    with client_of(ServeOptions([served_runs], waiting=4)) as client, ThreadPoolExecutor() as pool:
        engine: Engine = client.app.state.served.engine  # type: ignore[attr-defined]

        def ask(word: str) -> int:
            headers = {"authorization": f"Bearer {word}"}
            return client.post("/v1/rows", json={"model": "people", "n": 2}, headers=headers).status_code

        assert client.portal is not None and ask("batch") == 200
        client.portal.start_task_soon(engine.look, "people", wait)
        assert began.wait(30)
        try:
            asked = [pool.submit(ask, "batch") for _ in range(4)]
            refused = [each.result() for each in itertools.islice(as_completed(asked), 2)]
            other = pool.submit(ask, "me")
            while metric(engine, "karat_waiting") < 3:
                time.sleep(0.001)
        finally:
            go_on.set()
        assert refused == [429, 429] and sorted(each.result() for each in asked) == [200, 200, 429, 429]
        assert other.result() == 200
