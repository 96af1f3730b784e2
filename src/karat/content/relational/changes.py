"""Numbers of a sequence that are learned as changes: a price by how far it is from the one before, and not by itself.

A column wanders where its change from one row to the next is much narrower than its level and does not take back the change
before. Of positive numbers it is the logarithms that are learned, unless the sizes of changes say otherwise. A column that
never lies below others of the same row (the highest price of a day) is learned as its distance from the greatest of these, one
never above as that from the least, and one that begins where another ended (a day's first price) as the change from that one.
Where calm rows follow calm ones, a change is learned in units of the width that is expected of it (`volatility`): changes are
uncorrelated where their sizes are not (Engle, "Autoregressive conditional heteroscedasticity", 1982). What a row is told of
the changes before it is the last one and this width.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from karat.content.relational.database import Family
from karat.content.relational.series import volatility
from karat.content.relational.series.season import Season
from karat.content.relational.series.volatility import Width
from karat.content.table.schema.columns import Column

FEWEST = 100  # changes, from which is told what a column does
DISTINCT = 16  # different changes: a number of fewer steps is learned as it is
NARROW = 0.3  # standard deviation of changes to that of levels, below which a column wanders
BACK = -0.2  # autocorrelation of changes below which one takes back the other: white noise has -0.5
STAYS = (
    1.3  # times what a walk has of squared changes to squared distances from each sequence's mean: beyond, it returns
)
SINGLE = 3.0  # times as much that a single walk may have beyond that by chance; of n sequences this over the root of n
LIKELIER = 4.0  # times the logarithm of the number of changes, by which a difference must be likelier than a factor
CLOSER = 0.8  # of a column's own change: a change from another column that is narrower is taken
WIDE = 3.0  # of a column's own change: a distance within a row that is wider is not learned as such
USUAL = 0.99  # of the values that have so many decimals, from which all made ones do
NEVER = 0.001  # rows, at most, in which a column lies on the wrong side of another that it never leaves in what is made
LARGEST = 2.0**53  # of what is made
STRICT = re.compile(r"(?<!<)=|->|\bthen\b|\bin\b|missing")  # of what was found: more than how far columns lie apart
SAME = re.compile(r"[^<>=!+*/()-]+ = [^<>=!+*/()-]*[^<>=!+*/()0-9. -][^<>=!+*/()-]*")  # one column is another
ORDER = re.compile(r"\s*[^<>=!+*/()-]+(?:<=[^<>=!+*/()-]+)+")

Values = Mapping[str, np.ndarray]
Seasonal = Callable[[np.ndarray, np.ndarray, Family, bool], Season | None]
Rules = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Change:
    """How one column is coded.

    log: by logarithms.   of: the columns from which it is a distance; `now` says whether of the same row ("max": from the
    greatest of them, "min": from the least) or, where "", of the row before.   lows, highs: columns that stand before this
    one and which it is never below or above.   places: decimals that are printed, 17 for as many as there are.   width: how
    wide a change is expected to be, in units of which it is learned; None where all are as wide as any other.   season: what is
    to be expected at a moment, from which the value's distance is what changes.   least: of what is made.
    """

    column: str
    log: bool
    of: tuple[str, ...]
    now: str = ""
    lows: tuple[str, ...] = ()
    highs: tuple[str, ...] = ()
    places: int = 17
    width: Width | None = None
    season: Season | None = None
    least: float = -LARGEST

    @property
    def own(self) -> bool:
        """Whether it is the distance from its own last value, and the first row of a sequence has a level instead."""
        return self.of == (self.column,)

    def state(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("column", "log", "of", "now", "lows", "highs", "places", "least")}
        width, season = (None if part is None else part.state() for part in (self.width, self.season))
        return {**own, "width": width, "season": season}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        lists = {k: tuple(str(x) for x in state[k]) for k in ("of", "lows", "highs")}
        width = None if state["width"] is None else Width.restore(state["width"])
        season = None if state["season"] is None else Season.restore(state["season"])
        least = float(state["least"])
        column, log, now, places = str(state["column"]), bool(state["log"]), str(state["now"]), int(state["places"])
        return cls(column, log, now=now, places=places, width=width, season=season, least=least, **lists)

    def base(self, now: Values, past: Values) -> np.ndarray:
        """float64 [n]: what it is a distance from; NaN in a first row, where it has a level."""
        if self.now:
            return np.asarray((np.maximum if self.now == "max" else np.minimum).reduce([now[c] for c in self.of]))
        before = past[self.of[0]]
        return before if self.own else np.asarray(np.where(np.isnan(before), now[self.of[0]], before))

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """The values as they are, or their logarithms; never that of nothing."""
        if not self.log:
            return values
        return np.asarray(np.log(np.maximum(values, 1e-300 if self.season else 10.0 ** -min(self.places, 9))))

    def away(self, values: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """float64 [n]: how far values lie from what is `expected` of them, as a factor where logarithms are learned."""
        if self.season is None:
            return values
        return np.asarray(np.maximum(values, 1e-300) / np.exp(expected) if self.log else values - expected)

    def back(self, away: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """The inverse of `away`, as the column prints it."""
        if self.season is None:
            return away
        value = away * np.exp(expected) if self.log else away + expected
        value = np.round(value, self.places) if self.places <= 15 else value
        return np.asarray(np.clip(value, self.least, LARGEST))

    def coded(self, now: Values, past: Values) -> np.ndarray:
        """float64 [n]: the change; NaN where there is nothing before."""
        return np.asarray(self.scaled(now[self.column]) - self._kept(self.base(now, past)))

    def _kept(self, base: np.ndarray) -> np.ndarray:
        return self.scaled(base) * (1.0 if self.season is None else self.season.keep)

    def decoded(self, change: np.ndarray, level: np.ndarray, now: Values, past: Values) -> np.ndarray:
        """float64 [n]: the value; `level` [n] where there is nothing before."""
        base = self.base(now, past)
        value = self._kept(base) + change
        value = np.where(np.isnan(base), level, np.exp(np.minimum(value, 36.0)) if self.log else value)
        if self.season is not None:
            return np.asarray(value)
        if self.places <= 15:
            value = np.round(value, self.places)
        value = np.clip(value, self.least, LARGEST)
        for low in self.lows:
            value = np.maximum(value, now[low])
        for high in self.highs:
            value = np.minimum(value, now[high])
        return np.asarray(value)


def find(
    columns: Sequence[Column],
    values: Values,
    family: Family,
    rules: Rules,
    between: Rules = (),
    seasonal: Seasonal | None = None,
) -> tuple[Change, ...]:
    """The columns that wander, in the order in which they are decoded; those with a season or missing cells behind the others.

    values: float64 [n] of each of `columns`, NaN where missing; a change is that from the last one known.   seasonal: the season
    of values [k] in some rows [k], of which the family is given, that may wander; None where rows are no steps of series, the
    first of which need not be known.   rules: what is declared among them: a column of another
    rule than an order stays as it is.   between: what was found among them: a column of an equation stays as it is.
    """
    bound = {c.name for c in columns for r in rules if names(r, c.name) and not orders(r)}
    strict = [
        r for r in between if STRICT.search(str(r.get("rule", "="))) and not SAME.fullmatch(str(r.get("rule", "")))
    ]
    bound |= {c.name for c in columns for r in strict if names(r, c.name)}
    known = [c for c in columns if c.kind in ("integer", "decimal") and not c.unique and c.name not in bound]
    known = [c for c in known if c.low is None and c.high is None and not np.isinf(values[c.name]).any()]
    found, apart = {}, []
    for column in known:
        name, alone = column.name, not any(names(r, column.name) for r in (*rules, *between))
        rows = np.flatnonzero(~np.isnan(values[name]))
        gaps = len(rows) < len(values[name])
        if gaps and (seasonal is None or not alone):
            continue
        x, mine = values[name][rows], family.among(rows)
        later = np.flatnonzero(mine.before >= 0)
        log = _wanders(x, mine, later)
        least = 0.0 if (x >= 0).all() else -LARGEST
        one = Change(name, bool(log), (name,), places=_places(column, x), least=least)
        of = None
        if seasonal is not None and alone and len(np.unique(x)) >= DISTINCT:
            if log is None:
                one = replace(one, log=bool((x > 0).all()) and _by_factors(x, mine, later))
            of = seasonal(rows, np.log(x) if one.log else x, mine, log is not None)
        if of is not None or gaps and log is not None:
            apart.append(replace(one, season=of))
        elif log is not None:
            found[name] = one
    return (*_arranged(found, values, family), *apart)


def _places(column: Column, values: np.ndarray) -> int:
    """Decimals that all but a few of `values` [n] have at most: one mean in place of a missing cell makes no column finer."""
    if column.kind != "decimal":
        return 0
    few = (k for k in range(16) if (np.round(values, k) == values).mean() >= USUAL)
    return min(column.places, next(few, 17))


def names(rule: Mapping[str, Any], column: str) -> bool:
    """Whether a rule may be about the column."""
    return (
        re.search(rf"(?<![\w`]){re.escape(column)}(?![\w`])|`{re.escape(column)}`", str(rule.get("rule", rule)))
        is not None
    )


def orders(rule: Mapping[str, Any]) -> bool:
    """Whether a rule is an order of columns, which the coding keeps."""
    return ORDER.fullmatch(str(rule.get("rule", "="))) is not None


def _wanders(x: np.ndarray, family: Family, later: np.ndarray) -> bool | None:
    """Whether logarithms are to be learned; None where the column does not wander."""
    if len(later) < FEWEST:
        return None
    change = x[later] - x[family.before[later]]
    if len(np.unique(change)) < DISTINCT:
        return None
    log = bool((x > 0).all()) and _by_factors(x, family, later)
    y = np.log(x) if log else x
    step = _steps(y, family, later)
    narrow = np.nanstd(step) < NARROW * y.std()
    deep = later[family.place[later] > 1]
    if not narrow or len(deep) < FEWEST or _returns(y, step, family):
        return None
    a, b = step[deep], step[family.before[deep]]
    spread = a.std() * b.std()
    back = ((a - a.mean()) * (b - b.mean())).mean() / spread if spread > 0 else 0.0
    return log if back > BACK else None


def _returns(y: np.ndarray, step: np.ndarray, family: Family) -> bool:
    """Whether the values [n] of each sequence stay nearer to its mean than those of a random walk with steps as wide.

    Of a walk of m values, the squared distances from their mean add up to (m^2 - 1) / 6 squared steps on average.
    """
    first = family.heads
    total, many = np.bincount(first, y, len(y)), np.bincount(first, minlength=len(y))
    apart = ((y - (total / np.maximum(many, 1))[first]) ** 2).sum()
    many = many[many > 1]
    walk = (many - 1).sum() / ((many**2 - 1) / 6).sum()
    return bool(np.nansum(step**2) > (STAYS + SINGLE / np.sqrt(len(many))) * walk * apart)


def _by_factors(x: np.ndarray, family: Family, later: np.ndarray) -> bool:
    """Whether logarithms of positive numbers [n] are to be learned: unless plain changes are clearly likelier."""
    plain = volatility.fit(_steps(x, family, later), family)[1]
    factors = volatility.fit(_steps(np.log(x), family, later), family)[1] + float(np.log(x[later]).mean())
    return (factors - plain) * len(later) < LIKELIER * math.log(len(later))


def _steps(y: np.ndarray, family: Family, later: np.ndarray) -> np.ndarray:
    """float64 [n]: how far values lie from those of the row before, NaN in first rows."""
    step = np.full(len(y), np.nan)
    step[later] = y[later] - y[family.before[later]]
    return step


def _arranged(found: Mapping[str, Change], values: Values, family: Family) -> tuple[Change, ...]:
    """The same with what each is best a distance from: its own last value, another's, or columns of the row itself."""
    names, later = list(found), np.flatnonzero(family.before >= 0)
    below = {
        (a, b)
        for a in names
        for b in names
        if a != b
        and (values[a] < values[b]).any()
        and (values[a] > values[b]).mean() <= min(NEVER, (values[a] < values[b]).mean() / 2)
    }
    same = {a: next((b for b in names[:i] if (values[a] == values[b]).all()), None) for i, a in enumerate(names)}
    partners = {a: sum(a in pair for pair in below) for a in names}
    back = family.before[later]

    def spread(a: str, base: np.ndarray) -> float:
        return float(np.std(found[a].scaled(values[a][later]) - found[a].scaled(base)))

    own = {a: spread(a, values[a][back]) for a in names}
    done: dict[str, Change] = {}
    for a in sorted(names, key=lambda a: (same[a] is not None, partners[a], names.index(a))):
        like = [b for b in done if found[b].log == found[a].log]
        lows, highs = tuple(b for b in done if (b, a) in below), tuple(b for b in done if (a, b) in below)
        mine, twin = found[a], same[a]
        if twin is not None:
            done[a] = replace(mine, of=(twin,), now="max", log=False)
            continue
        near = tuple(b for b in lows or highs if b in like)
        if near and not (lows and highs):
            side = replace(mine, of=near, now="max" if lows else "min")
            if spread(a, side.base(values, values)[later]) < WIDE * own[a]:
                mine = side
        done[a] = mine
    # a first price of a day follows from the last one of the day before, rather than from its own
    for a in [a for a in done if done[a].own]:
        others = [b for b in done if b != a and done[b].own and found[b].log == found[a].log]
        wide = {b: spread(a, values[b][back]) for b in others}
        best = min(wide, key=wide.__getitem__, default=None)
        if (
            best is not None
            and wide[best] < CLOSER * own[a]
            and not any(c.of == (a,) and c.column != a for c in done.values())
        ):
            done[a] = replace(done[a], of=(best,))
    rank = {a: i for i, a in enumerate(done)}
    order = sorted(done.values(), key=lambda c: (bool(c.now), same[c.column] is None, not c.own, rank[c.column]))
    out: list[Change] = []
    for c in order:
        before = [b.column for b in out]
        lows = tuple(b for b in before if (b, c.column) in below)
        highs = tuple(b for b in before if (c.column, b) in below)
        out.append(replace(c, lows=lows, highs=highs))
    return tuple(out)


