"""Names of files: safe everywhere whatever a stranger chose, and those that a label and an unfinished folder have."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence

from karat.provenance.files import digest_of as digest_of
from karat.provenance.files import read_json as read_json

BESIDE = ".label.json"  # behind the name of a file whose label lies beside it
INSIDE = "label.json"  # in a folder of made files
STAGE = ".unfinished"  # in a folder: what is made for it, until all is there
LONGEST = 200  # bytes of a name, so that what is put behind it still fits into 255
DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|clock\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\.|$)", re.IGNORECASE)


def file_name(text: str, most: int = LONGEST) -> str:
    """A file's name from text that a stranger may have chosen: no path, nothing hidden, valid everywhere.

    Separators, control and bidirectional characters and what Windows forbids become "_"; a name that is too long is cut, with
    a hash of all of it behind.   most: bytes of UTF-8.
    """
    plain = unicodedata.normalize("NFC", text)
    plain = "".join("_" if c in '/\\:*?"<>|' or unicodedata.category(c) in UNSAFE else c for c in plain)
    plain = plain.strip(" ").rstrip(". ")
    plain = re.sub(r"^[.\-~\s]+", lambda found: "_" * len(found[0]), plain)
    if not plain:
        plain = "_"
    if DEVICES.match(plain):
        plain = f"_{plain}"
    if len(plain.encode()) > most:
        mark = "-" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        plain = plain.encode()[: most - len(mark)].decode("utf-8", "ignore").rstrip(". ") + mark
    return plain


UNSAFE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # of Unicode's categories


def file_names(texts: Sequence[str], reserved: Sequence[str] = (INSIDE, STAGE)) -> dict[str, str]:
    """A name for each text, no two alike where a file system looks at neither case nor composition."""
    taken = {_folded(name) for name in reserved}
    out: dict[str, str] = {}
    for text in dict.fromkeys(texts):
        name, k = file_name(text), 1
        while _folded(name) in taken:
            k += 1
            name = f"{file_name(text, LONGEST - 8)}-{k}"
        taken.add(_folded(name))
        out[text] = name
    return out


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
