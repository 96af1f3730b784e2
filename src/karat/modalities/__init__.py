"""Kinds of content, one codec each."""

from pathlib import Path

from karat.errors import DataError
from karat.modalities.codec import Codec
from karat.modalities.image import Images, explain

__all__ = ["Codec", "Images", "codec_named", "recognise"]


def recognise(path: Path) -> type[Codec]:
    """The codec that reads `path`; raises DataError saying what was found there and what can be read."""
    if Images.recognises(path):
        return Images
    raise DataError(explain(path))


def codec_named(name: str) -> type[Codec]:
    """The codec whose `name` was saved with a run; raises DataError when this version has none of that name."""
    for codec in (Images,):
        if codec.name == name:
            return codec
    raise DataError(f"this version of karat has no codec for {name!r} content; it was saved by another version.")
