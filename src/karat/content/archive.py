"""Folders and zips of pictures or sounds: what lies in them, the class and the side of the split of each file, what is unsafe.

Nothing is extracted to disk. An archive with one entry that climbs out of it, or would swell, is refused whole.
"""

from __future__ import annotations

import io
import os
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import BinaryIO

from karat.content.image.picture import SUFFIXES
from karat.errors import DataError, UnsafeFile

RATIO = 200
TOTAL = 8 * 2**30
ENTRIES = 2_000_000
LARGEST = 512 * 2**20  # bytes of one file
LEARN = ("train", "training")
ASIDE = ("test", "testing", "val", "valid", "validation", "holdout")


@dataclass(frozen=True)
class Piece:
    """One encoded picture or sound: where it came from, its size in bytes, its class if it has one, its side, how to open it."""

    name: str
    size: int
    stamp: int
    open: Callable[[], BinaryIO]
    label: str | None = None
    holdout: bool = False
    facets: tuple[tuple[str, str], ...] = ()  # what its name says besides, by what it is called


@dataclass(frozen=True)
class Listing:
    """The pictures (or sounds) found, in a fixed order; what else lay there, by suffix; and what a person should know about it."""

    pieces: tuple[Piece, ...]
    others: dict[str, int]
    split: bool
    notes: tuple[str, ...]


def list_folder(path: Path, suffixes: Collection[str] = SUFFIXES, things: str = "pictures") -> Listing:
    """Files with these suffixes under a folder, links to folders followed once; `things` is what notes call them."""
    pieces, others = [], Counter[str]()
    for file, status in _walk(path):
        name = PurePosixPath(*file.relative_to(path).parts).as_posix().encode("utf-8", "replace").decode()
        suffix = file.suffix.lower()
        if suffix in suffixes and not is_litter(name):
            pieces.append(Piece(name, status.st_size, status.st_mtime_ns, partial(_open_file, file)))
        else:
            others[suffix_of(file)] += 1
    return _arrange(pieces, others, things)


