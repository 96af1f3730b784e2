"""What text comes to cost in memory until it is learned from; every reader of it asks before it lays anything out."""

from __future__ import annotations

import sys

from karat import limits

CHARACTER, DOCUMENT, FACET = 30, 320, 240  # bytes that a character, a document and a word beside one come to
BYTE = 12  # and each of the one to four in which Python holds a character, by the widest of a text


def afford(where: object, text: int | str, documents: int = 0, facets: int = 0) -> None:
    """TooLarge where a text, or one of so many bytes, in so many documents, with so many words beside them, does not fit into
    memory.
    """
    size, held = (text, text) if isinstance(text, int) else (len(text), sys.getsizeof(text))
    parts = f" in {documents:,} documents" if documents > 1 else ""
    limits.need(
        float(CHARACTER * size + BYTE * held + DOCUMENT * documents + FACET * facets),
        f"{where} ({limits.words(size)} of text{parts})",
        "Take less of it with --set data.limit=..., in bytes.",
    )
