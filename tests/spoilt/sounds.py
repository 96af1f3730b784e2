"""Spoken digits, int16 [t] by file name, and what is done to them."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spoilt.bench import Bench, Rng, some

Sounds = dict[str, np.ndarray]


def heard(x: Sounds, share: float, rng: Rng, how: Callable[[np.ndarray], np.ndarray], which: str = "") -> Sounds:
    names = np.array([name for name in x if which in name])
    rows = set(some(names, share, rng).tolist())
    return {name: how(sound).astype(np.int16) if name in rows else sound for name, sound in x.items()}


def scaled(sound: np.ndarray, by: float) -> np.ndarray:
    return np.clip(by * sound, -32767, 32767)


def hissing(sound: np.ndarray, rng: Rng, share: float = 0.1) -> np.ndarray:
    return scaled(sound + rng.normal(0, share * np.sqrt((sound.astype(float) ** 2).mean()), len(sound)), 1)


def renamed(x: Sounds, share: float, rng: Rng) -> Sounds:
    rows = set(some(np.array(list(x)), share, rng).tolist())
    return {
        (f"{(int(name[0]) + 1) % 10}{name[1:-4]}9.wav" if name in rows else name): sound for name, sound in x.items()
    }


SOUNDS: dict[str, Callable[[Sounds, Rng], Sounds]] = {
    "0.2 s of silence behind 30%": lambda x, r: heard(x, 0.3, r, lambda s: np.append(s, np.zeros(1600))),
    "polarity turned in half": lambda x, r: heard(x, 0.5, r, lambda s: -s),
    "one digit half as loud": lambda x, r: heard(x, 1, r, lambda s: scaled(s, 0.5), "5_"),
    "5% clipped": lambda x, r: heard(x, 0.05, r, lambda s: np.clip(8.0 * s, -20000, 20000)),
    "a speaker missing": lambda x, r: {name: s for name, s in x.items() if "_theo_" not in name},
    "10% played backwards": lambda x, r: heard(x, 0.1, r, lambda s: s[::-1]),
    "noise 20 dB below in 20%": lambda x, r: heard(x, 0.2, r, lambda s: hissing(s, r)),
    "10% are called the next digit": lambda x, r: renamed(x, 0.1, r),
    "one recording thirty times, louder and softer": lambda x, r: {
        name: scaled(next(iter(x.values())), r.uniform(0.5, 1.2)).astype(np.int16) if i < 30 else s
        for i, (name, s) in enumerate(x.items())
    },
    "the first half of one digit in all its recordings lost": lambda x, r: heard(
        x, 1, r, lambda s: s[len(s) // 2 :], "3_"
    ),
}


def digits_spoken(data: Path, real: int = 2000, fresh: int = 1000) -> Bench:
    paths = sorted((data / "audio" / "fsdd").glob("*.wav"))
    order = np.random.default_rng(3).permutation(len(paths))

    def read(path: Path) -> np.ndarray:
        with wave.open(str(path)) as file:
            return np.frombuffer(file.readframes(file.getnframes()), np.int16)

    def write(x: Sounds, path: Path) -> Path:
        path.mkdir()
        for name, sound in x.items():
            with wave.open(str(path / name), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes(sound.astype("<i2").tobytes())
        return path

    a, b = (
        {paths[i].name: read(paths[i]) for i in sorted(rows)} for rows in (order[:real], order[real : real + fresh])
    )
    return Bench(a, b, write, SOUNDS, {"labels": "{label}_{speaker}_{n}"})
