"""What benchmarks/tables.py prints of the rows that it made: figures with their spread, and how many times better ours are."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from typing import Any

FLOOR, CEILING = "fresh real rows", "the training rows themselves"

Row = dict[str, Any]


def place_in_table(key: tuple[str, str]) -> tuple[bool, bool, float]:
    """Karat first, then peers, then the references; defaults before budgets, small before large."""
    who, budget = key
    size = float(budget) if budget.replace(".", "", 1).isdigit() else math.inf if budget == "equal" else 0.0
    return who in (FLOOR, CEILING), not who.startswith("karat "), size


def groups(rows: list[Row], label: str) -> Iterator[tuple[str, str, list[Row]]]:
    """(who, budget, rows of all seeds) of one table: karat first, then peers, then the references."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["table"] == label:
            found.setdefault((row["who"], row["budget"]), []).append(row)
    for who, budget in sorted(found, key=place_in_table):
        yield who, budget, found[who, budget]


Measure = Callable[[Row], float | None]


def scored(name: str) -> Measure:
    return lambda row: row["scores"].get(name)


def own(name: str) -> Measure:
    return lambda row: row.get(name)


def lost(row: Row) -> float | None:
    """What a model loses by being trained on made rows instead of the real ones."""
    made = row["scores"]["tstr"]
    return None if made is None else row["scores"]["trtr"] - made


COLUMNS: tuple[tuple[str, str, Measure], ...] = (
    ("fit CPU s", ",.1f", own("fit")),
    ("whole job CPU s", ",.1f", own("whole")),
    ("rows per CPU s", ",.0f", own("speed")),
    ("peak MB", ",.0f", own("peak")),
    ("two-sample AUC", ".3f", scored("c2st_auc")),
    ("train on made", ".3f", scored("tstr")),
    ("nearest-record share", ".3f", scored("dcr_share")),
    ("shapes", ".3f", scored("shapes")),
    ("pairs", ".3f", scored("pairs")),
    ("coverage", ".3f", scored("coverage")),
    ("copies %", ".2f", lambda row: 100 * row["scores"]["copy_rate"]),
)
# Name, measure, whether larger is better, and the difference that noise makes: below it ours counts as that much.
RATIOS: tuple[tuple[str, Measure, bool, float], ...] = (
    ("fit CPU s", own("fit"), False, 0.0),
    ("whole job CPU s", own("whole"), False, 0.0),
    ("rows per CPU s", own("speed"), True, 0.0),
    ("peak MB", own("peak"), False, 0.0),
    ("AUC over 0.5", lambda row: row["scores"]["c2st_auc"] - 0.5, False, 0.005),
    ("lost by training on made", lost, False, 0.003),
)


def middle(rows: list[Row], measure: Measure) -> float | None:
    values = [value for row in rows if (value := measure(row)) is not None]
    return statistics.median(values) if values else None


def cell(rows: list[Row], form: str, measure: Measure) -> str:
    """Median (smallest to largest)."""
    values = [value for row in rows if (value := measure(row)) is not None]
    if not values:
        return ""
    text = format(statistics.median(values), form)
    return text if len(values) == 1 else f"{text} ({format(min(values), form)} to {format(max(values), form)})"


def figures(rows: list[Row], label: str) -> str:
    """The table of figures in Markdown."""
    lines = [" | ".join(["", "", "budget", "seeds", *(name for name, _, _ in COLUMNS), ""]).strip()]
    lines.append("|" + "---|" * (3 + len(COLUMNS)))
    for who, budget, theirs in groups(rows, label):
        cells = [cell(theirs, form, measure) for _, form, measure in COLUMNS]
        lines.append(f"| {who} | {budget} | {len(theirs)} | {' | '.join(cells)} |")
    some = next((row for row in rows if row["table"] == label and row["who"] == CEILING), None)
    if some is not None:
        lines += ["", f"Trained on real rows: {some['scores']['trtr']:.3f}. Copies among unseen real rows: "]
        lines[-1] += f"{100 * some['scores']['copy_rate_holdout']:.2f} %."
    return "\n".join(lines)


def ratio(ours: float | None, theirs: float | None, larger: bool, grain: float) -> float | None:
    """How many times better ours is; None where either is missing, or theirs too is within the noise."""
    if ours is None or theirs is None or theirs <= grain:
        return None
    ours = max(ours, grain)
    return ours / theirs if larger else theirs / ours


def ratios(rows: list[Row], label: str) -> str:
    """How many times better each karat row is than each peer, and than the best peer of each column, in Markdown."""
    entries = [g for g in groups(rows, label) if g[0] not in (FLOOR, CEILING)]
    peers = [g for g in entries if not g[0].startswith("karat ")]
    lines = ["| | beside | " + " | ".join(name for name, *_ in RATIOS) + " |", "|" + "---|" * (2 + len(RATIOS))]
    for who, budget, ours in entries:
        if not who.startswith("karat ") or not peers:
            continue
        best: list[list[float]] = [[] for _ in RATIOS]
        for peer, allowed, theirs in peers:
            cells = []
            for k, (_, measure, larger, grain) in enumerate(RATIOS):
                found = ratio(middle(ours, measure), middle(theirs, measure), larger, grain)
                cells.append("" if found is None else f"{found:.3g}")
                best[k] += [] if found is None else [found]
            lines.append(f"| {who} ({budget}) | {peer} ({allowed}) | {' | '.join(cells)} |")
        cells = [f"{min(found):.3g}" if found else "" for found in best]
        lines.append(f"| {who} ({budget}) | **best peer of each column** | {' | '.join(cells)} |")
    return "\n".join(lines)
