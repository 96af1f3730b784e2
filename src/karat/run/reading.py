"""JSON and lines of JSON, read with limits."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from karat.errors import RunError

RECORD_MOST, LINE_MOST = 1 << 26, 1 << 20  # bytes of karat.json, of a line


def open_beside(path: Path, flags: int) -> Any:
    """`path` opened as bytes, private to its owner if it is new; a link is not followed."""
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    return os.fdopen(handle, "ab" if flags & os.O_APPEND else "wb")


def read_json(file: Path, most: int) -> Any:
    """The JSON in a file of at most `most` bytes; RunError where it is damaged."""
    try:
        if file.stat().st_size > most:
            raise RunError(f"{file} is damaged: {file.stat().st_size:,} bytes, and at most {most:,} were wanted.")
        blob = file.read_bytes()
    except OSError as error:
        raise RunError(f"{file} cannot be read: {error.strerror}.") from None
    return parse(blob, file, finite=True)


def parse(blob: bytes, file: Path, finite: bool = False) -> Any:
    """The JSON that `blob`, read from `file`, holds; RunError where it is damaged, or not finite and that is wanted."""
    try:
        return json.loads(blob.decode("utf-8"), parse_constant=_refuse_constant if finite else None)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{file} is damaged ({error}); restore it from a copy, or train anew.") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file without their ends, none where there is no file; what is longer than `LINE_MOST` is left out."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        complete = True
        while line := file.readline(LINE_MOST):
            ended = line.endswith(b"\n")
            if complete and (ended or len(line) < LINE_MOST):
                yield line.rstrip(b"\n")
            complete = ended
