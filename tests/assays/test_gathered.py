"""A parent with its children as a row: the same columns on every side, and what the children are like."""

from __future__ import annotations

import numpy as np

from karat.assays.relational.gathered import gathered, hanging, named
from karat.views import Columns, DatabaseView, TableView, Tie


def database(many: list[int], values: list[float], kinds: list[int]) -> DatabaseView:
    """Parents with so many children each, in order, of a number and a kind."""
    links = np.repeat(np.arange(len(many)), many)
    place = np.concatenate([np.arange(k) for k in many] or [np.zeros(0)]).astype(int)
    before = np.where(place > 0, np.arange(len(links)) - 1, -1)
    tie = Tie("steps", "runs", "run", True, links, np.zeros(len(links), bool), before, place, "at", place.astype(float))
    runs = TableView(Columns(("size",), ((),)), np.arange(len(many), dtype=float)[:, None])
    columns = Columns(("at", "x", "kind"), ((), (), ("a", "b")))
    steps = TableView(columns, np.column_stack([place, values, kinds]).astype(float))
    return DatabaseView({"runs": runs, "steps": steps}, (tie,), len(many))


LONG = database([4, 0, 3], [1, 1, 1, 5, 2, 2, 8], [0, 0, 1, 0, 1, 1, 1])
SHORT = database([1, 2, 0], [3, 4, 4], [0, 1, 1])


def test_every_side_has_the_columns_that_the_training_side_has() -> None:
    assert hanging(LONG, "runs") == [0] and named("runs", LONG.ties) == "runs + steps"
    for sides in ((LONG, SHORT), (SHORT, LONG)):
        parts = gathered(sides, "runs", [0])
        assert parts[0].columns == parts[1].columns
    assert "most rows in which steps.x stays as it is" in gathered([LONG, SHORT], "runs", [0])[1].names
    assert "most rows in which steps.x stays as it is" not in gathered([SHORT, LONG], "runs", [0])[1].names


def test_what_children_are_like_is_reckoned_for_each_parent() -> None:
    part = gathered([LONG], "runs", [0])[0]
    told = dict(zip(part.names, part.values.T, strict=True))
    nan = np.nan
    for name, wanted in {
        "size": [0, 1, 2],
        "how many steps": [4, 0, 3],
        "mean of steps.x": [2, nan, 4],
        "least of steps.x": [1, nan, 2],
        "greatest of steps.x": [5, nan, 8],
        "furthest step of steps.x": [4, nan, 6],
        "most rows in which steps.x stays as it is": [3, nan, 2],
        "how many different steps.kind": [2, 0, 1],
        "share of steps.kind = b": [0.25, nan, 1],
    }.items():
        np.testing.assert_allclose(told[name], wanted, err_msg=name)


def test_the_order_of_the_rows_means_nothing() -> None:
    order = np.array([6, 2, 0, 5, 3, 1, 4])
    back = np.argsort(order)
    tie, steps = LONG.ties[0], LONG.tables["steps"]
    before = np.where(tie.before[order] >= 0, back[tie.before[order]], -1)
    mixed = Tie("steps", "runs", "run", True, tie.links[order], tie.absent, before, tie.place[order], "at")
    other = DatabaseView({"runs": LONG.tables["runs"], "steps": steps.take(order)}, (mixed,), 3)
    a, b = gathered([LONG, other], "runs", [0])
    np.testing.assert_array_equal(a.values, b.values)
