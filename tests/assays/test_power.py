"""Below the number of records at which it sees its fault, a finding says so and names the number; at that number it sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from cases import case

from karat.assays import Finding, find, power
from karat.assays.chance import LEVEL
from karat.assays.faults import FAULTS, fault, percent
from karat.assays.finding import Sample
from karat.assays.keys import KEYS
from karat.assays.points import bias
from karat.assays.shares import all_certain, certain
from karat.assays.sights import sentence, sights
from karat.assays.table import categories, columns, linkage, predicting
from karat.assays.table import rows as rooms
from karat.assays.table.altering import altered
from karat.assays.table.tables import examine
from karat.views import Columns, TableView

COLUMNS = Columns(("price", "group", "sold"), ((), tuple("abcde"), ("no", "yes")))
SHARES = [0.4, 0.25, 0.15, 0.127, 0.073]


def rows(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    group = rng.choice(5, n, p=SHARES)
    price = rng.normal(group, 1.0)
    return np.stack([price, group, (price + rng.normal(0, 1, n) > 1).astype(float)], 1)


def sheet(values: np.ndarray) -> TableView:
    return TableView(COLUMNS, values)


def without(values: np.ndarray, group: int, n: int) -> np.ndarray:
    return values[values[:, 1] != group][:n]


def missing(n: int, seed: int) -> Finding:
    """What is said of `n` made rows without a category that 12.7% of 1,200 real rows have."""
    train, unseen = sheet(rows(1000, 3 * seed)), sheet(rows(200, 3 * seed + 1))
    made = sheet(without(rows(2 * n + 50, 3 * seed + 2), 3, n))
    return find(categories.findings(case(train, unseen, made)), "missing classes")


@pytest.mark.parametrize("n", [20, 40, 60, 100])
def test_a_missing_category_is_never_ok_in_few_rows(n: int) -> None:
    found = missing(n, 0)
    assert found.state != "ok" and (found.raised or f"cannot tell at n={n}; needs" in found.judged)


def test_at_the_number_that_is_named_the_fault_is_seen() -> None:
    short = missing(40, 0).lacking
    assert short is not None and short.side == "made" and 60 < short.needs < 400
    assert all(missing(short.needs, seed).raised for seed in range(5))


def test_twenty_rows_with_shuffled_labels_are_not_ok_and_a_thousand_are_raised() -> None:
    for n, state in ((20, "cannot tell"), (1000, "raised")):
        made = rows(n, 2)
        made[:, 2] = np.random.default_rng(0).permutation(made[:, 2])
        found = predicting.findings(case(sheet(rows(2000, 0)), sheet(rows(1000, 1)), sheet(made), "sold"))
        assert find(found, "usefulness").state == state, find(found, "usefulness").summary


@pytest.mark.exam
def test_whatever_is_made_few_unseen_rows_leave_what_decides_open_and_many_do_not() -> None:
    few = examine(sheet(rows(450, 0)), sheet(rows(50, 1)), sheet(rows(1000, 2)))
    blind = {f.name for f in few if f.kind.decides and f.state == "cannot tell"}
    assert {"two-sample auc", "column shapes", "precision"} <= blind and not any(f.raised for f in few)
    assert all(f.lacking is not None and f.lacking.needs > f.lacking.n for f in few if f.state == "cannot tell")
    many = examine(sheet(rows(6000, 0)), sheet(rows(2000, 1)), sheet(rows(2000, 2)))
    left = {f.name: f for f in many if f.kind.decides and f.state != "ok"}
    assert set(left) == {"near copies"} and left["near copies"].lacking is not None
    assert left["near copies"].lacking.unreachable, "of three columns no number of rows shows an altered copy"


def test_what_a_score_needs_follows_from_its_error() -> None:
    """An error of 0.02 from 500 and 500 must fall to 0.1 / (LEVEL + 1.2816) = 0.0159: the samples must grow by 1.58."""
    samples = power.of_score(0.02, 0.1, 500, 500)
    grown = (0.02 * (LEVEL + power.REACH) / 0.1) ** 2
    assert [s.needs for s in samples] == [pytest.approx(500 * grown, abs=1)] * 2
    assert all(not s.short for s in power.of_score(0.01, 0.1, 500, 500))
    alone = power.of_score(0.02, 0.1, 500, 5000)  # where there are enough of one side, only the other is wanted
    assert len(alone) == 1 and alone[0].side == "made" and alone[0].short
    needs = alone[0].needs
    assert 1 / needs + 1 / 5000 == pytest.approx((1 / 500 + 1 / 5000) / grown, rel=0.01)


@pytest.mark.parametrize("floor", [0.0, 0.05, 0.2])
def test_a_distance_that_chance_alone_gives_hides_a_part_of_the_gap(floor: float) -> None:
    """At the number that is named the gap that is left over the floor is as many errors as it takes; both have fallen."""
    error, n = 0.04, 300
    needs = power.scored("column shapes", error, n, n, floor=floor)[0].needs
    shrunk = (n / needs) ** 0.5
    gap = np.hypot(floor * shrunk, power.GAPS["column shapes"]) - floor * shrunk
    assert gap == pytest.approx((LEVEL + power.REACH) * error * shrunk, rel=0.01)


def test_a_share_of_which_half_is_real_has_half_the_gap_to_lose() -> None:
    whole, half = (power.scored("coverage", 0.02, 400, 400, unit)[0].needs for unit in (1.0, 0.5))
    assert whole == 0 and half > 1000


WIDE = Columns(tuple("abcdef"), ((),) * 6)


def planted(n: int, seed: int) -> dict[str, Finding]:
    """What is said of `n` rows of which 15% lie far from any real one, and of as many that have a column off by a fifth."""
    rng = np.random.default_rng(seed)
    train, unseen, made = (TableView(WIDE, rng.normal(size=(size, 6))) for size in (2 * n, n, n))
    corners = np.where(rng.random((n, 1)) < power.GAPS["precision"], rng.choice([-9.0, 9.0], (n, 6)), made.values)
    moved = made.values.copy()
    moved[rng.random(n) < power.GAPS["column shapes"], 0] = 9.0
    found = rooms.findings(case(train, unseen, TableView(WIDE, corners)))
    found += columns.findings(case(train, unseen, TableView(WIDE, moved)))
    return {name: find(found, name) for name in ("precision", "column shapes")}


def test_a_fault_of_the_size_that_is_promised_is_hardly_ever_called_ok() -> None:
    """While chance was reckoned with as it is without the fault, 15 of 20 columns were called ok at 500 rows."""
    found = [planted(n, seed) for n in (300, 500, 800, 1200) for seed in range(5)]
    states = {name: [f[name].state for f in found] for name in found[0]}
    assert all(summary.count("ok") <= 1 and summary[-5:] == ["raised"] * 5 for summary in states.values()), states


def test_fifty_real_rows_do_not_lack_rare_categories() -> None:
    """Two of twenty sets of fifty unseen rows were called so, whose dozen draws had all of the few rare rows or none."""
    names = Columns(("group",), (tuple("abcdefg"),))

    def few(n: int, rng: np.random.Generator) -> TableView:
        return TableView(names, rng.choice(7, (n, 1), p=[0.35, 0.25, 0.15, 0.12, 0.08, 0.03, 0.02]).astype(float))

    for seed in range(60):
        rng = np.random.default_rng(seed)
        found = categories.findings(case(few(1000, rng), few(50, rng), few(50, rng)))
        assert find(found, "rare categories").state == "cannot tell", seed


def test_what_a_count_needs_is_the_smallest_number_at_which_it_is_seen() -> None:
    def sides(sees: Callable[[int, int], bool], n: int, m: int) -> list[tuple[int, int, str]]:
        return [(s.n, s.needs, s.side) for s in power.of_count(lambda made, real, _: sees(made, real), n, m, 0.1)]

    assert sides(lambda n, m: n >= 300 and m >= 50, 20, 60) == [(20, 300, "made")]
    assert sides(lambda n, m: n >= 300 and m >= 50, 400, 20) == [(20, 50, "unseen real")]
    assert [x[:2] for x in sides(lambda n, m: n >= 300 and m >= 300, 20, 30)] == [(20, 300), (30, 300)]
    assert [x[1] for x in sides(lambda n, m: True, 20, 30)] == [0, 0]


def test_a_score_just_sees_the_least_fault_that_it_names() -> None:
    """(LEVEL + REACH) errors; where that is less than what is no fault at all, what is no fault and REACH errors."""
    error = 0.01
    (made, real) = power.of_score(error, 0.2, 500, 500)
    assert made.least == real.least == pytest.approx((LEVEL + power.REACH) * error, rel=0.06)
    beyond = power.of_score(error, 0.2, 500, 500, beyond=0.15)[0].least
    assert beyond == pytest.approx(0.15 + power.REACH * error, rel=0.06)
    assert power.of_score(error, 0.2, 500, 500, unit=0.5)[0].least == pytest.approx(2 * (made.least or 0), rel=0.1)
    assert power.of_score(1.0, 0.2, 500, 500)[0].least is None  # no gap is so large


@pytest.mark.parametrize("n", [60, 400, 3000])
def test_a_lost_category_of_the_share_that_is_named_is_seen_19_times_of_20_and_half_of_it_is_not(n: int) -> None:
    train, unseen = sheet(rows(4000, 0)), sheet(rows(400, 1))
    found = find(categories.findings(case(train, unseen, sheet(rows(n, 2)))), "missing classes")
    assert found.least is not None and found.sees == f"one lost class or category of {percent(found.least)}"
    for share, seen in ((found.least, True), (found.least / 2, False)):
        real = round(share * 4400)
        assert categories.lacks(0, n, real, 4400) is seen
    sizes = [power.of_count(lambda n, m, share: n * share >= 10, n, 400, 0.1)[0].least or 0 for n in (100, 1000)]
    assert sizes == pytest.approx([0.1, 0.01], rel=0.06)


@pytest.mark.parametrize("n", [300, 1500])
def test_copies_of_the_share_that_is_named_are_raised(n: int) -> None:
    train, unseen, other = rows(2000, 0), rows(400, 1), rows(n, 2)
    sides = [sheet(train), sheet(unseen)]
    least = linkage.copies(*sides, sheet(other)).least
    assert least is not None
    rng = np.random.default_rng(n)
    raised = []
    for _ in range(5):
        some = rng.random(n) < least
        raised.append(linkage.copies(*sides, sheet(np.where(some[:, None], train[:n], other))).raised)
    assert sum(raised) >= 4


def test_what_an_assay_would_have_seen_is_one_sentence_and_a_part_of_its_findings() -> None:
    found = examine(sheet(rows(2000, 0)), sheet(rows(500, 1)), sheet(rows(500, 2)))
    assert {f.key for f in found if f.samples} <= set(FAULTS)
    assert all(f.sees and f.to_dict()["sees"] == f.sees for f in found if f.state == "ok"), [f.name for f in found]
    text, copies = sentence(found, "row"), find(found, "copy rate").least
    assert copies is not None and f"{percent(copies)} copies" in text and "rows these tests would have seen" in text
    known = {s.finding: s for s in sights(found)}
    assert known["copy rate"].enough == (copies <= linkage.COPIES)
    few = [replace(f, samples=(Sample(20, 900, "made"),)) for f in found if f.key == "copy rate"]
    nothing = [replace(f, samples=(Sample(20, 0, "made"),)) for f in few]  # nothing to see, however many there are
    assert sentence(nothing) == ""
    assert sentence(few) == "Too few to see a fault of any size: copy rate." and sentence([]) == ""
    weaker = [replace(f, table="b", samples=(Sample(20, 900, "made", 0.4),)) for f in few]
    assert [s.fault for s in sights([*(f for f in found if f.key == "copy rate"), *weaker])] == ["40% copies"]


def test_where_most_real_rows_repeat_it_is_still_said_how_many_copies_would_have_been_seen() -> None:
    coarse = [np.round(rows(n, seed) * [12, 1, 1]) / [12, 1, 1] for n, seed in ((500, 0), (500, 1), (500, 2))]
    found = linkage.copies(*(sheet(x) for x in coarse), False)
    assert 0.5 < found.real < 0.95 and found.state == "ok" and found.least is not None and found.least > power.COPIES


def test_every_finding_says_what_it_would_have_seen_but_those_that_compare_two_models_or_count_money() -> None:
    silent = {key for key in KEYS if KEYS[key].assay != "worth" and key not in FAULTS}
    assert silent == {"kernel distance", "bits per character", "bits per byte"}  # without a unit that a person knows
    for key in FAULTS:
        assert not {"{", "}"} & set(fault(key, 0.02)) and any(c.isdigit() for c in fault(key, 0.02)), key
    assert (
        fault("membership", 0.08) == "an attacker who is right 58% of the time" and fault("two-sample auc", 0.6) == ""
    )


def test_of_rare_things_the_exact_test_decides_and_not_a_normal_score() -> None:
    assert certain(87, 2000, 0, 569) and certain(0, 569, 87, 2000)  # a normal score is below 5
    counts = np.array([87, 40, 5, 0]), np.array([0, 12, 0, 30])
    one_by_one = [certain(int(a), 2000, int(b), 569) for a, b in zip(*counts, strict=True)]
    assert all_certain(counts[0], 2000, counts[1], 569).tolist() == one_by_one == [True, False, False, True]


def test_one_copy_in_fifty_of_a_small_table_is_seen_and_five_thousand_made_rows_can_tell() -> None:
    train, unseen, other = rows(700, 0), rows(80, 1), rows(5000, 2)
    sides = [sheet(train), sheet(unseen)]
    assert linkage.copies(*sides, sheet(other)).state == "ok"
    for seed in range(3):
        some = np.random.default_rng(seed).random(5000) < 0.02
        made = np.where(some[:, None], train[np.arange(5000) % 700], other)
        assert linkage.copies(*sides, sheet(made)).raised


def test_where_few_unseen_records_are_the_reason_more_of_them_are_wanted_and_at_that_number_the_fault_is_seen() -> None:
    (short,) = bias.doubled(2000, 120)
    assert short.short and short.side == "unseen real" and short.needs < 300
    rng = np.random.default_rng(0)
    made, real = rng.binomial(2000, 0.4, 300), rng.binomial(short.needs, 0.2, 300)
    seen = np.mean([certain(int(a), 2000, int(b), short.needs) for a, b in zip(made, real, strict=True)])
    assert 0.9 < seen < 0.99


def numbers(n: int, seed: int, columns: int, copied: np.ndarray | None = None) -> TableView:
    """Rows of `columns` correlated numbers, of which one in fifty is one of those `copied`, altered."""
    rng = np.random.default_rng(seed)
    tie = np.random.default_rng(0).normal(size=(columns, columns))
    values = np.round(rng.normal(size=(n, columns)) @ tie, 3)
    names = Columns(tuple("abcdef"[:columns]), ((),) * columns)
    if copied is not None:
        some = rng.integers(len(copied), size=n // 50)
        values[: len(some)] = altered(copied[some], TableView(names, copied), rng)
    return TableView(names, values)


def near(columns: int, train: int, unseen: int, made: int, copied: bool = False) -> Finding:
    known = numbers(train, 0, columns)
    other = numbers(made, 2, columns, known.values if copied else None)
    return linkage._near(known, numbers(unseen, 1, columns), other)


def test_near_copies_beside_few_unseen_rows_name_a_number_that_helps() -> None:
    needs = {s.side: s.needs for s in near(6, 80, 20, 100).samples}
    assert 100 < max(needs.values()) < 2000
    assert near(6, 80, needs["unseen real"], needs["made"]).lacking is None


@pytest.mark.parametrize(("columns", "seen"), [(2, False), (3, False), (4, True), (6, True)])
def test_altered_copies_of_one_row_in_fifty_are_never_ok_in_a_narrow_table(columns: int, seen: bool) -> None:
    """In two columns a row with one of them changed is anybody's: that cannot be told, and is said."""
    clean, copied = (near(columns, 1000, 100, 3000, copied) for copied in (False, True))
    assert not clean.raised and copied.state == ("raised" if seen else "cannot tell"), copied.summary
    assert (clean.state == "ok") == (clean.least is not None and clean.least <= linkage.COPIES)


