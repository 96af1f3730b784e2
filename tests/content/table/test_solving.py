"""Chains of comparisons with gaps, formulas solved for what their result leaves, dates beside datetimes, strange categories."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from karat.content import Tables
from karat.content.table.rules.constraints import compile_rules
from karat.content.table.rules.expressions import Cells
from karat.content.table.schema.columns import Column, Schema
from karat.data import Data, load
from karat.errors import DataError, FitError, KaratError


def table(folder: Path, rules: list[str], **columns: Any) -> tuple[Tables, Data]:
    """The codec of a .csv of these columns with these rules."""
    folder.mkdir(parents=True, exist_ok=True)
    cells = [[("" if x is None else str(x)) for x in column] for column in columns.values()]
    lines = [",".join(row) for row in zip(*cells, strict=True)]
    (folder / "t.csv").write_text("\n".join([",".join(columns), *lines]) + "\n")
    (folder / "t.toml").write_text("".join(f'[[constraint]]\nrule = "{rule}"\n' for rule in rules))
    data = load(folder / "t.csv", options={"schema": folder / "t.toml"})
    assert isinstance(data.codec, Tables)
    return data.codec, data


def asked(codec: Tables, given: str, n: int = 40, seed: int = 0) -> dict[str, list[Any]]:
    """Rows that keep `given`, made from codes that are drawn without a model."""
    rng = np.random.default_rng(seed)
    wish = codec.conditioning(given, None, n, rng)
    points = wish.cells.numpy()
    free = np.stack([rng.integers(0, size, len(points)) for size in codec.spaces[0].sizes], 1)
    import torch

    made = codec.decode(torch.from_numpy(np.where(points < 0, free, points)), codec.spaces[0], rng)
    return dict(wish.restore(made).cells.to_pydict())


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("sign", ["<", "<=", ">"])
def test_a_chain_holds_between_all_that_is_there(size: int, sign: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(size)
    names = "abcde"[:size]
    steps = np.cumsum(rng.integers(1 if sign != "<=" else 0, 9, (400, size)), 1)
    steps = steps if sign != ">" else -steps
    gone = rng.random(steps.shape) < 0.3
    columns = {
        c: [None if g else int(x) for x, g in zip(steps[:, j], gone[:, j], strict=True)] for j, c in enumerate(names)
    }
    codec, data = table(tmp_path, [f" {sign} ".join(names)], **columns)
    points = codec.encode(data.records("train"))
    rng.shuffle(points.numpy())
    for column in range(points.shape[1]):  # any codes at all
        points[:, column] = points[rng.permutation(len(points)), column]
    made = codec.decode(points, rng=rng).cells.to_pydict()
    for a, b in combinations(names, 2):
        for x, y in zip(made[a], made[b], strict=True):
            if x is not None and y is not None:
                assert {"<": x < y, "<=": x <= y, ">": x > y}[sign], (a, b)


def test_a_chain_of_dates_is_checked_between_its_ends() -> None:
    schema = Schema((Column("a", "date"), Column("b", "date"), Column("c", "datetime")), ({"rule": "a <= b < c"},))
    days = [pa.array([2, 2], pa.int32()).view(pa.date32()), pa.nulls(2, pa.date32())]
    at = pa.array([2 * 86_400_000_000, 2 * 86_400_000_000 + 1]).view(pa.timestamp("us"))
    broken = compile_rules(schema).broken(Cells({"a": days[0], "b": days[1], "c": at}))
    assert sum(bad.astype(int) for bad in broken.values()).tolist() == [1, 0]


PRICE = np.round(np.random.default_rng(0).uniform(1, 50, 300), 2)
QTY = np.random.default_rng(1).integers(1, 12, 300)
ARRANGED = [  # the rule, the columns, what is given, what is left and its value
    ("total = round(price * qty, 2)", {"price": PRICE, "qty": QTY}, "price=10,total=30", "qty", 3),
    ("total = round(price * qty, 2)", {"price": PRICE, "qty": QTY}, "qty=4,total=50", "price", 12.5),
    ("total = price + qty", {"price": PRICE, "qty": QTY}, "price=10.5,total=13.5", "qty", 3),
    ("total = price - qty", {"price": PRICE, "qty": QTY}, "price=10.25,total=3.25", "qty", 7),
    ("total = qty - price", {"price": PRICE, "qty": QTY}, "qty=9,total=2.5", "price", 6.5),
    ("total = round(price / qty, 4)", {"price": PRICE, "qty": QTY}, "price=10,total=2.5", "qty", 4),
    ("total = round(price / qty, 4)", {"price": PRICE, "qty": QTY}, "qty=4,total=2.5", "price", 10),
    ("total = round(price * (1 + qty / 100), 4)", {"price": PRICE, "qty": QTY}, "price=10,total=10.5", "qty", 5),
    ("total = price * qty + 0.5 * qty", {"price": PRICE, "qty": QTY}, "price=10,total=31.5", "qty", 3),
    ("total = abs(qty - 6) + price", {"price": PRICE, "qty": QTY}, "qty=4,total=12.25", "price", 10.25),
    ("total = -qty + 2 * price", {"price": PRICE, "qty": QTY}, "price=10.5,total=18", "qty", 3),
]


def _left(rule: str, price: np.ndarray, qty: np.ndarray) -> list[float]:
    text = rule.split(" = ")[1]
    return [
        float(eval(text, {"price": float(p), "qty": int(q), "round": round, "abs": abs}))
        for p, q in zip(price, qty, strict=True)
    ]  # noqa: S307, E501


@pytest.mark.parametrize(("rule", "columns", "given", "name", "wanted"), ARRANGED)
def test_what_a_formula_leaves_is_solved_for_with_every_seed(
    rule: str, columns: dict[str, np.ndarray], given: str, name: str, wanted: float, tmp_path: Path
) -> None:
    total = [f"{x:.6f}".rstrip("0").rstrip(".") for x in _left(rule, PRICE, QTY)]
    codec, _ = table(tmp_path, [rule], **columns, total=total)
    (tmp_path / "part.csv").write_text(
        "\n".join(",".join(x) for x in zip(*(p.split("=") for p in given.split(",")), strict=True)) + "\n"
    )
    for seed in range(4):
        assert set(asked(codec, given, 5, seed)[name]) == {wanted}
        assert asked(codec, str(tmp_path / "part.csv"), 1, seed)[name] == [wanted]


@pytest.mark.parametrize(
    "given", ["total=100", "total=100..110", "total=60,qty!=1", "total!=30", "total=99.99,price=5..40"]
)
def test_a_result_may_be_given_alone(given: str, tmp_path: Path) -> None:
    total = np.round(PRICE * QTY, 2)
    codec, _ = table(tmp_path, ["total = round(price * qty, 2)"], price=PRICE, qty=QTY, total=total)
    made = asked(codec, given, 60)
    for p, q, t in zip(made["price"], made["qty"], made["total"], strict=True):
        assert t == pytest.approx(round(p * q, 2)) and (given[:8] != "total=10" or 100 <= t <= 110)
        assert 1 <= p <= 50 and 1 <= q <= 12
    if given == "total=100":
        assert len(set(made["qty"])) > 2  # drawn, not one solution for all


@pytest.mark.parametrize("given", ["total=150..", "total=..60"])
def test_results_in_a_range_without_an_end_are_spread_and_do_not_lie_at_the_other(given: str, tmp_path: Path) -> None:
    total = np.round(PRICE * QTY, 2)
    codec, _ = table(tmp_path, ["total = round(price * qty, 2)"], price=PRICE, qty=QTY, total=total)
    made, end = np.array(asked(codec, given, 60)["total"]), float(given.split("=")[1].strip("."))
    assert (made >= end).all() if given.endswith("..") else (made <= end).all()
    assert (made == end).sum() < 6 and len(set(made)) > 8


def test_a_result_of_results_is_solved_to_the_bottom(tmp_path: Path) -> None:
    net = np.round(PRICE * QTY, 2)
    tax = np.round(net * 0.2, 2)
    rules = ["net = round(price * qty, 2)", "gross = net + tax", "tax = round(net * 0.2, 2)"]
    codec, _ = table(tmp_path, rules, price=PRICE, qty=QTY, net=net, tax=tax, gross=[f"{x:.2f}" for x in net + tax])
    made = asked(codec, "gross=120,qty=4", 10)
    assert set(made["net"]) == {100} and set(made["price"]) == {25} and set(made["tax"]) == {20}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "price=10,total=31",
            "no 'qty' keeps 'total = round(price * qty, 2)' with total = 31.0, price = 10.0: it would have to be "
            "3.1, and it holds whole numbers",
        ),
        ("qty=3,total=10", "it would have to be 3.33333, and it has 2 decimals"),
        ("price=10,qty=2,total=30", "the given 'total' is not what"),
        ("total=0.01", "were found with which"),
        ("total=-5", "as training rows have them"),
    ],
)
def test_what_cannot_be_solved_for_says_the_true_reason(given: str, said: str, tmp_path: Path) -> None:
    codec, _ = table(tmp_path, ["total = round(price * qty, 2)"], price=PRICE, qty=QTY, total=np.round(PRICE * QTY, 2))
    with pytest.raises(KaratError) as caught:
        asked(codec, given)
    assert said in str(caught.value)


def test_a_category_that_no_training_row_has_is_refused_in_a_file_as_it_is_in_a_condition(tmp_path: Path) -> None:
    kinds = [["std", "vip", "new"][i % 3] for i in range(300)]
    codec, _ = table(
        tmp_path, [], price=PRICE, kind=kinds, fixed=["x"] * 300, on=["yes" if i % 2 else "no" for i in range(300)]
    )
    refused = {
        "kind\ngold": "kind=gold: no training row has it",
        "fixed\ny": "fixed=y: no training row",
        "kind,price\nstd,1\nvipp,2": "row 2: kind=vipp.*'vip'",
    }
    for cell, said in refused.items():
        (tmp_path / "part.csv").write_text(cell + "\n")
        with pytest.raises(DataError, match=said):
            asked(codec, str(tmp_path / "part.csv"))
    with pytest.raises(DataError, match="kind=gold: no training row has it"):
        asked(codec, "kind=gold")


def moments(rng: np.random.Generator, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    day = np.datetime64("2024-01-01") + rng.integers(0, 300, n)
    return day, day.astype("datetime64[s]") + rng.integers(0, 400_000, n)


@pytest.mark.parametrize("rule", ["day <= done", "done >= day", "if k = 'a' then day <= done"])
@pytest.mark.parametrize("form", ["iso", "other", "utc"])
def test_a_date_compares_with_a_datetime(rule: str, form: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    day, done = moments(rng)
    shown = [str(d).replace("T", " ") + ("Z" if form == "utc" else "") for d in done]
    days = [f"{d.item():%d.%m.%Y}" for d in day] if form == "other" else [str(d) for d in day]
    codec, data = table(tmp_path, [rule], day=days, done=shown, k=["ab"[i % 2] for i in range(300)])
    points = codec.encode(data.records("train")).numpy()
    for column in range(points.shape[1]):
        points[:, column] = points[rng.permutation(len(points)), column]
    import torch

    made = codec.decode(torch.from_numpy(points), rng=rng).cells.to_pydict()
    pairs = [
        (np.datetime64(a), np.datetime64(b))
        for a, b, k in zip(*made.values(), strict=True)
        if k == "a" or "if" not in rule
    ]
    assert all(a <= b for a, b in pairs) and len(pairs) > 100
    late = asked(codec, "day=2024-05-01" if form != "other" else "day=01.05.2024", 20)
    assert "if" in rule or all(np.datetime64(b) >= np.datetime64("2024-05-01") for b in late["done"])


def test_hours_between_a_date_and_a_datetime_are_worked_out(tmp_path: Path) -> None:
    day, done = moments(np.random.default_rng(4))
    hours = np.round((done - day.astype("datetime64[s]")).astype(int) / 3600, 1)
    codec, data = table(
        tmp_path,
        ["hours = round((done - day) / 3600, 1)"],
        day=day,
        done=[str(d).replace("T", " ") for d in done],
        hours=hours,
    )
    made = codec.decode(codec.encode(data.records("train")), rng=np.random.default_rng(0)).cells.to_pydict()
    for a, b, h in zip(*made.values(), strict=True):
        gap = (np.datetime64(b) - np.datetime64(a)) / np.timedelta64(1, "h")
        assert h == pytest.approx(gap, abs=0.051)


@pytest.mark.parametrize(("zone", "other"), [("+02:00", ""), ("Z", "clock"), ("-05:00", "clock")])
def test_what_has_a_time_zone_is_not_compared_with_what_has_none(zone: str, other: str, tmp_path: Path) -> None:
    day, done = moments(np.random.default_rng(5))
    first = [f"{d} 00:00:01" for d in day] if other else day
    with pytest.raises(DataError, match=r"'done', which has a time zone .* 'day', which has none.*zone = "):
        table(tmp_path, ["day <= done"], day=first, done=[f"{d}{zone}" for d in done])


def test_a_date_is_not_worked_out_from_a_datetime(tmp_path: Path) -> None:
    day, done = moments(np.random.default_rng(6))
    with pytest.raises((DataError, FitError), match="from dates and datetimes at once"):
        table(tmp_path, ["done = day + 1"], day=day, done=[str(d).replace("T", " ") for d in done])


@pytest.mark.parametrize("way", ["up", "even"])
def test_a_half_may_be_rounded_either_way(way: str, tmp_path: Path) -> None:
    cents = np.random.default_rng(7).integers(100, 5000, 300)
    half = (cents + 1) // 2 if way == "up" else np.rint(cents / 2).astype(int)
    codec, _ = table(
        tmp_path,
        ["part = round(price * 0.5, 2)"],
        price=[f"{c / 100:.2f}" for c in cents],
        part=[f"{c / 100:.2f}" for c in half],
    )
    assert codec.layout.rules.formulas
