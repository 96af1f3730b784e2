"""What a training will take, before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from karat.server.jobs.table import Table
from karat.workflow.devices import choose_device
from karat.worth.prices import find


def price(options: Mapping[str, Any], root: Path, looks: Table | None) -> dict[str, Any] | None:
    """Minutes and money of a training with these `options`; None where nobody can say yet.

    looks: a table in which jobs may have looked at the data.

    basis: "budget", the minutes that were asked for, or "look", as the newest look at the same data measured for the recipe
    at the size that is usually enough.   recipe: None for the default of the data's kind.   money: None where prices.toml, in
    the root or as asked, declares no hour's price.
    """
    if options.get("minutes") is not None:
        return _money(float(options["minutes"]), options, root) | {"recipe": options.get("recipe"), "basis": "budget"}
    if {"steps", "samples"} & set(options) or looks is None:
        return None
    for job in looks.jobs(("succeeded",), most=1000, results=True):
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
    return {"minutes": minutes, "money": money, "currency": prices.currency}
