"""A newcomer's odd tables through the command line: each is looked at, learned, made and judged at the first try."""

from __future__ import annotations

import csv
import gzip
import io
import re
import sqlite3
import string
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

import karat
from karat import cli
from karat.families.trees import FEW_PARENTS
from karat.synthesizer import load

QUICK = ["--threads", "1", "--set", "model.rounds=4"]
MADE = 120
Rows = Sequence[Sequence[object]]


@dataclass(frozen=True)
class Odd:
    """A table and how its file is written. new: columns whose made values must be new and differ; alike: cells keep their form."""

    header: Sequence[str] | None
    rows: Rows
    delimiter: str = ","
    encoding: str = "utf-8"
    ends: str = "\n"
    suffix: str = ".csv"
    quoting: int = csv.QUOTE_MINIMAL
    new: tuple[int, ...] = ()
    alike: bool = True

    def write(self, folder: Path) -> Path:
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter=self.delimiter, quoting=self.quoting, lineterminator=self.ends)  # type: ignore[arg-type]
        if self.header is not None:
            writer.writerow(self.header)
        writer.writerows(self.rows)
        data = out.getvalue().encode(self.encoding)
        path = folder / f"odd{self.suffix}"
        path.write_bytes(gzip.compress(data) if self.suffix.endswith(".gz") else data)
        return path

    def read(self, path: Path) -> list[list[str]]:
        data = path.read_bytes()
        text = (gzip.decompress(data) if self.suffix.endswith(".gz") else data).decode(self.encoding)
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=self.delimiter))


def _luhn(digits: str) -> str:
    doubled = [int(c) * (2 - i % 2) for i, c in enumerate(reversed(digits))]
    return str(-sum(d - 9 * (d > 9) for d in doubled) % 10)


def _resident(r: np.random.Generator) -> str:
    body = f"110105{r.integers(1950, 2000)}{r.integers(1, 13):02d}{r.integers(1, 29):02d}{r.integers(1, 999):03d}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return body + "10X98765432"[sum(int(a) * b for a, b in zip(body, weights, strict=True)) % 11]


def _people(n: int) -> Rows:
    r = np.random.default_rng(3)
    out = []
    for i in range(n):
        card = "4" + "".join(map(str, r.integers(0, 10, 14)))
        card += _luhn(card)
        phone = f"+1-{r.integers(200, 999)}-{r.integers(200, 999)}-{r.integers(1000, 9999)}"
        out.append(
            [
                f"person{i}@corp{i % 7}.com",
                phone,
                " ".join(card[k : k + 4] for k in (0, 4, 8, 12)),
                _resident(r),
                int(r.integers(18, 90)),
            ]
        )
    return out


WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "seven", "wizards", "boxed"]


