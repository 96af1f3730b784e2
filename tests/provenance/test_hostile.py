"""Files that a stranger has made to stop whoever checks them: no label costs more than its length, and no crash."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filled import MADE

from karat.errors import DataError
from karat.provenance import content
from karat.provenance.containers import container_of
from karat.provenance.content import content_digest, digest_of_open
from karat.provenance.forms import markdown, vorbis
from karat.provenance.reading import found_in, read_label

MANY = 80_000


def test_a_picture_whose_text_opens_many_labels_is_read() -> None:
    plain = MADE["a.png"]()
    body = b"XML:com.adobe.xmp\0\0\0\0\0" + b"<TC260:AIGC>" * MANY
    chunk = struct.pack(">I", len(body)) + b"iTXt" + body + struct.pack(">I", zlib.crc32(b"iTXt" + body))
    container = container_of("a.png")
    assert container is not None and found_in(container.words(plain[:33] + chunk + plain[33:])) is None


def test_front_matter_of_blanks_is_read_once() -> None:
    page = b"---\nAIGC:\n  Label: x" + b" " * 60_000 + b"y \n---\nhello\n"
    ((key, text),) = markdown.words(page)
    assert key == "AIGC" and json.loads(text)["Label"] == "x" + " " * 60_000 + "y"


def test_a_comment_of_millions_of_bytes_is_put_together_once(tmp_path: Path) -> None:
    size = 2_000_000
    comments = vorbis.VORBIS + struct.pack("<III", 0, 1, size) + b"A" * size + b"\1"
    first = b"OggS\0" + struct.pack("<BqIIIB", 2, 0, 7, 0, 0, 1) + bytes([30]) + b"\x01vorbis" + b"\0" * 23
    path = tmp_path / "a.ogg"
    path.write_bytes(vorbis._sealed(first) + b"".join(vorbis._paged([comments, b"\x05vorbis"], 7)))
    assert read_label(path) is None
    assert len(content_digest(path)) == 64


@pytest.mark.parametrize("offset", ["1e999", "NaN", "null", "[1]"])
def test_weights_that_lie_nowhere_are_none(offset: str) -> None:
    head = f'{{"a": {{"data_offsets": [0, {offset}]}}}}'.encode()
    container = container_of("a.safetensors")
    assert container is not None
    with pytest.raises(DataError, match="says nothing of where"):
        container.words(struct.pack("<Q", len(head)) + head)


def test_a_line_that_unpacks_to_gigabytes_is_not_held() -> None:
    packed = gzip.compress(b"a" * (64 << 20), 1)
    tracemalloc.start()
    found = digest_of_open(io.BytesIO(packed), "a.csv.gz")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == hashlib.sha256(b"a" * (64 << 20) + b"\n").hexdigest()
    assert peak < 16 << 20


def test_lines_longer_than_a_block_have_the_digest_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(0)
    texts = ["".join(draw.choice("ab\r\n") for _ in range(draw.randrange(30))).encode() for _ in range(300)]
    whole = [digest_of_open(io.BytesIO(text), "a.txt") for text in texts]
    for size in (1, 2, 3, 7):
        monkeypatch.setattr(content, "BLOCK", size)
        assert [digest_of_open(io.BytesIO(text), "a.txt") for text in texts] == whole


def test_one_long_text_in_every_row_is_not_unpacked_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    cells = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array(["x" * 10_000]))
    pq.write_table(pa.table({"a": cells}), path, store_schema=False)
    usual = pa.default_memory_pool()
    counted = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(counted)
    try:
        content_digest(path)
    finally:
        pa.set_memory_pool(usual)
    peak = counted.max_memory()
    assert peak is not None and peak < 150 << 20  # of 200 MB of text, twice


def test_an_array_that_would_not_fit_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (10_000_000,)})
    monkeypatch.setenv("KARAT_MEMORY_GB", "0.01")
    with pytest.raises(DataError, match="reading an array would need"):
        digest_of_open(io.BytesIO(head.getvalue() + b"\0" * 100), "a.npy")
