"""Pictures that come as arrays: IDX (http://yann.lecun.com/exdb/mnist), .npy, .npz, scikit-learn's digits."""

from __future__ import annotations

import gzip
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from karat import limits
from karat.cache import IN_MEMORY, CacheEntry
from karat.content.archive import TOTAL, open_zip, sorted_classes
from karat.content.image.picture import resize_record
from karat.errors import DataError, UnsafeFile

IDX = re.compile(r"images?[-._]?idx[34][-._]ubyte(\.gz)?$", re.IGNORECASE)
IMAGES = ("train_images", "x_train", "X_train", "x", "X", "images", "imgs", "data", "arr_0")
IMAGES_ASIDE = ("x_test", "X_test", "test_images")
LABELS = ("train_labels", "y_train", "y", "Y", "labels", "label", "arr_1")
LABELS_ASIDE = ("y_test", "test_labels")
DEFLATE = 1032  # the most that deflate can shrink anything


@dataclass(frozen=True)
class Block:
    """Pictures as found, `[n, h, w]`, `[n, h, w, c]` or `[n, c, h, w]`, their labels, their side of the split."""

    name: str
    images: np.ndarray
    labels: np.ndarray | None
    holdout: bool = False


def idx_files(path: Path) -> list[Path]:
    """The IDX picture files at `path`, itself one or a folder holding some."""
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file() and IDX.search(file.name))
    return [path] if IDX.search(path.name) else []


def read_idx(files: list[Path]) -> list[Block]:
    """One block per file; t10k-* and test-* are set aside when there is something else to learn from."""
    aside = [bool(re.search(r"t10k|test", file.name, re.IGNORECASE)) for file in files]
    blocks = []
    for held, file in sorted(zip(aside, files, strict=True)):
        images = _idx(file, (3, 4))
        beside = [re.sub(r"(?i)images?", word, file.name) for word in ("labels", "label")]
        names = {re.sub(r"(?i)idx[34]", "idx1", name) for name in beside}
        names |= {name.removesuffix(".gz") if name.endswith(".gz") else name + ".gz" for name in names}
        found = [file.with_name(name) for name in sorted(names) if file.with_name(name).is_file()]
        labels = _idx(found[0], (1,)) if found else None
        if labels is not None and len(labels) != len(images):
            raise DataError(f"{found[0]} holds {len(labels)} labels for the {len(images)} pictures of {file.name}.")
        blocks.append(Block(file.name, images, labels, held and not all(aside)))
    return blocks


def _idx(file: Path, ranks: tuple[int, ...]) -> np.ndarray:
    packed = file.suffix.lower() == ".gz"
    try:
        with cast(BinaryIO, gzip.open(file, "rb")) if packed else file.open("rb") as stream:
            magic = stream.read(4)
            if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != 8 or magic[3] not in ranks:
                wanted = f"an IDX file of bytes begins 00 00 08 {ranks[0]:02x}"
                raise DataError(f"{file} begins {magic.hex(' ')}; {wanted}. Download it again.")
            sizes = stream.read(4 * magic[3])
            shape = struct.unpack(f">{magic[3]}I", sizes) if len(sizes) == 4 * magic[3] else ()
            count = 1
            for side in shape:
                count *= side
            room = file.stat().st_size * (DEFLATE if packed else 1)
            if not shape or count > min(room, TOTAL):
                raise UnsafeFile(
                    f"{file} declares {' x '.join(map(str, shape))} bytes, more than its size can hold. It is refused."
                )
            limits.need(2.0 * count, f"{file} ({count:,} bytes of pictures)", "Take a part of them.")
            body = stream.read(count + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file} cannot be unpacked ({error}). Download it again.") from error
    if len(body) != count:
        found = "more" if len(body) > count else f"{len(body):,}"
        raise DataError(f"{file} declares {count:,} bytes and holds {found}. It is damaged; download it again.")
    return np.frombuffer(body, np.uint8).reshape(shape)


def read_npy(path: Path) -> list[Block]:
    """The array, memory-mapped; its header is checked against the size of the file first."""
    with path.open("rb") as file:
        shape, _, dtype, start = _npy_header(file, str(path))
    wanted, found = start + _bytes(shape, dtype), path.stat().st_size
    if wanted > found:
        raise DataError(f"{path} declares {wanted:,} bytes and holds {found:,}. It is cut short; write it again.")
    return [Block(path.name, np.load(path, mmap_mode="r", allow_pickle=False), None)]


