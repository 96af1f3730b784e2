"""Tables of millions of rows: what is looked at and judged takes no more memory than it needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
from cases import case

from karat.assays import find
from karat.assays.table import linkage
from karat.content.table.tables import LOOKED, Tables
from karat.data import load
from karat.views import Columns, TableView, row_digests


def test_a_glance_at_a_large_table_takes_rows_from_all_over_it_and_says_how_many() -> None:
    n = LOOKED + 200_000
    found = load(pa.table({"at": np.arange(n), "side": np.arange(n) % 2 == 0}), glance=True)
    at = found.contents.records.cells["at"].to_numpy()
    assert len(at) == LOOKED and at.min() < 2 and at.max() > n - 3
    assert found.contents.facts["rows_in_source"] == n
    assert any(f"{LOOKED:,} of {n:,} rows, spread evenly over the source" in note for note in found.notes)


def test_what_a_person_says_of_rows_goes_before_a_glance() -> None:
    table = pa.table({"at": np.arange(500), "side": np.arange(500) % 2 == 0})
    assert len(load(table, options={"rows": 100}, glance=True).contents.records) == 100
    assert len(load(table, glance=True).contents.records) == 500 and Tables.glance == {"rows": LOOKED}


def sheet(values: np.ndarray) -> TableView:
    return TableView(Columns(("a", "b"), ((), ())), values)


def test_copies_are_looked_for_among_all_training_rows_though_a_part_is_compared() -> None:
    rng = np.random.default_rng(0)
    whole, unseen, made = (sheet(rng.normal(size=(n, 2))) for n in (3000, 300, 300))
    made.values[:100] = whole.values[2000:2100]
    of = case(whole.take(np.arange(1000)), unseen, made)
    assert not find(linkage.findings(of), "copy rate").raised
    told = find(linkage.findings(replace(of, whole=whole)), "copy rate")
    assert told.raised and told.detail.copies == 100 and told.detail.searched == 3000
    assert {ours for _, ours in told.detail.same} <= set(range(2000, 2100))


def test_rows_are_equal_by_their_digests_as_they_are_cell_by_cell() -> None:
    values = np.array([[0.0, 1.0], [-0.0, 1.0], [np.nan, 1.0], [-np.nan, 1.0], [1.0, 0.0], [1.0, np.nan]])
    of = row_digests(values)
    assert of[0] == of[1] and of[2] == of[3] and len(set(of.tolist())) == 4
