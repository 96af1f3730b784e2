"""Sound files, from anybody, read through libsndfile: looked at, resampled, cut or padded to one length, kept."""

from __future__ import annotations

import io
import math
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from karat import limits
from karat.cache import WORTH_KEEPING, CacheEntry
from karat.content.archive import Piece
from karat.content.audio.decoding import opened, without_notes
from karat.content.audio.spectrum import Mel
from karat.errors import DataError, FitError

SUFFIXES = (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc", ".au", ".caf", ".w64")
RATES = range(2_000, 768_001)  # that a file may have
HIGHEST, LOWEST = 44_100, 2_000  # samples per second that are learned
FEWER = (22_050, 16_000)  # where sounds are long
MOST_SAMPLES = 2**17  # of one record, before a lower rate is taken
PIECE = 2.048  # seconds of the pieces that long files are cut into
SHORTEST = 0.01  # seconds of a sound
SHARE = 0.1  # of files that may be unreadable and are skipped
BLOCK = 2**20  # samples decoded at once
QUIET = 1e-3  # 60 dB below the peak
NEIGHBOURS = 8  # pieces of a long file that stay together on one side of the split
FULL = 0.9999
VAST = 2.0**40  # more than 32-bit integers that were stored as they are
SWOLLEN, SWELLS = (
    2**27,
    500,
)  # bytes of samples from which on a file is a bomb, where they are so many times what it has
DEEP = ("FLOAT", "DOUBLE", "PCM_32")
PROMISES_NOTHING = (0, 0x7FFFF000, 0x80000000, 0xFFFFFFFF)  # data sizes of a WAV that was written to a pipe


@dataclass(frozen=True)
class Settings:
    """What a person asks of sounds; None where the data decide."""

    rate: int | None = None
    seconds: float | None = None
    channels: str = "auto"
    trim: bool = False

    def __post_init__(self) -> None:
        if self.rate is not None and not LOWEST <= self.rate <= HIGHEST:
            raise FitError(f"data.rate is {self.rate}; sounds are learned at {LOWEST:,} to {HIGHEST:,} Hz.")
        if self.seconds is not None and not SHORTEST <= self.seconds <= 6:
            raise FitError(f"data.seconds is {self.seconds:g}; a record lasts {SHORTEST} to 6 seconds.")
        if self.channels not in ("mono", "stereo", "auto"):
            raise FitError(f"data.channels is {self.channels!r}; wanted mono, stereo or auto.")


@dataclass(frozen=True)
class Header:
    """What a sound file says of itself before it is decoded."""

    rate: int
    channels: int
    frames: int
    format: str
    depth: str

    @property
    def seconds(self) -> float:
        return self.frames / self.rate

    @property
    def laid_out(self) -> int:
        """Bytes of all samples as they are decoded, float32."""
        return 4 * self.frames * self.channels


@dataclass(frozen=True)
class Shape:
    """What every record is brought to: samples per second, seconds, channels; whether longer files are cut into pieces."""

    rate: int
    seconds: float
    channels: int
    cut: bool

    @property
    def samples(self) -> int:
        return Mel.shaped(self.rate, self.seconds).samples


@dataclass
class _Statistics:
    """What is learned of the files on the way."""

    bad: list[tuple[str, str]]
    counts: Counter[str] = field(default_factory=Counter)
    loudness: list[float] = field(default_factory=list)
    silence: list[float] = field(default_factory=list)


def peek(piece: Piece) -> Header | str:
    """The header of a sound file, or why it cannot be read."""
    import soundfile

    try:
        with piece.open() as file:
            broken = _promise(file, piece.size)
            with opened(file, piece.size, piece.name) as sound:
                found = Header(sound.samplerate, sound.channels, sound.frames, sound.format, sound.subtype)
    except (soundfile.LibsndfileError, OSError, ValueError, RuntimeError, EOFError) as error:
        return _reason(error, piece)
    if broken is not None:
        return broken
    if found.rate not in RATES:
        return f"says it has {found.rate:,} samples a second; {RATES.start:,} to {RATES.stop - 1:,} can be"
    if found.frames == 0:
        return "holds no sound: 0 samples"
    if found.seconds < SHORTEST:
        return f"lasts {found.frames} sample{'s' * (found.frames > 1)}; a sound has at least {SHORTEST} s"
    if found.laid_out > SWOLLEN and found.laid_out > SWELLS * piece.size:
        return (
            f"has {limits.words(piece.size)} and says it holds {found.seconds / 3600:,.1f} hours of sound, as bombs do; at most "
            f"{SWELLS} times its size is decoded"
        )
    return found


def _reason(error: Exception, piece: Piece) -> str:
    message = str(error).split(": ", 1)[-1].rstrip(".")
    if piece.size == 0:
        return "is empty"
    if message.startswith(
        ("Format not recognised", "Error in WAV file. No 'data'", "Internal error", "File contains data")
    ):
        return "is not a sound, or its head is damaged"
    return f"cannot be decoded ({message})" if message else type(error).__name__


def _promise(file: BinaryIO, size: int) -> str | None:
    """What is wrong with a WAV whose head promises more sound than the file of `size` bytes holds."""
    head = file.read(65_536)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    at, second = 12, 0
    while at + 8 <= len(head):
        kind, length = struct.unpack_from("<4sI", head, at)
        if kind == b"fmt " and at + 20 <= len(head):
            (second,) = struct.unpack_from("<I", head, at + 16)
        if kind == b"data":
            there = size - at - 8
            if length in PROMISES_NOTHING or length <= there + 64:
                return None
            return f"promises {length / max(second, 1):,.3g} s of sound in its header and holds {there / max(second, 1):,.3g} s"
        at += 8 + length + length % 2
    return None


def settle(found: Mapping[Header, int], settings: Settings, stereo: bool) -> tuple[Shape, list[str]]:
    """The shape that files with these headers are brought to, and what to say about it. stereo: whether they truly are."""
    notes = []
    rates = Counter[int]()
    for header, count in found.items():
        rates[header.rate] += count
    common = rates.most_common(1)[0][0]
    length = np.repeat([h.seconds for h in found], list(found.values()))
    usual = float(np.quantile(length, 0.985, method="higher")) if len(length) > 1 else float(length[0])
    rate = min(common, HIGHEST) if settings.rate is None else settings.rate
    longest = Mel.longest(rate)
    cut = settings.seconds is None and usual > longest and float(np.median(length)) > longest
    seconds = settings.seconds if settings.seconds is not None else PIECE if cut else min(usual, longest)
    if settings.seconds is not None and float(np.median(length)) > 2 * seconds:
        cut = True
    if settings.rate is None and rate * seconds > MOST_SAMPLES:
        rate = next((r for r in FEWER if r < rate and r * seconds <= MOST_SAMPLES), min(rate, FEWER[-1]))
    if len(rates) > 1 or rate != common:
        listed = ", ".join(f"{count:,} at {r:,} Hz" for r, count in rates.most_common(4))
        notes.append(f"All sounds were brought to {rate:,} Hz ({listed}); data.rate chooses another rate.")
    channels = {"mono": 1, "stereo": 2, "auto": 2 if stereo else 1}[settings.channels]
    return Shape(rate, seconds, channels, cut), notes


def gather(
    pieces: Sequence[Piece], where: str, settings: Settings, place: CacheEntry, known: Mapping[str, Any]
) -> dict[str, Any]:
    """The records float32 [n, samples, channels] of the files, and notes on them, as JSON beside `records`.

    known: `facts` known already, and `unmatched`, files that are left out with the reason. Raises DataError where more
    than a tenth of all files cannot be read.
    """
    bad: list[tuple[str, str]] = list(known["unmatched"])
    total = len(pieces) + len(bad)
    headers: list[tuple[Piece, Header]] = []
    for piece in pieces:
        header = peek(piece)
        if isinstance(header, Header):
            headers.append((piece, header))
        else:
            bad.append((piece.name, header))
    refuse_many(where, bad, total)
    shape, notes = settle(Counter(h for _, h in headers), settings, settings.channels == "auto" and _stereo(headers))
    rows = sum(_pieces_of(header, shape) for _, header in headers)
    limits.need(
        4.0 * rows * shape.samples * shape.channels,
        f"{where} ({rows:,} records of {shape.samples / shape.rate:.3g} s at {shape.rate:,} Hz)",
        "Give a part of it, or lower --set data.rate.",
    )
    weight = max(sum(piece.size for piece, _ in headers), rows * shape.samples * 4)
    records = place.allot((rows, shape.samples, shape.channels), np.dtype(np.float32), weight >= WORTH_KEEPING)
    try:
        state = _Statistics(bad)
        kept, files = _fill(headers, records, shape, settings.trim, state)
        refuse_many(where, bad, total)
    except BaseException:
        place.discard(records)
        raise
    all_told = {
        "labels": [piece.label for piece in kept],
        "holdout": [piece.holdout for piece in kept],
        "names": [
            piece.name if part is None else f"{piece.name}:{part}" for piece, part in zip(kept, files[1], strict=True)
        ],
        "groups": _groups(files[0]) if shape.cut else None,
        "skipped": bad,
        "facts": {
            **known["facts"],
            **_facts([h for _, h in headers], state, shape),
            "notes": [*known["facts"]["notes"], *notes, *_notes(headers, state, shape, len(kept), settings)],
        },
    }
    return {**all_told, "records": place.keep(records, all_told, len(kept))}


def refuse_many(where: str, bad: Sequence[tuple[str, str]], total: int) -> None:
    """DataError where more than a tenth of the files cannot be read."""
    if len(bad) <= SHARE * total:
        return
    listed = "; ".join(f"{name}: {reason}" for name, reason in bad[:10])
    more = f"; and {len(bad) - 10} more" if len(bad) > 10 else ""
    raise DataError(
        f"{where}: {len(bad)} of {total} sounds cannot be read (at most {SHARE:.0%} is skipped). "
        f"Mend or remove them. {listed}{more}"
    )


def _pieces_of(header: Header, shape: Shape) -> int:
    return max(1, math.ceil(header.seconds * shape.rate / shape.samples)) if shape.cut else 1


def _stereo(headers: Sequence[tuple[Piece, Header]]) -> bool:
    """Whether most files have two channels, and those differ in one of the first 20."""
    two = [piece for piece, header in headers if header.channels == 2]
    if len(two) <= len(headers) / 2:
        return False
    for piece, header in [(p, h) for p, h in headers if h.channels == 2][:20]:
        for block in _blocks(piece, header, header.rate, 5.0):
            if not np.allclose(block[:, 0], block[:, 1], atol=1e-4):
                return True
    return False


def _blocks(piece: Piece, header: Header, rate: int, most: float) -> Iterator[np.ndarray]:
    """The first `most` seconds of a file as blocks float32 [k, channels] at `rate`; ValueError where it ends too early."""
    import soxr

    stream = (
        soxr.ResampleStream(header.rate, rate, header.channels, dtype="float32", quality="HQ")
        if rate != header.rate
        else None
    )
    wanted = min(header.frames, math.ceil(most * header.rate))
    read = 0
    with piece.open() as file, opened(_near(file, piece), piece.size, piece.name) as sound:
        while read < wanted:
            with without_notes(piece.name):
                block = sound.read(min(BLOCK // header.channels, wanted - read), dtype="float32", always_2d=True)
            read += len(block)
            if len(block) == 0 and read < 0.98 * wanted - 2 * 1152:  # an MP3's header may count its padding
                raise ValueError(
                    f"ends after {read / header.rate:.3g} s of the {header.seconds:.3g} s that it promises"
                )
            ended = len(block) == 0 or read >= wanted
            if not (np.abs(block) < VAST).all():
                raise ValueError("holds numbers that are no sound (NaN, infinite or vast)")
            yield block if stream is None else stream.resample_chunk(block, last=ended)
            if ended:
                return


def _near(file: BinaryIO, piece: Piece) -> BinaryIO:
    """The file in memory where it is small, since it is read in many steps."""
    return io.BytesIO(file.read()) if piece.size < 2**22 else file


def _fill(
    headers: Sequence[tuple[Piece, Header]], records: np.ndarray, shape: Shape, trim: bool, statistics: _Statistics
) -> tuple[list[Piece], tuple[list[int], list[int | None]]]:
    """Fills `records` and gives the piece of each row, and the file and the part that it is."""
    import soundfile

    kept: list[Piece] = []
    of: list[int] = []
    parts: list[int | None] = []
    many = len(headers) == 1
    for number, (piece, header) in enumerate(headers):
        begin = len(kept)
        try:
            for part, row in enumerate(_rows(piece, header, shape, trim, statistics)):
                if len(kept) == len(records):
                    break
                records[len(kept)] = row
                kept.append(piece)
                of.append(number)
                parts.append(part if shape.cut or many else None)
        except (soundfile.LibsndfileError, OSError, ValueError, RuntimeError, EOFError) as error:
            del kept[begin:], of[begin:], parts[begin:]
            plain = isinstance(error, ValueError) and str(error).startswith(("ends", "holds", "lasts"))
            statistics.bad.append((piece.name, str(error) if plain else _reason(error, piece)))
    return kept, (of, parts)


def _rows(piece: Piece, header: Header, shape: Shape, trim: bool, statistics: _Statistics) -> Iterator[np.ndarray]:
    """The records float32 [samples, channels] of one file."""
    if shape.cut:
        yield from _cut(piece, header, shape, statistics)
        return
    beyond = header.seconds if trim else shape.samples / shape.rate + 0.1
    wave = np.concatenate(list(_blocks(piece, header, shape.rate, min(beyond, 600.0))))
    loud = np.abs(wave).max(1) if len(wave) else np.zeros(0)
    _remark(wave, loud, statistics)
    sounding = np.flatnonzero(loud > QUIET * loud.max()) if len(loud) and loud.max() > 0 else np.zeros(0, np.int64)
    if len(sounding):
        statistics.silence.append(1 - (sounding[-1] + 1 - sounding[0]) / len(loud))
    if trim and len(sounding):
        wave = wave[sounding[0] : sounding[-1] + 1]
    record = np.zeros((shape.samples, shape.channels), np.float32)
    mixed = _mixed(wave[: shape.samples], shape.channels)
    record[: len(mixed)] = mixed
    if len(wave) > shape.samples:
        fade = min(shape.samples // 8, round(0.03 * shape.rate))
        record[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)[:, None] ** 2
        statistics.counts["trimmed"] += 1
    yield record


def _cut(piece: Piece, header: Header, shape: Shape, statistics: _Statistics) -> Iterator[np.ndarray]:
    """Pieces on end; a last one of less than half a length is left out unless it is the only one."""
    rest = np.zeros((0, header.channels), np.float32)
    count = 0
    for block in _blocks(piece, header, shape.rate, header.seconds):
        rest = np.concatenate([rest, block])
        while len(rest) >= shape.samples:
            wave, rest = rest[: shape.samples], rest[shape.samples :]
            _remark(wave, np.abs(wave).max(1), statistics)
            yield _mixed(wave, shape.channels)
            count += 1
    if len(rest) >= shape.samples / 2 or (len(rest) and not count):
        record = np.zeros((shape.samples, shape.channels), np.float32)
        record[: len(rest)] = _mixed(rest, shape.channels)
        yield record


def _mixed(wave: np.ndarray, channels: int) -> np.ndarray:
    """`wave` [k, any] in one or two channels, and nowhere beyond full scale."""
    if wave.shape[1] != channels:
        wave = wave.mean(1, keepdims=True) if channels == 1 or wave.shape[1] == 1 else wave[:, :2]
        wave = np.repeat(wave, channels, 1) if wave.shape[1] < channels else wave
    peak = float(np.abs(wave).max()) if len(wave) else 0.0
    return wave / peak if peak > 1 else wave


def _remark(wave: np.ndarray, loud: np.ndarray, statistics: _Statistics) -> None:
    """Counts what a person should know of one sound [k, channels]; loud: its peaks [k]."""
    peak = float(loud.max()) if len(loud) else 0.0
    statistics.counts["waves"] += 1
    if peak == 0:
        statistics.counts["silent"] += 1
        return
    power = float(np.square(wave, dtype=np.float64).mean())
    statistics.loudness.append(10 * math.log10(power))
    statistics.counts["clipped"] += int((loud >= FULL).sum() >= 8)
    statistics.counts["over"] += peak > 1.001
    offset = float(np.abs(wave.mean(0)).max())
    statistics.counts["offset"] += offset > 0.01 and offset > 0.1 * math.sqrt(power)


def _groups(files: Sequence[int]) -> list[int]:
    """Pieces of one file stay together; where there are few files, neighbours do."""
    if len(set(files)) >= 20:
        return list(files)
    out, seen = [], Counter[int]()
    blocks: dict[tuple[int, int], int] = {}
    for file in files:
        out.append(blocks.setdefault((file, seen[file] // NEIGHBOURS), len(blocks)))
        seen[file] += 1
    return out


def _facts(headers: Sequence[Header], statistics: _Statistics, shape: Shape) -> dict[str, Any]:
    length = np.array([h.seconds for h in headers])
    loud = np.array(statistics.loudness) if statistics.loudness else np.zeros(1)
    deep = sum("24" in h.depth or h.depth in DEEP for h in headers)
    return {
        "rates": {f"{rate} Hz": count for rate, count in Counter(h.rate for h in headers).most_common(8)},
        "formats": dict(Counter(f"{h.format} {h.depth}" for h in headers).most_common(8)),
        "channels_found": {str(c): count for c, count in Counter(h.channels for h in headers).most_common(8)},
        "durations": {
            k: round(float(v), 3)
            for k, v in zip(("shortest", "median", "longest"), np.quantile(length, [0, 0.5, 1]), strict=True)
        },
        "level_dB": {
            k: round(float(v), 1)
            for k, v in zip(("quietest", "median", "loudest"), np.quantile(loud, [0, 0.5, 1]), strict=True)
        },
        "clipped": statistics.counts["clipped"],
        "silent": statistics.counts["silent"],
        "direct_current": statistics.counts["offset"],
        "cut": shape.cut,
        "bits": 24 if deep > len(headers) / 2 else 16,
        "rate": shape.rate,
        "asked_seconds": shape.seconds,
    }


def _notes(
    headers: Sequence[tuple[Piece, Header]], statistics: _Statistics, shape: Shape, rows: int, settings: Settings
) -> list[str]:
    """What a person should know, in plain sentences."""
    notes, count = [], statistics.counts
    many = sum(h.channels > 2 for _, h in headers)
    if many:
        goal = "mixed to one" if shape.channels == 1 else "brought to two"
        notes.append(f"{many:,} sounds have more than two channels, which were {goal}.")
    two = sum(h.channels == 2 for _, h in headers)
    if two and shape.channels == 1 and settings.channels == "auto":
        notes.append(f"{two:,} stereo sounds were mixed to mono; data.channels=stereo keeps both channels.")
    if shape.cut:
        each = f"pieces of {shape.samples / shape.rate:.3g} s"
        notes.append(f"{len(headers):,} files were cut into {rows:,} {each}; data.seconds chooses another length.")
    elif count["trimmed"]:
        notes.append(
            f"{count['trimmed']:,} sounds are longer than {shape.samples / shape.rate:.3g} s and fade out there; "
            "data.seconds chooses another length."
        )
    named = [piece.name for piece, h in headers if _misnamed(piece.name, h.format)]
    if named:
        notes.append(
            f"{len(named):,} files are not of the kind that their names say, such as {named[0]}; they were read as what they are."
        )
    if count["clipped"] > 0.01 * count["waves"]:
        notes.append(f"{count['clipped']:,} of {count['waves']:,} sounds touch full scale and may be clipped.")
    if count["over"]:
        notes.append(f"{count['over']:,} sounds go beyond full scale and were turned down to it.")
    if count["offset"] > 0.01 * count["waves"]:
        notes.append(
            f"{count['offset']:,} sounds do not swing about zero (direct current), which is left out of what is learned."
        )
    if count["silent"]:
        notes.append(f"{count['silent']:,} sounds are silent.")
    if not settings.trim and statistics.silence and float(np.median(statistics.silence)) > 0.1:
        notes.append(
            f"{np.median(statistics.silence):.0%} of a sound is silence at its ends; data.trim=true leaves it out."
        )
    return notes


def _misnamed(name: str, kind: str) -> bool:
    suffix = name.rpartition(".")[2].lower()
    kinds = {"wav": ("WAV", "WAVEX", "RF64"), "flac": ("FLAC",), "mp3": ("MP3", "MPEG"), "ogg": ("OGG",)}
    return suffix in kinds and kind not in kinds[suffix]
