"""A table becomes points and comes back with its types, order, precision and format; what is given stays as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from karat.content import codec_named, recognise
from karat.content.codec import Contents
from karat.content.table.rules.expressions import cells_of
from karat.content.table.table import Table
from karat.content.table.tables import Tables
from karat.data import load
from karat.errors import DataError, FitError
from karat.privacy import Budget, Source


def wide(numbers: int, words: int) -> pd.DataFrame:
    """60 rows. Formulas are looked for among numbers alone, which takes seconds among hundreds of them."""
    drawn = [np.random.default_rng(i).integers(0, 2 + i % 40, 60) for i in range(numbers + words)]
    return pd.DataFrame({f"c{i}": x if i < numbers else [f"v{k}" for k in x] for i, x in enumerate(drawn)})


def orders(n: int = 1500, missing: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Shop orders as a spreadsheet might hold them."""
    r = np.random.default_rng(seed)
    start = r.integers(0, 200, n)
    price, qty = r.integers(100, 9000, n), r.integers(1, 6, n)
    day = pd.Timestamp("2024-01-01")
    town = r.integers(0, 3, n)
    frame = pd.DataFrame(
        {
            "id": [f"ORD-{i:06d}" for i in range(n)],
            "ordered": [f"{day + pd.Timedelta(days=int(d)):%d/%m/%Y}" for d in start],
            "sent": [f"{day + pd.Timedelta(days=int(d)):%d/%m/%Y}" for d in start + r.integers(1, 9, n)],
            "price": [f"{p / 100:.2f}" for p in price],
            "qty": qty,
            "total": [f"{p * q / 100:.2f}" for p, q in zip(price, qty, strict=True)],
            "城市": [("北京", "上海", "Paris")[i] for i in town],
            "country": [("中国", "中国", "France")[i] for i in town],
            "at": [f"2024-0{1 + i % 9}-11T10:{i % 60:02d}:00{('+08:00', '-05:00', 'Z')[i % 3]}" for i in range(n)],
            "email": [f"user{i}@firm{i % 7}.de" for i in range(n)],
            "paid": r.choice(["yes", "no"], n),
            "sku": r.choice([f"s{i}" for i in range(200)], n),
            "currency": "EUR",
            "score": r.normal(size=n),
        }
    )
    for name in frame.columns if missing else ():
        frame[name] = frame[name].astype(object).where(r.random(n) >= missing, None)
    return frame


