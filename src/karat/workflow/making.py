"""New content as ordinary files: drawn from a finished run, decoded, written and labelled."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from karat import __version__, synthesizer, watermarks
from karat.content.codec import Block, Codec, Delivery
from karat.content.files import EVERY
from karat.content.table.bloom import Past
from karat.content.table.formulas import Guard
from karat.content.visible import words_of
from karat.curation import quotas
from karat.curation.drawing import Tally
from karat.errors import FitError
from karat.families.generator import Sampling
from karat.options import MakeOptions
from karat.output import Folder, Output, digest, goes_on, require_disk
from karat.provenance.containers import container_of
from karat.provenance.label import ALLOWED, TIME, Label
from karat.provenance.signing import Key, Signer
from karat.provenance.signing.detached import INSIDE as SIGNATURE
from karat.provenance.slots import slots
from karat.request import OnText, Request
from karat.run import Run
from karat.synthesizer import Synthesizer
from karat.workflow import curating
from karat.workflow.devices import choose_device
from karat.worth.policy import Policy

FEW = 64  # made where nobody says how many
CHECKED = 256  # files, after which is asked whether the rest has room
PAGE = 4096  # bytes in which a file system gives room
ROOM = 200  # characters of a seal, for which room is left


@dataclass(frozen=True)
class Made:
    """How many there are, where, and the files written."""

    count: int
    place: Path
    files: tuple[Path, ...]
    note: str | None = None  # what a person should know
    elsewhere: float = 0.0  # CPU seconds of processes that are no children of this one
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True)
class Labelling:
    """What made content says of its origin."""

    label: Label
    signer: Signer | None = None

    def sentence(self) -> str:
        return self.label.sentence()

    def mark(self, name: str, blob: bytes) -> bytes:
        """The file with its label inside, numbered by its name, where its format has a place for one; and signed, likewise."""
        container = container_of(name)
        signed = None if self.signer is None else self.signer.inside(name, blob, self.numbered(name))
        if signed is not None:
            return signed
        return blob if container is None else container.write(blob, self.numbered(name))

    def numbered(self, name: str) -> Label:
        """The label of one file of several: of a record where the name is its number."""
        stem = name.rpartition("/")[2].partition(".")[0]
        known = stem if ALLOWED.fullmatch(stem) else digest(stem.encode())[:12]
        return replace(self.label, item=f"{self.label.item}-{known}", record=int(stem) if stem.isdecimal() else None)

    def header(self) -> dict[bytes, bytes]:
        """Room for the label, for formats that have names and values."""
        return {key.encode(): value.encode() for key, value in slots(self.label.texts("0" * ROOM)).items()}


def label_of(run: Run, options: MakeOptions) -> Label:
    """The label of what `options` make.

    Its time is when the run ended, or SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch): the same
    seed gives the same bytes whenever it is made.
    """
    recipe = str(run.spec["recipe"].get("name", ""))
    return Label(
        options.producer,
        run.id,
        f"seed{options.seed}",
        __version__,
        recipe=recipe,
        seed=options.seed,
        time=epoch() or str(run.spec.get("ended", "")),
        law=options.labels or Policy.load(options.policy).labels,
    )


def epoch() -> str:
    """The time that SOURCE_DATE_EPOCH gives, in ISO 8601; "" where it gives none. FitError where it is no number of seconds."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not given:
        return ""
    try:
        return datetime.fromtimestamp(int(given), UTC).strftime(TIME)
    except (ValueError, OverflowError, OSError):
        raise FitError(f"SOURCE_DATE_EPOCH is {given!r}; seconds since 1970 were wanted, as a whole number.") from None


def signer_of(options: MakeOptions) -> Signer | None:
    """Who signs what is made; None where it is not to be signed. FitError where that key cannot be used."""
    if options.sign is None and options.time_stamp is not None:
        raise FitError("--time-stamp goes with --sign: it is the signature that is stamped.")
    return None if options.sign is None else Signer(Key.read(Path(options.sign)), __version__, options.time_stamp)


def sign_folder(folder: Folder, signer: Signer | None) -> None:
    """Signs all files of a folder that hold no manifest in one more file, which its label names like the others."""
    if signer is None or folder.has(SIGNATURE):
        return
    folder.flush()
    blob = signer.beside([folder.stage / name for name in folder.digests], folder.stage)
    if blob is not None:
        folder.write(SIGNATURE, blob)


def output_of(run: Run, options: MakeOptions) -> Output:
    files = () if options.given is None else (Path(options.given),)
    return Output(options.overwrite, (*run.kept, *files), run.path)


def identity(run: Run, options: MakeOptions, device: torch.device) -> dict[str, Any]:
    """What decides the files beside the request: the same again is the same make."""
    return {
        "run": run.id,
        "model": digest(run.load_model()),
        "producer": options.producer,
        "version": __version__,
        "device": device.type,
        "safe cells": options.safe_cells,
        **({} if (signer := signer_of(options)) is None else {"signed": signer.key.mark}),
        **curating.told(options),
        **({"watermark": True} if options.watermark else {}),
        **({"keyed noise": True} if options.keyed_noise else {}),
        **({"visible": True} if options.visible else {}),
        **({"labels": law} if (law := label_of(run, options).law) != "both" else {}),
    }


def place(run: Run, out: Path | None, request: Mapping[str, Any], overwrite: bool) -> Path:
    """Where to make: `out`, or in the run the first of made, made-2, ... that is free or where the same make was stopped."""
    if out is not None:
        return Path(out)
    k, goal = 1, run.path / "made"
    while not overwrite and goal.is_dir() and any(goal.iterdir()) and not goes_on(goal, request):
        k += 1
        goal = run.path / f"made-{k}"
    return goal


