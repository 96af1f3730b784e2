"""The formats whose files have a place for a label of origin inside, by their suffix: each is one file of `forms`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from karat.provenance.edits import Buffer, Edit, digest, edit_file, edited, mapped
from karat.provenance.forms import (
    columnar,
    database,
    gif,
    jpeg,
    markdown,
    mp3,
    orc,
    page,
    png,
    riff,
    tiff,
    vorbis,
    weights,
    workbook,
    zipped,
)
from karat.provenance.label import Label, Seal, Texts, plain_seal


@dataclass(frozen=True)
class Container:
    """put: edits after which a file has exactly this label, or none.   words: each text of a label in it, by its keyword.

    bare: edits that leave what the digest is of, where that is not the file without its label.
    apart: that a label moves nothing: taken out it leaves the very bytes into which it was put.
    All raise DataError where the bytes are no whole file of the format.
    """

    put: Callable[[Buffer, Texts | None], list[Edit]]
    words: Callable[[Buffer], list[tuple[str, str]]]
    bare: Callable[[Buffer], list[Edit]] | None = None
    apart: bool = False

    def digest(self, data: Buffer) -> str:
        """SHA-256 (hex) of the file without any label: the same before and after one is put in by `write`."""
        return digest(data, self.put(data, None) if self.bare is None else self.bare(data))

    def write(self, data: bytes, label: Label, seal: Seal = plain_seal) -> bytes:
        """The same file with exactly this label, sealed."""
        placed = data
        if not self.apart:
            placed = edited(data, self.put(data, label.texts(seal(label.fields(), "0" * 64))))
        return edited(placed, self.put(placed, label.texts(seal(label.fields(), self.digest(placed)))))

    def write_in(self, file: IO[bytes], label: Label, seal: Seal = plain_seal) -> None:
        """The same for an open file, of which only what changes is written."""
        data = mapped(file)
        edit_file(file, data, self.put(data, label.texts(seal(label.fields(), "0" * 64))))
        data = mapped(file)
        edit_file(file, data, self.put(data, label.texts(seal(label.fields(), self.digest(data)))))


_JPEG, _TIFF = Container(jpeg.put, jpeg.words), Container(tiff.put, tiff.words)
_OGG, _ZIP = Container(vorbis.put_ogg, vorbis.words_ogg), Container(zipped.put, zipped.words)
_ARROW = Container(columnar.put_arrow, columnar.words_arrow)
_SQLITE, _MARKDOWN = Container(database.put, database.words), Container(markdown.put, markdown.words)
CONTAINERS: dict[str, Container] = {
    ".png": Container(png.put, png.words, apart=True),
    **dict.fromkeys((".jpg", ".jpeg"), _JPEG),
    ".webp": Container(riff.put_webp, riff.words_webp),
    **dict.fromkeys((".tif", ".tiff"), _TIFF),
    ".gif": Container(gif.put, gif.words),
    ".wav": Container(riff.put_wav, riff.words_wav),
    ".flac": Container(vorbis.put_flac, vorbis.words_flac),
    **dict.fromkeys((".ogg", ".opus"), _OGG),
    ".mp3": Container(mp3.put, mp3.words),
    ".parquet": Container(columnar.put_parquet, columnar.words_parquet),
    **dict.fromkeys((".feather", ".arrow"), _ARROW),
    ".orc": Container(orc.put, orc.words),
    ".xlsx": Container(workbook.put, workbook.words, workbook.bare),
    **dict.fromkeys((".db", ".sqlite"), _SQLITE),
    **dict.fromkeys((".zip", ".npz"), _ZIP),
    **dict.fromkeys((".md", ".markdown"), _MARKDOWN),
    ".safetensors": Container(weights.put, weights.words),
    ".html": Container(page.put, page.words),
}


def container_of(name: str) -> Container | None:
    """That of a file so named; None where its format has no place for a label, and one lies beside it."""
    return next((found for suffix, found in CONTAINERS.items() if name.lower().endswith(suffix)), None)
