"""Room for a label that whoever writes a large file leaves in it: the label goes in when the rest is there, and in place.

An empty slot holds its keyword and a question mark; spaces, which JSON does not mind, fill what a text leaves of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from karat.errors import DataError
from karat.provenance.edits import Buffer, Edit
from karat.provenance.label import KEYWORD, OWN, Texts

ROOM = 1024  # bytes, or a multiple where a text is longer
KEYS = (KEYWORD, OWN)


def slots(texts: Texts | None = None) -> dict[str, str]:
    """An empty slot for each text of a label."""
    least = {} if texts is None else {key: len(text.encode()) for key, text in texts.entries.items()}
    return {key: _empty(key, -(-max(1, least.get(key, 0)) // ROOM) * ROOM) for key in KEYS}


def fitting(found: Mapping[str, str], texts: Texts | None) -> bool:
    """Whether these slots take the label."""
    entries = {} if texts is None else texts.entries
    return all(len(text.encode()) <= len(found.get(key, "").encode()) for key, text in entries.items())


def fill(data: Buffer, found: Mapping[str, str], texts: Texts | None, begin: int = 0) -> list[Edit]:
    """Edits by which the values `found` in the file, all behind `begin`, become the texts, or empty slots."""
    edits: list[Edit] = []
    entries = {} if texts is None else texts.entries
    for key, value in found.items():
        old = value.encode()
        new = entries[key].encode().ljust(len(old)) if key in entries else _empty(key, len(old)).encode()
        at = data.find(old, begin)
        if at < 0:
            raise DataError(f"the value {key} of this file does not stand in it in one piece. Write the file anew.")
        while at >= 0:
            edits.append((at, at + len(old), new))
            at = data.find(old, at + len(old))
    return sorted(edits)


def words(found: Mapping[str, str]) -> list[tuple[str, str]]:
    """The texts in these slots; an empty one holds none."""
    texts = [(key, found.get(key, "").strip()) for key in KEYS]
    return [(key, text) for key, text in texts if text and text != f"{key}?"]


def _empty(key: str, size: int) -> str:
    return f"{key}?".ljust(size)[:size]
