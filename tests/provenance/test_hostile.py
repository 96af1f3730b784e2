"""Files that a stranger has made to stop whoever checks them: no label costs more than its length, and no crash."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import json
import random
import sqlite3
import struct
import sys
import tracemalloc
import zipfile
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
from files import LABEL
from filled import MADE
from PIL import Image
from records import spec

import karat
from karat.errors import DataError, FitError
from karat.provenance import content, records
from karat.provenance.containers import container_of
from karat.provenance.content import content_digest, digest_of_open
from karat.provenance.forms import database, markdown, png, vorbis
from karat.provenance.reading import found_in, read_label
from karat.provenance.signing import Trust, make_key
from karat.provenance.signing.detached import FORM, read_signature
from karat.provenance.sketch import Drawing
from karat.run import Run

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


def test_a_stripe_of_equal_cells_that_would_not_fit_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orc.write_table(pa.table({"a": np.zeros(10_000_000, np.int64)}), str(tmp_path / "a.orc"), compression="zstd")
    assert (tmp_path / "a.orc").stat().st_size < 100_000
    content_digest(tmp_path / "a.orc")
    monkeypatch.setenv("KARAT_MEMORY_GB", "0.01")
    with pytest.raises(DataError, match="a stripe of this ORC file would need"):
        content_digest(tmp_path / "a.orc")


@pytest.mark.parametrize("form", [".zip", ".csv.gz", ".gif"])
def test_what_swells_as_bombs_do_is_read_no_further(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"a{form}"
    if form == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for i in range(4):
                packed.writestr(f"{i}.txt", b"a" * (1 << 20))
    elif form == ".gif":  # pictures of one colour, each packed to a few bytes
        first, *others = [Image.new("P", (500, 500), i) for i in range(8)]
        first.save(path, save_all=True, append_images=others, optimize=False)
    else:
        path.write_bytes(gzip.compress(b"a" * (4 << 20)))
    assert len(content_digest(path)) == 64
    monkeypatch.setattr(content, "SWELLS", 2 << 20)
    with pytest.raises(DataError, match="as bombs do"):
        content_digest(path)


def test_a_picture_that_would_not_fit_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (3000, 3000)).save(tmp_path / "a.png")
    monkeypatch.setenv("KARAT_MEMORY_GB", "0.01")
    with pytest.raises(DataError, match="reading a picture would need"):
        content_digest(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("purpose", "signs", "authority", "trusted"),
    [
        ("EMAIL_PROTECTION", True, False, True),
        ("SERVER_AUTH", True, False, False),
        ("EMAIL_PROTECTION", False, False, False),
    ]
    + [("EMAIL_PROTECTION", True, True, False), (None, True, False, False)],
)
def test_a_certificate_for_something_else_is_not_trusted_whoever_vouches_for_it(
    purpose: str | None, signs: bool, authority: bool, trusted: bool
) -> None:
    x509 = pytest.importorskip("cryptography.x509", reason="signatures want karat[sign]")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    above, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = datetime.now(UTC)

    def certificate(name: str, key: Any, ca: bool, digital: bool, eku: str | None) -> bytes:
        usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
        usage |= {
            "digital_signature": digital,
            "key_cert_sign": ca,
            "crl_sign": ca,
            "encipher_only": False,
            "decipher_only": False,
        }
        subject, issuer = (x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, n)]) for n in (name, "root"))
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        builder = builder.serial_number(7).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
        builder = builder.add_extension(x509.BasicConstraints(ca, None), True).add_extension(
            x509.KeyUsage(**usage), True
        )
        if eku is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([getattr(x509.oid.ExtendedKeyUsageOID, eku)]), False)
        return builder.sign(above, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    root = certificate("root", above, True, True, None)
    leaf = certificate("www.example.org", own, authority, signs, purpose)
    assert Trust(root).vouches(leaf + root, now)[0] is trusted


def test_a_label_that_breaks_lines_says_nothing_in_the_name_of_karat(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    forged = "r/1\n  signature  detected  trusted\rExample Ltd\u2028x\x85y"
    fields = {"Label": "1", "ContentProducer": forged, "ProduceID": forged}
    record = {"AIGC": fields, "sha256": {"a.csv": "0"}, "run": forged, "recipe": forged, "time": forged}
    path.with_name("a.csv.label.json").write_text(json.dumps(record))
    karat.check(path)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("  signature")] == ["  signature          not detected"]
    assert len(lines) == 7  # the file, six techniques less the manifest, the content


@pytest.mark.parametrize("oid", ["2a8648ce3d030107", "2a8648ce3d0201"])  # of the curve, and of the kind of key
def test_a_certificate_of_a_key_that_is_not_known_vouches_for_nothing(oid: str, tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="signatures want karat[sign]")
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    body = make_key("Somebody")["certificates.pem"].decode().split("-----")[2]
    known = bytes.fromhex(oid)
    other = base64.b64decode(body).replace(known, known[:-1] + b"\x63")
    pem = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(other).decode()}-----END CERTIFICATE-----\n"
    says = {"form": FORM, "when": "2026-01-02T03:04:05Z", "certificates": pem, "signature": "AAAA"}
    says["files"] = {"a.csv": {"content": content_digest(path), "label": []}}  # type: ignore[assignment]
    path.with_name("a.csv.signature.json").write_text(json.dumps(says))
    found = read_signature(path, Trust())
    assert found is not None and found.state == "invalid"


def test_a_root_that_is_none_is_named_and_not_the_files_that_are_checked(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="signatures want karat[sign]")
    root = tmp_path / "root.pem"
    root.write_text("nothing of that kind")
    with pytest.raises(FitError, match=r"root.pem, which is to be trusted, holds no certificates"):
        Trust.of([root])


def test_the_label_of_a_folder_is_read_once_for_all_its_files_and_anew_when_it_changes(tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.txt" for i in range(20)]
    for file in files:
        file.write_text("x")
    digests = {file.name: hashlib.sha256(b"x").hexdigest() for file in files}
    label, opened = tmp_path / "label.json", []

    def note(event: str, args: tuple[object, ...]) -> None:
        if event == "open" and str(args[0]) == str(label):
            opened.append(args)

    sys.addaudithook(note)
    for number in ("first", "other"):  # as many bytes
        label.write_text(json.dumps({"AIGC": {"Label": "1", "ProduceID": number}, "sha256": digests}))
        opened.clear()
        found = [read_label(file) for file in files]
        assert [one and (one.fields["ProduceID"], one.intact) for one in found] == [(number, True)] * 20
        assert len(opened) <= 2


def test_records_whose_heads_were_removed_are_checked_too(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", spec())
    forged = run.path / "review" / "decisions.jsonl"
    forged.parent.mkdir()
    forged.write_text('{"verdict": "accept", "reviewer": "", "review": ""}\n' * 10)
    parts = {part.name: part for part in karat.check(run.path).parts}
    assert parts["review/decisions.jsonl"].holds is not True and "not sealed" in parts["review/decisions.jsonl"].says


@pytest.mark.parametrize(
    "column",
    [
        "b AS (hex(zeroblob(4000000)))",  # a cell of 8 MB in a file of 8 kB
        "b AS (length(replace(hex(zeroblob(200000)), '0', '1111111111')))",
    ],
)
def test_a_column_of_a_database_that_is_worked_out_cannot_swell(column: str, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as base:
        base.execute(f"CREATE TABLE t (a, {column})")
        base.executemany("INSERT INTO t (a) VALUES (?)", [(1,), (2,)])
        base.commit()
    tracemalloc.start()
    with pytest.raises(DataError, match="too big"):
        content_digest(tmp_path / "a.db")
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_a_view_without_end_is_not_looked_at_and_a_table_that_takes_no_end_of_steps_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT * FROM c"
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as base:
        base.execute("CREATE TABLE t (a)")
        base.execute(f"CREATE VIEW v AS {endless}")
        base.executemany("INSERT INTO t VALUES (?)", [(i,) for i in range(500)])
        base.commit()
    assert len(content_digest(tmp_path / "a.db")) == 64
    monkeypatch.setattr(database, "STEPS", 1)
    with (
        database.opened((tmp_path / "a.db").read_bytes()) as base,
        pytest.raises(sqlite3.OperationalError, match="interr"),
    ):
        base.execute(endless).fetchall()


def test_the_label_of_one_file_is_no_gigabyte(tmp_path: Path) -> None:
    path, beside = tmp_path / "a.csv", tmp_path / "a.csv.label.json"
    path.write_text("a\n1\n")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    for room, there in ((0, True), (2 << 20, False)):
        record = {"AIGC": {"Label": "1"}, "sha256": {"a.csv": found}, "x": "x" * room}
        beside.write_text(json.dumps(record))
        assert (read_label(path) is not None) is there


@pytest.mark.parametrize(
    "twice", ['{"Label": "1", "ProduceID": "a", "ProduceID": "b"}', '{"Label": "1", "Label": "1"}']
)
def test_a_label_with_a_name_twice_is_none_as_readers_differ_in_which_they_take(twice: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "a.csv.label.json").write_text(f'{{"AIGC": {twice}, "sha256": {{"a.csv": "{found}"}}}}')
    assert read_label(path) is None
    assert found_in([("AIGC", twice)]) is None


def test_a_file_with_two_labels_is_not_called_intact(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    container = container_of("a.flac")
    assert container is not None
    path.write_bytes(container.write(MADE["a.flac"](), LABEL))
    assert karat.check(path).files[0].state == "intact"
    data = path.read_bytes().replace(b"KARAT={", b"AIGC ={", 1).replace(b"AIGC ={", b"AIGC={ ", 1)
    path.write_bytes(data)
    (found,) = karat.check(path).files
    assert found.state == "relabelled" and "2 labels where one is allowed" in found.says


def test_short_lines_of_a_packed_table_are_counted_with_the_work_that_they_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"1\n" * 10_000))
    assert len(content_digest(tmp_path / "a.jsonl.gz")) == 64
    monkeypatch.setattr(content, "SWELLS", 1 << 18)
    with pytest.raises(DataError, match="as bombs do"):
        content_digest(tmp_path / "a.jsonl.gz")


@pytest.mark.parametrize(
    "rows",
    [
        '<row r="999999999"><c r="A999999999"><v>1</v></c></row>',
        "".join(f'<row r="{i}"><c r="XFD{i}"><v>1</v></c></row>' for i in range(1, 90)),
    ],
)
def test_a_cell_far_away_does_not_fill_a_workbook(rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "CELLS", 100_000)
    monkeypatch.setattr(records, "ROWS", 1000)
    book = io.BytesIO()
    openpyxl.Workbook().save(book)
    sheet = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    with zipfile.ZipFile(book) as old, zipfile.ZipFile(tmp_path / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            mine = f"{sheet}{rows}</sheetData></worksheet>".encode()
            new.writestr(entry.filename, mine if entry.filename.endswith("sheet1.xml") else old.read(entry))
    with pytest.raises(DataError, match="as bombs do"):
        content_digest(tmp_path / "a.xlsx")


def frames(n: int) -> bytes:
    """A TIFF of so many directories of one pixel, 122 bytes each."""
    fields = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: 8 + 114 * n, 277: 1, 278: 1, 279: 1}
    out = [b"II*\0\x08\0\0\0"]
    for k in range(1, n + 1):
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
        out.append(struct.pack("<H", len(fields)) + entries + struct.pack("<I", 8 + 114 * k if k < n else 0))
    return b"".join(out) + b"\x80"


def test_a_picture_of_very_many_frames_is_read_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "FRAMES", 50)
    (tmp_path / "a.tif").write_bytes(frames(50))
    content_digest(tmp_path / "a.tif")
    (tmp_path / "a.tif").write_bytes(frames(51))
    with pytest.raises(DataError, match="more than 50 frames, as bombs have"):
        content_digest(tmp_path / "a.tif")


def test_a_jpeg_of_very_many_scans_is_not_decoded(tmp_path: Path) -> None:
    """Each may leave all as it is: four thousand of a picture of 12,000 a side take a minute, and a megabyte."""
    out = io.BytesIO()
    Image.new("L", (64, 64), 128).save(out, "JPEG", progressive=True)
    (tmp_path / "a.jpg").write_bytes(out.getvalue())
    content_digest(tmp_path / "a.jpg")
    empty = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 1, 63, 0)
    (tmp_path / "a.jpg").write_bytes(out.getvalue()[:-2] + empty * 100 + b"\xff\xd9")
    with pytest.raises(DataError, match="scans, as bombs have"):
        content_digest(tmp_path / "a.jpg")


def test_short_cells_of_a_packed_table_are_counted_with_the_work_that_they_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "SWELLS", 10_000_000)
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wb", 9) as file:
        file.write((b"1," * 400 + b"1\n") * 2_000)  # 1.6 MB, of which each cell takes half a microsecond
    with pytest.raises(DataError, match="as bombs do"):
        content_digest(path)


def test_of_a_long_text_no_more_is_drawn_than_tells_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = [f"line {i} of a text that goes on" for i in range(3000)]
    whole, some = Drawing(), Drawing()
    digest_of_open(io.BytesIO("\n".join(text).encode()), "a.txt", whole)
    monkeypatch.setattr(content, "DRAWN", 60_000)
    digest_of_open(io.BytesIO("\n".join(text).encode()), "a.txt", some)
    assert some.text() != whole.text()
    again = Drawing()
    digest_of_open(io.BytesIO("\n".join(["another", *text[10:]]).encode()), "a.txt", again)
    assert (some.sketch().share(again.sketch()) or 0) > 0.8


def test_thousands_of_packed_texts_of_a_picture_are_not_all_unpacked() -> None:
    """A kilobyte each, which unpacks to a megabyte: six of a file's megabytes took more than a hundred seconds."""
    out = io.BytesIO()
    Image.new("L", (1, 1)).save(out, "PNG")
    plain, body = out.getvalue(), b"AIGC\0\0" + zlib.compress(b" " * 1_000_000, 9)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    container = container_of("a.png")
    assert container is not None
    found = container.words(plain[:33] + chunk * 100 + plain[33:])
    assert len(found) == 100 and 1_000_000 < sum(len(text) for _, text in found) <= png.ALL_LIMIT


def test_short_lines_are_looked_at_many_at_once() -> None:
    short = io.BytesIO(b"AIGC:\n" * 200_000)
    assert sum(1 for _ in content.FORMS[".txt"](short)) < 30
    short.seek(0)
    assert sum(1 for _ in content.FORMS[".csv"](short)) < 30


def test_values_of_packed_json_count_for_what_they_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "SWELLS", 1 << 20)
    with gzip.open(tmp_path / "a.jsonl.gz", "wb") as file:
        file.write(b"[" + b"{}," * 100_000 + b"{}]\n")
    with pytest.raises(DataError, match="swells"):
        content.content_digest(tmp_path / "a.jsonl.gz")
