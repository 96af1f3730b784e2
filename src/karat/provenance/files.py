"""Reading files that a stranger may have laid: never waited for, never larger than the memory, never believed in their paths."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from karat import limits
from karat.provenance.label import KEYWORD, once

COSTS = 16  # bytes of memory for each of a JSON file, about; measured on labels of many files
BLOCK = 1 << 20
LARGEST = 1 << 27  # bytes of JSON that speaks of others: the label of a million files


def open_plain(path: Path) -> IO[bytes]:
    """An ordinary file to be read; OSError for a link, a pipe, a device or a folder, none of which is waited for."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{path} is no ordinary file")
    return file


def digest_of(path: Path) -> str | None:
    """SHA-256 of an ordinary file, else None."""
    try:
        with open_plain(path) as file:
            return digest_read(file)
    except (OSError, ValueError):
        return None


def digest_read(file: IO[bytes]) -> str:
    """SHA-256 of the rest of a file."""
    found = hashlib.sha256()
    while block := file.read(BLOCK):
        found.update(block)
    return found.hexdigest()


def read_json(path: Path, largest: int = LARGEST) -> Any:
    """The JSON in an ordinary file of at most so many bytes, None where there is none, it is damaged, or has a name twice.

    TooLarge where it would not fit the memory.
    """
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > largest:
                return None
            limits.need(COSTS * size, f"reading {path}", "It is no label of this size; move it away.")
            return json.loads(file.read().decode("utf-8"), object_pairs_hook=once)
    except (OSError, ValueError, RecursionError):
        return None


def read_record(path: Path) -> dict[str, Any] | None:
    """What a `label.json` says; None where it is none, or names anything but files beside it or in one folder beside it."""
    found = read_json(path)
    if not isinstance(found, dict) or KEYWORD not in found or not isinstance(found.get("sha256"), dict):
        return None
    leaving, former = found.get("leaving", []), found.get("former", {})
    if not isinstance(leaving, list) or not isinstance(former, dict):
        return None
    named = all(map(_beside, (*found["sha256"], *leaving, *former)))
    return found if named and all(isinstance(x, str) for x in (*found["sha256"].values(), *former.values())) else None


def vouched(record: Mapping[str, Any] | None, folder: Path) -> dict[str, str]:
    """The SHA-256 of the files in the folder that are as their label says, by name.

    The label that takes its place keeps them as `former` until the new files are there: who is killed between the two leaves
    none without its label.
    """
    known = [] if record is None else [record["sha256"], record.get("former", {})]
    found = {name: digest_of(folder / name) for name in dict.fromkeys(name for each in known for name in each)}
    return {name: one for name, one in found.items() if one is not None and one in (each.get(name) for each in known)}


def _beside(name: object) -> bool:
    """Whether a name leads to a file beside its label, or in a folder beside it."""
    if not isinstance(name, str) or "\0" in name:
        return False
    parts = name.split("/")
    return len(parts) <= 2 and not {"", ".", ".."} & set(parts)
