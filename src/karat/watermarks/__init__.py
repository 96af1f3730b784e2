"""Watermarks without pretrained weights: put into what a run makes by its secret key, and found again by that key alone.

One scheme a file: `texts`, `tables`, `images`, `sounds`. A watermark is taken off by who wants to, and one that is found is
evidence, not proof: docs/shipping.md has the measured rates.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from karat.content.codec import Codec
from karat.errors import FitError
from karat.run import Run
from karat.synthesizer import load_codec
from karat.watermarks.detection import Detection as Detection
from karat.watermarks.scheme import Watermark

SCHEMES = {  # by the name of the codec
    "text": ("texts", "TextWatermark"),
    "table": ("tables", "TableWatermark"),
    "image": ("images", "ImageWatermark"),
    "audio": ("sounds", "SoundWatermark"),
}


def scheme(codec: Codec, key: bytes) -> Watermark:
    """The watermark of this kind of content; FitError where there is none."""
    module, name = SCHEMES.get(codec.name, ("", ""))
    if not module:
        raise FitError(f"--watermark: there is none for {codec.name} content; there are: {', '.join(SCHEMES)}.")
    made: Watermark = getattr(import_module(f"karat.watermarks.{module}"), name)(codec, key)
    return made


def of_run(run: Run, codec: Codec) -> Watermark:
    """The watermark of a run, whose key is made where it has none yet."""
    scheme(codec, b"")
    return scheme(codec, run.watermark_key())


def detect(source: Any, run: Run) -> list[Detection]:
    """What is found of the run's watermark in a path, or in records as its codec has them; [] where it has made none yet.

    A path holds a file, or a folder of them, of the run's kind of content, whatever else was done to it. Raises DataError where
    it holds another kind, or what cannot be read.
    """
    codec, key = load_codec(run), run.kept_watermark_key
    if key is None:
        return []
    mark = scheme(codec, key)
    return [mark.detect(mark.read(Path(source)) if isinstance(source, str | Path) else source)]
