"""Numbers of sequences are judged by how they change: each fault of series is found by its finding, and real ones by none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from karat.assays.finding import Finding
from karat.assays.relational import changing
from karat.assays.relational.case import Case
from karat.assays.relational.changing import Column, Moves
from karat.views import Columns, DatabaseView, TableView, Tie

COLUMNS = Columns(("price", "future"), ((), ()))
ROWS = 60


def returns(parents: int, seed: int) -> np.ndarray:
    """float64 [parents, rows, 2]: two columns that move together, calm and wild in turns."""
    rng = np.random.default_rng(seed)
    out = np.zeros((parents, ROWS, 2))
    square, last = np.full(parents, 1e-4), np.zeros(parents)
    for t in range(ROWS):
        square = 4e-6 + 0.3 * last**2 + 0.66 * square
        last = np.sqrt(square) * rng.normal(size=parents)
        out[:, t] = np.stack([last, 0.8 * last + 0.6 * np.sqrt(square) * rng.normal(size=parents)], 1)
    return out


def side(change: np.ndarray) -> tuple[TableView, Tie]:
    parents, rows, width = change.shape
    levels = np.linspace(3, 5, parents)[:, None, None]
    values = np.exp(levels + np.cumsum(change, 1)).reshape(-1, width)
    link = np.repeat(np.arange(parents), rows)
    before = np.where(np.arange(len(link)) % rows > 0, np.arange(len(link)) - 1, -1)
    return TableView(COLUMNS, values), Tie(
        "days", "shares", "share", True, link, np.zeros(len(link), bool), before, before
    )


def findings(sides: Sequence[tuple[TableView, Tie]]) -> list[Finding]:
    t, u, m = (DatabaseView({"days": table}, (tie,), len(table)) for table, tie in sides)
    return changing.findings(Case(t, u, m, 0))


def judged(made: np.ndarray) -> dict[str, Finding]:
    return {f.key: f for f in findings([side(returns(120, 1)), side(returns(60, 2)), side(made)])}


def shuffled(x: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(9)
    return np.stack([one[rng.permutation(len(one))] for one in x])


def smoothed(x: np.ndarray) -> np.ndarray:
    out = x.copy()
    out[:, 2:] = (x[:, 2:] + x[:, 1:-1] + x[:, :-2]) / 3
    return out


def apart(x: np.ndarray) -> np.ndarray:
    return np.stack([x[..., 0], np.roll(x[..., 1], 1, 0)], 2)


def test_fresh_real_sequences_are_accused_of_nothing() -> None:
    for seed in (3, 4, 5):
        assert not [f.name for f in judged(returns(100, seed)).values() if f.raised]


@pytest.mark.parametrize(
    ("fault", "keys"),
    [
        (shuffled, {"volatility"}),
        (smoothed, {"changes", "autocorrelation"}),
        (apart, {"cross-correlation"}),
        (lambda x: 1.6 * x, {"changes"}),
    ],
    ids=["steps in another order", "a moving average", "columns of different sequences", "changes too wide"],
)
def test_a_fault_of_series_is_found_by_the_finding_that_is_for_it(
    fault: Callable[[np.ndarray], np.ndarray], keys: set[str]
) -> None:
    found = judged(fault(returns(100, 3)))
    assert keys <= {f.key for f in found.values() if f.raised}
    if fault is shuffled:
        assert not found["changes"].raised and not found["cross-correlation"].raised, "the changes are the real ones"


def test_the_kurtosis_and_the_standard_deviation_are_said_of_each_column() -> None:
    found = judged(returns(100, 6))["changes"]
    price = next(c for c in found.detail.columns if c.column == "price")  # type: ignore[union-attr]
    real = returns(120, 1)[:, 1:, 0]
    assert price.factors and price.real_spread == pytest.approx(real.std(), rel=1e-6)
    assert price.real_kurtosis == pytest.approx(((real - real.mean()) ** 4).mean() / real.var() ** 2, rel=1e-6)
    assert "kurtosis" in found.summary and "days" in found.name


def test_short_sequences_and_few_of_them_are_not_judged_by_their_changes() -> None:
    short = [side(returns(n, s)[:, :6]) for s, n in ((1, 120), (2, 60), (3, 60))]
    few = [side(returns(n, s)) for s, n in ((1, 120), (2, 12), (3, 60))]
    for sides in (short, few):
        assert not findings(sides)


def test_a_row_so_many_back_is_of_the_same_sequence() -> None:
    table, tie = side(returns(3, 0))
    lags = Moves.of(table, tie, [Column(0, "price", 0.0)]).lags(4)
    for k, back in enumerate(lags):
        there = back >= 0
        assert (np.arange(len(back))[there] - back[there] == k).all() and there.sum() == 3 * (ROWS - k)
