"""Sounds: folders, zips and long files of WAV, FLAC, OGG, MP3 and AIFF become waves of one length, points, and WAV files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from karat.cache import CacheEntry, cache_entry, cache_folder
from karat.content.archive import Listing, Piece, list_folder, list_zip, open_zip, suffix_of
from karat.content.audio import descriptors, players
from karat.content.audio.spectrum import Mel
from karat.content.audio.waves import SUFFIXES, Settings, gather, refuse_many
from karat.content.codec import Contents
from karat.content.file_names import NamePattern
from karat.content.files import FileEach
from karat.content.image.gather import contents as assembled
from karat.content.image.picture import SUFFIXES as PICTURES
from karat.content.roles import Paired
from karat.content.visible import heard
from karat.errors import DataError, FitError
from karat.space import Grid, Space
from karat.views import Points, View

LAYOUT = 1  # of the decoded cache; raised when the same files would decode to other records
FEWEST = 32  # sounds; fewer teach nothing
WANTED_COUNT = 200
LOOKED_AT = 20_000  # names, before it is known what a folder holds
AXES = ("frequency", "time")
DESCRIBED = 10_000  # sounds whose length, loudness, ... a judge compares
VIEWED = 64  # mels and frames that the judge sees at most
LEVELLED = 1_500  # sounds that the range of loudness is taken from
WANTED = "a folder of WAV, FLAC, OGG, MP3 or AIFF sounds (one sub-folder per class, or flat), a .zip of one, or one long sound"


@dataclass(frozen=True)
class Sounds(FileEach, Paired):
    """Sounds of one length: records are waves float32 `[n, samples, channels]` in [-1, 1], padded with zeros.

    first: which space comes first, "mel" (a log-mel spectrogram) or "wave".   bits: of a sample in a written file.
    peak: the largest sample that was learned from, +1 of the wave space.
    """

    answers = ("label",)
    judged_most = 10_000
    name = "audio"
    suffixes = tuple(players.WRITTEN)
    thing = "sound"
    sheets = ".html"
    stack = "waves"
    settings = ("rate", "seconds", "channels", "labels", "form", "trim", "limit")

    channels: int
    mel: Mel
    bits: int = 16
    first: str = "mel"
    peak: float = 1.0

    @classmethod
    def recognises(cls, path: Path) -> bool:
        if path.is_dir():
            walk = os.walk(path, followlinks=True)
            return _mostly(name for _, _, names in walk for name in names)
        if path.suffix.lower() == ".zip" and path.is_file():
            with open_zip(path) as archive:
                return _mostly(archive.namelist())
        return path.suffix.lower() in SUFFIXES and path.is_file()

    @classmethod
    def read(cls, path: Path, options: Mapping[str, Any]) -> Contents:
        """All sounds at `path`.

        options: rate (Hz), seconds (of a record), channels (mono, stereo, auto), labels (a pattern of the files' names,
        such as "{label}_{speaker}_{n}"), form (mel, wave), trim (silence at the ends), limit (how many files), cache.
        """
        limit, form, pattern = options.get("limit"), options.get("form", "mel"), options.get("labels")
        if form not in ("mel", "wave"):
            raise FitError(f"data.form is {form!r}; sounds are learned as mel or as wave.")
        if limit is not None and limit < 1:
            raise FitError(f"data.limit is {limit}; at least 1 sound was wanted.")
        asked = {k: options[k] for k in ("rate", "seconds", "channels", "trim") if k in options}
        settings = Settings(**asked)
        names = None if pattern is None else NamePattern.read(str(pattern)).text
        folder = cache_folder(options.get("cache"))
        try:
            if path.suffix.lower() == ".zip" and path.is_file():
                with open_zip(path) as archive:
                    found = _read(path, list_zip(path, archive, SUFFIXES, "sounds"), names, settings, limit, folder)
            elif path.is_dir():
                found = _read(path, list_folder(path, SUFFIXES, "sounds"), names, settings, limit, folder)
            else:
                status = path.stat()
                piece = Piece(path.name, status.st_size, status.st_mtime_ns, lambda: path.open("rb"))
                found = _read(path, Listing((piece,), {}, False, ()), names, settings, limit, folder)
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error}).") from error
        return replace(found, facts={**found.facts, "form": form})

    def alike(self) -> dict[str, Any]:
        """What other sounds are read with, so that they can be compared with these."""
        word = "stereo" if self.channels == 2 else "mono"
        return {"rate": self.mel.rate, "seconds": min(6.0, self.mel.samples / self.mel.rate), "channels": word}

    @classmethod
    def fit(cls, contents: Contents, train: np.ndarray) -> Self:
        """The grid that the records fit in, and the range of loudness of the training rows."""
        facts, (_, samples, channels) = contents.facts, contents.records.shape
        some = train if len(train) <= LEVELLED else train[np.arange(LEVELLED) * len(train) // LEVELLED]
        waves = _waves(contents.records[some])
        mel = Mel.shaped(facts["rate"], facts["asked_seconds"]).levelled(waves)
        assert mel.samples == samples
        peak = float(waves.abs().max())
        return cls(channels, mel, facts["bits"], facts["form"], round(peak, 6) if peak > 0 else 1.0)

    @property
    def spaces(self) -> tuple[Grid, ...]:
        both = (self.mel.grid(self.channels), Grid(self.channels, (self.mel.samples,)))
        return both if self.first == "mel" else both[::-1]

    @property
    def viewed(self) -> Grid:
        """The log-mel spectrogram at no more than 64 mels and 64 frames."""
        return Grid(self.channels, (min(VIEWED, self.mel.mels), min(VIEWED, self.mel.frames)))

    def traits(self) -> dict[str, Any]:
        """Length, rate and channels of every sound, and the grids it can become."""
        return {
            "seconds": round(self.mel.samples / self.mel.rate, 3),
            "rate": self.mel.rate,
            "channels": self.channels,
            "bits": self.bits,
            "mel": list(self.mel.grid(self.channels).shape),
            "range_dB": self.mel.span,
        }

    def phrase(self) -> str:
        rate = f"{self.mel.rate / 1000:.6g} kHz"
        return f"sounds, {self.mel.samples / self.mel.rate:.3g} s at {rate}, {('mono', 'stereo')[self.channels - 1]}"

    def encode(self, records: np.ndarray, space: Space | None = None) -> Tensor:
        """Log-mel points `[n, channels, mels, frames]`, or waves `[n, channels, samples]` over the loudest sample."""
        waves = self._waves(records)
        if self._melodic(space):
            return self.mel.points(waves)
        return (waves / self.peak).clamp_(-1, 1)

    def decode(self, points: Tensor, space: Space | None = None, rng: np.random.Generator | None = None) -> np.ndarray:
        """Waves of any points, at the depth of a written file, silent where they do not sound; one that would go beyond full
        scale is turned down."""
        if self._melodic(space):
            waves = self.mel.waves(points)
        else:
            x = points.detach().to("cpu", torch.float32).nan_to_num(0.0, 1.0, -1.0)
            waves = self.mel.trimmed(x / x.abs().amax((1, 2), keepdim=True).clamp_min(1.0) * self.peak)
        full = 1 << (self.bits - 1)
        waves = (waves * full).round_().clamp_(-full, full - 1).div_(full)
        return np.ascontiguousarray(waves.transpose(1, 2).numpy())

    def view(self, records: np.ndarray, rows: np.ndarray | None = None) -> Points:
        """Log-mel points of at most 64 mels and frames, and what is heard in the sounds."""
        some = records if rows is None else records[rows]
        described = None
        if len(some) > DESCRIBED:
            described = np.sort(np.random.default_rng(0).choice(len(some), DESCRIBED, replace=False))
        read = self.descriptors(some if described is None else some[described])
        return Points(self._spectrograms(some), AXES, descriptors=read, described=described)

    def finest(self, records: np.ndarray) -> Points:
        return Points(self.encode(records, next((s for s in self.spaces if s == self.viewed), None)), AXES)

    def unview(self, view: View) -> np.ndarray:
        assert isinstance(view, Points)
        return self.decode(view.points, next((s for s in self.spaces if s == self.viewed), None))

    def _spectrograms(self, records: np.ndarray) -> Tensor:
        """The log-mel points, averaged down over areas where there are more than 64 mels or frames."""
        size = self.viewed.size
        if size == (self.mel.mels, self.mel.frames):
            return self.mel.points(self._waves(records))
        points = torch.empty((len(records), *self.viewed.shape))
        for start in range(0, len(records), 256):
            part = slice(start, start + 256)
            points[part] = F.interpolate(self.mel.points(self._waves(records[part])), size=list(size), mode="area")
        return points

    def descriptors(self, records: np.ndarray) -> Mapping[str, np.ndarray]:
        """Length, loudness (BS.1770), brightness (centroid of the spectrum) and pitch; NaN where there is none."""
        return descriptors.descriptors(self._waves(records), self.mel.rate)

    def doubles(self, records: np.ndarray) -> np.ndarray:
        """Pairs [k, 2] of the same recording, also shifted, louder, softer, noisy or packed anew."""
        return descriptors.doubles(self._waves(records), self.mel.points)

    def in_python(self, blocks: Sequence[np.ndarray]) -> tuple[list[np.ndarray], int]:
        """Waves, float [samples, channels] from -1 to 1 and as long as they sound, and their rate in Hz."""
        return [wave for records in blocks for wave in self._sounding(records)], self.mel.rate

    def blobs(self, records: np.ndarray, suffix: str = "", visible: str = "") -> Iterator[bytes]:
        """One file per record, WAV by default, as long as it sounds."""
        for wave in self._sounding(records):
            whole = heard(wave, self.mel.rate) if visible else wave
            yield players.file_of(whole, self.mel.rate, self.bits, suffix or ".wav")

    def place_of(self, goal: Path, chosen: bool) -> tuple[Path, str | None]:
        goal, suffix = super().place_of(goal, chosen)
        if suffix == ".mp3" and self.mel.rate not in players.MP3_RATES:
            raise FitError(
                f"{goal}: these sounds have {self.mel.rate:,} Hz, which MP3 has not; write .wav, .flac or .ogg."
            )
        return goal, suffix

    def constants(self) -> dict[str, int]:
        return {"rate": self.mel.rate}

    def conform(self, records: np.ndarray) -> np.ndarray:
        """Waves [n, k, c] of this codec's rate, in its length and channels."""
        self._check(records, whole=False)
        samples, channels = self.mel.samples, self.channels
        if records.shape[2] != channels:
            mixed = records.mean(2, keepdims=True)
            records = mixed if channels == 1 else np.repeat(mixed, channels, 2)
        if records.shape[1] != samples:
            out = np.zeros((len(records), samples, channels), np.float32)
            least = min(samples, records.shape[1])
            out[:, :least] = records[:, :least]
            records = out
        return records

    def sheet(self, records: np.ndarray, columns: int) -> bytes:
        """Players over spectrograms as a fragment of a page; they stand in as many columns as there is room for."""
        waves = self._waves(records)
        captions = self._captions(waves)
        return players.sheet(self._sounding(records), self.mel.points(waves), self.mel.rate, captions)

    def beside(self, made: np.ndarray, real: np.ndarray, captions: Sequence[str]) -> bytes:
        spectrograms = self.mel.points(self._waves(made)), self.mel.points(self._waves(real))
        return players.beside(self._sounding(made), self._sounding(real), spectrograms, self.mel.rate, captions)

    def state(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        return cls(
            int(state["channels"]), Mel(**state["mel"]), int(state["bits"]), state["first"], float(state["peak"])
        )

    def _melodic(self, space: Space | None) -> bool:
        """Whether `space` is the log-mel one."""
        wanted = self.spaces[0] if space is None else space
        if wanted not in self.spaces:
            raise FitError(f"Sounds can become {self.spaces[0]} or {self.spaces[1]}; {wanted} was asked for.")
        return wanted == self.mel.grid(self.channels)

    def _waves(self, records: np.ndarray) -> Tensor:
        self._check(records)
        return _waves(records)

    def _check(self, records: np.ndarray, whole: bool = True) -> None:
        wanted = (self.mel.samples, self.channels)
        if records.ndim != 3 or records.dtype != np.float32 or (whole and records.shape[1:] != wanted):
            found = f"{records.dtype} {list(records.shape)}"
            raise DataError(f"The sounds are {found}; float32 [n, {wanted[0]}, {wanted[1]}] was wanted.")

    def _sounding(self, records: np.ndarray) -> list[np.ndarray]:
        """Each record without the zeros at its end, at least one hop of it."""
        out = []
        for record in records:
            some = np.flatnonzero(np.asarray(record).any(1))
            end = max(self.mel.hop, int(some[-1]) + 1 if len(some) else 0)
            out.append(np.asarray(record[:end]))
        return out

    def _captions(self, waves: Tensor) -> list[str]:
        measured = descriptors.descriptors(waves, self.mel.rate)
        return [
            "silent" if np.isnan(loud) else f"{long:.2f} s, {loud:.0f} dB"
            for long, loud in zip(measured["length (s)"], measured["loudness (dB)"], strict=True)
        ]


def _waves(records: np.ndarray) -> Tensor:
    """[n, channels, samples] of records [n, samples, channels]."""
    return torch.from_numpy(np.array(records, np.float32)).transpose(1, 2)


def _mostly(names: Iterable[str]) -> bool:
    """Whether there are more sounds than pictures among the first names."""
    kinds = Counter(PurePosixPath(name).suffix.lower() for name in islice(names, LOOKED_AT))
    return sum(kinds[s] for s in SUFFIXES) > sum(kinds[s] for s in PICTURES)


def explain(path: Path) -> str:
    """Why there is no sound at `path`, and what could be read."""
    if not path.exists():
        return f"{path} does not exist. Wanted: {WANTED}."
    if path.is_dir():
        kinds = Counter(suffix_of(file) for file in islice(path.rglob("*"), 10_000) if file.is_file())
        listed = ", ".join(f"{count} {suffix}" for suffix, count in kinds.most_common(5))
        hint = " (save them as FLAC or WAV first)" if kinds.keys() & {".m4a", ".aac", ".wma", ".mp4"} else ""
        return f"{path} holds no sounds that can be read{', but ' + listed if listed else ''}{hint}. Wanted: {WANTED}."
    return f"{path} is no kind of file that holds sound. Wanted: {WANTED}."


def _read(
    path: Path, listing: Listing, pattern: str | None, settings: Settings, limit: int | None, folder: Path
) -> Contents:
    pieces = list(listing.pieces)
    if not pieces:
        raise DataError(explain(path))
    names = None if pattern is None else NamePattern.fitting(pattern, [p.name for p in pieces], str(path))
    if limit is not None and limit < len(pieces):
        pieces = [pieces[i * len(pieces) // limit] for i in range(limit)]
    stamps = [(p.name, p.size, p.stamp) for p in pieces]
    place = cache_entry(folder, "sounds", LAYOUT, str(path.resolve()), stamps, asdict(settings), pattern)
    kept = place.find()
    if kept is None:
        notes = _gathered(path, pieces, listing, names, settings, place)
        kept = notes.pop("records"), notes
    records, notes = kept
    found = assembled(records, notes)
    if notes["groups"] is not None:
        found = replace(found, groups=np.array(notes["groups"], np.int64))
    if names is None:
        return found
    rows = [names.parts(name.rpartition(":")[0] if notes["facts"]["cut"] else name) for name in found.names]
    facets = {key: np.array([row[key] for row in rows if row is not None]) for key in names.fields if key != "label"}
    return replace(found, facets=facets)


def _gathered(
    path: Path, pieces: list[Piece], listing: Listing, names: NamePattern | None, settings: Settings, place: CacheEntry
) -> dict[str, Any]:
    """The records at `path`, read, and the notes on them."""
    unmatched: list[tuple[str, str]] = []
    total = len(pieces)
    if names is not None:
        labelled = []
        for piece in pieces:
            parts = names.parts(piece.name)
            if parts is None:
                unmatched.append((piece.name, "its name is not as --labels says"))
            else:
                labelled.append(replace(piece, label=parts.get("label", piece.label)))
        refuse_many(str(path), unmatched, total)
        pieces = labelled
    facts = {
        "ignored": sum(listing.others.values()),
        "ignored_kinds": dict(Counter(listing.others).most_common(10)),
        "notes": list(listing.notes),
        "bytes": sum(piece.size for piece in pieces),
    }
    found = gather(pieces, str(path), settings, place, {"facts": facts, "unmatched": unmatched})
    count = len(found["records"])
    if count < FEWEST:
        what = f"is one sound, long enough for {count} pieces" if total == 1 else f"holds {count} sounds"
        raise DataError(
            f"{path} {what}; a generator needs about {WANTED_COUNT}, and never fewer than {FEWEST}. Add more."
        )
    return found
