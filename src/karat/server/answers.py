"""The only way in which made content leaves the server: with the label of its origin."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response, StreamingResponse

from karat.provenance.label import KEYWORD, Label
from karat.provenance.reading import read_label
from karat.server.problems import Problem

HEADER = "x-karat-label"
LOOKED_AT = 8  # files of a folder, among which one has its label


class Labelled(Response):
    """Made content, whole: a file, or JSON that holds some. It says its label in `x-karat-label` too.

    TypeError where there is no label.
    """

    def __init__(
        self,
        content: bytes,
        label: Label,
        media_type: str,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        super().__init__(content, status_code, _with(headers, label), media_type, background)


class LabelledAgain(Response):
    """What was made before, or a part of it: `content`, with the label that the file or folder of made files at `place` carries.

    Problem (404) where it carries none.
    """

    def __init__(self, content: bytes, place: Path, media_type: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(content, 200, {**({} if headers is None else headers), HEADER: header_at(place)}, media_type)


class LabelledStream(StreamingResponse):
    """Made content while it comes. TypeError where there is no label."""

    def __init__(
        self,
        content: AsyncIterator[bytes],
        label: Label,
        media_type: str,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        super().__init__(content, status_code, _with(headers, label), media_type, background)


class LabelledFile(FileResponse):
    """A file that was made before, to be saved under its name. Problem (404) where it carries no label."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, 200, {HEADER: header_at(path)}, "application/octet-stream", filename=path.name)


def header_at(place: Path) -> str:
    """The same of the label that a file, or a folder of made files, carries; Problem (404) where it carries none."""
    return _header_at(place, place.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _header_at(place: Path, _changed: int) -> str:
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())[:LOOKED_AT]
    found = next((label for label in map(read_label, files) if label is not None), None)
    if found is None:
        raise Problem(404, "no_label", f"{place.name} carries no label of origin, and leaves only with one.")
    return json.dumps({KEYWORD: found.fields, **found.about}, separators=(",", ":"))


def header_of(label: Label) -> str:
    """The label on one line of ASCII, as `karat.provenance.label.parse` reads it."""
    return json.dumps({KEYWORD: label.fields(), **label.facts()}, separators=(",", ":"))


def _with(headers: Mapping[str, str] | None, label: Label) -> dict[str, str]:
    if not isinstance(label, Label):
        raise TypeError(f"made content leaves with a Label, and was given {type(label).__name__}")
    return {**({} if headers is None else headers), HEADER: header_of(label)}