def request_of(options: MakeOptions, on_text: OnText | None = None) -> Request:
    """What `options` ask of the generator; FitError for what no generator could do.   on_text: what shows text as it comes."""
    number = options.n
    if options.classes is not None:
        total = sum(quotas.parsed(options.classes)[1].values())
        if number not in (None, total):
            raise FitError(f"-n {number}: --classes asks for {total:,} in all; leave -n out.")
        number = total
    if number is None:
        lone = options.out is not None and Path(options.out).suffix.lower() in EVERY
        number = 1 if options.stream or options.prompt is not None or lone else FEW
    return Request(
        number,
        options.seed,
        options.label,
        options.given,
        options.balance,
        options.prompt,
        Sampling(options.temperature, options.top_p, options.min_p),
        (options.stop,) if isinstance(options.stop, str) else tuple(options.stop),
        options.characters,
        on_text if options.stream else None,
        options.independent,
    )


def visible_of(options: MakeOptions, codec: Codec, label: Label) -> str:
    """The explicit label in words, "" where none is wanted; FitError where the content cannot show one."""
    if options.visible and not codec.shows:
        raise FitError(f"{codec.name} content has no place for a visible label yet; leave --visible out.")
    return words_of(label.law) if options.visible else ""


def blocks_of(
    synth: Synthesizer,
    run: Run,
    options: MakeOptions,
    request: Request,
    tally: Tally,
    usual: Callable[[], curating.Usual] | None = None,
) -> Iterator[Block]:
    """What is asked of the generator, in blocks, as far as it passes the gates; with the run's watermark where it is wanted.

    usual: as of `curating.blocks`.
    """
    marks = watermarks.of_run(run, synth.codec, options.watermark, options.keyed_noise)
    tally.notes += [weak for mark in marks if (weak := mark.note()) is not None]

    def draw(request: Request, past: Past | None) -> Iterator[Block]:
        asked = request
        for mark in marks:
            asked = mark.asked(asked)
        blocks = synth.stream(asked, past)
        for mark in marks:
            blocks = mark.blocks(blocks, request.seed)
        return blocks

    return curating.blocks(run, options, synth.codec, request, draw, tally, usual)


def cautions(run: Run, options: MakeOptions) -> list[str]:
    """What a person should know before anything is made: where a watermark is wanted that shows little."""
    if not options.watermark:
        return []
    note = watermarks.scheme(synthesizer.load_codec(run), b"").note()
    return [] if note is None else [note]


def make(run: Run, options: MakeOptions, on_text: OnText | None = None) -> Made:
    """New records of `run` at `options.out`: a folder, or a file that holds them all; by default in a new folder of the run.

    RunError for a place that holds what may not be replaced (see `output.Output`).
    """
    request, device = request_of(options, on_text), choose_device(options.device)
    codec, label, output = synthesizer.load_codec(run), label_of(run, options), output_of(run, options)
    asked = {**request.to_dict(), **identity(run, options, device)}
    goal = place(run, options.out, asked, options.overwrite)
    output.check(goal)
    require_disk(goal, request.n, f"{request.n:,} {codec.thing}s")  # a byte of each at the very least
    goal, suffix = codec.place_of(goal, options.out is not None)
    form = suffix if suffix in codec.each else ""
    tally = Tally()
    if form and request.n > 1:
        tally.notes.append(
            f"{goal.name} names one {codec.thing}: the {request.n:,} are files in the folder {goal.stem}"
        )
        goal, suffix = goal.with_suffix(""), None
    output.check(goal)
    signer = signer_of(options)
    if signer is not None and suffix is not None:
        output.check(signer.place(goal))
    synth = synthesizer.load(run, device, codec)
    blocks = blocks_of(synth, run, options, request, tally)
    guard = Guard(options.safe_cells)
    how = Delivery(request.n, Labelling(label, signer), guard, form=form, visible=visible_of(options, codec, label))
    counted = Counted(request.n, codec.thing, goal)
    if suffix is not None:
        with output.labelled(goal, label) as file:
            codec.stream(counted.of(blocks, codec.count, file.tell), suffix, file, how)
        blob = None if signer is None else signer.beside([goal], goal.parent)
        if blob is not None:
            output.write(Signer.place(goal), blob)
        return Made(counted.done, goal, (goal,), guard.note(), tally=tally)
    written = 0
    with Folder(output, goal, label, asked) as folder:
        blocks = counted.of(blocks, codec.count)
        for i, (name, blob) in enumerate(codec.leaves(blocks, how, folder.has), 1):
            blob = how.origin.mark(name, blob)
            folder.write(name, blob)
            written += -(-len(blob) // PAGE) * PAGE
            if i % CHECKED == 0:
                counted.check(written, i)
        sign_folder(folder, signer)
    return Made(counted.done, goal, folder.paths[:-1], guard.note(), tally=tally)


@dataclass
class Counted:
    """How many of `total` records went to `goal`; TooLarge as soon as it is clear that the disk cannot hold them all."""

    total: int
    thing: str
    goal: Path
    done: int = 0

    def of(
        self, blocks: Iterator[Block], count: Callable[[Any], int], size: Callable[[], int] | None = None
    ) -> Iterator[Block]:
        """The blocks, counted once they are written.   size: bytes so far of the one file that they are written to."""
        for block in blocks:
            yield block
            self.done += count(block.records)
            if size is not None:
                self.check(size(), self.done)

    def check(self, written: int, done: int) -> None:
        """written: bytes of the first `done` records."""
        left = max(0, self.total - done)
        require_disk(self.goal, written * left / max(1, done), f"{left:,} more {self.thing}s")
