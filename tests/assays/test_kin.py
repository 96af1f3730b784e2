"""Rows of one record are alike: samples of them vary more than as many rows that know nothing of one another."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.random import default_rng

from karat.assays.chance import draw, least_of, limit_of, resampled
from karat.assays.power import corrected
from karat.assays.relational import changing, courses, databases, forecasting
from karat.assays.relational.case import Case
from karat.assays.relational.changing import moved
from karat.assays.relational.kin import alone, independent, intraclass, likeness, records, witnesses
from karat.views import Columns, DatabaseView, TableView, Tie

EXAM = pytest.mark.exam
TOPICS = ("late", "broken", "other", "praise")


def visits(people: int, many: float, alike: float, seed: int) -> DatabaseView:
    """So many people with `many` visits each on average, `alike` of whose variance belongs to the person."""
    rng = default_rng([seed, people, 77])
    count = rng.poisson(many, people)
    of = np.repeat(np.arange(people), count)
    own, kind, n = rng.normal(size=(people, 2)), rng.integers(0, 4, people), len(of)
    numbers = np.sqrt(alike) * own[of] + np.sqrt(1 - alike) * rng.normal(size=(n, 2))
    topic = np.where(rng.random(n) < alike, kind[of], rng.integers(0, 4, n))
    columns = Columns(("amount", "minutes", "topic"), ((), (), TOPICS))
    child = TableView(columns, np.column_stack([np.round(numbers, 3), topic]))
    parent = TableView(Columns(("age",), ((),)), rng.integers(18, 80, (people, 1)).astype(float))
    place = np.concatenate([np.arange(c) for c in count])
    before = np.where(place > 0, np.arange(n) - 1, -1)
    tie = Tie("visits", "people", "person", True, of, np.zeros(n, bool), before, place)
    return DatabaseView({"people": parent, "visits": child}, (tie,), people)


@pytest.mark.parametrize(
    ("people", "many", "alike", "seeds"),
    [(50, 10.0, 0.9, 2), pytest.param(50, 10.0, 0.9, 6, marks=EXAM), pytest.param(120, 6.0, 0.6, 6, marks=EXAM)],
)
def test_fresh_records_whose_rows_are_alike_are_accused_of_nothing(
    people: int, many: float, alike: float, seeds: int
) -> None:
    """Before, every one of twelve reports accused them: two-sample AUC, class balance, membership."""
    raised: Counter[str] = Counter()
    for seed in range(seeds):
        train, unseen, made = (
            visits(n, many, alike, 10 * seed + i) for i, n in enumerate((4 * people, people, people))
        )
        found = corrected(databases.examine(train, unseen, made, seed=seed))
        raised.update(f.name for f in found if f.raised)
    assert not raised


def test_rows_that_are_independent_are_all_looked_at_and_rows_that_repeat_one_another_once() -> None:
    for alike, most in ((0.0, None), (0.9, 1)):
        sides = [visits(400, 8.0, alike, seed) for seed in range(3)]
        for rows, side in zip(independent(sides, "visits", 0), sides, strict=True):
            many = np.bincount(side.ties[0].links[rows])
            if most is None:
                assert len(rows) > 0.95 * len(side.tables["visits"])
            else:
                assert many.max() == most


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8])
def test_the_intraclass_correlation_is_that_which_was_put_in(share: float) -> None:
    rng, record = default_rng(3), np.repeat(np.arange(3000), 5)
    numbers = np.sqrt(share) * rng.normal(size=3000)[record] + np.sqrt(1 - share) * rng.normal(size=len(record))
    assert intraclass(numbers, record) == pytest.approx(share, abs=0.02)
    classes = np.where(
        rng.random(len(record)) < np.sqrt(share), rng.integers(0, 4, 3000)[record], rng.integers(0, 4, len(record))
    )
    assert intraclass(classes, record) == pytest.approx(share, abs=0.02)


def test_what_only_two_columns_together_tell_of_a_record_is_seen() -> None:
    """Each column is even within every record; whether they agree is the record's own."""
    rng, record = default_rng(4), np.repeat(np.arange(1000), 6)
    a, flip = rng.integers(0, 2, len(record)), rng.integers(0, 2, 1000)[record]
    table = TableView(Columns(("a", "b"), (("no", "yes"), ("no", "yes"))), np.column_stack([a, a ^ flip]).astype(float))
    assert max(intraclass(c, record) for c in (a, a ^ flip)) < 0.02
    assert likeness(table, record) > 0.3
    assert witnesses(table, record, 0) == 1