def odd() -> dict[str, Callable[[], Odd]]:
    """The tables by name; each is written only when it is asked for."""
    r = np.random.default_rng(1)
    day = lambda: date(2019, 1, 1) + timedelta(days=int(r.integers(0, 900)))  # noqa: E731
    second = lambda: datetime(2023, 1, 1) + timedelta(seconds=int(r.integers(0, 86_400 * 300)))  # noqa: E731
    pick = lambda *words: words[int(r.integers(len(words)))]  # noqa: E731
    gone = lambda value: value if r.random() > 0.3 else ""  # noqa: E731
    whole = lambda high: int(r.integers(0, high))  # noqa: E731
    return {
        "sales with zones and money": lambda: Odd(
            ("order", "ordered at", "price", "total", "currency"),
            [
                (
                    f"ORD-{5000 + i}",
                    second().isoformat() + pick("+00:00", "+08:00", "-05:00"),
                    f"{r.lognormal(3, 1):.2f}",
                    f"${r.lognormal(7, 1):,.2f}",
                    "USD",
                )
                for i in range(300)
            ],
            new=(0,),
        ),
        "moments in UTC": lambda: Odd(("when",), [(second().isoformat() + "Z",) for _ in range(200)]),
        "a third missing": lambda: Odd(
            ("a", "b", "c", "d", "e"),
            [
                (
                    gone(whole(100)),
                    gone(f"{r.normal():.3f}"),
                    gone(pick("x", "y")),
                    gone(day()),
                    gone(pick("true", "false")),
                )
                for _ in range(400)
            ],
        ),
        "missing in words": lambda: Odd(
            ("a", "b"), [(pick("N/A", whole(90), whole(90)), pick("NULL", f"{r.normal():.2f}")) for _ in range(300)]
        ),
        "a constant": lambda: Odd(("k", "x", "price"), [("same", whole(50), "3.50") for _ in range(200)]),
        "nothing but constants": lambda: Odd(("k", "x"), [("same", 7) for _ in range(100)]),
        "nothing but missing cells": lambda: Odd(("a", "b"), [("", "") for _ in range(100)]),
        "a column without cells": lambda: Odd(("a", "none"), [(whole(9), "") for _ in range(200)]),
        "Chinese headers in GBK": lambda: Odd(
            ("城市", "金额", "日期", "电话", "是否会员"),
            [
                (
                    pick("北京市", "上海市", "广州市"),
                    f"{r.lognormal(5, 1):.2f}".replace(".", ","),
                    f"2023年{r.integers(1, 13)}月{r.integers(1, 29)}日",
                    f"138{r.integers(0, 10**8):08d}",
                    pick("是", "否"),
                )
                for _ in range(300)
            ],
            delimiter=";",
            encoding="gb18030",
            ends="\r\n",
            new=(3,),
        ),
        "a byte order mark": lambda: Odd(
            ("编号", "价格"),
            [(f"P{i:04d}", f"{r.uniform(1, 99):.1f}") for i in range(200)],
            encoding="utf-8-sig",
            new=(0,),
        ),
        "forty rows": lambda: Odd(("age", "income"), [(whole(80), f"{r.lognormal(10, 1):.0f}") for _ in range(40)]),
        "one number": lambda: Odd(("x",), [(f"{r.normal():.4f}",) for _ in range(200)]),
        "one choice": lambda: Odd(("colour",), [(pick("red", "green", "blue"),) for _ in range(200)]),
        "one bit": lambda: Odd(("y",), [(whole(2),) for _ in range(200)]),
        "no header": lambda: Odd(None, [(whole(90),) for _ in range(200)]),
        "nothing but numbers of rows": lambda: Odd(("id",), [(1000 + i,) for i in range(200)], new=(0,)),
        "identifiers": lambda: Odd(
            ("uid", "code"),
            [(uuid.UUID(bytes=r.bytes(16), version=4), f"AB-{7 * i:06d}") for i in range(200)],
            new=(0, 1),
            alike=False,
        ),
        "unique keys": lambda: Odd(
            ("sku", "v"),
            [("".join(r.choice(list(string.ascii_uppercase), 6)) + f"{i:03d}", whole(9)) for i in range(300)],
            new=(0,),
        ),
        "dates only": lambda: Odd(("from", "to"), [(f"{day():%d/%m/%Y}", f"{day():%d %b %Y}") for _ in range(200)]),
        "times": lambda: Odd(
            ("t", "us"), [(f"{whole(24):02d}:{whole(60):02d}", f"{second():%m/%d/%Y %I:%M %p}") for _ in range(200)]
        ),
        "free text": lambda: Odd(
            ("review", "stars"),
            [(" ".join(r.choice(WORDS, int(r.integers(5, 25)))), whole(5)) for _ in range(300)],
            new=(0,),
        ),
        "persons": lambda: Odd(
            ("email", "phone", "card", "id card", "age"), _people(200), new=(0, 1, 2, 3), alike=False
        ),
        "booleans of all spellings": lambda: Odd(
            ("a", "b", "c", "d", "e"),
            [
                (pick("Yes", "No"), pick("Y", "N"), pick("TRUE", "FALSE"), pick("t", "f"), pick("on", "off", "OFF"))
                for _ in range(200)
            ],
        ),
        "numbers beyond 64 bits": lambda: Odd(
            ("big", "u64"), [(whole(9) * 10**24 + whole(10**9) + 10**25, 2**63 + whole(2**60)) for _ in range(200)]
        ),
        "negative zero and science": lambda: Odd(
            ("zero", "power"), [(pick("-0.0", "0.0", "1.5", "-2.5"), f"{r.lognormal(0, 20):.3e}") for _ in range(200)]
        ),
        "very long values": lambda: Odd(
            ("d", "n"), [(pick("A" * 5000, "B" * 3000 + " tail", "short"), whole(5)) for _ in range(150)]
        ),
        "quotes, lines and formulas in cells": lambda: Odd(
            ('a, "q"', "two\nlines", "=cmd"),
            [
                (
                    pick('a "b" c', "x, y", "line1\nline2"),
                    pick("p;q", "tab\there"),
                    pick("=1+1", "@sum", "<script>x</script>"),
                )
                for _ in range(200)
            ],
        ),
        "all quoted": lambda: Odd(
            ("a", "b"), [(whole(9), pick("x", "y")) for _ in range(200)], quoting=csv.QUOTE_ALL, ends="\r\n"
        ),
        "packed, with tabs": lambda: Odd(
            ("a", "when"), [(f"{r.normal():.2f}", day()) for _ in range(200)], "\t", suffix=".tsv.gz"
        ),
        "pipes and thousands": lambda: Odd(
            ("a", "b"), [(f"{whole(10**7) + 1000:,}", pick("x", "y")) for _ in range(200)], "|"
        ),
        "leading zeros and percent": lambda: Odd(
            ("zip", "pct"), [(f"{r.integers(0, 99):05d}", f"{whole(100)}%") for _ in range(300)]
        ),
        "infinite numbers": lambda: Odd(
            ("x",), [(pick("inf", "-inf", "1.5", f"{r.normal():.1f}"),) for _ in range(300)]
        ),
        "one column of many kinds": lambda: Odd(
            ("m", "n"), [(pick("1", "2.5", "abc", "2020-01-01", ""), pick("1", "1.0", "01")) for _ in range(200)]
        ),
    }


