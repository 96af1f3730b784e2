"""New content as ordinary files: drawn from a finished run, decoded, written and labelled."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from karat import continuing, related
from karat.continuing import Telling
from karat.errors import DataError, FitError, RunError
from karat.families.generator import Generator
from karat.modalities import Related, Texts
from karat.modalities.codec import Codec
from karat.provenance import png, wav
from karat.provenance.label import Label, label_record
from karat.run import Run, write_whole
from karat.runner import load_codec, load_model

ARRAYS = (".npy", ".npz")
LABELLED = {".png": (png.label_png, png.read_label), ".wav": (wav.label_wav, wav.read_label)}
AT_ONCE = 50_000
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


def make(run: Run, n: int, goal: Path, wish: Wish, seed: int, device: torch.device, producer: str) -> Made:
    """`n` new records at `goal`: a folder, or a file that holds them all."""
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
    if isinstance(codec, Related):
        if wish.klass is not None:
            raise FitError('--class is for pictures; rows of tables are asked for with --given "column=value".')
        return Made(*related.make(run, codec, n, goal, wish.given, wish.balance, seed, label))
    classes = tuple(run.spec["classes"])
    model = load_model(run, codec, len(classes), device)
    if isinstance(codec, Texts):
        return _texts(run, model, codec, n, goal, wish, seed, label)
    if codec.wholes:
        return _whole(model, codec, n, goal, wish, seed, label)
    if wish.given is not None or wish.balance is not None:
        raise FitError(f"--given and --balance are for tables; {codec.name} content is asked for by --class.")
    y = _asked(model, classes, wish.klass, n, device)
    if goal.suffix in (*ARRAYS, ".zip"):
        goal.parent.mkdir(parents=True, exist_ok=True)
        records = np.concatenate(list(_drawn(model, codec, n, y, seed, device)))
        return Made(n, goal, tuple(_one_file(goal, records, y, codec, label)))
    if goal.exists() and not goal.is_dir():
        raise FitError(f"{goal} is a file; --out wants a folder, or a name ending in .npy, .npz or .zip.")
    former = [path for path in goal.iterdir() if _ours(path)] if goal.is_dir() else []
    if goal.is_dir() and len(former) < len(list(goal.iterdir())) and not (goal / "label.json").is_file():
        raise RunError(f"{goal} holds files that karat did not make; choose another --out.")
    goal.mkdir(parents=True, exist_ok=True)
    for path in former:  # or what two seeds made would lie side by side
        path.unlink()
    paths: list[Path] = []
    for records in _drawn(model, codec, n, y, seed, device):
        stems = [f"{i:06d}" for i in range(len(paths), len(paths) + len(records))]
        for path, stem in zip(codec.write(records, goal, stems), stems, strict=True):
            _label_file(path, label, stem)
            paths.append(path)
    digests = {path.name: _digest(path.read_bytes()) for path in paths}
    write_whole(goal / "label.json", json.dumps(label_record(label, digests), indent=1).encode())
    return Made(n, goal, tuple(paths))


def _texts(run: Run, model: Generator, codec: Texts, n: int, goal: Path, wish: Wish, seed: int, label: Label) -> Made:
    """Text as one file, in the source's form by default, or a folder of .txt files."""
    if wish.given is not None or wish.balance is not None:
        raise FitError("--given and --balance are for tables; text is asked for by --class and --prompt.")
    suffix = next((s for s in codec.wholes if goal.name.endswith(s)), None)
    if suffix is None and goal == run.path / "made":
        goal, suffix = goal / f"made{codec.wholes[0]}", codec.wholes[0]
    if suffix is None and goal.suffix and not goal.is_dir():
        raise FitError(f"{goal}: text is written as {', '.join(codec.wholes)}, or into a folder.")
    y = _asked(model, codec.classes, wish.klass, n, model.device)
    if y is None and model.heeds:
        y = continuing.drawn_classes(codec, n, seed).to(model.device)
    try:
        (goal if suffix is None else goal.parent).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write to {goal}: {error.strerror}; --out wants a file, or a folder.") from None
    records = continuing.tell(model, codec, n, y, wish.telling, seed)
    said = None if y is None else [codec.classes[i] for i in y.tolist()]
    if suffix is None:
        paths = continuing.put_folder(codec, records, goal, said, label)
    else:
        paths = continuing.put_whole(codec, records, goal, suffix, said, label)
    return Made(n, goal, tuple(paths))


