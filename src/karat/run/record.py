"""What karat.json must hold, and may hold. It may come from a stranger, so each entry has its test."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

LAYOUT = 8  # of all that a run keeps; raised when any file of it changes its form (tests/frozen holds them)
CHECKPOINT = re.compile(r"(\d{10})-([0-9a-f]{16})\.safetensors")
MODEL = re.compile(r"model-([0-9a-f]{16})\.safetensors")


def number(least: float, kind: type | tuple[type, ...] = (int, float)) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        if not isinstance(value, kind) or not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return max(least, -1e308) <= value < 1e308

    return fits


def _maybe(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def _text(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value, re.S) is not None


def _list(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _plain(value: Any) -> bool:
    """A setting of the data as TOML has them."""
    if isinstance(value, list):
        return all(map(_plain, value))
    return isinstance(value, str | bool) or number(-1e308)(value)


_anything = _text(r".{0,4096}")
_positive = _maybe(number(1e-9))
# What karat.json must hold, and may hold, each with its test and what was wanted.
WANTED: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "id": (_text(r"[0-9A-Za-z]{1,64}"), "letters and digits"),
    "version": (_anything, "text"),
    "data": (_text(r"[^\0]{1,4096}"), "a path or an address"),
    "inside": (lambda v: isinstance(v, bool), "true or false"),
    "options": (
        lambda v: isinstance(v, dict) and all(k.isidentifier() and _plain(x) for k, x in v.items()),
        "a table of settings",
    ),
    "holdout": (lambda v: number(0)(v) or _anything(v), "a number or text"),
    "fingerprint": (_text(r"[0-9a-f]{1,128}"), "a hexadecimal number"),
    "seed": (lambda v: number(0, int)(v) and v < 2**62, "a whole number"),
    "recipe": (lambda v: isinstance(v, dict), "a table"),
    "minutes": (_positive, "a number above 0, or null"),
    "steps": (_positive, "a number above 0, or null"),
    "samples": (_positive, "a number above 0, or null"),
    "epsilon": (_positive, "a number above 0, or null"),
    "precision": (_maybe(_text(r"[\w-]{1,40}")), "a precision, or null"),
    "track": (_list(_text(r"\w{1,40}")), "a list of names of trackers"),
    "classes": (_list(_text(r".{0,65536}")), "a list of names"),
    "threads": (_maybe(number(1, int)), "a whole number above 0, or null"),
    "parts": (
        lambda v: isinstance(v, dict) and all(_text(r"[0-9a-f]{64}")(x) for x in v.values()),
        "a table of digests",
    ),
    "status": (_text(r"[a-z ]{1,40}"), "a word"),
}
KNOWN: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    **WANTED,
    "seal": (_maybe(_text(r"[0-9a-f]{64}")), "a hexadecimal number, or null"),
    "signature": (_maybe(_text(r"[0-9a-f]{64}")), "a hexadecimal number, or null"),
    "models": (_list(_text(MODEL.pattern)), "a list of names of model files"),
    "checkpoints": (_list(_text(CHECKPOINT.pattern)), "a list of names of checkpoints"),
    "gates": (_text(r"[0-9a-f]{64}"), "a digest"),
    "device": (_text(r"[a-z0-9:]{1,20}"), "the name of a device"),
    "step": (number(0, int), "a whole number"),
    "seconds": (number(0), "a number"),
    "trained_samples": (number(0, int), "a whole number"),
    "kept": (
        lambda v: isinstance(v, dict) and all(number(-1e308)(x) for x in v.values()),
        "a table of numbers",
    ),
    "ended": (_text(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "a time in UTC"),
}


def short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
