"""Damaged files of every kind, and damaged files of runs: each ends in content or in an error that names what is wrong.

Bytes are flipped, cut off, repeated and replaced; anything but a KaratError out of a verb fails. `make exam` runs 2,000 cases,
the same ones each time. Others, and more of them: KARAT_FUZZ_SEED=7 KARAT_FUZZ_TIMES=3.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import shutil
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet
import pytest
import soundfile
from drawings import pictures
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from PIL import Image
from sounds import save_tones

import karat
from karat import cli
from karat.errors import KaratError
from karat.run import Run

CSV = "id,price,colour,day,note\n" + "".join(
    f"{i},{i * 7 % 50}.{i % 100:02},{('red', 'blue', '')[i % 3]},2024-0{1 + i % 9}-1{i % 9},{chr(65 + i % 26) * (i % 5)}\n"
    for i in range(80)
)
TEXT = "".join(
    f"The {('cat', 'dog', 'cow')[i % 3]} saw {i} of the {('mice', 'hens')[i % 2]} at {i % 24}:00.\n\n"
    for i in range(200)
)


def _table() -> pa.Table:
    rng = np.random.default_rng(0)
    colours = np.array(["red", "blue", "green"])[rng.integers(0, 3, 80)]
    return pa.table({"a": rng.integers(0, 9, 80), "b": rng.normal(size=80), "c": pa.array(colours).dictionary_encode()})


def _database(path: Path) -> None:
    with sqlite3.connect(path) as base:
        base.execute("create table t (a integer, b real, c text)")
        base.executemany("insert into t values (?, ?, ?)", [(i, i / 7, "xyz"[i % 3]) for i in range(80)])
    base.close()


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for i, picture in enumerate(pictures(40, 8, 8, 1)):
            part = path.with_suffix(".png")
            Image.fromarray(picture[:, :, 0]).save(part)
            archive.write(part, f"{'ab'[i % 2]}/{i}.png")
            part.unlink()


def _zip_of_a_table(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.csv", CSV)


def _workbook(path: Path) -> None:
    book = openpyxl.Workbook()
    for line in CSV.splitlines():
        book.active.append([int(cell) if cell.isdecimal() else cell for cell in line.split(",")])
    book.save(path)


def _zstd(path: Path) -> None:
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        file.write(CSV.encode())


def _idx(path: Path) -> None:
    body = pictures(60, 8, 8, 1).tobytes()
    path.write_bytes(bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (60, 8, 8)) + body)


def _sound(suffix: str) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        tones = save_tones(path.parent / "tones", 40)
        waves = np.concatenate([soundfile.read(tone)[0] for tone in tones])
        soundfile.write(path, np.tile(waves, 8), 8000)
        shutil.rmtree(path.parent / "tones")

    return save


INPUTS: dict[str, Callable[[Path], object]] = {
    "t.csv": lambda p: p.write_text(CSV),
    "t.tsv": lambda p: p.write_text(CSV.replace(",", "\t"), encoding="utf-16"),
    "t.csv.gz": lambda p: p.write_bytes(gzip.compress(CSV.encode(), mtime=0)),
    "t.csv.bz2": lambda p: p.write_bytes(bz2.compress(CSV.encode())),
    "t.csv.xz": lambda p: p.write_bytes(lzma.compress(CSV.encode())),
    "t.csv.zst": _zstd,
    "t.csv.zip": _zip_of_a_table,
    "t.xlsx": _workbook,
    "t.json": lambda p: p.write_text(json.dumps(_table().to_pylist())),
    "rows.jsonl": lambda p: p.write_text("".join(f"{json.dumps(row)}\n" for row in _table().to_pylist())),
    "t.orc": lambda p: pa.orc.write_table(
        _table().cast(pa.schema([("a", "int64"), ("b", "float64"), ("c", "string")])), p
    ),
    "t.parquet": lambda p: pa.parquet.write_table(_table(), p),
    "t.feather": lambda p: pa.feather.write_feather(_table(), p),
    "t.sqlite": _database,
    "t.txt": lambda p: p.write_text(TEXT),
    "t.jsonl": lambda p: p.write_text(
        "".join(f'{{"text": "{line}", "label": {len(line)}}}\n' for line in TEXT.split("\n\n"))
    ),
    "p.npy": lambda p: np.save(p, pictures(40, 8, 8, 3)),
    "p.npz": lambda p: np.savez_compressed(p, images=pictures(40, 8, 8, 1)[..., 0], labels=np.arange(40) % 3),
    "p.zip": _zip,
    "train-images-idx3-ubyte": _idx,
    "s.wav": _sound(".wav"),
    "s.flac": _sound(".flac"),
    "s.ogg": _sound(".ogg"),
}
PICTURES = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP")
EXTRA = b"\x00\xff\x7f\x80\n\"',;{}[]()<>PK\x03\x04\x1b"


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A few flips, a cut, a repeated or an inserted piece; places are fractions, so that they serve files of any length."""
    place = st.floats(0, 1, exclude_max=True)
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["flip", "flip", "byte", "cut", "repeat", "insert", "head"]), place, st.integers(0, 255)
            ),
            min_size=1,
            max_size=4,
        )
    )

    def apply(blob: bytes) -> bytes:
        for kind, at, value in steps:
            i = int(at * len(blob))
            if kind == "head":  # what a reader believes stands at the beginning
                i = int(at * min(64, len(blob)))
            if kind == "cut":
                blob = blob[:i]
            elif kind == "repeat":
                blob = blob[:i] + blob[i : i + 1 + value] * 3 + blob[i:]
            elif kind == "insert":
                blob = blob[:i] + EXTRA[value % len(EXTRA) :] + blob[i:]
            elif blob:
                new = blob[i] ^ (1 << value % 8) if kind == "flip" else value
                blob = blob[:i] + bytes([new]) + blob[i + 1 :]
        return blob

    return apply


