"""The only way in which made content leaves the server: with the label of its origin."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping

from starlette.background import BackgroundTask
from starlette.responses import Response, StreamingResponse

from karat.provenance.label import KEYWORD, Label

HEADER = "x-karat-label"


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


def header_of(label: Label) -> str:
    """The label on one line of ASCII, as `karat.provenance.label.parse` reads it."""
    return json.dumps({KEYWORD: label.fields(), **label.facts()}, separators=(",", ":"))


def _with(headers: Mapping[str, str] | None, label: Label) -> dict[str, str]:
    if not isinstance(label, Label):
        raise TypeError(f"made content leaves with a Label, and was given {type(label).__name__}")
    return {**({} if headers is None else headers), HEADER: header_of(label)}
