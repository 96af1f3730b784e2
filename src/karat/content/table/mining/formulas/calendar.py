"""Dates that lie whole months after another: a contract of twelve months from the 14th of March ends on the 14th of March."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np

from karat.content.table.mining import evidence
from karat.content.table.mining.columns import Number
from karat.content.table.mining.formulas.worked import Formulas, judged
from karat.content.table.mining.relation import plain, quoted
from karat.content.table.rules.expressions import DAY, months_after

PROBES = 60  # rows that are looked at first
MONTHS = 1200  # at most
EVE = 1  # days before, where the last day is one of the term


def terms(numbers: Sequence[Number], known: Formulas, without: set[str]) -> None:
    """Adds to `known` the dates that lie as many months after another as a column says, or always as many, or a day less."""
    dates = [n for n in numbers if n.day and n.unit == "moment"]
    counts = [n for n in numbers if n.unit == "number" and n.decimals == 0 and n.name not in without]
    counts = [n for n in counts if np.nanmin(n.values) >= 0 and np.nanmax(n.values) <= MONTHS]
    tests = log(max(2, 2 * len(dates) ** 2 * (len(counts) + MONTHS)))
    for end in dates:
        for start in dates:
            if end.name in known.lefts or start.name in without or end.name == start.name:
                continue
            if end.name in known.ancestors(start.name):
                continue
            both = np.flatnonzero(~(np.isnan(start.values) | np.isnan(end.values)))
            if len(both) < evidence.FEWEST:
                continue
            some = both[np.linspace(0, len(both) - 1, min(PROBES, len(both))).astype(np.int64)]
            for less in (0, EVE):
                whole = _apart(start.values / DAY, end.values / DAY + less)
                many, often = np.unique(whole[some][~np.isnan(whole[some])], return_counts=True)
                tried: list[tuple[str, np.ndarray, tuple[str, ...]]] = []
                tried += [(quoted(n.name), n.values, (n.name,)) for n in counts if _holds(n.values[some], whole[some])]
                if len(many) and many[often.argmax()] > 0 and often.max() >= (1 - evidence.WORKED) * len(some):
                    one = float(many[often.argmax()])
                    tried.append((plain(one), np.full(len(start.values), one), ()))
                for text, value, names in tried:
                    right = f"add_months({quoted(start.name)}, {text})" + (f" - {less}" if less else "")
                    value = (months_after(start.values / DAY, value) - less) * DAY
                    found = judged("sum", end, right, [start.name, *names], value, 0.0, tests)
                    if found is not None and known.add(found):
                        break


def _apart(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """float64 [n]: how many months after the days `start` [n] the days `end` [n] are; NaN where these are no whole ones."""
    known = ~(np.isnan(start) | np.isnan(end))
    days = [np.where(known, x, 0).astype(np.int64).astype("datetime64[D]") for x in (start, end)]
    months = [x.astype("datetime64[M]").astype(np.int64) for x in days]
    many = np.where(known, months[1] - months[0], 0).astype(np.float64)
    return np.where(known & (months_after(start, many) == end), many, np.nan)


def _holds(values: np.ndarray, whole: np.ndarray) -> bool:
    """Whether the months [n] that lie between dates are those of a column, in most rows."""
    return bool((values == whole).mean() >= 1 - evidence.WORKED)
