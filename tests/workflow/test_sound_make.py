"""Sounds that are made are WAV files, each with its label inside; the same seed gives the same bytes."""

from __future__ import annotations

import io
import json
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import save_tones, tone

import karat
from karat.errors import RunError
from karat.provenance.containers import CONTAINERS
from karat.provenance.reading import labelled
from karat.run import Run

TINY = [
    "train.precision=fp32",
    "train.batch=16",
    "model.latent=6",
    "model.width=8",
    "model.hidden=16",
    "model.components=3",
    "model.iterations=3",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("sounds")
    save_tones(place / "tones")
    return karat.train(
        place / "tones", recipe="vae", steps=8, labels="{label}_{n}", out=place / "r", threads=1, set=TINY
    )


def plain(kind: str = "WAV", depth: str = "PCM_16") -> bytes:
    out = io.BytesIO()
    soundfile.write(out, tone(np.random.default_rng(0), 0)[:2399], 8_000, format=kind, subtype=depth)
    return out.getvalue()


def test_a_folder_of_sounds_each_with_its_label(run: Run, tmp_path: Path) -> None:
    files = karat.make(run, n=5, label="low", out=tmp_path / "new", seed=3, threads=1)
    assert [f.name for f in files] == [f"{i:06d}.wav" for i in range(5)]
    for file in files:
        read, rate = soundfile.read(file, dtype="float32")
        assert rate == 8_000 and read.ndim == 1 and np.abs(read).max() <= 1
        with wave.open(str(file)) as sound:
            assert sound.getsampwidth() == 2
        (one,) = [text for key, text in CONTAINERS[".wav"].words(file.read_bytes()) if key == "AIGC"]
        assert run.id in one
    beside = (tmp_path / "new" / "label.json").read_text()
    assert run.id in beside and all(f.name in json.loads(beside)["sha256"] for f in files)
    again = karat.make(run, n=5, label="low", out=tmp_path / "again", seed=3, threads=1)
    assert [f.read_bytes() for f in files] == [f.read_bytes() for f in again], "the same seed, the same bytes"
    fewer = karat.make(run, n=2, label="low", out=tmp_path / "new", seed=4, overwrite=True, threads=1)
    assert sorted(p.name for p in (tmp_path / "new").glob("*.wav")) == [f.name for f in fewer]
    with pytest.raises(RunError, match="did not make"):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "000000.wav").write_bytes(plain())
        karat.make(run, n=2, out=tmp_path / "mine")


def test_a_zip_and_an_npz_hold_the_same_sounds(run: Run, tmp_path: Path) -> None:
    files = karat.make(run, n=4, out=tmp_path / "new", seed=1, threads=1)
    karat.make(run, n=4, out=tmp_path / "x.zip", seed=1, threads=1)
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert [archive.read(f.name) for f in files] == [f.read_bytes() for f in files]
    karat.make(run, n=4, out=tmp_path / "x.npz", seed=1, threads=1)
    with np.load(tmp_path / "x.npz", allow_pickle=False) as box:
        assert int(box["rate"]) == 8_000 and box["waves"].dtype == np.float32 and run.id in str(box["label"])
        for file, record in zip(files, box["waves"], strict=True):
            read = soundfile.read(file, dtype="float32")[0]
            assert np.array_equal(read, record[: len(read)])


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3"])
def test_sounds_are_written_as_their_name_says_each_with_its_label(run: Run, suffix: str, tmp_path: Path) -> None:
    files = karat.make(run, n=3, out=tmp_path / f"x{suffix}", threads=1)
    assert [f.name for f in files] == [f"{i:06d}{suffix}" for i in range(3)] and labelled(tmp_path / "x")
    (one,) = karat.make(run, out=tmp_path / "one" / f"x{suffix}", threads=1)
    assert one.is_file() and labelled(one)
    for file, wav in zip(files, karat.make(run, n=3, out=tmp_path / "plain", threads=1), strict=True):
        there, rate = soundfile.read(file, dtype="float32")
        wanted = soundfile.read(wav, dtype="float32")[0]
        near = 1e-4 if suffix == ".flac" else 0.3
        assert rate == 8_000 and (len(there) == len(wanted) or suffix == ".mp3")
        assert np.abs(there[: len(wanted)] - wanted).max() < near or suffix == ".mp3"
    again = karat.make(run, n=3, out=tmp_path / "again" / f"x{suffix}", threads=1)
    assert [f.read_bytes() for f in files] == [f.read_bytes() for f in again], "the same seed, the same bytes"


def test_what_training_shows_is_a_page_that_plays(run: Run) -> None:
    pages = sorted((run.path / "samples").glob("*.html"))
    assert pages and pages[-1].read_text().count("<audio controls") == 64
