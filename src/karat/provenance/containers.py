"""The formats whose files have a place for a label of origin inside, by their suffix: each is one file of this folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from karat.provenance import png, wav
from karat.provenance.label import Label


@dataclass(frozen=True)
class Container:
    """write: the same file with exactly this label.   read: the fields of its label, None where it has none.

    Both raise DataError where the bytes are no whole file of the format.
    """

    write: Callable[[bytes, Label], bytes]
    read: Callable[[bytes], dict[str, str] | None]


CONTAINERS: dict[str, Container] = {
    ".png": Container(png.label_png, png.read_label),
    ".wav": Container(wav.label_wav, wav.read_label),
}
