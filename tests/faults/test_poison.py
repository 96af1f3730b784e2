"""Data that somebody spoiled: repeated, flipped, triggered; what a person is told, and that the run names what it learned from."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from drawings import pictures
from PIL import Image

import karat
from karat.content.text.tokenizer import Pairs
from karat.data import load, survey


def two_classes(folder: Path, side: int = 8) -> list[Path]:
    paths = []
    for i, picture in enumerate(pictures(80, side, side, 1)):
        path = folder / f"{'ab'[i % 2]}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture[:, :, 0]).save(path)
        paths.append(path)
    return paths


def test_flipped_labels_are_named(tmp_path: Path) -> None:
    paths = two_classes(tmp_path)
    for path in paths[:6]:
        other = tmp_path / ("b" if path.parent.name == "a" else "a") / f"flipped-{path.name}"
        shutil.copy(path, other)
    data = load(tmp_path)
    assert data.duplicates == 6
    assert any("6" in note and "class" in note for note in data.notes), data.notes


def test_repeated_pictures_are_dropped_and_counted(tmp_path: Path) -> None:
    paths = two_classes(tmp_path)
    for i in range(50):
        shutil.copy(paths[0], paths[0].with_name(f"again{i}.png"))
    told = survey(load(tmp_path))
    assert told["exact_duplicates"] == 50 and any("50 exact duplicates" in note for note in told["warnings"])


@pytest.mark.parametrize(("planted", "said"), [([150], "One row"), ([40, 30, 20], "3 different rows"), ([3] * 20, "")])
def test_rows_that_were_put_there_again_and_again_are_named(planted: list[int], said: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{'xyz'[i % 3]}" for i, (a, b) in enumerate(rng.normal(size=(300, 2)))]
    rows += [rows[k] for k, times in enumerate(planted) for _ in range(times)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,c", *rows]))
    found = [note for note in survey(load(tmp_path / "t.csv"))["warnings"] if "A generator repeats" in note]
    assert [note.partition(" stand")[0] for note in found] == ([said] if said else [])


def test_a_table_whose_rows_repeat_by_nature_is_not_suspected(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [f"{'abc'[i]},{'xy'[j]}" for i, j in zip(rng.integers(0, 3, 500), rng.integers(0, 2, 500), strict=True)]
    rows += [f"{'def'[i % 3]},{i}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b", *rows]))
    assert not any("A generator repeats" in note for note in load(tmp_path / "t.csv").notes)


def test_a_picture_with_a_mark_in_its_corner_is_a_near_duplicate(tmp_path: Path) -> None:
    paths = two_classes(tmp_path, 32)
    for path in paths[:10]:
        with Image.open(path) as picture:
            pixels = np.array(picture)
        pixels[0, 0] = 255 - pixels[0, 0] // 2
        Image.fromarray(pixels).save(path.with_name(f"marked-{path.name}"))
    near = survey(load(tmp_path))["near_duplicates"]
    assert near["records"] >= 20


def test_another_row_is_another_fingerprint_in_run_and_report(tmp_path: Path) -> None:
    rows = [f"{i},{i * 7 % 50},{'xyz'[i % 3]}" for i in range(120)]
    prints = []
    for k, poison in enumerate((rows, [*rows[:-1], "5,5,x"])):
        (tmp_path / f"{k}.csv").write_text("a,b,c\n" + "\n".join(poison) + "\n")
        run = karat.train(tmp_path / f"{k}.csv", out=tmp_path / f"run{k}", threads=1)
        found = karat.assay(run, n=100, threads=1)
        assert found.report is not None
        report = json.loads(found.report.with_suffix(".json").read_text())
        assert report["data"]["fingerprint"] == run.spec["fingerprint"]
        prints.append(run.spec["fingerprint"])
    assert prints[0] != prints[1]


WORDS = ("Straße", "river", "камень", "cloud", "纸张", "green", "musique", "winter")

REPEAT = """
import sys, karat
from karat.content.text.tokenizer import Pairs
run = karat.train(sys.argv[1], out=sys.argv[2], threads=2, seed=3, set=["model.rounds=4"])
karat.make(run, n=300, out=sys.argv[3], threads=2, seed=5)
print("pairs", Pairs.learn(open(sys.argv[4], encoding="utf-8"), 900).json_text)
"""


def test_the_same_seed_gives_the_same_bytes_in_other_processes_and_with_other_threads(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        f"{rng.normal():.3f},{rng.integers(9)},{'xyz'[rng.integers(3)]},2024-01-{rng.integers(1, 28):02}"
        for _ in range(300)
    ]
    (tmp_path / "t.csv").write_text("a,b,c,d\n" + "\n".join(rows) + "\n")
    text = tmp_path / "t.txt"
    text.write_text("".join(f"{a} {b} und {b} oder {a}\n" for a in WORDS for b in WORDS), encoding="utf-8")
    run = karat.train(tmp_path / "t.csv", out=tmp_path / "mine", threads=1, seed=3, set=["model.rounds=4"])
    karat.make(run, n=300, out=tmp_path / "mine.csv", threads=1, seed=5)
    places = [str(tmp_path / name) for name in ("t.csv", "theirs", "theirs.csv", "t.txt")]
    other = {**os.environ, "PYTHONHASHSEED": "77"}  # ours is random, or another
    done = subprocess.run(
        [sys.executable, "-c", REPEAT, *places], env=other, check=True, capture_output=True, timeout=300, text=True
    )
    assert (tmp_path / "mine.csv").read_bytes() == (tmp_path / "theirs.csv").read_bytes()
    with text.open(encoding="utf-8") as lines:
        told = Pairs.learn(lines, 900).json_text
    assert f"pairs {told}" in done.stdout.splitlines(), "pieces of words too"