RULES = """
[[constraint]]
rule = "ordered < sent"
[[constraint]]
rule = "total = price * qty"
[[constraint]]
together = ["城市", "country"]
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tables, Contents, Path]:
    folder = tmp_path_factory.mktemp("shop")
    path, rules = folder / "orders.csv", folder / "schema.toml"
    orders().to_csv(path, index=False)
    rules.write_text(RULES, encoding="utf-8")
    contents = Tables.read(path, {"schema": str(rules), "target": "paid"})
    return Tables.fit(contents, np.arange(len(contents.records))), contents, path


def fitted(source: Any, **options: Any) -> tuple[Tables, Table]:
    contents = Tables.read(source, options)
    return Tables.fit(contents, np.arange(len(contents.records))), contents.records


def junk(codec: Tables, n: int, which: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    space = codec.spaces[which]
    if which == 0:
        return torch.randint(-5, 10**6, (n, space.numel), generator=rng)
    points = 3 * torch.randn((n, space.numel), generator=rng)
    points[0], points[1], points[2] = float("nan"), float("inf"), -float("inf")
    return points


FRAMES: dict[str, pd.DataFrame] = {
    "orders": orders(),
    "a third missing": orders(missing=0.3),
    "40 rows": orders(40),
    "40 rows, a third missing": orders(40, 0.3),
    "one column": pd.DataFrame({"a": np.random.default_rng(0).integers(0, 1000, 300)}),
    "only names of rows": pd.DataFrame({"id": [f"A{i:05d}" for i in range(100)]}),
    "only a constant": pd.DataFrame({"a": ["x"] * 100}),
    "500 columns": wide(20, 480),
    "50,000 values": pd.DataFrame({"big": [f"s{i % 50_000}" for i in range(120_000)], "y": np.arange(120_000) % 9}),
}


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("form", ["csv", "frame"])
def test_any_table_goes_through_both_spaces_and_back(name: str, form: str, tmp_path: Path) -> None:
    source: Any = FRAMES[name]
    if form == "csv":
        if len(source) * len(source.columns) > 25_000:
            pytest.skip("large ones go through once")
        source = tmp_path / "t.csv"
        FRAMES[name].to_csv(source, index=False)
    codec, records = fitted(source)
    for which, space in enumerate(codec.spaces):
        points = codec.encode(records, space)
        assert points.shape == (len(records), space.numel)
        made = codec.decode(points, space)
        assert made.cells.schema.equals(records.cells.schema)
        assert [c.null_count for c in made.cells.columns] == [c.null_count for c in records.cells.columns]
        wild = codec.decode(junk(codec, 100, which), space)
        assert wild.cells.schema.equals(records.cells.schema) and len(wild) == 100
        assert codec.view(wild).values.shape == (100, *codec.viewed.shape)
    again = codec_named("table").restore(json.loads(json.dumps(codec.state())))
    assert again.decode(points, space).cells.equals(made.cells)
    assert again.spaces == codec.spaces and again.viewed == codec.viewed
    printed = codec.printed(made)
    assert printed.schema.types == codec.printed(records).schema.types


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".parquet", ".feather"])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_what_is_packed_is_read_again_as_it_was(suffix: str, missing: float, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    orders(missing=missing).to_csv(path, index=False)
    codec, records = fitted(path)
    assert codec.wholes[0] == ".csv" and codec.pack(records, ".csv") == path.read_bytes()
    made = codec.decode(codec.encode(records))
    again = tmp_path / f"made{suffix}"
    again.write_bytes(codec.pack(made, suffix))
    assert codec.conform(Tables.read(again, {}).records).cells.equals(made.cells)


def test_a_made_frame_has_the_types_of_the_real_one(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "a": np.arange(200, dtype=np.int32) % 50,
            "b": np.random.default_rng(0).normal(size=200).astype(np.float32),
            "c": pd.Categorical(["x", "y"] * 100),
            "d": pd.date_range("2024-01-01", periods=200, tz="Europe/Berlin"),
        }
    )
    path = tmp_path / "t.parquet"
    frame.to_parquet(path)
    codec, records = fitted(path)
    (tmp_path / "made.parquet").write_bytes(codec.pack(codec.decode(codec.encode(records)), codec.wholes[0]))
    assert pd.read_parquet(tmp_path / "made.parquet").dtypes.to_dict() == frame.dtypes.to_dict()
    assert recognise(pl.DataFrame({"a": [1, 2]})) is Tables


def test_the_rules_hold_in_whatever_is_decoded(shop: tuple[Tables, Contents, Path]) -> None:
    codec = shop[0]
    for which, space in enumerate(codec.spaces):
        made = codec.decode(junk(codec, 2000, which), space)
        assert {text: int(bad.sum()) for text, bad in codec.broken(made).items()} == {
            "ordered < sent": 0,
            "total = price * qty": 0,
            "together 城市, country": 0,
            **{text: 0 for text in codec.broken(made) if text.startswith("unique")},
        }


def test_nothing_sensitive_is_learned_shown_or_kept(shop: tuple[Tables, Contents, Path]) -> None:
    codec, contents, _ = shop
    real = set(contents.records.cells["email"].to_pylist())
    made = codec.decode(codec.encode(contents.records))
    assert not real & set(made.cells["email"].to_pylist())
    told = json.dumps(codec.state()) + codec.sheet(made, 8).decode() + codec.sheet(contents.records, 8).decode()
    assert not any(address in told for address in real)
    assert codec.sheet(contents.records, 8).decode().count("<tr>") == 21


def test_a_sheet_is_escaped() -> None:
    codec, records = fitted(pd.DataFrame({"<b>": ["<script>", "&"] * 20, "n": range(40)}))
    shown = codec.sheet(records, 8).decode()
    assert "&lt;b&gt;" in shown and "<script>" not in shown


def test_the_judge_sees_numbers_and_choices(shop: tuple[Tables, Contents, Path]) -> None:
    codec, contents, _ = shop
    seen, columns = codec.view_values(contents.records), codec.viewed
    at = {name: j for j, name in enumerate(columns.names)}
    assert "email" not in at and "id" not in at and "currency" not in at
    assert np.array_equal(seen[:, at["qty"]], contents.records.cells["qty"].to_numpy())
    spelled = np.array(columns.choices[at["城市"]])[seen[:, at["城市"]].astype(int)]
    assert spelled.tolist() == contents.records.cells["城市"].to_pylist()
    strange = contents.records.cells.set_column(
        contents.records.cells.column_names.index("sku"), "sku", pa.array(["new"] * len(contents.records))
    )
    other = codec.conform(Table(strange, contents.records.facts))
    assert (codec.view_values(other)[:, at["sku"]] == len(columns.choices[at["sku"]])).all()
    assert codec.unseen(other) == {"sku": len(other)}


def test_somebody_elses_table_is_brought_to_ours(shop: tuple[Tables, Contents, Path], tmp_path: Path) -> None:
    codec, contents, path = shop
    frame = pd.read_csv(path)
    theirs = tmp_path / "theirs.parquet"
    frame[frame.columns[::-1]].to_parquet(theirs)
    conformed = codec.conform(Tables.read(theirs, {}).records)
    assert conformed.cells.equals(contents.records.cells)
    for change, said in (
        (frame.drop(columns="qty"), "lacks 'qty'"),
        (frame.assign(extra=1), "'extra' too many"),
        (frame.assign(qty="many"), "'qty'"),
    ):
        with pytest.raises(DataError, match=said):
            codec.conform(Tables.read(change, {}).records)


def test_equal_rows_have_equal_digests_and_others_not() -> None:
    cells = pa.table(
        {
            "a": [1, 1, 2, None, None],
            "b": [0.0, -0.0, 0.0, 0.0, 0.0],
            "c": ["x", "x", "x", "x", None],
            "d": pa.array([1, 1, 1, 1, 1], pa.timestamp("us")),
            "e": [True, True, True, True, False],
        }
    )
    digests = Tables.digests(Table(cells))
    assert digests.shape == (5, 2) and digests.dtype == np.dtype("<u8")
    assert (digests[0] == digests[1]).all() and len(np.unique(digests, axis=0)) == 4
    assert np.array_equal(Tables.digests(Table(cells)[2:4]), digests[2:4])
    swapped = Tables.digests(Table(pa.table({"a": ["x", "y"], "b": ["y", "x"]})))
    assert (swapped[0] != swapped[1]).all()


def test_conditions_are_kept_in_every_row(shop: tuple[Tables, Contents, Path]) -> None:
    codec, contents, _ = shop
    rng = np.random.default_rng(0)
    given = codec.conditions.given(
        "paid=yes, price=17.50..60, qty!=2, country=中国, score=0.125, sent=01/03/2024, email=a@b.example"
    )
    pinned = codec.conditions.pin(given, 400, rng)
    at = {names: j for j, names in enumerate(codec.coded)}
    assert (pinned[:, at[("paid",)]] >= 0).all() and (pinned[:, at[("sku",)]] == -1).all()
    codes = torch.where(pinned >= 0, pinned, codec.encode(contents.records)[:400])
    made = codec.conditions.restore(codec.decode(codes, rng=rng), given, rng)
    cells = cells_of(made.cells)
    for condition in given.values():
        assert condition.holds(cells).all(), condition
    assert set(made.cells["城市"].to_pylist()) == {"北京", "上海"}
    assert set(made.cells["score"].to_pylist()) == {0.125}
    assert codec.printed(made)["sent"].to_pylist()[0] == "01/03/2024"
    assert not any(bad.any() for text, bad in codec.broken(made).items() if not text.startswith("unique"))


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("payed=yes", DataError, "nearest is 'paid'"),
        ("城市=北", DataError, "nearest is '北京'"),
        ("price=x", DataError, "wanted such as 17.5"),
        ("qty", DataError, "without '='"),
        ("qty>3", DataError, "column=low..high"),
        ("qty>=3", DataError, "compares 'qty' by >=.*column=low..high"),
        ("qty=1, qty=2", DataError, "twice"),
        ("qty=5..1", DataError, "swap its ends"),
        ("qty=500..600", DataError, "no training row has qty=500..600"),
        ("country=France, 城市=北京", DataError, "together"),
        ("currency=USD", DataError, "no other value than 'EUR'"),
        ("total=5.00, price=3.00", DataError, "no 'qty' keeps"),
        ("sku=", DataError, "missing"),
        ('sku="s1', DataError, "never closes"),
        ("", DataError, "empty"),
    ],
)
def test_a_condition_that_cannot_be_met_says_why(
    text: str, error: type[Exception], said: str, shop: tuple[Tables, Contents, Path]
) -> None:
    codec = shop[0]
    with pytest.raises(error, match=said):
        codec.conditions.pin(codec.conditions.given(text), 5, np.random.default_rng(0))


def test_a_condition_may_hold_commas_quotes_and_missing_cells() -> None:
    frame = pd.DataFrame({"a,b": ['x, "y"', "z=1", None] * 20, "n": range(60)})
    codec, _ = fitted(frame)
    assert codec.conditions.given('"a,b"="x, ""y"""')["a,b"].text == 'x, "y"'
    assert codec.conditions.given('"a,b"=z=1, n=3..')["n"].high == np.inf
    pinned = codec.conditions.pin(codec.conditions.given('"a,b"='), 3, np.random.default_rng(0))
    assert (pinned[:, 0] == 0).all()
    assert (codec.conditions.pin(codec.conditions.given('"a,b"!='), 50, np.random.default_rng(0))[:, 0] > 0).all()


