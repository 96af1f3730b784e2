"""What training rows show of a number, date or time: its lattice, its bins, and whether a moment has a phase of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from karat.content.table.encoding.coding import NUMBERS, Grain
from karat.content.table.encoding.cycles import CYCLES, Cycle, phases
from karat.content.table.encoding.parts import Number, Part, Phase
from karat.content.table.encoding.scales import LEVELS, Scale, fit_scales
from karat.content.table.rules.constraints import Bounds, Rules
from karat.content.table.rules.expressions import Cells
from karat.content.table.schema.columns import Column

ROWS = 200  # from which on it is asked whether the phase of a moment says more than how far it lies from another
LOOKED = 20_000  # rows by which that is told
LIKELIER = 0.1  # nats that a row must be likelier on average, and
SURE = 4.0  # standard errors, for a moment to be told by its phase
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
    one = one if near is None else replace(one, near=near.low)
    if one.bases:
        base = Number.base_of(grain, one.bases, cells)
        known = base[~np.isnan(base)]
        middle = float(np.median(known)) if len(known) else 0.0
        one = replace(one, middle=float(np.floor(middle)) if grain.whole else middle)
    cycle = _cycle(one, cells) if lowers and near is None and column.kind in ("date", "datetime") else None
    one = replace(one, cycle=cycle)
    ticks = np.where(grain.marks(ticks), ticks, one.apart(ticks, cells))
    zero = None if near is None or not near.apart else 0.5 if near.strict else -0.5
    zero = zero if cycle is None else one.close - 0.5
    there = ~np.isnan(ticks)
    fine, coarse = fit_scales(ticks[there], grain, not there.all(), zero)
    one = replace(one, missing=int((~there).sum()), fine=fine, coarse=coarse).precise(
        ticks[there & ~grain.marks(ticks)]
    )
    return [one] if cycle is None else [_phase(one, cells), one]


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
    plain = _likelihood(one.apart(ticks[rows], some))
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


def _likelihood(ticks: np.ndarray) -> np.ndarray:
    """float64 [n // 2]: the log-likelihood of every other of the whole `ticks` [n] by the bins of the others."""
    known, unseen = ticks[::2], ticks[1::2]
    scale = Scale.fit(known, LEVELS, True)
    at = scale.bins(unseen)
    inside = (unseen >= scale.lows[at]) & (unseen <= scale.highs[at])
    own = scale.counts[at] / len(known) / (scale.highs[at] - scale.lows[at] + 1)
    return np.asarray(np.log((1 - SMOOTH) * own * inside + SMOOTH / (ticks.max() - ticks.min() + 1)))