def _npy_header(file: Any, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    try:
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = reader(file)
    except (OSError, zipfile.BadZipFile, zlib.error):  # of the file or archive, not of the header
        raise
    except Exception as error:  # numpy parses the header as Python, whose tokenizer and parser raise what they like
        message = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{name} is no array that numpy wrote ({message}).") from error
    if dtype.hasobject:
        raise UnsafeFile(f"{name} holds pickled Python objects, which could run code. Save it as plain uint8 numbers.")
    if any(side < 0 for side in shape):
        raise DataError(f"{name} declares the shape {shape}. It is damaged; write it again.")
    return shape, fortran, dtype, file.tell()


def _bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    size = dtype.itemsize
    for side in shape:
        size *= side
    return size


def read_npz(path: Path) -> list[Block]:
    """The pictures and labels under the names that people use; x_test, y_test are the holdout."""
    try:
        shapes = _npz_shapes(path)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DataError(f"{path} cannot be unpacked ({error}). Write it again.") from error
    images = next((key for key in IMAGES if key in shapes and len(shapes[key]) >= 3), None)
    if images is None:
        pictures = [key for key, shape in shapes.items() if len(shape) in (3, 4)]
        if len(pictures) != 1:
            listed = ", ".join(f"{key} {list(shape)}" for key, shape in shapes.items())
            raise DataError(
                f"{path} holds {listed}; name the pictures [n, h, w] or [n, h, w, c] 'images' and the classes 'labels'."
            )
        images = pictures[0]
    aside = next((key for key in IMAGES_ASIDE if key in shapes and key != images and len(shapes[key]) >= 3), None)
    pairs = [(images, LABELS, False)] + ([(aside, LABELS_ASIDE, True)] if aside else [])
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [_npz_block(path, arrays, key, names, held) for key, names, held in pairs]
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path} cannot be unpacked ({error}). Write it again.") from error


def _npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each array, once its header agrees with the size of its entry."""
    shapes = {}
    with path.open("rb") as file:
        if (
            file.read(2) != b"PK"
        ):  # a zip is found from its end, and numpy would take what stands before it for a pickle
            raise DataError(f"{path} does not begin as a zip archive does. It is damaged; write it again.")
    with open_zip(path, ratio_from=16 * 2**20) as archive:
        for entry in archive.infolist():
            key = entry.filename.removesuffix(".npy")
            with archive.open(entry) as file:
                shape, _, dtype, start = _npy_header(file, f"{path}: {key}")
            if start + _bytes(shape, dtype) != entry.file_size:
                raise DataError(
                    f"{path}: {key} declares {_bytes(shape, dtype):,} bytes and holds {entry.file_size - start:,}."
                )
            shapes[key] = shape
            limits.need(1.5 * entry.file_size, f"{path}: {key} {list(shape)}", "Take a part of it.")
    return shapes


def _npz_block(path: Path, arrays: Any, key: str, names: tuple[str, ...], held: bool) -> Block:
    pictures = arrays[key]
    found = next((name for name in names if name in arrays.files), None)
    if found is None:
        return Block(f"{path.name}:{key}", pictures, None, held)
    labels = arrays[found]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    elif labels.ndim == 2 and len(labels) and (labels.sum(1) == 1).all() and ((labels == 0) | (labels == 1)).all():
        labels = labels.argmax(1)
    if labels.ndim != 1 or len(labels) != len(pictures):
        raise DataError(
            f"{path}: {found} has the shape {list(labels.shape)}; {len(pictures)} labels were wanted for {key}."
        )
    if labels.dtype.kind == "f" and (not np.isfinite(labels).all() or (labels != np.rint(labels)).any()):
        raise DataError(f"{path}: {found} holds fractions; classes are whole numbers or names.")
    return Block(f"{path.name}:{key}", pictures, labels.astype(np.int64) if labels.dtype.kind in "fb" else labels, held)


def read_digits() -> list[Block]:
    """Scikit-learn's 1,797 handwritten digits of 8 x 8, 17 grey levels spread over 0..255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return [Block("digits", np.rint(digits.images * 255 / 16).astype(np.uint8), digits.target.astype(np.int64))]


def channels_last(block: Block) -> np.ndarray:
    """The block's pictures as a view `[n, h, w, c]` with 1, 3 or 4 channels."""
    x = block.images
    if x.ndim == 3:
        return x[..., None]
    if x.ndim == 4 and x.shape[3] in (1, 3, 4):
        return x
    if x.ndim == 4 and x.shape[1] in (1, 3, 4):
        return np.moveaxis(x, 1, 3)
    hint = ""
    if x.ndim == 2 and x.shape[1] > 1 and round(x.shape[1] ** 0.5) ** 2 == x.shape[1]:
        side = round(x.shape[1] ** 0.5)
        hint = f" If each row is a square picture, save x.reshape(-1, {side}, {side})."
    wanted = "[n, h, w], [n, h, w, c] or [n, c, h, w] with 1, 3 or 4 channels was wanted"
    raise DataError(f"{block.name} has the shape {list(x.shape)}; {wanted}.{hint}")


