"""Signs and digits that are printed otherwise than by most: negative amounts of bookkeepers, and full-width digits of East Asia."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

DIGITS, SIGNS, MARKS = "0123456789", "+-", ".,"
_FULL = {char: chr(ord(char) + 0xFEE0) for char in DIGITS + SIGNS + MARKS}
_NARROW = str.maketrans({full: char for char, full in _FULL.items()})

# How a negative number is told from others: what such a cell looks like, and what it is with its sign in front.
_NEGATIVE = {
    "()": (r"^\(([^()+\-]*[0-9][^()+\-]*)\)$", r"-\1"),
    "$()": (r"^([^0-9()+\-]+)\(([0-9][^()+\-]*)\)$", r"\1-\2"),
    "-": (r"^([^+\-]*[0-9])-([^0-9+\-]*)$", r"-\1\2"),
}


def negative(values: pa.Array) -> str:
    """How the strings [u] mark what is negative, see `Print`; "" where by a sign in front, or none is.

    What all cells have in common says nothing: they may be numbers of chapters.
    """
    if not pc.any(pc.match_substring_regex(values, r"[)]$|[0-9]-")).as_py():
        return ""
    for how, (shape, _) in _NEGATIVE.items():
        found = pc.match_substring_regex(values, shape)
        if pc.any(found).as_py() and not pc.all(found).as_py():
            return how
    return ""


def signed(values: pa.Array, how: str) -> pa.Array:
    """The strings with their sign in front, or behind the currency; the same array where it is there."""
    return pc.replace_substring_regex(values, *_NEGATIVE[how]) if how else values


def printed(values: pa.Array, how: str, prefix: str, suffix: str) -> pa.Array:
    """The inverse of `signed`, of numbers between `prefix` and `suffix`."""
    if how == "()":
        return pc.replace_substring_regex(values, r"^-(.*)$", r"(\1)")
    if how == "$()":
        return pc.replace_substring_regex(values, f"^({_bare(prefix)})-(.*)$", r"\1(\2)")
    if how == "-":
        return pc.replace_substring_regex(values, f"^-(.*?)({_bare(suffix)})$", r"\1-\2")
    return values


def wide(values: pa.Array, counts: np.ndarray) -> str | None:
    """Which characters the strings [u], each `counts` [u] times there, print full-width; "" where few of them do, None where none.

    A sign is as wide as the digits.
    """
    full = pc.match_substring_regex(values, "[\uff10-\uff19]").to_numpy(zero_copy_only=False)
    if not full.any():
        return None
    if counts[full].sum() * 2 < counts.sum():
        return ""
    return DIGITS + SIGNS + "".join(m for m in MARKS if pc.any(pc.match_substring(values, _FULL[m])).as_py())


def wide_of(format: str) -> str:
    """Which characters a number format shows full-width."""
    return DIGITS + SIGNS + "".join(m for m in MARKS if _FULL[m] in format) if _FULL["1"] in format else ""


def narrowed(text: str) -> str:
    """The text with ASCII digits, signs and marks."""
    return text.translate(_NARROW)


def widened(text: str, chars: str) -> str:
    """The text with these characters full-width."""
    return text.translate({ord(char): _FULL[char] for char in chars})


def narrowed_cells(values: pa.Array) -> pa.Array:
    """The same of strings [n]."""
    for char, full in _FULL.items():
        values = pc.replace_substring(values, full, char)
    return values


def widened_cells(values: pa.Array, chars: str) -> pa.Array:
    """The same of strings [n]."""
    for char in chars:
        values = pc.replace_substring(values, char, _FULL[char])
    return values


def _bare(text: str) -> str:
    return re.escape(text).replace("\\ ", " ")
