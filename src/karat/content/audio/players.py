"""Sounds for a person to hear and see on a page: players without script or network, each over its spectrogram."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from karat.provenance.forms.vorbis import with_serial

HEAVY = 600_000  # bytes of sound on one sheet before it is packed, losslessly first
KINDS = (("audio/wav", "WAV", "PCM_16"), ("audio/flac", "FLAC", "PCM_16"), ("audio/mpeg", "MP3", "MPEG_LAYER_III"))
MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
# From dark to light in even steps of lightness, so that twice as bright looks twice as loud; also without colours.
RAMP = (
    (4, 4, 14),
    (31, 12, 72),
    (85, 15, 109),
    (136, 34, 106),
    (186, 54, 85),
    (227, 89, 51),
    (249, 140, 10),
    (249, 201, 50),
    (252, 255, 164),
)
STYLE = "margin:0;font-size:.8rem;line-height:1.3"
GRID = "display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:14px 12px"


def sheet(waves: Sequence[np.ndarray], spectrograms: Tensor, rate: int, captions: Sequence[str]) -> bytes:
    """Players of `waves` (each float32 [k, channels]) over `spectrograms` [n, channels, mels, frames], `captions` below."""
    sounds = packed(waves, rate)
    figures = "".join(
        figure(sound, picture(points.numpy()), caption)
        for sound, points, caption in zip(sounds, spectrograms, captions, strict=True)
    )
    return f'<div class="sounds" style="{GRID}">{figures}</div>'.encode()


def beside(
    made: Sequence[np.ndarray],
    real: Sequence[np.ndarray],
    spectrograms: tuple[Tensor, Tensor],
    rate: int,
    captions: Sequence[str],
) -> bytes:
    """Each made sound with the real one beside it, the line `captions[i]` over both."""
    sounds = packed([*made, *real], rate)
    n = len(made)
    blocks = []
    for i, caption in enumerate(captions):
        both = figure(sounds[i], picture(spectrograms[0][i].numpy()), "made")
        both += figure(sounds[n + i], picture(spectrograms[1][i].numpy()), "real")
        pair = f'<div style="display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:12px">{both}</div>'
        blocks.append(
            f'<div><p style="{STYLE};margin-bottom:4px"><span class="ours">{html.escape(caption)}</span></p>{pair}</div>'
        )
    columns = GRID.replace("150px", "320px").replace("14px 12px", "22px 28px")
    return f'<div class="sounds beside" style="{columns}">{"".join(blocks)}</div>'.encode()


def figure(sound: str, png: str, caption: str) -> str:
    """One player; `sound` and `png` are data addresses."""
    return (
        f'<figure style="{STYLE}"><img src="{png}" alt="Spectrogram, low tones below, time to the right" '
        'style="width:100%;height:96px;display:block">'
        f'<audio controls preload="none" aria-label="Sound: {html.escape(caption)}" '
        f'style="width:100%;height:32px" src="{sound}"></audio>'
        f'<figcaption><span class="ours">{html.escape(caption)}</span></figcaption></figure>'
    )


def packed(waves: Sequence[np.ndarray], rate: int) -> list[str]:
    """Data addresses of the waves, all as WAV, or packed where they would make a page heavy."""
    out: list[str] = []
    for kind, container, depth in KINDS:
        if container == "MP3" and rate not in MP3_RATES:
            break
        blobs = [encoded(whole_numbers(wave, 16), rate, container, depth) for wave in waves]
        out = [f"data:{kind};base64,{base64.b64encode(blob).decode()}" for blob in blobs]
        if sum(map(len, blobs)) <= HEAVY:
            break
    return out


WRITTEN = {
    ".wav": ("WAV", "PCM_"),
    ".flac": ("FLAC", "PCM_"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
AT_ONCE = 1 << 16  # samples that libsndfile gets at once: its Vorbis encoder takes memory of the stack for each


def file_of(wave: np.ndarray, rate: int, bits: int, suffix: str) -> bytes:
    """The bytes of the sound in the form that `suffix` names; the same samples give the same bytes."""
    container, depth = WRITTEN[suffix]
    blob = encoded(
        whole_numbers(wave, bits), rate, container, f"{depth}{24 if bits == 24 else 16}" if depth == "PCM_" else depth
    )
    return with_serial(blob, 1) if container == "OGG" else blob  # by libsndfile it is a random number


def encoded(wave: np.ndarray, rate: int, container: str, depth: str) -> bytes:
    """The bytes of a sound file.   wave: samples as `whole_numbers` gives them."""
    import soundfile

    out = io.BytesIO()
    channels = 1 if wave.ndim == 1 else wave.shape[1]
    with soundfile.SoundFile(out, "w", rate, channels, depth, format=container) as file:
        for start in range(0, len(wave), AT_ONCE):
            file.write(wave[start : start + AT_ONCE])
    return out.getvalue()


def whole_numbers(wave: np.ndarray, bits: int) -> np.ndarray:
    """int16, or int32 with 24 bits at the top, of samples float32 in [-1, 1]; what was read from such bits comes back."""
    full = 1 << (bits - 1)
    levels = np.clip(np.rint(np.asarray(wave, np.float64) * full), -full, full - 1)
    return levels.astype(np.int16) if bits == 16 else (levels * 256).astype(np.int32)


def picture(points: np.ndarray) -> str:
    """The data address of a PNG of a log-mel spectrogram [channels, mels, frames] in [-1, 1]; channels one over the other."""
    ramp = np.array(RAMP, float)
    at = np.linspace(0, len(ramp) - 1, 256)
    palette = np.stack([np.interp(at, np.arange(len(ramp)), ramp[:, c]) for c in range(3)], 1).round().astype(np.uint8)
    levels = np.rint((np.clip(points, -1, 1) + 1) * 127.5).astype(np.uint8)
    image = Image.fromarray(np.concatenate([channel[::-1] for channel in levels]))
    image.putpalette(palette.tobytes())
    out = io.BytesIO()
    image.save(out, "PNG", optimize=False)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
