"""Pictures: folders, zips, IDX, arrays and Parquet become uint8 or uint16 records, points in [-1, 1], and PNG files."""

from __future__ import annotations

import io
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from karat.cache import CacheEntry, cache_entry, cache_folder
from karat.content.archive import Listing, Piece, list_folder, list_zip, open_zip, suffix_of
from karat.content.codec import Contents
from karat.content.file_names import NamePattern
from karat.content.files import FileEach
from karat.content.image import arrays
from karat.content.image.gather import ALPHAS, contents, flattened, gather, refuse_few, target_size, unreadable
from karat.content.image.parquet import Tables, parquet_files
from karat.content.image.picture import LOSSLESS, SHALLOW, SUFFIXES, WRITTEN, file_of, resize_record, rgba
from karat.content.roles import Thumbnailed
from karat.content.visible import drawn
from karat.errors import DataError, FitError
from karat.space import Grid, Space
from karat.views import Points, View

LAYOUT = 2  # of the decoded cache; raised when the same files would decode to other records
LARGEST_SIDE = 1024
VIEWED_SIDE = 64
FEW_LEVELS = 64
WANTED = (
    "a folder of PNG, JPEG, WebP, BMP, TIFF or GIF pictures (one sub-folder per class, or flat), a .zip of one, "
    "IDX files as MNIST has them, .npy, .npz, .parquet, or the word 'digits'"
)


