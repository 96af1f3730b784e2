"""Data that somebody spoiled: repeated, flipped, triggered; what a person is told, and that the run names what it learned from."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from drawings import pictures
from PIL import Image

import karat
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


REPEAT = """
import sys, karat
run = karat.train(sys.argv[1], out=sys.argv[2], threads=int(sys.argv[4]), seed=3)
karat.make(run, n=300, out=sys.argv[3], threads=int(sys.argv[4]), seed=5)
"""


def test_the_same_seed_gives_the_same_bytes_in_other_processes_and_with_other_threads(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        f"{rng.normal():.3f},{rng.integers(9)},{'xyz'[rng.integers(3)]},2024-01-{rng.integers(1, 28):02}"
        for _ in range(300)
    ]
    (tmp_path / "t.csv").write_text("a,b,c,d\n" + "\n".join(rows) + "\n")
    made = []
    for k, (hashes, threads) in enumerate((("0", "1"), ("77", "2"))):
        out = tmp_path / f"{k}.csv"
        command = [sys.executable, "-c", REPEAT, str(tmp_path / "t.csv"), str(tmp_path / f"run{k}"), str(out), threads]
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": hashes}, check=True, capture_output=True, timeout=300
        )
        made.append(out.read_bytes())
    assert made[0] == made[1]
