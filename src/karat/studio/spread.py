"""Sliders over the columns of a table, and how the other columns spread under what they hold."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup, escape

from karat.content.askable import Askable
from karat.content.showing import Row

BINS, VALUES = 16, 6  # of a number, of a category
WIDE, HIGH, LINE = 240, 74, 18
PART = 0.05  # of the range of a column, that a slider holds round its place
CHARTS = 12  # columns that are drawn
STEPS = 100  # of a slider
NUMBER = ("integer", "decimal")


@dataclass(frozen=True)
class Slider:
    """The control of one column.   own: its name in the address.   place: of a slider, 0 to STEPS.   held: whether it counts."""

    column: Askable
    own: str
    value: str = ""
    place: int = STEPS // 2
    held: bool = False


def bounded(column: Askable, rows: Sequence[Row]) -> Askable:
    """The column with the ends that it has among `rows`, where it is one that follows from others."""
    if column.values or column.low:
        return column
    cells = [cell for row in rows for name, cell in row.cells if name == column.column and cell]
    try:
        found = sorted(cells, key=float if column.kind in NUMBER else _moment)
    except ValueError:  # printed in a form of its own
        return column
    return replace(column, low=found[0], high=found[-1]) if found else column


def slider(column: Askable, asked: Mapping[str, str], i: int) -> Slider:
    own = f"c{i}"
    if column.values:
        value = asked.get(own, "")
        return Slider(column, own, value if value in column.values else "", held=value in column.values)
    text = asked.get(own, "")
    place = int(text) if text.isdecimal() and len(text) < 4 and int(text) <= STEPS else STEPS // 2
    return Slider(column, own, "", place, bool(column.low) and asked.get(f"{own}.on") == "on")


def conditions(columns: Sequence[Askable], asked: Mapping[str, str]) -> dict[str, str]:
    """What the sliders hold, as the fields of the form of `make`."""
    out = {}
    for i, each in enumerate(columns):
        found = slider(each, asked, i)
        if found.held and each.values:
            out[f"given.{i}"] = found.value
        elif found.held:
            out[f"given.{i}.low"], out[f"given.{i}.high"] = _range(each, found.place)
    return out


def _range(column: Askable, place: int) -> tuple[str, str]:
    """Both ends of the part of the column's range round the place."""
    at = place / STEPS
    ends = max(0.0, at - PART / 2), min(1.0, at + PART / 2)
    if column.kind in NUMBER:
        low, high = float(column.low), float(column.high)
        values = [low + (high - low) * end for end in ends]
        if column.kind == "integer":
            return str(int(np.floor(values[0]))), str(int(np.ceil(values[1])))
        places = max(len(text.partition(".")[2]) for text in (column.low, column.high))
        return f"{values[0]:.{min(places, 6)}f}", f"{values[1]:.{min(places, 6)}f}"
    first, last = _moment(column.low), _moment(column.high)
    found = [first + (last - first) * end for end in ends]
    if column.kind == "date":
        return found[0].date().isoformat(), found[1].date().isoformat()
    if column.kind == "time":
        return found[0].time().isoformat("seconds"), found[1].time().isoformat("seconds")
    return found[0].isoformat(" ", "seconds"), found[1].isoformat(" ", "seconds")


def _moment(text: str) -> datetime.datetime:
    """The moment that a date, a time or both stand for, of any one day."""
    whole = text if "-" in text else f"2000-01-01 {text}"
    return datetime.datetime.fromisoformat(whole).replace(tzinfo=None)


# Charts -----------------------------------------------------------------------------------------------------------------


def charts(base: Sequence[Row], made: Sequence[Row], names: Collection[str]) -> list[tuple[str, Markup]]:
    """How these columns spread among the rows: bars of what was made, before a ground of what is made without conditions."""
    out = []
    for k, (name, _) in enumerate(base[0].cells if base else ()):
        every, some = ([row.cells[k][1] for row in rows] for rows in (base, made))
        if name not in names or len(set(every)) < 2:
            continue
        numbers = _numbers(every)
        if numbers is not None and len(set(every)) > VALUES:
            out.append((name, _histogram(numbers, _numbers(some) if some else None)))
        else:
            out.append((name, _shares(every, some)))
    return out[:CHARTS]


def _numbers(cells: Sequence[str | None]) -> np.ndarray | None:
    try:
        return np.array([float(cell) for cell in cells if cell not in (None, "")])
    except ValueError:
        return None


def _histogram(every: np.ndarray, some: np.ndarray | None) -> Markup:
    edges = _edges(every)
    ground = np.histogram(every, edges)[0] / max(1, len(every))
    front = None if some is None else np.histogram(np.clip(some, edges[0], edges[-1]), edges)[0] / max(1, len(some))
    most = max(ground.max(), 0 if front is None else front.max()) or 1
    step = WIDE / (len(edges) - 1)
    bars = [_bar(i * step, HIGH * x / most, step, "ground") for i, x in enumerate(ground)]
    bars += [] if front is None else [_bar(i * step + 2, HIGH * x / most, step - 4, "c1") for i, x in enumerate(front)]
    low, high = (f"{end:.4g}" for end in (every.min(), every.max()))
    ticks = f'<text class="tick" x="0" y="{HIGH + 13}">{low}</text>'
    ticks += f'<text class="tick" x="{WIDE}" y="{HIGH + 13}" text-anchor="end">{high}</text>'
    told = f"{(every if some is None else some).mean():.4g} ({every.mean():.4g})"
    return _svg(HIGH + 16, "".join(bars) + ticks, told)


def _edges(numbers: np.ndarray) -> np.ndarray:
    """Of at most BINS bars of the same width; each holds as many whole numbers as the others, or some would look empty."""
    low, high = numbers.min(), numbers.max()
    if (numbers != np.rint(numbers)).any():
        return np.asarray(np.histogram_bin_edges(numbers, BINS))
    wide = -(-(high - low + 1) // BINS)
    return np.asarray(np.arange(low, high + wide + 1, wide) - 0.5)


def _svg(high: int, inside: str, told: str) -> Markup:
    """told: the same in few words, for who cannot see it."""
    head = f'<svg class="chart" viewBox="0 0 {WIDE} {high}" role="img" aria-label="{escape(told)}">'
    return Markup(f"{head}{inside}</svg>")


def _bar(x: float, high: float, wide: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{HIGH - high:.1f}" width="{wide:.1f}" height="{high:.1f}"/>'


def _shares(every: Sequence[str | None], some: Sequence[str | None]) -> Markup:
    """Shares of the commonest values, as lines with their number."""
    counted, now = Counter(every), Counter(some)
    lines, told = [], []
    for i, (value, n) in enumerate(counted.most_common(VALUES)):
        usual, found = n / len(every), now[value] / len(some) if some else None
        y, shown = i * LINE, usual if found is None else found
        text = "–" if value is None else str(value)[:24]
        told.append(f"{text} {shown:.0%} ({usual:.0%})")
        lines.append(f'<rect class="ground" x="100" y="{y + 3}" width="{100 * usual:.1f}" height="{LINE - 6}"/>')
        if found is not None:
            lines.append(f'<rect class="c1" x="100" y="{y + 5}" width="{100 * found:.1f}" height="{LINE - 10}"/>')
        lines.append(f'<text x="0" y="{y + 13}">{escape(text)}</text>')
        lines.append(f'<text class="tick" x="{WIDE}" y="{y + 13}" text-anchor="end">{shown:.0%}</text>')
    return _svg(LINE * min(VALUES, len(counted)), "".join(lines), ", ".join(told))
