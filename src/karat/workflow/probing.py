"""What each recipe would take on this machine, measured by a short probe of the real loop on the real data."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from karat import recipe as recipes
from karat import synthesizer
from karat.data import Data, batches, load, survey
from karat.data.split import FEWEST
from karat.errors import FitError, TooLarge
from karat.families.generator import Learned
from karat.options import LookOptions
from karat.synthesizer import Synthesizer
from karat.synthesizer.building import meet
from karat.synthesizer.single import FITTED_MOST, Single
from karat.training import loop as training
from karat.training import pace
from karat.workflow import devices, learning
from karat.worth.prices import Prices, find

PROBE_SECONDS = 1.5
LEAST_GROWTH = 0.25  # of the mean time of a record, that one more takes at least
MOST_COLUMNS = 60  # shown


def surveyed(options: LookOptions) -> tuple[Data, dict[str, Any]]:
    """The data that `options` name, and what is in them; a schema that is kept is inferred from all rows."""
    settings = learning.data_options(options.set) | ({} if options.size is None else {"size": options.size})
    holdout = settings.pop("holdout", 0.1)
    settings |= {k: v for k, v in (("schema", options.schema), ("labels", options.labels)) if v is not None}
    settings |= {} if options.discover else {"discover": False}
    found = load(options.data, options=settings, holdout=holdout, glance=options.write_schema is None, fewest=1)
    return found, survey(found)


def suited(data: Data, options: LookOptions) -> list[dict[str, Any]]:
    """`estimates` of the recipes for these data; none where there are too few records to learn from."""
    if len(data.train) + len(data.holdout) < FEWEST:
        return []
    return estimates(data, find(options.prices, [Path.cwd()]), measure=options.probe)


def estimates(data: Data, prices: Prices, *, measure: bool | None) -> list[dict[str, Any]]:
    """For each recipe that can meet this content: whether it fits, and if measured, minutes, memory in MB and money.

    measure: each recipe, none, or with None the default one, the first that fits.

    minutes: to the recipe's `enough` samples, or of a whole fit. memory counts weights, optimiser, averages, the encoded
    data, and what one turn keeps for its gradient. The default recipe comes first.
    """
    device = devices.choose_device("auto")
    out: list[dict[str, Any]] = []
    left = 1 if measure is None else len(recipes.names()) if measure else 0
    first = recipes.first(type(data.codec.spaces[0]))
    for name in (first, *(n for n in recipes.names() if n != first)):
        chosen = recipes.load(name, spaces=data.codec.spaces)
        row: dict[str, Any] = {
            "recipe": name,
            "title": chosen.title,
            "about": " ".join(chosen.about.split()),
            "fits": True,
            "why": "",
        }
        if chosen.suits and type(data.codec.spaces[0]).__name__ not in chosen.suits:
            continue
        try:
            meet(chosen, data.codec)
        except FitError:  # a recipe for another kind of content
            continue
        try:
            synth = synthesizer.new(data.codec, chosen, data.classes, 0)
        except TooLarge as error:
            out.append({**row, "fits": False, "why": str(error)})
            continue
        except FitError as error:
            if "labels" in chosen.needs and not data.classes:
                out.append({**row, "fits": False, "why": str(error)})
            continue
        model = synth.gradient
        if recipes.among(name):  # it takes as long as all that it tries
            out += [row] if isinstance(synth, Single) else []
            continue
        if left > 0 and model is not None:
            try:
                row |= _measure(data, chosen, model.to(device), device, prices)
            except TooLarge as error:
                row |= {"fits": False, "why": str(error)}
        elif left > 0:
            row |= _measure_fit(data, synth, prices)
        left -= row["fits"]
        out.append(row)
    return out


def _measure_fit(data: Data, synth: Synthesizer, prices: Prices) -> dict[str, Any]:
    """Fits to a few records, and from there in proportion, or by how much longer the second took than the first."""
    taken: dict[int, float] = {}
    for n in synth.tried(len(data.train)):
        few = replace(data, train=data.rows("train", n))
        began = time.perf_counter()
        for _ in synth.fit(few, 0, None):
            pass
        taken[len(few.train)] = time.perf_counter() - began
    (first, _), (most, seconds) = min(taken.items()), max(taken.items())
    each = seconds / most
    if most > first:
        each = max((seconds - taken[first]) / (most - first), each * LEAST_GROWTH)
    minutes = (seconds + each * (min(FITTED_MOST, len(data.train)) - most)) / 60
    weights = sum(w.numel() * w.element_size() for w in synth.weights().values())
    rows = data.codec.row_count(data.contents.records)
    memory = (5 * weights + 96 * rows * synth.width) / 2**20 + 300
    hour = prices.cpu_core_hour
    return {
        "samples_per_second": rows / max(60 * minutes, 1e-9),
        "minutes": minutes,
        "memory_mb": memory,
        "money": None if hour is None else minutes / 60 * hour,
        "currency": prices.currency,
    }


def _measure(
    data: Data, chosen: recipes.Recipe, model: Learned, device: torch.device, prices: Prices
) -> dict[str, Any]:
    """What the training of `model` would take, from rounds of as many points as memory and a second or two allow."""
    plan = training.Plan(steps=10**9, batch=chosen.train.batch)
    batch, state, players = batches(data, plan.batch, 0, device, model.space), training.State(), model.players()
    active = [name for name in model.turns() if players[name].start <= 0]
    for name in dict.fromkeys(active):
        training.prepare(model, batch, plan, state, name)
    order = pace.candidates(device, model)[:1]
    found = pace.probe(model, batch, plan, plan.within(PROBE_SECONDS), order)
    samples = plan.batch * active.count(active[0]) / found.round(plan.batch)
    activations = found.memory * plan.batch
    weights = sum(p.numel() * 4 for p in model.parameters())
    points = min(2**30, len(data.train) * model.space.numel * 4)
    minutes = min(chosen.train.enough, 300 * len(data.train)) / samples / 60
    hour = prices.gpu_hour if device.type == "cuda" else prices.cpu_core_hour
    threads = 1 if device.type == "cuda" else torch.get_num_threads()
    return {
        "samples_per_second": samples,
        "minutes": minutes,
        "memory_mb": (5 * weights + activations + points) / 2**20 + 300,
        "money": None if hour is None else minutes / 60 * hour * threads,
        "currency": prices.currency,
    }


def show(info: dict[str, Any], console: Console) -> None:
    """The survey, for a person."""
    console.print(f"{info['path']}: {info['count']:,} {info['what']}", soft_wrap=True)
    console.print(f"split: {info['train']:,} to learn from, {info['holdout']:,} set aside ({info['split']})")
    if info["classes"]:
        shares = list(info["classes"].items())
        listed = ", ".join(f"{name} {count:,}" for name, count in shares[:12])
        more = f" and {len(shares) - 12} more" if len(shares) > 12 else ""
        uneven = f"; the largest is {info['imbalance']:.3g} times the smallest" if info["imbalance"] > 1.05 else ""
        console.print(f"classes: {len(shares)}: {listed}{more}{uneven}")
    elif info["near_duplicates"] is not None:
        console.print("classes: none (one folder per class gives them, or --labels where names of files say them)")
    for sentence in info.get("sentences", ()):
        console.print(sentence, soft_wrap=True)
    if info.get("columns"):
        _show_columns(info["columns"], console)
    for title, always in (("between columns holds", True), ("between columns holds nearly always", False)):
        lines = [found["words"] for found in info.get("between", ()) if found["always"] == always]
        if lines:
            console.print(
                "\n".join((f"{title}:", *(f"  {line}" for line in lines))),
                soft_wrap=True,
                highlight=False,
                markup=False,
            )
    if info["near_duplicates"] is not None:
        _show_duplicates(info, console)
    for key in ("formats", "modes", "sizes"):
        if info.get(key):
            console.print(f"{key}: " + ", ".join(f"{k} {v:,}" for k, v in list(info[key].items())[:8]))
    for name, why in info["skipped"]:
        console.print(f"unreadable, skipped: {name}: {why}")
    for warning in info["warnings"]:
        console.print(f"note: {warning}", soft_wrap=True)


def show_recipes(info: dict[str, Any], console: Console) -> None:
    """The estimates, for a person."""
    measured = any("minutes" in r for r in info["recipes"])
    priced = any(r.get("money") is not None for r in info["recipes"])
    title = "recipes that fit" + (", measured on this machine" if measured else "")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    figures = ("minutes", "memory", *(("money",) if priced else ()), "samples/s") if measured else ()
    table.add_column("recipe", no_wrap=True)
    for column in figures:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("what it is")
    for row in info["recipes"]:
        about = row["title"] if row["fits"] else f"does not fit: {row['why']}"
        cells = [""] * len(figures)
        if "minutes" in row and row["fits"]:
            money = "unknown" if row["money"] is None else f"{row['money']:.3g} {row['currency'] or ''}"
            minutes = "under 0.1" if row["minutes"] < 0.05 else f"{row['minutes']:.1f}"
            cells = [minutes, f"{row['memory_mb']:,.0f} MB", *((money,) if priced else ())]
            cells.append(f"{row['samples_per_second']:,.0f}")
        table.add_row(row["recipe"], *cells, about)
    console.print(table)
    if measured and any(row["fits"] and "minutes" not in row for row in info["recipes"]):
        console.print("measured is the recipe that is used unless another is asked for; --probe measures each")
    if measured and not priced:
        console.print("what they cost is not shown: no prices.toml declares the price of an hour (--prices)")


def _show_columns(columns: Sequence[Mapping[str, Any]], console: Console) -> None:
    table = Table(title="columns, as inferred", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("column", "kind", "missing", "distinct", "holds"):
        table.add_column(name, justify="right" if name in ("missing", "distinct") else "left", overflow="fold")
    for row in columns[:MOST_COLUMNS]:
        gone = f"{row['missing']:.1%}" if row["missing"] else ""
        holds = "; ".join([str(row["holds"]), *row["notes"]])
        table.add_row(row["name"], row["kind"], gone, f"{row['distinct']:,}", holds)
    console.print(table)
    if len(columns) > MOST_COLUMNS:
        console.print(f"and {len(columns) - MOST_COLUMNS} more columns (all of them with --write-schema FILE)")


def _show_duplicates(info: Mapping[str, Any], console: Console) -> None:
    near = info["near_duplicates"]
    console.print(
        f"duplicates: {info['exact_duplicates']:,} exact (dropped); {near['records']:,} of {near['examined']:,} compared "
        "have a near duplicate"
    )
    for a, b in near["examples"][:3]:
        console.print(f"  {a} ~ {b}")
