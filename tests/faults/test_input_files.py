"""Stranger's files as input (R18, R19, R20, S1, S4, S5): read or refused in words, and never at a cost beyond their means."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
from PIL import Image

from karat.content import recognise
from karat.content.image import arrays
from karat.content.table.io.sources import open_table
from karat.errors import DataError, KaratError, TooLarge, UnsafeFile

BUDGET = 0.15  # GB that are said to be available
ROWS = 5 * 10**6
SLACK = 200  # MB that the interpreter, decoders and what is freed late may take beside


def read(path: Path, options: dict[str, object] | None = None) -> object:
    """What the content that recognises the path makes of it."""
    return recognise(path, options).read(path, options or {})


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, body: bytes, *extra: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + chunk(b"IDAT", zlib.compress(body, 9)) + chunk(b"IEND", b"")


def small_png() -> bytes:
    return png(8, 8, b"\0" * 72)


def wav(rate: int, count: int, said: int) -> bytes:
    data = b"\0\1" * count
    return (
        b"RIFF"
        + struct.pack("<I", min(said + 36, 2**32 - 1))
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
        + b"data"
        + struct.pack("<I", said)
        + data
    )


def zeros(table: dict[str, int]) -> pa.Table:
    return pa.table({name: pa.array(np.zeros(rows, np.int64)) for name, rows in table.items()})


def repeated(path: Path) -> None:
    big = pa.DictionaryArray.from_arrays(pa.array(np.zeros(20_000, np.int32)), pa.array(["x" * 50_000]))
    pq.write_table(pa.table({"s": big}), path, store_schema=False)


def many_zips(path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.csv", bytes(10**7))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(16):
            archive.writestr(f"{i}.zip", inner.getvalue())


def rows_gz(path: Path) -> None:
    with gzip.open(path, "wb", 6) as file:
        file.write(b"a,b\n")
        block = (b"1" * 30 + b",2\n") * 30_000  # long cells, which are read sooner than as many bytes of short ones
        for _ in range(150):
            file.write(block)


def pictures_beside(path: Path, name: str, data: bytes) -> None:
    path.mkdir()
    for i in range(150):
        (path / f"{i:03}.png").write_bytes(png(8, 8, bytes([0, *[i] * 8] * 8)))
    (path / name).write_bytes(data)


def frames(count: int) -> bytes:
    out = io.BytesIO()
    first = Image.new("L", (8, 8))
    first.save(out, "GIF", save_all=True, append_images=[Image.new("L", (8, 8), i % 2 * 255) for i in range(count)])
    return out.getvalue()


def npy(shape: tuple[int, ...]) -> bytes:
    head = repr({"descr": "|u1", "fortran_order": False, "shape": shape}).encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head + bytes(100)


def write(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


BOMBS: dict[str, Callable[[Path], object]] = {
    "repeated.parquet": repeated,
    "rows.parquet": lambda path: pq.write_table(zeros({"a": ROWS, "b": ROWS}), path, row_group_size=ROWS),
    "rows.feather": lambda path: feather.write_feather(
        zeros({"a": ROWS, "b": ROWS}), path, compression="zstd", chunksize=ROWS
    ),
    "rows.orc": lambda path: orc.write_table(zeros({"a": ROWS, "b": ROWS}), path, compression="zstd"),
    "words.feather": lambda path: feather.write_feather(one_word(70_000), path),
    "words.arrow": lambda path: path.write_bytes(arrow(one_word(70_000))),
    "words.orc": lambda path: orc.write_table(
        pa.table({"a": pa.array(["x" * 50_000] * 2_500)}), path, compression="zstd", dictionary_key_size_threshold=1.0
    ),
    "rows.csv.gz": rows_gz,
    "line.csv.gz": lambda path: path.write_bytes(gzip.compress(b"a,b\n" + b"x" * 3 * 10**7)),
    "quote.csv.gz": lambda path: path.write_bytes(gzip.compress(b'a,b\n"' + b"x\n" * 2 * 10**7)),
    "line.txt.gz": lambda path: path.write_bytes(gzip.compress(b"word " * 2 * 10**7)),
    "line.jsonl.gz": lambda path: path.write_bytes(gzip.compress(b'{"a": 1, "b": "' + b"x" * 3 * 10**7)),
    "list.json.gz": lambda path: path.write_bytes(gzip.compress(b"[" + b'{"a": 1, "b": 2},' * ROWS + b'{"a": 1}]')),
    "deep.json": write(b'[{"a":' * 10**6),
    "deep.jsonl": write(b'{"a":[' * 10**6 + b"\n"),
    "columns.csv": lambda path: path.write_bytes(
        b",".join(b"c%d" % i for i in range(10**6)) + b"\n" + b"1," * 10**6 + b"\n"
    ),
    "columns.json": lambda path: path.write_text(json.dumps([{f"c{i}": 1 for i in range(10**5)}])),
    "nested.zip": many_zips,
    "images.idx3-ubyte": write(struct.pack(">IIII", 0x803, 2**31, 2**15, 2**15)),
    "images.idx3-ubyte.gz": write(gzip.compress(struct.pack(">IIII", 0x803, 4000, 1000, 1000) + bytes(10**6))),
    "lying.npy": write(npy((10**9, 28, 28))),
    "negative.npy": write(npy((-5, 28, 28))),
    "overflow.npy": write(npy((2**40, 2**40, 2**40))),
    "blank": lambda path: pictures_beside(path, "huge.png", png(30_000, 30_000, b"")),
    "text": lambda path: pictures_beside(
        path, "t.png", png(8, 8, b"\0" * 72, *[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**7), 9))] * 20)
    ),
    "profile": lambda path: pictures_beside(
        path, "t.png", png(8, 8, b"\0" * 72, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(3 * 10**7), 9)))
    ),
    "frames": lambda path: pictures_beside(path, "t.gif", frames(1000)),
    "sounds": lambda path: sounds(path),
}


def one_word(rows: int) -> pa.Table:
    """A great word that a dictionary holds once and every row repeats."""
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["x" * 50_000, "y"]))
    return pa.table({"a": words, "b": np.arange(rows)})


def arrow(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table)
    return sink.getvalue()


def sounds(path: Path) -> None:
    path.mkdir()
    for i in range(40):
        (path / f"{i}.wav").write_bytes(wav(8000, 4000 + i, 2 * (4000 + i)))
    (path / "lying.wav").write_bytes(wav(8000, 100, 2**32 - 1))


MEASURE = """
import sys
from pathlib import Path
from karat.content import recognise
from karat.content.image import arrays
from karat.errors import KaratError
import pyarrow.dataset, pyarrow.orc, PIL.Image, soundfile, openpyxl, charset_normalizer

