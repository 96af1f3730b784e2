"""Seeded pictures for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def pictures(n: int, height: int = 12, width: int = 12, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth uint8 pictures `[n, height, width, channels]`, all different."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (n, 4, 4, channels)).astype(np.uint8)
    big = [Image.fromarray(p[:, :, 0] if channels == 1 else p).resize((width, height), 2) for p in small]
    return np.stack([np.asarray(p).reshape(height, width, channels) for p in big])


def save_pictures(folder: Path, n: int = 40, suffix: str = ".png", channels: int = 3, seed: int = 0) -> np.ndarray:
    """Writes n pictures as folder/000.png, ... and returns them."""
    folder.mkdir(parents=True, exist_ok=True)
    made = pictures(n, channels=channels, seed=seed)
    for i, picture in enumerate(made):
        Image.fromarray(picture[:, :, 0] if channels == 1 else picture).save(folder / f"{i:03}{suffix}")
    return made
