"""Who is in a folder of voices is found in other recordings, strangers are not, and what cannot be told is said or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from drawings import save_pictures
from small import TINY
from sounds import save_tones

import karat
from karat.content.codec import Block
from karat.content.codec import Codec as AnyCodec
from karat.curation.gate import Candidates
from karat.curation.likeness import Likeness
from karat.data import Data, load
from karat.errors import DataError, FitError
from karat.views import Points

RATE = 8000


def voice(rng: np.random.Generator, person: int) -> np.ndarray:
    """A word of some height by a person, whom formants tell."""
    t = np.arange(round(RATE * rng.uniform(0.25, 0.35))) / RATE
    formants, pitch = np.random.default_rng(person).uniform(200, 3600, 3), rng.uniform(100, 130)
    wave = np.zeros(len(t))
    for f in pitch * np.arange(1, 32):
        loud = np.exp(-(((f - formants) / 150) ** 2)).sum() + 0.02
        wave += loud * np.sin(2 * np.pi * f * t + rng.uniform(0, 6))
    return np.asarray(wave * np.sin(np.pi * t / t[-1]) * 0.05 * rng.uniform(0.7, 1.3), np.float32)


def save_voices(folder: Path, people: range, each: int, seed: int, name: str = "{person}/{k}.wav") -> Path:
    rng = np.random.default_rng(seed)
    for person in people:
        for k in range(each):
            path = folder / name.format(person=f"p{chr(65 + person)}", k=k)
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, voice(rng, person), RATE)
    return folder


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Thirty voices."""
    folder = save_voices(tmp_path_factory.mktemp("voices"), range(10, 40), 14, 0, "{person}{k}.wav")
    return load(str(folder), holdout=0.4, seed=0)


def others(data: Data) -> tuple[Points, Points]:
    train, unseen = data.view("train"), data.view("holdout")
    assert isinstance(train, Points) and isinstance(unseen, Points)
    return train, unseen


def candidates(codec: AnyCodec, folder: Path) -> Candidates:
    contents = type(codec).read(folder, codec.alike())
    return Candidates(codec, Block(codec.conform(contents.records), None))


def test_who_is_in_the_folder_is_found_in_other_recordings_and_strangers_are_not(
    strangers: Data, tmp_path: Path
) -> None:
    folder = save_voices(tmp_path / "people", range(2), 12, 1)
    gate = Likeness(strangers.codec, folder, None, lambda: others(strangers))
    same = gate.reasons(candidates(strangers.codec, save_voices(tmp_path / "same", range(2), 30, 2)))
    new = gate.reasons(candidates(strangers.codec, save_voices(tmp_path / "new", range(50, 70), 10, 3)))
    assert gate.people == 2 and len(same) == 60 and (same != "").mean() > 0.8 and (new != "").mean() < 0.05
    assert set(same) <= {"", "like a person of people"}
    assert (note := gate.note()) is not None and f"finds {gate.found[0]} of 24" in note


@pytest.mark.exam
def test_how_little_it_sees_is_said(strangers: Data, tmp_path: Path) -> None:
    """Of people who sound alike, as far as these features go."""
    rng, folder = np.random.default_rng(0), tmp_path / "people"
    for k in range(30):
        path = folder / f"p{k % 3}" / f"{k}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, voice(rng, int(rng.integers(10, 40))), RATE)
    gate = Likeness(strangers.codec, folder, None, lambda: others(strangers))
    assert (note := gate.note()) is not None and gate.found[0] < 15 and note.endswith("missed: 95% of them found")


def test_the_people_themselves_among_the_data_are_no_strangers(tmp_path: Path) -> None:
    folder = save_voices(tmp_path / "all", range(8), 16, 0)
    data = load(str(folder), holdout=0.5, seed=0)
    people = save_voices(tmp_path / "people", range(2), 12, 1, "{person}_{k}.wav")
    train, unseen = others(data)
    named = Likeness(data.codec, people, None, lambda: (train, unseen))
    nameless = Likeness(data.codec, people, None, lambda: (train, Points(unseen.points, unseen.axes)))
    assert named.passing == nameless.passing - int(np.isin(np.array(unseen.classes)[unseen.labels], ["pA", "pB"]).sum())
    assert named.bar < nameless.bar


def test_what_cannot_be_told_exports_nothing(tmp_path: Path) -> None:
    save_tones(tmp_path / "t")
    run = karat.train(tmp_path / "t", recipe="vae", steps=2, out=tmp_path / "run", threads=1, set=TINY)
    (tmp_path / "t").rename(tmp_path / "gone")
    one = save_voices(tmp_path / "one", range(1), 9, 1)
    with pytest.raises(DataError, match="nobody in it, and fewer than 20"):
        karat.make(run, n=2, out=tmp_path / "made", gate=[f"likeness={one}"], threads=1)
    with pytest.raises(FitError, match="wanted a folder of people"):
        karat.make(run, n=2, out=tmp_path / "made", gate=["likeness=nowhere"], threads=1)
    assert not (tmp_path / "made").exists()


def test_pictures_of_nobody_are_drawn_as_before(tmp_path: Path) -> None:
    save_pictures(tmp_path / "data", 60)
    run = karat.train(tmp_path / "data", recipe="vae", steps=2, out=tmp_path / "run", threads=1, set=TINY)
    for person in ("a", "b"):
        save_pictures(tmp_path / "people" / person, 12)
    files = karat.make(run, n=4, out=tmp_path / "made", gate=[f"likeness={tmp_path / 'people'}"], threads=1)
    assert len(files) >= 4
