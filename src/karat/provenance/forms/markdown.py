"""Markdown: the label stands in front matter, seven keys under `AIGC` (TC260-PG-20258A), and what else is known under `KARAT`."""

from __future__ import annotations

import codecs
import json
import re

from karat.errors import DataError
from karat.provenance.edits import Buffer, Edit
from karat.provenance.label import KEYWORD, OWN, Texts

MOST = 1 << 16  # bytes of front matter
FRONT = re.compile(rb"\A(?:\xef\xbb\xbf)?---\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"^(AIGC|KARAT):[ \t]*\r?\n((?:[ \t]+.*(?:\r?\n|\Z))*)", re.MULTILINE)
LINE = re.compile(r'^[ \t]+([\w-]+):[ \t]*("(?:[^"\\]|\\.)*"|[^\r\n]*)$', re.MULTILINE)


def put(data: Buffer, texts: Texts | None) -> list[Edit]:
    """Edits after which the text has exactly this label, or none; DataError where `data` is no text in UTF-8."""
    end, front = _front(data)
    kept = BLOCK.sub("", front)
    if texts is not None:
        kept += "".join(_block(key, text) for key, text in texts.entries.items())
    return [(0, end, f"---\n{kept}---\n".encode() if kept else b"")]


def words(data: Buffer) -> list[tuple[str, str]]:
    """Each text of a label, by its keyword; DataError where `data` is no text in UTF-8."""
    return [
        (match[1], json.dumps({key: _value(value) for key, value in LINE.findall(match[2])}, separators=(",", ":")))
        for match in BLOCK.finditer(_front(data)[1])
    ]


def _front(data: Buffer) -> tuple[int, str]:
    """Where the front matter ends, and what it holds; 0 and nothing where there is none."""
    head = data[:MOST]
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # which may end inside a character
    except UnicodeDecodeError as error:
        raise DataError(f"this is no text in UTF-8 (byte {error.start:,}). Save it as UTF-8.") from None
    match = FRONT.match(head)
    return (match.end(), match[1].decode(errors="replace")) if match else (0, "")


def _block(key: str, text: str) -> str:
    assert key in (KEYWORD, OWN)
    return f"{key}:\n" + "".join(f"  {name}: {json.dumps(value)}\n" for name, value in json.loads(text).items())


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text.rstrip()
