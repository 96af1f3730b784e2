"""Single records for a person to look at, whatever looks at them for him: pixels, a sound, a passage, named cells.

A file of one record is one `Thing`, a table one for each row, a text one for each passage. A terminal, a page or a test
needs to know no more than these four forms.
"""

from __future__ import annotations

import io
import zipfile
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from karat.content.audio.decoding import opened
from karat.content.audio.waves import SUFFIXES as SOUNDS
from karat.content.codec import Codec
from karat.content.image.picture import SUFFIXES as PICTURES
from karat.content.image.picture import decode, peek
from karat.content.relational.related import Related
from karat.content.table.io import sources
from karat.content.table.tables import Tables
from karat.content.text import reading
from karat.content.text.decoding import How
from karat.content.text.documents import LINES, PLAIN
from karat.errors import DataError
from karat.limits import need
from karat.output import BESIDE, digest

NO_CONTENT = (BESIDE, ".signature.json")  # behind a name or alone: what is said of made files
LARGEST = 2**28  # bytes of one file that is shown
TEXT, LABELS = ("text",), ("text", "label")  # columns of a table that holds passages


@dataclass(frozen=True)
class Pixels:
    """pixels: uint8 [height, width, 3]."""

    pixels: np.ndarray


@dataclass(frozen=True)
class Sound:
    """wave: float32 [samples, channels] in [-1, 1].   rate: in Hz."""

    wave: np.ndarray
    rate: int


@dataclass(frozen=True)
class Passage:
    text: str


@dataclass(frozen=True)
class Row:
    """Cells by their column's name, as they are printed; a missing one is None."""

    cells: tuple[tuple[str, str | None], ...]


Shown = Pixels | Sound | Passage | Row


@dataclass(frozen=True)
class Thing:
    """One record.   name: in the folder or file that was given.   show: reads it; DataError where it cannot be read.

    mark: SHA-256 of the file, or of the record in it.   path: of the file that holds nothing else, else None.
    """

    name: str
    show: Callable[[], Shown]
    mark: Callable[[], str]
    path: Path | None = None


@dataclass(frozen=True)
class Part:
    """`count` things of one file, which `get` gives by their number from 0."""

    name: str
    count: int
    get: Callable[[int], Thing]


