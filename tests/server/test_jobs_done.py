"""A worker does the jobs of a table as their verbs would; who is killed, cancelled or left alone loses nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from processes import Forked

from karat.run import Run
from karat.server.catalogue import Catalogue
from karat.server.guard import LOCAL
from karat.server.jobs import Job, Jobs
from karat.server.jobs.home import locked
from karat.server.jobs.upkeep import MOST_DEATHS, recover
from karat.server.jobs.worker import Worker

TINY = ["model.latent=8", "model.width=16", "model.hidden=32", "model.components=20", "model.iterations=10"]
ASKED = {"source": "noise.npy", "recipe": "vae", "set": ["train.precision=fp32", "train.save_seconds=0.1", *TINY]}


class Office:
    """Jobs below a folder whose worker starts when a test says so, as a fork of this process.

    Until `leave`, the worker finds that its server lives.
    """

    def __init__(self, root: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (300, 8, 8), np.uint8)
        np.save(root / "noise.npy", noise)
        self.jobs = Jobs(Catalogue((root,), root))
        self.jobs._closing.set()  # no worker of its own
        self.ours = -1

    def work(self) -> Forked:
        recover(self.jobs.table, self.jobs.home)
        theirs, self.ours = os.pipe()

        def call() -> None:
            os.dup2(theirs, 0)
            os.close(self.ours)
            os.close(theirs)
            os.chdir(self.jobs.home.root)
            self.jobs.table.close()
            self.jobs._table = None
            Worker(self.jobs.home.root).work()

        worker = Forked(call)
        os.close(theirs)
        return worker

    def leave(self) -> None:
        """As when the server dies: the worker's input ends."""
        if self.ours >= 0:
            os.close(self.ours)
            self.ours = -1

    def train(self, steps: int, out: str) -> Job:
        return self.jobs.submit("train", {**ASKED, "steps": steps, "out": out})

    def until(self, worker: Forked, job: Job, fact: Callable[[Job], object]) -> Job:
        worker.until(lambda: fact(self.jobs.get(job.id)))
        return self.jobs.get(job.id)


@pytest.fixture
def office(tmp_path: Path, request: pytest.FixtureRequest) -> Office:
    made = Office(tmp_path)
    request.addfinalizer(made.leave)
    return made


def curve(jobs: Jobs, job: Job) -> list[int]:
    """The steps of the points, where one takes the place of all that are not before it."""
    steps: list[int] = []
    for event in jobs.events(job.id):
        if event.kind == "point":
            steps = [*(step for step in steps if step < event.data["step"]), event.data["step"]]
    return steps


def test_a_job_is_done_as_its_verb_does_it_and_the_next_in_turn_waits(office: Office) -> None:
    first, second = (
        office.train(12, "a"),
        office.jobs.submit("train", {"source": "digits", "recipe": "none", "out": "b"}),
    )
    assert office.jobs.places()[first.id] == 0 and office.jobs.places()[second.id] == 1
    with office.work() as worker:
        assert worker.wait() == 0
    done = office.jobs.get(first.id)
    assert done.state == "succeeded" and done.fraction == 1.0 and done.error is None
    assert done.result is not None and done.result["status"] == "trained" and done.result["step"] == 12
    events = office.jobs.events(first.id)
    rows = {row["step"]: row for row in Run.open(office.jobs.home.root / "a").lines("history.jsonl")}
    assert curve(office.jobs, first) == list(rows)
    assert all(rows[e.data["step"]].items() <= e.data.items() for e in events if e.kind == "point")
    assert {"010.png", "100.png"} <= {e.data["name"] for e in events if e.kind == "sample"}
    assert "fitted" not in office.jobs.log(first.id, LOCAL) and "trained: 12 steps" in office.jobs.log(first.id, LOCAL)
    assert office.jobs.places()[second.id] == 0
    with office.work() as worker:
        assert worker.wait() == 0
    failed = office.jobs.get(second.id)
    assert failed.state == "failed" and failed.error is not None and failed.error.startswith("no recipe 'none'")


def test_a_job_that_is_stopped_before_it_began_does_nothing(office: Office) -> None:
    job = office.jobs.submit("look", {"data": "digits"})
    worker = Worker(office.jobs.home.root)
    worker._interrupt(signal.SIGINT, None)
    assert worker._outcome(job) == ("stopped", {})


