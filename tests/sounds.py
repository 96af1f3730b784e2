"""Sounds for tests: tones of three heights with their overtones, in files of any kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def tone(rng: np.random.Generator, kind: int, rate: int = 8000, seconds: float = 0.3) -> np.ndarray:
    """float32 [k]: a tone of the kind's height, a little off, that swells and fades."""
    t = np.arange(round(rate * seconds)) / rate
    pitch = (150, 230, 340)[kind] * rng.uniform(0.97, 1.03)
    wave = sum(np.sin(2 * np.pi * pitch * h * t + rng.uniform(0, 6)) / h for h in range(1, 6))
    wave = wave * np.sin(np.pi * (t + 1e-3) / (seconds + 2e-3)) ** 0.5 * rng.uniform(0.08, 0.2)
    return (wave + 0.001 * rng.standard_normal(len(t))).astype(np.float32)


def save_tones(folder: Path, count: int = 60, *, rate: int = 8000, suffix: str = ".wav", seed: int = 0) -> list[Path]:
    """Files `low_0.wav`, `middle_1.wav`, `high_2.wav`, ... of 0.2 to 0.4 seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = []
    for i in range(count):
        path = folder / f"{('low', 'middle', 'high')[i % 3]}_{i}{suffix}"
        soundfile.write(path, tone(rng, i % 3, rate, float(rng.uniform(0.2, 0.4))), rate)
        paths.append(path)
    return paths
