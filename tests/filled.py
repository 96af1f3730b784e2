"""A small file of every form that has a place for a label, as others write it: without one."""

from __future__ import annotations

import functools
import io
import sqlite3
from collections.abc import Callable

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.orc as orc
import pyarrow.parquet as pq
import safetensors.numpy
import soundfile
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (19, 23, 3), np.uint8)
WAVE = (np.sin(np.arange(6000) / 20) / 2).astype(np.float32)
ROWS = pa.table({"a": list(range(100)), "b": ["x", "y"] * 50})


def picture(form: str, **how: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, form, **how)
    return out.getvalue()


def sound(form: str, depth: str) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, WAVE, 16_000, format=form, subtype=depth)
    return out.getvalue()


def columns(write: Callable[..., object], **how: object) -> bytes:
    out = io.BytesIO()
    write(ROWS, out, **how)
    return out.getvalue()


def workbook() -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    for row in ROWS.to_pylist():
        book.active.append(list(row.values()))
    book.save(out)
    return out.getvalue()


def database() -> bytes:
    base = sqlite3.connect(":memory:")
    base.execute("CREATE TABLE t (a INTEGER, b TEXT)")
    base.executemany("INSERT INTO t VALUES (?, ?)", [tuple(row.values()) for row in ROWS.to_pylist()])
    base.commit()
    return base.serialize()


def arrays() -> bytes:
    out = io.BytesIO()
    np.savez(out, a=PIXELS)
    return out.getvalue()


FORMS: dict[str, Callable[[], bytes]] = {
    "a.png": lambda: picture("PNG"),
    "a.jpg": lambda: picture("JPEG"),
    "a.webp": lambda: picture("WEBP"),
    "lossless.webp": lambda: picture("WEBP", lossless=True),
    "a.tif": lambda: picture("TIFF"),
    "a.gif": lambda: picture("GIF"),
    "a.wav": lambda: sound("WAV", "PCM_16"),
    "float.wav": lambda: sound("WAV", "FLOAT"),
    "a.flac": lambda: sound("FLAC", "PCM_16"),
    "a.ogg": lambda: sound("OGG", "VORBIS"),
    "a.opus": lambda: sound("OGG", "OPUS"),
    "a.mp3": lambda: sound("MP3", "MPEG_LAYER_III"),
    "a.parquet": lambda: columns(pq.write_table),
    "a.feather": lambda: columns(feather.write_feather),
    "a.orc": lambda: columns(orc.write_table),
    "packed.orc": lambda: columns(orc.write_table, compression="zlib"),
    "a.xlsx": workbook,
    "a.db": database,
    "a.npz": arrays,
    "a.zip": arrays,
    "a.md": lambda: "---\ntitle: Grüße\n---\n# Hello\n\ntext\n".encode(),
    "a.safetensors": lambda: safetensors.numpy.save({"a": PIXELS.astype(np.float32)}),
    "a.html": lambda: b"<!doctype html>\n<html><head><title>x</title></head><body></body></html>",
}


MADE = {name: functools.cache(make) for name, make in FORMS.items()}  # a workbook holds the moment


def read(name: str, blob: bytes) -> object:
    """What the file holds, by the library that reads it; comparable."""
    suffix = name.rpartition(".")[2]
    if suffix in ("png", "jpg", "webp", "tif", "gif"):
        with Image.open(io.BytesIO(blob)) as opened:
            return np.asarray(opened.convert("RGB")).tobytes()
    if suffix in ("wav", "flac", "ogg", "opus", "mp3"):
        return soundfile.read(io.BytesIO(blob))[0].tobytes()
    if suffix == "parquet":
        return pq.read_table(io.BytesIO(blob)).to_pydict()
    if suffix == "feather":
        return feather.read_table(io.BytesIO(blob)).to_pydict()
    if suffix == "orc":
        return orc.read_table(io.BytesIO(blob)).to_pydict()
    if suffix == "xlsx":
        return [[cell.value for cell in row] for row in openpyxl.load_workbook(io.BytesIO(blob)).active.rows]
    if suffix == "db":
        base = sqlite3.connect(":memory:")
        base.deserialize(blob)
        return base.execute("PRAGMA integrity_check").fetchall() + base.execute("SELECT * FROM t").fetchall()
    if suffix in ("npz", "zip"):
        with np.load(io.BytesIO(blob)) as box:
            return {key: box[key].tobytes() for key in box}
    if suffix == "safetensors":
        return {key: value.tobytes() for key, value in safetensors.numpy.load(blob).items()}
    return blob.partition(b"Hello")[2] if suffix == "md" else blob.partition(b"<title>")[2]
