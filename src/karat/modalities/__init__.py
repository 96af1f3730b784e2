"""Kinds of content, one codec each."""

from pathlib import Path

from karat.errors import DataError
from karat.modalities.codec import Codec
from karat.modalities.image import Images, explain

__all__ = ["Codec", "Images", "recognise"]


def recognise(path: Path) -> type[Codec]:
    """The codec that reads `path`; raises DataError saying what was found there and what can be read."""
    if Images.recognises(path):
        return Images
    raise DataError(explain(path))
