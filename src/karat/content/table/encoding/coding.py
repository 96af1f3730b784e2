"""How one column becomes codes and comes back: equal-mass bins for numbers, ranked values for choices, presence for the rest.

All that is learned comes from the training rows and is JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.table.schema.columns import Column

NAMED = 64  # values of a category that have a choice of their own among fields
VOCABULARY = 100_000  # values of a category that are learned
WEEKDAYS_FROM = 100  # dates that must agree before days of the week count as never used
NUMBERS = ("integer", "decimal", "date", "datetime", "time")
DIGITS_FROM = 100  # values, from which their significant digits are counted
EXACT = 2**53
DAY = 86_400_000_000  # microseconds
# The years 1 to 9999 and one day, in each kind's units: what calendars print.
ENDS = {"date": (-719_162, 2_932_896), "datetime": (-719_162 * DAY, 2_932_897 * DAY - 1), "time": (0, DAY - 1)}
_TYPES: dict[str, pa.DataType] = {
    "integer": pa.int64(),
    "decimal": pa.float64(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
    "time": pa.time64("us"),
}


def flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The column as one array."""
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return column


def present(column: pa.Array) -> np.ndarray:
    """bool [n]: which cells are not missing."""
    if column.null_count == 0:
        return np.ones(len(column), bool)
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False))


def whole_units(column: pa.Array) -> np.ndarray:
    """int64 [n] of whole numbers, days or microseconds; 0 where missing."""
    width = 32 if pa.types.is_date32(column.type) or pa.types.is_time32(column.type) else 64
    plain = column if pa.types.is_integer(column.type) else column.view(pa.int32() if width == 32 else pa.int64())
    plain = plain.fill_null(0) if plain.null_count else plain
    return np.asarray(plain.to_numpy(zero_copy_only=False)).astype(np.int64)


def reals(column: pa.Array) -> np.ndarray:
    """float64 [n]; NaN where missing."""
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


