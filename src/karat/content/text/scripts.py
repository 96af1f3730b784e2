"""What text is made of, counted from its code points: words, lines, and the scripts it is written in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# First code points of stretches of Unicode, and the script that a person would name there; "" for signs and spaces.
_STRETCHES: tuple[tuple[int, str], ...] = (
    (0, ""),
    (0x41, "Latin"),
    (0x5B, ""),
    (0x61, "Latin"),
    (0x7B, ""),
    (0xC0, "Latin"),
    (0x2B0, ""),
    (0x370, "Greek"),
    (0x400, "Cyrillic"),
    (0x530, "Armenian"),
    (0x590, "Hebrew"),
    (0x600, "Arabic"),
    (0x700, "other"),
    (0x750, "Arabic"),
    (0x780, "other"),
    (0x900, "Devanagari"),
    (0x980, "Bengali"),
    (0xA00, "other"),
    (0xB80, "Tamil"),
    (0xC00, "other"),
    (0xE00, "Thai"),
    (0xE80, "other"),
    (0x10A0, "Georgian"),
    (0x1100, "Hangul"),
    (0x1200, "other"),
    (0x1E00, "Latin"),
    (0x1F00, "Greek"),
    (0x2000, ""),
    (0x2E80, "Han"),
    (0x3000, ""),
    (0x3040, "Kana"),
    (0x3100, "other"),
    (0x3400, "Han"),
    (0x4DC0, ""),
    (0x4E00, "Han"),
    (0xA000, "other"),
    (0xAC00, "Hangul"),
    (0xD7B0, ""),
    (0xF900, "Han"),
    (0xFB00, "other"),
    (0xFB50, "Arabic"),
    (0xFE00, ""),
    (0xFE70, "Arabic"),
    (0xFEFF, ""),
    (0xFF21, "Latin"),
    (0xFF3B, ""),
    (0xFF41, "Latin"),
    (0xFF5B, ""),
    (0xFF66, "Kana"),
    (0xFFA0, ""),
    (0x10000, "other"),
    (0x1F000, "emoji"),
    (0x1FB00, "other"),
    (0x20000, "Han"),
    (0x323B0, "other"),
)
_FIRSTS = np.array([first for first, _ in _STRETCHES])
_NAMES = tuple(name for _, name in _STRETCHES)
_UNSPACED = np.isin(_NAMES, ("Han", "Kana", "Thai"))  # each of whose signs counts as a word
_CHUNK = 2**22


def occurrences(points: np.ndarray) -> np.ndarray:
    """int64 [0x110000]: how often each code point occurs in `points` [k]."""
    counts = np.zeros(0x110000, np.int64)
    for start in range(0, len(points), _CHUNK):
        counts += np.bincount(points[start : start + _CHUNK], minlength=len(counts))
    return counts


def shares(counts: np.ndarray) -> dict[str, float]:
    """The share of each script among letters, the commonest first, by `occurrences`."""
    there = np.flatnonzero(counts)
    where = np.searchsorted(_FIRSTS, there, "right") - 1
    totals: dict[str, int] = {}
    for stretch, count in zip(where.tolist(), counts[there].tolist(), strict=True):
        name = _NAMES[stretch]
        if name:
            totals[name] = totals.get(name, 0) + count
    every = sum(totals.values())
    return {name: totals[name] / every for name in sorted(totals, key=lambda name: -totals[name])}


def words(points: np.ndarray) -> np.ndarray:
    """int64 [n]: words of each row of `points` [n, longest] (-1 behind the last); a Han, Kana or Thai sign is one."""
    kinds = _kinds(points)
    begun = kinds == 1
    begun[:, 1:] &= kinds[:, :-1] != 1
    return np.asarray(begun.sum(1) + (kinds == 2).sum(1))


def count_words(points: np.ndarray) -> int:
    """Words of one text [k], as `words` has them."""
    total = 0
    for start in range(0, len(points), _CHUNK):
        total += int(words(points[None, start : start + _CHUNK].astype(np.int64))[0])
    return total


def descriptors(points: np.ndarray) -> Mapping[str, np.ndarray]:
    """float64 [n] of each measure of rows `points` [n, longest], -1 behind the last; NaN where there is nothing to measure."""
    inside = points >= 0
    size = inside.sum(1)
    count = words(points)
    spaced = (_kinds(points) == 1).sum(1) + (_kinds(points) == 2).sum(1)
    breaks = (points == 10).sum(1)
    rows = np.arange(len(points))
    ended = points[rows, np.maximum(size - 1, 0)] == 10 if points.shape[1] else np.zeros(len(points), bool)
    lines = breaks + (size > 0) - ended
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "length (characters)": size.astype(np.float64),
            "words": count.astype(np.float64),
            "word length (characters)": np.where(count > 0, spaced / count, np.nan),
            "lines": lines.astype(np.float64),
            "line length (characters)": np.where(lines > 0, (size - breaks) / lines, np.nan),
        }


def _kinds(points: np.ndarray) -> np.ndarray:
    """int8: 1 for a letter or digit of a word, 2 for a sign that is one, 0 for all else."""
    table = _kind_table()
    return np.asarray(table[np.maximum(points, 0)] * (points >= 0))


_TABLE: list[np.ndarray] = []


def _kind_table() -> np.ndarray:
    if not _TABLE:
        stretch = np.searchsorted(_FIRSTS, np.arange(0x110000), "right") - 1
        lettered = np.array([bool(name) and name != "emoji" for name in _NAMES])
        table = lettered[stretch].astype(np.int8)
        table[_UNSPACED[stretch]] = 2
        table[[*range(0x30, 0x3A), 0x27, 0x2019]] = 1  # digits, and what stands in "don't"
        _TABLE.append(table)
    return _TABLE[0]
