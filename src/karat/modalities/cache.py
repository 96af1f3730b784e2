"""Where decoded pictures lie between two reads: memory-mapped files that are wholly there or wholly absent."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from karat.errors import DataError

IN_MEMORY = 256 * 2**20  # bytes; above this an array is memory-mapped
WORTH_KEEPING = 8 * 2**20  # bytes read or decoded; below this reading again is as quick


def cache_folder(chosen: Path | None) -> Path:
    """The folder asked for, else KARAT_CACHE, else ~/.cache/karat."""
    if chosen is not None:
        return Path(chosen).expanduser()
    return Path(os.environ.get("KARAT_CACHE", "~/.cache/karat")).expanduser()


@dataclass(frozen=True)
class Shelf:
    """One place in the cache, for one set of files read in one way."""

    folder: Path
    key: str

    @property
    def array(self) -> Path:
        return self.folder / f"{self.key}.npy"

    @property
    def notes(self) -> Path:
        return self.folder / f"{self.key}.json"

    def find(self) -> tuple[np.ndarray, dict[str, Any]] | None:
        """The array, memory-mapped, and its notes, where both are whole; None otherwise."""
        try:
            notes = json.loads(self.notes.read_text("utf-8"))
            array = np.load(self.array, mmap_mode="r", allow_pickle=False)
            rows = int(notes["rows"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return (array[:rows], notes) if isinstance(notes, dict) and rows <= len(array) else None

    def allot(self, shape: tuple[int, ...], dtype: np.dtype[Any], keep: bool) -> np.ndarray:
        """An array to fill: on disk when it is to be kept or is larger than 256 MB, else in memory."""
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if not keep and size <= IN_MEMORY:
            return np.empty(shape, dtype)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
            if size + 2**20 > free:
                raise OSError(f"{free / 1e9:.1f} GB are free there and {size / 1e9:.1f} GB are needed")
            part = self.folder / f"{self.key}.{secrets.token_hex(4)}.part"
            return np.lib.format.open_memmap(part, mode="w+", dtype=dtype, shape=shape)
        except OSError as error:
            if size <= IN_MEMORY:
                return np.empty(shape, dtype)
            where = f"The decoded pictures do not fit into memory and cannot be kept in {self.folder}"
            raise DataError(
                f"{where} ({error}). Set KARAT_CACHE to a folder with room, or give a smaller --size."
            ) from error

    def keep(self, array: np.ndarray, notes: Mapping[str, Any], rows: int) -> np.ndarray:
        """The first `rows` of what `allot` gave, read-only, and found again by `find` if it lies on disk."""
        if not isinstance(array, np.memmap) or array.filename is None:
            return array[:rows]
        part = Path(array.filename)
        array.flush()
        os.replace(part, self.array)
        aside = part.with_suffix(".notes")
        with aside.open("w", encoding="utf-8") as file:
            json.dump({**notes, "rows": rows}, file)
        os.replace(aside, self.notes)
        whole: np.ndarray = np.load(self.array, mmap_mode="r", allow_pickle=False)
        return whole[:rows]

    def discard(self, array: np.ndarray) -> None:
        """Takes back what `allot` gave, when filling it failed."""
        if isinstance(array, np.memmap) and array.filename is not None:
            Path(array.filename).unlink(missing_ok=True)


def shelf(folder: Path, *what: object) -> Shelf:
    """The place for what was read: the key is a hash of everything that decides what the array holds."""
    return Shelf(folder, hashlib.sha256(json.dumps(what, default=str).encode()).hexdigest()[:32])
