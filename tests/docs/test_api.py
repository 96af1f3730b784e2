"""What the page on Python shows works as it is printed, on small data of each kind."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import karat

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def people(rng: np.random.Generator) -> None:
    age, city = rng.integers(18, 80, 400), rng.choice(["Rome", "Oslo", "Lima"], 400)
    pd.DataFrame({"city": city, "age": age, "income": 20_000 + 500 * age}).to_csv("people.csv", index=False)


def farm(rng: np.random.Generator) -> None:
    with contextlib.closing(sqlite3.connect("farm.db")) as db:
        db.execute("create table owner (id integer primary key, city text)")
        db.execute("create table animal (id integer primary key, owner_id integer references owner(id), kilos integer)")
        for i in range(1, 121):
            db.execute("insert into owner values (?, ?)", (i, ("Oslo", "Bergen")[i % 2]))
            kilos = rng.integers(2, 9, rng.poisson(3))
            db.executemany("insert into animal (owner_id, kilos) values (?, ?)", [(i, int(k)) for k in kilos])
        db.commit()


def notes(rng: np.random.Generator) -> None:
    seen = [f"The cat {rng.choice(['sees', 'likes'])} tree number {i}." for i in range(300)]
    Path("notes.txt").write_text("\n".join(seen) + "\n", encoding="utf-8")


def tones(rng: np.random.Generator) -> None:
    Path("tones").mkdir()
    for i in range(80):
        height = "high" if i % 2 else "low"
        t = np.arange(int(rng.integers(900, 1200))) / 4000
        x = 0.6 * np.sin(2 * np.pi * (440 if i % 2 else 165) * t) * np.exp(-4 * t)
        with wave.open(f"tones/{height}_{i}.wav", "wb") as file:
            file.setparams((1, 2, 4000, 0, "NONE", ""))
            file.writeframes(np.rint(x * 32767).astype("<i2").tobytes())


NETS = pytest.mark.exam  # a net learns there for a few steps
SHOWN = [
    pytest.param("people.csv", people, ["new.csv", "report.html"]),
    pytest.param("farm.db", farm, []),
    pytest.param("notes.txt", notes, []),
    pytest.param("digits", None, ["three.png"], marks=NETS),
    pytest.param("tones/", tones, ["high.wav"], marks=NETS),
]


@pytest.mark.parametrize(("source", "prepare", "written"), SHOWN)
def test_an_example_of_the_page_runs_as_printed_and_writes_what_it_names(
    source: str,
    prepare: Callable[[np.random.Generator], None] | None,
    written: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only that a net takes two steps in place of a minute."""
    monkeypatch.chdir(tmp_path)
    if prepare is not None:
        prepare(np.random.default_rng(0))
    (block,) = (b for b in BLOCKS if f'karat.train("{source}"' in b)
    exec(compile(block.replace("minutes=1", "steps=2"), "api.md", "exec"), {"karat": karat})
    assert all(Path(name).stat().st_size for name in written)


def first(place: str) -> str:
    """The first Python of a file, without its comments."""
    shown = re.search(r"```python\n(.*?)```", (PAGE.parents[1] / place).read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    return re.sub(r" +#.*", "", shown[1])


def test_what_a_newcomer_meets_first_is_the_same_in_each_language() -> None:
    assert first("README.md") == first("README.zh.md") == first("docs/index.md")


@pytest.mark.exam
def test_what_a_newcomer_meets_first_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(first("README.md").replace("minutes=0.2", "steps=3"), "README.md", "exec"), known := {})
    assert known["pictures"].shape == (10, 8, 8, 1)
    assert len(list(Path("new").rglob("*.png"))) == 10


def test_every_example_of_the_page_is_run() -> None:
    assert len(BLOCKS) == len(SHOWN)