def coded(changes: Sequence[Change], now: np.ndarray, past: np.ndarray) -> np.ndarray:
    """float64 [n, k]: the changes of values `now` [n, k] from those in the rows before, `past` [n, k], NaN where none."""
    if not changes:
        return np.zeros((len(now), 0))
    a, b = ({c.column: x[:, j] for j, c in enumerate(changes)} for x in (now, past))
    return np.stack([c.coded(a, b) for c in changes], 1)


def widened(changes: Sequence[Change], change: np.ndarray, family: Family) -> tuple[Change, ...]:
    """The same with the widths that their changes [n, k] show, NaN where there is none."""
    out = []
    for c, x in zip(changes, change.T, strict=True):
        rows = np.flatnonzero(np.isfinite(x) | (family.place == 0))
        out.append(replace(c, width=volatility.fit(x[rows], family.among(rows))[0]))
    return tuple(out)


def widths(changes: Sequence[Change], recent: np.ndarray) -> np.ndarray:
    """float64 [n, k]: the width of the next change, of what is told of those before; 1 where a column has none."""
    told = recent[:, len(changes) :]
    first = np.array([1.0 if c.width is None else c.width.mean for c in changes])
    return np.asarray(np.where(np.isnan(told), first, told))


def decoded(
    changes: Sequence[Change],
    drawn: Values,
    level: np.ndarray,
    past: np.ndarray,
    recent: np.ndarray,
    expected: np.ndarray,
) -> dict[str, np.ndarray]:
    """The values [n] of each column: of changes [n] by column, each in units of its width, and of levels [n, k] in first rows.

    expected: float64 [n, k], of columns with a season.
    """
    before = {c.column: past[:, j] for j, c in enumerate(changes)}
    wide = widths(changes, recent)
    now: dict[str, np.ndarray] = {}
    for j, c in enumerate(changes):
        change = drawn[c.column] if c.width is None else c.width.change(drawn[c.column], wide[:, j])
        now[c.column] = c.decoded(change, level[:, j], now, before)
    return {c.column: c.back(now[c.column], expected[:, j]) for j, c in enumerate(changes)}


