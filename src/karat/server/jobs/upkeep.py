"""What is seen to between two jobs, by who holds the lock of the worker."""

from __future__ import annotations

import time
from typing import Any

from karat.server.jobs.home import Home
from karat.server.jobs.table import Table
from karat.server.jobs.tail import Tail

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
