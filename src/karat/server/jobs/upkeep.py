"""What is seen to between two jobs, by who holds the lock of the worker."""

from __future__ import annotations

import time
from typing import Any

from karat.server.guard.spending import Spending
from karat.server.jobs.home import Home
from karat.server.jobs.table import Table
from karat.server.jobs.tail import Tail

LONE = 60.0  # seconds after which what is held for a job that was never entered is given back
MOST_DEATHS = 3  # of workers at one job, without its getting further


def recover(table: Table, home: Home) -> None:
    """Puts a job whose worker was killed back into its place in the queue; gives it up where that happened too often
    without its getting further."""
    for job in table.jobs(("running",)):
        Tail(table, job, home.log(job.id)).take(last=True)
        reached, deaths = table.column(job.id, "reached"), table.column(job.id, "deaths")
        fraction = table.column(job.id, "fraction")
        deaths = 1 if fraction > reached else deaths + 1
        changes: dict[str, Any] = {"deaths": deaths, "reached": max(reached, fraction)}
        if job.cancelling:
            table.move(job.id, ("running",), "cancelled", ended=time.time(), **changes)
        elif deaths >= MOST_DEATHS:
            error = (
                f"the worker was killed {deaths} times at this job without its getting further, by the system or a person; "
                "where memory is short, ask for less. Resume it to try again."
            )
            table.move(job.id, ("running",), "failed", error=error, ended=time.time(), **changes)
        else:
            table.tell(job.id, [("message", {"text": "the worker was killed; the job goes on where it can."})])
            table.move(job.id, ("running",), "queued", **changes)


def settle(table: Table, spending: Spending) -> None:
    """Enters what jobs that are over have cost in place of what was held for them."""
    for name, since in spending.held().items():
        try:
            job = table.get(name)
        except KeyError:
            if time.time() - since > LONE:  # the server was killed before it entered the job
                spending.settle(name, 0, 0.0)
                spending.forget(name)
            continue
        if job.over:
            cost = job.cost or {"items": 0, "money": None}
            spending.settle(name, cost["items"], cost["money"] or 0.0)


def remove(table: Table, home: Home, spending: Spending | None, name: str) -> bool:
    """Whether the job was over: then it is gone, with its events, its log and what was known of its cost."""
    if not table.get(name).over:
        return False
    home.log(name).unlink(missing_ok=True)  # before the job: a log that nobody knows of would stay
    if spending is not None:
        settle(table, spending)
        spending.forget(name)
    return table.remove(name)