@dataclass(frozen=True)
class Images(FileEach, Thumbnailed):
    """Pictures of one size: records `[n, height, width, channels]`, uint8 or (bits = 16) uint16; four channels are RGBA."""

    answers = ("label",)
    judged_most = 10_000
    name = "image"
    suffixes = tuple(WRITTEN)
    stack = "images"
    thing = "picture"
    settings = ("size", "limit", "alpha", "labels")

    channels: int
    height: int
    width: int
    bits: int = 8
    levels: tuple[int, ...] = ()  # the only ones the pictures use, ascending; () where they use many

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return _kind(path) is not None

    @classmethod
    def read(cls, path: Path, options: Mapping[str, Any]) -> Contents:
        """All pictures at `path`.

        options: size (pixels a side), limit (how many, evenly spread), alpha (flatten, keep or auto, see `gather`), labels (a
        pattern of the files' names or folders, see `NamePattern`), cache.
        """
        unknown = sorted(set(options) - {*cls.settings, "cache"})
        if unknown:
            raise FitError(f"Pictures have no option {unknown[0]!r}; they have {', '.join(cls.settings)} and cache.")
        size, limit = options.get("size"), options.get("limit")
        alpha, labels = options.get("alpha", "flatten"), options.get("labels")
        if alpha not in ALPHAS:
            raise FitError(f"data.alpha is {alpha!r}; there are {', '.join(ALPHAS)}.")
        labels = None if labels is None else NamePattern.read(str(labels)).text
        if size is not None and not 8 <= size <= LARGEST_SIDE:
            raise FitError(f"size is {size}; pictures are learned at 8 to {LARGEST_SIDE} pixels a side.")
        if limit is not None and limit < 1:
            raise FitError(f"limit is {limit}; at least 1 picture was wanted.")
        kind = _kind(path)
        if kind is None:
            raise DataError(explain(path))
        folder = cache_folder(options.get("cache"))
        with warnings.catch_warnings():
            # Decoders grumble about metadata that no picture depends on; a bomb is the one warning that must stop us.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            try:
                if kind in ("folder", "zip"):
                    return _note_if_grey(_read_files(path, kind, size, limit, alpha, labels, folder))
                if labels is not None:
                    raise FitError(f"--labels reads the names of files, and {path} is one file. Leave it out.")
                if kind == "parquet":
                    return _note_if_grey(_read_parquet(path, size, limit, alpha, folder))
                return _note_if_grey(_read_arrays(path, kind, size, limit, alpha, folder))
            except OSError as error:
                raise DataError(f"{path} cannot be read ({error}).") from error

    @classmethod
    def fit(cls, contents: Contents, train: np.ndarray) -> Self:
        """The shape of a record, and the grey levels in use where the training rows have few of them."""
        _, height, width, channels = contents.records.shape
        bits = contents.records.dtype.itemsize * 8
        return cls(channels, height, width, bits, _levels(contents.records, train) if bits == 8 else ())

    @property
    def spaces(self) -> tuple[Grid, ...]:
        return (Grid(self.channels, (self.height, self.width)),)

    @property
    def viewed(self) -> Grid:
        """At most 64 pixels a side, in the picture's own proportions."""
        scale = min(1.0, VIEWED_SIDE / max(self.height, self.width))
        return Grid(self.channels, (max(1, round(self.height * scale)), max(1, round(self.width * scale))))

    def traits(self) -> dict[str, Any]:
        """Shape, channels, size and depth of every picture."""
        shape = [self.channels, self.height, self.width]
        return {"shape": shape, "channels": self.channels, "size": [self.width, self.height], "bits": self.bits}

    def phrase(self) -> str:
        tone = f"{self.channels} channel{'s' if self.channels > 1 else ''}, {self.bits} bit"
        return f"pictures, {self.width}x{self.height}, {tone}"

    @property
    def top(self) -> int:
        """The whitest level: 255 or 65535."""
        return (1 << self.bits) - 1

    def encode(self, records: np.ndarray, space: Space | None = None) -> Tensor:
        """float32 `[n, channels, height, width]` in [-1, 1] of records `[n, height, width, channels]`."""
        if space is not None and space not in self.spaces:
            raise FitError(f"Pictures can become {self.spaces[0]}; {space} was asked for.")
        self._check(records)
        points = torch.empty((len(records), self.channels, self.height, self.width))
        for start in range(0, len(records), 4096):
            part = torch.from_numpy(np.array(records[start : start + 4096], np.int32 if self.bits == 16 else np.uint8))
            points[start : start + 4096] = part.movedim(3, 1)
        return points.div_(self.top / 2).sub_(1)

    def decode(self, points: Tensor, space: Space | None = None, rng: np.random.Generator | None = None) -> np.ndarray:
        """Records of any points `[n, channels, height, width]`: clipped to [-1, 1], NaN as mid-grey, halves to even."""
        bounded = points.detach().to("cpu", torch.float32).nan_to_num(0.0, 1.0, -1.0).clamp(-1, 1)
        levels = ((bounded + 1) * (self.top / 2)).round_().movedim(1, 3).contiguous().numpy()
        records = levels.astype(np.uint16 if self.bits == 16 else np.uint8)
        if not self.levels:
            return records
        nearest = np.abs(np.arange(256)[:, None] - np.array(self.levels)).argmin(1)
        snapped: np.ndarray = np.array(self.levels, np.uint8)[nearest][records]
        return snapped

    def view(self, records: np.ndarray, rows: np.ndarray | None = None) -> Points:
        return Points(self._small(records if rows is None else records[rows]))

    def finest(self, records: np.ndarray) -> Points:
        return Points(self.encode(records))

    def unview(self, view: View) -> np.ndarray:
        assert isinstance(view, Points)
        return self.decode(view.points)

    def _small(self, records: np.ndarray) -> Tensor:
        """The encoded pictures, averaged down over areas where they are larger than 64 pixels."""
        size = self.viewed.shape[1:]
        if size == (self.height, self.width):
            return self.encode(records)
        small = torch.empty((len(records), *self.viewed.shape))
        for start in range(0, len(records), 256):
            part = slice(start, start + 256)
            small[part] = F.interpolate(self.encode(records[part]), size=list(size), mode="area")
        return small

    def thumbnails(self, records: np.ndarray) -> Tensor:
        """float `[n, 256]`: grey levels of 16 x 16 fields, weighed as JPEG does, which spares them when it saves again."""
        small = self._small(records)
        weights = small.new_tensor(
            [0.299, 0.587, 0.114] if small.shape[1] == 3 else [1 / small.shape[1]] * small.shape[1]
        )
        grey = torch.einsum("nchw,c->nhw", small, weights)[:, None]
        return F.adaptive_avg_pool2d(grey, (16, 16)).flatten(1)

    def blobs(self, records: np.ndarray, suffix: str = "", visible: str = "") -> Iterator[bytes]:
        """One file per record, PNG by default; 16-bit grey as 16-bit PNG or TIFF."""
        self._check(records)
        for record in drawn(records, visible) if visible else records:
            yield file_of(record, self.channels, suffix or ".png")

    def held(self, records: np.ndarray, form: str) -> list[bytes] | None:
        return None if self.bits == 16 or form not in LOSSLESS else [rgba(record) for record in records]

    def place_of(self, goal: Path, chosen: bool) -> tuple[Path, str | None]:
        goal, suffix = super().place_of(goal, chosen)
        if self.bits == 16 and suffix in SHALLOW:
            raise FitError(f"{goal}: these pictures have 16 bits, and {suffix} has 8; write .png or .tif.")
        return goal, suffix

    def show(self, records: np.ndarray) -> np.ndarray:
        """uint8 `[n, height, width, 3]` for contact sheets and reports."""
        self._check(records)
        eight = np.rint(records / 257).astype(np.uint8) if self.bits == 16 else np.asarray(records)
        if self.channels == 4:
            return arrays.on_white(eight)
        return np.repeat(eight, 3, 3) if self.channels == 1 else eight

    def conform(self, records: np.ndarray) -> np.ndarray:
        """Pictures [n, h, w, c] of any size and mode at this codec's size, channels and depth."""
        dtype = np.uint16 if self.bits == 16 else np.uint8
        if records.dtype != dtype:
            high = records.astype(np.uint32)
            records = (high * 257 if dtype == np.uint16 else (high + 128) // 257).astype(dtype)
        if records.shape[3] == 4 and self.channels != 4:
            records = arrays.on_white(records)
        if records.shape[3] != self.channels:
            if self.channels == 4:
                colour = np.repeat(records, 3, axis=3) if records.shape[3] == 1 else records
                records = np.concatenate([colour, np.full_like(colour[..., :1], self.top)], axis=3)
            elif self.channels == 1:  # ITU-R 601 luma, as Pillow converts RGB to L
                records = np.rint(records @ np.array([0.299, 0.587, 0.114]))[..., None].astype(dtype)
            else:
                records = np.repeat(records, self.channels, axis=3)
        if records.shape[1:3] != (self.height, self.width):
            records = np.stack([resize_record(record, (self.width, self.height)) for record in records])
        return records

    def alike(self) -> dict[str, Any]:
        """Transparency is read where ours is learned."""
        return {"alpha": "auto"} if self.channels == 4 else {}

    def sheet(self, records: np.ndarray, columns: int) -> bytes:
        out = io.BytesIO()
        contact_sheet(self.show(records), columns).save(out, "PNG")
        return out.getvalue()

    def state(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        levels = tuple(int(level) for level in state["levels"])
        return cls(int(state["channels"]), int(state["height"]), int(state["width"]), int(state["bits"]), levels)

    def _check(self, records: np.ndarray) -> None:
        wanted = (self.height, self.width, self.channels)
        dtype = np.dtype(np.uint16 if self.bits == 16 else np.uint8)
        if records.shape[1:] != wanted or records.dtype != dtype:
            found = f"{records.dtype} {list(records.shape)}"
            raise DataError(f"The pictures are {found}; {dtype} [n, {', '.join(map(str, wanted))}] was wanted.")


def _levels(records: np.ndarray, rows: np.ndarray) -> tuple[int, ...]:
    """The levels of uint8 records at `rows`, or () where there are more than 64: scans, stamps and 4-bit pictures use few."""
    count = np.zeros(256, np.int64)
    for start in range(0, len(rows), 2048):
        count += np.bincount(records[rows[start : start + 2048]].ravel(), minlength=256)
        if (count > 0).sum() > FEW_LEVELS:
            return ()
    return tuple(int(level) for level in np.flatnonzero(count))


def contact_sheet(pictures: np.ndarray, columns: int) -> Image.Image:
    """Pictures uint8 `[n, h, w, 3]` side by side on white, `columns` to a row, two pixels apart."""
    n, height, width, _ = pictures.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (height + 2) + 2, columns * (width + 2) + 2, 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        top, left = 2 + i // columns * (height + 2), 2 + i % columns * (width + 2)
        sheet[top : top + height, left : left + width] = picture
    return Image.fromarray(sheet)


BUNDLED = "bundled:digits"  # the digits of the install, whatever lies in a folder "digits"


def _kind(path: Path) -> str | None:
    """Which way `path` is read, decided by names alone."""
    if str(path) == BUNDLED or (str(path) == "digits" and not path.exists()):
        return "digits"
    suffix = path.suffix.lower()
    if path.is_dir():
        if arrays.idx_files(path):
            return "idx"
        if _any_picture(path):
            return "folder"
        return "parquet" if parquet_files(path) else None
    if not path.is_file():
        return None
    if arrays.idx_files(path):
        return "idx"
    return {".zip": "zip", ".npy": "npy", ".npz": "npz", ".parquet": "parquet"}.get(suffix)


def _any_picture(path: Path) -> bool:
    return any(
        Path(name).suffix.lower() in SUFFIXES for _, _, names in os.walk(path, followlinks=True) for name in names
    )


def explain(path: Path) -> str:
    """Why there are no pictures at `path`, and what could be read."""
    if not path.exists():
        return f"{path} does not exist. Wanted: {WANTED}."
    if path.is_dir():
        files = (file for file in path.rglob("*") if file.is_file())
        kinds = Counter(suffix_of(file) for file in islice(files, 10_000))
        return f"{path} {_holds(kinds)}. Wanted: {WANTED}."
    if path.suffix.lower() in SUFFIXES:
        reason = unreadable(path)
        if reason is not None:
            return f"{path} cannot be read: {reason}."
        return f"{path} is one picture. Give a folder that holds it and about 200 more like it."
    hint = (
        " Unpack it, or pack it as .zip."
        if path.suffix.lower() in (".tar", ".gz", ".tgz", ".rar", ".7z", ".bz2", ".xz")
        else ""
    )
    return f"{path} is no kind of file that holds pictures.{hint} Wanted: {WANTED}."


def _holds(others: Mapping[str, int]) -> str:
    if not others:
        return "is empty"
    shown = dict(Counter(others).most_common(5))
    listed = ", ".join(f"{count} {suffix}" for suffix, count in shown.items())
    hint = " (export them as JPEG first)" if any(kind in shown for kind in (".heic", ".heif", ".avif")) else ""
    hint = " (give that file itself)" if any(kind in shown for kind in (".zip", ".npy", ".npz")) else hint
    return f"holds no pictures that can be read, but {listed}{hint}"


def _note_if_grey(found: Contents) -> Contents:
    """The contents, with a note where colour files hold nothing but grey."""
    if found.records.shape[3] != 3:
        return found
    for start in range(0, len(found.records), 1024):
        part = np.asarray(found.records[start : start + 1024])
        if (part[..., 0] != part[..., 1]).any() or (part[..., 0] != part[..., 2]).any():
            return found
    note = "Every picture is grey but stored in colour; saved as grey there is a third as much to learn."
    return replace(found, facts={**found.facts, "notes": [*found.facts["notes"], note]})


def _read_files(
    path: Path, kind: str, size: int | None, limit: int | None, alpha: str, labels: str | None, folder: Path
) -> Contents:
    if kind == "folder":
        return _read_listing(path, list_folder(path), size, limit, alpha, labels, folder)
    status = path.stat()
    place = cache_entry(
        folder, LAYOUT, str(path.resolve()), status.st_size, status.st_mtime_ns, size, limit, alpha, labels
    )
    kept = place.find()
    if kept is not None:
        return contents(*kept)
    with open_zip(path) as archive:
        return _read_listing(path, list_zip(path, archive), size, limit, alpha, labels, folder, place)


def _read_listing(
    path: Path,
    listing: Listing,
    size: int | None,
    limit: int | None,
    alpha: str,
    labels: str | None,
    folder: Path,
    place: CacheEntry | None = None,
) -> Contents:
    if not listing.pieces:
        raise DataError(f"{path} {_holds(listing.others)}. Wanted: {WANTED}.")
    refuse_few(str(path), listing.pieces, len(listing.pieces))
    if place is None:
        stamps = [(p.name, p.size, p.stamp) for p in listing.pieces]
        place = cache_entry(folder, LAYOUT, str(path.resolve()), stamps, size, limit, alpha, labels)
        kept = place.find()
        if kept is not None:
            return contents(*kept)
    facts = {
        "ignored": sum(listing.others.values()),
        "ignored_kinds": dict(Counter(listing.others).most_common(10)),
        "notes": list(listing.notes) if labels is None else [],
    }
    pieces = listing.pieces if labels is None else _named(path, listing.pieces, labels, facts)
    chosen = [pieces[i] for i in _spread(len(pieces), limit)]
    return gather(chosen, str(path), size, alpha, place, facts)


def _named(path: Path, pieces: Sequence[Piece], labels: str, facts: dict[str, Any]) -> list[Piece]:
    """The pieces with the class and the facets that their names say, without those whose names are otherwise."""
    pattern = NamePattern.fitting(labels, [piece.name for piece in pieces], str(path))
    found = [(piece, pattern.parts(piece.name)) for piece in pieces]
    unmatched = [piece.name for piece, parts in found if parts is None]
    if unmatched:
        facts["notes"].append(
            f"{len(unmatched):,} pictures have other names than --labels says and are left out: {unmatched[0]}, ..."
        )
    return [
        replace(
            piece, label=parts.get("label", piece.label), facets=tuple((k, v) for k, v in parts.items() if k != "label")
        )
        for piece, parts in found
        if parts is not None
    ]


def _spread(count: int, limit: int | None) -> range | list[int]:
    """Indices of at most `limit` of `count` things, evenly spread, so that no class is cut off."""
    if limit is None or limit >= count:
        return range(count)
    return [i * count // limit for i in range(limit)]


@dataclass(frozen=True)
class _Some:
    """The chosen rows of what can be gone through again and again."""

    pieces: Iterable[Piece]
    rows: frozenset[int]

    def __iter__(self) -> Iterator[Piece]:
        return (piece for row, piece in enumerate(self.pieces) if row in self.rows)


def _read_parquet(path: Path, size: int | None, limit: int | None, alpha: str, folder: Path) -> Contents:
    files = parquet_files(path)
    stamps = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    place = cache_entry(folder, LAYOUT, stamps, size, limit, alpha)
    kept = place.find()
    if kept is not None:
        return contents(*kept)
    tables = Tables(files)
    refuse_few(str(path), tables, tables.count)
    chosen = _Some(tables, frozenset(_spread(tables.count, limit)))
    return gather(chosen, str(path), size, alpha, place, {"ignored": 0, "ignored_kinds": {}, "notes": []})


def _read_arrays(path: Path, kind: str, size: int | None, limit: int | None, alpha: str, folder: Path) -> Contents:
    if kind == "idx":
        blocks = arrays.read_idx(arrays.idx_files(path))
    elif kind == "digits":
        blocks = arrays.read_digits()
    else:
        blocks = arrays.read_npy(path) if kind == "npy" else arrays.read_npz(path)
    views = [replace(block, images=arrays.channels_last(block)) for block in blocks]
    if len({block.images.shape[1:] for block in views}) > 1:
        listed = ", ".join(f"{block.name} {list(block.images.shape)}" for block in blocks)
        raise DataError(f"{path} holds pictures of several shapes: {listed}. Bring them to one.")
    total = sum(len(block.images) for block in views)
    refuse_few(str(path), (), total)
    height, width, channels = views[0].images.shape[1:]
    if not height or not width:
        raise DataError(f"{path} holds pictures of {width} x {height} pixels.")
    scale = arrays.scale_of(views)
    if alpha == "keep" and channels != 4:
        raise DataError(
            f"{path} holds pictures of {channels} channels, and data.alpha=keep learns a fourth. Leave it out."
        )
    keep = alpha != "flatten" and channels == 4
    sizes = {(width, height): total}
    goal = target_size(sizes, size)
    rows = _spread(total, limit)
    picked = np.asarray(rows, np.int64)
    whole = len(views) == 1 and len(rows) == total
    if (
        whole
        and scale.factor == 1
        and views[0].images.dtype == scale.dtype
        and goal == (width, height)
        and (channels != 4 or keep)
    ):
        records = views[0].images
    else:
        records = arrays.convert(views, picked, scale, goal, keep, cache_entry(folder, LAYOUT, "scratch", str(path)))
    labels, classes = arrays.labels_of(views, picked)
    held = np.concatenate([np.full(len(block.images), block.holdout) for block in views])[picked]
    names = [f"{block.name}:{i}" for block in views for i in range(len(block.images))]
    facts = {
        "sizes": {f"{width}x{height}": total},
        "modes": {{1: "grey", 3: "RGB", 4: "RGBA"}[channels]: total},
        "formats": {kind: total},
        "bytes": sum(block.images.nbytes for block in blocks),
        "ignored": 0,
        "ignored_kinds": {},
        "notes": [
            *([scale.note] if scale.note else []),
            *([flattened(total, total)] if channels == 4 and not keep else []),
        ],
    }
    chosen = tuple(names[i] for i in rows)
    return Contents(records, labels, classes, chosen, held if held.any() and not held.all() else None, facts=facts)
