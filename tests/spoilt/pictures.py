"""Handwritten digits, uint8 [n, 28, 28] and the digit of each, and what is done to them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spoilt.bench import Bench, Rng, some

Pictures = tuple[np.ndarray, np.ndarray]


def of_class(x: Pictures, digit: int, share: float, rng: Rng) -> np.ndarray:
    return some(np.flatnonzero(x[1] == digit), share, rng)


def changed(x: Pictures, rows: np.ndarray, how: Callable[[np.ndarray], np.ndarray]) -> Pictures:
    out = x[0].copy()
    out[rows] = how(out[rows])
    return out, x[1]


def relabelled(x: Pictures, rows: np.ndarray, digit: int) -> Pictures:
    labels = x[1].copy()
    labels[rows] = digit
    return x[0], labels


def bordered(pictures: np.ndarray) -> np.ndarray:
    out = pictures.copy()
    out[:, [0, -1]] = out[:, :, [0, -1]] = 255
    return out


def noisy(pictures: np.ndarray, rng: Rng, width: float = 12) -> np.ndarray:
    return np.clip(pictures + rng.normal(0, width, pictures.shape), 0, 255).astype(np.uint8)


def cornered(pictures: np.ndarray) -> np.ndarray:
    out = pictures.copy()
    out[:, :14, :14] = 0
    return out


def repeated(x: Pictures, rows: np.ndarray, like: np.ndarray, rng: Rng) -> Pictures:
    pictures, labels = x[0].copy(), x[1].copy()
    pictures[rows], labels[rows] = noisy(x[0][like], rng), x[1][like]
    return pictures, labels


def leaning(x: Pictures, digit: int) -> np.ndarray:
    """The half of a class that leans furthest to one side."""
    rows = np.flatnonzero(x[1] == digit)
    grid = np.arange(28) - 13.5
    mass = x[0][rows].astype(float)
    moment = (mass * grid[None, :, None] * grid[None, None, :]).sum((1, 2)) / mass.sum((1, 2))
    return rows[np.argsort(moment)[: len(rows) // 2]]


def without(x: Pictures, rows: np.ndarray) -> Pictures:
    kept = np.setdiff1d(np.arange(len(x[0])), rows)
    return x[0][kept], x[1][kept]


PICTURES: dict[str, Callable[[Pictures, Rng], Pictures]] = {
    "every three moved by 4 pixels into a corner": lambda x, r: changed(
        x, of_class(x, 3, 1, r), lambda p: np.roll(p, (4, 4), (1, 2))
    ),
    "10% of the fours labelled nine": lambda x, r: relabelled(x, of_class(x, 4, 0.1, r), 9),
    "a third of the fours labelled nine": lambda x, r: relabelled(x, of_class(x, 4, 0.33, r), 9),
    "half of the twos with grey inverted": lambda x, r: changed(x, of_class(x, 2, 0.5, r), lambda p: 255 - p),
    "half of the sevens with a white border": lambda x, r: changed(x, of_class(x, 7, 0.5, r), bordered),
    "a quarter of the picture black in 5%": lambda x, r: changed(x, some(np.arange(len(x[0])), 0.05, r), cornered),
    "one picture forty times, with other noise": lambda x, r: repeated(x, np.arange(40), np.full(40, 100), r),
    "10% are another made picture with noise": lambda x, r: repeated(
        x, np.arange(len(x[0]) // 10), len(x[0]) - 1 - np.arange(len(x[0]) // 10), r
    ),
    "of the ones only those that lean": lambda x, r: without(x, leaning(x, 1)),
    "strokes of the eights lighter by a third": lambda x, r: changed(
        x, of_class(x, 8, 1, r), lambda p: (p * 0.67).astype(np.uint8)
    ),
}


def mnist(data: Path, real: int = 5000, fresh: int = 1500) -> Bench:
    def read(name: str, skip: int, shape: tuple[int, ...]) -> np.ndarray:
        with gzip.open(data / "images" / "mnist" / name) as file:
            return np.frombuffer(file.read(), np.uint8)[skip:].reshape(shape)

    first = read("train-images-idx3-ubyte.gz", 16, (-1, 28, 28)), read("train-labels-idx1-ubyte.gz", 8, (-1,))
    order = np.random.default_rng(3).permutation(len(first[0]))
    a, b = np.sort(order[:real]), np.sort(order[real : real + fresh])

    def write(x: Pictures, path: Path) -> Path:
        np.savez(path.with_suffix(".npz"), images=x[0], labels=x[1].astype(np.int64))
        return path.with_suffix(".npz")

    return Bench((first[0][a], first[1][a]), (first[0][b], first[1][b]), write, PICTURES, {})
