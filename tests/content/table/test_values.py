"""Cells are read as their schema says and printed exactly as their source printed them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karat.content.table.schema import schema, values
from karat.content.table.schema.columns import LOGICAL, Column, Schema
from karat.content.table.table import Dialect, Raw
from karat.errors import DataError


def raw(columns: dict[str, list[str | None]]) -> Raw:
    table = pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})
    return Raw(table, "csv", "table.csv", Dialect())


def again(source: Raw) -> tuple[Schema, pa.Table, pa.Table]:
    found = schema.infer(source)
    cells = values.parse(source, found)
    return found, cells, values.printed(cells, found)


DATES = ("%Y-%m-%d", "%d.%m.%Y", "%Y/%m/%d", "%d %b %Y", "%B %d, %Y", "%Y%m%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ")
DATES += ("%Y年%m月%d日", "%Y-%m-%d %H:%M:%S.%f", "%d-%b-%y", "%m/%d/%Y %I:%M %p", "%a, %d %b %Y %H:%M:%S +0200")
moments = st.datetimes(dt.datetime(1971, 1, 1), dt.datetime(2060, 1, 1))
whole = st.integers(-(2**62), 2**62)
cents = st.integers(-(10**9), 10**9)
columns = st.one_of(
    st.lists(whole.map(str), min_size=1),
    st.lists(cents.map(lambda c: f"{Decimal(c) / 100:.2f}"), min_size=1),
    st.lists(cents.map(lambda c: f"{Decimal(c) / 100:,.2f} €".translate(str.maketrans(",.", ".,"))), min_size=1),
    st.lists(cents.map(lambda c: f"{'-' * (c < 0)}${abs(Decimal(c)) / 1000:,.3f}"), min_size=1),
    st.lists(cents.map(lambda c: f"{c / 10:.1f}%"), min_size=1),
    st.lists(st.floats(allow_nan=False, allow_infinity=False).map(repr), min_size=1),
    st.lists(st.floats(-1e6, 1e6).map(lambda x: f"{x:.3e}"), min_size=1),
    st.lists(st.sampled_from(["true", "false"]), min_size=1),
    st.lists(st.sampled_from(["是", "否"]), min_size=1),
    st.lists(st.text(st.characters(exclude_categories=("Cs",)), min_size=1), min_size=1),
    st.lists(st.times().map(lambda t: f"{t:%H:%M:%S}"), min_size=1),
    *(st.lists(moments.map(lambda d, f=form: d.strftime(f)), min_size=1) for form in DATES),  # type: ignore[misc]
)


@settings(max_examples=300, deadline=None)
@given(columns, st.integers(0, 5))
def test_what_is_printed_equals_what_was_read_cell_by_cell(cells: list[str], gap: int) -> None:
    holed: list[str | None] = [None if gap and k % (gap + 1) == gap else c for k, c in enumerate(cells)]
    source = raw({"x": holed})
    found, parsed, printed = again(source)
    if any("printed in another form" in note for note in found.columns[0].notes):
        return  # a chance mixture of forms, which a person is told of
    if len([m for m in found.columns[0].missing if m]) and None in holed or len(found.columns[0].missing) > 1:
        return  # two spellings of a missing cell become the commoner one, and a person is told
    assert printed.column("x").to_pylist() == holed
    assert parsed.column("x").type == LOGICAL.get(found.columns[0].kind, pa.string())


@pytest.mark.parametrize(
    ("cells", "kind", "form", "first"),
    [
        (["1.50", "2.25", None], "decimal", "", 1.5),
        (["1", "2.5", "-0.125"], "decimal", "", 1.0),
        (["$1,234.50", "-$5.00"], "decimal", "${1,234.5}", 1234.5),
        (["$-5.0", "$3.0"], "decimal", "${-1234.5}", -5.0),
        (["1.234,50 €", "0,10 €"], "decimal", "{1.234,5} €", 1234.5),
        (["12,000", "5", "1,234"], "integer", "{1,234.5}", 12000),
        (["0,5", "12,25"], "decimal", "{1234,5}", 0.5),
        (["12.5%", "3.0%"], "decimal", "{1234.5}%", 12.5),
        (["1e-05", "0.5", "30.0"], "decimal", "{1234.5e}", 1e-5),
        (["1.50E+03", "2.00E-11"], "decimal", "{1.2345E+03}", 1500.0),
        (["+1", "-2"], "integer", "{+1234.5}", 1),
        ([" 39", " 5"], "integer", " {1234.5}", 39),
        (["1200元", "30元"], "integer", "{1234.5}元", 1200),
        (["1'234.5", "3.0"], "decimal", "{1'234.5}", 1234.5),
        (["0.30000000000000004", "0.1"], "decimal", "", 0.1 + 0.2),
        (["($1,234.50)", "$3.00"], "decimal", "(${1,234.5})", -1234.5),
        (["$(1,234.50)", "$3.00"], "decimal", "$({1,234.5})", -1234.5),
        (["(1,234)", "12", "0"], "integer", "({1,234.5})", -1234),
        (["1.234,50-", "3,00"], "decimal", "{1.234,5-}", -1234.5),
        (["1.234,50- €", "3,00 €"], "decimal", "{1.234,5-} €", -1234.5),
        (["３５", "４"], "integer", "{１２３４.５}", 35),
        (["１２，０００．５０", "－３．２５"], "decimal", "{１，２３４．５}", 12000.5),
        (["１２００元", "３０元"], "integer", "{１２３４.５}元", 1200),
    ],
)
def test_numbers_keep_their_form(cells: list[str | None], kind: str, form: str, first: float) -> None:
    found, parsed, printed = again(raw({"x": cells}))
    column = found.columns[0]
    assert (column.kind, column.format) == (kind, form)
    assert parsed.column(0)[0].as_py() == first
    assert printed.column(0).to_pylist() == cells


def test_the_one_amount_of_a_thousand_among_many_is_no_reason_to_take_all_for_words() -> None:
    cells: list[str | None] = [f"${k / 100:.2f}" for k in range(100, 2900)]
    for thousand in (1, 700, 1501, 2799):
        some = [*cells[:thousand], "$1,234.50", *cells[thousand:]]
        found, _, printed = again(raw({"x": some}))
        assert (found.columns[0].kind, found.columns[0].format) == ("decimal", "${1,234.5}")
        assert printed.column(0).to_pylist() == some


def test_what_stands_in_parentheses_throughout_is_no_negative_number() -> None:
    assert schema.infer(raw({"x": ["(1)", "(2)", "(3)"] * 9})).columns[0].kind == "category"


def test_made_numbers_are_printed_with_the_places_of_the_column() -> None:
    found = schema.infer(raw({"fixed": ["1.50", "2.25"], "short": ["1", "2.25"], "money": ["€1,000.00", "€2.50"]}))
    made = pa.table({"fixed": [3.0, -0.006], "short": [3.0, 1e-7], "money": [1234567.891, None]})
    printed = values.printed(made, found)
    assert printed.column("fixed").to_pylist() == ["3.00", "-0.01"]
    assert printed.column("short").to_pylist() == ["3", "0"]
    assert printed.column("money").to_pylist() == ["€1,234,567.89", None]


@pytest.mark.parametrize(
    ("cells", "kind", "form", "zone"),
    [
        (["13/5/2024", "1/2/2023"], "date", "%-d/%-m/%Y", ""),
        (["1/5/2024", "12/31/2023"], "date", "%-m/%-d/%Y", ""),
        (["10-JAN-24", "11-MAY-23"], "date", "%d-%^b-%y", ""),
        (["20240131", "20231201"], "date", "%Y%m%d", ""),
        (["2024年1月5日", "2023年12月31日"], "date", "%Y年%-m月%-d日", ""),
        (["20. August 2023", "3. März 2024"], "date", "%-d. %[de]B %Y", ""),
        (["20. Jänner 2023", "3. März 2024"], "date", "%-d. %[at]B %Y", ""),
        (["07 août 2023", "31 décembre 2024"], "date", "%d %[fr]B %Y", ""),
        (["7 de agosto de 2023", "31 de enero de 2024"], "date", "%-d de %[es]B de %Y", ""),
        (["7 agosto 2023 10:05", "31 gennaio 2024 23:59"], "datetime", "%-d %[it]B %Y %H:%M", ""),
        (["07-Okt-2023", "31-Mär-2024"], "date", "%d-%[de]b-%Y", ""),
        (["1:05 pm", "12:30 am"], "time", "%-I:%M %P", ""),
        (["10:00:00.5", "23:59:59"], "time", "%H:%M:%S%.1f", ""),
        (["2024-01-31T10:00:00.123Z", "2023-01-01T00:00:01.000Z"], "datetime", "%Y-%m-%dT%H:%M:%S.%3fZ", "UTC"),
        (["2024-01-31 10:00+08:00", "2023-01-01 00:00+08:00"], "datetime", "%Y-%m-%d %H:%M+08:00", "+08:00"),
        (
            ["2024-01-31 10:00:00 Europe/Berlin", "2024-07-31 10:00:00 Europe/Berlin"],
            "datetime",
            "%Y-%m-%d %H:%M:%S Europe/Berlin",
            "Europe/Berlin",
        ),
    ],
)
def test_moments_keep_their_form(cells: list[str], kind: str, form: str, zone: str) -> None:
    found, _, printed = again(raw({"x": [*cells, None]}))
    column = found.columns[0]
    assert (column.kind, column.format, column.zone) == (kind, form, zone)
    assert printed.column(0).to_pylist() == [*cells, None]


def test_a_zone_by_name_is_kept_in_utc_through_summer_and_winter() -> None:
    _, parsed, _ = again(raw({"x": ["2024-01-31 10:00:00 Europe/Berlin", "2024-07-31 10:00:00 Europe/Berlin"]}))
    assert parsed.column(0).to_pylist() == [dt.datetime(2024, 1, 31, 9), dt.datetime(2024, 7, 31, 8)]


def test_several_offsets_become_utc_and_a_column_of_zones() -> None:
    cells = ["2024-01-31T10:00:00+02:00", None, "2024-01-31T10:00:00Z", "2024-01-31T10:00:00-05:30"]
    found, parsed, printed = again(raw({"a": ["1", "2", "3", "5"], "at": cells, "b": ["x", "y", "x", "y"]}))
    assert found.columns[1].zone == "mixed"
    assert parsed.column_names == ["a", "at", "at zone", "b"]
    assert parsed.column("at zone").to_pylist() == ["+02:00", None, "Z", "-05:30"]
    assert parsed.column("at")[3].as_py() == dt.datetime(2024, 1, 31, 15, 30)
    assert printed.column_names == ["a", "at", "b"]
    assert printed.column("at").to_pylist() == cells


def test_a_cell_that_its_declared_kind_cannot_read_is_named() -> None:
    source = raw({"age": ["39", "50", "old", "old"]})
    with pytest.raises(DataError, match=r"table\.csv: column 'age', row 3 and 1 more: 'old' is no integer"):
        values.parse(source, Schema((Column("age", "integer"),)))
    with pytest.raises(DataError, match=r"row 1.*'39' is no date printed as '%Y-%m-%d'"):
        values.parse(source, Schema((Column("age", "date", format="%Y-%m-%d"),)))
    with pytest.raises(DataError, match="lacks 'sex'"):
        values.parse(source, Schema((Column("sex", "category"),)))


def test_spellings_of_missing_cells_come_back() -> None:
    found, parsed, printed = again(raw({"n": ["1", "?", "3", "?"], "d": ["NA", "2024-01-31", "2024-02-28", "NA"]}))
    assert [c.missing for c in found.columns] == [("?",), ("NA",)]
    assert parsed.column("n").to_pylist() == [1, None, 3, None]
    assert printed.column("n").to_pylist() == ["1", "?", "3", "?"]
    assert printed.column("d").to_pylist() == ["NA", "2024-01-31", "2024-02-28", "NA"]


def typed(n: int = 60) -> dict[str, pa.Array]:
    rng = np.random.default_rng(0)
    ints = pa.array(rng.integers(0, 100, n))
    normal = rng.normal(size=n)
    seconds = rng.integers(10**8, 10**9, n)
    out = {f"int {t}": ints.cast(t) for t in (pa.int8(), pa.int32(), pa.int64(), pa.uint8(), pa.uint64())}
    out |= {f"float {t}": pa.array(normal.astype(t)) for t in ("f2", "f4", "f8")}
    out |= {f"cents {t}": pa.array(np.round(normal, 2).astype(t)) for t in ("f4", "f8")}
    out |= {"whole": pa.array(rng.integers(0, 9, n).astype(float)), "true": pa.array(rng.random(n) < 0.5)}
    for kind in (pa.decimal128(12, 2), pa.decimal256(40, 3), pa.decimal128(9, 0)):
        out[str(kind)] = pa.array([Decimal(f"{x:.{kind.scale}f}") for x in normal * 100], kind)
    days = pa.array(rng.integers(0, 20000, n).astype("M8[D]"))
    out |= {"date32": days, "date64": days.cast(pa.date64()), "span": pa.array(seconds).cast(pa.duration("ms"))}
    out |= {"time32": pa.array(rng.integers(0, 86399, n).astype("i4")).cast(pa.time32("s"))}
    out |= {"time64": pa.array(rng.integers(0, 86399, n) * 10**9).cast(pa.time64("ns"))}
    for unit, factor in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)):
        for zone in (None, "UTC", "Europe/Berlin", "+08:00"):
            out[f"{unit} {zone}"] = pa.array(seconds * factor).cast(pa.timestamp(unit, zone))
    words = pa.array(rng.choice(["a", "b"], n))
    out |= {"words": words, "large": words.cast(pa.large_string()), "view": words.cast(pa.string_view())}
    out |= {"coded": words.dictionary_encode(), "nothing": pa.nulls(n), "same": pa.array([5] * n, pa.int32())}
    out |= {"same words": pa.array(["k"] * n), "huge": pa.array([2**63 + 7 * i for i in range(n)], pa.uint64())}
    out |= {"days as text": pa.array([f"2024-01-{i % 28 + 1:02d}" for i in range(n)]).cast(pa.large_string())}
    codes = pa.array(rng.integers(0, 2, n).astype("i1"))
    out |= {"ordered": pa.DictionaryArray.from_arrays(codes, pa.array(["low", "high", "never"]), ordered=True)}
    out |= {"coded ints": pa.DictionaryArray.from_arrays(codes, pa.array([10, 20, 30]))}
    return out


@pytest.mark.parametrize("holed", [False, True])
def test_the_types_of_the_source_come_back(holed: bool) -> None:
    table = pa.table(typed())
    if holed:
        table = table.drop_columns("view").take(pa.array([None if k % 7 == 0 else k for k in range(60)], pa.int64()))
    source = Raw(table, "parquet", "table.parquet")
    found, parsed, printed = again(source)
    assert printed.schema.types == table.schema.types
    for column in found.columns:
        was, now = table.column(column.name), printed.column(column.name)
        if pa.types.is_dictionary(was.type):
            was, now = (c.combine_chunks().dictionary_decode() for c in (was, now))
        assert was.to_pylist() == now.to_pylist(), column
        assert parsed.column(column.name).type == LOGICAL.get(column.kind, pa.string())
    entries = printed.column("ordered").combine_chunks().dictionary.to_pylist()
    assert entries == ["low", "high", "never"]


NARROW = {
    "uint8": (pa.array([1, 2, 250], pa.uint8()), [-3, 300, None], [0, 255, None]),
    "decimal of two places": (
        pa.array([Decimal("1.25"), Decimal("999.75")], pa.decimal128(5, 2)),
        [-1200.5, 1000.0, None, 999.98],
        [Decimal("-999.99"), Decimal("999.99"), None, Decimal("999.98")],
    ),
    "whole decimal": (pa.array([Decimal(1), Decimal(98)], pa.decimal128(2, 0)), [-100, 7], [Decimal(-99), Decimal(7)]),
    "half float": (
        pa.array(np.array([1.5, 65000], np.float16)),
        [-1e6, 70000.0, None, float("inf")],
        [-65504.0, 65504.0, None, float("inf")],
    ),
}


@pytest.mark.parametrize("kind", NARROW)
def test_made_values_fit_into_a_narrow_type(kind: str) -> None:
    learned, made, wanted = NARROW[kind]
    found = schema.infer(Raw(pa.table({"x": learned}), "frame", "a frame"))
    assert values.printed(pa.table({"x": made}), found).column(0).to_pylist() == wanted


@pytest.mark.parametrize("scale", [0, 2, 20, 38])
def test_the_greatest_value_of_a_wide_decimal_is_written(scale: int) -> None:
    learned = pa.array([Decimal(k).scaleb(-scale) for k in (1, 2)], pa.decimal128(38, scale))
    column = Column("x", "decimal", places=scale, arrow=str(learned.type))
    made = values.printed(pa.table({"x": [1e300, -1e300]}), Schema((column,)))
    high, low = made.column(0).cast(pa.float64()).to_numpy() / 10.0 ** (38 - scale)
    assert 0.999 < high <= 1 and low == -high


def test_nan_and_null_of_a_float_column_are_missing() -> None:
    table = pa.table({"x": pa.array([1.5, float("nan"), float("nan"), None, float("inf")])})
    found, parsed, printed = again(Raw(table, "frame", "a frame"))
    assert parsed.column("x").null_count == 3
    assert found.columns[0].missing[0] == "nan"
    assert found.columns[0].infinite == ("-inf", "inf")
    assert np.isnan(printed.column("x")[1].as_py()) and printed.column("x")[4].as_py() == np.inf


def test_adult_is_printed_as_it_was_read(data_dir: Path) -> None:
    path = data_dir / "tables" / "adult-train.csv"
    names = path.read_text().split("\n", 1)[0].split(",")
    options = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
    )
    table = csv.read_csv(path, convert_options=options).combine_chunks()
    found, _, printed = again(Raw(table, "csv", str(path), Dialect()))
    assert printed.equals(table)
    kinds = {c.name: c.kind for c in found.columns}
    numbers = {"age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"}
    assert {name for name, kind in kinds.items() if kind == "integer"} == numbers
    assert {kind for name, kind in kinds.items() if name not in numbers} == {"category"}