def looked(**how: Any) -> bool:
    """Whether `look` finds content, rather than refusing in a line or two; anything else fails."""
    return outcome(lambda: karat.look(**how, probe=False, threads=1)["count"] > 0)


def outcome(act: Callable[[], bool]) -> bool:
    """Whether `act` did what it should, True, or raised a KaratError of one or two lines, False; anything else fails."""
    try:
        done = act()
    except KaratError as error:
        assert 0 < len(str(error)) < 2000 and str(error).count("\n") < 4
        return False
    assert done
    return True


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whole file of every kind."""
    folder = tmp_path_factory.mktemp("intact")
    for name, save in INPUTS.items():
        save(folder / name)
        karat.look(folder / name, probe=False, threads=1)
    for form in PICTURES:
        for i, picture in enumerate(pictures(33, 8, 8, 3)):
            (folder / form).mkdir(exist_ok=True)
            Image.fromarray(picture).save(folder / form / f"{i}.{form.lower()}")
    return folder


def look_at_damaged(intact: Path, name: str, harm: Callable[[bytes], bytes]) -> None:
    with tempfile.TemporaryDirectory() as place:
        if name in INPUTS:
            goal = Path(place) / name
            goal.write_bytes(harm((intact / name).read_bytes()))
        else:
            goal = Path(place) / "pictures"
            shutil.copytree(intact / name, goal)
            victim = goal / f"7.{name.lower()}"
            victim.write_bytes(harm(victim.read_bytes()))
        looked(data=goal)


SEED, TIMES = os.environ.get("KARAT_FUZZ_SEED"), int(os.environ.get("KARAT_FUZZ_TIMES", "1"))


def cases(count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """So many cases, always the same ones unless a seed was said."""
    how = settings(
        max_examples=count * TIMES,
        deadline=None,
        derandomize=SEED is None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: how(test) if SEED is None else seed(int(SEED))(how(test))


@pytest.mark.filterwarnings("ignore")
@given(name=st.sampled_from([*INPUTS, *PICTURES]), harm=damage())
@cases(15)
def test_a_damaged_file_is_read_or_refused(intact: Path, name: str, harm: Callable[[bytes], bytes]) -> None:
    look_at_damaged(intact, name, harm)


@pytest.mark.exam
@pytest.mark.filterwarnings("ignore")
@given(name=st.sampled_from([*INPUTS, *PICTURES]), harm=damage())
@cases(1200)
def test_a_thousand_damaged_files_are_read_or_refused(intact: Path, name: str, harm: Callable[[bytes], bytes]) -> None:
    look_at_damaged(intact, name, harm)


# Runs -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished run of every kind of content, with an assay of the table's."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "data").mkdir()
    for name in ("t.csv", "t.txt", "p.npy"):
        INPUTS[name](folder / "data" / name)
    save_tones(folder / "data" / "tones", 60)
    shop = folder / "data" / "shop"
    shop.mkdir()
    (shop / "customers.csv").write_text("customer_id,age\n" + "".join(f"{i},{20 + i % 50}\n" for i in range(80)))
    orders = "".join(f"{i},{i * 7 % 80},{i % 9}\n" for i in range(200))
    (shop / "orders.csv").write_text("order_id,customer_id,amount\n" + orders)
    tiny = ["train.precision=fp32"]
    vae = [*tiny, "model.latent=4", "model.width=8", "model.hidden=8", "model.components=3", "model.iterations=2"]
    karat.train(folder / "data" / "t.csv", out=folder / "table", threads=1)
    karat.train(folder / "data" / "t.txt", recipe="ngram", out=folder / "text", threads=1)
    karat.train(folder / "data" / "p.npy", steps=5, set=vae, out=folder / "pictures", threads=1)
    karat.train(folder / "data" / "tones", steps=5, set=vae, out=folder / "sounds", threads=1)
    karat.train(shop, out=folder / "shop", threads=1)
    return folder


KINDS = ("table", "text", "pictures", "sounds", "shop")


def use_damaged(runs: Path, kind: str, which: int, harm: Callable[[bytes], bytes]) -> None:
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        shutil.copytree(runs / kind, run)
        files = sorted(p for p in run.rglob("*") if p.is_file() and p.stat().st_size)
        victim = files[which % len(files)]
        victim.write_bytes(harm(victim.read_bytes()))
        outcome(lambda: all(path.stat().st_size for path in karat.make(run, n=3, out=Path(place) / "made", threads=1)))
        outcome(lambda: Run.open(karat.train(run, threads=1).path).spec["status"] == "trained")


@pytest.mark.filterwarnings("ignore")
@given(kind=st.sampled_from(KINDS), which=st.integers(0, 30), harm=damage())
@cases(5)
def test_a_damaged_run_is_used_or_refused(runs: Path, kind: str, which: int, harm: Callable[[bytes], bytes]) -> None:
    use_damaged(runs, kind, which, harm)


@pytest.mark.exam
@pytest.mark.filterwarnings("ignore")
@given(kind=st.sampled_from(KINDS), which=st.integers(0, 30), harm=damage())
@cases(800)
def test_many_damaged_runs_are_used_or_refused(
    runs: Path, kind: str, which: int, harm: Callable[[bytes], bytes]
) -> None:
    use_damaged(runs, kind, which, harm)


# Settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["schema", "recipe", "prices"])
@given(harm=damage())
@cases(15)
def test_a_damaged_toml_is_read_or_refused(intact: Path, name: str, harm: Callable[[bytes], bytes]) -> None:
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / f"{name}.toml"
        source = {
            "schema": b'[columns]\nprice = { kind = "decimal", low = 0 }\n[[constraint]]\nrule = "price <= 60"\n',
            "recipe": b'title = "t"\nabout = "a"\nfamily = "trees"\n[model]\nleaf = 9\n[train]\nminutes = 1\n',
            "prices": b'rights = "owned"\ncurrency = "USD"\ncpu_core_hour = 0.05\nitems_wanted = 100\nacceptance = [8, 10]\n',
        }[name]
        file.write_bytes(harm(source))
        data = intact / "t.csv"
        how = {"schema": {"schema": file}, "prices": {"prices": file}}.get(name, {})
        if name == "recipe":
            outcome(lambda: Run.is_run(karat.train(data, recipe=str(file), out=Path(place) / "run", threads=1).path))
        else:
            looked(data=data, **how)


def test_the_command_line_ends_in_a_line_for_a_file_of_noise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).bytes(4096)
    for suffix in (
        ".csv",
        ".parquet",
        ".feather",
        ".sqlite",
        ".npy",
        ".npz",
        ".zip",
        ".png",
        ".wav",
        ".txt",
        ".jsonl",
        ".gz",
        "",
    ):
        (tmp_path / f"noise{suffix}").write_bytes(noise)
        with pytest.raises(SystemExit) as stop:
            cli.main(["look", str(tmp_path / f"noise{suffix}"), "--no-probe"])
        assert stop.value.code == 2, suffix
        assert capsys.readouterr().err.startswith("karat: ")