def test_partial_rows_are_completed_round_what_they_hold(shop: tuple[Tables, Contents, Path], tmp_path: Path) -> None:
    codec, contents, _ = shop
    path = tmp_path / "partial.csv"
    path.write_text(
        "qty,country,sent,ordered,email,score\n3,中国,09/02/2024,,x@y.example,0.5\n,France,,10/02/2024,,\n2,,12/02/2024,11/02/2024,,\n",
        encoding="utf-8",
    )
    rows = codec.conditions.partial(path)
    rng = np.random.default_rng(0)
    pinned = codec.conditions.pin_rows(rows, rng)
    codes = torch.where(pinned >= 0, pinned, codec.encode(contents.records)[:3])
    made = codec.conditions.restore(codec.decode(codes, rng=rng), rows, rng)
    for name in rows.cells.column_names:
        there = rows.cells[name].is_valid()
        assert made.cells[name].filter(there).equals(rows.cells[name].filter(there)), name
    assert sum(column.null_count for column in made.cells.columns) == 0
    assert not any(bad.any() for bad in codec.broken(made).values())
    path.write_text("qty,cuontry\n3,x\n", encoding="utf-8")
    with pytest.raises(DataError, match="nearest is 'country'"):
        codec.conditions.partial(path)


def test_conditions_and_rules_hold_together_in_many_rows(tmp_path: Path) -> None:
    path, rules = tmp_path / "orders.csv", tmp_path / "schema.toml"
    orders(1500, 0.1).to_csv(path, index=False)
    rules.write_text(RULES + '[[constraint]]\nunique = ["sku", "price", "ordered"]\n', encoding="utf-8")
    codec = Tables.fit(contents := Tables.read(path, {"schema": rules}), np.arange(len(contents.records)))
    given = codec.conditions.given("price=17.50..60, ordered=01/02/2024..20/02/2024, 城市=Paris, score=0..0.5, sku!=")
    rng = np.random.default_rng(0)
    pinned = codec.conditions.pin(given, 20_000, rng)
    codes = torch.where(pinned >= 0, pinned, junk(codec, 20_000, 0) % torch.tensor(codec.spaces[0].sizes))
    made = codec.conditions.restore(codec.decode(codes, rng=rng), given, rng)
    cells = cells_of(made.cells)
    assert all(condition.holds(cells).all() for condition in given.values())
    assert {text: int(bad.sum()) for text, bad in codec.broken(made).items() if bad.any()} == {}


