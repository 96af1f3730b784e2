"""Sums of columns with coefficients and a constant: exact ones of several terms, and rounded ones of one or more.

What fits is freed of every term without which it fits as well, and its coefficients are the shortest numbers that fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np

from karat.content.table.mining import evidence
from karat.content.table.mining.columns import Number
from karat.content.table.mining.formulas.trimmed import eliminated, fitted
from karat.content.table.mining.formulas.worked import NEAR, Formulas, Worked, enough, judged, slack_of
from karat.content.table.mining.relation import Form, plain, quoted

TERMS = 8  # of a sum, at most
UNITS, OFTEN = (
    2,
    0.01,
)  # by which rounded parts may miss their whole, and share of the rows in which they miss it by so much
GRAINS = 20  # units of the last decimal in a standard deviation, from which on a rounded result says something
COARSE, MANY = 5, 200  # and from which on one does that so many rows keep without an exception


def sums(
    numbers: Sequence[Number], known: Formulas, without: set[str], extra: Sequence[tuple[str, Number]] = ()
) -> None:
    """Adds to `known` the exact linear relations among columns of numbers.

    without: columns that are no terms.   extra: expressions that may be terms, as columns.
    """
    terms = [(quoted(n.name), n) for n in numbers if n.name not in without] + list(extra)
    basis = np.zeros((0, len(numbers)))
    found = []
    for target in numbers:
        if target.name not in known.lefts:
            one = _sum(target, [(t, n) for t, n in terms if n.name != target.name])
            found += [_turned(one, numbers)] if one is not None else []
    for one in sorted(found, key=_preference):
        assert one.vector is not None
        row = np.array([[one.vector.get(n.name, 0.0) * max(n.spread, 1e-12) for n in numbers]])
        grown = np.concatenate([basis, row / np.linalg.norm(row)])
        if np.linalg.svd(grown, compute_uv=False)[-1] >= 1e-3 and known.add(one):
            basis = grown


def _turned(one: Worked, numbers: Sequence[Number]) -> Worked:
    """A sum of whole columns with that one on the left of which all others are added to each other, if there is one."""
    assert one.vector is not None
    by = {n.name: n for n in numbers}
    if len(one.vector) < 3 or any(abs(c) != 1 or name not in by for name, c in one.vector.items()):
        return one
    for sign in (1, -1):
        left = [name for name, c in one.vector.items() if c == -sign]
        if len(left) == 1:
            pool = [(quoted(n.name), n) for n in numbers if n.name in one.vector and n.name != left[0]]
            turned = _snapped(by[left[0]], pool, False)
            return turned if turned is not None else one
    return one


def _preference(one: Worked) -> tuple[int, int, bool, float]:
    """Few exceptions first, then few terms, then such as only add whole columns, then what is least likely by chance: hours are
    worked out from a break, and not the break, of four lengths, from the hours."""
    assert one.vector is not None
    adds = all(c == 1 for name, c in one.vector.items() if name != one.left)
    return one.exceptions, len(one.names), not adds, 0.0 if adds else -one.chance


def shares(
    numbers: Sequence[Number], known: Formulas, without: set[str], extra: Sequence[tuple[str, Number]] = ()
) -> None:
    """Adds to `known` the columns that are a fixed share of another, or a sum of shares, rounded to their decimals."""
    terms = [(quoted(n.name), n) for n in numbers if n.name not in without] + list(extra)
    found = []
    for target in numbers:
        if target.name in known.lefts or not _fine(target):
            continue
        for text, number in terms:
            if number.name != target.name and _together(target, number):
                one = _sure(target, _snapped(target, [(text, number)], True))
                found += [one] if one is not None else []
    for one in sorted(found, key=lambda w: (len(w.right) - len(max(w.names, key=len)), w.exceptions)):
        known.add(one)
    by = {n.name: n for n in numbers}
    found = [one for n in numbers if n.name not in known.lefts and (one := _rounded(n, terms, known)) is not None]
    for one in sorted(found, key=lambda w: -_saved(w, by[w.left])):
        again = one if known.add(one) else _rounded(by[one.left], terms, known) if one.left not in known.lefts else None
        if again is not None and again is not one:
            known.add(again)


def _rounded(target: Number, terms: Sequence[tuple[str, Number]], known: Formulas) -> Worked | None:
    """The column as a rounded sum of others, none of which is worked out from it."""
    if not _fine(target):
        return None
    own = [(t, n) for t, n in terms if n.name != target.name and not _from(known, target.name, n)]
    return _sure(target, _sum(target, own, True)) or _sure(target, _rest(target, own))


def _saved(one: Worked, left: Number) -> float:
    """How many nats less it takes to tell the column, which is the more of one that is printed finely. Of parts and a whole,
    each rounded, a formula of any is a formula of the others, with coefficients that nobody wrote.
    Of what only adds, each is alike."""
    adds = all(abs(c) == 1 for c in (one.vector or {}).values())
    grains = log(max(2.0, (1.0 if adds else left.spread) / (2 * left.half)))
    digits = sum(map(str.isdigit, one.right)) - sum(map(str.isdigit, "".join(one.names)))
    return (one.rows - one.exceptions) * grains - digits * log(10)


def summed(target: Number, terms: Sequence[tuple[str, Number]]) -> Worked | None:
    """The column as a sum that needs the first of `terms`, exact or rounded."""
    first = set(terms[0][1].name.split("\0"))
    for rounded in (False, True)[: 1 + _fine(target)]:
        one = _sure(target, _sum(target, terms, rounded))
        if one is not None and first <= set(one.names):
            return one
    return None


def _fine(target: Number) -> bool:
    """Whether a rounded result that is this column says something."""
    coarse = COARSE if (~np.isnan(target.values)).sum() >= MANY else GRAINS
    return target.decimals >= 0 and target.spread >= coarse * 2 * target.half


def _sure(target: Number, found: Worked | None) -> Worked | None:
    """The formula of a column, that of a coarse one only where no row is an exception: what nearly fits fits whole numbers."""
    coarse = target.spread < GRAINS * 2 * target.half and found is not None and found.right.startswith("round(")
    return None if found is None or coarse and found.exceptions else found


def _from(known: Formulas, name: str, term: Number) -> bool:
    """Whether a term is a column, or worked out from it."""
    return any(name == own or name in known.ancestors(own) for own in term.name.split("\0"))


def _together(a: Number, b: Number) -> bool:
    """Whether the ranks of two columns go together closely."""
    both = np.flatnonzero(~(np.isnan(a.values) | np.isnan(b.values)))[:300]
    if len(both) < evidence.FEWEST:
        return False
    x, y = (np.unique(n.values[both], return_inverse=True)[1] for n in (a, b))
    if not x.any() or not y.any():  # one value
        return False
    return bool(abs(np.corrcoef(x, y)[0, 1]) > 0.9)


def _sum(target: Number, terms: Sequence[tuple[str, Number]], rounded: bool = False) -> Worked | None:
    """The column as a sum of few terms, each with a coefficient, and a constant; an exact one, or one that is rounded."""
    rows, pool = _complete(target, [t for t in terms if t[1].spread > 0])
    if not pool:
        return None
    y = target.values[rows]
    x = np.stack([n.values[rows] for _, n in pool], 1)
    scale = np.maximum(x.std(0), 1e-12)
    middle = x.mean(0)
    z = np.concatenate([(x - middle) / scale, np.ones((len(y), 1))], 1)
    slack = slack_of(y, 1.5 * target.half if rounded else 0.0) + 1e-8 * y.std()
    kept = fitted(z, y, slack)
    if kept is None:
        return None
    columns = eliminated(z, y, slack, kept)
    if columns is None or not 1 <= len(columns) - 1 <= min(TERMS, len(y) // 10):
        return None
    return _snapped(target, [pool[j] for j in columns[:-1]], rounded)


def _rest(target: Number, terms: Sequence[tuple[str, Number]]) -> Worked | None:
    """The column as what others leave of a constant, where each was rounded by itself, so that the sum is a unit or two off."""
    unit = 2 * target.half
    alike = [t for t in terms if t[1].decimals == target.decimals and t[1].spread >= GRAINS * unit]
    rows, pool = _complete(target, alike)
    if len(pool) < 2:
        return None
    y, x = target.values[rows], np.stack([n.values[rows] for _, n in pool], 1)
    z = np.concatenate([(x - x.mean(0)) / np.maximum(x.std(0), 1e-12), np.ones((len(y), 1))], 1)
    slack = np.full(len(y), UNITS * unit + NEAR)
    kept = fitted(z, y, slack)
    columns = None if kept is None else eliminated(z, y, slack, kept)
    if columns is None or not 2 <= len(columns) - 1 <= TERMS:
        return None
    pool = [pool[j] for j in columns[:-1]]
    total = target.values + np.sum([n.values for _, n in pool], 0)
    sums, counts = np.unique(np.rint(total[~np.isnan(total)] / unit), return_counts=True)
    middle = sums[counts.argmax()]
    ends = sums[(counts >= OFTEN * counts.sum()) & (np.abs(sums - middle) <= UNITS)]
    if not len(ends):
        return None
    less = "".join(f" - {text}" for text, _ in pool)
    words = [f"{plain(round(end * unit, target.decimals))}{less}" for end in ends]
    value = middle * unit - np.sum([n.values for _, n in pool], 0)
    right, form = (f"({', '.join(words)})", "mixture") if len(words) > 1 else (words[0], "sum")
    names, tests = [n.name for _, n in pool], log(len(terms)) * (len(pool) + 1)
    return judged(form, target, right, names, value, UNITS * unit, tests)  # type: ignore[arg-type]


def _complete(target: Number, terms: Sequence[tuple[str, Number]]) -> tuple[np.ndarray, list[tuple[str, Number]]]:
    """Rows in which the column and the terms are there, terms that are often missing left out."""
    there = ~np.isnan(target.values)
    pool = [t for t in terms if np.isnan(t[1].values[there]).mean() <= 0.3] if there.any() else []
    gone = np.array([np.isnan(n.values) for _, n in pool]).reshape(len(pool), len(there))
    holes, kept = gone.sum(0), np.ones(len(pool), bool)
    for worst in np.argsort(-gone[:, there].sum(1), kind="stable"):
        rows, many = there & (holes == 0), int(kept.sum())
        if rows.sum() >= max(evidence.FEWEST, 2 * many + 10):
            return np.flatnonzero(rows)[: max(500, 6 * many)], [t for t, keep in zip(pool, kept, strict=True) if keep]
        kept[worst], holes = False, holes - gone[worst]
    return np.zeros(0, np.int64), []


def _snapped(target: Number, pool: Sequence[tuple[str, Number]], rounded: bool) -> Worked | None:
    """The same with the shortest coefficients that fit as well, as an expression that a rule can hold."""
    known = ~np.isnan(target.values) & ~np.any([np.isnan(n.values) for _, n in pool], 0)
    y, x = target.values[known], np.stack([n.values[known] for _, n in pool], 1)
    half = target.half if rounded else 0.0
    middle, scale = x.mean(0), np.maximum(x.std(0), 1e-12)
    z = np.concatenate([(x - middle) / scale, np.ones((len(y), 1))], 1)
    good = fitted(z, y, slack_of(y, 1.5 * half) + 1e-8 * y.std())
    if good is None:
        return None
    coefficients = np.zeros(len(pool))
    rest, reach = y[good].copy(), max(half, 1e-9 * max(1.0, float(np.abs(y).max())))
    for j in range(len(pool)):  # each in turn, the others fitted to what is left
        w = np.linalg.lstsq(z[good][:, j:], rest, rcond=None)[0]
        coefficients[j] = shortest(w[0] / scale[j], 4 * reach / scale[j] / np.sqrt(good.sum()))
        rest -= coefficients[j] * (x[good, j] - middle[j])
    rest = y[good] - x[good] @ coefficients
    constant = shortest((rest.max() + rest.min()) / 2, reach)
    if not coefficients.all():
        return None
    text, value = _spelled(pool, coefficients, constant)
    whole = bool((np.abs(coefficients) == 1).all())
    form: Form = "sum" if len(pool) > 1 else "linear"
    if form == "linear" and whole and constant == 0 and coefficients[0] == 1:
        form = "equal"
    tests = log(50) + len(pool) * log(50 if whole else 5000)
    vector = {n.name: c for (_, n), c in zip(pool, coefficients, strict=True)} | {target.name: -1.0}
    right = text if not rounded else f"round({text}, {target.decimals})"
    names = [name for _, n in pool for name in n.name.split("\0")]
    found = judged(form, target, right, names, value, half, tests, vector)
    if found is None:
        return None
    idle = _idle(found, target, pool, coefficients, value, half)
    if not idle:
        return found
    fewer = [term for j, term in enumerate(pool) if j not in idle]
    return _snapped(target, fewer, rounded) if fewer else None


def shortest(x: float, error: float) -> float:
    """The number with the fewest decimals within `error` of x, or one by a whole number where that is shorter."""
    for places in range(13):
        near = round(x, places)
        if abs(near - x) <= error:
            return float(near)
        if places >= 3 and x != 0 and abs(1 / x) > 1 and abs(1 / round(1 / x) - x) <= error:
            return 1 / round(1 / x)
    return float(x)


def times(word: str, c: float) -> str:
    """A term with its coefficient, which is not negative."""
    if c == 1:
        return word
    over = round(1 / c) if c < 1 else 0
    return f"{word} / {over}" if over and 1 / over == c and round(c, 4) != c else f"{plain(c)} * {word}"


def _spelled(pool: Sequence[tuple[str, Number]], coefficients: np.ndarray, constant: float) -> tuple[str, np.ndarray]:
    """The sum as a rule has it, what is added first; and its value [n]."""
    value = np.full(len(pool[0][1].values), constant)
    text = plain(constant) if constant > 0 and (coefficients < 0).all() else ""
    constant = 0.0 if text else constant
    for j in np.argsort(coefficients < 0, kind="stable"):
        (word, number), c = pool[j], float(coefficients[j])
        value = value + c * number.values
        sign = (" + " if c > 0 else " - ") if text else ("" if c > 0 else "-")
        text += sign + times(word, abs(c))
    if constant:
        text += f" {'+' if constant > 0 else '-'} {plain(abs(constant))}"
    return text, value


def _idle(
    found: Worked,
    target: Number,
    pool: Sequence[tuple[str, Number]],
    coefficients: np.ndarray,
    value: np.ndarray,
    half: float,
) -> list[int]:
    """The terms of a sum that are not needed: were one a constant, too few rows would be exceptions that are none."""
    known = ~(np.isnan(target.values) | np.isnan(value))
    holds = np.abs(target.values - value)[known] <= slack_of(value, half)[known]
    out = []
    for j, ((_, number), c) in enumerate(zip(pool, coefficients, strict=True)):
        values, counts = np.unique(number.values[known], return_counts=True)
        other = value + c * (values[counts.argmax()] - number.values)
        broken = np.abs(target.values - other)[known] > slack_of(other, half)[known]
        active = number.values[known] != values[counts.argmax()]
        if not enough(int((broken & holds).sum()), int((active & ~holds).sum()), found):
            out.append(j)
    return out
