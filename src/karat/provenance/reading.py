"""Whether made files carry their label of origin: read back from the files themselves, not believed."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

from karat.errors import DataError
from karat.provenance import columnar
from karat.provenance.containers import CONTAINERS
from karat.provenance.files import digest_of, read_json
from karat.provenance.label import KEYWORD, parse

SIDE, FOLDER = ".label.json", "label.json"
MOST = 1000  # files of a folder that are read


def labelled(place: Path) -> bool | None:
    """Whether what lies at `place`, a file or a folder of files, carries labels of origin; None where there is nothing.

    A file carries its label inside, or has it beside in a `.label.json` (of a folder: `label.json`) that names its SHA-256.
    Of a folder the first 1,000 files are read, and all must have one.
    """
    if place.is_dir():
        files = sorted(islice((p for p in place.rglob("*") if p.is_file() and not _is_label(p)), MOST))
        folder = _record(place / FOLDER)
        return all(_has(p, folder, p.relative_to(place).as_posix()) for p in files) if files else None
    return _has(place, None, place.name) if place.is_file() else None


def _is_label(path: Path) -> bool:
    return path.name == FOLDER or path.name.endswith(SIDE)


def _has(path: Path, folder: dict[str, str] | None, name: str) -> bool:
    container = CONTAINERS.get(path.suffix.lower())
    if container is not None:
        try:
            return container.read(path.read_bytes()) is not None
        except DataError:
            return False
    beside = _record(path.with_name(path.name + SIDE)) or {}
    wanted = beside.get(path.name) or (folder or {}).get(name)
    if wanted is not None and wanted == digest_of(path):
        return True
    return path.suffix.lower() in columnar.SUFFIXES and columnar.read_label(path) is not None


def _record(path: Path) -> dict[str, str] | None:
    """The SHA-256 by name that a label in its own file speaks of; None where that is no label."""
    record = read_json(path)
    if (
        not isinstance(record, dict)
        or KEYWORD not in record
        or parse(json.dumps(record)) is None
        or not isinstance(record.get("sha256"), dict)
    ):
        return None
    return {str(k): str(v) for k, v in record["sha256"].items()}
