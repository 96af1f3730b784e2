"""Zip and npz: the label stands in the comment of the archive (APPNOTE.TXT, 4.3.16), so that its entries stay as they are."""

from __future__ import annotations

import json
import re
import struct

from karat.errors import DataError
from karat.provenance.edits import Buffer, Edit
from karat.provenance.label import KEYWORD, OWN, Texts

END, MOST = 22, 0xFFFF  # bytes of the record at the end, and most that a comment may take
OURS = re.compile(rb'\n?\{"(?:AIGC|KARAT)":.*\}\Z', re.DOTALL)


def put(data: Buffer, texts: Texts | None) -> list[Edit]:
    """Edits after which the archive has exactly this label, or none; DataError where `data` is no whole zip."""
    at, comment = _comment(data)
    kept = OURS.sub(b"", comment)
    if texts is not None:
        ours = json.dumps({key: json.loads(text) for key, text in texts.entries.items()}, separators=(",", ":"))
        kept += (b"\n" if kept else b"") + ours.encode()
    if len(kept) > MOST:
        raise DataError(f"the comment of this zip would take {len(kept):,} bytes; it has {MOST:,}. Take some out.")
    return [(at + END - 2, len(data), struct.pack("<H", len(kept)) + kept)]


def words(data: Buffer) -> list[tuple[str, str]]:
    """Each text of a label, by its keyword; DataError where `data` is no whole zip."""
    ours = OURS.search(_comment(data)[1])
    try:
        found = json.loads(ours[0]) if ours else {}
    except (ValueError, RecursionError):
        return []
    return [(key, json.dumps(found[key], separators=(",", ":"))) for key in (KEYWORD, OWN) if key in found]


def _comment(data: Buffer) -> tuple[int, bytes]:
    """Where the record at the end begins, and the comment."""
    low = max(0, len(data) - END - MOST)
    tail = data[low:]
    at = tail.rfind(b"PK\5\6")
    while at >= 0:
        if at + END <= len(tail):
            size, start, length = struct.unpack_from("<IIH", tail, at + 12)
            whole = start == 0xFFFFFFFF or start + size <= low + at
            if at + END + length == len(tail) and whole:
                return low + at, tail[at + END :]
        at = tail.rfind(b"PK\5\6", 0, at)
    raise DataError("this is not a whole zip: it has no directory at its end. Make or copy it again.")
