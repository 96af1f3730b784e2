"""The gate of labels rests on what was read back from files: every format, and what happens to files after they are made."""

from __future__ import annotations

import json
import shutil
import wave
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import karat
from karat.data import load
from karat.provenance.containers import CONTAINERS
from karat.provenance.label import Label
from karat.provenance.reading import labelled
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
    *(("picture", form) for form in ("made", "x.npy", "x.npz", "x.zip")),
    *(("table", form) for form in ("made", "x.csv", "x.csv.gz", "x.tsv", "x.parquet", "x.feather")),
    *(("text", form) for form in ("made", "x.txt", "x.jsonl", "x.csv")),
]


@pytest.mark.parametrize(("kind", "form"), FORMATS)
def test_the_label_is_read_back_from_what_make_writes(
    runs: dict[str, Run], kind: str, form: str, tmp_path: Path
) -> None:
    karat.make(runs[kind], n=3, out=tmp_path / form, threads=1)
    assert labelled(tmp_path / form) is True


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
    from PIL import Image

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