def test_rows_of_choices_that_mostly_equal_each_other_are_nobodys() -> None:
    rng = np.random.default_rng(0)
    names = Columns(("a", "b"), (tuple("abcde"), tuple("xyz")))
    sides = [TableView(names, rng.integers(0, (5, 3), (n, 2)).astype(float)) for n in (300, 60, 500)]
    assert linkage._near(*sides).state == "ok" and not linkage.copies(*sides).lacking


def test_what_so_few_rows_do_not_teach_is_open_and_what_no_row_teaches_is_not() -> None:
    few = predicting.findings(case(sheet(rows(500, 0)), sheet(rows(66, 1)), sheet(rows(1000, 2)), "sold"))[0]
    assert few.state == "cannot tell" and few.lacking is not None and few.lacking.needs < 1500, few.judged

    def noise(n: int, seed: int) -> TableView:
        return sheet(np.random.default_rng(seed).permuted(rows(n, seed), axis=0))

    never = predicting.findings(case(noise(1000, 0), noise(200, 1), noise(1000, 2), "sold"))[0]
    assert never.state == "ok", never.judged
    hardly = predicting.findings(case(noise(100, 0), noise(60, 1), noise(100, 2), "sold"))[0]
    assert hardly.state == "cannot tell"


def test_a_number_beyond_all_that_is_named_is_no_promise() -> None:
    assert Sample(20, power.MOST, "made").wanted == "more than 100,000 made"
    assert Sample(20, 1200, "made").wanted == "1,200 made"
