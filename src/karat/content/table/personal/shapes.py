"""The shapes that codes share: learned from their characters, position by position, and filled in anew.

A shape is text in which \\d stands for a digit, \\u and \\l for a letter, \\h and \\H for a hexadecimal digit, \\a, \\A and
\\w for a letter or a digit (lower, upper, both), and \\c for a Chinese character. Any other character stands for itself:
it was there in all of at least `COMMON` values.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pyarrow as pa

COMMON = 5  # what fewer rows have in common is a matter of those rows
_MOST = 20_000  # values looked at
_DIGITS, _UPPER, _LOWER = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
_ALPHABETS = {
    "d": _DIGITS,
    "u": _UPPER,
    "l": _LOWER,
    "h": _DIGITS + "abcdef",
    "H": _DIGITS + "ABCDEF",
    "a": _DIGITS + _LOWER,
    "A": _DIGITS + _UPPER,
    "w": _DIGITS + _UPPER + _LOWER,
    "c": "安宁川禾岭溪云松柏槐枫桐海岳泉澄朗清远舟晨星河池苑庭湖峰原野林",
}
_CODES = {key: np.array([ord(c) for c in text], np.uint32) for key, text in _ALPHABETS.items()}
_LITERAL = 0x110000  # above every character: classes are coded _LITERAL + ord(class)


def learn(values: pa.Array, counts: np.ndarray, most: int = 40) -> list[list[Any]]:
    """[shape, weight] of the distinct `values` [u], each `counts` [u] times there, the commonest first."""
    step = max(1, len(values) // _MOST)
    chars = _chars(values[::step].to_pylist())
    weight = counts[::step][: len(chars)]
    if not chars.size:
        return [["\\l\\l\\l\\l\\l\\l", 1.0]]
    classes = _classes(chars)
    kinds, where = np.unique(classes, axis=0, return_inverse=True)
    where = where.reshape(-1)
    mass = np.bincount(where, weights=weight, minlength=len(kinds))
    out: list[list[Any]] = []
    for k in np.argsort(-mass, kind="stable")[:most]:
        members = chars[where == k]
        fixed = (members == members[0]).all(0) if len(members) >= COMMON else np.zeros(chars.shape[1], bool)
        shape = ""
        for code, char, same in zip(kinds[k], members[0], fixed, strict=True):
            if char == 0:
                break
            shape += _escaped(chr(char)) if same or code < _LITERAL else "\\" + chr(code - _LITERAL)
        out.append([shape, float(mass[k] / mass.sum())])
    return out


def between(low: int, high: int, width: int, padded: bool) -> tuple[int, int]:
    """The range of numbers of `width` digits, the first of which are those that `low` and `high`, and so all between, share."""
    same = os.path.commonprefix([f"{low:0{width}d}", f"{high:0{width}d}"])
    free = 10 ** (width - len(same))
    return int(same or 0) * free + (0 if padded or same else free // 10), int(same or 0) * free + free - 1


def regular(values: pa.Array) -> bool:
    """Whether few shapes cover the distinct values [u], which are so codes and no words."""
    step = max(1, len(values) // 2000)
    texts = values[::step].to_pylist()
    if np.mean([any(c in _DIGITS for c in text) for text in texts]) < 0.5:
        return False
    classes = _classes(_chars(texts))
    mass = np.sort(np.unique(classes, axis=0, return_counts=True)[1])[::-1]
    return bool(mass[:6].sum() >= 0.9 * len(classes))


def fill(
    learned: list[list[Any]], n: int, rng: np.random.Generator, wider: int = 0, shard: tuple[int, int] = (0, 1)
) -> np.ndarray:
    """str `[n]` of the shapes by their weights, their classes filled in by chance, with `wider` more at the end.

    shard: its number and how many there are; fewer are given back where a shape has not enough open characters to have the
    shard's residue.
    """
    number, of = shard
    weights = np.array([float(w) for _, w in learned])
    which = rng.choice(len(learned), n, p=weights / weights.sum())
    out = np.empty(n, object)
    for k in np.unique(which):
        rows = np.flatnonzero(which == k)
        parts = tokens(learned[k][0])
        extra = next((p for p in reversed(parts) if p[0]), (True, "d"))
        parts = parts + [extra] * wider
        chars = np.empty((len(rows), max(1, len(parts))), np.uint32)
        for j, (drawn, symbol) in enumerate(parts):
            chars[:, j] = rng.choice(_CODES[symbol], len(rows)) if drawn else ord(symbol)
        if of > 1:
            _steer(chars, [(j, _CODES[symbol]) for j, (drawn, symbol) in enumerate(parts) if drawn], rng, number, of)
        out[rows] = chars.view(f"<U{chars.shape[1]}")[:, 0]
    return out if of == 1 else out[residues(out.tolist(), of) == number]


_WEIGHTS = np.random.default_rng(0).integers(1, 2**31, 256)  # of the characters of a text, by their place


def residues(texts: list[str], of: int) -> np.ndarray:
    """int64 [n]: a number below `of` for each text, the same for equal texts: by it shards know what is theirs to make."""
    chars = _chars(texts)
    return np.asarray((chars.astype(np.int64) * _WEIGHTS[: chars.shape[1]] % of).sum(1) % of)


def _steer(
    chars: np.ndarray, free: list[tuple[int, np.ndarray]], rng: np.random.Generator, number: int, of: int
) -> None:
    """Draws the last of the `free` characters (place, alphabet) again so that `residues` of a row is `number`, where it can be."""
    last: list[tuple[int, np.ndarray]] = []
    while free and np.prod([len(codes) for _, codes in last]) < 2 * of:  # then most residues can be had
        last.insert(0, free.pop())
    if not last:
        return
    places = [j for j, _ in last]
    grid = np.stack([each.ravel() for each in np.meshgrid(*(codes for _, codes in last))], 1)
    gives = (grid.astype(np.int64) * _WEIGHTS[places] % of).sum(1) % of
    order = np.argsort(gives, kind="stable")
    rest = np.delete(np.arange(chars.shape[1]), places)
    wanted = (number - (chars[:, rest].astype(np.int64) * _WEIGHTS[rest] % of).sum(1)) % of
    first, end = (np.searchsorted(gives[order], wanted, side) for side in ("left", "right"))
    pick = first + (rng.random(len(chars)) * (end - first)).astype(np.int64)
    can = np.flatnonzero(end > first)
    chars[np.ix_(can, np.array(places))] = grid[order[pick[can]]]


def tokens(shape: str) -> list[tuple[bool, str]]:
    """(whether drawn, class or character) for each position of the shape."""
    out: list[tuple[bool, str]] = []
    k = 0
    while k < len(shape):
        if shape[k] == "\\" and k + 1 < len(shape):
            out.append((False, "\\") if shape[k + 1] == "\\" else (True, shape[k + 1]))
            k += 2
        else:
            out.append((False, shape[k]))
            k += 1
    return out


def _escaped(char: str) -> str:
    return "\\\\" if char == "\\" else char


def _chars(texts: list[str]) -> np.ndarray:
    texts = [text[:200] for text in texts]
    size = max((len(t) for t in texts), default=0)
    if not size:
        return np.zeros((len(texts), 0), np.uint32)
    out: np.ndarray = np.array(texts, f"<U{size}").view(np.uint32).reshape(len(texts), size)
    return out


def _classes(chars: np.ndarray) -> np.ndarray:
    """uint32 of the same shape: the class of each character, or itself; letters and digits that mix are one class."""
    digit = (chars >= 48) & (chars <= 57)
    upper, lower = (chars >= 65) & (chars <= 90), (chars >= 97) & (chars <= 122)
    out = chars.copy()
    other = (chars >= 0xC0) & (chars <= 0x2E7F)
    for mask, name in ((digit, "d"), (upper, "u"), (lower | other, "l"), (chars > 0x2E7F, "c")):
        out[mask] = _LITERAL + ord(name)
    if len(np.unique(out, axis=0)) <= max(8, len(chars) // 100):
        return out
    # Where a position is now a digit and now a letter, the letters and digits are drawn from one alphabet.
    mixed = digit.any(0) & (upper | lower).any(0)
    letters = chars[:, mixed][(upper | lower)[:, mixed]]
    if not letters.size:
        return out
    hexes = np.isin(letters | 32, np.arange(97, 103)).all()
    cases = (bool((letters < 97).any()), bool((letters >= 97).any()))
    name = {(True, False): "H" if hexes else "A", (False, True): "h" if hexes else "a"}.get(cases, "w")
    out[:, mixed] = np.where((digit | upper | lower)[:, mixed], _LITERAL + ord(name), out[:, mixed])
    return out
