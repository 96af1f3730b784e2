"""Watermarks without pretrained weights: put into what a run makes by its secret key, and found again by that key alone.

One scheme a file: `texts`, `tables`, `related`, `images`, `sounds`, and `noise`, of which diffusion makes pictures. A mark is
taken off by who wants to, and one that is found is evidence, not proof: docs/shipping.md has the measured rates.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from karat.content.codec import Codec
from karat.errors import FitError
from karat.run import Run
from karat.synthesizer import load, load_codec
from karat.watermarks.detection import Detection as Detection
from karat.watermarks.scheme import Watermark

SCHEMES = {  # by the name of the codec
    "text": ("texts", "TextWatermark"),
    "table": ("tables", "TableWatermark"),
    "image": ("images", "ImageWatermark"),
    "audio": ("sounds", "SoundWatermark"),
    "related": ("related", "RelatedWatermark"),
}


def scheme(codec: Codec, key: bytes) -> Watermark:
    """The watermark of this kind of content; FitError where there is none."""
    module, name = SCHEMES.get(codec.name, ("", ""))
    if not module:
        raise FitError(f"--watermark: there is none for {codec.name} content; there are: {', '.join(SCHEMES)}.")
    made: Watermark = getattr(import_module(f"karat.watermarks.{module}"), name)(codec, key)
    return made


def of_run(run: Run, codec: Codec, keyed: bool, noise: bool) -> list[Watermark]:
    """The watermarks of a run, whose keys are made where it has none yet.

    keyed: that of its kind of content.   noise: that of the noise that its pictures begin with.
    """
    if keyed:
        scheme(codec, b"")
    if noise and not _begins(codec):
        raise FitError(f"--keyed-noise: it is for pictures by diffusion and ddpm; this run makes {codec.thing}s.")
    found = [scheme(codec, run.watermark_key())] if keyed else []
    return [*found, _noise(codec, run.noise_key())] if noise else found


def _begins(codec: Codec) -> bool:
    """Whether what is made may follow from noise that can be told from it again."""
    return SCHEMES.get(codec.name) == SCHEMES["image"]


def _noise(codec: Any, key: bytes, model: Any = None) -> Watermark:
    from karat.watermarks.noise import NoiseWatermark

    return NoiseWatermark(codec, key, model)


def detect(source: Any, run: Run) -> list[Detection]:
    """What is found of the run's watermarks in a path, or in records as its codec has them; [] where it has made none yet.

    A path holds a file, or a folder of them, of the run's kind of content, whatever else was done to it. Raises DataError where
    it holds another kind, or what cannot be read.
    """
    codec, marks = load_codec(run), []
    if (key := run.kept_watermark_key) is not None:
        marks.append(scheme(codec, key))
    if (key := run.kept_noise_key) is not None and _begins(codec):
        model = _model(run.path, str(run.spec["models"]))
        marks += [_noise(codec, key, model)] if model is not None and model.begins else []
    if not marks:
        return []
    records = marks[0].read(Path(source)) if isinstance(source, str | Path) else source
    return [mark.detect(records) for mark in marks]


@lru_cache(1)  # a folder is asked for file by file
def _model(path: Path, weights: str) -> Any:
    """The model of a run as it is now, None where it is no net; `weights` says which."""
    return getattr(load(Run.open(path), torch.device("cpu")), "model", None)
