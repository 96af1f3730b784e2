"""Numbers of a sequence that are learned as changes: a price by how far it is from the one before, and not by itself.

A column wanders where its change from one row to the next is much narrower than its level and does not take back the change
before. Where the size of changes grows with the level it is their logarithms that are learned. A column that never lies
below others of the same row (the highest price of a day) is learned as its distance from the greatest of these, one never
above as that from the least, and one that begins where another ended (a day's first price) as the change from that one.
What a row is told of the changes before it is the last one and the means of their sizes, over few rows and over many:
changes are uncorrelated where their sizes are not (Engle, "Autoregressive conditional heteroscedasticity", 1982).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from karat.content.relational.database import Family
from karat.content.table.schema.columns import Column

FEWEST = 100  # changes, from which is told what a column does
DISTINCT = 16  # different changes: a number of fewer steps is learned as it is
NARROW = 0.3  # standard deviation of changes to that of levels, below which a column wanders
BACK = -0.2  # autocorrelation of changes below which one takes back the other: white noise has -0.5
STAYS = (
    1.3  # times what a walk has of squared changes to squared distances from each sequence's mean: beyond, it returns
)
SINGLE = 3.0  # times as much that a single walk may have beyond that by chance; of n sequences this over the root of n
GROWS = 0.5  # exponent with which the size of changes grows with the level, from which on logarithms are learned
CLOSER = 0.8  # of a column's own change: a change from another column that is narrower is taken
WIDE = 3.0  # of a column's own change: a distance within a row that is wider is not learned as such
DECAYS = (0.7, 0.95)  # of the means of sizes of changes: over about three rows, and twenty
LARGEST = 2.0**53  # of what is made
STRICT = re.compile(r"(?<!<)=|->|\bthen\b|\bin\b|missing")  # of what was found: more than how far columns lie apart
ORDER = re.compile(r"\s*[^<>=!+*/()-]+(?:<=[^<>=!+*/()-]+)+")

Values = Mapping[str, np.ndarray]
Rules = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Change:
    """How one column is coded.

    log: by logarithms.   of: the columns from which it is a distance; `now` says whether of the same row ("max": from the
    greatest of them, "min": from the least) or, where "", of the row before.   lows, highs: columns that stand before this
    one and which it is never below or above.   places: decimals that are printed, 17 for as many as there are.
    """

    column: str
    log: bool
    of: tuple[str, ...]
    now: str = ""
    lows: tuple[str, ...] = ()
    highs: tuple[str, ...] = ()
    places: int = 17

    @property
    def own(self) -> bool:
        """Whether it is the distance from its own last value, and the first row of a sequence has a level instead."""
        return self.of == (self.column,)

    def state(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        lists = {k: tuple(str(x) for x in state[k]) for k in ("of", "lows", "highs")}
        return cls(
            str(state["column"]), bool(state["log"]), now=str(state["now"]), places=int(state["places"]), **lists
        )

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
        return np.asarray(np.log(np.maximum(values, 10.0 ** -min(self.places, 9))))

    def coded(self, now: Values, past: Values) -> np.ndarray:
        """float64 [n]: the change; NaN where there is nothing before."""
        return np.asarray(self.scaled(now[self.column]) - self.scaled(self.base(now, past)))

    def decoded(self, change: np.ndarray, level: np.ndarray, now: Values, past: Values) -> np.ndarray:
        """float64 [n]: the value; `level` [n] where there is nothing before."""
        base = self.base(now, past)
        value = self.scaled(base) + change
        value = np.where(np.isnan(base), level, np.exp(np.minimum(value, 36.0)) if self.log else value)
        if self.places <= 15:
            value = np.round(value, self.places)
        value = np.clip(value, -LARGEST, LARGEST)
        for low in self.lows:
            value = np.maximum(value, now[low])
        for high in self.highs:
            value = np.minimum(value, now[high])
        return np.asarray(value)


def find(
    columns: Sequence[Column], values: Values, family: Family, rules: Rules, between: Rules = ()
) -> tuple[Change, ...]:
    """The columns that wander, in the order in which they are decoded.

    values: float64 [n] of each of `columns`, NaN where missing.   rules: what is declared among them: a column of another
    rule than an order stays as it is.   between: what was found among them: a column of an equation stays as it is.
    """
    later = np.flatnonzero(family.before >= 0)
    bound = {c.name for c in columns for r in rules if names(r, c.name) and not orders(r)}
    bound |= {c.name for c in columns for r in between if names(r, c.name) and STRICT.search(str(r.get("rule", "=")))}
    known = [c for c in columns if c.kind in ("integer", "decimal") and not c.unique and c.name not in bound]
    known = [c for c in known if c.low is None and c.high is None and np.isfinite(values[c.name]).all()]
    found = {}
    for column in known:
        log = _wanders(values[column.name], family, later)
        if log is not None:
            places = column.places if column.kind == "decimal" else 0
            found[column.name] = Change(column.name, log, (column.name,), places=places)
    return _arranged(found, values, family, later)


def names(rule: Mapping[str, Any], column: str) -> bool:
    """Whether a rule may be about the column."""
    return column in str(rule.get("rule", rule))


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
    log = bool((x > 0).all()) and _grows(np.abs(change), x[family.before[later]])
    y = np.log(x) if log else x
    step = np.full(len(y), np.nan)
    step[later] = y[later] - y[family.before[later]]
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
    first = np.arange(len(y))
    for rows in family.levels():
        first[rows] = first[family.before[rows]]
    total, many = np.bincount(first, y, len(y)), np.bincount(first, minlength=len(y))
    apart = ((y - (total / np.maximum(many, 1))[first]) ** 2).sum()
    many = many[many > 1]
    walk = (many - 1).sum() / ((many**2 - 1) / 6).sum()
    return bool(np.nansum(step**2) > (STAYS + SINGLE / np.sqrt(len(many))) * walk * apart)


def _grows(size: np.ndarray, level: np.ndarray) -> bool:
    """Whether the size of changes grows with the level: the slope of their logarithms over quarters of the rows."""
    parts = np.array_split(np.argsort(level, kind="stable"), 4)
    mean = np.array([[level[p].mean(), size[p].mean()] for p in parts])
    if (mean <= 0).any() or mean[-1, 0] < 1.2 * mean[0, 0]:
        return False
    x, y = np.log(mean).T
    return float(np.polyfit(x, y, 1)[0]) > GROWS


def _arranged(found: Mapping[str, Change], values: Values, family: Family, later: np.ndarray) -> tuple[Change, ...]:
    """The same with what each is best a distance from: its own last value, another's, or columns of the row itself."""
    names = list(found)
    below = {
        (a, b)
        for a in names
        for b in names
        if a != b and (values[a] <= values[b]).all() and (values[a] < values[b]).any()
    }
    partners = {a: sum(a in pair for pair in below) for a in names}
    back = family.before[later]

    def spread(a: str, base: np.ndarray) -> float:
        return float(np.std(found[a].scaled(values[a][later]) - found[a].scaled(base)))

    own = {a: spread(a, values[a][back]) for a in names}
    done: dict[str, Change] = {}
    for a in sorted(names, key=lambda a: (partners[a], names.index(a))):
        like = [b for b in done if found[b].log == found[a].log]
        lows, highs = tuple(b for b in done if (b, a) in below), tuple(b for b in done if (a, b) in below)
        mine = found[a]
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
    order = sorted(done.values(), key=lambda c: (bool(c.now), not c.own, rank[c.column]))
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