class Things:
    """Every record that can be shown of some files: a sequence, of which a million rows are not a million objects."""

    def __init__(self, parts: Sequence[tuple[Part, int]]) -> None:
        """parts: each with the bytes of its file."""
        found = [(part, size) for part, size in parts if part.count]
        self.parts = [part for part, _ in found]
        self.mark = digest(
            "\n".join(f"{part.name} {part.count} {size}" for part, size in found).encode("utf-8", "surrogatepass")
        )
        self._ends = list(accumulate(part.count for part in self.parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, at: int) -> Thing:
        if not 0 <= at < len(self):
            raise IndexError(at)
        k = bisect_right(self._ends, at)
        return self.parts[k].get(at - self._ends[k] + self.parts[k].count)


def things(place: Path) -> Things:
    """The things in a file or a folder, in the order of their names; DataError where there is none."""
    files = [place] if place.is_file() else sorted(_files(place))
    named = [(file, file.name if file == place else file.relative_to(place).as_posix()) for file in files]
    out = Things([(part, file.stat().st_size) for file, name in named for part in _of_file(file, name)])
    if not out:
        raise DataError(f"{place} holds nothing that can be shown: pictures, sounds, text or tables were wanted.")
    return out


def of_records(codec: Codec, records: Any) -> list[Shown]:
    """Records as `things` shows those that were made of the same codec and read from their files."""
    if isinstance(codec, Tables):
        return list(map(_row, codec.printed(records).to_pylist()))
    if isinstance(codec, Related):
        return []  # whoever looks at rows of several tables sees them by file
    found = codec.in_python([records])
    if isinstance(found, np.ndarray):
        return [Pixels(_rgb(one)) for one in found]
    if isinstance(found, tuple):
        return [Sound(np.asarray(wave, np.float32), int(found[1])) for wave in found[0]]
    return [Passage(str(text).strip("\n")) for text in found] if isinstance(found, list) else []


def scrambled(shown: Shown, rng: np.random.Generator) -> Shown:
    """The same pixels, samples, characters or cells in random order: what nobody who looks takes for good."""
    match shown:
        case Pixels(pixels):
            return Pixels(rng.permutation(pixels.reshape(-1, 3)).reshape(pixels.shape))
        case Sound(wave, rate):
            return Sound(rng.permutation(wave), rate)
        case Passage(text):
            return Passage("".join(rng.permutation(list(text)))) if text else shown
    names, cells = zip(*shown.cells, strict=True)
    moved = np.roll(np.arange(len(cells)), int(rng.integers(1, max(2, len(cells)))))
    return Row(tuple(zip(names, (cells[i] for i in moved), strict=True)))


# Files ------------------------------------------------------------------------------------------------------------------


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        label = f".{path.name}".endswith(NO_CONTENT)
        if path.is_file() and not path.is_symlink() and not hidden and not label:
            yield path


def _of_file(path: Path, name: str) -> Iterator[Part]:
    suffix = path.suffix.lower()
    if suffix in (*PICTURES, *SOUNDS):
        whole = Thing(name, lambda: _shown(path.read_bytes(), name), lambda: digest(path.read_bytes()), path)
        yield Part(name, 1, lambda _: whole)
    elif suffix == ".zip" and not sources.recognises(path):
        yield _in_zip(path, name)
    elif suffix in (".npy", ".npz"):
        yield _in_array(path, name)
    elif suffix in (*PLAIN, *LINES) and not sources.recognises(path):
        texts = reading.read(path, How()).documents
        lone = path if len(texts) == 1 else None
        yield Part(
            name, len(texts), lambda i: _of(name if lone else f"{name}:{i + 1}", Passage(texts[i].strip("\n")), lone)
        )
    elif sources.recognises(path):
        rows = sources.open_table(path, {}).cells
        passages = tuple(rows.column_names) in (TEXT, LABELS)

        def shown(i: int) -> Shown:
            row = _row(rows.slice(i, 1).to_pylist()[0])
            return Passage((row.cells[0][1] or "").strip("\n")) if passages else row

        yield Part(name, rows.num_rows, lambda i: _of(f"{name}:{i + 1}", shown(i)))


def _of(name: str, shown: Shown, path: Path | None = None) -> Thing:
    """A passage or a row, known by what it holds."""
    return Thing(name, lambda: shown, lambda: digest(repr(shown).encode("utf-8", "surrogatepass")), path)


def _row(cells: dict[str, Any]) -> Row:
    return Row(tuple((name, None if value is None else str(value)) for name, value in cells.items()))


def _in_zip(path: Path, name: str) -> Part:
    with zipfile.ZipFile(path) as archive:
        inside = sorted(
            each.filename
            for each in archive.infolist()
            if Path(each.filename).suffix.lower() in (*PICTURES, *SOUNDS) and each.file_size <= LARGEST
        )

    def blob(i: int) -> bytes:
        with zipfile.ZipFile(path) as archive:
            return archive.read(inside[i])

    def get(i: int) -> Thing:
        return Thing(f"{name}/{inside[i]}", lambda: _shown(blob(i), inside[i]), lambda: digest(blob(i)))

    return Part(name, len(inside), get)


def _in_array(path: Path, name: str) -> Part:
    """The records of an array file as `karat make` writes it: pictures, or the waves of sounds with their rate."""
    if path.suffix.lower() == ".npz":
        with zipfile.ZipFile(path) as archive:
            need(sum(each.file_size for each in archive.infolist()), f"reading {path}", "Review a part of it.")
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    parts = {"images": found} if isinstance(found, np.ndarray) else found
    stack = next((parts[key] for key in ("images", "waves") if key in parts), None)
    if stack is None:
        raise DataError(f"{path} holds neither `images` nor `waves`, of which one was wanted.")
    rate = int(parts["rate"]) if "rate" in parts else None

    def one(i: int) -> Shown:
        record = np.asarray(stack[i])
        if rate is not None:
            return Sound(record.astype(np.float32).reshape(len(record), -1), rate)
        return Pixels(_rgb(record if record.ndim == 3 else record[..., None]))

    def get(i: int) -> Thing:
        return Thing(f"{name}:{i + 1}", lambda: one(i), lambda: digest(np.ascontiguousarray(stack[i]).tobytes()))

    return Part(name, len(stack), get)


def _shown(blob: bytes, name: str) -> Shown:
    """A picture or a sound by the bytes of its file."""
    if len(blob) > LARGEST:
        raise DataError(f"{name} has {len(blob):,} bytes; at most {LARGEST:,} are shown.")
    file: BinaryIO = io.BytesIO(blob)
    try:
        if Path(name).suffix.lower() in SOUNDS:
            with opened(file, len(blob), name) as sound:
                return Sound(sound.read(dtype="float32", always_2d=True), int(sound.samplerate))
        header = peek(file, name)
        return Pixels(decode(file, name, (header.width, header.height), 3, 8))
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{name} cannot be shown: {str(error).splitlines()[0][:200]}") from None


def _rgb(record: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3] of a picture [h, w, channels] of 8 or 16 bits; what shows through is on white."""
    pixels = (record // 257 if record.dtype == np.uint16 else record).astype(np.uint8)
    if pixels.shape[2] in (2, 4):
        alpha = pixels[..., -1:].astype(np.float32) / 255
        pixels = np.rint(pixels[..., :-1] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.repeat(pixels[..., :1], 3, 2) if pixels.shape[2] == 1 else pixels[..., :3]
