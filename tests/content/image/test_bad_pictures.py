"""What is thrown at it: each bad input gives one clear message naming the file, and costs neither memory nor trust."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import resource
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from drawings import pictures, save_pictures
from PIL import Image

from karat.cache import cache_entry
from karat.content import Images, recognise
from karat.data import load
from karat.errors import DataError, KaratError, UnsafeFile


def refused(path: Path, kind: type[KaratError] = DataError) -> str:
    """The message of the refusal."""
    with pytest.raises(kind) as caught:
        load(path)
    said = str(caught.value)
    assert "Traceback" not in said and len(said) < 2500
    return said


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _huge_png(side: int) -> bytes:
    """A well-formed PNG of side x side grey zeros, a few hundred kilobytes long."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _truncated(suffix: str) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, suffix)
    return out.getvalue()[: len(out.getvalue()) // 2]


BAD = {
    "text.png": b"this is no picture at all, whatever its name says",
    "empty.png": b"",
    "half.jpg": _truncated("jpeg"),
    "half.png": _truncated("png"),
    "half.webp": _truncated("webp"),
    "half.tif": _truncated("tiff"),
    "half.bmp": _truncated("bmp"),
    "head.gif": b"GIF89a",
    "page.jpg": b"<html>404</html>",
    "eps.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
}


@pytest.mark.parametrize("name", BAD)
def test_an_unreadable_picture_among_few_is_named(tmp_path: Path, name: str) -> None:
    save_pictures(tmp_path / "p", 40)
    (tmp_path / "p" / name).write_bytes(BAD[name])
    said = refused(tmp_path / "p")
    assert f"{name}: " in said and "1 of 41 pictures cannot be read" in said


@pytest.mark.parametrize("name", BAD)
def test_an_unreadable_picture_alone_in_a_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(BAD[name])
    assert f"{name}: " in refused(tmp_path)


def test_an_unreadable_picture_given_by_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(BAD["text.png"])
    assert "x.png cannot be read: is not a picture" in refused(tmp_path / "x.png")
    Image.new("L", (8, 8)).save(tmp_path / "one.png")
    assert "one.png is one picture. Give a folder" in refused(tmp_path / "one.png")


def test_one_percent_is_skipped_and_listed_and_the_rest_is_learned_from(tmp_path: Path) -> None:
    made = save_pictures(tmp_path, 198)
    (tmp_path / "100a.jpg").write_bytes(BAD["half.jpg"])
    (tmp_path / "100b.png").write_bytes(BAD["text.png"])
    data = load(tmp_path)
    assert [name for name, _ in data.contents.skipped] == ["100b.png", "100a.jpg"]
    assert all(reason for _, reason in data.contents.skipped)
    assert (data.contents.records == made).all()
    assert "100a.jpg" not in data.contents.names and len(data.contents.names) == 198


def test_more_than_one_percent_is_refused_with_ten_names_and_a_count(tmp_path: Path) -> None:
    save_pictures(tmp_path, 200)
    for i in range(14):
        (tmp_path / f"bad{i:02}.png").write_bytes(BAD["text.png"])
    said = refused(tmp_path)
    assert "14 of 214 pictures cannot be read (at most 1% is skipped)" in said
    assert "bad09.png" in said and "bad10.png" not in said and "and 4 more" in said


@pytest.mark.parametrize("side", [20_000, 9_000])
@pytest.mark.parametrize("way", ["folder", "alone", "itself", "zip"])
def test_a_picture_of_too_many_pixels_is_refused_by_name_before_it_costs_memory(
    tmp_path: Path, side: int, way: str
) -> None:
    (tmp_path / "p").mkdir()
    if way != "alone":
        save_pictures(tmp_path / "p", 120)
    huge = tmp_path / "p" / "huge.png"
    huge.write_bytes(_huge_png(side))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if way == "zip":
        with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
            for file in sorted((tmp_path / "p").iterdir()):
                archive.write(file, file.name)
    path = {"itself": huge, "zip": tmp_path / "p.zip"}.get(way, tmp_path / "p")
    said = refused(path, UnsafeFile)
    assert "huge.png is too large to decode safely" in said and "64 megapixels" in said
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def _zip(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i, picture in enumerate(pictures(40)):
            out = io.BytesIO()
            Image.fromarray(picture).save(out, "png")
            archive.writestr(f"{i:02}.png", out.getvalue())
        for name, data in entries:
            archive.writestr(name, data, zipfile.ZIP_DEFLATED)
    return path


UNSAFE_NAMES = {
    "../out.png": "climbs out",
    "a/../../out.png": "climbs out",
    "..\\out.png": "climbs out",
    "/etc/out.png": "absolute path",
    "\\out.png": "absolute path",
    "C:\\out.png": "drive letter",
    "c:out.png": "drive letter",
}


@pytest.mark.parametrize("name", UNSAFE_NAMES)
def test_a_zip_with_a_path_that_leaves_it_is_refused_whole(tmp_path: Path, name: str) -> None:
    said = refused(_zip(tmp_path / "z.zip", (name, b"x")), UnsafeFile)
    assert repr(name) in said and UNSAFE_NAMES[name] in said and "whole archive is refused" in said
    assert sorted(file.name for file in tmp_path.iterdir()) == ["z.zip"]


def test_a_zip_with_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.png")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    said = refused(_zip(tmp_path / "z.zip", (link, b"/etc/passwd")), UnsafeFile)
    assert "'link.png' is a symbolic link" in said


def test_a_zip_that_swells_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    said = refused(_zip(tmp_path / "z.zip", ("zeros.bmp", bytes(20_000_000))), UnsafeFile)
    assert "'zeros.bmp' would swell" in said and "20 MB" in said


def test_a_small_blank_picture_is_no_bomb(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGB", (12, 12), "white").resize((250, 250)).save(out, "bmp")
    path = _zip(tmp_path / "z.zip", ("blank.bmp", out.getvalue()))
    assert len(Images.read(path, {}).records) == 41


def test_a_zip_that_declares_too_much_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "z.zip", ("a.png", b"y" * 10))
    raw = bytearray(path.read_bytes())
    entry = raw.rindex(b"PK\1\2")
    raw[entry + 20 : entry + 28] = struct.pack("<II", 2**26, 2**32 - 2)
    path.write_bytes(raw)
    assert "swell" in refused(path, UnsafeFile) or "lie over each other" in refused(path, UnsafeFile)


def test_a_zip_that_lies_about_a_size_gives_no_more_than_it_declared(tmp_path: Path) -> None:
    path = _zip(tmp_path / "z.zip", ("liar.png", b"z" * 100_000))
    raw = bytearray(path.read_bytes())
    entry = raw.rindex(b"PK\1\2")
    raw[entry + 24 : entry + 28] = struct.pack("<I", 50)
    path.write_bytes(raw)
    assert "liar.png" in refused(path)


def test_entries_that_lie_over_each_other_are_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "z.zip", ("noise.png", np.random.default_rng(0).bytes(200_000)))
    raw = bytearray(path.read_bytes())
    start, end = raw.index(b"PK\1\2"), raw.rindex(b"PK\5\6")
    last = raw[raw.rindex(b"PK\1\2") : end]
    again = bytes(last).replace(b"noise.png", b"nois2.png")
    directory = bytes(raw[start:end]) + again
    count = struct.pack("<HH", 42, 42)
    tail = b"PK\5\6" + bytes(4) + count + struct.pack("<IIH", len(directory), start, 0)
    path.write_bytes(bytes(raw[:start]) + directory + tail)
    assert "lie over each other" in refused(path, UnsafeFile)


def test_an_encrypted_zip_says_so(tmp_path: Path) -> None:
    path = _zip(tmp_path / "z.zip")
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(raw)
    assert "'00.png' is encrypted" in refused(path)


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip at all" * 100])
def test_a_file_that_is_no_zip_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "z.zip").write_bytes(data)
    assert "z.zip is not a readable zip" in refused(tmp_path / "z.zip")


