"""What holds between columns is found in the rows alone, with its exceptions, and nothing is found where nothing is."""

from __future__ import annotations

import re
from pathlib import Path

import business
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import karat
from karat.content.table.encoding.coding import flat
from karat.content.table.mining.columns import MOST, MOST_NUMBERS
from karat.content.table.mining.discovery import discover
from karat.content.table.mining.relation import Relation
from karat.content.table.rules.constraints import check, compile_rules
from karat.content.table.rules.expressions import Cells, months_after
from karat.content.table.schema.columns import Schema
from karat.content.table.tables import Tables


def found(table: pa.Table, seed: int = 0) -> list[Relation]:
    read = Tables.read(table, {}).records
    return discover(read.cells, read.facts.schema, seed)


def missed(name: str, n: int, exceptions: float, seed: int) -> tuple[list[str], list[str]]:
    """What was planted and not found, and what was found and not planted."""
    make, planted = business.PLANTED[name]
    texts = [r.text for r in found(make(n, np.random.default_rng(seed), exceptions), seed)]
    lost = [wanted for wanted in planted if not any(re.search(wanted, text) for text in texts)]
    false = [text for text in texts if not any(re.search(wanted, text) for wanted in planted)]
    return lost, false


@pytest.mark.parametrize("name", business.PLANTED)
@pytest.mark.parametrize("exceptions", [0.0, 0.05])
def test_what_was_planted_is_found_and_nothing_else(name: str, exceptions: float) -> None:
    for n, seed in ((300, 1), (2000, 2)):
        lost, false = missed(name, n, exceptions, seed)
        assert not lost and not false, f"{n} rows: missed {lost}, false {false}"


@pytest.mark.exam
@pytest.mark.parametrize("name", business.PLANTED)
@pytest.mark.parametrize("exceptions", [0.0, 0.01, 0.05])
def test_what_was_planted_is_found_in_every_table(name: str, exceptions: float) -> None:
    for seed in range(40):
        n = (100, 200, 1000, 5000)[seed % 4]
        lost, _ = missed(name, n, exceptions, 100 + seed)
        if name == "prices":  # the distance of what opens to what closes says something only in a long series
            lost = [wanted for wanted in lost if "-" not in wanted]
        assert not lost, f"seed {seed}, {n} rows: missed {lost}"


def charges(n: int, odd: float, seed: int) -> pa.Table:
    """Columns of which each is a price with an intercept, of one column, of two, of a product, or of what else a tax is on."""
    rng = np.random.default_rng(seed)
    km, qty = np.round(rng.gamma(2, 3, n) + 0.3, 1), rng.integers(1, 12, n)
    minutes = np.round(3 * km * rng.lognormal(0, 0.3, n) + 2).astype(int)
    price, net, celsius = (
        np.round(rng.lognormal(3, 0.6, n), 2),
        np.round(rng.lognormal(4, 0.7, n), 2),
        rng.normal(14, 9, n),
    )
    fee, post, celsius = rng.choice([0, 2.9, 4.9, 7.5], n), rng.choice([3.5, 5, 6.9], n), np.round(celsius, 1)

    def but(y: np.ndarray, places: int = 2) -> np.ndarray:
        y = np.round(y + 1e-9, places)
        return np.where(rng.random(n) < odd, np.round(y * rng.uniform(0.5, 1.5, n) + rng.uniform(1, 3, n), places), y)

    return pa.table(
        {
            "km": km,
            "fare": but(3.9 + 2.1 * km),
            "minutes": minutes,
            "ride": but(2.5 + 1.35 * km + 0.28 * minutes),
            "price": price,
            "qty": qty,
            "fee": fee,
            "total": but(price * qty + fee),
            "net": net,
            "gross": but(1.19 * net + 4.95),
            "post": post,
            "taxed": but(1.19 * (net + post)),
            "celsius": celsius,
            "fahrenheit": but(1.8 * celsius + 32, 1),
            "kind": rng.choice(["a", "b", "c"], n),
        }
    )


@pytest.mark.parametrize(("n", "odd", "seed"), [(300, 0.0, 0), (1500, 0.03, 1), (6000, 0.1, 2)])
def test_prices_with_a_constant_and_a_fee_are_found_as_they_were_worked_out(n: int, odd: float, seed: int) -> None:
    read = Tables.read(charges(n, odd, seed), {}).records
    every = discover(read.cells, read.facts.schema)
    assert {one.text for one in every if one.form not in ("order", "dependency", "distance")} == {
        "fare = 2.1 * km + 3.9",
        "ride = round(1.35 * km + 0.28 * minutes + 2.5, 2)",
        "total = price * qty + fee",
        "gross = round(1.19 * net + 4.95, 2)",
        "taxed = round(1.19 * net + 1.19 * post, 2)",
        "fahrenheit = round(1.8 * celsius + 32, 1)",
    }
    assert all((one.exceptions > 0) == (odd > 0) for one in every if one.form in ("sum", "linear"))


