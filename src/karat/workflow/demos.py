"""What `karat demo` learns from: real data that come with the install, and notes that are rendered on the spot."""

from __future__ import annotations

import csv
import importlib
import json
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from karat.errors import RunError
from karat.output import digest_of, read_json, write_whole
from karat.output.files import explained
from karat.run import Run

Kind = Literal["pictures", "table", "text", "audio"]
RATE = 8000  # Hz of the notes
NOTES = {"C4": 261.63, "D4": 293.66, "E4": 329.63, "G4": 392.0, "A4": 440.0, "C5": 523.25}
VOICES = ("string", "organ", "bell")
SEAL = "demo.json"
TAKES = 40  # of each note in each voice


@dataclass(frozen=True)
class Sample:
    """Where a demo's data are, under which rights, how they are to be read, and what is asked of the made."""

    data: str | Path
    rights: str
    options: dict[str, Any] = field(default_factory=dict)  # of `train` and `look`
    settings: tuple[str, ...] = ()  # of `train` alone
    seconds: float = 25.0  # of training
    number: int = 100  # to make
    judged: int = 2000
    file: str = "made"  # to make it into


def prepare(kind: Kind, folder: Path) -> Sample:
    """The data of that kind, laid down in `folder` where they are not part of the install already."""
    with explained(folder):
        return MAKERS[kind](folder)


def clear(folder: Path) -> None:
    """Makes room for a demo where an older one left what nobody changed since; RunError where anything else is there."""
    if not folder.exists() or folder.is_dir() and not any(folder.iterdir()):
        return
    record = read_json(folder / SEAL)
    known = record.get("sha256") if isinstance(record, dict) else None
    if not isinstance(known, dict) and Run.is_run(folder):
        raise RunError(
            f"{folder} holds a run, of a demo that was stopped or one of yours. Continue it with `karat train {folder}`, or "
            "choose another --out."
        )
    if not isinstance(known, dict):
        raise RunError(f"{folder} holds something that is no former demo; choose another --out.")
    there = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir()]
    for path in there:
        name = path.relative_to(folder).as_posix()
        if name != SEAL and (path.is_symlink() or known.get(name) != digest_of(path)):
            raise RunError(f"{path} was not left by the demo, or was changed since; choose another --out.")
    for path in there:
        path.unlink()
    for path in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
        path.rmdir()


def seal(folder: Path) -> None:
    """Notes what the demo wrote, so that the next one can tell it from what a person put there."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    known = {path.relative_to(folder).as_posix(): digest_of(path) for path in files}
    write_whole(folder / SEAL, json.dumps({"sha256": known}, indent=1).encode())


def _pictures(folder: Path) -> Sample:
    return Sample(
        "digits", "licensed: CC BY 4.0"
    )  # scikit-learn's digits, UCI Optical Recognition of Handwritten Digits


def _table(folder: Path) -> Sample:
    """569 biopsies with 30 measures and a diagnosis, as scikit-learn carries them."""
    found = importlib.import_module("sklearn.datasets").load_breast_cancer()
    goal = folder / "biopsies.csv"
    with goal.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*(str(name) for name in found.feature_names), "diagnosis"])
        for row, target in zip(found.data, found.target, strict=True):
            writer.writerow([*(f"{value:.6g}" for value in row), str(found.target_names[target])])
    # UCI Breast Cancer Wisconsin (Diagnostic)
    return Sample(goal, "licensed: CC BY 4.0", {"target": "diagnosis"}, number=500, file="made.csv")


def _text(folder: Path) -> Sample:
    """The chapters of the Python language reference that `help()` shows, as the standard library carries them."""
    topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    goal = folder / "python.jsonl"
    with goal.open("w", encoding="utf-8") as file:
        for name in sorted(topics):
            file.write(json.dumps({"title": name, "text": topics[name].strip()}, ensure_ascii=False) + "\n")
    return Sample(goal, "licensed: PSF-2.0", {"text": "text"}, number=20, judged=400, file="made.txt")


def _audio(folder: Path) -> Sample:
    """Six notes of a scale, in three voices, each take with a touch of its own."""
    goal = folder / "notes"
    goal.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for note, pitch in NOTES.items():
        for voice in VOICES:
            for take in range(TAKES):
                samples = render(voice, pitch * 2 ** rng.normal(0, 0.02), rng)
                with wave.open(str(goal / f"{note}_{voice}_{take}.wav"), "wb") as file:
                    file.setnchannels(1)
                    file.setsampwidth(2)
                    file.setframerate(RATE)
                    file.writeframes(np.rint(samples * 32767).astype("<i2").tobytes())
    # a critic needs more than a minute before it gives more than it takes
    options = {"labels": "{label}_{voice}_{n}"}
    return Sample(goal, "owned", options, ("model.critic=0",), seconds=50.0, number=36, judged=720)


def render(voice: str, pitch: float, rng: np.random.Generator) -> np.ndarray:
    """A note float64 [samples] in [-1, 1] of `pitch` Hz, between a half and one second long."""
    n = int(RATE * rng.uniform(0.5, 0.9))
    t = np.arange(n) / RATE
    if voice == "bell":
        partials: tuple[tuple[float, float], ...] = ((1.0, 1.0), (2.76, 0.6), (5.4, 0.25))
        fade = np.exp(-t[None] * np.array([[5.0], [7.0], [11.0]]) * rng.uniform(0.8, 1.2))
    elif voice == "organ":
        partials = ((1.0, 1.0), (2.0, 0.5), (3.0, 0.35), (4.0, 0.2))
        fade = np.minimum(1, t / 0.04)[None] * np.ones((4, 1))
    else:  # a plucked string: harmonics that die the sooner the higher they are
        partials = tuple((float(k), 1 / k) for k in range(1, 9))
        fade = np.exp(-t[None] * np.arange(1, 9)[:, None] * rng.uniform(2.0, 3.0))
    sound = np.zeros(n)
    for (ratio, strength), envelope in zip(partials, fade, strict=True):
        if ratio * pitch < RATE / 2:
            strength = strength * rng.uniform(0.4, 1.6)
            sound += strength * envelope * np.sin(2 * np.pi * ratio * pitch * t + rng.uniform(0, 2 * np.pi))
    sound *= np.minimum(1, np.arange(n)[::-1] / (0.05 * RATE))  # no click at the end
    sound += 0.002 * rng.standard_normal(n)
    return np.asarray(sound / np.abs(sound).max() * rng.uniform(0.4, 0.9))


MAKERS: dict[Kind, Callable[[Path], Sample]] = {"pictures": _pictures, "table": _table, "text": _text, "audio": _audio}