def _whole(model: Generator, codec: Codec, n: int, goal: Path, wish: Wish, seed: int, label: Label) -> Made:
    """All records in one file, decoded together, so that what must differ among them does."""
    suffix = next((s for s in sorted(codec.wholes, key=len, reverse=True) if goal.name.endswith(s)), None)
    if suffix is None and goal.suffix and not goal.is_dir():
        raise FitError(f"{goal}: {codec.name} content is written as {', '.join(codec.wholes)}, or into a folder.")
    if suffix is None:
        goal, suffix = goal / f"made{codec.wholes[0]}", codec.wholes[0]
    if wish.klass is not None:
        raise FitError(f'--class is for pictures; a {codec.name} is asked for with --given "column=value".')
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot write to {goal.parent}: {error.strerror}; --out wants a folder, or a file in one."
        ) from None
    records = draw_rows(model, codec, n, wish, seed)
    blob = codec.pack(records, suffix)
    write_whole(goal, blob)
    beside = goal.with_name(goal.name + ".label.json")
    write_whole(beside, json.dumps(label_record(label, {goal.name: _digest(blob)}), indent=1).encode())
    return Made(len(records), goal, (goal, beside))


def draw_rows(model: Generator, codec: Codec, n: int, wish: Wish, seed: int) -> Any:
    """`n` records, or as many as the wish holds, every given cell exactly as given."""
    rng = torch.Generator(model.device).manual_seed(seed)
    chance = np.random.default_rng(seed)
    if wish.given is None and wish.balance is None:
        points = torch.cat([model.sample(min(AT_ONCE, n - i), None, rng).cpu() for i in range(0, n, AT_ONCE)])
        return codec.decode(points, model.space, chance)
    asked = codec.ask(wish.given, wish.balance, n, chance)
    if not model.completes:
        raise FitError("this recipe cannot fill in around given cells; trees, autoregressive and marginals can.")
    points = torch.cat([model.complete(part, rng).cpu() for part in asked.cells.to(model.device).split(AT_ONCE)])
    return asked.restore(codec.decode(points, model.space, chance))


def _asked(
    model: Generator, classes: tuple[str, ...], klass: str | None, n: int, device: torch.device
) -> Tensor | None:
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
    return torch.full((n,), classes.index(klass), device=device)


def _drawn(
    model: Generator, codec: Codec, n: int, y: Tensor | None, seed: int, device: torch.device
) -> Iterator[np.ndarray]:
    rng = torch.Generator(device).manual_seed(seed)
    size = max(1, min(AT_ONCE, AT_ONCE_NUMBERS // max(space.numel for space in codec.spaces)))
    for i in range(0, n, size):
        count = min(size, n - i)
        yield codec.decode(model.sample(count, None if y is None else y[i : i + count], rng).cpu(), model.space)


def _one_file(goal: Path, records: np.ndarray, y: Tensor | None, codec: Codec, label: Label) -> list[Path]:
    """Arrays as the field writes them: one channel without its axis; the label in a file beside."""
    out = BytesIO()
    if goal.suffix in ARRAYS:
        plain = records[..., 0] if records.shape[-1] == 1 else records
        if goal.suffix == ".npy":
            np.save(out, plain)
        else:
            arrays = {codec.stack: plain, "label": np.array(label.sentence())}
            arrays |= {name: np.array(value) for name, value in codec.constants().items()}
            if y is not None:
                arrays["labels"] = y.cpu().numpy()
            _save_npz(out, arrays)
    else:
        with TemporaryDirectory() as folder, zipfile.ZipFile(out, "w") as archive:
            stems = [f"{i:06d}" for i in range(len(records))]
            for path, stem in zip(codec.write(records, Path(folder), stems), stems, strict=True):
                _label_file(path, label, stem)
                _entry(archive, path.name, path.read_bytes())
    write_whole(goal, out.getvalue())
    beside = goal.with_name(goal.name + ".label.json")
    write_whole(beside, json.dumps(label_record(label, {goal.name: _digest(out.getvalue())}), indent=1).encode())
    return [goal, beside]


def _save_npz(out: BytesIO, arrays: dict[str, np.ndarray]) -> None:
    """The arrays as numpy's own .npz: a zip of .npy files."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            piece = BytesIO()
            np.save(piece, array)
            _entry(archive, f"{name}.npy", piece.getvalue())


def _ours(path: Path) -> bool:
    """Whether `make` wrote this file into a folder: it has our name and carries a label."""
    if path.name == "label.json":
        return True
    if path.suffix not in LABELLED or not path.stem.isdigit():
        return False
    try:
        return LABELLED[path.suffix][1](path.read_bytes()) is not None
    except DataError:
        return False


def _entry(archive: zipfile.ZipFile, name: str, blob: bytes) -> None:
    """An entry without a clock in it: the same seed gives the same bytes."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.compress_type, info.external_attr = archive.compression, 0o644 << 16
    archive.writestr(info, blob)


def _label_file(path: Path, label: Label, stem: str) -> None:
    if path.suffix in LABELLED:
        numbered = Label(label.producer, label.run, f"{label.item}-{stem}", label.version)
        path.write_bytes(LABELLED[path.suffix][0](path.read_bytes(), numbered))


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()
