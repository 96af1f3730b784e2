"""What is thrown at the reader of sounds: each bad file is named with its reason, few are skipped and many refused."""

from __future__ import annotations

import io
import os
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from processes import karat_process
from sounds import save_tones, tone

from karat.content.audio.decoding import without_notes
from karat.data import load, survey
from karat.errors import DataError, TooLarge, UnsafeFile


def encoded(wave: np.ndarray, rate: int = 8_000, kind: str = "WAV", depth: str | None = None) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, wave, rate, format=kind, subtype=depth)
    return out.getvalue()


WAVE = tone(np.random.default_rng(0), 0)


def lying(data: bytes, promise: int) -> bytes:
    at = data.index(b"data") + 4
    return data[:at] + struct.pack("<I", promise) + data[at + 4 :]


def headed(data: bytes, at: int, form: str, value: int) -> bytes:
    return data[:at] + struct.pack(form, value) + data[at + struct.calcsize(form) :]


def vowing(data: bytes, at: int, promise: bytes) -> bytes:
    return data[:at] + promise + data[at + len(promise) :]


BAD = {
    "lies.wav": (lying(encoded(WAVE), 10**8), r"promises 6.25e\+03 s of sound in its header and holds 0.3 s"),
    "cut.wav": (encoded(WAVE)[:2000], "promises 0.3 s of sound in its header and holds 0.122 s"),
    "none.wav": (encoded(WAVE[:0]), "holds no sound: 0 samples"),
    "one.wav": (encoded(WAVE[:1]), "lasts 1 sample; a sound has at least 0.01 s"),
    "empty.wav": (b"", "is empty"),
    "text.wav": (b"this is no sound at all, whatever its name says" * 20, "is not a sound, or its head is damaged"),
    "page.mp3": (b"<html>404</html>" * 100, "is not a sound, or its head is damaged"),
    "head.wav": (encoded(WAVE)[:30], "is not a sound, or its head is damaged"),
    "fast.wav": (headed(encoded(WAVE), 24, "<I", 2**31 - 1), "says it has 2,147,483,647 samples a second"),
    "still.wav": (headed(encoded(WAVE), 24, "<I", 0), "is not a sound, or its head is damaged"),
    "nan.wav": (
        encoded(np.where(np.arange(2400) == 7, np.nan, WAVE), depth="FLOAT"),
        r"holds numbers that are no sound \(NaN, infinite or vast\)",
    ),
    "vast.wav": (encoded(np.where(np.arange(2400) == 7, 3e38, WAVE), depth="FLOAT"), "holds numbers that are no sound"),
    "years.flac": (
        vowing(encoded(WAVE, kind="FLAC"), 22, b"\xff" * 4),
        "says it holds 149.1 hours of sound, as bombs do",
    ),
    "years.mp3": (
        vowing(encoded(WAVE, kind="MP3"), encoded(WAVE, kind="MP3").index(b"Xing") + 8, b"\x0f" + b"\xff" * 3),
        "hours of sound, as bombs do",
    ),
    "half.flac": (encoded(WAVE, kind="FLAC")[:2000], "."),
    "half.ogg": (encoded(WAVE, kind="OGG")[:3000], "."),
}


@pytest.mark.parametrize("name", BAD)
def test_an_unreadable_sound_is_skipped_and_named_with_its_reason(tmp_path: Path, name: str) -> None:
    data, reason = BAD[name]
    save_tones(tmp_path, 40)
    (tmp_path / name).write_bytes(data)
    found = load(tmp_path)
    assert len(found.contents.records) == 40 and name not in found.contents.names
    ((bad, why),) = found.contents.skipped
    assert bad == name and re.search(reason, why) and "<_io" not in why and len(why) < 200
    assert any(name in line for line in survey(found)["warnings"])


@pytest.mark.parametrize("name", BAD)
def test_an_unreadable_sound_by_itself_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(BAD[name][0])
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(DataError, match=f"1 of 1 sounds cannot be read .*{name}: "):
            load(path)


def test_more_than_a_tenth_is_refused_with_ten_names_and_a_count(tmp_path: Path) -> None:
    save_tones(tmp_path, 60)
    for i in range(13):
        (tmp_path / f"bad{i:02}.wav").write_bytes(BAD["text.wav"][0])
    with pytest.raises(DataError, match="13 of 73 sounds cannot be read .at most 10% is skipped.") as caught:
        load(tmp_path)
    said = str(caught.value)
    assert "bad09.wav" in said and "bad10.wav" not in said and "and 3 more" in said


def test_a_damaged_mp3_is_named_once_and_its_decoder_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """libmpg123 printed up to four lines for each of such files, over whatever stood on the terminal."""
    whole = encoded(tone(np.random.default_rng(0), 0, 22_050, 3), 22_050, "MP3")
    (tmp_path / "a.mp3").write_bytes(whole[:900] + b"\xff" * 300 + whole[1200:])
    soundfile.SoundFile(tmp_path / "a.mp3").read()
    assert "Illegal Audio-MPEG-Header" in capfd.readouterr().err, "it would be printed"
    save_tones(tmp_path, 40)
    found = load(tmp_path)
    assert [name for name, _ in found.contents.skipped] == ["a.mp3"]
    assert capfd.readouterr().err == ""
    with without_notes("a.mp3"):
        os.write(2, b"Note: of libmpg123\nof somebody else\n")
    assert capfd.readouterr().err == "of somebody else\n"


