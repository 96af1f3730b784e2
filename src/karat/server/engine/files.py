"""Files of what was drawn, in memory, each with its label."""

from __future__ import annotations

import io
import mimetypes
from dataclasses import replace

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
        return tuple(_file(name, origin.mark(name, blob), origin.numbered(name)) for name, blob in leaves)
    file = io.BytesIO()
    codec.stream(iter(drawn.blocks), form, file, how)
    blob, container = file.getvalue(), container_of(form)
    return (_file(f"made{form}", blob if container is None else container.write(blob, label), label),)


def _file(name: str, blob: bytes, label: Label) -> File:
    known = next((kind for suffix, kind in TYPES.items() if name.endswith(suffix)), None)
    return File(name, blob, label, known or mimetypes.guess_type(name)[0] or "application/octet-stream")
