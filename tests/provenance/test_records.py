"""Tables and texts that were changed, or written anew by another program, are known by their records."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from records import spec

import karat
from karat.output import BESIDE, digest_of, to_json
from karat.provenance.containers import container_of
from karat.provenance.content import content_digest
from karat.provenance.label import Label, label_record
from karat.provenance.sketch import Sketch
from karat.run import Run
from karat.workflow import checking

MINE, OTHER = Label("karat", "abc123", "seed0", "0.1"), Label("someone", "theirs", "seed7", "0.1")


def rows(seed: int, n: int = 60) -> pd.DataFrame:
    r = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": r.integers(18, 90, n),
            "pay": np.round(r.lognormal(3, 1, n), 2),
            "city": r.choice(["Ulm", "Bonn, Rhein", "Köln"], n),
            "member": r.choice([True, False], n),
        }
    )


def to_database(table: pd.DataFrame, path: Path) -> None:
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as base:
        table.to_sql("made", base, index=False)
    base.close()


def to_text(table: pd.DataFrame, path: Path) -> None:
    lines = (
        f"In {c} a man of {a} has {p} and says so." for a, p, c in zip(table.age, table.pay, table.city, strict=True)
    )
    path.write_text("\n".join(lines) + "\n")


WRITE: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    ".csv": lambda table, path: table.to_csv(path, index=False),
    ".json": lambda table, path: table.to_json(path, orient="records"),
    ".jsonl": lambda table, path: table.to_json(path, orient="records", lines=True),
    ".xlsx": lambda table, path: table.to_excel(path, index=False),
    ".parquet": lambda table, path: table.to_parquet(path),
    ".db": to_database,
    ".txt": to_text,
}


def label(path: Path, label: Label) -> None:
    container, found = container_of(path.name), digest_of(path)
    if container is not None:
        path.write_bytes(container.write(path.read_bytes(), label))
    else:
        path.with_name(path.name + BESIDE).write_bytes(to_json(label_record(label, {path.name: str(found)})))


def changed(table: pd.DataFrame) -> pd.DataFrame:
    """With other cells in two rows."""
    out = table.copy()
    out.loc[[3, 17], "age"] = 99
    return out


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that remembers one table in every form."""
    folder = tmp_path_factory.mktemp("remembered")
    run = Run.create(folder / "run", {**spec(), "id": "abc123"})
    for suffix, write in WRITE.items():
        write(rows(0), folder / f"t{suffix}")
        label(folder / f"t{suffix}", MINE)
    checking.remember(run, sorted(folder.glob("t.*")))
    return run


@pytest.mark.parametrize("suffix", WRITE)
def test_a_table_whose_label_is_gone_and_of_which_cells_were_changed_is_known_by_its_run(
    suffix: str, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / f"x{suffix}"
    WRITE[suffix](changed(rows(0)), path)
    (found,) = karat.check(path, run=run.path).files
    assert found.state == "edited" and "abc123/seed0" in found.says and "no proof" in found.says
    record = next(each for each in found.results if each.type == "record")
    assert (record.outcome, record.validation_state) == ("detected", "invalid")
    label(path, OTHER)
    (found,) = karat.check(path, run=run.path).files
    assert found.state == "relabelled" and "someone/theirs" in found.says


@pytest.mark.parametrize("suffix", WRITE)
def test_other_rows_of_the_same_source_are_nobodys(suffix: str, run: Run, tmp_path: Path) -> None:
    WRITE[suffix](rows(1), tmp_path / f"x{suffix}")
    (found,) = karat.check(tmp_path / f"x{suffix}", run=run.path).files
    assert found.state == "no label" and "says nothing about who made it" in found.says


def test_independent_draws_are_never_taken_for_the_same_where_most_of_their_rows_could_be_alike() -> None:
    r = np.random.default_rng(0)
    sets = [
        Sketch.of(str(x).encode() for x in r.integers(0, 300, 300)) for _ in range(400)
    ]  # each row once in a set, on average
    shares = [one.share(other) for one, other in zip(sets[::2], sets[1::2], strict=True)]
    assert shares == [None] * 200
    same = [one.share(one) for one in sets]
    assert same == [1.0] * 400


def test_how_much_two_tables_have_in_common_is_estimated_from_a_few_of_their_rows() -> None:
    mine = [f"row {i}".encode() for i in range(20_000)]
    theirs = mine[:16_000] + [f"other {i}".encode() for i in range(4_000)]
    share = Sketch.of(mine).share(Sketch.of(theirs))  # 16,000 of 24,000
    assert share is not None and abs(share - 2 / 3) < 0.2
    assert Sketch.parse(str(Sketch.of(mine))) == Sketch.of(mine)


def test_what_another_program_writes_of_the_same_cells_is_the_same_content(tmp_path: Path) -> None:
    table = rows(0).assign(count=[7.0] * 60)
    for name, text in (("a", table.to_csv(index=False)), ("b", table.to_csv(index=False, quoting=1, sep=";"))):
        (tmp_path / f"{name}.csv").write_text(text)
    (tmp_path / "c.csv").write_text(table.astype({"count": int}).to_csv(index=False, float_format="%.4f"))
    assert len({content_digest(tmp_path / f"{name}.csv") for name in "abc"}) == 1
    table.to_excel(tmp_path / "a.xlsx", index=False)
    pd.read_excel(tmp_path / "a.xlsx").to_excel(tmp_path / "b.xlsx", index=False, sheet_name="Other")
    assert content_digest(tmp_path / "a.xlsx") == content_digest(tmp_path / "b.xlsx")
    records = json.loads(table.to_json(orient="records"))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records))
    (tmp_path / "b.jsonl").write_text(pd.DataFrame(records).to_json(orient="records", lines=True))
    (tmp_path / "c.json").write_text(json.dumps(records, indent=4))
    assert len({content_digest(tmp_path / name) for name in ("a.jsonl", "b.jsonl", "c.json")}) == 1


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "utf-8-sig"])
def test_chinese_in_another_encoding_is_the_same_content(encoding: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"城市": ["北京", "上海", "联通"] * 200, "数量": range(600)})
    (tmp_path / "a.csv").write_text(table.to_csv(index=False), encoding="utf-8")
    (tmp_path / "b.csv").write_text(table.to_csv(index=False, sep=";"), encoding=encoding)
    assert content_digest(tmp_path / "a.csv") == content_digest(tmp_path / "b.csv")
    (tmp_path / "c.csv").write_text(table.replace("上海", "广州").to_csv(index=False), encoding=encoding)
    assert content_digest(tmp_path / "a.csv") != content_digest(tmp_path / "c.csv")


@pytest.mark.parametrize(("one", "other"), [("007", "7"), ("1.50", "1.51"), ("yes", "Yes"), ("a b", "ab")])
def test_cells_with_other_values_are_other_content(one: str, other: str, tmp_path: Path) -> None:
    for name, cell in (("a", one), ("b", other)):
        (tmp_path / f"{name}.csv").write_text(f"x,y\n1,{cell}\n")
    assert content_digest(tmp_path / "a.csv") != content_digest(tmp_path / "b.csv")
