"""Files of one packed stream (gzip, bzip2, xz, zstd, a zip of one file): unpacked as they are read, in bounded memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import pyarrow as pa

from karat import limits
from karat.content import archive
from karat.errors import DataError, UnsafeFile

SUFFIXES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd", ".zip": "zip"}
MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PK\x03\x04", "zip"),
)
SWOLLEN = 2**27  # bytes from which on the ratio is looked at
STEP = 2**20


def form_of(path: Path) -> str:
    """How the file is packed, by its first bytes: "gzip", "bzip2", "xz", "zstd", "zip", or ""."""
    with path.open("rb") as file:
        start = file.read(8)
    return next((form for magic, form in MAGIC if start.startswith(magic)), "")


def bare(name: str) -> tuple[str, str]:
    """A file's name in small letters without the suffix of its packing, and that suffix or ""."""
    name = name.lower()
    packed = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")
    return name.removesuffix(packed), packed


def entries(path: Path) -> list[str]:
    """Names of the files in a zip, what systems add aside; none where it is no zip that can be looked into."""
    try:
        with zipfile.ZipFile(path) as found:
            return [e.filename for e in found.infolist() if not e.is_dir() and not archive.is_litter(e.filename)]
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return []


class _Stream(io.RawIOBase):
    """Bytes as `read` gives them, counted: what swells beyond all measure is refused, what is damaged is said in our words."""

    def __init__(self, path: Path, form: str, size: int, read: Callable[[int], bytes]) -> None:
        self.path, self.form, self.size, self._read, self.given = path, form, size, read, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            blob = self._read(len(buffer))
        except EOFError as error:
            raise DataError(
                f"{self.path} is cut short: its {self.form} data end too soon. Copy or pack it again."
            ) from error
        except (OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise DataError(
                f"{self.path} is damaged: its {self.form} data cannot be unpacked. Copy or pack it again."
            ) from error
        self.given += len(blob)
        if self.given > SWOLLEN and self.given > archive.RATIO * self.size:
            raise UnsafeFile(
                f"{self.path} has {limits.words(self.size)} and swells more than {archive.RATIO} times, beyond "
                f"{limits.words(self.given)}, as bombs do. If you trust it, unpack it and give what was in it."
            )
        buffer[: len(blob)] = blob
        return len(blob)


@contextmanager
def opened(path: Path, form: str) -> Iterator[BinaryIO]:
    """The unpacked bytes of `path`, to be read from the beginning on; DataError or UnsafeFile while reading."""
    size = max(1, path.stat().st_size)
    if not form:
        with path.open("rb") as plain:
            yield plain
    elif form == "zip":
        with archive.open_zip(path, ratio_from=SWOLLEN) as found:
            inside = [e for e in found.infolist() if not e.is_dir() and not archive.is_litter(e.filename)]
            if len(inside) != 1:
                listed = ", ".join(e.filename for e in inside[:3]) + (", ..." if len(inside) > 3 else "")
                raise DataError(
                    f"{path} holds {len(inside)} files ({listed}); one was wanted. Unpack it and give the folder."
                )
            try:
                entry = found.open(inside[0])
            except (RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
                raise DataError(f"{path}: {inside[0].filename} cannot be unpacked ({error}). Pack it again.") from error
            with entry:
                yield _buffered(_Stream(path, form, size, entry.read))
    elif form == "xz":
        with path.open("rb") as raw:
            yield _buffered(_Stream(path, form, size, _Xz(raw).read))
    elif form == "zstd":
        with pa.OSFile(str(path)) as raw, pa.CompressedInputStream(raw, "zstd") as stream:
            yield _buffered(_Stream(path, form, size, stream.read))
    else:
        stream = gzip.GzipFile(path, "rb") if form == "gzip" else bz2.BZ2File(path, "rb")
        with stream:
            yield _buffered(_Stream(path, form, size, stream.read))


def _buffered(stream: _Stream) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(stream, STEP))


class _Xz:
    """An xz stream whose dictionary may take no more than 256 MB, whatever its header asks for."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.decoder = file, lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=2**28)

    def read(self, size: int) -> bytes:
        while True:
            if self.decoder.eof:
                rest = self.decoder.unused_data + self.file.read(STEP)
                if not rest.strip(b"\0"):
                    return b""
                self.decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=2**28)  # streams may follow each other
            else:
                rest = self.file.read(2**16) if self.decoder.needs_input else b""
                if self.decoder.needs_input and not rest:
                    raise EOFError
            blob = self.decoder.decompress(rest, size)
            if blob:
                return blob


def pack(data: bytes, form: str, name: str) -> bytes:
    """`data` packed so; the same bytes give the same bytes. name: of the file inside a zip."""
    out = io.BytesIO()
    with packer(out, form, name) as write:
        write(data)
    return out.getvalue()


@contextmanager
def packer(file: IO[bytes], form: str, name: str) -> Iterator[Callable[[bytes], object]]:
    """What writes bytes, packed so, into `file`, piece by piece."""
    if form in ("gzip", "bzip2", "xz"):
        machine: Any = (
            zlib.compressobj(9, zlib.DEFLATED, 31)  # 31: as gzip, with no clock in it
            if form == "gzip"
            else bz2.BZ2Compressor()
            if form == "bzip2"
            else lzma.LZMACompressor()
        )
        yield lambda data: file.write(machine.compress(data))
        file.write(machine.flush())
    elif form == "zstd":
        with pa.CompressedOutputStream(pa.PythonFile(_Kept(file), "w"), "zstd") as stream:
            yield stream.write
    elif form == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as found:
            entry = zipfile.ZipInfo(name)  # its clock stands at 1980
            entry.compress_type = zipfile.ZIP_DEFLATED
            with found.open(entry, "w", force_zip64=True) as inside:
                yield inside.write
    else:
        yield file.write


class _Kept:
    """A file that stays open when what writes to it is closed."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self.write, self.flush = file.write, file.flush

    def close(self) -> None:
        """Nothing: who opened the file closes it."""