def test_rows_of_rows_belong_to_the_first_record_and_strays_to_themselves() -> None:
    links = {"orders": np.array([0, 0, 1, -1]), "items": np.array([0, 1, 2, 3, 3, -1])}
    one = Columns(("x",), ((),))
    tables = {name: TableView(one, np.zeros((n, 1))) for name, n in (("people", 2), ("orders", 4), ("items", 6))}
    ties = tuple(
        Tie(child, parent, "key", True, links[child], links[child] < 0, np.full(n, -1), np.zeros(n, int))
        for child, parent, n in (("orders", "people", 4), ("items", "orders", 6))
    )
    record = records(DatabaseView(tables, ties, 2), "items")
    assert len(np.unique(record)) == 4
    assert record[0] == record[1] == 0
    assert record[2] == 1
    assert record[3] == record[4] != record[5]
    assert alone(record, np.array([5, 4, 3, 1, 0, 2])).tolist() == [5, 4, 1, 2]


def test_few_rows_that_nearly_all_lie_where_others_do_accuse_nobody_by_one_sample_that_does_not() -> None:
    """15 of 23 against 23 of 23 in twelve draws of the same 47 rows: their spread is none, that of other rows is."""
    draws = draw(47, 23, default_rng(0))
    scores = iter([1.0] * 11 + [22 / 23])
    few = resampled(lambda _: next(scores), lambda _: 15 / 23, draws, True)
    assert not limit_of("recall", few, least_of(0.03, draws)).broken(few.value)
    many = draw(4000, 2000, default_rng(0))
    wide = resampled(lambda rows: 0.9 + 1e-3 * float(rows[0] % 3), lambda _: 0.8, many, True)
    assert limit_of("recall", wide, least_of(0.03, many)).broken(wide.value)


def test_rows_across_a_key_are_as_many_of_each_record_as_what_is_looked_at_allows() -> None:
    """Visits that know nothing of one another are all looked at beside the one before; those of one mind once a person."""
    for alike, wide in ((0.0, True), (0.9, False)):
        sides = [visits(n, 8.0, alike, seed) for seed, n in enumerate((400, 100, 100))]
        (found,) = (f for f in databases.tied(*sides, seed=0, apart=True) if f.name.endswith("sequences"))
        made = {s.side: s.n for s in found.samples}["made"]
        assert (made > 300) is wide
        assert (made <= 100) is not wide


def accounts(people: int, each: int, steps: int, seed: int) -> DatabaseView:
    """People with so many accounts each, whose steps are as wild and as steep in all accounts of one person."""
    rng = default_rng([seed, people, 78])
    wild, steep = np.exp(1.5 * rng.normal(size=people)), 3 * rng.normal(size=people)
    of = np.repeat(np.arange(people), each)
    account = np.repeat(np.arange(len(of)), steps)
    place = np.tile(np.arange(steps), len(of))
    change = wild[of[account]] * rng.normal(size=len(account)) + steep[of[account]]
    level = (np.cumsum(change.reshape(-1, steps), 1) + 100).reshape(-1)
    number = Columns(("x",), ((),))
    tables = {
        "people": TableView(number, rng.normal(size=(people, 1))),
        "accounts": TableView(number, rng.normal(size=(len(of), 1))),
        "steps": TableView(Columns(("day", "level"), ((), ())), np.column_stack([place, level])),
    }

    def tie(child: str, parent: str, links: np.ndarray, place: np.ndarray) -> Tie:
        before = np.where(place > 0, np.arange(len(links)) - 1, -1)
        order = "day" if child == "steps" else None
        return Tie(child, parent, "key", True, links, np.zeros(len(links), bool), before, place, order)

    ties = tie("accounts", "people", of, np.tile(np.arange(each), people)), tie("steps", "accounts", account, place)
    return DatabaseView(tables, ties, people)


def test_sequences_of_one_record_that_are_alike_are_looked_at_once_and_accuse_nobody() -> None:
    """Before, four reports of six accused them: forecast, changes, drawdown."""
    raised: Counter[str] = Counter()
    for seed in range(3):
        sides = [accounts(n, 40, 14, 10 * seed + i) for i, n in enumerate((100, 25, 25))]
        case = Case(*sides, 1, seed)
        columns, moves = moved(case)
        assert [m.parents for m in moves] == [100, 25, 25]
        assert [c.name for c in columns] == ["level"]
        found = corrected([*changing.findings(case), *courses.findings(case), *forecasting.findings(case)])
        raised.update(f.name for f in found if f.raised)
    assert not raised
