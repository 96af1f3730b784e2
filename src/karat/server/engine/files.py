"""Files of what was drawn, in memory, each with its label."""

from __future__ import annotations

import hashlib
import io
import mimetypes
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from karat.content.codec import Delivery
from karat.content.table.formulas import Guard
from karat.provenance.containers import container_of
from karat.provenance.label import Label
from karat.server.engine.drawn import Drawn, File
from karat.workflow import making

TYPES = {  # beside those that Python knows
    ".jsonl": "application/jsonl",
    ".parquet": "application/vnd.apache.parquet",
    ".feather": "application/vnd.apache.arrow.file",
    ".orc": "application/vnd.apache.orc",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".webp": "image/webp",
    ".npy": "application/octet-stream",
    ".npz": "application/zip",
}


def files(drawn: Drawn, form: str) -> tuple[File, ...]:
    """As `Engine.answer`."""
    codec, label = drawn.codec, drawn.label
    origin, visible = making.Labelling(label), making.visible_of(drawn.options, codec, label)
    how = Delivery(drawn.request.n, origin, Guard(drawn.options.safe_cells), drawn.classes, visible=visible)
    if form in codec.each:
        leaves = codec.leaves(iter(drawn.blocks), replace(how, form=form), lambda _: False)
        digests = iter(() if visible else _digests(drawn, form))
        return tuple(
            _file(name, origin.mark(name, blob), origin.numbered(name), next(digests, "")) for name, blob in leaves
        )
    file = io.BytesIO()
    codec.stream(iter(drawn.blocks), form, file, how)
    blob, container = file.getvalue(), container_of(form)
    return (_file(f"made{form}", blob if container is None else container.write(blob, label), label),)


def _digests(drawn: Drawn, form: str) -> Iterator[str]:
    """`content_digest` of the file of each record, as far as the codec knows it without reading the file again."""
    for block in drawn.blocks:
        held = drawn.codec.held(block.records, form)
        if held is None:
            return
        yield from (hashlib.sha256(each).hexdigest() for each in held)


def _file(name: str, blob: bytes, label: Label, digest: str = "") -> File:
    return File(name, blob, label, _type(name.rpartition(".")[2]), digest)


@cache
def _type(suffix: str) -> str:
    return TYPES.get(f".{suffix}") or mimetypes.guess_type(f"x.{suffix}")[0] or "application/octet-stream"
