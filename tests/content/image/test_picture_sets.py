"""Pictures in one file: archives, IDX files, arrays and Parquet, read as the folder of them would be."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from drawings import pictures, save_pictures
from PIL import Image

from karat.content import Images, recognise
from karat.content.codec import Contents


def read(path: Path, **options: object) -> Contents:
    assert recognise(path) is Images
    return Images.read(path, options)


def _zip(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def _png(picture: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "png")
    return out.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_reads_as_its_folder_would(tmp_path: Path, method: int) -> None:
    made = pictures(40)
    entries = {f"top/{'猫' if i % 2 else 'dog'}/{i:02}.png": _png(picture) for i, picture in enumerate(made)}
    junk = {"__MACOSX/top/._00.png": b"x", "top/inner.zip": b"PK", "top/README.md": b"hello"}
    contents = read(_zip(tmp_path / "p.zip", {**entries, **junk}, method))
    assert contents.classes == ("dog", "猫")
    order = [list(entries).index(name) for name in contents.names]
    assert (contents.records == made[order]).all()
    assert contents.facts["ignored"] == 3


def test_a_second_read_comes_from_the_cache_and_a_changed_folder_does_not(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 128, 128, 3), dtype=np.uint8)
    (tmp_path / "p").mkdir()
    for i in range(40 * 5):
        Image.fromarray(np.roll(noise[i % 40], i, 0)).save(tmp_path / "p" / f"{i:03}.bmp")
    cache = tmp_path / "cache"
    first = read(tmp_path / "p", cache=cache)
    kept = sorted(cache.iterdir())
    assert [file.suffix for file in kept] == [".json", ".npy"]
    second = read(tmp_path / "p", cache=cache)
    assert isinstance(second.records, np.memmap) and (second.records == first.records).all()
    assert (second.names, second.facts, second.skipped) == (first.names, first.facts, first.skipped)
    Image.fromarray(255 - noise[0]).save(tmp_path / "p" / "new.bmp")
    assert len(read(tmp_path / "p", cache=cache).records) == 201
    kept[1].unlink()  # written anew, so that the open mapping of the first read is not pulled away
    kept[1].write_bytes(b"damaged")
    (tmp_path / "p" / "new.bmp").unlink()
    assert (read(tmp_path / "p", cache=cache).records == first.records).all()


def test_a_limit_is_spread_over_all_classes(tmp_path: Path) -> None:
    for name in "abcd":
        save_pictures(tmp_path / name, 20)
    contents = read(tmp_path, limit=8)
    assert np.bincount(contents.labels).tolist() == [2, 2, 2, 2]


def _idx(path: Path, array: np.ndarray) -> None:
    data = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.mark.parametrize(("dash", "end"), [("-", ".gz"), ("-", ""), (".", "")])
def test_idx_files_as_mnist_is_published(tmp_path: Path, dash: str, end: str) -> None:
    train, test = pictures(50, channels=1)[..., 0], pictures(20, channels=1, seed=1)[..., 0]
    y = (np.arange(70) % 3).astype(np.uint8)
    for start, x, labels in (("train", train, y[:50]), ("t10k", test, y[50:])):
        _idx(tmp_path / f"{start}-images{dash}idx3-ubyte{end}", x)
        _idx(tmp_path / f"{start}-labels{dash}idx1-ubyte{end}", labels)
    contents = read(tmp_path)
    assert (contents.records[..., 0] == np.concatenate([train, test])).all()
    assert contents.holdout.tolist() == [False] * 50 + [True] * 20
    assert contents.classes == ("0", "1", "2") and (contents.labels == y).all()
    alone = read(tmp_path / f"train-images{dash}idx3-ubyte{end}")
    assert alone.holdout is None and (alone.labels == y[:50]).all()
    only = read(tmp_path / f"train-images{dash}idx3-ubyte{end}", size=16, limit=10)
    assert only.records.shape == (10, 16, 16, 1)


def test_mnist_is_read_whole(data_dir: Path) -> None:
    contents = read(data_dir / "images" / "mnist")
    assert contents.records.shape == (70000, 28, 28, 1)
    assert contents.holdout.sum() == 10000
    assert np.bincount(contents.labels[~contents.holdout]).tolist()[:3] == [5923, 6742, 5958]


LAYOUTS = {
    "hw": lambda x: x[..., 0],
    "hwc": lambda x: x,
    "chw": lambda x: np.ascontiguousarray(np.moveaxis(x, 3, 1)),
    "fortran": lambda x: np.asfortranarray(x),
    "unit float": lambda x: (x / 255).astype(np.float32),
    "signed float": lambda x: x / 127.5 - 1,
    "half": lambda x: x.astype(np.float16),
    "int64": lambda x: x.astype(np.int64),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_in_every_layout_and_scale(tmp_path: Path, layout: str) -> None:
    made = pictures(40, channels=1 if layout == "hw" else 3)
    np.save(tmp_path / "x.npy", LAYOUTS[layout](made))
    contents = read(tmp_path / "x.npy")
    assert contents.records.dtype == np.uint8 and (contents.records == made).all()


def test_a_uint16_array_is_sixteen_bit_grey(tmp_path: Path) -> None:
    made = np.random.default_rng(0).integers(0, 65536, (40, 9, 9), dtype=np.uint16)
    np.save(tmp_path / "x.npy", made)
    assert (read(tmp_path / "x.npy").records[..., 0] == made).all()


def test_an_array_with_alpha_is_laid_on_white(tmp_path: Path) -> None:
    made = np.zeros((40, 9, 9, 4), np.uint8)
    made[:, 0, 0] = (1, 2, 3, 255)
    np.save(tmp_path / "x.npy", made)
    records = read(tmp_path / "x.npy").records
    assert records[0, 0, 0].tolist() == [1, 2, 3] and (records[:, 1:] == 255).all()


@pytest.mark.parametrize(
    ("x", "y", "x_aside", "y_aside"),
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("images", "labels", None, None),
        ("x", "y", None, None),
        ("arr_0", "arr_1", None, None),
    ],
)
def test_npz_under_the_names_people_use(
    tmp_path: Path, x: str, y: str, x_aside: str | None, y_aside: str | None
) -> None:
    made, labels = pictures(60), np.arange(60) % 4
    arrays = {x: made[:40], y: labels[:40, None]}
    if x_aside is not None and y_aside is not None:
        arrays |= {x_aside: made[40:], y_aside: labels[40:, None]}
    np.savez_compressed(tmp_path / "set.npz", **arrays)
    contents = read(tmp_path / "set.npz")
    wanted = 60 if x_aside else 40
    assert (contents.records == made[:wanted]).all() and (contents.labels == labels[:wanted]).all()
    assert (contents.holdout is None) == (x_aside is None)


def test_labels_that_are_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=pictures(40), labels=np.array(["dog", "cat"] * 20))
    contents = read(tmp_path / "set.npz")
    assert contents.classes == ("cat", "dog") and contents.labels[:2].tolist() == [1, 0]


@pytest.mark.parametrize("struct_column", [True, False])
def test_parquet_as_hugging_face_writes_it(tmp_path: Path, struct_column: bool) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    made = pictures(60)
    info = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    for stem, part in (("train-00000-of-00001", made[:40]), ("test-00000-of-00001", made[40:])):
        cells = [{"bytes": _png(p), "path": None} if struct_column else _png(p) for p in part]
        table = pa.table({"image": cells, "label": [i % 2 for i in range(len(part))]})
        pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(info)}), tmp_path / f"{stem}.parquet")
    contents = read(tmp_path)
    assert contents.classes == ("cat", "dog")
    assert (contents.records[~contents.holdout] == made[:40]).all()
    assert (contents.records[contents.holdout] == made[40:]).all()
    assert len(read(tmp_path / "train-00000-of-00001.parquet", limit=7).records) == 7


def test_the_digits_in_the_install() -> None:
    contents = read(Path("digits"))
    assert contents.records.shape == (1797, 8, 8, 1)
    assert contents.records.max() == 255 and len(np.unique(contents.records)) == 17
    assert contents.classes == tuple("0123456789")
