"""What lies between columns: values out of range, combinations that do not go together, and how groups are made."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from cases import case

from karat.assays import Finding, find
from karat.assays.details.rows import Combinations, Groups, OutOfRange
from karat.assays.table import joint, rules
from karat.languages import language
from karat.report.named import named
from karat.views import Columns, TableView

ROLES, SEXES = ("Child", "Husband", "Wife"), ("Female", "Male")
PEOPLE = Columns(
    ("age", "role", "sex", "race", "pay", "ordered", "sent"),
    ((), ROLES, SEXES, ("Black", "Other", "White"), ("high", "low"), (), ()),
    ("", "", "", "", "", "days", "days"),
    ("sex",),
)
AGE, ROLE, SEX, RACE, PAY, ORDERED, SENT = range(7)
Rows = np.ndarray


def people(n: int, seed: int) -> TableView:
    """Rows of a small land: husbands are men but for one in 2,000, a third of men and a tenth of women earn much."""
    rng = np.random.default_rng(seed)
    role = rng.choice(3, n, p=[0.4, 0.4, 0.2])
    sex = np.where(role == 1, rng.random(n) < 0.9995, np.where(role == 2, 0, rng.random(n) < 0.5))
    age = np.where(role == 0, rng.integers(0, 19, n), rng.integers(19, 91, n))
    pay = rng.random(n) >= np.where(role == 0, 0.1, np.where(sex == 1, 0.35, 0.15))
    race = rng.choice(3, n, p=[0.1, 0.2, 0.7])
    ordered = rng.integers(15_000, 16_000, n)
    values = np.stack([age, role, sex, race, pay, ordered, ordered + rng.integers(1, 9, n)], 1)
    return TableView(PEOPLE, values.astype(np.float64))


def judged(made: TableView, seed: int = 0, n: int = 3000, target: str | None = "pay") -> list[Finding]:
    return joint.findings(case(people(n, 2 * seed + 1), people(n // 10, 2 * seed + 2), made, target))


def with_(change: Callable[[Rows, np.random.Generator], Rows], n: int = 2000, seed: int = 99) -> TableView:
    return TableView(PEOPLE, change(people(n, seed).values.copy(), np.random.default_rng(seed)))


def ages(rows: Rows, rng: np.random.Generator) -> Rows:
    rows[rng.permutation(len(rows))[: len(rows) // 50], AGE] = 150
    return rows


def delayed(rows: Rows, rng: np.random.Generator) -> Rows:
    rows[rng.permutation(len(rows))[: len(rows) // 50], SENT] += 30
    return rows


def wives(rows: Rows, rng: np.random.Generator) -> Rows:
    husbands = rng.permutation(np.flatnonzero(rows[:, ROLE] == 1))
    rows[husbands[: len(husbands) // 20], SEX] = 0
    return rows


def unpaid(rows: Rows, rng: np.random.Generator) -> Rows:
    rows[rows[:, SEX] == 0, PAY] = 1
    return rows


def unpaid_few(rows: Rows, rng: np.random.Generator) -> Rows:
    rows[(rows[:, SEX] == 1) & (rows[:, RACE] == 0), PAY] = 1
    return rows


def half(rows: Rows, rng: np.random.Generator) -> Rows:
    return rows[(rows[:, ROLE] != 0) | (rows[:, SEX] == 1)]


def again(rows: Rows, rng: np.random.Generator) -> Rows:
    rows[:50] = rows[50]
    return rows


def twice(rows: Rows, rng: np.random.Generator) -> Rows:
    rows[:200] = rows[200:400]
    return rows


def nearly_twice(rows: Rows, rng: np.random.Generator) -> Rows:
    rows[:200] = rows[200:400]
    rows[:200, 0] += 0.25
    return rows


PLANTS = {
    ages: ("out of range", "age is at most 90 in all real rows; 2.00% of the made ones lie beyond, to 150"),
    delayed: ("out of range", "sent - ordered is at most 8 in all real rows"),
    wives: ("combinations", "made rows with role = Husband"),
    unpaid: ("groups", "made rows with sex = Female, 0 (0.0%) have pay = high"),
    unpaid_few: ("groups", "0 (0.0%) have pay = high"),
    half: ("groups", "made rows with role = Child, 0 (0.0%) have sex = Female"),
    again: ("combinations", "One and the same row stands 51 times in 2,000 made rows, 0 times in 3,300 real ones"),
    twice: ("combinations", "A row that is another row over again stands"),
    nearly_twice: ("combinations", "A row that is another row but for one cell stands"),
}


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_each_fault_between_columns_is_named_by_its_own_finding(plant: Callable[..., Rows]) -> None:
    key, words = PLANTS[plant]
    found = find(judged(with_(plant)), key)
    assert found.raised and words in found.summary, found.summary


@pytest.mark.parametrize(("real", "made"), [(50, 200), (200, 1000), (1000, 50), (1000, 1000)])
def test_unseen_rows_are_in_range_go_together_and_are_treated_alike(real: int, made: int) -> None:
    for seed in range(2):
        found = joint.findings(
            case(people(real, 3 * seed), people(max(20, real // 10), 3 * seed + 1), people(made, 999 + seed), "pay")
        )
        assert not [f.summary for f in found if f.raised]


def test_few_rows_say_that_they_cannot_tell() -> None:
    found = judged(people(30, 5), n=200)
    assert {f.key: f.state for f in found} == dict.fromkeys(("out of range", "combinations", "groups"), "cannot tell")


def test_the_rows_at_fault_are_shown() -> None:
    detail = find(judged(with_(ages)), "out of range").detail
    assert isinstance(detail, OutOfRange) and detail.columns[0].examples
    assert all(dict(example.cells)["age"] == "150" for example in detail.columns[0].examples)
    told = find(judged(with_(wives)), "combinations").detail
    assert isinstance(told, Combinations)
    cells = dict(told.odd[0].examples[0].cells)
    assert (cells["role"], cells["sex"]) == ("Husband", "Female")


def test_the_first_page_names_who_and_what_is_off() -> None:
    said = {
        f.key: named(f, language("en")) for plant in (ages, wives, unpaid) for f in judged(with_(plant)) if f.raised
    }
    assert said["out of range"] == ("age = 150",)
    assert said["combinations"][0].startswith(("sex = Female → role = Husband", "role = Husband → sex = Female"))
    assert said["groups"][0].startswith("sex = Female → pay = high")


def test_groups_that_are_further_apart_than_real_ones_are_said_to_be() -> None:
    found = find(judged(with_(unpaid)), "groups")
    assert isinstance(found.detail, Groups) and found.detail.protected == ("sex",)
    (gap,) = found.detail.gaps
    assert (gap.column, abs(gap.made) > abs(gap.real) + 0.05) == ("sex", True)


def test_a_lone_outlier_among_real_rows_hides_no_others() -> None:
    train = people(3000, 1)
    train.values[7, AGE] = 151
    found = find(joint.findings(case(train, people(300, 2), with_(ages), "pay")), "out of range")
    assert found.raised and "all but 0.030% of the real rows" in found.summary


def test_long_tails_reach_beyond_real_rows_and_are_not_accused() -> None:
    one = Columns(("a", "b"), ((), ()))
    for seed in range(10):
        rng = np.random.default_rng(seed)
        sides = [TableView(one, rng.pareto(1.1, (n, 2))) for n in (450, 50, 2000)]
        assert not find(joint.findings(case(*sides)), "out of range").raised


@pytest.mark.parametrize(("bits", "n"), [(6, 2000), (14, 6000)])
def test_a_parity_of_many_columns_is_seen_where_no_pair_and_no_triple_shows_it(bits: int, n: int) -> None:
    rng = np.random.default_rng(bits)
    columns = Columns(tuple(f"b{i}" for i in range(bits)), (("no", "yes"),) * bits)

    def drawn(n: int, parity: bool) -> TableView:
        values = rng.integers(0, 2, (n, bits))
        if parity:
            values[:, -1] = values[:, :-1].sum(1) % 2
        return TableView(columns, values.astype(np.float64))

    train, unseen = drawn(n, True), drawn(n // 10, True)
    found, fair = (find(joint.findings(case(train, unseen, drawn(1000, p))), "combinations") for p in (False, True))
    assert found.raised and not fair.raised
    assert isinstance(found.detail, Combinations) and set(found.detail.new) == set(columns.names)


def test_a_rule_of_values_is_held_against_training_rows_in_which_none_was_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rules, "ROWS", 1500)
    of = case(people(6000, 1), people(100, 2), with_(wives))  # among a hundred unseen rows too few are husbands to say
    found = find(rules.findings(of), "rules")
    assert found.raised and "Husband" in found.summary


def test_a_group_that_came_on_no_sunday_and_now_does_is_named_though_its_dates_are_as_common() -> None:
    def closed(n: int, seed: int) -> TableView:
        rows = people(n, seed).values.copy()
        sundays = (rows[:, ROLE] == 1) & ((rows[:, ORDERED] + 3) % 7 == 6)
        rows[sundays, ORDERED] -= 1
        return TableView(PEOPLE, rows)

    made = closed(2000, 99).values.copy()
    made[made[:, ROLE] == 1, ORDERED] += 1
    for rows, wrong in ((made, True), (closed(2000, 98).values, False)):
        found = find(
            joint.findings(case(closed(3000, 1), closed(300, 2), TableView(PEOPLE, rows), None)), "combinations"
        )
        assert found.raised == wrong, found.summary
        if wrong:
            assert "day of the week of ordered = Sunday" in found.summary and "role = Husband" in found.summary
