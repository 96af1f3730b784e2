"""Where decoded pictures lie between two reads: memory-mapped files that are wholly there or wholly absent."""

from __future__ import annotations

import atexit
import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from karat.errors import DataError, FitError, RunError
from karat.output import foreign, make_folder, write_whole

IN_MEMORY = 256 * 2**20  # bytes; above this an array is memory-mapped
WORTH_KEEPING = 8 * 2**20  # bytes read or decoded; below this reading again is as quick


GB = 20.0  # that the cache may hold, where KARAT_CACHE_GB does not say
STALE = 86_400  # seconds after which what is being written is what a killed process left


def cache_folder(chosen: Path | None) -> Path:
    """The folder asked for, else KARAT_CACHE, else karat in the user's cache; one that can be written, for its owner only.

    Where it cannot be written, or others can write to it, who could put what they like in place of what was decoded: a folder
    that goes with this process. A relative or empty KARAT_CACHE is passed over, as the XDG base directory specification has it:
    nothing is written to the folder one happens to be in.
    """
    if chosen is not None:
        return _writable(Path(chosen).expanduser().absolute())
    named = os.environ.get("KARAT_CACHE", "")
    if Path(named).expanduser().is_absolute():
        return _writable(Path(named).expanduser())
    above = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return _writable((Path(above) if Path(above).is_absolute() else Path.home() / ".cache") / "karat")
    except RuntimeError:  # nobody's home
        return _passing()


def _writable(folder: Path) -> Path:
    try:
        make_folder(folder, private=True)
        if foreign(folder) or folder.stat().st_mode & 0o022:
            return _passing()
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RunError):
        with contextlib.suppress(OSError):  # nothing can be written anywhere: all stays in memory, or is too large
            return _passing()
        return folder


@lru_cache(maxsize=1)
def _passing() -> Path:
    """A folder of this process."""
    folder = Path(tempfile.mkdtemp(prefix="karat-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def limit() -> float:
    """Bytes that the cache may hold; FitError for a KARAT_CACHE_GB that is no number."""
    text = os.environ.get("KARAT_CACHE_GB", "")
    try:
        size = float(text) if text.strip() else GB
    except ValueError:
        size = math.nan
    if not size >= 0:
        raise FitError(f"KARAT_CACHE_GB is {text!r}; wanted a number of gigabytes, such as {GB:g}.")
    return size * 1e9


def trim(folder: Path, using: str) -> None:
    """Deletes what was not used for longest until the cache is within its limit; never what is called `using`."""
    found: dict[str, list[tuple[float, int, Path]]] = {}
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if OURS.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                status, key = entry.stat(follow_symlinks=False), entry.name.split(".")[0]
                if entry.name.endswith(".part"):
                    key = entry.name  # no part of what is whole
                    if time.time() - status.st_mtime < STALE:
                        continue
                found.setdefault(key, []).append((status.st_mtime, status.st_size, Path(entry.path)))
    total = sum(size for files in found.values() for _, size, _ in files)
    for key in sorted(found, key=lambda k: max(when for when, _, _ in found[k])):
        if total <= limit():
            break
        if key == using:
            continue
        for _, size, path in found[key]:
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size


OURS = re.compile(r"[0-9a-f]{32}\.(npy|json|[0-9a-f]{8}\.part)|extractor-[0-9a-f]+\.safetensors")


@dataclass(frozen=True)
class CacheEntry:
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
        except Exception:  # numpy parses a header as Python and may raise anything; what is damaged is decoded again
            return None
        with contextlib.suppress(OSError):  # used now; the one that was not for longest goes first
            os.utime(self.array)
        return (array[:rows], notes) if isinstance(notes, dict) and rows <= len(array) else None

    def allot(self, shape: tuple[int, ...], dtype: np.dtype[Any], keep: bool) -> np.ndarray:
        """An array to fill: on disk when it is to be kept or is larger than 256 MB, else in memory."""
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if not keep and size <= IN_MEMORY:
            return np.empty(shape, dtype)
        try:
            free = shutil.disk_usage(self.folder).free
            if size + 2**20 > free:
                raise OSError(f"{free / 1e9:.1f} GB are free there and {size / 1e9:.1f} GB are needed")
            part = self.folder / f"{self.key}.{secrets.token_hex(4)}.part"
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            try:
                array = np.lib.format.open_memmap(part, mode="w+", dtype=dtype, shape=shape)
                _reserve(part)
                return array
            except OSError:
                part.unlink(missing_ok=True)
                raise
        except OSError as error:
            if size <= IN_MEMORY:
                return np.empty(shape, dtype)
            where = f"The decoded records do not fit into memory and cannot be kept in {self.folder}"
            raise DataError(
                f"{where} ({error}). Set KARAT_CACHE to a folder with room, or give fewer (--set data.limit) or smaller ones."
            ) from error

    def keep(self, array: np.ndarray, notes: Mapping[str, Any], rows: int) -> np.ndarray:
        """The first `rows` of what `allot` gave, read-only, and found again by `find` if it lies on disk."""
        if not isinstance(array, np.memmap) or array.filename is None:
            return array[:rows]
        part = Path(array.filename)
        try:
            array.flush()
            os.replace(part, self.array)
            write_whole(self.notes, json.dumps({**notes, "rows": rows}).encode())
            whole: np.ndarray = np.load(self.array, mmap_mode="r", allow_pickle=False)
        except (OSError, RunError):  # it cannot be kept: it is gone when this process ends
            for path in (part, self.notes, self.array):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            return array[:rows]
        if array.nbytes > limit():  # so is this
            self.notes.unlink(missing_ok=True)
            self.array.unlink(missing_ok=True)
        trim(self.folder, self.key)
        return whole[:rows]

    def discard(self, array: np.ndarray) -> None:
        """Takes back what `allot` gave, when filling it failed."""
        if isinstance(array, np.memmap) and array.filename is not None:
            Path(array.filename).unlink(missing_ok=True)


def _reserve(path: Path) -> None:
    """Takes the room that the file says it has, so that it cannot be missing when its mapping is written to.

    Without that a disk that is full kills the process (SIGBUS). OSError where there is none.
    """
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # a file system that cannot say
                raise


def cache_entry(folder: Path, *what: object) -> CacheEntry:
    """The place for what was read: the key is a hash of everything that decides what the array holds."""
    return CacheEntry(folder, hashlib.sha256(json.dumps(what, default=str).encode()).hexdigest()[:32])
