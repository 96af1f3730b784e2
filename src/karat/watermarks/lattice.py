"""Keyed directions along which an item is moved to the nearest point of a lattice, whose offset the key tells.

Spread transform dither modulation (Chen & Wornell, https://doi.org/10.1109/18.923725): what an item shows along a direction
before it is marked does no harm, as it lies somewhere between two points of the lattice whatever it is.

The test is the sum of the cosines of how far off the points items lie. The offsets are fair chance, so that of whatever content
the phases are, the sum is one of cosines of uniform angles, each weighed by how far the items agree along that direction: those
of many items are one test, and content that they have in common is told from a mark.
"""

from __future__ import annotations

import numpy as np
from scipy.special import i0e, i1e
from scipy.stats import norm

HALVINGS = 50
NEARLY = 0.9999  # of the largest sum


def chance_of(total: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How likely the sum of cosines of uniform angles, with `weights` [n, k], is as large as `total` [n]; 1 where none counts.

    By the saddle point (Lugannani & Rice, https://doi.org/10.2307/1426607).
    """
    spread = np.sqrt((weights**2).sum(1) / 2)
    out = np.ones(len(total))
    some = np.flatnonzero(spread > 0)
    w = weights[some] / spread[some, None]
    t = np.minimum(total[some] / spread[some], NEARLY * w.sum(1))
    out[some] = norm.sf(t)  # about the mean
    far = np.flatnonzero(t > 0.5)
    w, t = w[far], t[far]
    low, high = np.zeros(len(t)), np.full(len(t), 1e5)
    for _ in range(HALVINGS):  # where the tilted sum has the mean t
        half = np.sqrt(np.maximum(low, 1e-3) * high)
        less = (w * _mean(half[:, None] * w)).sum(1) < t
        low, high = np.where(less, half, low), np.where(less, high, half)
    tilt = high[:, None] * w
    mean = _mean(tilt)
    log = (np.log(i0e(tilt)) + tilt).sum(1)
    bend = (w**2 * (1 - np.where(tilt > 1e-6, mean / np.maximum(tilt, 1e-6), 0.5) - mean**2)).sum(1)
    r = np.sqrt(np.maximum(2 * (high * t - log), 1e-12))
    u = high * np.sqrt(np.maximum(bend, 1e-12))
    out[some[far]] = np.clip(norm.sf(r) + norm.pdf(r) * (1 / u - 1 / r), 1e-300, 1)
    return out


def sum_of_signs(total: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How likely the sum of `weights` [n, k], each with the sign of a fair coin, is as large as `total` [n]; by the same."""
    spread = np.sqrt((weights**2).sum(1))
    out = np.ones(len(total))
    some = np.flatnonzero(spread > 0)
    w = weights[some] / spread[some, None]
    t = np.minimum(total[some] / spread[some], NEARLY * w.sum(1))
    out[some] = norm.sf(t)
    far = np.flatnonzero(t > 0.5)
    w, t = w[far], t[far]
    low, high = np.zeros(len(t)), np.full(len(t), 1e4)
    for _ in range(HALVINGS):
        half = np.sqrt(np.maximum(low, 1e-3) * high)
        less = (w * np.tanh(half[:, None] * w)).sum(1) < t
        low, high = np.where(less, half, low), np.where(less, high, half)
    tilt = high[:, None] * w
    log = (np.logaddexp(tilt, -tilt) - np.log(2)).sum(1)
    bend = (w**2 * (1 - np.tanh(tilt) ** 2)).sum(1)
    r = np.sqrt(np.maximum(2 * (high * t - log), 1e-12))
    u = high * np.sqrt(np.maximum(bend, 1e-12))
    least = 2.0 ** -weights.shape[1]  # all signs alike
    out[some[far]] = np.clip(norm.sf(r) + norm.pdf(r) * (1 / u - 1 / r), least, 1)
    return out


def _mean(tilt: np.ndarray) -> np.ndarray:
    """Of the cosine of an angle whose density is tilted by exp(tilt * cosine)."""
    return np.asarray(i1e(tilt) / i0e(tilt))