def test_one_percent_is_skipped(tmp_path: Path) -> None:
    save_tones(tmp_path, 198)
    (tmp_path / "a.wav").write_bytes(BAD["text.wav"][0])
    (tmp_path / "b.wav").write_bytes(BAD["cut.wav"][0])
    data = load(tmp_path)
    assert [name for name, _ in data.contents.skipped] == ["a.wav", "b.wav"] and len(data.contents.records) == 198


def test_sounds_of_any_depth_rate_and_name_are_read_and_what_is_odd_is_said(tmp_path: Path) -> None:
    save_tones(tmp_path, 100)
    rng = np.random.default_rng(3)
    (tmp_path / "deep.wav").write_bytes(encoded(tone(rng, 0), depth="PCM_24"))
    (tmp_path / "fine.wav").write_bytes(encoded(tone(rng, 1, 192_000), 192_000, depth="PCM_24"))
    (tmp_path / "eight.wav").write_bytes(encoded(np.stack([tone(rng, 1)] * 8, 1)))
    (tmp_path / "renamed.wav").write_bytes(encoded(tone(rng, 2), kind="MP3"))
    (tmp_path / "float.wav").write_bytes(encoded(30 * tone(rng, 2), depth="FLOAT"))
    (tmp_path / "piped.wav").write_bytes(lying(encoded(tone(rng, 0)), 0xFFFFFFFF))
    for i in range(3):
        (tmp_path / f"silent{i}.wav").write_bytes(encoded(np.zeros(2_000 + i)))
        (tmp_path / f"offset{i}.wav").write_bytes(encoded(0.2 + tone(rng, i)))
    data = load(tmp_path)
    records = data.contents.records
    assert not data.contents.skipped and len(records) == 112
    assert np.isfinite(records).all() and float(np.abs(records).max()) <= 1
    said = " ".join(data.notes)
    for words in (
        "1 at 192,000 Hz",
        "1 sounds have more than two channels",
        "not of the kind that their names say, such as renamed.wav",
        "1 sounds go beyond full scale",
        "3 sounds are silent",
        "3 sounds do not swing about zero",
    ):
        assert words in said, words
    silent = data.contents.names.index("silent0.wav")
    assert not data.codec.decode(data.codec.encode(records[silent : silent + 1])).any()
    offset = data.contents.names.index("offset0.wav")
    back = data.codec.decode(data.codec.encode(records[offset : offset + 1]))
    assert abs(float(back.mean())) < 0.02, "direct current is not learned"


def test_sound_that_would_fill_the_memory_is_refused_before_a_place_for_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "long.wav", np.resize(WAVE, 8_000 * 200), 8_000)
    monkeypatch.setenv("KARAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KARAT_MEMORY_GB", "0.005")
    with pytest.raises(TooLarge, match="long.wav .98 records of 2.05 s at 8,000 Hz. would need about 6.4 MB of memory"):
        load(tmp_path / "long.wav")
    assert not list((tmp_path / "cache").glob("*.npy"))


def test_a_header_that_sends_the_reader_before_the_beginning_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    save_tones(tmp_path, 40)
    data = encoded(WAVE, kind="RF64")
    (tmp_path / "lying.wav").write_bytes(vowing(data, data.index(b"ds64") + 16, struct.pack("<QQ", 2**45, 2**44)))
    assert len(load(tmp_path).contents.records) == 41
    assert "Traceback" not in capfd.readouterr().err


def test_clipped_sounds_are_counted(tmp_path: Path) -> None:
    save_tones(tmp_path, 40)
    for i in range(4):
        wave = np.clip(20 * tone(np.random.default_rng(i), 0), -1, 1)
        soundfile.write(tmp_path / f"loud{i}.wav", wave, 8_000)
    assert "4 of 44 sounds touch full scale" in " ".join(load(tmp_path).notes)


def test_too_few_sounds_are_refused_in_plain_words(tmp_path: Path) -> None:
    save_tones(tmp_path, 5)
    with pytest.raises(DataError, match="holds 5 sounds; a generator needs about 200"):
        load(tmp_path)
    soundfile.write(tmp_path / "song.wav", WAVE, 8_000)
    with pytest.raises(DataError, match="song.wav is one sound, long enough for 1 pieces"):
        load(tmp_path / "song.wav")


def test_a_zip_that_climbs_out_is_refused_whole(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for i in range(40):
            archive.writestr(f"{i}.wav", encoded(WAVE))
        archive.writestr("../out.wav", encoded(WAVE))
    with pytest.raises(UnsafeFile, match="climbs out"):
        load(tmp_path / "x.zip")


def test_the_command_line_says_it_in_a_line_and_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_bytes(BAD["text.wav"][0])
    process = karat_process("look", "text.wav", cwd=tmp_path)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 2 and "Traceback" not in said
    assert "text.wav: is not a sound" in said