def _walk(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    seen = set()
    for folder, folders, files in os.walk(path, followlinks=True, onerror=_raise):
        here = os.path.realpath(folder)
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        folders.sort()
        for name in sorted(files):
            file = Path(folder, name)
            try:
                status = file.stat()
            except OSError:  # a link to nothing: its opening fails again later, and is listed then
                status = file.lstat()
            if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                yield file, status


def suffix_of(file: PurePath) -> str:
    """What to count a file under: its suffix, or its name where it is a hidden file."""
    if file.name.startswith("."):
        return file.name
    return file.suffix.lower() if file.suffix else "without a suffix"


def _raise(error: OSError) -> None:
    raise DataError(
        f"{error.filename} cannot be looked into ({error.strerror}). Change its permissions or move it away."
    )


def _open_file(file: Path) -> BinaryIO:
    if file.stat().st_size > LARGEST:
        raise ValueError(f"is over {LARGEST // 2**20} MB")
    return file.open("rb")


def is_litter(name: str) -> bool:
    """Hidden files and what macOS adds to a zip."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def open_zip(path: Path, ratio_from: int = 2**20) -> zipfile.ZipFile:
    """The archive, every entry checked; raises UnsafeFile naming the first entry that is not safe to read."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise DataError(f"{path} is not a readable zip ({error}). Make or download it again.") from error
    try:
        _check_zip(path, archive, ratio_from)
    except BaseException:
        archive.close()
        raise
    return archive


def _check_zip(path: Path, archive: zipfile.ZipFile, ratio_from: int) -> None:
    entries = archive.infolist()
    if len(entries) > ENTRIES:
        raise UnsafeFile(
            f"{path} holds {len(entries):,} entries; at most {ENTRIES:,} are read. Unpack it and give the folder."
        )
    for entry in entries:
        reason = _unsafe_name(entry)
        if reason is None and entry.file_size >= ratio_from and entry.file_size > RATIO * max(entry.compress_size, 1):
            swell = entry.file_size // max(entry.compress_size, 1)
            reason = f"would swell {swell:,} times to {entry.file_size / 1e6:,.0f} MB; at most {RATIO} times is read"
        if reason is None and entry.flag_bits & 1:
            raise DataError(
                f"{path}: {entry.orig_filename!r} is encrypted. Unpack it with its password and give the folder."
            )
        if reason is not None:
            raise UnsafeFile(f"{path}: the entry {entry.orig_filename!r} {reason}. The whole archive is refused.")
    total = sum(e.file_size for e in entries)
    if total > TOTAL:
        limit = f"at most {TOTAL / 2**30:.0f} GB are read from an archive"
        raise UnsafeFile(f"{path} would unpack to {total / 2**30:,.1f} GB; {limit}. Unpack it and give the folder.")
    if sum(e.compress_size for e in entries) > path.stat().st_size:
        raise UnsafeFile(
            f"{path} holds entries that lie over each other, as zip bombs do. The whole archive is refused."
        )


def _unsafe_name(entry: zipfile.ZipInfo) -> str | None:
    name = entry.orig_filename.replace("\\", "/")
    if "\0" in name:
        return "has a name with a zero byte"
    if name.startswith("/"):
        return "has an absolute path"
    if re.match(r"^[A-Za-z]:", name):
        return "has a drive letter"
    if ".." in name.split("/"):
        return "climbs out of the archive with '..'"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a symbolic link"
    return None


def list_zip(
    path: Path, archive: zipfile.ZipFile, suffixes: Collection[str] = SUFFIXES, things: str = "pictures"
) -> Listing:
    """Files with these suffixes in a zip that `open_zip` has checked; zips inside it are counted with the others, unopened."""
    pieces, others = [], Counter[str]()
    for entry in sorted(archive.infolist(), key=lambda e: e.filename):
        if entry.is_dir():
            continue
        name = entry.filename.replace("\\", "/")
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in suffixes and not is_litter(name):
            pieces.append(Piece(name, entry.file_size, entry.CRC, partial(_open_entry, archive, entry)))
        else:
            others[suffix_of(PurePosixPath(name))] += 1
    return _arrange(pieces, others, things)


def _open_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> BinaryIO:
    if entry.file_size > LARGEST:
        raise ValueError(f"is over {LARGEST // 2**20} MB")
    with archive.open(entry) as file:
        return io.BytesIO(file.read(entry.file_size))  # zipfile gives no more than was declared


def _arrange(pieces: list[Piece], others: Counter[str], things: str) -> Listing:
    """Each file with its class and side, from the folders it lies in."""
    notes = []
    paths = _without_common_root([tuple(p.name.split("/")) for p in pieces])
    firsts = {path[0].lower() for path in paths if len(path) > 1}
    flat = any(len(path) == 1 for path in paths)
    split = not flat and firsts <= {*LEARN, *ASIDE} and bool(firsts & {*LEARN}) and bool(firsts & {*ASIDE})
    aside = [split and path[0].lower() in ASIDE for path in paths]
    if split:
        paths = [path[1:] for path in paths]
    labels = [path[0] if len(path) > 1 else None for path in paths]
    found = list(zip(pieces, labels, aside, strict=True))

    learned = [label for label, held in zip(labels, aside, strict=True) if not held]
    if split and None not in learned and len(set(learned)) > 1 and None in labels:
        found = [row for row in found if row[1] is not None]
        notes.append(f"{len(pieces) - len(found)} {things} set aside by the publisher have no class and were left out.")
    classes = Counter(label for _, label, _ in found)
    if None in classes and len(classes) > 1:
        notes.append(f"{classes[None]} {things} lie beside the class folders and not in one, so no classes are used.")
        found = [(piece, None, held) for piece, _, held in found]
    elif len(classes) > max(1, len(found) // 2):
        notes.append(
            f"{len(classes)} folders hold {len(found)} {things}: too few in each to be classes, so none are used."
        )
        found = [(piece, None, held) for piece, _, held in found]
    elif len(classes) == 1:
        found = [(piece, None, held) for piece, _, held in found]
    elif any(len(path) > 2 for path in paths):
        inner = len({path[:-1] for path in paths})
        notes.append(
            f"The class is the first of the nested folders ({len(classes)} classes, {inner} folders in them). --labels "
            '"{a}/{b}" takes the last two together, "{a}/{label}/{n}" the last one.'
        )
    arranged = tuple(replace(piece, label=label, holdout=held) for piece, label, held in found)
    return Listing(arranged, dict(others), split, tuple(notes))


def _without_common_root(paths: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    while paths and all(len(path) > 1 for path in paths) and len({path[0] for path in paths}) == 1:
        paths = [path[1:] for path in paths]
    return paths


def sorted_classes(labels: set[str]) -> tuple[str, ...]:
    """Class names in the order a person expects: 2 before 10 where all are numbers."""
    if all(re.fullmatch(r"-?[0-9]{1,18}", label) for label in labels):
        return tuple(sorted(labels, key=int))
    return tuple(sorted(labels))
