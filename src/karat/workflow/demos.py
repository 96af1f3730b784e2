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
ORDERS = 20_000  # enough that findings can tell
TAKES = 40  # of each note in each voice


@dataclass(frozen=True)
class Sample:
    """Where a demo's data are, under which rights, how they are to be read, and what is asked of the made.

    story, business: an example of what they could be for, and what it declares in prices.toml.
    """

    data: str | Path
    rights: str
    story: str
    business: dict[str, Any]
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


def declared(sample: Sample) -> str:
    """The demo's prices.toml: the rights, and an example business that says that it is one."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in sample.business.items()]
    return "\n".join(
        [
            "# Change this and run `karat assay` on the run again: the verdict follows.",
            f"note = {json.dumps(f'an example business, made up for this demo: {sample.story}')}",
            f'rights = "{sample.rights}"',
            'currency = "USD"',
            "cpu_core_hour = 0.05",
            *lines,
            "",
        ]
    )


def _pictures(folder: Path) -> Sample:
    return Sample(
        "digits",  # scikit-learn's, UCI Optical Recognition of Handwritten Digits
        "licensed: CC BY 4.0",
        "digits are bought at 5 cents each, and a person looks at every made one before it is used",
        {
            "alternative_cost_per_item": 0.05,
            "items_wanted": 20000,
            "review_seconds_per_item": 10,
            "review_hour": 30,
            "acceptance": [40, 50],
        },
    )


def _table(folder: Path) -> Sample:
    """Orders of a shop, rendered by the program: prices by article, amounts, freight by weight and country, returns."""
    goal, n, rng = folder / "orders.csv", ORDERS, np.random.default_rng(0)
    listed = np.round(rng.uniform(4, 180, 12), 2)
    article = rng.choice(12, n, p=np.arange(12, 0, -1) / 78)
    channel = rng.choice(["shop", "app", "phone"], n, p=[0.5, 0.38, 0.12])
    country = rng.choice(["DE", "FR", "PL", "US"], n, p=[0.45, 0.25, 0.2, 0.1])
    quantity = rng.choice([1, 2, 3, 4], n, p=[0.62, 0.23, 0.1, 0.05])
    weight = np.round(rng.uniform(0.2, 3, n) + 0.4 * quantity, 3)
    freight = np.round((3 + 1.2 * weight) * np.where(country == "US", 2.5, 1) * rng.uniform(0.9, 1.1, n), 2)
    ordered = np.datetime64("2025-01-01") + rng.integers(0, 730, n)
    days = rng.integers(1, 6, n) + np.where(country == "US", 3, 0)
    odds = -6.0 + 1.1 * days + 0.015 * listed[article] + 1.2 * (channel == "app")
    returned = np.where(rng.random(n) < 1 / (1 + np.exp(-odds)), "yes", "no")
    with goal.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow("ordered article price quantity amount channel country weight freight days returned".split())
        for day, a, q, c, where, w, f, d, back in zip(
            ordered, article, quantity, channel, country, weight, freight, days, returned, strict=True
        ):
            price = listed[a]
            writer.writerow(
                [day, f"A{a + 1:02d}", f"{price:.2f}", q, f"{price * q:.2f}", c, where, f"{w:.3f}", f"{f:.2f}", d, back]
            )
    story = "a team tests its software with orders that a contractor writes at 5 cents a row"
    business = {
        "alternative_cost_per_item": 0.05,
        "items_wanted": 100000,
        "fixed_cost": 500,
        "review_seconds_per_item": 0,
        "persistence": [0.7, 1.0],
        "personal": "none",
    }
    options = {"target": "returned"}
    return Sample(goal, "owned", story, business, options, number=500, judged=5000, file="made.csv")


def _text(folder: Path) -> Sample:
    """The chapters of the Python language reference that `help()` shows, as the standard library carries them."""
    topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    goal = folder / "python.jsonl"
    with goal.open("w", encoding="utf-8") as file:
        for name in sorted(topics):
            file.write(json.dumps({"title": name, "text": topics[name].strip()}, ensure_ascii=False) + "\n")
    story = "pages of a manual are written by hand at 40 dollars each, and an editor reads every made one"
    business = {
        "alternative_cost_per_item": 40,
        "items_wanted": 500,
        "review_seconds_per_item": 600,
        "review_hour": 60,
        "personal": "none",
    }
    return Sample(goal, "licensed: PSF-2.0", story, business, {"text": "text"}, number=20, judged=400, file="made.txt")


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
    story = "notes for a game are recorded at 3 dollars each, and a person listens to every made one"
    business = {
        "alternative_cost_per_item": 3,
        "items_wanted": 2000,
        "review_seconds_per_item": 5,
        "review_hour": 40,
        "personal": "none",
    }
    return Sample(goal, "owned", story, business, options, ("model.critic=0",), seconds=50.0, number=36, judged=720)


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
