"""Kinds of content, one codec each.

The five of the install may take each other's files, so the order in which they are asked is written down here. Any other
package in this folder is found by itself: it exports `CODEC`, is asked before them, and must recognise only what is its own.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

from karat.content import signatures
from karat.content.audio.sounds import Sounds
from karat.content.codec import Codec
from karat.content.image.images import Images, explain
from karat.content.image.picture import SUFFIXES as PICTURES
from karat.content.relational.related import Related
from karat.content.table.tables import Tables
from karat.content.text.reading import mostly_code
from karat.content.text.texts import Texts
from karat.errors import DataError, FitError, UnsafeFile

__all__ = ["Codec", "Images", "Related", "Sounds", "Tables", "Texts", "codec_named", "recognise"]

OURS = {"audio", "image", "relational", "table", "text"}  # packages of the codecs below
TABLES = (
    "a table: .csv, .tsv, .json, .jsonl (perhaps packed), .parquet, .feather, .orc, .xlsx, a folder of them, a database file or "
    "postgresql:// address"
)
SOUNDS = "sounds: .wav, .flac, .ogg, .mp3, .aiff, a folder or a .zip of them, or a long one"
TEXTS = "text: .txt, .md, .log, .jsonl, source code, a folder of them, or a table with --set data.text=COLUMN"


def found() -> tuple[type[Codec], ...]:
    """`CODEC` of every package in this folder that is none of ours."""
    names = sorted(each.name for each in pkgutil.iter_modules(__path__) if each.ispkg and each.name not in OURS)
    return tuple(importlib.import_module(f"{__name__}.{name}").CODEC for name in names)


def recognise(source: Any, options: Mapping[str, Any] | None = None) -> type[Codec]:
    """The codec that reads a path, a database's address or a data frame with these options; pictures first.

    Raises DataError saying what was found there and what can be read.
    """
    kind = (options or {}).get("as")
    if kind not in (None, "table", "text"):
        raise FitError(f"data.as={kind}; table or text was wanted.")
    if isinstance(source, Path) and kind is None:
        for codec in found():
            if codec.recognises(source):
                return codec
    if kind == "table" and isinstance(source, Path) and source.is_file():
        return Tables
    if (Texts.names_text(options) or kind == "text") and Texts.recognises(source, options):
        return Texts
    if Related.recognises(source, options):
        return Related
    if isinstance(source, Path):
        if not source.exists() and str(source) != "digits":
            raise DataError(f"{source} does not exist{_near(source)} `karat look --help` says what can be read.")
        # A file that pictures would take is a table where it says so itself: a Parquet without a column of pictures.
        if Tables.recognises(source):
            return Tables
        if source.is_dir() and mostly_code(source):  # and not the logo beside it
            return Texts
        if Sounds.recognises(source):
            return Sounds
        if Images.recognises(source):
            return Images
        if Texts.recognises(source, options):
            return Texts
        lonely = source.suffix.lower() in PICTURES  # one picture of a kind that is read
        strange = signatures.of_file(source) if source.is_file() and not lonely else None
        if strange is not None:
            raise (UnsafeFile if strange.unsafe else DataError)(f"{source} is {strange.what}; {strange.cure}.")
        raise DataError(f"{explain(source).removesuffix('.')}; or {TABLES}; or {TEXTS}; or {SOUNDS}.")
    if Tables.recognises(source):
        return Tables
    raise DataError(f"{str(source)[:80]!r} ({type(source).__name__}) is no content that can be read. Wanted: {TABLES}.")


def _near(path: Path) -> str:
    """What beside a `path` that is not there is named nearly so."""
    with suppress(OSError):
        near = get_close_matches(path.name, (each.name for each in islice(path.parent.iterdir(), 10_000)), 1)
        return f"; did you mean {str(path.with_name(near[0]))!r}?" if near else "."
    return "."


def codec_named(name: str) -> type[Codec]:
    """The codec whose `name` was saved with a run; raises DataError when this version has none of that name."""
    codecs: tuple[type[Codec], ...] = (Images, Tables, Related, Texts, Sounds, *found())
    for codec in codecs:
        if codec.name == name:
            return codec
    raise DataError(f"this version of karat has no codec for {name!r} content; it was saved by another version.")