@dataclass(frozen=True)
class Grain:
    """The lattice on which the values of a number, date or time lie: value = (origin + step * tick) / 10^places.

    places: -1 where there is no lattice and a tick is the value.   weekdays: the only ones used (0 = Monday), in order;
    then ticks count these days.   single: whether values are float32.   digits: the most significant digits that values
    have, where that is coarser than the lattice (1001, 122.8, 17.99); 0 where it is not.   mixed: whether, where there
    is no lattice, zeros at the end are not printed, so that cells show how precise each is.   below, above, minus: the
    ticks that stand for -inf, inf and -0.0 in a column that holds them, each a value of its own; None in one that does not.
    """

    kind: str
    places: int = 0
    step: int = 1
    origin: int = 0
    weekdays: tuple[int, ...] = ()
    single: bool = False
    digits: int = 0
    mixed: bool = False
    below: float | None = None
    above: float | None = None
    minus: float | None = None

    @classmethod
    def fit(cls, column: Column, cells: pa.Array) -> Self:
        """The coarsest lattice that holds every value of `cells`."""
        if column.kind != "decimal":
            return cls._of(column, cells)
        values = reals(cells.drop_null())
        out = cls._of(column, pa.array(values[np.isfinite(values)]))
        ticks = out.ticks(pa.array(values[np.isfinite(values)]))
        low, high = float(ticks.min(initial=0)), float(ticks.max(initial=0))
        room = high - low + 2
        most = float(np.finfo(np.float64).max)
        return replace(
            out,
            below=max(-most, float(np.floor(low - room))) if (values == -np.inf).any() else None,
            above=min(most, float(np.ceil(high + room))) if (values == np.inf).any() else None,
            minus=(-0.25 if out.whole else -5e-324) if (np.signbit(values) & (values == 0)).any() else None,
        )

    @classmethod
    def _of(cls, column: Column, cells: pa.Array) -> Self:
        single = column.kind == "decimal" and column.arrow in ("float", "float32", "halffloat", "float16")
        some = cells.drop_null()
        mixed = False
        if column.kind == "decimal":
            values = reals(some)
            with np.errstate(over="ignore", invalid="ignore"):
                units = (
                    np.rint(values * 10.0**column.places) if 0 <= column.places <= 15 else np.full(len(values), np.nan)
                )
                fits = bool((np.abs(units) < EXACT).all()) and bool((units / 10.0**column.places == values).all())
            mixed = column.arrow != "" or column.least is not None  # zeros at the end are not printed
            mixed = mixed and len(column.format.partition("e")[2]) < 2
            if not fits:
                return cls("decimal", -1, single=single, mixed=mixed)
            whole = units.astype(np.int64)
        else:
            whole = whole_units(some)
        places = column.places if column.kind == "decimal" else 0
        if not len(whole):
            return cls(column.kind, places, single=single)
        if column.kind == "date" and len(whole) >= WEEKDAYS_FROM:
            used = np.unique((whole + 3) % 7)  # 1970-01-01 was a Thursday
            if 1 < len(used) < 7:
                return cls("date", weekdays=tuple(int(day) for day in used))
        low = int(whole.min())
        step = int(np.gcd.reduce(whole - low)) if int(whole.max()) - low < 2**62 else gcd(*whole.tolist())
        while places > 0 and step % 10 == 0 and low % 10 == 0:  # decimals that no value uses
            whole, places, step, low = whole // 10, places - 1, step // 10, low // 10
        digits = significant(whole) if places > 0 and step == 1 else 0
        far = max(abs(low), abs(int(whole.max()))) >= EXACT  # so far from 0 that a tick from there would not be exact
        origin = low if step > 1 or far else 0
        return cls(column.kind, places, max(1, step), origin, single=single, digits=digits)

    @property
    def type(self) -> pa.DataType:
        return _TYPES[self.kind]

    @property
    def whole(self) -> bool:
        """Whether ticks are whole numbers."""
        return self.places >= 0

    @property
    def unit(self) -> float:
        """Units in one of what rules count in: numbers themselves, days, seconds."""
        return 10.0**self.places if self.kind == "decimal" else 1e6 if self.kind in ("datetime", "time") else 1.0

    def ticks(self, cells: pa.Array) -> np.ndarray:
        """float64 [n]: each cell's tick, the nearest below where it is off the lattice; NaN where missing."""
        if self.kind == "decimal":
            values = reals(cells)
            out = values
            if self.places >= 0:
                out = np.rint(values * 10.0**self.places)
                out = out if self.step == 1 and self.origin == 0 else np.floor((out - self.origin) / self.step)
            for mark, mine in ((self.below, values == -np.inf), (self.above, values == np.inf)):
                out = out if mark is None else np.where(mine, mark, out)
            return out if self.minus is None else np.where(np.signbit(values) & (values == 0), self.minus, out)
        out = self.of_units(whole_units(cells))
        if cells.null_count:
            out[~present(cells)] = np.nan
        return out

    def of_units(self, units: np.ndarray) -> np.ndarray:
        """float64 [n]: the tick at or below each of int64 units [n]."""
        return self._days(units) if self.weekdays else self._steps(units)

    def _steps(self, units: np.ndarray) -> np.ndarray:
        """float64 [n] of int64 units [n], worked out in 64 bits without a sign, as two of them may lie 2^64 apart."""
        origin, plain, step = np.uint64(self.origin % 2**64), units.astype(np.uint64), np.uint64(self.step)
        up = units >= self.origin
        above = ((plain - origin) // step).astype(np.float64)
        below = ((origin - plain - np.uint64(1)) // step).astype(np.float64) + 1
        return np.asarray(np.where(up, above, -below))

    def _days(self, units: np.ndarray) -> np.ndarray:
        week, day = np.divmod(units + 3, 7)
        rank = np.searchsorted(self.weekdays, np.arange(7), side="right") - 1
        return np.asarray(week * len(self.weekdays) + rank[day], np.float64)

    def at(self, natural: np.ndarray) -> np.ndarray:
        """Ticks [n] at or just below numbers, days or seconds `natural` [n]."""
        if self.places < 0:
            return natural
        units = np.floor(natural * self.unit + 1e-6)
        if self.weekdays:
            known = np.isfinite(units)
            out = np.full(len(units), np.nan)
            out[known] = self._days(units[known].astype(np.int64))
            return out
        return np.floor((units - self.origin) / self.step)

    def units(self, ticks: np.ndarray) -> np.ndarray:
        """int64 [n] of units of whole ticks [n]; NaN gives 0."""
        if self.weekdays:
            whole = np.nan_to_num(np.clip(ticks, -(2.0**62), 2.0**62)).astype(np.int64)
            week, rank = np.divmod(whole, len(self.weekdays))
            return np.asarray(week * 7 + np.asarray(self.weekdays)[rank] - 3)
        steps, origin = np.rint(np.nan_to_num(ticks)), np.uint64(self.origin % 2**64)
        down, up = np.uint64((2**63 + self.origin) // self.step), np.uint64((2**63 - 1 - self.origin) // self.step)
        many = np.clip(np.abs(steps), 0, 2.0**64 - 2048).astype(np.uint64)  # the greatest float below 2^64
        many = np.where(np.abs(steps) >= 2.0**64, np.uint64(2**64 - 1), many)
        moved = np.minimum(many, np.where(steps < 0, down, up)) * np.uint64(self.step)
        return np.asarray(np.where(steps < 0, origin - moved, origin + moved).astype(np.int64))

    def natural(self, ticks: np.ndarray) -> np.ndarray:
        """Numbers, days or seconds [n] of ticks [n], NaN kept."""
        if self.places < 0:
            return self._meant(ticks, ticks)
        return self._meant(ticks, np.where(np.isnan(ticks), np.nan, self.units(ticks) / self.unit))

    def marks(self, ticks: np.ndarray) -> np.ndarray:
        """bool [n]: ticks that stand for what is no number on the lattice."""
        out = np.zeros(len(ticks), bool)
        for mark in (self.below, self.above, self.minus):
            out |= ticks == mark if mark is not None else False
        return out

    def _meant(self, ticks: np.ndarray, values: np.ndarray) -> np.ndarray:
        """`values` [n] with -inf, inf and -0.0 where `ticks` [n] stand for them."""
        if self.kind != "decimal":
            return values
        for mark, value in ((self.below, -np.inf), (self.above, np.inf), (self.minus, -0.0)):
            if mark is not None:
                values = np.where(ticks == mark, value, values)
        return np.where(np.isinf(ticks), ticks, values)  # what must not be less than inf

    def array(self, ticks: np.ndarray) -> pa.Array:
        """Cells of ticks [n], missing where NaN."""
        gone = np.isnan(ticks)
        mask = gone if gone.any() else None
        if self.places < 0:
            with np.errstate(over="ignore"):
                values = ticks.astype(np.float32).astype(np.float64) if self.single else ticks
            return pa.array(self._meant(ticks, values), pa.float64(), mask=mask)
        units = self.units(ticks)
        if self.kind == "decimal":
            return pa.array(self._meant(ticks, units / self.unit), pa.float64(), mask=mask)
        if self.kind in ENDS:
            units = np.clip(units, *ENDS[self.kind])
        if self.kind == "date":
            return pa.array(units.astype(np.int32), pa.int32(), mask=mask).view(self.type)
        return pa.array(units, pa.int64(), mask=mask).view(self.type)

    def rounded(self, ticks: np.ndarray) -> np.ndarray:
        """Ticks [n] of as many significant digits as values have, NaN kept."""
        if not self.digits:
            return ticks
        size = np.abs(np.where(np.isnan(ticks), 1.0, ticks))
        coarse = 10.0 ** np.maximum(np.floor(np.log10(np.maximum(size, 1.0))) + 1 - self.digits, 0)
        return np.where(self.marks(ticks), ticks, np.rint(ticks / coarse) * coarse)

    def state(self) -> dict[str, Any]:
        return {**self.__dict__, "weekdays": list(self.weekdays)}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        return cls(**{**state, "weekdays": tuple(state["weekdays"])})


def significant(whole: np.ndarray) -> int:
    """The significant digits of the whole numbers [n]: 19 of 20 of those that have room for more keep to them; else 0.

    At least a tenth must have room for more, and half of the different ones have as many: nine of ten do that were rounded so.
    """
    size = np.abs(whole[whole != 0])
    if len(size) < DIGITS_FROM:
        return 0
    length, kept = _lengths(size)
    for digits in range(2, int(length.max())):
        longer = length > digits
        if longer.mean() <= 0.1:
            return 0
        if (kept[longer] <= digits).mean() >= 0.95:
            _, first = np.unique(size[longer], return_index=True)
            return digits if (kept[longer][first] == digits).mean() >= 0.5 else 0
    return 0


def _lengths(size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of whole numbers above 0 [n] the digits, and those before the zeros at their end."""
    length = np.floor(np.log10(size) + 1e-12).astype(np.int64) + 1
    kept = length.copy()
    for k in range(1, int(length.max())):
        kept -= size % 10**k == 0
    return length, kept


@dataclass(frozen=True, eq=False)
class Choices:
    """Values of one column, or combinations of values of several, by falling frequency.

    names: the columns.   values: one array per column, each [k].   counts: int64 [k] of training rows.
    missing: training rows whose one column is missing; a combination holds its missing cells itself.
    """

    names: tuple[str, ...]
    values: tuple[pa.Array, ...]
    counts: np.ndarray
    missing: int = 0

    @classmethod
    def fit(cls, names: Sequence[str], columns: Sequence[pa.Array]) -> Self:
        """What training rows hold; of one column at most 100,000 values."""
        if len(names) == 1:
            some = columns[0].drop_null()
            tally = pa.RecordBatch.from_struct_array(some.value_counts())
            tally = tally.sort_by([("counts", "descending"), ("values", "ascending")])[:VOCABULARY]
            counts = np.asarray(tally["counts"], np.int64)
            return cls(tuple(names), (tally["values"],), counts, len(columns[0]) - len(some))
        table = pa.table(list(columns), names=[str(i) for i in range(len(names))])
        every = [str(i) for i in range(len(names))]
        tally = table.group_by(every, use_threads=False).aggregate([([], "count_all")])
        tally = tally.sort_by([("count_all", "descending"), *((name, "ascending") for name in every)])
        return cls(
            tuple(names),
            tuple(flat(tally[name]) for name in every),
            np.asarray(flat(tally["count_all"]), np.int64),
        )

    @property
    def size(self) -> int:
        return len(self.counts)

    def index(self, columns: Sequence[pa.Array]) -> np.ndarray:
        """int64 [n]: which value each row has; -1 for one never seen, or missing in a single column."""
        if len(self.names) == 1:
            return _index(columns[0], self.values[0])
        key, mine = np.zeros(len(columns[0]), np.int64), np.zeros(self.size, np.int64)
        for column, values in zip(columns, self.values, strict=True):
            known = values.unique()
            other = len(known)
            a, b = _index(column, known), _index(values, known)
            a[a < 0] = other
            both = np.concatenate([key * (other + 1) + a, mine * (other + 1) + b])
            dense = np.unique(both, return_inverse=True)[1]  # keeps the keys of many columns below 2^63
            key, mine = dense[: len(key)], dense[len(key) :]
        order = np.argsort(mine)
        place = np.minimum(np.searchsorted(mine[order], key), self.size - 1)
        return np.where(mine[order][place] == key, order[place], -1)

    def take(self, index: np.ndarray) -> tuple[pa.Array, ...]:
        """One array per column; missing where the index is -1."""
        at = pa.array(index, pa.int64(), mask=index < 0 if (index < 0).any() else None)
        return tuple(values.take(at) for values in self.values)

    def state(self) -> dict[str, Any]:
        return {
            "names": list(self.names),
            "types": [str(a.type) for a in self.values],
            "values": [listed(a) for a in self.values],
            "counts": self.counts.tolist(),
            "missing": self.missing,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        arrays = tuple(unlisted(v, t) for v, t in zip(state["values"], state["types"], strict=True))
        return cls(tuple(state["names"]), arrays, np.array(state["counts"], np.int64), int(state["missing"]))


def _index(column: pa.Array, known: pa.Array) -> np.ndarray:
    found = pc.index_in(column, value_set=known)
    return np.asarray(found.fill_null(-1).to_numpy(zero_copy_only=False)).astype(np.int64)


_NAMED = {
    str(t): t
    for t in (pa.string(), pa.bool_(), pa.int64(), pa.float64(), pa.date32(), pa.timestamp("us"), pa.time64("us"))
}


def listed(array: pa.Array) -> list[Any]:
    """The cells as JSON: dates and times as whole numbers."""
    if pa.types.is_temporal(array.type):
        array = array.view(pa.int32() if pa.types.is_date32(array.type) else pa.int64())
    cells: list[Any] = array.to_pylist()
    return cells


def unlisted(cells: Sequence[Any], kind: str) -> pa.Array:
    """What `listed` was given; `kind` is the name of its Arrow type."""
    wanted = _NAMED[kind]
    if pa.types.is_temporal(wanted):
        return pa.array(cells, pa.int32() if pa.types.is_date32(wanted) else pa.int64()).view(wanted)
    return pa.array(cells, wanted)


def draw(counts: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """int64 [n]: indices drawn as often as `counts` [k] says."""
    total = np.cumsum(counts, dtype=np.float64)
    found = np.searchsorted(total, rng.random(n) * total[-1], side="right")
    return np.asarray(np.minimum(found, np.flatnonzero(counts)[-1]))
