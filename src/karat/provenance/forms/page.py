"""HTML: the label stands in `meta` elements of the head, by their names."""

from __future__ import annotations

import html
import re

from karat.errors import DataError
from karat.provenance.edits import Buffer, Edit
from karat.provenance.label import Texts

HEAD = re.compile(rb"<head\b[^>]*>", re.IGNORECASE)
END = re.compile(rb"</html>\s*\Z", re.IGNORECASE)
META = re.compile(rb'<meta name="(AIGC|KARAT)" content="([^"]*)">\n?')
SEARCHED = 1 << 16  # bytes in which the head begins, and in which labels stand


def put(data: Buffer, texts: Texts | None) -> list[Edit]:
    """Edits after which the page has exactly this label, or none; DataError where `data` is no whole page."""
    first = _head(data)
    edits: list[Edit] = [(m.start(), m.end(), b"") for m in META.finditer(data[:SEARCHED])]
    entries = {} if texts is None else texts.entries
    new = "".join(f'<meta name="{key}" content="{html.escape(text)}">\n' for key, text in entries.items())
    return sorted([(first, first, new.encode()), *edits])


def words(data: Buffer) -> list[tuple[str, str]]:
    """Each text of a label, by its keyword; DataError where `data` is no whole page."""
    _head(data)
    found = META.findall(data[:SEARCHED])
    return [(key.decode(), html.unescape(text.decode(errors="replace"))) for key, text in found]


def _head(data: Buffer) -> int:
    found = HEAD.search(data[:SEARCHED])
    if found is None or END.search(data[-64:]) is None:
        raise DataError("this is no whole page: it has no head or no end. Write or copy it again.")
    return found.end()
