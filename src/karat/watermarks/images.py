"""Pictures: keyed smooth patterns in small windows of the brightness, along which it lies on a lattice; see `lattice`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from karat.content import visible
from karat.content.archive import Piece, list_folder, list_zip, open_zip
from karat.content.image import arrays, picture
from karat.content.image.images import Images
from karat.watermarks import lattice
from karat.watermarks.detection import Detection, best_of, detection
from karat.watermarks.keyed import words
from karat.watermarks.scheme import Watermark

SIDE = 64  # pixels a side at most, at which a picture is looked at
SMALL, LARGE = 7, 12  # pixels a side of a window: small ones outlive being cut, large ones being made smaller
LOW = 2  # of the frequencies of a window, both sides together
DENSE = 2.5  # windows for each 8 x 8 pixels
STEP = 50.0  # levels of 255 between points of the lattice, along a pattern of length one
ROOM = (
    0.7  # times the root of the range of the pixels round about, what one changes by at most: what is busy hides more
)
MOST = 8.0  # levels that one changes by at all
FULL, LEAST = 1 / 3, 1 / 40  # of a step, by which the room lets a window move, that it counts wholly and at all
STEPS = 24
SURE = 32  # pixels a side from which one picture alone is found again
AT_ONCE = 512  # pictures
ARRAYS = {".npy": arrays.read_npy, ".npz": arrays.read_npz}


@dataclass(frozen=True)
class ImageWatermark(Watermark):
    technique = "patterns in the windows of a picture"
    codec: Images

    def note(self) -> str | None:
        h, w = self.codec.height, self.codec.width
        if min(h, w) >= SURE:
            return None
        return (
            f"the watermark is weak: one picture of {w}x{h} alone may not be found again, least of all after JPEG or resizing; "
            "a hundred together are found after JPEG, noise or a crop"
        )

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width at which the windows lie."""
        scale = min(1.0, SIDE / max(self.codec.height, self.codec.width))
        return max(1, round(self.codec.height * scale)), max(1, round(self.codec.width * scale))

    @cached_property
    def windows(self) -> tuple[np.ndarray, Tensor, Tensor]:
        """int [k, 4] top, left, bottom and right; patterns [k, h, w] of length one; offsets [k] of the lattices."""
        h, w = self.size
        rng = np.random.default_rng(words(self.key, "picture windows", 4))
        count = max(SMALL, round(DENSE * h * w / 64))
        places, patterns = np.zeros((count, 4), np.int64), torch.zeros(count, h, w)
        for place, pattern in zip(places, patterns, strict=True):
            side = int(rng.integers(SMALL, LARGE + 1))
            high, wide = min(side, h), min(side, w)
            top, left = int(rng.integers(h - high + 1)), int(rng.integers(w - wide + 1))
            shares = np.array(
                [[rng.normal() if 0 < u + v <= LOW else 0 for v in range(LOW + 1)] for u in range(LOW + 1)]
            )
            wave = cosines(high).T @ torch.from_numpy(shares).float() @ cosines(wide)
            place[:] = top, left, top + high, left + wide
            pattern[top : top + high, left : left + wide] = wave / wave.norm().clamp_min(1e-6)
        return places, patterns, torch.from_numpy(rng.random(count)).float() * STEP

    def embedded(self, records: Any, rng: np.random.Generator) -> np.ndarray:
        """Pictures [n, height, width, channels] of the same depth."""
        top, out = float(self.codec.top), np.empty_like(records)
        for start in range(0, len(records), AT_ONCE):
            part = np.asarray(records[start : start + AT_ONCE])
            x = torch.from_numpy(part.astype(np.float32)).movedim(3, 1) * (255 / top)
            marked = torch.cat([self._moved(x[:, :3]), x[:, 3:]], 1)
            out[start : start + len(x)] = np.rint(marked.movedim(1, 3).numpy() * (top / 255)).astype(records.dtype)
        found: np.ndarray = out
        return found

    def _moved(self, colours: Tensor) -> Tensor:
        """Colours [n, 1 or 3, h, w] in levels of 255, brought near points of the lattices by least squares."""
        _, patterns, offsets = self.windows
        flat = patterns.flatten(1)
        room = room_of(grey_of(colours))
        change = torch.zeros_like(room)
        # the largest eigenvalue of the squares' slope; each pixel at which a picture is looked at is the mean of several
        rate = room[0].numel() / flat.shape[1] / float(torch.linalg.matrix_norm(flat, 2)) ** 2
        goal = None
        for _ in range(STEPS):
            change.requires_grad_(True)
            grey = grey_of((colours + change[:, None]).clamp(0, 255))
            found = smaller(grey, self.size).flatten(1) @ flat.T
            if goal is None:
                goal = ((found.detach() - offsets) / STEP).round() * STEP + offsets
            (slope,) = torch.autograd.grad((goal - found).square().sum() / 2, change)
            with torch.no_grad():
                change = (change - rate * slope).clamp(-room, room)
        return (colours + change.detach()[:, None]).clamp(0, 255)

    def read(self, path: Path) -> Sequence[np.ndarray]:
        """Pictures [h, w, channels] of any sizes, as they are found."""
        if path.is_dir():
            return [_decoded(piece) for piece in list_folder(path).pieces]
        if path.suffix.lower() == ".zip":
            with open_zip(path) as archive:
                return [_decoded(piece) for piece in list_zip(path, archive).pieces]
        if path.suffix.lower() in picture.SUFFIXES:
            return [_decoded(Piece(path.name, 0, 0, lambda: path.open("rb")))]
        if (of := ARRAYS.get(path.suffix.lower())) is not None:  # however few, which are too few only to learn from
            blocks = [arrays.channels_last(block) for block in of(path)]
            if all(block.dtype in (np.uint8, np.uint16) for block in blocks):
                return [one for block in blocks for one in block]
        return list(super().read(path))

    def detect(self, records: Any) -> Detection:
        """records: pictures [h, w, channels] of any sizes.   Equal pictures count once where all are put together."""
        records = self.bare(records)
        p, waves = self._found(records)
        _, first = np.unique([one.tobytes() for one in records], return_index=True)
        whole = waves[np.sort(first)].sum(0, keepdims=True)
        together = lattice.chance_of(whole.real.sum(1), np.abs(whole))
        if any(one.shape[:2] != (self.codec.height, self.codec.width) for one in records):  # and so may be parts
            parts = detection(self.technique, p[np.sort(first)]).p_value
            together = best_of(np.minimum(together, parts), 2)
        return detection(self.technique, p, together, items=len(first))

    def each(self, records: Any) -> np.ndarray:
        """The p values [n] of pictures."""
        return self._found(self.bare(records))[0]

    def bare(self, records: Any) -> list[np.ndarray]:
        """Pictures without the border on which a small one shows its label."""
        return [visible.bare(one, self.codec.height, self.codec.width) for one in records]

    def _found(self, records: Any) -> tuple[np.ndarray, np.ndarray]:
        """The p values [n] of pictures, and their `waves` [n, k] as whole pictures.

        One of another size than the run's is the whole picture at another size, or a part of it at its own.
        """
        shapes = [one.shape[:2] for one in records]
        p, waves = np.ones(len(records)), np.zeros((len(records), len(self.windows[0])), np.complex128)
        for shape in set(shapes):
            rows = [i for i, other in enumerate(shapes) if other == shape]
            for k in range(0, len(rows), AT_ONCE):
                some = rows[k : k + AT_ONCE]
                x = torch.from_numpy(np.stack([_levels(records[i]) for i in some]))
                waves[some] = self.waves(smaller(x, self.size))
                p[some] = lattice.chance_of(waves[some].real.sum(1), np.abs(waves[some]))
                if shape != (self.codec.height, self.codec.width) and not (
                    shape[0] > self.codec.height or shape[1] > self.codec.width
                ):
                    p[some] = best_of(np.minimum(p[some], self._part(x)), 2)
        return p, waves

    def _part(self, grey: Tensor) -> np.ndarray:
        """The p values [n] of brightness [n, h, w] that is a part of a picture at its size, wherever it lay."""
        high, wide = (
            min(size, round(n * size / whole))
            for n, size, whole in zip(grey.shape[1:], self.size, (self.codec.height, self.codec.width), strict=True)
        )
        x = smaller(grey, (high, wide))
        places = [(top, left) for top in range(self.size[0] - high + 1) for left in range(self.size[1] - wide + 1)]
        best, p = np.full(len(x), -np.inf), np.ones(len(x))
        for top, left in places:
            waves = self.waves(x, top, left)
            total, weights = waves.real.sum(1), np.abs(waves)
            z = total / np.maximum(np.sqrt((weights**2).sum(1)), 1e-9)
            better = np.flatnonzero(z > best)
            best[better], p[better] = z[better], lattice.chance_of(total[better], weights[better])
        return best_of(p, len(places))

    def waves(self, grey: Tensor, top: int = 0, left: int = 0) -> np.ndarray:
        """complex [n, k] of brightness [n, h, w] that lies at that place of the whole picture: of each window how far from the
        lattice it lies, as an angle, and how much room for a mark there is, 0 where it is not whole."""
        places, patterns, offsets = self.windows
        h, w = grey.shape[1:]
        there = (places >= (top, left, 0, 0)).all(1) & (places[:, 2:] <= (top + h, left + w)).all(1)
        own = patterns[torch.from_numpy(there)][:, top : top + h, left : left + w].flatten(1)
        found = grey.flatten(1) @ own.T
        reach = room_of(grey).flatten(1) @ own.abs().T / STEP
        weight = torch.where(reach < LEAST, 0.0, (reach / FULL).clamp_max(1))
        out = np.zeros((len(grey), len(places)), np.complex128)
        out[:, there] = torch.polar(
            weight.double(), 2 * math.pi / STEP * (found - offsets[torch.from_numpy(there)]).double()
        ).numpy()
        return out