def status(name):
    line = next(line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) / 1000

for name in sys.argv[1:]:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = status("VmRSS")
    try:
        recognise(Path(name)).read(Path(name), {"cache": Path(name).parent / "cache"})
        said = "read"
    except KaratError as error:
        said = type(error).__name__ + ": " + " ".join(str(error).split())
    print(f"{Path(name).name}\\t{status('VmHWM') - before:.0f}\\t{said}", flush=True)
"""


@pytest.fixture(scope="module")
def cost(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """For each bomb the memory in MB that it took, and what was said of it."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak of a process can be reset on Linux only")
    folder = tmp_path_factory.mktemp("bombs")
    for name, make in BOMBS.items():
        make(folder / name)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *(str(folder / name) for name in BOMBS)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "KARAT_MEMORY_GB": str(BUDGET), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    rows = [line.split("\t", 2) for line in done.stdout.splitlines()]
    return {name: (int(size), said) for name, size, said in rows}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_no_more_than_there_is(name: str, cost: dict[str, tuple[int, str]]) -> None:
    size, said = cost[name]
    assert size < 1000 * BUDGET + SLACK, (size, said)
    assert len(said) < 600
    refused = name not in (
        "repeated.parquet",
        "rows.parquet",
        "rows.orc",
        "rows.feather",
        "words.feather",
        "words.arrow",
        "words.orc",
        "frames",
        "text",
        "sounds",
        "line.txt.gz",
        "profile",
    )
    assert not refused or said != "read", "what declares more than it has, or than there is, is refused"
    assert "Traceback" not in said and ("Error" in said or "Too" in said or "Unsafe" in said or said == "read"), said


