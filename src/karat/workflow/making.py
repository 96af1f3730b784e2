"""New content as ordinary files: drawn from a finished run, decoded, written and labelled."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from karat import limits
from karat.content import Related, Texts
from karat.content.codec import Codec
from karat.content.table.formulas import Guard
from karat.content.table.seen import Past
from karat.errors import FitError
from karat.families.generator import Generator
from karat.output import BESIDE, Output, digest, goes_on, need_room
from karat.provenance import png, wav
from karat.provenance.label import Label
from karat.run import Run
from karat.synthesizer.widening import drawn
from karat.workflow import continuing, related
from karat.workflow.continuing import Telling
from karat.workflow.runner import load_codec, load_model

ARRAYS = (".npy", ".npz")
LABELLED = {".png": png.label_png, ".wav": wav.label_wav}
LONE = {
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".tif",
    ".tiff",
    ".bmp",
    ".gif",
    ".wav",
    ".flac",
    ".mp3",
    ".ogg",
}  # files of one record
AT_ONCE = 50_000
AT_ONCE_FILES = 256
PAGE = 4096  # bytes in which a file system gives room
MOST_GIVEN = 2**24  # rows of a file to be completed, of which what must differ is remembered
AT_ONCE_NUMBERS = 2**26  # of what is held at once


@dataclass(frozen=True)
class Wish:
    """What is to be made: one class by its name; rows that hold given cells, or complete a file of partial ones; a balance;
    and how text is told.
    """

    klass: str | None = None
    given: str | None = None
    balance: str | None = None
    telling: Telling = Telling()


@dataclass(frozen=True)
class Made:
    """How many there are, where, and the files written."""

    count: int
    place: Path
    files: tuple[Path, ...]
    note: str | None = None  # what a person should know


def place(run: Run, out: Path | None, request: Mapping[str, Any], overwrite: bool) -> Path:
    """Where to make: `out`, or in the run the first of made, made-2, ... that is free or where the same make was stopped."""
    if out is not None:
        return out
    k, goal = 1, run.path / "made"
    while not overwrite and goal.is_dir() and any(goal.iterdir()) and not goes_on(goal, request):
        k += 1
        goal = run.path / f"made-{k}"
    return goal


def make(
    run: Run,
    n: int,
    out: Path | None,
    wish: Wish,
    seed: int,
    device: torch.device,
    producer: str,
    overwrite: bool = False,
    safe_cells: bool = False,
) -> Made:
    """`n` new records at `out`: a folder, or a file that holds them all; by default in a new folder of the run.

    RunError for a place that holds what may not be replaced (see `output.Output`).
    """
    from karat import __version__

    if n < 1:
        raise FitError(f"-n {n}: at least 1 was wanted.")
    codec = load_codec(run)
    label = Label(producer, run.id, f"seed{seed}", __version__)
    if not isinstance(codec, Texts) and not wish.telling.plain:
        raise FitError(
            "--prompt, --temperature, --top-p, --min-p, --stop, --characters and --stream are for text; this run makes "
            f"{codec.thing}s."
        )
    request = {
        "n": n, "seed": seed, "class": wish.klass, "given": wish.given, "balance": wish.balance, "run": run.id,
        "model": digest(run.load_model()), "telling": wish.telling.asked(), "producer": producer,
        "version": __version__, "device": device.type, "safe cells": safe_cells,
    }  # fmt: skip
    guard = Guard(safe_cells)
    goal = place(run, out, request, overwrite)
    files = () if wish.given is None else (Path(wish.given),)
    output = Output(overwrite, (*run.kept, *files), run.path)
    output.check(goal)
    need_room(goal, n, f"{n:,} {codec.thing}s")  # a byte of each at the very least
    if isinstance(codec, Related):
        if wish.klass is not None:
            raise FitError(
                '--class is for pictures, sounds and text; rows of tables are asked for with --given "column=value".'
            )
        made = related.make(run, codec, n, goal, wish.given, wish.balance, seed, label, output, request, guard)
        return Made(*made, guard.note())
    classes = tuple(run.spec["classes"])
    model = load_model(run, codec, len(classes), device)
    if isinstance(codec, Texts):
        return _texts(run, model, codec, n, goal, wish, seed, label, output, request)
    if codec.wholes:
        return _whole(model, codec, n, goal, wish, seed, label, output, guard)
    if wish.given is not None or wish.balance is not None:
        raise FitError(f"--given and --balance are for tables; {codec.thing}s are asked for by --class.")
    y = _asked(model, classes, wish.klass, device)
    if goal.suffix in (*ARRAYS, ".zip") and not goal.is_dir():
        return Made(n, goal, _one_file(goal, n, _drawn(model, codec, n, y, seed, device), y, codec, label, output))
    if goal.suffix in LONE and not goal.is_dir() or goal.exists() and not goal.is_dir():
        raise FitError(f"{goal}: {codec.thing}s are written into a folder, or a file ending in .npy, .npz or .zip.")
    counted, written = Counted(n, codec.thing, goal), 0
    with output.folder(goal, label, request) as folder:
        for name, blob in _pictures(codec, n, _drawn(model, codec, n, y, seed, device), label, folder.has):
            folder.write(name, blob)
            counted.done, written = counted.done + 1, written + -(-len(blob) // PAGE) * PAGE
            if counted.done % AT_ONCE_FILES == 0:
                counted.check(written)
    return Made(n, goal, folder.paths[:-1])


def _texts(
    run: Run,
    model: Generator,
    codec: Texts,
    n: int,
    goal: Path,
    wish: Wish,
    seed: int,
    label: Label,
    output: Output,
    request: Mapping[str, Any],
) -> Made:
    """Text as one file, in the source's form by default, or a folder of .txt files."""
    if wish.given is not None or wish.balance is not None:
        raise FitError("--given and --balance are for tables; text is asked for by --class and --prompt.")
    suffix = next((s for s in codec.wholes if goal.name.endswith(s)), None)
    if suffix is None and goal.parent == run.path and goal.name.startswith("made"):
        goal, suffix = goal / f"made{codec.wholes[0]}", codec.wholes[0]
    if suffix is None and goal.suffix and not goal.is_dir():
        raise FitError(f"{goal}: text is written as {', '.join(codec.wholes)}, or into a folder.")
    one = _asked(model, codec.classes, wish.klass, model.device)
    y = None if one is None else one.expand(n)
    if y is None and model.heeds:
        y = continuing.drawn_classes(codec, n, seed).to(model.device)
    output.check(goal)
    blocks = continuing.tell(model, codec, n, y, wish.telling, seed)
    said = None if y is None else [codec.classes[i] for i in y.tolist()]
    if suffix is None:
        paths = continuing.put_folder(codec, blocks, n, goal, said, label, output, request)
    else:
        paths = continuing.put_whole(codec, blocks, goal, suffix, said, label, output)
    return Made(n, goal, paths)


