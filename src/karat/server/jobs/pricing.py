"""What a job will take, before it starts, and what it took."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from karat.errors import KaratError
from karat.options import AssayOptions
from karat.server.jobs.table import Job, Kind, Table
from karat.workflow.devices import choose_device
from karat.worth.ledger import price as priced
from karat.worth.prices import Prices, find

FEW = 64  # records of a make that does not say how many


def price(
    kind: Kind, options: Mapping[str, Any], run: Path | None, root: Path, past: Table | None
) -> dict[str, Any] | None:
    """Minutes and money of a job with these `options`; None where nobody can say yet.

    past: a table with jobs that may have looked at the data, or done the same.

    basis: "budget", the minutes that were asked for; "look", as the newest look at the same data measured for the recipe at the
    size that is usually enough; "past", as the last job of this kind took for the run.   recipe: of a training, None for the
    default of the data's kind.   money: None where prices.toml, in the root or as asked, declares no hour's price.
    """
    if kind != "train":
        done = [] if past is None or run is None else past.jobs(("succeeded",), run, most=20)
        costs = [job.cost for job in done if job.kind == kind and job.cost is not None]
        return None if not costs else {**_told(costs[0]["seconds"] / 60, costs[0]), "basis": "past"}
    if options.get("minutes") is not None:
        return _money(float(options["minutes"]), options, root) | {"recipe": options.get("recipe"), "basis": "budget"}
    if {"steps", "samples"} & set(options) or past is None:
        return None
    for job in past.jobs(("succeeded",), most=1000, results=True):
        if job.kind == "look" and job.options.get("data") == options["source"] and job.result is not None:
            rows = [row for row in job.result["recipes"] if row["fits"] and "minutes" in row]
            found = next((row for row in rows if row["recipe"] == options.get("recipe", row["recipe"])), None)
            if found is not None:
                return _money(found["minutes"], options, root) | {"recipe": found["recipe"], "basis": "look"}
    return None


def _money(minutes: float, options: Mapping[str, Any], root: Path) -> dict[str, Any]:
    prices = find(Path(options["prices"]) if "prices" in options else None, [root])
    cuda = choose_device("auto").type == "cuda"
    hour, many = (prices.gpu_hour, 1) if cuda else (prices.cpu_core_hour, torch.get_num_threads())
    money = None if hour is None else minutes / 60 * hour * many
    return _told(minutes, {"money": money, "currency": prices.currency})


def _told(minutes: float, of: Mapping[str, Any]) -> dict[str, Any]:
    return {"minutes": minutes, "money": of["money"], "currency": of["currency"]}


def foreseen(kind: Kind, found: Mapping[str, Any] | None, run: Path | None, root: Path) -> float | None:
    """The money to hold for a job whose `price` was found; 0 where only its end will tell, None where that will not either."""
    if found is not None:
        return None if found["money"] is None else float(found["money"])
    return None if kind == "train" else priced(0.0, 0.0, 0.0, _prices(run, root))[0]


def drawn(kind: Kind, options: Mapping[str, Any]) -> int:
    """How many records a job makes: those that it keeps, and those that it judges."""
    if kind == "make":
        return int(options.get("n", FEW))
    if kind != "assay" or not ({"run", "made"} & set(options)):
        return 0
    runs = options.get("run", "")
    return int(options.get("n", AssayOptions.n)) * (len(runs) if isinstance(runs, list) else 1)


class Meter:
    """What this process, which does nothing else, takes for a job, and what others took for it before.

    cpu_seconds: of it and its children.   seconds: of the clock.   items: records made.   money: None where prices.toml, of the
    run or in the root, does not say, then and before.
    """

    def __init__(self, job: Job, root: Path) -> None:
        self.job, self.prices = job, _prices(job.run, root)
        self.before = job.cost or {"cpu_seconds": 0.0, "seconds": 0.0, "items": 0, "money": 0.0}
        self._cpu, self._clock = sum(os.times()[:4]), time.monotonic()

    def read(self, items: int = 0) -> dict[str, Any]:
        cpu, seconds = sum(os.times()[:4]) - self._cpu, time.monotonic() - self._clock
        watts = self.prices.watts_per_core
        gpu = seconds if torch.cuda.is_initialized() else 0.0
        money = priced(cpu, gpu, None if watts is None else watts * cpu / 3.6e6, self.prices)[0]
        before = self.before["money"]
        return {
            "cpu_seconds": self.before["cpu_seconds"] + cpu,
            "seconds": self.before["seconds"] + seconds,
            "items": max(self.before["items"], items),
            "money": None if money is None or before is None else before + money,
            "currency": self.prices.currency,
        }


def _prices(run: Path | None, root: Path) -> Prices:
    try:
        return find(None, [root] if run is None else [run, root])
    except KaratError:  # which is said by who reads them to be of use
        return Prices()