ENTRIES: dict[str, tuple[zipfile.ZipInfo, bytes]] = {
    "climbs": (zipfile.ZipInfo("../out.csv"), b"a,b\n1,2\n"),
    "climbs inside": (zipfile.ZipInfo("a/../../out.csv"), b"a,b\n1,2\n"),
    "absolute": (zipfile.ZipInfo("/tmp/out.csv"), b"a,b\n1,2\n"),
    "drive": (zipfile.ZipInfo("C:\\out.csv"), b"a,b\n1,2\n"),
    "backslashes": (zipfile.ZipInfo("..\\..\\out.csv"), b"a,b\n1,2\n"),
    "link": (zipfile.ZipInfo("link.csv"), b"/etc/passwd"),
}
ENTRIES["link"][0].external_attr = (stat.S_IFLNK | 0o777) << 16


@pytest.mark.parametrize("name", ENTRIES)
def test_a_zip_that_leaves_its_place_is_refused_as_a_table_too(name: str, tmp_path: Path) -> None:
    entry, data = ENTRIES[name]
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w") as archive:
        archive.writestr(entry, data)
    with pytest.raises(UnsafeFile, match="The whole archive is refused"):
        open_table(tmp_path / "t.csv.zip", {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.csv.zip"] and not (tmp_path.parent / "out.csv").exists()


def test_a_zip_of_several_tables_or_of_a_zip_says_what_to_do(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "two.csv.zip", "w") as archive:
        archive.writestr("a.csv", "a,b\n1,2\n")
        archive.writestr("b.csv", "a,b\n1,2\n")
    with pytest.raises(DataError, match="holds 2 files .a.csv, b.csv.; one was wanted. Unpack it"):
        open_table(tmp_path / "two.csv.zip", {})
    with zipfile.ZipFile(tmp_path / "nested.csv.zip", "w") as archive:
        archive.write(tmp_path / "two.csv.zip", "inner.zip")
    with pytest.raises(DataError, match="zip"):
        open_table(tmp_path / "nested.csv.zip", {})


class _Canary:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize(
    "name",
    [
        "t.pt",
        "t.ckpt",
        "t.pkl",
        "t.joblib",
        "t.npy",
        "t.npz",
        "t.csv",
        "t.parquet",
        "t.json",
        "t.txt",
        "t.xlsx",
        "t.wav",
        "t.orc",
    ],
)
def test_a_pickle_under_any_name_is_refused_before_it_runs(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    payload = pickle.dumps(_Canary(canary))
    if name == "t.npy":
        np.save(tmp_path / name, np.array([_Canary(canary)], object), allow_pickle=True)
    elif name == "t.npz":
        np.savez(tmp_path / name, images=np.array([_Canary(canary)], object))
    else:
        (tmp_path / name).write_bytes(payload)
    with pytest.raises(DataError) as caught:
        read(tmp_path / name)
    assert not canary.exists() and str(tmp_path / name) in str(caught.value)


def test_a_zip_with_a_pickle_in_it_is_refused(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for name in ("t.pt", "t.csv", "t.odd"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(_Canary(canary)))
        with pytest.raises(UnsafeFile, match="pickles can run code"):
            read(tmp_path / name)
    assert not canary.exists()


TABLES = {  # R19
    "mark": b"\xef\xbb\xbfa,b\n1,x\n2,y\n",
    "gbk": "编号,城市\n1,北京\n2,上海\n3,广州\n".encode("gbk"),
    "mixed ends": b"a,b\r\n1,x\n2,y\r3,z\n",
    "unclosed": b'a,b\n1,"x\n2,y\n',
    "twice": b"a,a\n1,2\n",
    "unnamed": b",,\n1,2,3\n",
    "nothing": b"a,b\n" + b",\n" * 99,
    "constant": b"a,b\n" + b"1,x\n" * 99,
    "one row": b"a,b\n1,x\n",
    "one column": b"a\n" + b"1\n" * 99,
    "header": b"a,b\n",
    "empty": b"",
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_parsed_or_refused_with_its_line(name: str, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(TABLES[name])
    try:
        raw = open_table(file, {})
    except KaratError as error:
        assert name in ("unclosed", "twice", "header", "empty"), error
        assert str(file) in str(error) and (name in ("header", "empty") or "line " in str(error))
        return
    assert name not in ("unclosed", "twice", "header", "empty") and raw.cells.num_rows >= 1


def test_rows_asked_for_bound_what_is_held_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "t.parquet"
    pq.write_table(pa.table({f"c{i}": np.arange(10_000) * (i + 1) for i in range(200)}), file)
    monkeypatch.setenv("KARAT_MEMORY_GB", "0.02")
    raw = open_table(file, {"rows": 5000})
    assert raw.total == 10_000 and raw.cells.num_rows * 200 * 40 < 0.02e9 and "memory" in raw.notes[0]
    monkeypatch.setenv("KARAT_MEMORY_GB", "0.00001")
    with pytest.raises(TooLarge, match="row group.*would need about .*available"):
        open_table(file, {})


def test_arrow_headers_that_lie_of_their_lengths_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.feather"
    feather.write_feather(zeros({"a": 5000}), file, compression="lz4", chunksize=5000)
    blob = bytearray(file.read_bytes())
    at = blob.find(struct.pack("<q", 40_000))
    assert at > 0
    for lie in (2**62, 2**40, -7):
        blob[at : at + 8] = struct.pack("<q", lie)
        file.write_bytes(bytes(blob))
        with pytest.raises(KaratError) as caught:
            open_table(file, {})
        assert str(file) in str(caught.value)


@pytest.mark.parametrize("suffix", [".parquet", ".orc", ".feather"])
def test_what_is_read_of_a_damaged_columnar_file_is_whole_in_itself(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"t{suffix}"
    words = pa.array(["red", "blue", "green", "é"] * 20)
    table = pa.table({"a": words if suffix == ".orc" else words.dictionary_encode(), "b": np.arange(80) % 7})
    {
        ".parquet": lambda: pq.write_table(table, file, compression="none"),
        ".orc": lambda: orc.write_table(table, file),
        ".feather": lambda: feather.write_feather(table, file, compression="uncompressed"),
    }[suffix]()
    blob = file.read_bytes()
    for i in range(4, min(len(blob), 600)):  # where the columns lie
        file.write_bytes(blob[:i] + bytes([blob[i] ^ 0xFF]) + blob[i + 1 :])
        try:
            cells = open_table(file, {}).cells
        except KaratError as error:
            assert str(file) in str(error)
            continue
        cells.validate(full=True)


def test_a_workbook_whose_packed_parts_are_damaged_is_read_or_refused_in_a_line(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for i in range(60):
        book.active.append([i, i % 7, f"name {i}"])
    book.save(tmp_path / "t.xlsx")
    blob = (tmp_path / "t.xlsx").read_bytes()
    with zipfile.ZipFile(tmp_path / "t.xlsx") as archive:
        entries = archive.infolist()
    refused = 0
    for entry in entries:
        start = entry.header_offset + 30 + len(entry.filename)
        for at in (0, 1, 40, entry.compress_size // 2):
            i = start + min(at, entry.compress_size - 1)
            (tmp_path / "t.xlsx").write_bytes(blob[:i] + bytes([blob[i] ^ 0xFF]) + blob[i + 1 :])
            try:
                open_table(tmp_path / "t.xlsx", {})
            except DataError as error:
                refused += str(error).count("\n") == 0
    assert refused > len(entries)


def test_an_archive_of_arrays_behind_other_bytes_is_damaged_and_no_advice_to_unpickle_it_is_given(
    tmp_path: Path,
) -> None:
    np.savez(tmp_path / "p.npz", images=np.zeros((40, 8, 8), np.uint8))
    (tmp_path / "p.npz").write_bytes(b"\0" * 7 + (tmp_path / "p.npz").read_bytes())
    with pytest.raises(DataError, match="does not begin as a zip archive does") as caught:
        arrays.read_npz(tmp_path / "p.npz")
    assert "pickle" not in str(caught.value)