def test_given_cells_that_contradict_a_rule_are_refused(shop: tuple[Tables, Contents, Path], tmp_path: Path) -> None:
    codec, contents, _ = shop
    rng = np.random.default_rng(0)
    path = tmp_path / "partial.csv"
    for text, error in (
        ("sent,ordered\n09/02/2024,10/02/2024\n", DataError),
        ("price,qty,total\n2.00,3,7.00\n", FitError),
        ("城市,country\n北京,France\n", DataError),
    ):
        path.write_text(text, encoding="utf-8")
        rows = codec.conditions.partial(path)
        with pytest.raises(error):
            pinned = codec.conditions.pin_rows(rows, rng)
            codes = torch.where(pinned >= 0, pinned, codec.encode(contents.records)[:1])
            codec.conditions.restore(codec.decode(codes, rng=rng), rows, rng)


def test_rows_that_break_a_rule_are_set_aside_with_a_note(tmp_path: Path) -> None:
    frame = orders()
    frame.loc[10, "total"] = "0.01"
    path, rules = tmp_path / "orders.csv", tmp_path / "schema.toml"
    frame.to_csv(path, index=False)
    rules.write_text(RULES, encoding="utf-8")
    contents = Tables.read(path, {"schema": rules})
    assert len(contents.records) == 1499 and contents.facts["set_aside"] == 1
    assert any("the first in line 12" in note for note in contents.facts["notes"])