def test_a_cancelled_training_is_saved_and_goes_on_when_it_is_resumed(office: Office) -> None:
    job = office.train(100_000, "a")
    with office.work() as worker:
        office.until(worker, job, lambda job: job.fraction > 0)
        with locked(office.jobs.home) as mine:
            assert not mine  # no second worker can begin
        assert office.jobs.cancel(job.id, LOCAL).cancelling
        assert worker.wait() == 0
    assert office.jobs.get(job.id).state == "cancelled"
    assert Run.open(office.jobs.home.root / "a").spec["status"] == "interrupted"
    assert "all is saved" in office.jobs.log(job.id, LOCAL)
    assert office.jobs.resume(job.id, LOCAL).state == "queued"
    goes_on(office, job)


def goes_on(office: Office, job: Job) -> None:
    """A new worker continues the run, and the curve with it, until its server goes; then the job waits for the next."""
    before = office.jobs.events(job.id)

    def learns(_: Job) -> bool:
        kinds = [e.data.get("state", e.kind) for e in office.jobs.events(job.id, after=len(before))]
        return "continuing at step" in office.jobs.log(job.id, LOCAL) and kinds[-1] == "point"

    with office.work() as worker:
        office.until(worker, job, learns)
        office.leave()
        assert worker.wait() == 0
    assert office.jobs.get(job.id).state == "queued"
    after = office.jobs.events(job.id)
    assert [(e.number, e.kind) for e in after[: len(before)]] == [(e.number, e.kind) for e in before]
    assert [e.number for e in after] == list(range(1, len(after) + 1))
    kept = Run.open(office.jobs.home.root / "a").lines("history.jsonl")
    assert curve(office.jobs, job) == [row["step"] for row in kept]


def test_a_job_is_put_back_after_a_kill_and_given_up_where_it_never_gets_further(office: Office) -> None:
    jobs = office.jobs
    job = jobs.submit("look", {"data": "digits"})
    for deaths in range(1, MOST_DEATHS + 1):
        assert jobs.table.move(job.id, ("queued",), "running")
        recover(jobs.table, jobs.home)
        assert jobs.get(job.id).state == ("queued" if deaths < MOST_DEATHS else "failed")
    assert "killed 3 times" in str(jobs.get(job.id).error)
    jobs.resume(job.id, LOCAL)
    for fraction in (0.1, 0.2, 0.3, 0.4):  # each time it gets further: it is never given up
        jobs.table.move(job.id, ("queued",), "running", fraction=fraction)
        recover(jobs.table, jobs.home)
        assert jobs.get(job.id).state == "queued"
    jobs.table.move(job.id, ("queued",), "running", cancelling=1)
    recover(jobs.table, jobs.home)
    assert jobs.get(job.id).state == "cancelled"


@pytest.mark.exam
def test_a_run_that_somebody_else_made_meanwhile_is_never_continued(office: Office) -> None:
    first, second = office.train(3, "a"), office.jobs.submit("train", {**ASKED, "steps": 5, "out": "b"})
    with office.work() as worker:
        worker.wait()
    (office.jobs.home.root / "a").rename(office.jobs.home.root / "b")
    for _ in range(2):
        with office.work() as worker:
            worker.wait()
        assert "already holds a run" in str(office.jobs.get(second.id).error)
        office.jobs.resume(second.id, LOCAL)
    assert office.jobs.get(first.id).state == "succeeded"
    assert Run.open(office.jobs.home.root / "b").spec["step"] == 3


@pytest.mark.exam
def test_an_assay_waits_behind_its_training_and_runs_are_compared_and_made_from(office: Office) -> None:
    rows = "\n".join(f"{i % 7},{i % 3},{'abc'[i % 3]}" for i in range(600))
    (office.jobs.home.root / "t.csv").write_text(f"a,b,c\n{rows}\n")
    for name in ("one", "two"):
        office.jobs.submit("train", {"source": "t.csv", "recipe": "trees", "out": name})
    assay = office.jobs.submit("assay", {"run": "one", "n": 300})  # which is not there yet
    compared = office.jobs.submit("assay", {"run": ["one", "two"], "n": 300})
    for _ in range(4):
        with office.work() as worker:
            assert worker.wait() == 0
    make = office.jobs.submit("make", {"run": "one", "n": 20})
    with office.work() as worker:
        assert worker.wait() == 0
    states = {job.kind: job.state for job in office.jobs.list()}
    assert states == {"train": "succeeded", "assay": "succeeded", "make": "succeeded"}, office.jobs.log(assay.id, LOCAL)
    found = office.jobs.get(assay.id).result
    assert found is not None and found["verdict"] and Path(found["report"]).is_file()
    assert office.jobs.get(assay.id).run == office.jobs.home.root / "one"
    beside = office.jobs.get(compared.id)
    assert beside.state == "succeeded" and (Path(beside.options["out"]) / "comparison.html").is_file()
    made = office.jobs.get(make.id).result
    assert made is not None and all(Path(file).is_file() for file in made["files"])


