"""A thing as a page shows it: a picture, a sound that can be played, a passage, cells."""

from __future__ import annotations

import io

import numpy as np
from markupsafe import Markup
from PIL import Image

from karat.content.showing import Pixels, Shown, Sound

WIDE, HIGH, COLUMNS = 600, 120, 200  # of a drawn wave, in its own units


def kind(shown: Shown) -> str:
    """The word by which templates tell the four forms apart."""
    return type(shown).__name__.lower()


def blob(shown: Shown) -> tuple[bytes, str]:
    """The bytes of a picture or a sound, without anything that would tell where it is from, and their media type."""
    out = io.BytesIO()
    if isinstance(shown, Pixels):
        Image.fromarray(shown.pixels).save(out, "PNG", compress_level=1)
        return out.getvalue(), "image/png"
    if isinstance(shown, Sound):
        import soundfile

        soundfile.write(out, shown.wave, shown.rate, format="WAV", subtype="PCM_16")
        return out.getvalue(), "audio/wav"
    raise TypeError(f"{kind(shown)} is shown as text")


def wave(shown: Shown) -> Markup:
    """How loud a sound is as it goes, as SVG; nothing of what is no sound."""
    if not isinstance(shown, Sound) or not len(shown.wave):
        return Markup()
    parts = np.array_split(np.abs(shown.wave).max(1), min(COLUMNS, len(shown.wave)))
    peaks = [float(part.max()) * HIGH / 2 for part in parts]
    step = WIDE / len(peaks)
    bars = "".join(f"M{(i + 0.5) * step:.1f} {HIGH / 2 - p:.1f}v{2 * p + 1:.1f}" for i, p in enumerate(peaks))
    frame = f'viewBox="0 0 {WIDE} {HIGH}" preserveAspectRatio="none" aria-hidden="true"'
    return Markup(f'<svg class="wave" {frame}><path d="{bars}"/></svg>')
