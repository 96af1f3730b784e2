"""Measures how karat's time and memory grow with a table's rows and columns, and draws the plot as SVG by hand."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tables import KNOWN_COLUMNS, apart, run
from tables_known import draw

ROWS = (1_000, 10_000, 100_000, 1_000_000)
WIDTHS = (5, 15, 50, 150, 500)
FIXED_ROWS = 10_000
COLOURS = {"train": "#0b6e4f", "make": "#c8553d"}
WIDE, HIGH, LEFT, TOP = 340, 230, 60, 34  # of one panel, and its margins


def write(path: Path, rows: int, columns: int, seed: int) -> None:
    from pyarrow import csv

    csv.write_csv(draw(rows, columns, "answer", seed), path)


def measure(rows: int, columns: int, recipes: list[str], seed: int, folder: Path) -> dict[str, Any]:
    """One table: CPU seconds and peak MB of `karat train`, and of `karat make` for as many rows."""
    place = folder / f"growth-{rows}-{columns}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    apart(write, place / "table.csv", rows, columns, seed)
    cli, common = [sys.executable, "-m", "karat.cli"], ["--seed", str(seed), "--threads", "1"]
    named = ["--recipe", recipes[0]] if recipes and recipes[0] != "default" else []
    train = run([*cli, "train", str(place / "table.csv"), "--out", str(place / "run"), *common, *named])
    make = run([*cli, "make", str(place / "run"), "-n", str(rows), "--out", str(place / "made.parquet"), *common])
    shutil.rmtree(place)
    used = {verb: {"cpu": spent.cpu, "peak": spent.peak} for verb, spent in (("train", train), ("make", make))}
    return {"growth": [rows, columns], "seed": seed} | used


def grow(picture: Path, recipes: list[str], seed: int, folder: Path, out: Path) -> None:
    """Measures both series, keeping each point in `out` as JSON, prints them in Markdown and writes the picture."""
    kept = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    points = {tuple(point["growth"]): point for point in kept if "growth" in point}
    for rows, columns in [*((n, KNOWN_COLUMNS) for n in ROWS), *((FIXED_ROWS, n) for n in WIDTHS)]:
        if (rows, columns) not in points:
            points[rows, columns] = measure(rows, columns, recipes, seed, folder)
            with out.open("a") as file:
                file.write(json.dumps(points[rows, columns]) + "\n")
    print("| rows | columns | train CPU s | train peak MB | make CPU s | make peak MB |\n|---|---|---|---|---|---|")
    for (rows, columns), point in sorted(points.items()):
        told = [f"{point[verb]['cpu']:,.1f} | {point[verb]['peak']:,.0f}" for verb in ("train", "make")]
        print(f"| {rows:,} | {columns} | {told[0]} | {told[1]} |")
    picture.write_text(plot(points))


Points = dict[tuple[int, ...], dict[str, Any]]


def plot(points: Points) -> str:
    """Four log-log panels: seconds and memory, over rows and over columns. A self-contained SVG."""
    over_rows = [(r, points[r, c]) for r, c in sorted(points) if c == KNOWN_COLUMNS]
    over_columns = [(c, points[r, c]) for r, c in sorted(points) if r == FIXED_ROWS]
    panels = [
        ("CPU seconds", f"rows ({KNOWN_COLUMNS} columns)", over_rows, "cpu"),
        ("CPU seconds", f"columns ({FIXED_ROWS:,} rows)", over_columns, "cpu"),
        ("peak MB", f"rows ({KNOWN_COLUMNS} columns)", over_rows, "peak"),
        ("peak MB", f"columns ({FIXED_ROWS:,} rows)", over_columns, "peak"),
    ]
    width, height = 2 * (WIDE + LEFT) + 40, 2 * (HIGH + TOP + 46)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for k, (up, along, series, key) in enumerate(panels):
        x, y = LEFT + (k % 2) * (WIDE + LEFT + 10), TOP + (k // 2) * (HIGH + TOP + 40)
        parts.append(f'<g transform="translate({x} {y})">{panel(up, along, series, key)}</g>')
    return "\n".join([*parts, "</svg>\n"])


def panel(up: str, along: str, series: list[tuple[int, dict[str, Any]]], key: str) -> str:
    """One panel with both verbs' lines, axes at powers of ten, and each point's value."""
    xs = [x for x, _ in series]
    values = [point[verb][key] for _, point in series for verb in COLOURS]
    across, upward = scale(min(xs), max(xs), WIDE), scale(min(values), max(values), HIGH)
    parts = [f'<rect width="{WIDE}" height="{HIGH}" fill="none" stroke="#999"/>']
    parts.append(f'<text x="{WIDE / 2}" y="{HIGH + 34}" text-anchor="middle">{along}</text>')
    parts.append(f'<text x="0" y="-12" font-weight="bold">{up}</text>')
    for x in xs:
        parts.append(f'<text x="{across(x):.1f}" y="{HIGH + 16}" text-anchor="middle" fill="#555">{x:,}</text>')
    for power in range(-3, 7):
        at = HIGH - upward(10**power)
        if -1 <= at <= HIGH + 1:
            parts.append(f'<path d="M0 {at:.1f}H{WIDE}" stroke="#ddd"/>')
            parts.append(f'<text x="-6" y="{at + 4:.1f}" text-anchor="end" fill="#555">{10.0**power:,g}</text>')
    for k, (verb, colour) in enumerate(COLOURS.items()):
        spots = [(across(x), HIGH - upward(point[verb][key]), point[verb][key]) for x, point in series]
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b, _ in spots)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for a, b, value in spots:
            parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>')
            shown = f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
            below = 16 if verb == "make" else -8
            parts.append(f'<text x="{a:.1f}" y="{b + below:.1f}" text-anchor="middle" fill="{colour}">{shown}</text>')
        parts.append(f'<text x="{WIDE - 152 + 82 * k}" y="-12" fill="{colour}">karat {verb}</text>')
    return "".join(parts)


def scale(low: float, high: float, length: int) -> Callable[[float], float]:
    """Maps [low, high] onto [0, length] by logarithms, with a margin on both sides."""
    first, last = math.log10(low), math.log10(high)
    room = 0.12 * (last - first) if last > first else 1.0
    return lambda value: (math.log10(value) - first + room) / (last - first + 2 * room) * length
