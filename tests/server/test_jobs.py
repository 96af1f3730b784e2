"""Jobs are asked for by the names that the options have, wait in their order, and tell what happens in numbers without gaps."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import torch
from clients import client_of

from karat.data import load
from karat.options import ServeOptions
from karat.server.catalogue import Catalogue
from karat.server.guard.guard import keys_of
from karat.server.jobs import Jobs
from karat.server.jobs.asked import asked, typed
from karat.server.jobs.home import locked
from karat.server.jobs.table import Table
from karat.server.problems import Problem


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    """Without a worker: what is put into its table by hand stays as it is."""
    return Jobs(Catalogue((tmp_path,), tmp_path))


@pytest.mark.parametrize(
    ("kind", "options", "param", "said"),
    [
        ("dance", {}, "kind", "no kind of job"),
        ("train", {"source": "digits", "minuets": 1}, "minuets", "did you mean 'minutes'"),
        ("train", {"recipe": "vae"}, "source", "source is missing"),
        ("train", {"source": "digits", "minutes": "long"}, "minutes", "'long'"),
        ("train", {"source": "../secret.csv"}, "source", "nothing in the served folder"),
        ("train", {"source": ".karat/keys.json"}, "source", "nothing in the served folder"),
        ("train", {"source": "digits", "out": "../elsewhere"}, "out", "nothing in the served folder"),
        ("train", {"source": "digits", "out": ".karat/run"}, "out", "nothing in the served folder"),
        ("train", {"source": "digits", "out": "run-1"}, "out", "there already"),
        ("train", {"run": "run-1", "source": "digits"}, "run", "leave source and out away"),
        ("train", {"run": "nobody"}, None, "no run is served"),
        ("train", {"source": "digits", "recipe": "vae", "set": ["model.widht=8"]}, "set", "widht"),
        ("train", {"source": "digits", "recipe": "vae", "set": ["model.width=wide"]}, "set", "wide"),
        ("train", {"source": "digits", "set": ["data.size=0"]}, "set", "at least 1"),
        ("train", {"source": "digits", "set": ["data."]}, "set", "wanted data.name=value"),
        ("assay", {}, "run", "run is missing"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_name(
    jobs: Jobs, tmp_path: Path, kind: Any, options: dict[str, Any], param: str, said: str
) -> None:
    (tmp_path / "run-1").mkdir()
    (tmp_path / "run-1" / "karat.json").write_text("{}")
    with pytest.raises(Problem) as refused:
        jobs.submit(kind, options)
    assert said in refused.value.message
    assert refused.value.param == param
    assert not jobs.home.table.exists()  # nothing is kept of it


def test_what_is_asked_of_a_job_is_what_its_verb_takes_also_of_a_run_that_another_job_is_to_make(
    tmp_path: Path,
) -> None:
    catalogue, goal = Catalogue((tmp_path,), tmp_path), tmp_path / "next"
    for kind, options in (
        ("train", {"source": "digits", "minutes": 1, "set": ["model.width=8"]}),
        ("make", {"run": "next", "n": 3}),
        ("assay", {"run": "next", "lang": "zh"}),
        ("look", {"data": "digits"}),
    ):
        wanted = asked(kind, options, catalogue, {goal})  # type: ignore[arg-type]
        took = typed(kind, wanted.options)  # type: ignore[arg-type]
        assert kind in ("train", "look") or (wanted.run == goal and str(goal) in str(took.run))
    with pytest.raises(Problem, match="no run is served"):
        asked("assay", {"run": "next"}, catalogue, set())


def test_a_link_that_leads_out_of_the_root_is_not_followed(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to("/etc")
    with pytest.raises(Problem, match="nothing in the served"):
        jobs.submit("look", {"data": "data/passwd"})


def test_events_have_numbers_without_gaps_and_are_there_for_who_opens_the_table_anew(tmp_path: Path) -> None:
    table = Table(tmp_path / "jobs.db")
    one, two = (table.add("look", {"data": name}, None, "", None) for name in ("a", "b"))
    assert table.queue() == [one.id, two.id]
    assert table.move(one.id, ("queued",), "running") and not table.move(one.id, ("queued",), "running")
    table.tell(one.id, [("message", {"text": str(i)}) for i in range(3)], logged=12)
    table.move(one.id, ("running",), "failed", error="no such file", ended=1.0)
    table.close()
    again = Table(tmp_path / "jobs.db")
    events = again.events(one.id)
    assert [e.number for e in events] == list(range(1, 7))
    assert [e.data["state"] for e in events if e.kind == "state"] == ["queued", "running", "failed"]
    assert [e.number for e in again.events(one.id, after=4)] == [5, 6]
    assert again.get(one.id).error == "no such file" and again.queue() == [two.id]
    again.close()


def test_a_stream_of_events_goes_on_after_the_last_that_was_read_and_ends_with_the_job(tmp_path: Path) -> None:
    client = client_of(ServeOptions([tmp_path]))
    jobs = client.app.state.served.jobs  # type: ignore[attr-defined]
    job = jobs.table.add("look", {"data": "digits"}, None, "", None)
    jobs.table.tell(job.id, [("message", {"text": "two\nlines"})])
    jobs.table.move(job.id, ("queued",), "succeeded", result=json.dumps({"count": 7}))
    accept = {"accept": "text/event-stream"}
    stream = client.get(f"/v1/jobs/{job.id}/events", headers=accept).text
    assert [line for line in stream.splitlines() if line.startswith("id")] == ["id: 1", "id: 2", "id: 3"]
    later = client.get(f"/v1/jobs/{job.id}/events", headers={**accept, "last-event-id": "2"}).text
    assert "id: 3" in later and "id: 2" not in later
    # a browser that comes again after the end is told to stay away
    assert client.get(f"/v1/jobs/{job.id}/events", headers={**accept, "last-event-id": "3"}).status_code == 204
    assert [e["type"] for e in client.get(f"/v1/jobs/{job.id}/events").json()["data"]] == ["state", "message", "state"]
    assert client.get(f"/v1/jobs/{job.id}").json()["result"] == {"count": 7}
    assert client.get("/v1/jobs/job-0").json()["error"]["code"] == "no_such_job"
    jobs.close()


def some(jobs: Jobs, n: int = 40) -> list[str]:
    """Ids of jobs that are over, with events on many pages."""
    names = [jobs.table.add("look", {"data": "digits"}, None, "", None).id for _ in range(n)]
    for name in names:
        jobs.table.tell(name, [("message", {"text": "x" * 500}) for _ in range(20)])
        jobs.table.move(name, ("queued",), "succeeded")
    jobs.close()
    return names


@pytest.mark.parametrize("at", [0, 4096 * 10])
def test_a_damaged_table_is_set_aside_and_jobs_begin_anew(jobs: Jobs, tmp_path: Path, at: int) -> None:
    some(jobs)
    blob = bytearray(jobs.home.table.read_bytes())
    blob[at : at + 40_000] = b"?" * 40_000
    jobs.home.table.write_bytes(blob)
    client = client_of(ServeOptions([tmp_path]))
    found = client.get("/v1/jobs").json()
    assert found["data"] == []
    aside = "It is kept as .karat/jobs.damaged.db; jobs begin anew, runs are untouched."
    assert found["notes"] == [f".karat/jobs.db was damaged. {aside}"]
    assert (jobs.home.folder / "jobs.damaged.db").read_bytes() == blob
    assert Table(jobs.home.table).jobs() == []


def test_a_damaged_table_that_a_worker_is_at_work_with_stays_where_it_is(jobs: Jobs) -> None:
    some(jobs)
    jobs.home.table.write_bytes(b"no table" * 1000)
    with locked(jobs.home) as mine, pytest.raises(Problem, match="in use by another server"):
        assert mine
        _ = Jobs(jobs.catalogue).table
    assert jobs.home.table.read_bytes() == b"no table" * 1000


def test_a_table_of_another_version_is_left_as_it_is_and_the_rest_is_served(jobs: Jobs, tmp_path: Path) -> None:
    some(jobs, 1)
    with contextlib.closing(sqlite3.connect(jobs.home.table)) as db:
        db.execute("PRAGMA user_version = 7")
    with client_of(ServeOptions([tmp_path])) as client:
        answer = client.get("/v1/jobs")
        assert answer.status_code == 503 and answer.json()["error"]["code"] == "jobs_of_another_version"
        assert "layout 7" in answer.json()["error"]["message"]
        assert client.get("/healthz").status_code == 200
    with contextlib.closing(sqlite3.connect(jobs.home.table)) as db:
        assert db.execute("SELECT count(*) FROM jobs").fetchone() == (1,)


def test_a_full_disk_is_said_and_what_was_written_stays(jobs: Jobs) -> None:
    table = jobs.table
    job = table.add("look", {"data": "digits"}, None, "", None)
    pages = table._read("PRAGMA page_count")[0][0]
    table._read(f"PRAGMA max_page_count = {pages}")  # as SQLite meets a full disk
    with pytest.raises(Problem) as full:
        for _ in range(100):
            table.tell(job.id, [("message", {"text": "x" * 1000})], fraction=0.5)
    assert full.value.status == 507 and "Free some room" in full.value.message
    events = table.events(job.id)
    assert [e.number for e in events] == list(range(1, len(events) + 1))
    table._read("PRAGMA max_page_count = 100000")
    table.tell(job.id, [("message", {"text": "again"})])
    assert table.events(job.id)[-1].number == len(events) + 1


def test_a_training_has_its_price_before_it_starts(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text('currency = "EUR"\ncpu_core_hour = 0.60\n')
    cores = torch.get_num_threads()
    found = jobs.price({"source": "digits", "minutes": 2})
    money = {"minutes": 2.0, "money": pytest.approx(0.02 * cores), "currency": "EUR"}
    assert found == {**money, "recipe": None, "basis": "budget"}
    assert jobs.price({"source": "digits"}) is None and not jobs.home.table.exists()
    look = jobs.table.add("look", {"data": "bundled:digits"}, None, "", None)
    rows = [{"recipe": "vae", "fits": True, "minutes": 3.0}, {"recipe": "gan", "fits": True}]
    jobs.table.move(look.id, ("queued",), "succeeded", result=json.dumps({"recipes": rows}))
    for more in ({}, {"recipe": "vae"}):
        found = jobs.price({"source": "digits", **more})
        assert found is not None and (found["minutes"], found["recipe"], found["basis"]) == (3.0, "vae", "look")
    assert jobs.price({"source": "digits", "recipe": "gan"}) is None
    jobs.close()


def test_a_training_that_costs_more_than_its_key_may_spend_is_refused(tmp_path: Path) -> None:
    key = keys_of(tmp_path).add("ann=train,read", money=0.001)
    with client_of(ServeOptions([tmp_path]), key) as client:
        unknown = client.post("/v1/train", json={"source": "digits", "minutes": 60})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (403, "no_price")
        (tmp_path / "prices.toml").write_text('currency = "EUR"\ncpu_core_hour = 0.60\n')
        asked = {"kind": "train", "options": {"source": "digits", "minutes": 60}}
        dear = client.post("/v1/jobs", json=asked)
        assert (dear.status_code, dear.json()["error"]["code"]) == (429, "insufficient_quota")
        assert client.get("/v1/jobs").json()["data"] == []


def test_a_served_run_named_digits_stands_in_the_way_of_no_job_on_the_digits_of_the_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "karat.json").write_text("{}")
    catalogue = Catalogue((tmp_path,), tmp_path)
    found = asked("train", {"source": "digits", "minutes": 1}, catalogue, ()).options
    assert Path(found["out"]).name == "digits-2"
    monkeypatch.chdir(tmp_path)  # as the worker does
    for source in (found["source"], asked("look", {"data": "digits"}, catalogue, ()).options["data"]):
        assert len(load(source, options={}, glance=True, fewest=1).train) > 1000
