"""Kinds of content, one codec each.

The five of the install may take each other's files, so the order in which they are tried is written down here. Any other
package in this folder is found by itself: it exports `CODEC`, is tried before them, and must recognise only what is its own.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
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


def _is_path(source: Any) -> bool:
    return isinstance(source, Path)


# Which codec takes what, in the order in which they are tried. Of a path they are tried behind those that are `found`.
Test = Callable[[Any, Mapping[str, Any]], bool]
ORDER: tuple[tuple[type[Codec], Test], ...] = (
    (Tables, lambda source, options: options.get("as") == "table" and _is_path(source) and source.is_file()),
    (Texts, lambda source, options: Texts.names_text(options) and Texts.recognises(source, options)),
    (Related, Related.recognises),
    # A file that pictures would take is a table where it says so itself: a Parquet without a column of pictures.
    (Tables, lambda source, _: Tables.recognises(source)),
    (
        Texts,
        lambda source, _: _is_path(source) and source.is_dir() and mostly_code(source),
    ),  # and not the logo beside it
    (Sounds, lambda source, _: _is_path(source) and Sounds.recognises(source)),
    (Images, lambda source, _: _is_path(source) and Images.recognises(source)),
    (Texts, Texts.recognises),
)


def recognise(source: Any, options: Mapping[str, Any] | None = None) -> type[Codec]:
    """The codec that reads a path, a database's address or a data frame with these options.

    Raises DataError saying what was found there and what can be read, FitError where `as` is neither table nor text.
    """
    options = options or {}
    kind = options.get("as")
    if kind not in (None, "table", "text"):
        raise FitError(f"data.as={kind}; table or text was wanted.")
    if _is_path(source) and kind is None:
        for codec in found():
            if codec.recognises(source):
                return codec
    for codec, takes in ORDER:
        if takes(source, options):
            return codec
    raise _unreadable(source)


def _unreadable(source: Any) -> DataError:
    """What is wrong with a source that no codec takes."""
    if not isinstance(source, Path):
        return DataError(
            f"{str(source)[:80]!r} ({type(source).__name__}) is no content that can be read. Wanted: {TABLES}."
        )
    if not source.exists():
        return DataError(f"{source} does not exist{_near(source)} `karat look --help` says what can be read.")
    lone = source.suffix.lower() in PICTURES  # one picture of a kind that is read
    signature = signatures.of_file(source) if source.is_file() and not lone else None
    if signature is not None:
        return (UnsafeFile if signature.unsafe else DataError)(f"{source} is {signature.what}; {signature.cure}.")
    return DataError(f"{explain(source).removesuffix('.')}; or {TABLES}; or {TEXTS}; or {SOUNDS}.")


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