@pytest.mark.exam
def test_nothing_is_lost_where_servers_and_workers_are_killed() -> None:
    """Three kills of each, at three of the moments; twenty are `python benchmarks/kill_jobs.py`."""
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "kill_jobs.py"
    done = subprocess.run(
        [sys.executable, str(script), "--kills", "3"], capture_output=True, text=True, timeout=900, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills of each: nothing lost" in done.stdout


@pytest.mark.exam
def test_a_worker_that_is_killed_lets_the_next_go_on_with_the_run(office: Office) -> None:
    job = office.train(100_000, "a")

    def saved(_: Job) -> bool:
        record = office.jobs.home.root / "a" / "karat.json"
        return record.is_file() and bool(json.loads(record.read_bytes()).get("checkpoints"))

    with office.work() as worker:
        office.until(worker, job, saved)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert office.jobs.get(job.id).state == "running"  # nobody could say otherwise yet
    goes_on(office, job)
    assert office.jobs.get(job.id).begun == 2


def children(process: int) -> list[int]:
    return [int(p) for file in Path(f"/proc/{process}/task").glob("*/children") for p in file.read_text().split()]


@pytest.mark.exam
def test_one_worker_does_job_after_job_and_what_a_job_breaks_ends_with_it(tmp_path: Path) -> None:
    """One job ends, one fails, one is killed in the middle and is done again; the worker that began them has imported once."""
    office = Office(tmp_path)
    jobs = office.jobs
    jobs._closing.clear()
    end = time.monotonic() + 120

    def until(fact: Callable[[], object]) -> None:
        while not fact():
            assert time.monotonic() < end, [(job.kind, job.state, job.error) for job in jobs.list()]
            time.sleep(0.02)

    first = jobs.submit("look", {"data": "digits", "probe": False})
    until(lambda: jobs.get(first.id).over)
    assert jobs._worker is not None
    warm = jobs._worker._process.pid
    wrong, long = jobs.submit("train", {"source": "digits", "recipe": "none"}), office.train(100_000, "a")
    until(lambda: jobs.get(long.id).fraction > 0)
    (child,) = children(warm)
    os.kill(child, signal.SIGKILL)
    until(lambda: jobs.get(long.id).begun == 2)
    jobs.cancel(long.id, LOCAL)
    last = jobs.submit("look", {"data": "digits", "probe": False})
    until(lambda: jobs.get(last.id).over)
    states = [jobs.get(job.id).state for job in (first, wrong, long, last)]
    assert states == ["succeeded", "failed", "cancelled", "succeeded"]
    until(lambda: not children(warm))
    assert jobs._worker._process.pid == warm
    assert len([e for e in jobs.events(long.id) if "was killed" in e.data.get("text", "")]) == 1
    stubborn = office.train(100_000, "b")
    until(lambda: jobs.get(stubborn.id).state == "running")
    for _ in range(2):  # the second time its worker is killed
        jobs.cancel(stubborn.id, LOCAL)
    until(lambda: jobs.get(stubborn.id).state == "cancelled")
    jobs.close()
    assert not Path(f"/proc/{warm}").exists()


@pytest.mark.exam
def test_a_job_whose_run_was_deleted_while_it_ran_says_so_and_trains_anew_when_it_is_resumed(office: Office) -> None:
    job = office.train(100_000, "a")
    with office.work() as worker:
        office.until(worker, job, lambda job: job.fraction > 0)
        shutil.rmtree(office.jobs.home.root / "a", ignore_errors=True)
        assert worker.wait() == 0
    failed = office.jobs.get(job.id)
    assert failed.state == "failed" and failed.error is not None
    assert "deleted or moved" in failed.error
    shutil.rmtree(office.jobs.home.root / "a", ignore_errors=True)
    told = office.jobs.events(job.id)[-1].number
    office.jobs.resume(job.id, LOCAL)
    with office.work() as worker:
        office.until(worker, job, lambda _: any(e.kind == "point" for e in office.jobs.events(job.id, told)))
        office.leave()
        worker.wait()
    kept = Run.open(office.jobs.home.root / "a").lines("history.jsonl")
    assert curve(office.jobs, job) == [row["step"] for row in kept]
