"""The jobs of a server: submitted, shown, cancelled, resumed, and a worker that works as long as there are any."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from karat.server.catalogue import Catalogue
from karat.server.forms import Form
from karat.server.guard import LOCAL, Caller
from karat.server.guard.spending import Spending
from karat.server.jobs import tail
from karat.server.jobs.asked import Asked, asked, free_run
from karat.server.jobs.home import Home, locked, set_aside
from karat.server.jobs.pricing import drawn, foreseen, price
from karat.server.jobs.process import Process
from karat.server.jobs.table import DAMAGED, EACH, KILL, KINDS, OPEN, STOP, Event, Job, Kind, Table, new_name
from karat.server.jobs.upkeep import recover, remove, settle
from karat.server.problems import Problem, short

LOG = logging.getLogger("karat.server")
IDLE = 10.0  # seconds between two looks for jobs of others
HISTORY = 1000  # jobs that are over and kept
WARM = 600.0  # seconds for which a worker is kept without a job
PAUSE, LONGEST = 1.0, 60.0  # seconds before a worker that could not work is started again, twice as long each time


class Jobs:
    """The part of the server. All of it may be called from any thread; nothing blocks longer than a transaction."""

    def __init__(
        self, catalogue: Catalogue, spending: Spending | None = None, each: int = EACH, history: int = HISTORY
    ) -> None:
        """spending: what callers have quotas in.   each: jobs of one caller that may wait.   history: over, and kept."""
        self.catalogue, self.home = catalogue, Home(catalogue.root.resolve())
        self.spending, self.each, self.history = spending, each, history
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

    def submit(self, kind: Kind, given: Form | Mapping[str, Any], caller: Caller = LOCAL) -> Job:
        """A new job behind those of the caller: the verb `kind` with what is given, the fields of FORMS[kind] as in a request.

        A path is one from the served root; a run is named as in the catalogue. What it will make and cost is held of the
        caller's quota until it is over. Problem (400, 409, 422) where that cannot be, with `param` naming the field, (403, 429)
        where the caller may not have more.
        """
        if kind not in KINDS:
            raise Problem(
                400, "unknown_kind", f"{short(kind)} is no kind of job; there are {', '.join(KINDS)}.", "kind"
            )
        with self._submitting:  # so that no two are promised one folder
            wanted = asked(kind, given, self.catalogue, self._promised())
            cost = price(kind, wanted.options, wanted.run, self.home.root, self._there)
            name = new_name()
            self._hold(name, kind, wanted, cost, caller.id)
            try:
                job = self.table.add(kind, wanted.options, wanted.run, caller.id, cost, name, self.each)
            except Problem:
                if self.spending is not None:
                    self.spending.settle(name, 0, 0.0)
                    self.spending.forget(name)
                raise
        self._tend_if_needed(self.table)
        return job

    def _hold(self, name: str, kind: Kind, wanted: Asked, cost: Mapping[str, Any] | None, owner: str) -> None:
        key = None if self.spending is None else self.spending.keys.of(owner)
        if key is not None and self.spending is not None:
            money = foreseen(kind, cost, wanted.run, self.home.root)
            self.spending.hold(name, key, drawn(kind, wanted.options), money)

    def price(self, given: Form | Mapping[str, Any]) -> dict[str, Any] | None:
        """Minutes and money that a training with what is given will take, as `Job.price`; nothing is kept of it."""
        wanted = asked("train", given, self.catalogue, self._promised())
        return price("train", wanted.options, wanted.run, self.home.root, self._there)

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

    def owned(self, name: str, caller: Caller) -> Job:
        """The job, where the caller asked for it or is an admin; Problem(403) else."""
        job = self.get(name)
        if not caller.owns(job.caller):
            raise Problem(
                403, "not_yours", f"{name} is another caller's; it takes the key that asked for it, or an admin's."
            )
        return job

    def cancel(self, name: str, caller: Caller) -> Job:
        """Takes a job out of the queue, or stops it as Ctrl-C does; a training's run is saved and can go on, see `resume`.

        A job that runs is `cancelling` until its worker has saved; asked for again, its worker is killed, as by a second
        Ctrl-C. Problem(409) where it is over.
        """
        job = self.owned(name, caller)
        if not self.table.move(name, ("queued",), "cancelled", ended=time.time()):
            if job.over:
                raise Problem(409, "job_is_over", f"{name} is over ({job.state}), and cannot be cancelled.")
            self.table.tell(name, (), cancelling=STOP if not job.cancelling else KILL)
        self._tend_if_needed(self.table)
        return self.get(name)

    def resume(self, name: str, caller: Caller) -> Job:
        """Puts a job that was cancelled or failed at the end of the queue; a training goes on where it was saved.

        Problem(409) where it is in the queue, runs, or has succeeded; (429) as of `submit`.
        """
        job = self.owned(name, caller)
        if job.state in ("cancelled", "failed"):
            self._hold(name, job.kind, Asked(job.options, job.run), job.price, job.caller)
        if not self.table.again(job, self.each):
            state = self.get(name).state
            raise Problem(
                409, "job_cannot_resume", f"{name} is {state}; only one that was cancelled or failed is resumed."
            )
        self._tend_if_needed(self.table)
        return self.get(name)

    def delete(self, name: str, caller: Caller) -> None:
        """Forgets a job that is over, with its events and its log; what it made stays. Problem(409) where it is not over."""
        job = self.owned(name, caller)
        if not remove(self.table, self.home, self.spending, name):
            raise Problem(409, "job_is_not_over", f"{name} is {job.state}; cancel it first.")

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

    def places(self) -> dict[str, int]:
        """How many jobs are done before each of those that wait, by their ids."""
        return {} if self._there is None else {name: i for i, name in enumerate(self._there.queue())}

    def log(self, name: str, caller: Caller) -> str:
        """All that the job's verb printed, errors too, for who asked for it or an admin: it may quote the data."""
        try:
            return self.home.log(self.owned(name, caller).id).read_text(encoding="utf-8", errors="replace")
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
                        self._keep_up(table)
                if not table.queue():
                    if time.monotonic() - worked > WARM:
                        self._dismiss()
                    self._wake.wait(IDLE)  # another server of this root may die with jobs in its queue
                    continue
                code = self._hire().do(self._closing.is_set, lambda: _given_up(table)) if mine else 0
                worked, well = time.monotonic(), code == 0
                if not well:
                    LOG.warning("a worker of the jobs ended with code %d; the next one goes on", code)
            except (Problem, OSError, sqlite3.Error) as error:  # a full disk, too many processes: it may pass
                LOG.warning("no worker could be started: %s", getattr(error, "message", error))
                mine = well = False
            if not mine or not well:
                self._closing.wait(pause)
            pause = PAUSE if well else min(2 * pause, LONGEST)
        self._dismiss()

    def _keep_up(self, table: Table) -> None:
        recover(table, self.home)
        if self.spending is not None:
            settle(table, self.spending)
        for name in table.beyond(self.history):
            remove(table, self.home, self.spending, name)

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
