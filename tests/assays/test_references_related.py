"""Reference generators of related tables choose whole records, and one gives children to other parents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shops

from karat.assays.references import draw, plants
from karat.assays.references.calibration import FINE, table, tally
from karat.content import Related
from karat.content.relational.database import Database
from karat.data import Data, load
from karat.views import DatabaseView
from karat.workflow import office
from karat.workflow.calibrating import exams

FIRST = "customers"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = shops.written(shops.shop(120, np.random.default_rng(0)), tmp_path_factory.mktemp("related") / "shop")
    return load(folder, holdout=0.5, options={"discover": False})


def sides(data: Data) -> tuple[DatabaseView, DatabaseView]:
    train, source = (data.codec.view(data.contents.records[rows]) for rows in (data.train, data.holdout))
    assert isinstance(train, DatabaseView) and isinstance(source, DatabaseView)
    return train, source


def made(data: Data, name: str, strength: float | None = None) -> Database:
    """The records that a reference makes, with those that they refer to."""
    drawn = draw(name, *sides(data), 1000, np.random.default_rng(1), strength=strength)
    records = office.records_of(data, drawn, np.concatenate([data.train, data.holdout])).records
    assert isinstance(records, Database)
    return records


def people(records: Database) -> set[str]:
    return set(records.cells(FIRST, "customer_id").to_pylist())


def test_who_chooses_takes_training_records_unseen_ones_or_some_of_both(shop: Data) -> None:
    known, fresh = (people(shop.contents.records[rows]) for rows in (shop.train, shop.holdout))
    assert people(made(shop, "oracle")) == fresh and set() < people(made(shop, "bootstrap")) <= known
    some = people(made(shop, "copier", 0.5))
    assert 0.35 < len(some & known) / len(some) < 0.65


def test_the_collapser_loses_one_category_with_all_that_hangs_on_it_and_the_skewer_has_more_of_one(shop: Data) -> None:
    fresh = shop.contents.records[shop.holdout]
    lost = made(shop, "collapser", 0.1)
    before, after = (set(x.cells(FIRST, "segment").to_pylist()) for x in (fresh, lost))
    assert len(before - after) == 1 and len(lost.tables["orders"]) < len(fresh.tables["orders"])
    drawn = made(shop, "skewer", 3.0)
    share = [
        [x.cells(FIRST, "segment").to_pylist().count(s) / len(x.tables[FIRST]) for s in before] for x in (fresh, drawn)
    ]
    assert max(np.divide(*reversed(share))) > 2


def test_the_shuffler_gives_orders_to_other_customers_of_whom_each_has_as_many(shop: Data) -> None:
    fresh, mixed = (made(shop, name) for name in ("oracle", "shuffler"))
    owners = [x.cells("orders", "customer_id").to_pylist() for x in (fresh, mixed)]
    assert sorted(owners[0]) == sorted(owners[1]) and owners[0] != owners[1]
    assert isinstance(shop.codec, Related) and fresh.tables[FIRST].cells == mixed.tables[FIRST].cells


def test_what_must_speak_is_named_by_its_table_or_its_relation(shop: Data) -> None:
    due = {p.reference: p.findings for p in plants(sides(shop)[0])}
    assert due["bootstrap"] == ("customers copy rate",) and due["oracle"] == ()
    assert due["shuffler"] == ("orders customer_id parent-child auc", "orders customer_id parent-child pairs")


@pytest.mark.exam
def test_every_fault_of_related_tables_is_found_and_no_real_table_accused(tmp_path: Path) -> None:
    folder = shops.written(shops.shop(600, np.random.default_rng(0)), tmp_path / "shop")
    done = list(exams(load(folder, holdout=0.6), range(1), graded=False))
    assert [(e.plant, e.wrong) for e in done if e.wrong] == [], table(done)
    silent = [t.plant for t in tally(done) if t.plant.reference not in FINE and t.raised < t.n - t.blind]
    assert silent == [] and len({e.plant.reference for e in done}) == 7
