"""Waves become log-mel points and waves again: nothing is lost that is heard, silence is silence, ends are ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sounds import tone

from karat.content.audio.spectrum import Mel
from karat.data import load

RATES = (4_000, 8_000, 16_000, 22_050, 44_100)


def tones(rate: int, samples: int, count: int = 6) -> torch.Tensor:
    """[count, 1, samples], each ending at another place."""
    rng = np.random.default_rng(0)
    out = torch.zeros(count, 1, samples)
    for i in range(count):
        wave = tone(rng, i % 3, rate, (0.4 + 0.08 * i) * samples / rate)
        out[i, 0, : len(wave)] = torch.from_numpy(wave)
    return out


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("seconds", [0.3, 1.0, 5.0])
def test_the_grid_holds_the_sound_and_halves_four_times(rate: int, seconds: float) -> None:
    mel = Mel.shaped(rate, seconds)
    assert mel.frames % 16 == 0 and mel.mels % 16 == 0 and mel.frames <= 256
    assert mel.samples >= 0.98 * seconds * rate and mel.samples <= (seconds + 0.3) * rate
    assert Mel.longest(rate) > 6


@pytest.mark.parametrize("rate", RATES)
def test_tones_come_back_at_every_rate(rate: int) -> None:
    mel = Mel.shaped(rate, 0.9)
    waves = tones(rate, mel.samples)
    mel = mel.levelled(waves)
    points = mel.points(waves)
    assert points.shape == (6, 1, mel.mels, mel.frames) and float(points.min()) >= -1 and float(points.max()) <= 1
    back = mel.waves(points)
    again = mel.points(back)
    heard = points > -0.2
    assert float((again - points)[heard].abs().mean()) * mel.span / 2 < 3, "dB"
    ends = [int(torch.nonzero(w[0])[-1]) for w in back]
    wanted = [int(torch.nonzero(w[0])[-1]) for w in waves]
    assert np.abs(np.subtract(ends, wanted)).max() <= mel.hop


def test_silence_is_exact_and_any_point_becomes_sound_that_never_clips() -> None:
    mel = Mel.shaped(8_000, 0.5)
    zeros = torch.zeros(2, 1, mel.samples)
    assert bool((mel.points(zeros) == -1).all()) and not mel.waves(mel.points(zeros)).any()
    rng = torch.Generator().manual_seed(0)
    wild = 5 * torch.randn(4, 2, mel.mels, mel.frames, generator=rng)
    wild[0, 0, 0, 0], wild[1, 0, 0, 1], wild[2, 0, 3, 3] = torch.nan, torch.inf, -torch.inf
    out = mel.waves(wild)
    assert out.shape == (4, 2, mel.samples) and bool(out.isfinite().all()) and float(out.abs().max()) <= 1
    assert torch.equal(out, mel.waves(wild)), "the same each time"
    assert torch.allclose(out[2:3], mel.waves(wild[2:3]), atol=1e-4), "whatever stands beside it"


def test_loudness_is_kept() -> None:
    mel = Mel.shaped(8_000, 0.9)
    waves = tones(8_000, mel.samples)
    soft = torch.cat([waves, 0.1 * waves])
    mel = mel.levelled(soft)
    power = mel.waves(mel.points(soft)).square().mean((1, 2)) / soft.square().mean((1, 2))
    assert float((10 * power.log10()).abs().max()) < 1, "dB"


def test_stereo_stays_where_it_stands() -> None:
    mel = Mel.shaped(8_000, 0.9)
    mono = tones(8_000, mel.samples)
    both = torch.cat([mono, 0.25 * mono], 1)
    mel = mel.levelled(both)
    back = mel.waves(mel.points(both)).square().mean(2)
    assert float((10 * (back[:, 0] / back[:, 1]).log10() - 12.04).abs().max()) < 1, "dB between the channels"


def test_real_digits_come_back_within_a_decibel_and_a_half_and_end_where_they_did(data_dir: Path) -> None:
    data = load(data_dir / "audio/fsdd", options={"labels": "{label}_{speaker}_{n}", "limit": 300}, holdout=0.3)
    codec = data.codec
    real = data.records("holdout")
    points = codec.encode(real)
    back = codec.decode(points)
    assert float((codec.encode(back) - points).square().mean().sqrt()) * codec.mel.span / 2 < 1.5, "dB"
    long, real_long = (np.array([np.flatnonzero(r.any(1))[-1] for r in x]) for x in (back, real))
    assert np.quantile(np.abs(long - real_long), 0.95) <= codec.mel.hop
    assert abs(long.mean() - real_long.mean()) < 0.015 * real_long.mean()
