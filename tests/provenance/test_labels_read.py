"""The gate of labels rests on what was read back from files: every format, and what happens to files after they are made."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import wave
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import karat
from karat.content.table.io.sources import open_table
from karat.data import load
from karat.errors import FitError
from karat.provenance.containers import CONTAINERS
from karat.provenance.label import Label
from karat.provenance.reading import labelled, read_label
from karat.run import Run
from karat.workflow import office

PLAIN = ["train.precision=fp32", "model.width=8", "model.critic_width=8"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A small run of pictures, of a table and of text."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    pd.DataFrame({"a": rng.integers(0, 9, 300), "b": rng.choice(list("xyz"), 300)}).to_csv(
        folder / "t.csv", index=False
    )
    (folder / "t.txt").write_text(
        "\n\n".join(f"Line {i} of many" + (", and more" * (i % 3)) + "! So it is." for i in range(400))
    )
    return {
        "picture": karat.train("digits", recipe="gan", steps=2, out=folder / "p", threads=1, set=PLAIN),
        "table": karat.train(folder / "t.csv", out=folder / "a", threads=1),
        "text": karat.train(folder / "t.txt", recipe="ngram", out=folder / "x", threads=1),
    }


FORMATS = [
    *(("picture", f) for f in ("made", "x.npy", "x.npz", "x.zip", "x.png", "x.jpg", "x.webp", "x.tif", "x.GIF")),
    *(("table", form) for form in ("made", "x.csv", "x.csv.gz", "x.tsv", "x.jsonl", "x.parquet", "x.feather")),
    *(("table", form) for form in ("x.orc", "x.xlsx", "x.db")),
    *(("text", form) for form in ("made", "x.txt", "x.md", "x.jsonl", "x.csv")),
]


@pytest.mark.parametrize(("kind", "form"), FORMATS)
def test_the_label_is_read_back_from_what_make_writes(
    runs: dict[str, Run], kind: str, form: str, tmp_path: Path
) -> None:
    files = karat.make(runs[kind], n=3, out=tmp_path / form, threads=1)
    assert labelled(tmp_path / form if (tmp_path / form).exists() else tmp_path / "x") is True
    found = read_label(files[-1])
    assert found is not None and found.intact is True and found.count == 1
    inside = form not in ("made", "x.npy") and Path(form).suffix not in (".csv", ".gz", ".tsv", ".jsonl", ".txt")
    assert (found.place == "inside") == (inside or (kind, form) == ("picture", "made"))
    assert (tmp_path / f"{form}.label.json").exists() == (not inside and form != "made")
    run = runs[kind]
    assert found.about["run"] == run.id and found.about["recipe"] == run.spec["recipe"]["name"]
    assert found.about["time"] == run.spec["ended"] and found.about["seed"] == 0
    if form in ("x.GIF", "x.orc", "x.xlsx", "x.db", "x.md"):
        again = karat.make(run, n=3, out=tmp_path / "again" / form, threads=1)
        assert [p.read_bytes() for p in files] == [p.read_bytes() for p in again]


@pytest.mark.parametrize("form", ["x.jpg", "x.webp"])
def test_a_name_of_one_picture_is_a_file_of_one_and_a_folder_of_several(
    runs: dict[str, Run], form: str, tmp_path: Path
) -> None:
    (one,) = karat.make(runs["picture"], out=tmp_path / form, threads=1)
    assert one == tmp_path / form and one.is_file() and labelled(one) is True
    several = karat.make(runs["picture"], n=2, out=tmp_path / "more" / form, threads=1)
    assert [p.name for p in several] == [f"00000{i}{one.suffix}" for i in range(2)]
    pictures = karat.make(runs["picture"], n=2, out=tmp_path / "plain", threads=1)
    for written, plain in zip(several, pictures, strict=True):
        with Image.open(written) as there, Image.open(plain) as wanted:
            far = np.abs(np.asarray(there.convert("L"), int) - np.asarray(wanted, int)).max()
        assert far <= (24 if form == "x.jpg" else 0)
    found = read_label(several[1])
    assert found is not None and found.about["record"] == 1


def test_a_database_holds_the_rows_and_a_table_that_is_no_data(runs: dict[str, Run], tmp_path: Path) -> None:
    (made,) = karat.make(runs["table"], n=40, out=tmp_path / "x.db", threads=1)
    with contextlib.closing(sqlite3.connect(made)) as base:
        assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert base.execute("SELECT count(*) FROM made").fetchone() == (40,)
        keys = [key for (key,) in base.execute("SELECT key FROM AIGC")]
    assert keys == ["AIGC", "KARAT"] and load(made).codec.name == "table"


def test_the_time_in_a_label_is_that_of_the_run_or_of_the_build(
    runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    (made,) = karat.make(runs["table"], n=2, out=tmp_path / "x.parquet", threads=1)
    found = read_label(made)
    assert found is not None and found.about["time"] == "1970-01-02T00:00:00Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    with pytest.raises(FitError, match="seconds since 1970"):
        karat.make(runs["table"], n=2, out=tmp_path / "y.parquet", threads=1)


def test_the_weights_of_a_run_carry_a_label(runs: dict[str, Run]) -> None:
    (weights,) = runs["picture"].path.glob("model-*.safetensors")
    found = read_label(weights)
    assert found is not None and found.count == 1 and found.intact is True


@pytest.mark.parametrize("kind", ["picture", "table", "text"])
def test_the_gate_makes_files_and_reads_them(runs: dict[str, Run], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert office.read_back(runs[kind]) is True
    before = {p for p in runs[kind].path.rglob("*")}
    office.read_back(runs[kind])
    assert {p for p in runs[kind].path.rglob("*")} == before, "nothing of it stays in the run"


def test_a_file_without_its_label_has_none(runs: dict[str, Run], tmp_path: Path) -> None:
    karat.make(runs["table"], n=3, out=tmp_path / "x.csv", threads=1)
    beside = tmp_path / "x.csv.label.json"
    record = json.loads(beside.read_text())
    for wrong in (
        {**record, "sha256": {"x.csv": "0" * 64}},
        {**record, "sha256": {}},
        {"sha256": record["sha256"]},
        [],
        "AIGC",
        {**record, "AIGC": "yes"},
        {**record, "sha256": None},
    ):
        beside.write_text(json.dumps(wrong))
        assert labelled(tmp_path / "x.csv") is False, wrong
    beside.write_text(json.dumps(record))
    assert labelled(tmp_path / "x.csv") is True
    with open(tmp_path / "x.csv", "a") as file:
        file.write("1,x\n")
    assert labelled(tmp_path / "x.csv") is False, "the label speaks of another file"
    beside.unlink()
    assert labelled(tmp_path / "x.csv") is False
    assert labelled(tmp_path / "nothing.csv") is None
    (tmp_path / "empty").mkdir()
    assert labelled(tmp_path / "empty") is None


def test_one_picture_without_a_label_is_enough(runs: dict[str, Run], tmp_path: Path) -> None:
    karat.make(runs["picture"], n=3, out=tmp_path / "made", threads=1)
    shutil.copytree(tmp_path / "made", tmp_path / "other")
    first = next(tmp_path.glob("other/*.png"))
    Image.open(first).save(first)
    assert labelled(tmp_path / "made") is True and labelled(tmp_path / "other") is False
    first.write_bytes(b"no picture")
    assert labelled(tmp_path / "other") is False


def test_labels_of_samples_that_are_given_are_read(runs: dict[str, Run], tmp_path: Path) -> None:
    karat.make(runs["table"], n=40, out=tmp_path / "x.csv", threads=1)
    data = load(runs["table"].spec["data"])
    assert office.read_made(data, tmp_path / "x.csv").labelled is True
    (tmp_path / "x.csv.label.json").unlink()
    assert office.read_made(data, tmp_path / "x.csv").labelled is None, "their maker may label them yet"
    assert office.read_made(data, pd.read_csv(tmp_path / "x.csv")).labelled is None


def test_a_sound_is_read_as_a_picture_is(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0\1" * 400)
    assert labelled(path) is False
    path.write_bytes(CONTAINERS[".wav"].write(path.read_bytes(), Label("karat", "run", "1", "0.1.0")))
    assert labelled(path) is True and labelled(tmp_path) is True


@pytest.mark.parametrize("form", ["x.csv", "x.jsonl", "x.parquet", "x.db"])
def test_a_visible_label_is_a_last_column_of_a_table(runs: dict[str, Run], form: str, tmp_path: Path) -> None:
    (plain,) = karat.make(runs["table"], n=5, out=tmp_path / form, threads=1)
    (shown,) = karat.make(runs["table"], n=5, out=tmp_path / "shown" / form, visible=True, threads=1)
    before, after = (open_table(path, {"table": "made"} if form == "x.db" else {}).cells for path in (plain, shown))
    assert after.column_names == [*before.column_names, "AI生成"] and after.select(before.column_names) == before
    assert set(after["AI生成"].to_pylist()) == {"AI生成 AI-generated"} and labelled(shown)


def test_a_visible_label_is_the_first_line_of_text(runs: dict[str, Run], tmp_path: Path) -> None:
    for form, law, words in (("x.txt", "cn", "AI生成"), ("x.md", "eu", "AI-generated"), ("leaves", "both", "AI生成")):
        plain = karat.make(runs["text"], n=2, out=tmp_path / form, labels=law, threads=1)
        shown = karat.make(runs["text"], n=2, out=tmp_path / "shown" / form, visible=True, labels=law, threads=1)
        for a, b in zip(plain, shown, strict=True):
            bare, told = (p.read_text().rpartition("---\n")[2] for p in (a, b))
            first, _, rest = told.partition("\n\n")
            assert first.startswith(words) and rest == bare
    (rows,) = karat.make(runs["text"], n=2, out=tmp_path / "x.jsonl", visible=True, threads=1)
    assert [list(json.loads(line)) for line in rows.read_text().splitlines()] == [["text", "AI生成"]] * 2


def test_an_array_shows_no_label_and_a_small_picture_one_below(runs: dict[str, Run], tmp_path: Path) -> None:
    with pytest.raises(FitError, match="shows nobody"):
        karat.make(runs["picture"], n=1, out=tmp_path / "x.npy", visible=True, threads=1)
    assert not list(tmp_path.iterdir())
    (bare,) = karat.make(runs["picture"], n=1, out=tmp_path / "x.png", threads=1)
    (told,) = karat.make(runs["picture"], n=1, out=tmp_path / "y.png", visible=True, threads=1)
    with Image.open(bare) as one, Image.open(told) as other:
        assert other.height == one.height + 16 and other.width > one.width


def test_a_label_follows_the_policy_unless_another_is_asked_for(runs: dict[str, Run], tmp_path: Path) -> None:
    (tmp_path / "house.toml").write_text('labels = "private"\n')
    for asked, wanted in (
        ({"policy": tmp_path / "house.toml"}, ["AIGC", "KARAT"]),
        ({"policy": "cn"}, ["AIGC"]),
        ({"policy": "cn", "labels": "eu"}, ["KARAT"]),
    ):
        (made,) = karat.make(runs["table"], n=2, out=tmp_path / "x.parquet", overwrite=True, threads=1, **asked)
        assert [key for key, _ in CONTAINERS[".parquet"].words(made.read_bytes())] == wanted
        assert (runs["table"].id.encode() in made.read_bytes()) == (asked != {"policy": tmp_path / "house.toml"})
    (tmp_path / "house.toml").write_text('labels = "none"\n')
    with pytest.raises(FitError, match="one of cn, eu, both, private"):
        karat.make(runs["table"], n=2, out=tmp_path / "y.parquet", policy=tmp_path / "house.toml", threads=1)
