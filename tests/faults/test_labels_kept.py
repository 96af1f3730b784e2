"""A make that is killed, or finds no room, leaves no file without its label, no half of one, and what was there before."""

from __future__ import annotations

import errno
import functools
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from processes import Forked
from shim import Shim, faults, killed
from small import TINY
from sounds import save_tones

import karat
from karat.errors import KaratError
from karat.output import STAGE
from karat.provenance.reading import labelled
from karat.run import Run

MOMENTS = 50
FORMS = [
    *(("picture", 1, f"x.{form}") for form in ("png", "jpg", "webp", "tif", "gif")),
    *(("picture", 3, form) for form in ("folder", "x.jpg", "x.npy", "x.npz", "x.zip")),
    *(("sound", 1, f"x.{form}") for form in ("wav", "flac", "ogg", "mp3")),
    *(("table", 9, f"x.{form}") for form in ("csv", "csv.gz", "tsv", "jsonl", "json")),
    *(("table", 9, f"x.{form}") for form in ("parquet", "feather", "orc", "xlsx", "db")),
    *(("text", 3, form) for form in ("x.txt", "x.md", "x.jsonl", "texts")),
]
QUICK = [("table", 9, "x.csv"), ("text", 3, "texts")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    folder, rng = tmp_path_factory.mktemp("runs"), np.random.default_rng(0)
    pd.DataFrame({"a": rng.integers(0, 9, 60), "b": rng.choice(list("xyz"), 60)}).to_csv(folder / "t.csv", index=False)
    lines = [f"Line {i} of many" + (", and more" * (i % 3)) + "! So it is." for i in range(200)]
    (folder / "t.txt").write_text("\n\n".join(lines))
    save_tones(folder / "tones")
    made: dict[str, Callable[[Path], Run]] = {
        "picture": lambda out: karat.train("digits", recipe="vae", steps=1, out=out, threads=1, set=TINY),
        "sound": lambda out: karat.train(folder / "tones", recipe="vae", steps=1, out=out, threads=1, set=TINY),
        "table": lambda out: karat.train(folder / "t.csv", out=out, threads=1),
        "text": lambda out: karat.train(folder / "t.txt", recipe="ngram", out=out, threads=1),
    }
    return functools.cache(lambda kind: made[kind](folder / kind))


def shown(folder: Path) -> dict[str, bytes]:
    """What a person finds there, labels and what is hidden aside."""
    files = [p for p in folder.rglob("*") if p.is_file() and STAGE not in p.parts and not p.name.startswith(".")]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files if not p.name.endswith("label.json")}


def stopped(act: Callable[[Path], object], path: Path, seconds: float) -> None:
    """A process that does it is killed after so long, or has ended."""
    with Forked(lambda: act(path)) as one:
        time.sleep(seconds)
        one.send_signal(signal.SIGKILL)
        one.wait()


def kept_through(run: Run, n: int, name: str, place: Path, moments: int) -> None:
    """Makes over what was made before, killed at each of so many moments; and on a disk without room."""

    def make(path: Path, seed: int = 1) -> None:
        karat.make(run, n=n, out=path / name, seed=seed, overwrite=True, threads=1)

    old = place / "old"
    make(old, 0)
    before = shown(old)
    whole = shutil.copytree(old, place / "whole")
    with faults(Shim(whole)) as shim:
        begun = time.monotonic()
        make(whole)
    lasted, after = time.monotonic() - begun, shown(whole)
    assert before.keys() == after.keys() and before != after

    def holds(path: Path, moment: object) -> None:
        there = shown(path)
        assert there.keys() == before.keys(), f"{moment}: nothing is lost and nothing more is there"
        for known in there:
            assert there[known] in (before[known], after[known]), f"{moment}: {known} is whole"
            assert labelled(path / known) is True, f"{moment}: {known} is labelled"

    steps = min(moments * 4 // 5, shim.count)
    chance = random.Random(name)
    for i in range(moments):
        path = shutil.copytree(old, place / f"{i}")
        if i < steps:
            assert killed(make, path, 1 + i * shim.count // steps)
        else:
            stopped(make, path, chance.random() * lasted)
        holds(path, i)
        if i % 10 == 0:
            make(path)
            assert shown(path) == after, "it can be made again"
        shutil.rmtree(path)
    for i in range(1, shim.count + 1, max(1, shim.count // 10)):
        path = shutil.copytree(old, place / f"full-{i}")
        with faults(Shim(path, None, i, errno.ENOSPC, True)):
            try:
                make(path)
            except KaratError as error:
                assert os.strerror(errno.ENOSPC) in str(error) and "\n" not in str(error)
        holds(path, f"full at {i}")
        shutil.rmtree(path)


@pytest.mark.exam
@pytest.mark.parametrize(("kind", "n", "name"), FORMS)
def test_no_kill_and_no_full_disk_costs_a_label_or_what_was_there(
    runs: Callable[[str], Run], kind: str, n: int, name: str, tmp_path: Path
) -> None:
    kept_through(runs(kind), n, name, tmp_path, MOMENTS)


@pytest.mark.parametrize(("kind", "n", "name"), QUICK)
def test_a_kill_at_every_fifth_step_costs_no_label(
    runs: Callable[[str], Run], kind: str, n: int, name: str, tmp_path: Path
) -> None:
    kept_through(runs(kind), n, name, tmp_path, 5)
