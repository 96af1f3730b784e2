"""Sounds are read whatever their files, brought to one form, seen, measured and written, and nothing is lost on the way."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from sounds import save_tones, tone

from karat.content import Images, Sounds, codec_named, recognise
from karat.content.codec import Codec
from karat.data import load, survey
from karat.errors import DataError, FitError

PATTERN = {"labels": "{label}_{n}"}


def test_a_folder_of_named_files_has_classes_and_facets(tmp_path: Path) -> None:
    paths = save_tones(tmp_path)
    data = load(tmp_path, options=PATTERN, holdout="n<20")
    assert isinstance(data.codec, Sounds) and codec_named("audio") is Sounds and data.codec.thing == "sound"
    assert data.classes == ("high", "low", "middle") and len(data.holdout) == 20
    assert sorted(data.contents.facets["n"].tolist(), key=int) == [str(i) for i in range(60)]
    records = data.contents.records
    assert records.dtype == np.float32 and records.shape == (60, data.codec.mel.samples, 1)
    for name, record in zip(data.contents.names, records, strict=True):
        wave = soundfile.read(tmp_path / name, dtype="float32")[0][: len(record)]
        assert np.array_equal(record[: len(wave), 0], wave) and not record[len(wave) :].any(), (
            "as in the file, then zeros"
        )
    assert len(paths) == 60 and re.fullmatch(r"sounds, 0\.\d+ s at 8 kHz, mono", data.codec.phrase())


def test_subfolders_are_classes_and_a_zip_is_a_folder(tmp_path: Path) -> None:
    for path in save_tones(tmp_path / "x"):
        (tmp_path / "x" / path.stem.split("_")[0]).mkdir(exist_ok=True)
        path.rename(tmp_path / "x" / path.stem.split("_")[0] / path.name)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in sorted((tmp_path / "x").rglob("*.wav")):
            archive.write(path, path.relative_to(tmp_path))
    folder, packed = load(tmp_path / "x"), load(tmp_path / "x.zip")
    assert folder.classes == packed.classes == ("high", "low", "middle")
    assert folder.fingerprint == packed.fingerprint


def test_names_can_tell_what_is_set_aside(tmp_path: Path) -> None:
    for i, path in enumerate(save_tones(tmp_path)):
        path.rename(tmp_path / f"{path.stem.split('_')[0]}_{('ann', 'bo')[i % 2]}_{i}.wav")
    data = load(tmp_path, options={"labels": "{label}_{speaker}_{n}"}, holdout="speaker=bo")
    assert set(data.contents.facets["speaker"][data.holdout]) == {"bo"} and len(data.holdout) == 30
    with pytest.raises(FitError, match="there are: speaker, n"):
        load(tmp_path, options={"labels": "{label}_{speaker}_{n}"}, holdout="room=1")


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3", ".aiff"])
def test_the_usual_kinds_of_file_are_read(tmp_path: Path, suffix: str) -> None:
    save_tones(tmp_path, 40, suffix=suffix)
    data = load(tmp_path, options=PATTERN)
    assert len(data.contents.records) == 40 and float(np.abs(data.contents.records).max()) > 0.05


def test_mixed_rates_and_channels_are_brought_to_the_commonest_and_said(tmp_path: Path) -> None:
    save_tones(tmp_path, 40)
    rng = np.random.default_rng(5)
    wave = tone(rng, 0, 16_000)
    soundfile.write(tmp_path / "low_100.wav", np.stack([wave, wave], 1), 16_000)
    soundfile.write(tmp_path / "low_101.wav", np.stack([tone(rng, 0, 192_000)] * 8, 1), 192_000, subtype="PCM_24")
    data = load(tmp_path, options=PATTERN)
    assert data.codec.mel.rate == 8_000 and data.codec.channels == 1 and len(data.contents.records) == 42
    said = " ".join(data.notes)
    assert "brought to 8,000 Hz" in said and "1 at 192,000 Hz" in said
    assert "1 sounds have more than two channels" in said and "1 stereo sounds were mixed to mono" in said
    row = data.contents.names.index("low_100.wav")
    half = wave[::2]
    mine = data.contents.records[row][: len(half), 0]
    assert np.corrcoef(mine, half)[0, 1] > 0.99, "the same sound at half the rate"


def test_a_long_file_is_cut_into_pieces_and_neighbours_stay_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wave = np.concatenate([tone(rng, i % 3, 8_000, 1.0) for i in range(150)])
    soundfile.write(tmp_path / "long.flac", wave, 8_000)
    data = load(tmp_path / "long.flac", options={"seconds": 1.0})
    records = data.contents.records
    assert records.shape[1] == 8_192 and len(records) == round(len(wave) / 8_192)
    assert "was cut into" in " ".join(data.notes) or "were cut into" in " ".join(data.notes)
    read = soundfile.read(tmp_path / "long.flac", dtype="float32")[0]
    whole = records.reshape(-1)[: len(read)]
    assert np.array_equal(whole, read[: len(whole)])
    groups = data.contents.groups
    assert groups is not None and not set(groups[data.train]) & set(groups[data.holdout])


def test_stereo_is_kept_where_it_is_stereo(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(40):
        wave = tone(rng, i % 3)
        soundfile.write(tmp_path / f"{i}.wav", np.stack([wave, 0.3 * wave], 1), 8_000)
    data = load(tmp_path)
    assert data.codec.channels == 2 and data.codec.viewed.channels == 2
    assert data.points("train").shape[1:] == data.codec.spaces[0].shape
    assert load(tmp_path, options={"channels": "mono"}).codec.channels == 1


def test_wave_and_mel_are_both_offered_and_the_form_says_which_comes_first(tmp_path: Path) -> None:
    save_tones(tmp_path)
    mel, wave = load(tmp_path).codec, load(tmp_path, options={"form": "wave"})
    assert mel.spaces == wave.codec.spaces[::-1] and len(wave.space.size) == 1
    points = wave.points("train")
    assert points.shape[1:] == wave.space.shape and float(points.abs().max()) == pytest.approx(1, abs=1e-5)
    back = wave.codec.decode(points)
    assert float(np.abs(back - wave.records("train")).max()) < 1e-4
    wild = wave.codec.decode(torch.randn(3, *wave.space.shape) * 9)
    assert np.isfinite(wild).all() and float(np.abs(wild).max()) <= 1


def test_a_wave_that_a_model_leaves_soft_noise_behind_ends_in_silence(tmp_path: Path) -> None:
    save_tones(tmp_path)
    wave = load(tmp_path, options={"form": "wave"})
    points = wave.points("train")[:4]
    end = points.shape[2] * 5 // 8
    points[..., end:] = 1e-5 * torch.randn(points[..., end:].shape, generator=torch.Generator().manual_seed(0))
    made = wave.codec.decode(points)
    assert made[:, : end // 2].any((1, 2)).all() and not made[:, end + 4 * 128 :].any()


def test_a_codec_is_saved_and_restored(tmp_path: Path) -> None:
    save_tones(tmp_path)
    data = load(tmp_path)
    again: Codec = Sounds.restore(data.codec.state())
    assert again == data.codec and torch.equal(again.encode(data.records("holdout")), data.points("holdout"))


def test_what_is_written_is_what_was_read(tmp_path: Path) -> None:
    for depth in ("PCM_16", "PCM_24"):
        (tmp_path / depth).mkdir()
        for path in save_tones(tmp_path / depth):
            wave = soundfile.read(path)[0]
            soundfile.write(path, wave, 8_000, subtype=depth)
        data = load(tmp_path / depth)
        records = data.records("train", 8)
        files = data.codec.write(records, tmp_path / "out" / depth, [f"{i}" for i in range(8)])
        for file, record in zip(files, records, strict=True):
            wave, rate = soundfile.read(file, dtype="float32")
            assert rate == 8_000 and soundfile.info(file).subtype == depth
            assert np.array_equal(wave, record[: len(wave), 0]) and not record[len(wave) :].any()


def test_gauges_read_what_was_put_in(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(40):
        t = np.arange(4_000) / 8_000
        wave = 0.1 * sum(np.sin(2 * np.pi * 200 * h * t) / h for h in (1, 2, 3)) * (1 if i else 0.1)
        soundfile.write(tmp_path / f"{i}.wav", wave + 1e-5 * rng.standard_normal(4_000), 8_000)
    data = load(tmp_path)
    read = data.codec.descriptors(data.contents.records)
    assert set(read) == {"length (s)", "loudness (dB)", "brightness (Hz)", "pitch (Hz)"}
    assert np.allclose(read["length (s)"], 0.5, atol=0.01) and np.allclose(read["pitch (Hz)"], 200, rtol=0.03)
    first = data.contents.names.index("0.wav")
    other = (first + 1) % 40
    assert read["loudness (dB)"][other] - read["loudness (dB)"][first] == pytest.approx(20, abs=0.2)
    assert 200 < read["brightness (Hz)"][other] < 500


def test_a_tone_of_a_thousand_hertz_has_the_loudness_that_the_standard_says(tmp_path: Path) -> None:
    t = np.arange(48_000) / 48_000
    from karat.content.audio.descriptors import descriptors

    loud = descriptors(torch.from_numpy(np.sin(2 * np.pi * 997 * t)).float()[None, None], 48_000)["loudness (dB)"]
    assert loud[0] == pytest.approx(-3.01, abs=0.05), "ITU-R BS.1770: a full-scale 997 Hz sine in one channel"


def test_doubles_are_found_though_shifted_or_softer_and_other_takes_are_none(tmp_path: Path) -> None:
    paths = save_tones(tmp_path)
    wave = soundfile.read(paths[0])[0]
    soundfile.write(tmp_path / "soft.wav", 0.4 * wave, 8_000)
    soundfile.write(tmp_path / "late.wav", np.concatenate([np.zeros(333), wave]), 8_000)
    told = survey(load(tmp_path))["near_duplicates"]
    pairs = {frozenset(pair) for pair in told["examples"]}
    assert frozenset(("soft.wav", "low_0.wav")) in pairs and frozenset(("late.wav", "low_0.wav")) in pairs
    assert all(pair <= {"soft.wav", "late.wav", "low_0.wav"} for pair in pairs)


def test_a_sheet_plays_without_script_or_network(tmp_path: Path) -> None:
    save_tones(tmp_path)
    data = load(tmp_path)
    records = data.records("train", 64)
    page = data.codec.sheet(records, 8).decode()
    assert page.count("<audio controls") == page.count("<img ") == len(records) and "<script" not in page
    assert set(re.findall(r'src="([^:]+:[^;]+);', page)) == {"data:audio/wav", "data:image/png"} and "http" not in page
    assert len(page) < 1_500_000
    pair = data.codec.beside(records[:3], records[3:6], ["<a>", "b", "c"])
    assert pair is not None and pair.decode().count("<audio") == 6 and "&lt;a&gt;" in pair.decode()


def test_pictures_with_a_stray_sound_stay_pictures(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(b"x")
    save_tones(tmp_path, 1)
    assert recognise(tmp_path) is Images


def test_others_sounds_are_brought_to_our_form(tmp_path: Path) -> None:
    save_tones(tmp_path / "a")
    save_tones(tmp_path / "b", rate=16_000, seed=1)
    codec = load(tmp_path / "a").codec
    theirs = codec.conform(Sounds.read(tmp_path / "b", codec.alike()).records)
    assert theirs.shape[1:] == (codec.mel.samples, 1) and codec.view(theirs).points.shape[1:] == codec.viewed.shape


def test_settings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    save_tones(tmp_path)
    for options in ({"rate": 10}, {"seconds": 900}, {"channels": "five"}, {"form": "picture"}, {"limit": 0}):
        with pytest.raises(FitError, match=f"data.{next(iter(options))} is"):
            load(tmp_path, options=options)
    for pattern in ("label", "{label}_{label}", "{la bel}", "{label"):
        with pytest.raises(FitError, match="wanted a pattern of the files' names"):
            load(tmp_path, options={"labels": pattern})
    with pytest.raises(DataError, match="not as --labels says"):
        load(tmp_path, options={"labels": "{label}-{n}"})
