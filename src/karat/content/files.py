"""Records that are a file each (pictures, sounds) as files of a folder or a zip, or as the arrays that the field writes."""

from __future__ import annotations

import zipfile
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from karat.content.codec import Block, Codec, Delivery
from karat.errors import FitError

ARRAYS = (".npy", ".npz")
FORMS = (*ARRAYS, ".zip")
EVERY = (  # suffixes of a file of one record of any kind, and of those that are only read
    *(".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".gif", ".bmp"),
    *(".wav", ".flac", ".ogg", ".mp3", ".aiff", ".opus"),
)
AT_ONCE = 256  # records that are looked at together


class FileEach(Codec):
    """Content of which every record is a file."""

    shows = True
    suffixes: ClassVar[tuple[str, ...]]  # of a record's file, the one that is written where no name says another first
    stack: ClassVar[str]  # what an .npz calls all records

    @abstractmethod
    def blobs(self, records: Any, suffix: str = "", visible: str = "") -> Iterator[bytes]:
        """An ordinary file of each record, in the form of `suffix`; the first of `suffixes` where none is given.

        visible: words that they are to show, as `Delivery` has it.
        """

    def write(self, records: Any, folder: Path, stems: list[str], suffix: str = "", visible: str = "") -> list[Path]:
        """The same in a folder, named `<stem><suffix>`."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / (stem + (suffix or self.suffixes[0])) for stem in stems]
        for path, blob in zip(paths, self.blobs(records, suffix, visible), strict=True):
            path.write_bytes(blob)
        return paths

    @property
    def each(self) -> tuple[str, ...]:
        return self.suffixes

    def constants(self) -> Mapping[str, int]:
        """What an .npz must say of all its records for them to be used, such as a rate."""
        return {}

    def place_of(self, goal: Path, chosen: bool) -> tuple[Path, str | None]:
        if goal.suffix in FORMS and not goal.is_dir():
            return goal, goal.suffix
        if goal.suffix.lower() in self.suffixes:
            return goal, goal.suffix.lower()
        if not goal.is_dir() and (goal.suffix[1:2].isalpha() or goal.exists()):  # a folder may be new-1.2, but no x.aac
            listed = ", ".join((*self.suffixes, *FORMS))
            raise FitError(f"{goal}: {self.thing}s are written into a folder, or with a name ending in {listed}.")
        return goal, None

    def stream(self, blocks: Iterator[Block], suffix: str, file: IO[bytes], how: Delivery) -> None:
        """Arrays with one channel without its axis, and with labels where one class was asked for; a zip; or one record."""
        if how.visible and suffix in ARRAYS:
            raise FitError(f"{suffix} shows nobody what it holds; leave --visible out, or choose another --out.")
        if suffix in self.suffixes:
            for _, blob in self.leaves(blocks, replace(how, form=suffix), lambda _: False):
                file.write(blob)
        elif suffix == ".npy":
            _put_array(file, how.n, (_plain(block.records) for block in blocks))
        elif suffix == ".npz":
            labels: list[np.ndarray] = []
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                with archive.open(_entry(archive, f"{self.stack}.npy"), "w", force_zip64=True) as piece:
                    _put_array(piece, how.n, (_plain(block.records) for block in _noting(blocks, labels)))
                small = {"label": np.array(how.origin.sentence())}
                small |= {name: np.array(value) for name, value in self.constants().items()}
                small |= {"labels": np.concatenate(labels)} if labels else {}
                for name, array in small.items():
                    with archive.open(_entry(archive, f"{name}.npy"), "w") as piece:
                        np.lib.format.write_array(piece, array, allow_pickle=False)
        else:
            with zipfile.ZipFile(file, "w") as archive:
                for name, blob in self.leaves(blocks, how, lambda _: False):
                    archive.writestr(_entry(archive, name), how.origin.mark(name, blob))

    def leaves(self, blocks: Iterator[Block], how: Delivery, has: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        """Name and bytes of a file for each record; those that `has` knows are left out."""
        at, digits, suffix = 0, max(6, len(str(how.n - 1))), how.form or self.suffixes[0]
        for block in blocks:
            names = [f"{i:0{digits}d}" for i in range(at, at + len(block))]
            at += len(block)
            wanted = [i for i, name in enumerate(names) if not has(name + suffix)]
            for first in range(0, len(wanted), AT_ONCE):
                some = wanted[first : first + AT_ONCE]
                for i, blob in zip(some, self.blobs(block.records[some], suffix, how.visible), strict=True):
                    yield names[i] + suffix, blob


def _noting(blocks: Iterator[Block], labels: list[np.ndarray]) -> Iterator[Block]:
    for block in blocks:
        if block.labels is not None:
            labels.append(block.labels.numpy())
        yield block


def _plain(records: np.ndarray) -> np.ndarray:
    return records[..., 0] if records.shape[-1] == 1 else records


def _put_array(file: IO[bytes], n: int, blocks: Iterator[np.ndarray]) -> None:
    """An .npy of `n` records, written block by block."""
    for i, block in enumerate(blocks):
        block = np.ascontiguousarray(block)
        if i == 0:
            described = {
                "descr": np.lib.format.dtype_to_descr(block.dtype),
                "fortran_order": False,
                "shape": (n, *block.shape[1:]),
            }
            np.lib.format.write_array_header_1_0(file, described)
        file.write(block.tobytes())


def _entry(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """An entry without a clock in it: the same seed gives the same bytes."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.compress_type, info.external_attr = archive.compression, 0o644 << 16
    return info