def _whole(
    model: Generator,
    codec: Codec,
    n: int,
    goal: Path,
    wish: Wish,
    seed: int,
    label: Label,
    output: Output,
    guard: Guard,
) -> Made:
    """All records in one file, decoded together, so that what must differ among them does."""
    suffix = next((s for s in sorted(codec.wholes, key=len, reverse=True) if goal.name.endswith(s)), None)
    if suffix is None and goal.suffix and not goal.is_dir():
        raise FitError(f"{goal}: {codec.name} content is written as {', '.join(codec.wholes)}, or into a folder.")
    if suffix is None:
        goal, suffix = goal / f"made{codec.wholes[0]}", codec.wholes[0]
    if wish.klass is not None:
        raise FitError(
            f'--class is for pictures, sounds and text; a {codec.name} is asked for with --given "column=value".'
        )
    output.check(goal)
    counted = Counted(n, codec.thing, goal)
    with output.labelled(goal, label) as file:
        codec.stream(counted.of(draw_rows(model, codec, n, wish, seed), file), suffix, file, guard)
    return Made(counted.done, goal, (goal, goal.with_name(goal.name + BESIDE)), guard.note())


@dataclass
class Counted:
    """How many of `total` records went to `goal`; TooLarge as soon as it is clear that the disk cannot hold them all."""

    total: int
    thing: str
    goal: Path
    done: int = 0

    def of(self, blocks: Iterator[Any], file: IO[bytes]) -> Iterator[Any]:
        """The blocks, counted once they are written to `file`."""
        for block in blocks:
            yield block
            self.done += len(block)
            self.check(file.tell())

    def check(self, written: int) -> None:
        """written: bytes of the records so far."""
        left = max(0, self.total - self.done)
        need_room(self.goal, written * left / max(1, self.done), f"{left:,} more {self.thing}s")


def draw_rows(model: Generator, codec: Codec, n: int, wish: Wish, seed: int) -> Iterator[Any]:
    """Blocks of `n` records, or as many as the wish holds, every given cell exactly as given; they go together as if they
    were one.
    """
    rng = torch.Generator(model.device).manual_seed(seed)
    chance = np.random.default_rng(seed)
    past = Past(n) if n > AT_ONCE else None
    if wish.given is None and wish.balance is None:
        for i in range(0, n, AT_ONCE):
            points = model.sample(min(AT_ONCE, n - i), None, rng).cpu()
            yield codec.decode_next(drawn(model, codec, points, chance), model.space, chance, past)
        return
    if not model.completes:
        raise FitError("this recipe cannot fill in around given cells; trees, autoregressive and marginals can.")
    for asked in codec.asks(wish.given, wish.balance, n, chance, AT_ONCE):
        limits.need(asked.cells.numel() * 64, f"{len(asked.cells):,} rows at once", "Lower -n, or ask in parts.")
        points = torch.cat([model.complete(part, rng).cpu() for part in asked.cells.to(model.device).split(AT_ONCE)])
        points = drawn(model, codec, points, chance, asked.cells)
        if past is None and len(asked.cells) == AT_ONCE:  # a file of rows that may go on
            past = Past(MOST_GIVEN)
        yield asked.restore(codec.decode_next(points, model.space, chance, past))