def test_a_zip_without_pictures_says_what_it_holds(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("inner.zip", b"PK")
        archive.writestr("a.txt", b"hello")
    said = refused(tmp_path / "z.zip")
    assert "z.zip holds no pictures that can be read" in said and "1 .txt" in said


def test_too_few_missing_and_empty(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty is empty. Wanted: a folder of PNG" in refused(tmp_path / "empty")
    assert "nowhere does not exist" in refused(tmp_path / "nowhere")
    save_pictures(tmp_path / "photos", 3)
    assert "photos holds 3 pictures; a generator needs about 200" in refused(tmp_path / "photos")
    np.save(tmp_path / "x.npy", pictures(3))
    assert "x.npy holds 3 pictures" in refused(tmp_path / "x.npy")
    with pytest.raises(DataError, match="is an address; nothing is downloaded"):
        load("https://example.org/pictures.zip")


def test_a_thousand_identical_pictures_are_counted(tmp_path: Path) -> None:
    save_pictures(tmp_path / "p", 1)
    data = (tmp_path / "p" / "000.png").read_bytes()
    for i in range(1000):
        (tmp_path / "p" / f"{i:03}.png").write_bytes(data)
    assert "p holds 1,000 records, of which 1 differ" in refused(tmp_path / "p")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.tar.gz", "a Python pickle"),
        ("model.pkl", "a Python pickle"),
        ("data_batch_1", "pickles can run code and are never read"),
    ],
)
def test_other_files_say_what_is_wanted(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps({"a": 1}))
    assert not Images.recognises(tmp_path / name)
    with pytest.raises(DataError, match=said):
        recognise(tmp_path / name)


