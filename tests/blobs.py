"""Spectrograms of a few tones that swell and fade."""

from __future__ import annotations

import numpy as np
import torch


def blobs(n: int, seed: int) -> torch.Tensor:
    """Points [n, 1, 32, 48] in [-1, 1], each of four tones."""
    rng = np.random.default_rng(seed)
    first, last = np.mgrid[:32, :48]
    out = np.full((n, 1, 32, 48), -1.0)
    for points in out:
        for _ in range(4):
            high, at, wide, long = rng.uniform(4, 28), rng.uniform(6, 26), rng.uniform(1, 3), rng.uniform(2, 8)
            bump = np.exp(-(((first - high) / wide) ** 2) - ((last - at) / long) ** 2)
            points[0] = np.maximum(points[0], 1.8 * bump - 1)
    return torch.from_numpy(out).float()
