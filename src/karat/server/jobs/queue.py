"""The jobs of a server: submitted, shown, cancelled, resumed, and a worker that works as long as there are any."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from karat.server.catalogue import Catalogue
from karat.server.forms import Form
from karat.server.jobs import tail
from karat.server.jobs.asked import asked, free_run
from karat.server.jobs.home import Home, locked, set_aside
from karat.server.jobs.pricing import price
from karat.server.jobs.process import Process
from karat.server.jobs.table import DAMAGED, KILL, KINDS, OPEN, STOP, Event, Job, Kind, Table
from karat.server.jobs.upkeep import recover
from karat.server.problems import Problem, short

LOG = logging.getLogger("karat.server")
IDLE = 10.0  # seconds between two looks for jobs of others
WARM = 600.0  # seconds for which a worker is kept without a job
PAUSE, LONGEST = 1.0, 60.0  # seconds before a worker that could not work is started again, twice as long each time


class Jobs:
    """The part of the server. All of it may be called from any thread; nothing blocks longer than a transaction."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue, self.home = catalogue, Home(catalogue.root.resolve())
        self.notes: list[str] = []  # what went wrong with the table itself
        self._table: Table | None = None
        self._opening, self._submitting = threading.Lock(), threading.Lock()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._worker: Process | None = None
        self._tending: threading.Thread | None = None

    def start(self) -> None:
        """Goes on with what an earlier server left; where that cannot be read, `notes` say why, and the server does without."""
        if self.home.table.exists():
            try:
                self._tend_if_needed(self.table)
            except Problem as problem:
                self._note(problem.message)

    def close(self) -> None:
        """Lets the worker save its job, which waits for the next server, and end."""
        self._closing.set()
        self._wake.set()
        if self._tending is not None:
            self._tending.join()
        if self._table is not None:
            self._table.close()

    def submit(self, kind: Kind, given: Form | Mapping[str, Any], caller: str = "") -> Job:
        """A new job at the end of the queue: the verb `kind` with what is given, the fields of FORMS[kind] as in a request.

        A path is one from the served root; a run is named as in the catalogue. Problem (400, 409, 422) where that cannot be,
        with `param` naming the field.
        """
        if kind not in KINDS:
            raise Problem(
                400, "unknown_kind", f"{short(kind)} is no kind of job; there are {', '.join(KINDS)}.", "kind"
            )
        with self._submitting:  # so that no two are promised one folder
            wanted = asked(kind, given, self.catalogue, self._promised())
            cost = price(wanted.options, self.home.root, self._there) if kind == "train" else None
            job = self.table.add(kind, wanted.options, wanted.run, caller, cost)
        self._tend_if_needed(self.table)
        return job

    def price(self, given: Form | Mapping[str, Any]) -> dict[str, Any] | None:
        """Minutes and money that a training with what is given will take, as `Job.price`; nothing is kept of it."""
        return price(asked("train", given, self.catalogue, self._promised()).options, self.home.root, self._there)

    def get(self, name: str) -> Job:
        """Problem(404) where there is no such job."""
        try:
            if self._there is None:
                raise KeyError(name)
            return self._there.get(name)
        except KeyError:
            raise Problem(
                404, "no_such_job", f"there is no job {name[:80]!r}; GET /v1/jobs lists those that are."
            ) from None

    def list(self, states: Sequence[str] = (), run: Path | None = None, most: int = 100) -> Sequence[Job]:
        """Newest first, without their results."""
        return [] if self._there is None else self._there.jobs(states, run, most)

    def cancel(self, name: str) -> Job:
        """Takes a job out of the queue, or stops it as Ctrl-C does; a training's run is saved and can go on, see `resume`.

        A job that runs is `cancelling` until its worker has saved; asked for again, its worker is killed, as by a second
        Ctrl-C. Problem(409) where it is over.
        """
        job = self.get(name)
        if not self.table.move(name, ("queued",), "cancelled", ended=time.time()):
            if job.over:
                raise Problem(409, "job_is_over", f"{name} is over ({job.state}), and cannot be cancelled.")
            self.table.tell(name, (), cancelling=STOP if not job.cancelling else KILL)
        return self.get(name)

    def resume(self, name: str) -> Job:
        """Puts a job that was cancelled or failed at the end of the queue; a training goes on where it was saved.

        Problem(409) where it is in the queue, runs, or has succeeded.
        """
        state = self.get(name).state
        cleared = {"cancelling": 0, "deaths": 0, "error": None, "ended": None}
        if not self.table.move(name, ("cancelled", "failed"), "queued", **cleared):
            state = self.get(name).state
            raise Problem(
                409, "job_cannot_resume", f"{name} is {state}; only one that was cancelled or failed is resumed."
            )
        self.table.last(name)
        self._tend_if_needed(self.table)
        return self.get(name)

    def events(self, name: str, after: int = 0, most: int = 1000) -> Sequence[Event]:
        """Those with numbers beyond `after`. A point has the numbers of its row of the run's history, while the run has it.

        A point whose step is not beyond that of the one before takes the place of what was told from there on: the run was
        killed and went back to its save.
        """
        job, found = self.get(name), self.table.events(name, after, most)
        if job.run is None or not any(event.kind == "point" for event in found):
            return found
        curve = tail.rows(job.run)
        return [
            replace(event, data={**event.data, **curve.get(event.data["step"], {})}) if event.kind == "point" else event
            for event in found
        ]

    def place(self, job: Job) -> int | None:
        """How many jobs are done before it; None where it does not wait."""
        queue = self.table.queue()
        return queue.index(job.id) if job.id in queue else None

    def log(self, name: str) -> str:
        """All that the job's verb printed, errors too."""
        try:
            return self.home.log(self.get(name).id).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    @property
    def table(self) -> Table:
        """The table, opened when it is first asked for; a damaged one is set aside then, and a new one begun."""
        with self._opening:
            if self._table is None:
                try:
                    self._table = _checked(self.home)
                except Problem as problem:
                    if problem.code != DAMAGED:
                        raise
                    aside = set_aside(self.home)
                    self._note(
                        f"{self.home.table} was damaged. It is kept as {aside}; jobs begin anew, runs are untouched."
                    )
                    self._table = Table(self.home.table)
            return self._table

    @property
    def _there(self) -> Table | None:
        """The table, unless nothing was ever asked of this root: looking makes none."""
        return self.table if self._table is not None or self.home.table.exists() else None

    def _note(self, text: str) -> None:
        LOG.warning(text)
        self.notes.append(text)

    def free_run(self, stem: str) -> Path:
        """The folder of a new run, in which none is and none is to be made by a job: `stem`, or the first of stem-2, stem-3, ..."""
        return free_run(self.catalogue, stem, self._promised())

    def _promised(self) -> set[Path]:
        """Folders of runs that jobs are to make."""
        there = self._there
        if there is None:
            return set()
        return {job.run for job in there.jobs(OPEN, most=100_000) if job.kind == "train" and job.run is not None}

    def _tend_if_needed(self, table: Table) -> None:
        if self._closing.is_set():
            return
        with self._opening:
            if self._tending is None:
                self._tending = threading.Thread(target=self._tend, args=(table,), daemon=True, name="jobs")
                self._tending.start()
        self._wake.set()

    def _tend(self, table: Table) -> None:
        """Lets a worker do one job after another, and puts back what a killed one left.

        Where another server of this root has a worker at work, that one is waited for.
        """
        pause, worked = PAUSE, time.monotonic()
        while not self._closing.is_set():
            self._wake.clear()
            try:
                with locked(self.home) as mine:
                    if mine:
                        recover(table, self.home)
                if not table.queue():
                    if time.monotonic() - worked > WARM:
                        self._dismiss()
                    self._wake.wait(IDLE)  # another server of this root may die with jobs in its queue
                    continue
                code = self._hire().do(self._closing.is_set, lambda: _given_up(table)) if mine else 0
                worked, well = time.monotonic(), code == 0
                if not well:
                    LOG.warning("a worker of the jobs ended with code %d; the next one goes on", code)
            except (Problem, OSError) as error:  # a full disk, too many processes: it may pass
                LOG.warning("no worker could be started: %s", getattr(error, "message", error))
                mine = well = False
            if not mine or not well:
                self._closing.wait(pause)
            pause = PAUSE if well else min(2 * pause, LONGEST)
        self._dismiss()

    def _hire(self) -> Process:
        if self._worker is None or not self._worker.lives:
            self._worker = Process(self.home.root)
        return self._worker

    def _dismiss(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None


def _given_up(table: Table) -> bool:
    """Whether the job that is done now is to be killed."""
    try:
        return any(table.column(job.id, "cancelling") == KILL for job in table.jobs(("running",)))
    except Problem:
        return False


def _checked(home: Home) -> Table:
    table = Table(home.table)
    try:
        table.check()
    except Problem:
        table.close()
        raise
    return table