def test_products_of_many_and_hours_between_two_times_are_found() -> None:
    rng, n = np.random.default_rng(3), 1200
    length, width, height = (rng.integers(5, most, n) for most in (120, 80, 60))
    months, seats = rng.choice([1, 3, 6, 12, 24], n), rng.geometric(0.4, n)
    price, less = rng.choice([9.99, 19.99, 49.0], n), np.where(months >= 12, 0.1, 0.0)
    start, pause = rng.choice(np.arange(420, 560, 15), n), rng.choice([0, 30, 45, 60], n)
    work, rate = rng.choice(np.arange(240, 601, 15), n), rng.choice(np.arange(18, 40, 0.75), n)
    hours, over = work / 60, np.maximum(work / 60 - 8, 0)
    times = [pa.array(x.astype(np.int64) * 60_000_000).cast(pa.time64("us")) for x in (start, start + work + pause)]
    sheet = {"start": times[0], "end": times[1], "pause": pause, "hours": hours, "over": over, "rate": rate}
    parcels = {"length": length, "width": width, "height": height, "kg": np.round(length * width * height / 5000, 2)}
    seated = {"price": price, "months": months, "seats": seats, "less": less}
    sheet["pay"] = np.round(hours * rate + 0.5 * over * rate + 1e-9, 2)
    seated["total"] = np.round(price * months * seats * (1 - less) + 1e-9, 2)
    for table, wanted in (
        (parcels, {"kg = round(0.0002 * length * width * height, 2)"}),
        (seated, {"total = round(price * months * seats * (1 - less), 2)"}),
        ({"hours": hours, "over": over}, {"over = max(0, hours - 8)"}),
        (
            sheet,
            {
                "over = max(0, hours - 8)",
                "hours = (end - start) / 3600 - pause / 60",
                "pay = round(hours * rate + 0.5 * over * rate, 2)",
            },
        ),
    ):
        every = {
            one.text
            for one in found(pa.table({**table, "kind": rng.choice(["a", "b"], n)}))
            if one.form in ("sum", "product", "extreme")
        }
        assert every == wanted


def test_a_tax_that_either_of_two_amounts_includes_is_found() -> None:
    rng, n = np.random.default_rng(6), 1500
    amount, rate, owed = np.round(rng.lognormal(4, 1, n), 2), rng.choice([0, 7, 19], n), rng.random(n) < 0.4
    table = {
        "debit": pa.array(amount, mask=owed),
        "credit": pa.array(amount, mask=~owed),
        "rate": rate,
        "tax": np.round(amount * rate / (100 + rate) + 1e-9, 2),
        "kind": rng.choice(["a", "b"], n),
    }
    every = {one.text for one in found(pa.table(table)) if one.form == "product"}
    assert every == {"tax = round(either(debit, credit) * (rate / (100 + rate)), 2)"}
    other = {**table, "tax": np.round(rng.lognormal(1, 1, n), 2)}
    assert not [one for one in found(pa.table(other)) if one.form == "product"], (
        "what goes with nothing is told by nothing"
    )


