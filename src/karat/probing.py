"""What each recipe would take on this machine, measured by a short probe of the real loop on the real data."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from karat import recipe as recipes
from karat import runner, training
from karat.data import Data, batches
from karat.errors import FitError
from karat.worth.prices import Prices

PROBE_SECONDS = 1.5


def estimates(data: Data, names: Sequence[str], prices: Prices, *, measure: bool) -> list[dict[str, Any]]:
    """For each recipe: whether it fits, and if measured, minutes to its `enough` samples, memory in MB and money.

    memory counts weights, optimiser, averages, the encoded data, and what one turn keeps for its gradient.
    """
    device = runner.choose_device("auto")
    out: list[dict[str, Any]] = []
    for name in names:
        chosen = recipes.load(name)
        row: dict[str, Any] = {
            "recipe": name,
            "title": chosen.title,
            "about": " ".join(chosen.about.split()),
            "fits": True,
            "why": "",
        }
        try:
            model = runner.build(chosen, data.space, len(data.classes), 0).to(device)
        except FitError as error:
            out.append({**row, "fits": False, "why": str(error)})
            continue
        if measure:
            row |= _measure(data, chosen, model, device, prices)
        out.append(row)
    return out


def _measure(data: Data, chosen: recipes.Recipe, model: Any, device: torch.device, prices: Prices) -> dict[str, Any]:
    batch = batches(data, chosen.train.batch, 0, device)
    plan = training.Plan(steps=10**9, batch=chosen.train.batch, precision="fp32")
    state, kept = training.State(), [0]

    def keep(t: torch.Tensor) -> torch.Tensor:
        kept[0] += t.numel() * t.element_size()
        return t

    began = time.perf_counter()
    times: list[float] = []
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        loop = training.train(model, batch, plan, state)
        next(loop)
    activations = kept[0]
    while time.perf_counter() - began < PROBE_SECONDS or len(times) < 3:
        start = time.perf_counter()
        next(loop)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    per_round = sorted(times)[len(times) // 2]
    samples = chosen.train.batch * state.drawn / state.step / per_round
    weights = sum(p.numel() * 4 for p in model.parameters())
    points = min(2**30, len(data.train) * data.space.numel * 4)
    minutes = min(chosen.train.enough, 300 * len(data.train)) / samples / 60
    hour = prices.gpu_hour if device.type == "cuda" else prices.cpu_core_hour
    threads = 1 if device.type == "cuda" else torch.get_num_threads()
    return {
        "samples_per_second": samples, "minutes": minutes, "memory_mb": (5 * weights + activations + points) / 2**20 + 300,
        "money": None if hour is None else minutes / 60 * hour * threads, "currency": prices.currency,
    }  # fmt: skip


def show(told: dict[str, Any], console: Console) -> None:
    """The survey and the estimates, for a person."""
    size = "x".join(map(str, told["size"]))
    console.print(
        f"{told['path']}: {told['count']:,} {told['kind']}s, {size}, {told['channels']} channel(s), {told['bits']} bit"
    )
    console.print(f"split: {told['train']:,} to learn from, {told['holdout']:,} set aside ({told['split']})")
    if told["classes"]:
        shares = list(told["classes"].items())
        listed = ", ".join(f"{name} {count:,}" for name, count in shares[:12])
        more = f" and {len(shares) - 12} more" if len(shares) > 12 else ""
        console.print(f"classes: {len(shares)}: {listed}{more}; imbalance {told['imbalance']:.3g}", highlight=False)
    else:
        console.print("classes: none (put pictures into one folder per class to have them)")
    near = told["near_duplicates"]
    console.print(
        f"duplicates: {told['exact_duplicates']:,} exact (dropped); {near['records']:,} of {near['examined']:,} compared "
        "have a near duplicate"
    )
    for a, b in near["examples"][:3]:
        console.print(f"  {a} ~ {b}", highlight=False)
    for key in ("formats", "modes", "sizes"):
        if told.get(key):
            console.print(f"{key}: " + ", ".join(f"{k} {v:,}" for k, v in list(told[key].items())[:8]), highlight=False)
    for name, why in told["skipped"]:
        console.print(f"unreadable, skipped: {name}: {why}", highlight=False)
    for warning in told["warnings"]:
        console.print(f"note: {warning}", highlight=False)
    table = Table(title="recipes that fit, measured on this machine", title_justify="left", box=box.SIMPLE_HEAD)
    measured = any("minutes" in r for r in told["recipes"])
    for column in ("recipe", *(("minutes", "memory", "money", "samples/s") if measured else ()), "what it is"):
        table.add_column(column, justify="right" if column in ("minutes", "memory", "samples/s") else "left")
    for row in told["recipes"]:
        about = row["title"] if row["fits"] else f"does not fit: {row['why']}"
        cells: list[str] = []
        if measured and row["fits"]:
            money = "declare prices" if row["money"] is None else f"{row['money']:.3g} {row['currency'] or ''}"
            cells = [f"{row['minutes']:.1f}", f"{row['memory_mb']:,.0f} MB", money, f"{row['samples_per_second']:,.0f}"]
        elif measured:
            cells = ["", "", "", ""]
        table.add_row(row["recipe"], *cells, about)
    console.print(table)