@dataclass(frozen=True)
class Scale:
    """How the numbers found become whole levels: round((x + shift) * factor)."""

    dtype: np.dtype[Any]
    shift: float
    factor: float
    note: str | None = None

    def apply(self, x: np.ndarray) -> np.ndarray:
        if x.dtype == self.dtype and self.factor == 1:
            return np.ascontiguousarray(x)
        return np.rint((x.astype(np.float64) + self.shift) * self.factor).astype(self.dtype)


def scale_of(blocks: list[Block]) -> Scale:
    """The one scale for all blocks, from their type and range; raises DataError for numbers that are no pixels."""
    low, high, byte = np.inf, -np.inf, np.dtype(np.uint8)
    kinds = {block.images.dtype for block in blocks}
    if kinds == {byte} or kinds == {np.dtype(bool)}:
        return Scale(byte, 0, 255 if np.dtype(bool) in kinds else 1)
    for block in blocks:
        if block.images.dtype.kind not in "uifb":
            raise DataError(
                f"{block.name} holds {block.images.dtype}; pixels are uint8, uint16, or float in [0, 1] or [-1, 1]."
            )
        for start in range(0, len(block.images), 4096):
            part = np.asarray(block.images[start : start + 4096])
            if part.dtype.kind == "f" and not np.isfinite(part).all():
                where = start + int(np.argmin(np.isfinite(part).reshape(len(part), -1).all(1)))
                raise DataError(
                    f"{block.name} holds NaN or infinity, first in picture {where}. Take such pictures out."
                )
            if part.size:
                low, high = min(low, float(part.min())), max(high, float(part.max()))
    whole = all(kind.kind in "uib" for kind in kinds)
    if not whole and low >= -1 and high <= 1:
        return Scale(byte, 1, 127.5) if low < 0 else Scale(byte, 0, 255)
    if low >= 0 and high <= 255 and kinds != {np.dtype(np.uint16)}:
        note = "The pixels are whole numbers in 0..1; they are taken as 0..255 levels." if whole and high <= 1 else None
        return Scale(byte, 0, 1, note)
    if whole and low >= 0 and high <= 65535:
        grey = all(channels_last(block).shape[3] == 1 for block in blocks)
        return Scale(np.dtype(np.uint16), 0, 1) if grey else Scale(byte, 0, 1 / 257)
    wanted = "pixels are 0..255, 0..65535, or float in [0, 1] or [-1, 1]"
    raise DataError(f"{blocks[0].name} holds numbers from {low:g} to {high:g}; {wanted}.")


def convert(
    views: list[Block], rows: np.ndarray, scale: Scale, goal: tuple[int, int], alpha: bool, place: CacheEntry
) -> np.ndarray:
    """uint8 or uint16 records of the chosen rows, a few at a time; on disk, without a name, when larger than 256 MB."""
    channels = min(views[0].images.shape[3], 4 if alpha else 3)
    shape = (len(rows), goal[1], goal[0], channels)
    records = place.allot(shape, scale.dtype, keep=False)
    done, first = 0, 0
    for block in views:
        mine = rows[(rows >= first) & (rows < first + len(block.images))] - first
        first += len(block.images)
        for start in range(0, len(mine), 1024):
            part = scale.apply(np.asarray(block.images[mine[start : start + 1024]]))
            if part.shape[3] == 4 and not alpha:
                part = on_white(part)
            if (part.shape[2], part.shape[1]) != goal:
                part = np.stack([resize_record(record, goal) for record in part])
            records[done : done + len(part)] = part
            done += len(part)
    if records.nbytes > IN_MEMORY:
        place.discard(records)  # the mapping keeps the bytes for as long as they are used
    return records


def on_white(pictures: np.ndarray) -> np.ndarray:
    """RGB of RGBA pictures uint8 [n, h, w, 4], what is transparent laid on white."""
    alpha = pictures[..., 3:].astype(np.uint32)
    return ((pictures[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def labels_of(views: list[Block], rows: np.ndarray) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Numbers of classes for the chosen rows and the names of the classes; none where the labels tell nothing apart."""
    if any(block.labels is None for block in views):
        return None, ()
    values = np.concatenate([np.asarray(block.labels) for block in views])[rows]
    found, inverse = np.unique(values, return_inverse=True)
    classes = sorted_classes({str(value) for value in found})
    if len(found) < 2 or len(found) > max(2, len(values) // 2):
        return None, ()
    order = {name: i for i, name in enumerate(classes)}
    ranks = np.array([order[str(value)] for value in found], np.int64)
    return ranks[inverse.reshape(-1)], classes