def away(changes: Sequence[Change], values: Sequence[np.ndarray], expected: np.ndarray) -> list[np.ndarray]:
    """Of the values [n] of each column how far they lie from what is `expected` [n, k] of them."""
    return [c.away(x, e) for c, x, e in zip(changes, values, expected.T, strict=True)]


def filled(change: np.ndarray) -> np.ndarray:
    """The same [n] with changes of other rows in first rows, where none is known and none is used."""
    gone = np.isnan(change)
    out = change.copy()
    out[gone] = np.random.default_rng(0).choice(change[~gone], int(gone.sum()))
    return out


def followed(changes: Sequence[Change], recent: np.ndarray, change: np.ndarray) -> np.ndarray:
    """float64 [n, 2 k]: what is told after the row with `change` [n, k]: the last in units of its width, and the next width."""
    k = len(changes)
    wide, gone = widths(changes, recent), np.isnan(change)
    last = np.where(gone, recent[:, :k], change / wide)
    known = np.nan_to_num(change)
    after = [wide[:, j] if c.width is None else c.width.after(wide[:, j], known[:, j]) for j, c in enumerate(changes)]
    return np.hstack([last, np.where(gone, wide, np.stack(after, 1)) if k else wide])


def unknown(n: int, k: int) -> np.ndarray:
    """What is told of changes where there were none."""
    return np.full((n, 2 * k), np.nan)


def behind(changes: Sequence[Change], family: Family, change: np.ndarray) -> np.ndarray:
    """float64 [n, 2 k]: `followed` of the rows before each row, of changes [n, k]."""
    out = unknown(*change.shape)
    if change.shape[1]:
        for rows in family.levels():
            back = family.before[rows]
            out[rows] = followed(changes, out[back], change[back])
    return out