def cosines(size: int) -> Tensor:
    """float32 [LOW + 1, size]: the lowest rows of the discrete cosine transform."""
    k = torch.arange(LOW + 1)[:, None]
    return torch.cos(math.pi / size * (torch.arange(size) + 0.5) * k)


def grey_of(colours: Tensor) -> Tensor:
    """Brightness [n, h, w] of [n, 1 or 3, h, w] (Rec. 601)."""
    return (
        colours[:, 0]
        if colours.shape[1] == 1
        else 0.299 * colours[:, 0] + 0.587 * colours[:, 1] + 0.114 * colours[:, 2]
    )


def smaller(grey: Tensor, size: tuple[int, int]) -> Tensor:
    """[n, h, w] brought to another size."""
    if tuple(grey.shape[1:]) == size:
        return grey
    return F.interpolate(grey[:, None], size, mode="bicubic", antialias=True)[:, 0]


def room_of(grey: Tensor) -> Tensor:
    """What each pixel [n, h, w] may change by: more where those round about differ."""
    span = F.max_pool2d(grey, 3, 1, 1) + F.max_pool2d(-grey, 3, 1, 1)
    return (ROOM * span.clamp_min(0).sqrt()).clamp_max(MOST)


def _levels(record: np.ndarray) -> np.ndarray:
    """Brightness [h, w] in levels of 255."""
    x = torch.from_numpy(record.astype(np.float32)).movedim(2, 0)[None]
    x = x[:, :3] if x.shape[1] > 2 else x[:, :1]
    return grey_of(x * (255 / np.iinfo(record.dtype).max))[0].numpy()


def _decoded(piece: Piece) -> np.ndarray:
    """A picture at its own size."""
    with piece.open() as file:
        head = picture.peek(file, piece.name)
        file.seek(0)
        return picture.decode(file, piece.name, (head.width, head.height), 1 if head.grey else 3, head.bits)
