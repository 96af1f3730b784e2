"""The formats of files that hold a table: one file each in this folder, found by itself, whose `FORMAT` says all of it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from karat.content.table.io import packed
from karat.content.table.table import Dialect, Raw


@dataclass(frozen=True)
class Format:
    """suffixes: in small letters.   read: path, at most so many rows or None, and the options -> the table.

    write: blocks of rows, at least one, into an open file whose name ends in the suffix, in the dialect of the data or None.
    None: such files are only read.   made: what a name for made tables may end in.   options: those of `--set data.*` that
    only some formats know and this one does.   packed: whether such a file may be packed, as `packed.SUFFIXES`.   form: of
    `Dialect` for a suffix without its packing, "" where columns keep their types.   holds: whether a file whose name ends
    in the suffix looks like a table of this format.   starts: whether a file of any name is one, by its first 16 bytes.
    """

    suffixes: tuple[str, ...]
    read: Callable[[Path, int | None, Mapping[str, Any]], Raw]
    write: Callable[[Iterator[pa.Table], str, IO[bytes], Dialect | None], None] | None = None
    made: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    packed: bool = False
    form: Callable[[str], str] = lambda suffix: ""
    holds: Callable[[Path, str], bool] = lambda path, suffix: True
    starts: Callable[[bytes], bool] = lambda start: False


def formats() -> tuple[Format, ...]:
    """Every format there is, by the names of their files."""
    return tuple(
        importlib.import_module(f"{__name__}.{each.name}").FORMAT
        for each in sorted(pkgutil.iter_modules(__path__), key=lambda each: each.name)
    )


def of_suffix(suffix: str) -> Format | None:
    """The format whose files end so, perhaps packed; None where there is none."""
    bare, packing = packed.bare(suffix)
    return next((each for each in formats() if bare in each.suffixes and (each.packed or not packing)), None)


def suffixes() -> tuple[str, ...]:
    """Every suffix that is read, with those of what is packed."""
    return tuple(
        suffix + packing
        for each in formats()
        for packing in ("", *(packed.SUFFIXES if each.packed else ()))
        for suffix in each.suffixes
    )


def is_database(suffix: str) -> bool:
    """Whether a file whose name ends so may hold several tables."""
    found = of_suffix(suffix)
    return found is not None and "table" in found.options


def made() -> tuple[str, ...]:
    """What a name for made tables may end in."""
    return tuple(suffix for each in formats() for suffix in each.made)


def listed(written: bool = False) -> str:
    """The suffixes for a person, those that are only read left out where it is about writing."""
    some = [each for each in formats() if each.write is not None or not written]
    text, rest = ([s for each in some if each.packed == which for s in each.suffixes] for which in (True, False))
    return f"{', '.join(text)} (each also {', '.join(packed.SUFFIXES)}), {', '.join(rest)}"
