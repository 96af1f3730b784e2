"""The label of origin that a made file carries, and whether it speaks of the file as it is: read back, not believed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from karat.errors import DataError
from karat.provenance.containers import container_of
from karat.provenance.edits import mapped
from karat.provenance.files import LARGEST, digest_of, open_plain, read_json
from karat.provenance.label import KEYS, KEYWORD, OWN, parse

SIDE, FOLDER = ".label.json", "label.json"
ALONE = 1 << 20  # bytes of the label of one file
MOST = 1000  # files of a folder that are read
DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Found:
    """A label as it was found.   fields: the seven, as far as they are there.   about: what else it says (run, recipe, seed,
    record, time, digital_source_type).   place: "inside", or the name of the file beside it.

    count: labels in that place, of which the standard allows one.   intact: whether the file is as it was when the label was
    written, by its SHA-256; None where the label holds none.
    """

    fields: dict[str, str]
    about: dict[str, Any] = field(default_factory=dict)
    place: str = "inside"
    count: int = 1
    intact: bool | None = None


def read_label(path: Path) -> Found | None:
    """The label of a file, inside it or beside it; None where there is none, which does not say that nobody made it so.

    Beside it is a `.label.json`, or the `label.json` of its folder, that names the file. Raises DataError where the file is
    no whole file of its format or cannot be read.
    """
    container = container_of(path.name)
    if container is not None:
        try:
            with open_plain(path) as file:
                data = mapped(file)
                found = found_in(container.words(data))
                if found is not None:
                    sealed = DIGEST.search(found.fields.get("ReservedCode1", ""))
                    intact = None if sealed is None else sealed[1] == container.digest(data)
                    return Found(found.fields, found.about, "inside", found.count, intact)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}. Give a file.") from None
    for beside in (path.with_name(path.name + SIDE), path.parent / FOLDER, path.parent.parent / FOLDER):
        name = path.name if beside.parent == path.parent else f"{path.parent.name}/{path.name}"
        record = _record(beside)
        known = [] if record is None else [r[name] for r in (record["sha256"], record.get("former", {})) if name in r]
        if record is not None and known:
            fields = _fields(record) or {}
            about = {k: v for k, v in record.items() if k not in (KEYWORD, "sha256", "former")}
            return Found(fields, about, beside.name, 1, digest_of(path) in known)
    return None


def says_inside(path: Path) -> bool:
    """Whether a file has a label inside, true or not: nothing else of it is read."""
    container = container_of(path.name)
    if container is None:
        return False
    try:
        with open_plain(path) as file:
            return found_in(container.words(mapped(file))) is not None
    except (OSError, DataError):
        return False


def found_in(words: list[tuple[str, str]]) -> Found | None:
    """What the texts inside a file say together; None where none of them is a label."""
    fields: dict[str, str] | None = None
    about: dict[str, Any] = {}
    count = 0
    for key, text in words:
        known = parse(text)
        count += key == KEYWORD or known is not None
        if known is not None and fields is None:
            fields = {name: known[name] for name in KEYS if name in known}
        if key == OWN and not about:
            about = {name: value for name, value in _object(text).items() if name not in KEYS}
    return None if fields is None else Found(fields, about, count=count)


def labelled(place: Path) -> bool | None:
    """Whether what lies at `place`, a file or a folder of files, carries labels of origin; None where there is nothing.

    Each file has exactly one, which speaks of it as it is. Of a folder the first 1,000 files are read, and all must have one.
    """
    if place.is_dir():
        files = sorted(islice((p for p in place.rglob("*") if p.is_file() and not _is_label(p)), MOST))
        return all(map(_has, files)) if files else None
    return _has(place) if place.is_file() else None


def _has(path: Path) -> bool:
    try:
        found = read_label(path)
    except DataError:
        return False
    return found is not None and found.count == 1 and found.intact is not False


def _is_label(path: Path) -> bool:
    return path.name == FOLDER or path.name.endswith(SIDE)


def _record(path: Path) -> Mapping[str, Any] | None:
    """What a label in its own file says; None where that is none."""
    try:
        at = os.lstat(path)
    except (OSError, ValueError):
        return None
    return _read_record(path, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns)


@lru_cache(maxsize=4)  # that of a folder speaks of each of its files
def _read_record(path: Path, *_as_it_is: int) -> Mapping[str, Any] | None:
    record = read_json(path, LARGEST if path.name == FOLDER else ALONE)
    known = isinstance(record, dict) and KEYWORD in record and isinstance(record.get("sha256"), dict)
    known = known and isinstance(record.get("former", {}), dict)
    return record if known and _fields(record) is not None else None


def _fields(record: Mapping[str, Any]) -> dict[str, str] | None:
    return parse(json.dumps({KEYWORD: record[KEYWORD]}))


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