def test_a_folder_of_heic_says_what_to_do(tmp_path: Path) -> None:
    for i in range(40):
        (tmp_path / f"IMG_{i}.HEIC").write_bytes(b"x")
    assert "40 .heic (export them as JPEG first)" in refused(tmp_path)


def test_pictures_without_a_suffix_are_said_to_be_so(tmp_path: Path) -> None:
    for i in range(40):
        Image.new("L", (8, 8)).save(tmp_path / str(i), format="png")
    assert "holds no pictures that can be read, but 40 without a suffix" in refused(tmp_path)


class _Run:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("ran",)


def test_pickles_in_arrays_are_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    objects = np.array([_Run()] * 40, dtype=object).reshape(40, 1, 1)
    np.save(tmp_path / "x.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "x.npz", images=objects)
    (tmp_path / "y.npy").write_bytes(pickle.dumps(_Run()))
    for name in ("x.npy", "x.npz"):
        said = refused(tmp_path / name, UnsafeFile)
        assert name in said and "could run code" in said
    assert "y.npy is no array" in refused(tmp_path / "y.npy")
    assert not (tmp_path / "ran").exists()


def test_an_array_shorter_than_it_declares_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "x.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1000, 1000)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(100))
    assert "x.npy declares 1,000,000,000,128 bytes and holds 228" in refused(tmp_path / "x.npy")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.write(tmp_path / "x.npy", "images.npy")
    assert "images declares 1,000,000,000,000 bytes and holds 100" in refused(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((40, 784), np.uint8), r"\[40, 784\].*x.reshape\(-1, 28, 28\)"),
        (np.zeros((40, 2, 9, 9), np.uint8), r"shape \[40, 2, 9, 9\]"),
        (np.full((40, 9, 9), np.nan, np.float32), "NaN or infinity, first in picture 0"),
        (np.full((40, 9, 9), -5.0), "numbers from -5 to -5"),
        (np.full((40, 9, 9), 70000), "numbers from 70000"),
        (np.zeros((40, 9, 9), complex), "complex128"),
        (np.full((40, 9, 9), "a"), "holds <U1"),
        (np.zeros((40, 0, 9), np.uint8), "pictures of 9 x 0 pixels"),
        (np.uint8(3), "shape"),
    ],
)
def test_arrays_that_are_no_pictures(tmp_path: Path, array: np.ndarray, said: str) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(DataError, match=said):
        load(tmp_path / "x.npy")


