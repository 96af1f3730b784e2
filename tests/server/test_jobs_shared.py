"""Jobs of several callers: whose they are, how many may wait, in whose turn, what they cost, and how long they are kept."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import client_of

from karat.options import ServeOptions
from karat.server.catalogue import Catalogue
from karat.server.guard.guard import keys_of
from karat.server.guard.keys import Key
from karat.server.guard.spending import Spending
from karat.server.jobs import Job, Jobs
from karat.server.jobs.pricing import Meter, drawn
from karat.server.jobs.table import Table
from karat.server.jobs.upkeep import recover, settle
from karat.server.problems import Problem

LOOK = {"kind": "look", "options": {"data": "digits"}}
TRAIN = {"kind": "train", "options": {"source": "digits", "out": "r", "minutes": 1}}


class Site:
    """A server whose jobs stay in the queue, and keys to it."""

    def __init__(self, root: Path, **options: Any) -> None:
        self.root = root
        self.texts: dict[str, str] = {}
        self.add("chief", "read,train,admin")
        self.client = client_of(ServeOptions([root], root=root, studio=False, **options), self.texts["chief"])
        self.parts = self.client.app.state.served  # type: ignore[attr-defined]
        self.jobs: Jobs = self.parts.jobs
        self.jobs.close()  # no worker is started any more
        self.jobs._table = None

    def add(self, name: str, scopes: str = "read,train", **quota: Any) -> Key:
        self.texts[name] = keys_of(self.root).add(f"{name}={scopes}", **quota)
        key = keys_of(self.root).named(name)
        assert key is not None
        return key

    def ask(self, name: str, method: str, path: str, **more: Any) -> Any:
        return self.client.request(method, path, headers={"authorization": f"Bearer {self.texts[name]}"}, **more)

    def submit(self, name: str, **asked: Any) -> Job:
        answer = self.ask(name, "POST", "/v1/jobs", json=asked or LOOK)
        assert answer.status_code == 202, answer.text
        return self.jobs.get(answer.json()["id"])

    @property
    def spending(self) -> Spending:
        found: Spending = self.parts.guard.spending
        return found

    def ends(self, job: Job, state: Any = "succeeded", **cost: Any) -> None:
        """As when a worker did the job."""
        told = {"cpu_seconds": 1.0, "seconds": 2.0, "items": 0, "money": 0.0, "currency": "EUR"} | cost
        assert self.jobs.table.move(job.id, ("queued",), "running", started=time.time())
        self.jobs.table.move(job.id, ("running",), state, ended=time.time(), cost=json.dumps(told))
        settle(self.jobs.table, self.spending)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, jobs=3, history=4)
    yield made
    made.jobs.close()
    made.spending.close()


def test_a_queue_that_is_full_of_one_callers_jobs_refuses_him_alone_and_says_when_to_come_again(site: Site) -> None:
    names = [f"k{i}" for i in range(11)]
    for name in names:
        site.add(name)
    for _ in range(3):
        site.submit("k0")
    full = site.ask("k0", "POST", "/v1/jobs", json=LOOK)
    assert (full.status_code, full.json()["error"]["code"], full.headers["retry-after"]) == (429, "queue_full", "60")
    assert "3 jobs of yours wait already" in full.json()["error"]["message"]
    for name in names[1:10]:
        for _ in range(3):
            site.submit(name)
    last = site.ask("k10", "POST", "/v1/jobs", json=LOOK)
    assert last.status_code == 429 and "0 jobs of yours wait already, and 30 in all" in last.json()["error"]["message"]
    first = site.jobs.table.queue()[0]
    assert site.ask("k0", "POST", f"/v1/jobs/{first}/cancel").status_code == 200
    site.submit("k0")  # there is room again


def test_callers_take_turns_and_what_is_done_with_a_run_stays_in_its_order(site: Site) -> None:
    ann, bob = site.add("ann"), site.add("bob")
    table, run = site.jobs.table, site.root / "r"
    many = [table.add("look", {}, None, ann.id, None).id for _ in range(2)]
    train = table.add("train", {}, run, ann.id, None).id
    assay = table.add("assay", {}, run, bob.id, None).id  # of what ann's job makes, and so behind it
    own = table.add("look", {}, None, bob.id, None).id
    assert table.queue() == [many[0], own, many[1], train, assay]
    table.move(many[0], ("queued",), "succeeded", started=time.time())
    assert table.queue() == [own, many[1], train, assay]  # ann had her turn
    assert site.jobs.places()[assay] == 3


def test_a_job_is_stopped_resumed_and_deleted_by_who_asked_for_it_or_an_admin_alone(site: Site) -> None:
    site.add("ann"), site.add("bob")
    job = site.submit("ann")
    for method, path in (("POST", "/cancel"), ("POST", "/resume"), ("DELETE", ""), ("GET", "/log")):
        refused = site.ask("bob", method, f"/v1/jobs/{job.id}{path}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_yours"), (method, path)
    assert site.jobs.get(job.id).state == "queued"
    assert site.ask("ann", "DELETE", f"/v1/jobs/{job.id}").status_code == 409  # it is not over
    assert site.ask("ann", "POST", f"/v1/jobs/{job.id}/cancel").json()["state"] == "cancelled"
    assert site.ask("chief", "POST", f"/v1/jobs/{job.id}/resume").json()["state"] == "queued"
    assert site.ask("chief", "POST", f"/v1/jobs/{job.id}/cancel").status_code == 200
    site.jobs.home.log(job.id).parent.mkdir()
    site.jobs.home.log(job.id).write_text("what it printed")
    assert site.ask("ann", "GET", f"/v1/jobs/{job.id}/log").text == "what it printed"
    assert site.ask("ann", "DELETE", f"/v1/jobs/{job.id}").status_code == 204
    assert site.ask("ann", "GET", f"/v1/jobs/{job.id}").status_code == 404
    assert not site.jobs.home.log(job.id).exists() and site.jobs.table.events(job.id) == []


def test_a_later_key_of_the_same_name_has_no_right_to_the_jobs_of_the_one_before(site: Site) -> None:
    site.add("ann")
    job = site.submit("ann")
    keys_of(site.root).revoke("ann")
    site.add("ann")
    assert site.ask("ann", "POST", f"/v1/jobs/{job.id}/cancel").status_code == 403


def test_what_a_job_was_asked_printed_and_found_is_told_to_its_caller_and_others_see_how_far_it_is(site: Site) -> None:
    site.add("ann"), site.add("bob")
    job = site.submit("ann")
    site.jobs.table.tell(
        job.id, [("message", {"text": "row 3 is 'Ms Miller'"}), ("point", {"step": 1, "fraction": 0.5})]
    )
    site.jobs.table.move(job.id, ("queued",), "failed", error="'Ms Miller' is no number", result=json.dumps({"a": 1}))
    for name, told in (("ann", True), ("chief", True), ("bob", False)):
        events = site.ask(name, "GET", f"/v1/jobs/{job.id}/events")
        stream = site.client.get(
            f"/v1/jobs/{job.id}/events",
            headers={"authorization": f"Bearer {site.texts[name]}", "accept": "text/event-stream"},
        )
        one, (listed,) = site.ask(name, "GET", f"/v1/jobs/{job.id}"), site.ask(name, "GET", "/v1/jobs").json()["data"]
        assert [e["number"] for e in events.json()["data"]] == [1, 2, 3, 4] and '"fraction": 0.5' in stream.text
        assert all(("Miller" in answer.text) is told for answer in (events, stream, one)), name
        assert one.json()["own"] is told and bool(one.json()["result"]) is told and bool(listed["options"]) is told
        assert listed["state"] == "failed" and listed["error"] is not None


def test_jobs_hold_of_a_quota_what_they_may_make_and_give_back_what_they_did_not(site: Site) -> None:
    ann = site.add("ann", "make,read,train", items=100)
    train = site.submit("chief", **TRAIN)
    make = site.submit("ann", kind="make", options={"run": "r", "n": 60})
    assert site.spending.spent(ann) == (60, 0.0)
    assay = {"kind": "assay", "options": {"run": "r", "n": 41}}
    refused = site.ask("ann", "POST", "/v1/jobs", json=assay)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")
    assert [job.id for job in site.jobs.list()] == [make.id, train.id]  # nothing is kept of it
    site.ends(make, "failed")
    assert site.spending.spent(ann) == (0, 0.0)
    site.ask("ann", "POST", f"/v1/jobs/{make.id}/resume")
    assert site.spending.spent(ann) == (60, 0.0)
    site.ends(make, items=60)
    judged = site.submit("ann", kind="assay", options={"run": "r", "n": 40})
    site.ask("ann", "POST", f"/v1/jobs/{judged.id}/cancel")
    settle(site.jobs.table, site.spending)
    assert site.spending.spent(ann) == (60, 0.0)
    settle(site.jobs.table, site.spending)  # again, as after a kill in the middle
    assert site.spending.spent(ann) == (60, 0.0)
    assert site.ask("ann", "DELETE", f"/v1/jobs/{make.id}").status_code == 204
    assert site.spending.spent(ann) == (60, 0.0)  # what is spent stays so


def test_money_of_a_key_is_held_for_jobs_by_what_the_last_one_took_and_their_cost_is_in_their_record(
    site: Site,
) -> None:
    ann = site.add("ann", money=1.0)
    refused = site.ask("ann", "POST", "/v1/jobs", json=LOOK)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "no_price")
    (site.root / "prices.toml").write_text('currency = "EUR"\ncpu_core_hour = 3600\n')  # a second costs 1
    site.submit("chief", **TRAIN)
    assay = {"kind": "assay", "options": {"run": "r", "n": 50}}
    first = site.submit("ann", **assay)
    assert site.spending.spent(ann)[1] == 0.0 and first.price is None  # nobody knows yet
    site.ends(first, items=50, money=0.6)
    assert site.spending.spent(ann)[1] == pytest.approx(0.6)
    shown = site.ask("ann", "GET", f"/v1/jobs/{first.id}").json()
    assert shown["cost"]["money"] == 0.6 and shown["cost"]["items"] == 50
    again = site.ask("ann", "POST", "/v1/jobs", json=assay)
    assert again.status_code == 429 and "this would take about 0.60" in again.json()["error"]["message"]


def test_what_was_held_for_a_job_that_a_kill_kept_from_being_entered_is_given_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = site.add("ann", items=10)
    site.spending.hold("job-0", ann, 9, None)
    settle(site.jobs.table, site.spending)
    assert site.spending.spent(ann) == (9, 0.0)  # its server may be about to enter it
    later = time.time() + 100
    monkeypatch.setattr("time.time", lambda: later)
    settle(site.jobs.table, site.spending)
    assert site.spending.spent(ann) == (0, 0.0) and site.spending.held() == {}


def test_a_meter_goes_on_from_what_earlier_workers_took(site: Site) -> None:
    job = site.submit("chief")
    site.jobs.table.tell(job.id, (), cost=json.dumps({"cpu_seconds": 50.0, "seconds": 70.0, "items": 3, "money": None}))
    meter = Meter(site.jobs.get(job.id), site.root)
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    found = meter.read(2)
    assert 50.02 <= found["cpu_seconds"] < 60 and found["seconds"] > 70 and found["items"] == 3
    assert found["money"] is None  # what could not be told once is not told later


@pytest.mark.parametrize(
    ("kind", "options", "count"),
    [
        ("make", {"run": "r", "n": 7}, 7),
        ("make", {"run": "r"}, 64),
        ("assay", {"run": ["a", "b"], "n": 7}, 14),
        ("assay", {"run": ["a"]}, 5000),
        ("assay", {"calibrate": "d"}, 0),
        ("train", {"source": "d"}, 0),
    ],
)
def test_what_a_job_makes_is_counted_before_it_starts(kind: Any, options: dict[str, Any], count: int) -> None:
    assert drawn(kind, options) == count


def test_the_oldest_jobs_go_with_their_events_and_logs_and_none_that_is_not_over(site: Site) -> None:
    waits = site.submit("chief")
    over = [site.jobs.table.add("look", {}, None, "x", None) for _ in range(6)]
    site.jobs.home.log("x").parent.mkdir()
    for job in over:
        site.jobs.home.log(job.id).write_text("printed")
        site.ends(job)
    site.jobs._keep_up(site.jobs.table)
    kept = [job.id for job in site.jobs.list()]
    assert kept == [job.id for job in over[:1:-1]] + [waits.id]
    assert [site.jobs.home.log(job.id).exists() for job in over] == [False] * 2 + [True] * 4
    assert not any(site.jobs.table.events(job.id) for job in over[:2]) and site.jobs.table.events(over[2].id)


def test_jobs_that_an_earlier_version_kept_are_read_and_an_admins(tmp_path: Path) -> None:
    table = Table(tmp_path / ".karat" / "jobs.db")
    old = table.add("look", {"data": "digits"}, None, "ann", None)
    table.close()
    base = sqlite3.connect(table.path)
    base.executescript("ALTER TABLE jobs DROP COLUMN cost; PRAGMA user_version = 1")
    base.close()
    site = Site(tmp_path)
    site.add("ann")
    assert site.ask("ann", "GET", f"/v1/jobs/{old.id}").json()["cost"] is None
    assert site.ask("ann", "POST", f"/v1/jobs/{old.id}/cancel").status_code == 403
    assert site.ask("chief", "POST", f"/v1/jobs/{old.id}/cancel").status_code == 200
    site.jobs.close()


def test_a_clock_that_goes_back_neither_loses_a_job_nor_an_event_nor_a_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs(Catalogue((tmp_path,), tmp_path))
    first, now = jobs.table.add("look", {}, None, "a", None), time.time()
    jobs.table.move(first.id, ("queued",), "running", started=now)
    monkeypatch.setattr("time.time", lambda: now - 1e6)
    recover(jobs.table, jobs.home)
    later = jobs.table.add("look", {}, None, "a", None)
    jobs.table.move(first.id, ("queued",), "succeeded", ended=now - 1e6)
    assert [job.id for job in jobs.list()] == [later.id, first.id] and jobs.table.queue() == [later.id]
    states = [(event.number, event.data["state"]) for event in jobs.events(first.id) if event.kind == "state"]
    assert states == [(1, "queued"), (2, "running"), (4, "queued"), (5, "succeeded")]
    jobs.close()


def test_two_who_submit_at_once_are_not_both_let_in_where_one_job_may_still_wait(site: Site) -> None:
    table = site.jobs.table
    other = Table(table.path)
    for each in (table, other, table):
        each.add("look", {}, None, "a", None, each=3)
    with pytest.raises(Problem, match="3 jobs of yours"):
        other.add("look", {}, None, "a", None, each=3)
    other.close()


def test_a_full_disk_under_quotas_is_said_as_one(site: Site) -> None:
    ann = site.add("ann", items=10)
    site.submit("ann")
    with site.spending._reading() as base:
        pages = base.execute("PRAGMA page_count").fetchone()[0]
        base.execute(f"PRAGMA max_page_count = {pages}")  # as SQLite meets a full disk
    with pytest.raises(OSError, match="No space left"):
        for i in range(200):
            site.spending.hold(f"job-{i:0200d}", ann, 0, None)
    with site.spending._reading() as base:
        base.execute("PRAGMA max_page_count = 100000")
    site.spending.hold("job-last", ann, 1, None)
    assert site.spending.spent(ann) == (1, 0.0)