def decoded(changes: Sequence[Change], change: Values, level: np.ndarray, past: np.ndarray) -> dict[str, np.ndarray]:
    """The values [n] of each column: of changes [n] by column and of levels [n, k] in the first rows."""
    before = {c.column: past[:, j] for j, c in enumerate(changes)}
    now: dict[str, np.ndarray] = {}
    for j, c in enumerate(changes):
        now[c.column] = c.decoded(change[c.column], level[:, j], now, before)
    return now


def filled(change: np.ndarray) -> np.ndarray:
    """The same [n] with changes of other rows in first rows, where none is known and none is used."""
    gone = np.isnan(change)
    out = change.copy()
    out[gone] = np.random.default_rng(0).choice(change[~gone], int(gone.sum()))
    return out


def followed(recent: np.ndarray, change: np.ndarray) -> np.ndarray:
    """float64 [n, 3 k]: what is told of changes after the row with `change` [n, k]: the last, and means of their sizes."""
    last, *means = np.split(recent, 1 + len(DECAYS), 1)
    gone = np.isnan(change)
    out = [np.where(gone, last, change)]
    for decay, mean in zip(DECAYS, means, strict=True):
        new = np.where(np.isnan(mean), np.abs(change), decay * mean + (1 - decay) * np.abs(change))
        out.append(np.where(gone, mean, new))
    return np.hstack(out)


def unknown(n: int, k: int) -> np.ndarray:
    """What is told of changes where there were none."""
    return np.full((n, k * (1 + len(DECAYS))), np.nan)


def behind(family: Family, change: np.ndarray) -> np.ndarray:
    """float64 [n, 3 k]: `followed` of the rows before each row, of changes [n, k]."""
    out = unknown(*change.shape)
    if change.shape[1]:
        for rows in family.levels():
            back = family.before[rows]
            out[rows] = followed(out[back], change[back])
    return out