def run_cli(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What is printed by a command that must succeed."""
    try:
        cli.main([str(a) for a in arguments])
    except SystemExit as stop:
        assert stop.code in (0, None), capsys.readouterr().err
    seen = capsys.readouterr()
    assert not seen.err, seen.err
    return seen.out


def form(cell: str) -> str:
    """A cell without what it says: one letter for each run of digits, small and capital letters."""
    kinds = re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", re.sub(r"[0-9]", "9", cell)))
    return re.sub(r"(.)\1+", r"\1", re.sub(r"[\u4e00-\u9fff]", "汉", kinds))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if k % 3 else pytest.mark.exam) for k, name in enumerate(odd())]
)
def test_an_odd_table_works_at_the_first_try(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = odd()[name]()
    file, run = table.write(tmp_path), tmp_path / "run"
    run_cli(capsys, "train", file, "--out", run, *QUICK)
    run_cli(capsys, "make", run, "-n", MADE)
    made = run / "made" / f"made{table.suffix}"
    real, ours = table.read(file), table.read(made)
    if table.header is not None:
        assert ours[0] == real[0] == list(table.header)
        real, ours = real[1:], ours[1:]
    assert len(ours) == MADE
    assert (b"\r\n" in file.read_bytes()) == (b"\r\n" in made.read_bytes())
    assert file.read_bytes()[:3] == made.read_bytes()[:3] or not file.read_bytes().startswith(b"\xef\xbb\xbf")
    for j, column in enumerate(zip(*ours, strict=True)):
        theirs = [row[j] for row in real]
        dtypes = [
            pd.read_csv(io.StringIO("x\n" + "\n".join(f'"{c}"' for c in cells if '"' not in c))).dtypes.iloc[0]
            for cells in (column, theirs)
        ]
        assert dtypes[0] == dtypes[1], (j, column[:5])
        if j in table.new:
            assert len(set(column)) == MADE and not set(column) & set(theirs), (j, column[:5])
        elif table.alike:
            assert {form(c) for c in column} <= {form(c) for c in theirs}, (j, column[:5])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if k % 8 == 0 else pytest.mark.exam) for k, name in enumerate(odd())]
)
def test_an_odd_table_is_looked_at_and_assayed(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, run = odd()[name]().write(tmp_path), tmp_path / "run"
    run_cli(capsys, "look", file, "--no-probe")
    run_cli(capsys, "train", file, "--out", run, *QUICK)
    said = run_cli(capsys, "assay", run, "-n", 200, "--threads", "1")
    assert "column shapes" in said and (run / "report" / "report.html").is_file()


FRAME = pd.DataFrame(
    {
        "small": np.arange(200, dtype=np.int32) % 17,
        "single": np.linspace(0, 1, 200).astype(np.float32),
        "kind": pd.Categorical(["b", "a"] * 100),
        "when": pd.date_range("2020-01-01", periods=200, freq="7h", tz="Europe/Berlin"),
        "gappy": pd.array([None if i % 3 == 0 else i % 7 for i in range(200)], dtype="Int64"),
        "flag": np.arange(200) % 3 == 0,
        "word": ["x", "y", "z", "x"] * 50,
        "byte": (np.arange(200) % 250).astype(np.uint8),
    }
)


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_a_frame_comes_back_with_its_types(kind: str, tmp_path: Path) -> None:
    frame = {"pandas": lambda: FRAME, "polars": lambda: pl.from_pandas(FRAME), "arrow": lambda: pa.table(FRAME)}[kind]()
    run = karat.train(frame, out=tmp_path / "run", threads=1, set=["model.rounds=4"])
    file = karat.make(run, n=50, out=tmp_path / "made.parquet", threads=1)[0]
    made = pd.read_parquet(file)
    assert len(made) == 50 and list(made.columns) == list(FRAME.columns)
    if kind == "pandas":
        kept = [str(t) for t in made.dtypes]
        assert [t.replace("Int64", "float64") for t in kept] == [
            str(t).replace("Int64", "float64") for t in FRAME.dtypes
        ]
    if kind == "polars":
        assert pl.read_parquet(file).schema == frame.schema
    if kind == "arrow":
        karat.assay(run, n=100, threads=1)


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_query_of_a_database_is_a_table(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, run = tmp_path / f"shop.{kind}", tmp_path / "run"
    base = sqlite3.connect(file) if kind == "sqlite" else pytest.importorskip("duckdb").connect(str(file))
    base.execute("create table orders (id integer, city varchar, price double, ok boolean)")
    r = np.random.default_rng(0)
    for i in range(120):
        base.execute(
            "insert into orders values (?, ?, ?, ?)",
            (i, ["Rome", "Bonn"][int(r.integers(2))], round(float(r.lognormal()), 2), bool(r.integers(2))),
        )
    base.commit()
    base.close()
    query = "data.query=select city, price, ok from orders where id >= 20"
    run_cli(capsys, "look", file, "--no-probe", "--set", query)
    run_cli(capsys, "train", file, "--out", run, "--set", query, *QUICK)
    run_cli(capsys, "make", run, "-n", 30, "--out", tmp_path / "made.csv")
    run_cli(capsys, "assay", run, "-n", 60, "--threads", "1")
    made = pd.read_csv(tmp_path / "made.csv")
    assert list(made.columns) == ["city", "price", "ok"] and set(made["city"]) <= {"Rome", "Bonn"}


@pytest.mark.exam
def test_columns_of_a_wide_table_look_at_their_strongest_few(tmp_path: Path) -> None:
    r = np.random.default_rng(0)
    frame = pd.DataFrame(r.integers(0, 9, (60, 310)), columns=[f"c{j}" for j in range(310)])
    frame["twin"] = frame["c7"]
    run = karat.train(frame, out=tmp_path / "run", discover=False, threads=1, set=["model.boost=false"])
    model = load(run, torch.device("cpu")).model
    links = {link.column: link.parents for link in model.links}  # type: ignore[attr-defined]
    assert max(map(len, links.values())) == FEW_PARENTS
    assert 310 in links[7] or 7 in links[310], "the twin is among them"


def test_a_channel_that_is_closed_on_sundays_stays_so_and_in_a_month_that_is_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sold = pd.Series(pd.Timestamp("2022-01-03") + pd.to_timedelta(rng.integers(0, 900, 1_500), unit="D"))
    channel = rng.choice(["shop", "online", "phone"], 1_500, p=[0.6, 0.3, 0.1])
    sold -= pd.to_timedelta(((sold.dt.day_of_week == 6) & (channel == "shop")).astype(int), unit="D")
    frame = pd.DataFrame({"sold": sold.dt.strftime("%Y-%m-%d"), "channel": channel, "amount": rng.normal(50, 9, 1_500)})
    run = karat.train(frame, out=tmp_path / "run", threads=1, set=["model.rounds=4"])
    month = run.make(400, given="sold=2023-05-01..2023-05-31")
    for made in (run.make(3_000), month):
        sunday, shop = pd.to_datetime(made["sold"]).dt.day_of_week == 6, made["channel"] == "shop"
        assert (sunday & shop).sum() <= 0.01 * shop.sum() and sunday[~shop].mean() > 0.08
    day = pd.to_datetime(month["sold"])
    assert day.min() >= pd.Timestamp("2023-05-01") and day.max() <= pd.Timestamp("2023-05-31")
    assert len(run.make(50, given="sold=2023-05-07, channel=online")) == 50