@pytest.mark.parametrize(("rows", "missing"), [(1500, 0.0), (1500, 0.3), (40, 0.0)])
def test_under_epsilon_the_budget_is_kept_and_everything_else_works(rows: int, missing: float, tmp_path: Path) -> None:
    path, rules = tmp_path / "orders.csv", tmp_path / "schema.toml"
    orders(rows, missing).to_csv(path, index=False)
    rules.write_text(RULES.split("[[constraint]]\ntogether")[0], encoding="utf-8")
    contents = Tables.read(path, {"schema": rules})
    budget = Budget.of(1.0, 1e-6)
    codec = Tables.fit_discreetly(contents, np.arange(rows), budget, Source(0))
    assert 0 < sum(cost.rho for cost in budget.spent) <= budget.rho * (1 + 1e-9)
    assert all(column.learned == {} for column in codec.schema.columns)
    for which, space in enumerate(codec.spaces):
        made = codec.decode(junk(codec, 300, which), space)
        assert made.cells.schema.equals(contents.records.cells.schema)
        assert not any(bad.any() for bad in codec.broken(made).values())
        assert codec.encode(contents.records, space).shape == (rows, space.numel)
    assert codec.pack(made, ".csv").count(b"\n") == 301
    again = codec_named("table").restore(json.loads(json.dumps(codec.state())))
    assert again.decode(junk(codec, 300, 1), codec.spaces[1]).cells.equals(made.cells)
    (tmp_path / "schema.toml").write_text(RULES, encoding="utf-8")
    with pytest.raises(FitError, match="together"):
        Tables.fit_discreetly(Tables.read(path, {"schema": rules}), np.arange(rows), Budget.of(1.0, 1e-6), Source(0))


def test_unknown_options_and_targets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FitError, match="no option 'size'"):
        Tables.read(orders(50), {"size": 3})
    with pytest.raises(DataError, match="nearest is 'paid'"):
        Tables.read(orders(50), {"target": "payed"})


def test_a_frame_that_is_not_text_and_paths_of_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="is no content"):
        recognise(3)
    with pytest.raises(DataError, match="does not exist"):
        recognise(Path("nowhere.csv"))


def test_adult_keeps_its_bytes_and_its_values(data_dir: Path) -> None:
    path = data_dir / "tables" / "adult-train.csv"
    assert recognise(path) is Tables
    codec, records = fitted(path, target="income")
    assert codec.pack(records, ".csv") == path.read_bytes()
    made = codec.decode(codec.encode(records))
    for name in records.cells.column_names:
        if name != "fnlwgt":
            assert made.cells[name].equals(records.cells[name])
    a, b = (np.sort(cells["fnlwgt"].to_numpy()) for cells in (made.cells, records.cells))
    assert np.abs(a - b).mean() < 0.005 * b.std()
    fields = codec.decode(codec.encode(records, codec.spaces[1]), codec.spaces[1])
    same = pc.mean(pc.equal(fields.cells["fnlwgt"], records.cells["fnlwgt"]).cast(pa.int8())).as_py()
    assert same > 0.99 and max(codec.spaces[1].widths) <= 66
    assert codec.decode(codec.encode(records)).cells.equals(made.cells)


def test_a_column_that_is_made_of_two_parts_is_one_that_a_generator_learns(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    zones = ("+02:00", "-05:00", "+09:00")
    lines = [f"2024-03-{rng.integers(1, 28):02} 10:{rng.integers(60):02}:00{zones[i % 3]},{i % 7}" for i in range(90)]
    source = tmp_path / "calls.csv"
    source.write_text("at,n\n" + "\n".join(lines) + "\n")
    codec = load(source).codec
    assert isinstance(codec, Tables) and len(codec.layout.coded) == 3, codec.layout.coded
    assert codec.phrase() == "rows, 2 columns, of which a generator learns 2" and codec.traits()["learned"] == 2
