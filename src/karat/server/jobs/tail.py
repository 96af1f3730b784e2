"""What is new in a job's log and in the folder of its run, as events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from karat.errors import KaratError
from karat.run import Run
from karat.server.jobs.table import Job, Table

LINE, CHUNK = 2000, 1 << 18  # characters of a message, bytes of the log read at once
Told = list[tuple[str, dict[str, Any]]]


class Tail:
    """Reads on from where the table says that it was read, so that whoever comes after a kill tells what was not told yet.

    The numbers of the curve and the pictures stay in the run: an event says that they are there, and which.
    """

    def __init__(self, table: Table, job: Job, log: Path) -> None:
        self.table, self.job, self.log = table, job, log
        self.at: int = table.column(job.id, "logged")
        self.steps: list[int] = []  # of the curve as it was told
        self.samples: dict[str, int] = {}
        for event in _all(table, job.id):
            if event.kind == "point":
                self.steps = [*(s for s in self.steps if s < event.data["step"]), event.data["step"]]
            elif event.kind == "sample":
                self.samples[event.data["name"]] = event.data["bytes"]

    def take(self, last: bool = False, **more: Any) -> None:
        """Tells what is new, and changes columns with it.   last: the job is over, so that a line without an end is one too."""
        messages, at = self._messages(last)
        points, samples, steps, fraction = self._of_run()
        changes: dict[str, Any] = {"logged": at, **more}
        if steps != self.steps and self.job.kind == "train":
            changes["fraction"] = fraction
        if last or messages or points or samples:
            self.table.tell(self.job.id, [*messages, *points, *samples], **changes)
        self.at, self.steps = at, steps  # only now: what could not be written is told the next time
        self.samples |= {data["name"]: data["bytes"] for _, data in samples}

    def _messages(self, last: bool) -> tuple[Told, int]:
        try:
            with self.log.open("rb") as file:
                file.seek(self.at)
                blob = file.read(CHUNK)
        except FileNotFoundError:
            return [], self.at
        whole = blob if last or len(blob) == CHUNK else blob[: blob.rfind(b"\n") + 1]
        lines = [line.rstrip()[:LINE] for line in whole.decode("utf-8", "replace").splitlines()]
        return [("message", {"text": line}) for line in lines if line], self.at + len(whole)

    def _of_run(self) -> tuple[Told, Told, list[int], float]:
        """The rows of the history that were not told, the pictures likewise, the steps of all rows, and the last fraction.

        A run that was killed goes back to its last save: what it then writes anew is told anew.
        """
        run = self.job.run
        if run is None or self.job.kind != "train":
            return [], [], self.steps, 0.0
        found, same = rows(run), 0
        steps = list(found)
        while same < min(len(steps), len(self.steps)) and steps[same] == self.steps[same]:
            same += 1
        points = [("point", {"step": step, "fraction": found[step]["fraction"]}) for step in steps[same:]]
        folder, samples = run / "samples", Told()
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.name[0].isdigit() and self.samples.get(path.name) != (size := path.stat().st_size):
                samples.append(("sample", {"name": path.name, "bytes": size}))
        return points, samples, steps, found[steps[-1]]["fraction"] if steps else 0.0


def _all(table: Table, name: str) -> list[Any]:
    out, last = [], 0
    while events := table.events(name, last):
        out += events
        last = events[-1].number
    return out


def rows(run: Path) -> Mapping[int, Mapping[str, float]]:
    """The rows of a run's history by their steps; none where there is no run yet."""
    try:
        return {int(row["step"]): row for row in Run(run, {}).lines("history.jsonl") if "step" in row}
    except (KaratError, OSError):
        return {}