def _asked(model: Generator, classes: tuple[str, ...], klass: str | None, device: torch.device) -> Tensor | None:
    """The class that all are to be of, where one is asked for."""
    if klass is None:
        return None
    if not model.heeds:
        raise FitError(
            "this run cannot make one class on request: "
            + (
                "its data had no labels."
                if not classes
                else "its recipe was not conditional; try vae, diffusion or cgan, of text autoregressive."
            )
        )
    if klass not in classes:
        raise FitError(f"there is no class {klass!r}; there are: {', '.join(classes)}.")
    return torch.tensor(classes.index(klass), device=device)


def _drawn(
    model: Generator, codec: Codec, n: int, y: Tensor | None, seed: int, device: torch.device
) -> Iterator[np.ndarray]:
    rng = torch.Generator(device).manual_seed(seed)
    size = max(1, min(AT_ONCE, AT_ONCE_NUMBERS // max(space.numel for space in codec.spaces)))
    for i in range(0, n, size):
        count = min(size, n - i)
        yield codec.decode(model.sample(count, None if y is None else y.expand(count), rng).cpu(), model.space)


def _pictures(
    codec: Codec, n: int, drawn: Iterator[np.ndarray], label: Label, has: Callable[[str], bool]
) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of a labelled file for each record; those that `has` knows are left out."""
    at, digits = 0, max(6, len(str(n - 1)))
    for records in drawn:
        names = [f"{i:0{digits}d}" for i in range(at, at + len(records))]
        at += len(records)
        wanted = [i for i, name in enumerate(names) if not has(name + codec.suffixes[0])]
        for first in range(0, len(wanted), AT_ONCE_FILES):
            some = wanted[first : first + AT_ONCE_FILES]
            with TemporaryDirectory() as aside:
                stems = [names[i] for i in some]
                for path, stem in zip(codec.write(records[some], Path(aside), stems), stems, strict=True):
                    yield path.name, _labelled(path, label, stem)


def _one_file(
    goal: Path, n: int, drawn: Iterator[np.ndarray], y: Tensor | None, codec: Codec, label: Label, output: Output
) -> tuple[Path, ...]:
    """Arrays as the field writes them: one channel without its axis; the label in a file beside."""
    counted = Counted(n, codec.thing, goal)
    with output.labelled(goal, label) as file:
        drawn = counted.of(drawn, file)
        if goal.suffix == ".npy":
            _put_array(file, n, map(_plain, drawn))
        elif goal.suffix == ".npz":
            small = {"label": np.array(label.sentence())}
            small |= {name: np.array(value) for name, value in codec.constants().items()}
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                with archive.open(_entry(archive, f"{codec.stack}.npy"), "w", force_zip64=True) as piece:
                    _put_array(piece, n, map(_plain, drawn))
                if y is not None:
                    small["labels"] = np.full(n, int(y))
                for name, array in small.items():
                    with archive.open(_entry(archive, f"{name}.npy"), "w") as piece:
                        np.lib.format.write_array(piece, array, allow_pickle=False)
        else:
            with zipfile.ZipFile(file, "w") as archive:
                for name, blob in _pictures(codec, n, drawn, label, lambda _: False):
                    archive.writestr(_entry(archive, name), blob)
    return goal, goal.with_name(goal.name + BESIDE)


def _plain(records: np.ndarray) -> np.ndarray:
    return records[..., 0] if records.shape[-1] == 1 else records


def _put_array(file: IO[bytes], n: int, blocks: Iterator[np.ndarray]) -> None:
    """An .npy of `n` records, written block by block."""
    for i, block in enumerate(blocks):
        block = np.ascontiguousarray(block)
        if i == 0:
            described = {"descr": np.lib.format.dtype_to_descr(block.dtype), "fortran_order": False,
                         "shape": (n, *block.shape[1:])}  # fmt: skip
            np.lib.format.write_array_header_1_0(file, described)
        file.write(block.tobytes())


def _entry(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """An entry without a clock in it: the same seed gives the same bytes."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.compress_type, info.external_attr = archive.compression, 0o644 << 16
    return info


def _labelled(path: Path, label: Label, stem: str) -> bytes:
    if path.suffix not in LABELLED:
        return path.read_bytes()
    numbered = Label(label.producer, label.run, f"{label.item}-{stem}", label.version)
    return LABELLED[path.suffix](path.read_bytes(), numbered)
