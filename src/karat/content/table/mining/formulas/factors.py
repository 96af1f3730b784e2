"""Columns that are the product of any number of others and a constant, rounded: a volume divided by 5,000, seats times months
times a price less a rebate.

Their logarithms are a sum, of which the coefficients are whole: so no product has to be tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np

from karat.content.table.mining import evidence
from karat.content.table.mining.columns import Number
from karat.content.table.mining.formulas.products import Expression, acts, parts
from karat.content.table.mining.formulas.sums import GRAINS, shortest, times
from karat.content.table.mining.formulas.trimmed import eliminated, fitted
from karat.content.table.mining.formulas.worked import NEAR, Formulas, Worked, judged, slack_of
from karat.content.table.mining.relation import quoted

MOST = 6  # factors
POOL = 60  # columns, and what 1 plus or minus a share is, that may be factors
ROWS = 400
TINY = 1e-9  # what is no greater has no logarithm worth looking at
POSITIVE = 0.5  # of the rows, in which a factor must be above 0
FINE = 400.0  # halves of a last decimal, from which on a value tells a factor
FEW, RATES = 8, 4  # values of a column of rates, and such columns
WHOLE = 0.05  # from 1, that the coefficient of a logarithm may lie


def factors(
    numbers: Sequence[Number], known: Formulas, without: set[str], extra: Sequence[tuple[str, Number]] = ()
) -> None:
    """Adds to `known` the columns that are a product of two or more others and a constant; of rates, of what they are part of too.

    extra: expressions that may be factors, as columns.
    """
    terms = [n for n in numbers if n.name not in without]
    plain: list[Expression] = [(quoted(n.name), n.values, (n.name,)) for n in terms]
    plain += [(text, n.values, tuple(n.name.split("\0"))) for text, n in extra]
    plain = [t for t in plain if _positive(t[1])]
    less = [(text, value, (name,)) for n in terms for text, value, name in parts(n)]
    sides = [[t for t in less if t[0].startswith(f"(1{sign}")] for sign in (" - ", " + ")]
    pools = [plain, *([*plain, *side] for side in sides if side)]
    # beside the rate itself, of few values, what it is a part of would be told by it
    pools += [[*(t for t in plain if t[2] != (n.name,)), _included(n)] for n in terms if _rate(n)][:RATES]
    for target in numbers:
        if target.name in known.lefts or target.decimals < 0 or not _positive(target.values):
            continue
        for pool in pools:
            own = [t for t in pool if not any(target.name in {n, *known.ancestors(n)} for n in t[2])]
            found = _factored(target, own[:POOL], len(numbers))
            if found is not None and known.add(found):
                break


def _rate(number: Number) -> bool:
    """Whether a column may hold the rates of a tax, in percent."""
    known = number.values[~np.isnan(number.values)]
    return bool(1 <= known.max(initial=0) <= 50 and known.min(initial=0) >= 0 and len(np.unique(known)) <= FEW)


def _included(rate: Number) -> Expression:
    """What of a sum is a tax that it includes, at a rate in percent."""
    name, values = quoted(rate.name), rate.values
    return f"({name} / (100 + {name}))", values / (100 + np.where(values > -100, values, np.nan)), (rate.name,)


def _positive(values: np.ndarray) -> bool:
    """Whether a column is above 0 in enough rows."""
    return bool((np.nan_to_num(values) > TINY).mean() >= POSITIVE)


def _factored(target: Number, pool: Sequence[Expression], among: int) -> Worked | None:
    """The column as a product of some of the pool."""
    there = np.nan_to_num(target.values) > TINY
    if len(pool) < 2 or not there.any():
        return None
    least = min(FINE * target.half, float(np.median(target.values[there])))
    there &= np.nan_to_num(target.values) >= least  # where rounding is little
    gone = np.stack([~(np.nan_to_num(value) > TINY) for _, value, _ in pool])
    pool = [t for t, absent in zip(pool, gone, strict=True) if absent[there].mean() < 0.3]
    rows = (
        np.flatnonzero(there & ~np.any([~(np.nan_to_num(value) > TINY) for _, value, _ in pool], 0))
        if pool
        else there[:0]
    )
    if len(pool) < 2 or len(rows) < max(2 * evidence.FEWEST, 2 * len(pool)):
        return None
    rows = rows[np.linspace(0, len(rows) - 1, min(ROWS, len(rows))).astype(np.int64)]
    y, x = np.log(target.values[rows]), np.stack([np.log(value[rows]) for _, value, _ in pool], 1)
    z = np.concatenate([(x - x.mean(0)) / np.maximum(x.std(0), 1e-12), np.ones((len(y), 1))], 1)
    slack = (1.5 * target.half + NEAR) / target.values[rows] + 1e-8
    weight, even = slack.min() / slack, np.full(len(y), slack.min())  # each row counts as its rounding lets it
    z = z * weight[:, None]
    good = fitted(z, y * weight, even)
    columns = None if good is None else eliminated(z, y * weight, even, good)
    if good is None or columns is None or not 2 <= len(columns) - 1 <= MOST:
        return None
    some = np.concatenate([x[:, columns[:-1]], np.ones((len(y), 1))], 1)[good] * weight[good, None]
    w = np.linalg.lstsq(some, (y * weight)[good], rcond=None)[0][:-1]
    chosen = [pool[j] for j in columns[:-1]]
    if (np.abs(w - 1) > WHOLE).any() or len({n for t in chosen for n in t[2]}) < sum(len(t[2]) for t in chosen):
        return None
    return _told(target, chosen, rows[good], among)


def _told(target: Number, chosen: Sequence[Expression], rows: np.ndarray, among: int) -> Worked | None:
    """The product of the chosen with the shortest constant that fits the `rows`."""
    value = np.prod([value for _, value, _ in chosen], 0)
    low = ((target.values[rows] - target.half - NEAR) / value[rows]).max()
    high = ((target.values[rows] + target.half + NEAR) / value[rows]).min()
    c = shortest((low + high) / 2, max((high - low) / 2, 1e-12 * abs(high)))
    if not c > 0:
        return None
    text = times(" * ".join(text for text, _, _ in chosen), c)
    value, names = c * value, [name for _, _, names in chosen for name in names]
    with np.errstate(invalid="ignore"):
        away = np.abs(target.values - value)
        on, near = ((away <= slack_of(value, half)).sum() for half in (0.0, target.half))
    rounded = bool(on < (1 - evidence.RARELY) * near)
    if rounded and target.spread < GRAINS * 2 * target.half:
        return None
    right = f"round({text}, {target.decimals})" if rounded else text
    tests = log(5000) + len(chosen) * log(3 * max(2, among))
    found = judged("product", target, right, names, value, target.half if rounded else 0.0, tests)
    factors = [Number(text, values, "number", 6, False) for text, values, _ in chosen]
    return found if found is not None and all(acts(found, target, value, one) for one in factors) else None