def test_begun_steps_and_whole_months_are_found_and_kept() -> None:
    rng, n = np.random.default_rng(4), 1500
    kg, minutes = np.round(rng.lognormal(1, 1, n), 2), rng.integers(1, 700, n)
    days, months = 19_000 + rng.integers(0, 800, n), rng.choice([1, 3, 6, 12, 24], n)
    start = days.astype("datetime64[D]")
    first = (start.astype("datetime64[M]") + months).astype("datetime64[D]")
    last = (start.astype("datetime64[M]") + months + 1).astype("datetime64[D]") - np.timedelta64(1, "D")
    end = np.minimum(first + (start - start.astype("datetime64[M]").astype("datetime64[D]")), last)
    table = pa.table(
        {
            "kg": kg,
            "billed": np.ceil(np.round(kg * 2, 6)) / 2,
            "minutes": minutes,
            "hours": -(-minutes // 60),
            "start": pa.array(start),
            "months": months,
            "end": pa.array(end),
            "until": pa.array(end - np.timedelta64(1, "D")),
            "kind": rng.choice(["a", "b"], n),
        }
    )
    codec = Tables.fit(Tables.read(table, {}), np.arange(n))
    every = {one.text for one in codec.found if one.form in ("linear", "sum", "equal", "distance", "mixture")}
    assert {"billed = round_up(kg / 0.5) * 0.5", "hours = round_up(minutes / 60)"} <= every
    assert {"end = until + 1", "until = add_months(start, months) - 1"} <= every and len(every) == 4, every
    rules = codec.layout.rules
    assert {formula.left for formula in rules.formulas} == {"billed", "hours", "end", "until"}
    assert not any(
        bad.any() for bad in rules.broken(Cells({name: flat(table[name]) for name in table.column_names})).values()
    )


@pytest.mark.parametrize(
    ("days", "months", "wanted"),
    [
        ("2024-01-31", 1, "2024-02-29"),
        ("2023-01-31", 1, "2023-02-28"),
        ("2024-02-29", 12, "2025-02-28"),
        ("2024-03-14", -3, "2023-12-14"),
    ],
)
def test_months_are_added_as_calendars_do(days: str, months: int, wanted: str) -> None:
    at = np.array([days, days], "datetime64[D]").astype(np.float64) + np.array([0.0, 0.25])
    out = months_after(at, np.array([months, months], np.float64))
    assert (out == np.datetime64(wanted).astype(np.float64) + np.array([0.0, 0.25])).all()
    assert np.isnan(months_after(np.array([np.nan, 1.0, 1e300]), np.array([1.0, np.nan, 1e300]))).all()


def test_whole_degrees_are_found_where_none_is_an_exception() -> None:
    rng = np.random.default_rng(0)
    celsius = np.round(rng.normal(14, 9, 800), 1)
    whole = np.round(1.8 * celsius + 32 + 1e-9).astype(int)
    assert [one.text for one in found(pa.table({"c": celsius, "f": whole}))] == ["f = round(1.8 * c + 32, 0)"]
    near = whole + (rng.random(800) < 0.02)
    assert [one for one in found(pa.table({"c": celsius, "f": near})) if one.form == "linear"] == []


def test_independent_columns_have_no_relations() -> None:
    for seed in range(25):
        assert found(business.independent(np.random.default_rng(seed), 600), seed) == []


@pytest.mark.exam
def test_300_tables_of_independent_columns_have_no_relations() -> None:
    false = [
        (seed, r.text) for seed in range(300) for r in found(business.independent(np.random.default_rng(seed)), seed)
    ]
    assert not false


@pytest.mark.exam
def test_nor_have_300_of_20_to_59_rows() -> None:
    false = []
    for seed in range(300):
        rng = np.random.default_rng(5000 + seed)
        table = business.independent(rng, 60)
        false += [(seed, r.text) for r in found(table.slice(0, int(rng.integers(20, 60))), seed)]
    assert not false


@pytest.mark.exam
def test_nor_have_300_of_small_whole_numbers() -> None:
    tables = (business.whole(np.random.default_rng(9000 + seed)) for seed in range(300))
    assert not [(seed, r.text) for seed, table in enumerate(tables) for r in found(table, seed)]


@pytest.mark.parametrize("rows", [20, 24])
def test_few_rows_show_what_is_exact(rows: int) -> None:
    for seed in range(5):
        rules = {r.text for r in found(business.invoices(rows, np.random.default_rng(seed)), seed)}
        assert {"due = issued + 30", "gross = net + tax"} <= rules
        assert "amount = price * qty" in {
            r.text for r in found(business.orders(rows, np.random.default_rng(seed)), seed)
        }


def test_exceptions_are_counted_and_the_first_of_them_named() -> None:
    rng = np.random.default_rng(0)
    low = rng.integers(0, 1000, 1000)
    high = low + rng.integers(0, 200, 1000)
    high[[7, 30, 500]] = low[[7, 30, 500]] - 5
    (one,) = found(pa.table({"low": low, "high": high}))
    assert (one.text, one.rows, one.exceptions, one.first) == ("low <= high", 1000, 3, (7, 30, 500))
    assert one.constraint["nearly"] is True and not one.always
    assert one.interval[0] == pytest.approx(0.00102, abs=1e-5) and one.interval[1] == pytest.approx(0.00878, abs=1e-5)
    assert Relation.from_dict(one.to_dict()) == one


def test_an_exception_outside_the_sample_is_counted() -> None:
    rng = np.random.default_rng(1)
    low = rng.integers(0, 1000, 30_000)
    high = low + rng.integers(0, 200, 30_000)
    high[29_999] = -1
    (one,) = found(pa.table({"low": low, "high": high}))
    assert one.exceptions == 1 and one.first == (29_999,)


def test_an_order_of_ranges_that_hardly_overlap_says_nothing() -> None:
    rng = np.random.default_rng(2)
    apart = pa.table({"age": rng.integers(17, 90, 2000), "pay": rng.integers(80, 90_000, 2000)})
    assert found(apart) == []


def test_an_order_of_dates_is_strict_where_equal_ones_would_have_been_seen() -> None:
    rng = np.random.default_rng(3)
    day = rng.integers(0, 900, 500)
    tables = [pa.table({"a": business.dates(day), "b": business.dates(day + rng.integers(k, 9, 500))}) for k in (0, 1)]
    assert [found(t)[0].text for t in tables] == ["a <= b", "a < b"]


def test_missing_cells_neither_keep_nor_break_an_order() -> None:
    rng = np.random.default_rng(4)
    a = rng.integers(0, 1000, 800)
    b = pa.array(a + rng.integers(0, 90, 800), mask=rng.random(800) < 0.4)
    c = pa.array(a + 90 + rng.integers(0, 90, 800), mask=rng.random(800) < 0.4)
    texts = [r.text for r in found(pa.table({"a": a, "b": b, "c": c})) if r.form == "order"]
    assert texts == ["a <= b <= c"]


def test_an_identifier_determines_nothing() -> None:
    rng = np.random.default_rng(5)
    key = rng.permutation(2000)[:400] * 7
    code = [f"k{i}" for i in np.repeat(rng.permutation(200), 2)]
    assert found(pa.table({"key": key, "code": code, "kind": rng.choice(["a", "b"], 400)})) == []


def test_what_two_columns_determine_each_by_itself_needs_no_other() -> None:
    rng = np.random.default_rng(6)
    shop, month = rng.integers(0, 12, 900), rng.integers(0, 6, 900)
    table = pa.table({"shop": [f"s{i}" for i in shop], "month": month, "town": [f"t{i}" for i in shop // 2]})
    assert [r.text for r in found(table)] == ["shop -> town"]
    rent = rng.normal(50, 9, (12, 6)).round(2)[shop, month]
    assert [r.text for r in found(table.append_column("rent", pa.array(rent)))] == [
        "shop -> town",
        "month, shop -> rent",
    ]


def test_of_columns_that_determine_each_other_in_turn_nothing_is_said_twice() -> None:
    rng = np.random.default_rng(6)
    shop = rng.integers(0, 40, 900)
    town, land = shop // 2, shop // 8
    table = pa.table(
        {"shop": [f"s{i}" for i in shop], "town": [f"t{i}" for i in town], "land": [f"l{i}" for i in land]}
    )
    assert [r.text for r in found(table)] == ["shop -> town", "town -> land"]


def test_a_key_that_hardly_repeats_in_the_sample_is_found_to_determine() -> None:
    rng = np.random.default_rng(7)
    key = rng.integers(0, 8000, 30_000)
    price = np.round(rng.uniform(1, 90, 8000), 2)[key]
    assert [r.text for r in found(pa.table({"key": [f"a{i}" for i in key], "price": price}))] == ["key -> price"]


def test_a_product_is_not_told_again_as_a_quotient() -> None:
    rng = np.random.default_rng(8)
    price, qty = np.round(rng.uniform(1, 90, 500), 2), rng.integers(1, 9, 500)
    table = pa.table({"amount": np.round(price * qty, 2), "price": price, "qty": qty})
    assert [r.text for r in found(table)] == ["amount = price * qty"]


def test_a_quotient_that_was_rounded_is_found() -> None:
    rng = np.random.default_rng(9)
    spent, units = np.round(rng.uniform(100, 9000, 500), 2), rng.integers(2, 90, 500)
    table = pa.table({"spent": spent, "units": units, "each": np.round(spent / units, 2)})
    assert [r.text for r in found(table)] == ["each = round(spent / units, 2)"]


@pytest.mark.parametrize("noise", [1, 3, 30])
def test_columns_that_go_together_are_no_multiples_of_each_other(noise: int) -> None:
    rng = np.random.default_rng(9)
    a = rng.integers(50, 500, 900)
    near = {"b": np.round(0.1 * a + rng.normal(0, noise, 900)), "c": a + np.rint(rng.normal(0, noise, 900))}
    assert [r.text for r in found(pa.table({"a": a, **near})) if r.form == "mixture"] == []


def test_what_few_values_go_with_is_no_mixture_of_their_multiples() -> None:
    rng = np.random.default_rng(9)
    grade = rng.integers(1, 6, 900)
    pay = np.array([0, 1200, 1500, 2100, 2600, 4000])[grade]
    assert [r.form for r in found(pa.table({"grade": grade, "pay": pay}))] == ["dependency"]


def test_a_duration_is_found_to_be_the_time_between_two_moments() -> None:
    rng = np.random.default_rng(10)
    begin, seconds = rng.integers(0, 10**6, 600), rng.integers(60, 9000, 600)
    columns = {"begin": business._moments(begin), "end": business._moments(begin + seconds)}
    texts = [r.text for r in found(pa.table({**columns, "minutes": np.round(seconds / 60, 1)}))]
    assert texts == ["minutes = round((end - begin) / 60, 1)", "begin <= end"]


def test_what_is_declared_is_not_found_again() -> None:
    read = Tables.read(business.trips(400, np.random.default_rng(11)), {}).records
    rules = tuple(
        {"rule": text}
        for text in (
            "pickup <= dropoff",
            "total = round(fare + tolls + tip, 2)",
            "fare = round(3 + 2.5 * distance + (dropoff - pickup) / 200, 1)",
            "tip in (0, fare * 0.1, fare * 0.15, fare * 0.2)",
        )
    )
    assert discover(read.cells, Schema(read.facts.schema.columns, rules)) == []


def test_the_same_seed_finds_the_same() -> None:
    table = business.orders(6000, np.random.default_rng(12), 0.01)
    assert found(table, 3) == found(table, 3)


def test_odd_names_of_columns_are_quoted() -> None:
    rng = np.random.default_rng(13)
    a = rng.integers(0, 1000, 500)
    table = pa.table({"start (in)": a, "not": a + rng.integers(0, 99, 500), "a`b": a + 1000})
    read = Tables.read(table, {}).records
    (one,) = discover(read.cells, read.facts.schema)
    assert one.text == "`start (in)` <= `not`"
    assert not compile_rules(Schema(read.facts.schema.columns, (dict(one.constraint),))).near


def test_look_says_what_holds_and_writes_it_as_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, schema = tmp_path / "orders.csv", tmp_path / "orders.toml"
    pyarrow.csv.write_csv(business.orders(900, np.random.default_rng(14), 0.01), data)
    told = karat.look(data, write_schema=schema, probe=False, threads=1)
    words = capsys.readouterr().out
    assert "each country has one currency (country -> currency): in all 900 rows" in words
    assert "each article has one price (article -> price): nearly always; " in words
    text = schema.read_text(encoding="utf-8")
    assert (
        '[[constraint]]\nrule = "article -> price"\nnearly = true' in text
        and "# found: each article has one price, but in" in text
    )
    again = Tables.read(data, {"schema": schema}).records
    assert len(again) == 900 and discover(again.cells, again.facts.schema) == []
    assert len(told["between"]) == len(again.facts.schema.constraints) == 5
    assert "between" not in karat.look(data, discover=False, probe=False, threads=1)


def test_rows_that_break_a_declared_dependency_are_set_aside() -> None:
    read = Tables.read(business.orders(900, np.random.default_rng(15), 0.005), {}).records
    rules = compile_rules(Schema(read.facts.schema.columns, ({"rule": "article -> price"},)))
    good, notes = check(rules, read.cells, "orders.csv", 0)
    assert 0 < (~good).sum() < 10 and "break the rule 'article -> price'" in notes[0]


def wide() -> dict[str, np.ndarray]:
    """Unrelated columns but for two formulas: of the last column that is looked at for them, and of the last of the table."""
    rng = np.random.default_rng(0)
    out = {f"c{i}": rng.permutation(1000)[:60] for i in range(MOST_NUMBERS - 1)}
    out["near"] = 3 * out["c0"] - 500
    out |= {f"d{i}": rng.permutation(1000)[:60] for i in range(MOST - MOST_NUMBERS + 3)}
    return out | {"far": 3 * out["c1"] - 500}


def test_of_a_wide_table_is_said_how_many_columns_are_looked_at() -> None:
    read = Tables.read(pa.table(wide()), {})
    assert f"Relations between columns are looked for among the first {MOST} of {len(wide())}." in read.facts["notes"]
    assert f"Formulas of numbers are looked for among the first {MOST_NUMBERS} of {MOST}." in read.facts["notes"]


@pytest.mark.exam
def test_of_a_wide_table_the_first_columns_are_looked_at() -> None:
    read = Tables.read(pa.table(wide()), {}).records
    assert [(r.form, {*r.columns}) for r in discover(read.cells, read.facts.schema)] == [("linear", {"c0", "near"})]
