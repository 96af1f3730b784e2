"""What training rows show of a number, date or time: its lattice, its bins, and whether a moment has a phase of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from karat.content.table.encoding.coding import DAY, NUMBERS, Grain
from karat.content.table.encoding.cycles import CYCLES, Cycle, phases
from karat.content.table.encoding.heaps import Heaps
from karat.content.table.encoding.marked import Side, Standing, exceptions
from karat.content.table.encoding.parts import Number, Part, Phase
from karat.content.table.encoding.scales import LEVELS, Reach, Scale, fit_scales
from karat.content.table.rules.between import Near
from karat.content.table.rules.constraints import Bounds, Rules
from karat.content.table.rules.expressions import Cells
from karat.content.table.schema.columns import Column

ROWS = 200  # from which on it is asked whether the phase of a moment says more than how far it lies from another
LOOKED = 20_000  # rows by which that is told
LIKELIER = 0.1  # nats that a row must be likelier on average, and
SURE = 4.0  # standard errors, for a moment to be told by its phase
TURNS = 16  # of a cycle, from which on ranges of moments are too wide to show it
TELLS = 0.002  # nats by which the phase makes another column likelier at least
PARTS = 12  # of another column
DEALS = 15  # of phases, by which is told what chance makes of them
BEYOND = 6.0  # standard deviations of chance
NEARLY, ALWAYS = (
    0.05,
    1.0,
)  # bits that a distance may hold beyond the column, of an order with exceptions and of one without
NARROW = 0.3  # of the standard deviation of the column: that of its distance, from which on the other says little of it
RARE_MARK = 0.003  # share of values off a mark, from which on it is learned which they are
SMOOTH = 0.05  # of the likelihood that is spread over all values, as no bin says what is never seen


def fitted(column: Column, cells: Cells, rules: Rules, columns: Mapping[str, Column]) -> list[Part]:
    """The part of a number, behind that of its phase where it has one."""
    values = cells.columns[column.name]
    lowers = tuple((order.low, order.strict) for order in rules.orders if order.high == column.name)
    lowers = tuple((low, strict) for low, strict in lowers if columns[low].kind in NUMBERS)
    near = rules.near.get(column.name)
    grain = Grain.fit(column, values)
    ticks = grain.ticks(values)
    one = _bare(Number, column.name, grain)
    one = replace(one, lowers=lowers, bounds=rules.bounds.get(column.name, Bounds()))
    if near is not None:
        one = replace(one, near=near.low, zero=int(near.strict) if near.apart else None)
    if one.bases:
        base = Number.base_of(grain, one.bases, cells)
        known = base[~np.isnan(base)]
        middle = float(np.median(known)) if len(known) else 0.0
        one = replace(one, middle=float(np.floor(middle)) if grain.whole else middle)
    one = replace(one, own=_scatters(one, ticks, cells))
    cycle = None
    if column.kind in ("date", "datetime") and near is None and not one.own:
        cycle = _cycle(one, cells) if lowers else _calendar(one, column, cells, rules, columns)
    one = replace(one, cycle=cycle)
    if cycle is not None and not one.bases:
        one = replace(one, ends=(float(np.nanmin(ticks)), float(np.nanmax(ticks))))
    coded = np.where(grain.marks(ticks), ticks, one.apart(ticks, cells))
    zero = None if one.zero is None or one.own else one.zero - 0.5
    zero = zero if cycle is None or not one.bases else one.close - 0.5
    there = ~np.isnan(ticks)
    fine, coarse = fit_scales(coded[there], grain, not there.all(), zero)
    known = there & ~grain.marks(ticks)
    if one.bases:
        base = Number.base_of(grain, one.bases, cells)
        one = replace(one, reach=Reach.fit(ticks[known], base[~np.isnan(base)], grain))
    one = replace(one, missing=int((~there).sum()), fine=fine, coarse=coarse).precise(ticks[known], coded[known])
    if one.own and near is not None:
        return [_side(one, near, cells), one]
    stands = one.shown[0]
    more: list[Part] = [] if cycle is None else [_phase(one, cells)]
    if one.relative and isinstance(stands, Heaps) and max(stands.shares[0][1]) < 1 - RARE_MARK:
        more.append(Standing.fit(one.name, grain, stands, ticks))
    return [*more, one]


def _side(one: Number, near: Near, cells: Cells) -> Part:
    broken = int(exceptions(near.low, one.name, near.strict, cells).sum())
    return Side(near.low, one.name, near.strict, len(cells) - broken, broken)


def _scatters(one: Number, ticks: np.ndarray, cells: Cells) -> bool:
    """Whether a column of an order says less by itself than by its distance from the other: a limit in tens of thousands above
    what was spent, or the few prices of a shop above what each cost, would stand anywhere if coded so. Where the other says
    nearly what it is, the distance is coded all the same."""
    if not (one.lowers or one.zero is not None) or one.grain.marks(ticks).any():
        return False
    apart = one.apart(ticks, cells)
    known = np.flatnonzero(np.isfinite(ticks) & np.isfinite(apart))
    known = known[:: max(1, len(known) // LOOKED)]
    apart, own = apart[known], ticks[known]
    more = _bits(apart) - _bits(own)
    return bool(more > (NEARLY if one.near else ALWAYS) and apart.std() > NARROW * own.std())


def _bits(values: np.ndarray) -> float:
    """The entropy of values [n] as they were counted."""
    shares = np.unique(values, return_counts=True)[1] / max(1, len(values))
    return -float((shares * np.log2(shares)).sum())


def _bare(kind: type[Number], name: str, grain: Grain) -> Number:
    nothing = Scale.fit(np.zeros(1), 1, grain.whole)
    return kind(name, grain, 0, nothing, nothing)


def _lattice(phase: np.ndarray) -> Grain:
    """That of phases; they have no tails, which a number would be given."""
    return Grain.fit(Column("phase", "datetime"), pa.array(phase[~np.isnan(phase)].astype(np.int64)))


def _phase(one: Number, cells: Cells) -> Part:
    assert one.cycle is not None
    phase = phases(one.cycle, cells.columns[one.name])
    part = replace(_bare(Phase, one.name, _lattice(phase)), cycle=one.cycle)
    ticks = part.ticks(cells)
    there = ~np.isnan(ticks)
    fine, coarse = fit_scales(ticks[there], part.grain, not there.all())
    return replace(part, missing=int((~there).sum()), fine=fine, coarse=coarse)


def _cycle(one: Number, cells: Cells) -> Cycle | None:
    """The cycle whose phase, with how many turns later it is, makes held-out moments likelier than their distance does."""
    grain = one.grain
    ticks, column = grain.ticks(cells.columns[one.name]), cells.columns[one.name]
    rows = np.flatnonzero(~np.isnan(ticks))
    if len(rows) < ROWS:
        return None
    rows = np.random.default_rng(0).permutation(rows)[:LOOKED]
    column, some = column.take(pa.array(rows)), Cells({n: c.take(pa.array(rows)) for n, c in cells.columns.items()})
    known = one.heaps(ticks[rows])
    plain = _likelihood(one.apart(ticks[rows], some)) + (
        0.0 if known is None else known.likelier(grain.units(ticks[rows]))
    )
    best: tuple[float, Cycle | None] = (LIKELIER, None)
    for name in CYCLES if grain.kind == "datetime" else CYCLES[1:]:
        cycle = Cycle(name, grain.kind == "datetime")
        phase = phases(cycle, column)
        part = replace(one, cycle=cycle)
        far = part.apart(ticks[rows], some)
        places = _lattice(phase).ticks(pa.array(phase.astype(np.int64)))
        gain = _likelihood(places) * (far[1::2] >= part.close) + _likelihood(far) - plain
        mean, error = float(gain.mean()), float(gain.std() / np.sqrt(len(gain)))
        if mean > max(best[0], SURE * error):
            best = mean, cycle
    return best[1]


def _calendar(one: Number, column: Column, cells: Cells, rules: Rules, columns: Mapping[str, Column]) -> Cycle | None:
    """The cycle whose phase tells of other columns, such as the day of the week of a channel that is closed on Sundays, or
    without which hours would be lost; nothing that ranges of moments show. Of several the one that tells most.
    """
    if column.unique or any(column.name in names for names in rules.unique):
        return None
    rows = np.flatnonzero(~np.isnan(one.grain.ticks(cells.columns[column.name])))
    if len(rows) < ROWS:
        return None
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:LOOKED])
    some = Cells({n: c.take(pa.array(rows)) for n, c in cells.columns.items()})
    units = one.grain.units(one.grain.ticks(some.columns[column.name]))
    timed = one.grain.kind == "datetime"
    cycles = [Cycle(name, timed) for name in (CYCLES if timed else CYCLES[1:])]
    cycles = [c for c in cycles if np.ptp(c.split(units)[0]) >= TURNS]
    others = [of for of in _others(column, some, rules, columns) if of.max() > 0] if cycles else []
    best: tuple[float, Cycle | None] = (0.0, None)
    for cycle in cycles:
        turn, phase = cycle.split(units)
        gain = _told(turn, _stretch(cycle, phase), others)
        if timed:  # of which bins are wider than an hour
            dealt = np.random.default_rng(1).permutation(len(units))
            alone = sum(_likelihood(x[dealt]) for x in (_lattice(phase).of_units(phase), turn.astype(np.float64)))
            alone = alone - _likelihood(one.grain.of_units(units)[dealt])
            mean, error = float(alone.mean()), float(alone.std() / np.sqrt(len(alone)))
            gain += mean if mean > max(LIKELIER, SURE * error) else 0.0
        if gain > best[0]:
            best = gain, cycle
    return best[1]


def _others(column: Column, cells: Cells, rules: Rules, columns: Mapping[str, Column]) -> list[np.ndarray]:
    """int [n] each: in which of a few parts the cells of the other columns lie, and how long after the moment others are."""
    apart = {order.high for order in rules.orders if order.low == column.name}
    out = []
    for name, values in cells.columns.items():
        other = columns.get(name)
        if name == column.name or other is None or other.made or other.kind == "constant":
            continue
        if other.kind in NUMBERS and not (other.kind in ("date", "datetime") and name not in apart):
            x = cells.number(name) - (cells.number(column.name) if name in apart else 0.0)
            known = x[np.isfinite(x)] if np.isfinite(x).any() else np.zeros(1)
            cuts = np.unique(np.quantile(known, np.linspace(0, 1, PARTS)[1:-1]))
            out.append(np.where(np.isnan(x), 0, 1 + np.searchsorted(cuts, x, side="right")))
        elif other.kind not in NUMBERS:
            _, code = np.unique(
                values.cast(pa.string()).fill_null("\0").to_numpy(zero_copy_only=False), return_inverse=True
            )
            many = np.bincount(code)
            rank = np.argsort(np.argsort(-many, kind="stable"), kind="stable")
            out.append(np.minimum(rank[code], PARTS - 1))
    return out


def _stretch(cycle: Cycle, phase: np.ndarray) -> np.ndarray:
    """int64 [n]: the hour, the day of the week (where there are hours, the part of one), the day of the month, the month."""
    if cycle.name == "day":
        return phase // (DAY // 24)
    if cycle.name == "week" and cycle.timed:
        return phase // (DAY // 8)
    return phase // (31 * cycle.day if cycle.name == "year" else cycle.day)


def _told(turn: np.ndarray, phase: np.ndarray, others: Sequence[np.ndarray]) -> float:
    """What `phase` [n] tells of the parts of other columns, in nats, summed over those of which it tells beyond chance.

    By chance is what it tells once the phases of different stretches of time are dealt among these: rows of one day may be alike
    whatever day of the week it is.
    """
    rng, at, each = np.random.default_rng(0), *np.unique(np.stack([turn, phase]), axis=1, return_inverse=True)
    each = each.reshape(-1)
    dealt = [rng.permutation(at[1])[each] for _ in range(DEALS)]
    total = 0.0
    for parts in others:
        own = _information(phase, parts)
        if own <= TELLS:
            continue
        chance = [_information(one, parts) for one in dealt]
        gain, error = own - float(np.mean(chance)), float(np.std(chance))
        total += gain if gain > max(TELLS, BEYOND * error) else 0.0
    return total


def _information(phase: np.ndarray, parts: np.ndarray) -> float:
    """The mutual information of both [n], in nats."""
    wide = int(parts.max()) + 1
    both = np.bincount(phase * wide + parts, minlength=(int(phase.max()) + 1) * wide).reshape(-1, wide) / len(parts)
    alone = both.sum(1, keepdims=True) * both.sum(0)
    some = both > 0
    return float((both[some] * np.log(both[some] / alone[some])).sum())


def _likelihood(ticks: np.ndarray) -> np.ndarray:
    """float64 [n // 2]: the log-likelihood of every other of the whole `ticks` [n] by the bins of the others."""
    known, unseen = ticks[::2], ticks[1::2]
    scale = Scale.fit(known, LEVELS, True)
    at = scale.bins(unseen)
    inside = (unseen >= scale.lows[at]) & (unseen <= scale.highs[at])
    own = scale.counts[at] / len(known) / (scale.highs[at] - scale.lows[at] + 1)
    return np.asarray(np.log((1 - SMOOTH) * own * inside + SMOOTH / (ticks.max() - ticks.min() + 1)))