def test_npz_faults_name_the_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", foo=np.zeros(3), bar=np.zeros((2, 2)))
    assert "a.npz holds foo [3], bar [2, 2]" in refused(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", images=pictures(40), labels=np.zeros(39, int))
    assert "labels has the shape [39]; 40 labels were wanted" in refused(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", images=pictures(40), labels=np.linspace(0, 1, 40))
    assert "labels holds fractions" in refused(tmp_path / "c.npz")
    (tmp_path / "d.npz").write_bytes(b"x")
    assert "d.npz does not begin as a zip archive does" in refused(tmp_path / "d.npz")
    with zipfile.ZipFile(tmp_path / "e.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "no array that numpy wrote" in refused(tmp_path / "e.npz")


def _idx(shape: tuple[int, ...], body: bytes, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + body


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (gzip.compress(_idx((40, 8, 8), bytes(40 * 64 - 1)), mtime=0), "declares 2,560 bytes and holds 2,559"),
        (gzip.compress(_idx((40, 8, 8), bytes(40 * 64 + 9)), mtime=0), "holds more"),
        (gzip.compress(_idx((2**31, 2**15, 2**15), b""), mtime=0), "more than its size can hold"),
        (gzip.compress(_idx((40, 8, 8), bytes(40 * 64), kind=13), mtime=0), "begins 00 00 0d 03"),
        (gzip.compress(_idx((40, 8, 8), bytes(40 * 64)), mtime=0)[:30], "cannot be unpacked"),
        (b"no gzip", "cannot be unpacked"),
        (gzip.compress(b"", mtime=0), "begins "),
    ],
    ids=["short", "long", "vast", "other kind", "torn gzip", "no gzip", "empty"],  # the same in every process
)
def test_damaged_idx_files(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(data)
    message = refused(path)
    assert said in message and "train-images-idx3-ubyte.gz" in message


def test_idx_labels_that_do_not_match(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(_idx((40, 8, 8), bytes(40 * 64)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(_idx((39,), bytes(39)))
    assert "train-labels-idx1-ubyte holds 39 labels for the 40 pictures" in refused(tmp_path)


def test_damaged_parquet_and_parquet_without_pictures(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 not really")
    assert "x.parquet is cut short or damaged, or not Parquet" in refused(tmp_path / "x.parquet")
    pq.write_table(pa.table({"a": [1] * 40, "b": ["x"] * 40}), tmp_path / "y.parquet")
    with pytest.raises(DataError, match=r"the columns a \(int64\), b \(string\); a column of picture bytes was wanted"):
        Images.read(tmp_path / "y.parquet", {})  # by itself it is taken for a table
    cells = [{"bytes": None, "path": "/etc/passwd"}] * 40
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(cells, kind)}), tmp_path / "z.parquet")
    assert "z.parquet:0: holds no bytes (a path in a table is never followed)" in refused(tmp_path / "z.parquet")


def test_nothing_is_left_in_the_cache_by_a_refusal(tmp_path: Path) -> None:
    big = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    (tmp_path / "p").mkdir()
    for i in range(40):
        Image.fromarray(np.roll(big, i, 0)).save(tmp_path / "p" / f"{i:02}.bmp")
    whole = (tmp_path / "p" / "00.bmp").read_bytes()
    (tmp_path / "p" / "00.bmp").write_bytes(whole[:5000])
    with pytest.raises(DataError, match="00.bmp"):
        Images.read(tmp_path / "p", {"cache": tmp_path / "cache"})
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("broken", [b"(", b"'''", b"\\", b"\x00", b"[" * 40])
def test_a_header_of_an_array_that_is_no_python_is_named(tmp_path: Path, broken: bytes) -> None:
    np.save(tmp_path / "p.npy", np.zeros((40, 8, 8), np.uint8))
    blob = (tmp_path / "p.npy").read_bytes()
    (tmp_path / "p.npy").write_bytes(blob.replace(b"False", broken.ljust(5)[:5]).ljust(len(blob)))
    assert "p.npy is no array that numpy wrote" in refused(tmp_path / "p.npy")


def test_a_damaged_cache_is_decoded_again(tmp_path: Path) -> None:
    place = cache_entry(tmp_path, "x")
    np.save(place.array, np.zeros((4, 2), np.uint8))
    place.notes.write_text('{"rows": 4}')
    assert place.find() is not None
    place.array.write_bytes(place.array.read_bytes().replace(b"False", b"Fals("))
    assert place.find() is None
