"""An A/B result as a finding: made items beside today's, per time that they were shown, with its interval.

The file has a header and a row for each arm, or one for each arm and day: arm, shown, and one or more of clicks,
conversions, sales. The made arm is called `made`; there is one other. Money counts where it is there (sales), else what
comes nearest to it.

The interval of two rates' difference is Newcombe's (https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I),
method 10. That of sales follows from the days, as a ratio of sums, where each arm has `DAYS` of them; else sales are
taken as a compound Poisson process whose baskets vary as much as their mean.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

from karat.assays.chance import wilson
from karat.assays.details.records import Arm, Trial
from karat.assays.finding import Finding, Limit
from karat.errors import FitError
from karat.words import said

MEASURES = ("sales", "conversions", "clicks")  # the nearest to money first
DAYS = 8  # rows of an arm before they say how much it varies
MADE = "made"
MOST = 1e15  # of any count: whole numbers up to there are exact


def read_trial(path: Path) -> Finding:
    """The finding of the A/B result in a CSV; FitError that says what is missing."""
    arms = _rows(path)
    others = [name for name in arms if name != MADE]
    if MADE not in arms or len(others) != 1:
        raise FitError(
            f"{path} has the arms {', '.join(list(arms)[:9]) or 'none'}; two are wanted, one of them called {MADE!r}."
        )
    rows = [row for arm in arms.values() for row in arm]
    measure = next((m for m in MEASURES if all(m in row for row in rows)), None)
    if measure is None:
        raise FitError(f"{path} counts nothing that both arms have; one column of {', '.join(MEASURES)} is wanted.")
    made, today = (_arm(path, name, arms[name], measure) for name in (MADE, others[0]))
    value = made.rate - today.rate
    low = value - math.hypot(made.rate - made.low, today.high - today.rate)
    high = value + math.hypot(made.high - made.rate, today.rate - today.low)
    summary = said(
        "Shown {shown:,} times, what was made brought {counted:,.6g} {measure} ({rate:.4g} each time); "
        "{name}, shown {shown_today:,} times, {counted_today:,.6g} ({rate_today:.4g}).",
        shown=made.shown,
        counted=made.counted,
        measure=measure,
        rate=made.rate,
        name=today.name,
        shown_today=today.shown,
        counted_today=today.counted,
        rate_today=today.rate,
    )
    return Finding(
        key="trial",
        value=value,
        low=low,
        high=high,
        real=0.0,
        raised=high < 0,
        summary=summary,
        detail=Trial(measure=measure, made=made, today=today),
        limit=Limit(below=0.0, only=said("with its whole interval")),
        of=f"more {measure}",
        beside="no difference",
    )


def _rows(path: Path) -> dict[str, list[dict[str, float]]]:
    """The rows of each arm, their columns by name."""
    arms: dict[str, list[dict[str, float]]] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            if lacking := {"arm", "shown"} - set(table.fieldnames or ()):
                raise FitError(
                    f"{path} has no column {min(lacking)}; arm, shown and counts are wanted, between commas."
                )
            for number, row in enumerate(table, 2):
                arm = (row.get("arm") or "").strip()
                given = {k: row[k] for k in ("shown", *MEASURES) if (row.get(k) or "").strip()}
                if not arm or "shown" not in given:
                    raise FitError(f"{path}, line {number}: an arm and how often it was `shown` are wanted.")
                values = {k: float(v) for k, v in given.items()}
                whole = all(v.is_integer() for k, v in values.items() if k != "sales")
                if not all(0 <= v <= MOST for v in values.values()) or not whole or values["shown"] == 0:
                    raise FitError(f"{path}, line {number}: whole counts are wanted, and `shown` above 0.")
                arms.setdefault(arm, []).append(values)
    except FitError:
        raise
    except OSError as error:
        raise FitError(f"{path} cannot be read ({error.strerror}); name the CSV of the A/B result.") from error
    except (ValueError, csv.Error) as error:
        raise FitError(f"{path} is no CSV of an A/B result: {error}") from error
    return arms


def _arm(path: Path, name: str, rows: list[dict[str, float]], measure: str) -> Arm:
    shown, counted = (sum(row[key] for row in rows) for key in ("shown", measure))
    rate = counted / shown
    if measure != "sales":
        if counted > shown:
            raise FitError(
                f"{path}: {name} has {counted:g} {measure} of {shown:g} times shown; whole counts are wanted."
            )
        low, high = wilson(round(counted), round(shown))
        return Arm(name=name, shown=round(shown), counted=counted, rate=rate, low=low, high=high)
    if len(rows) >= DAYS:
        left = sum((row["sales"] - rate * row["shown"]) ** 2 for row in rows)
        error = math.sqrt(len(rows) / (len(rows) - 1) * left) / shown
    else:
        bought = sum(row.get("conversions", 0.0) for row in rows)
        if bought == 0:
            raise FitError(
                f"{path}: the sales of {name} say nothing of their spread; give {DAYS} days, or conversions."
            )
        error = math.sqrt(2 / bought) * rate
    return Arm(
        name=name, shown=round(shown), counted=counted, rate=rate, low=rate - 1.96 * error, high=rate + 1.96 * error
    )
