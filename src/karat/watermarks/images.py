"""Pictures: a keyed pattern over the lower frequencies of the brightness, stronger where the picture is busy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from karat.content.archive import Piece, list_folder, list_zip, open_zip
from karat.content.image import picture
from karat.content.image.images import Images
from karat.watermarks import spread
from karat.watermarks.detection import Detection, best_of, detection
from karat.watermarks.scheme import Watermark

SIDE = 64  # pixels a side at most, at which a picture is looked at
BAND = 0.9  # of the frequencies of a side
CLIP = 3.0  # levels of 255, of an orthonormal coefficient
LOW, WORTH = 0.45, 2.0  # the lower frequencies, which outlive more, are worth more
ROOM = (
    0.7  # times the root of the range of the pixels round about, what one changes by at most: what is busy hides more
)
MOST = 8.0  # levels that one changes by at all
ALONE = 8  # pictures from which on what they have in common is taken off


@dataclass(frozen=True)
class ImageWatermark(Watermark):
    technique = "pattern in a picture's frequencies"
    codec: Images

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width at which the pattern lies."""
        scale = min(1.0, SIDE / max(self.codec.height, self.codec.width))
        return max(1, round(self.codec.height * scale)), max(1, round(self.codec.width * scale))

    @cached_property
    def bases(self) -> tuple[Tensor, Tensor]:
        """The cosines [band, height] and [band, width]."""
        return cosines(self.size[0]), cosines(self.size[1])

    @cached_property
    def places(self) -> Tensor:
        """bool [band, band]: the coefficients that count; the three lowest say how bright a picture is, and where."""
        high, wide = (len(base) for base in self.bases)
        return (torch.arange(high)[:, None] + torch.arange(wide)) > 1

    @cached_property
    def weights(self) -> Tensor:
        """[places]: how much the coefficients are worth when the mark is put in; what is below LOW outlives more."""
        high, wide = (torch.arange(len(base)) < LOW * base.shape[1] for base in self.bases)
        return torch.where(high[:, None] & wide, WORTH, 1.0)[self.places]

    @cached_property
    def patterns(self) -> Tensor:
        return spread.patterns(self.key, "picture", int(self.places.sum()))

    def coefficients(self, grey: Tensor, top: int = 0, left: int = 0) -> Tensor:
        """[n, places] of brightness [n, h, w] in levels of 255, which lies at that place of the whole picture."""
        high, wide = self.bases
        if grey.shape[1:] != self.size:
            grey = grey - grey.mean((1, 2), keepdim=True)
        h, w = grey.shape[1:]
        found = high[:, top : top + h] @ grey @ wide[:, left : left + w].T
        return found[:, self.places] / CLIP

    def embedded(self, records: Any, rng: np.random.Generator) -> np.ndarray:
        """Pictures [n, height, width, channels] of the same depth."""
        top, out = float(self.codec.top), np.empty_like(records)

        def moved(x: Tensor, change: Tensor) -> Tensor:
            return (x + change[:, None]).clamp(0, 255)

        def coefficients(x: Tensor) -> Tensor:
            return self.coefficients(smaller(grey_of(x), self.size))

        for start in range(0, len(records), spread.AT_ONCE):
            part = np.asarray(records[start : start + spread.AT_ONCE])
            x = torch.from_numpy(part.astype(np.float32)).movedim(3, 1) * (255 / top)
            pattern = self.patterns[torch.from_numpy(rng.integers(spread.NONCES, size=len(x)))]
            colours = x[:, :3]
            room = (ROOM * reach(grey_of(colours)).sqrt()).clamp_max(MOST)
            done = spread.embedded(colours, pattern, self.weights, coefficients, room, moved)
            marked = torch.cat([done, x[:, 3:]], 1)
            out[start : start + len(x)] = np.rint(marked.movedim(1, 3).numpy() * (top / 255)).astype(records.dtype)
        found: np.ndarray = out
        return found

    def read(self, path: Path) -> Sequence[np.ndarray]:
        """Pictures [h, w, channels] of any sizes, as they are found."""
        if path.is_dir():
            return [_decoded(piece) for piece in list_folder(path).pieces]
        if path.suffix.lower() == ".zip":
            with open_zip(path) as archive:
                return [_decoded(piece) for piece in list_zip(path, archive).pieces]
        if path.suffix.lower() in picture.SUFFIXES:
            return [_decoded(Piece(path.name, 0, 0, lambda: path.open("rb")))]
        return list(super().read(path))

    def detect(self, records: Any) -> Detection:
        """records: pictures [h, w, channels] of any sizes.   Equal pictures count once where all are put together."""
        p = self.each(records)
        _, first = np.unique([one.tobytes() for one in records], return_index=True)
        return detection(self.technique, p, p[np.sort(first)])

    def each(self, records: Any, common: bool = True) -> np.ndarray:
        """The p values [n] of pictures.   common: whether what those of one size have in common is taken off."""
        shapes = [one.shape[:2] for one in records]
        p = np.empty(len(records))
        for shape in set(shapes):
            rows = [i for i, other in enumerate(shapes) if other == shape]
            p[rows] = self.p_value(np.stack([_levels(records[i]) for i in rows]), common and len(rows) >= ALONE)
        return p

    def p_value(self, grey: np.ndarray, common: bool) -> np.ndarray:
        """The p values [n] of pictures of one size, float [n, h, w] in levels of 255.

        One of another size than the run's is the whole picture at another size, or a part of it at its own.
        """
        x = torch.from_numpy(np.ascontiguousarray(grey, np.float32))
        h, w = x.shape[1:]
        whole = self._tried(smaller(x, self.size), [(0, 0)], self.kept(h, w), common)
        if (h, w) == (self.codec.height, self.codec.width) or h > self.codec.height or w > self.codec.width:
            return whole
        part = (round(h * self.size[0] / self.codec.height), round(w * self.size[1] / self.codec.width))
        places = [
            (top, left) for top in range(self.size[0] - part[0] + 1) for left in range(self.size[1] - part[1] + 1)
        ]
        found: np.ndarray = np.minimum(
            1.0, 2 * np.minimum(whole, self._tried(smaller(x, part), places, slice(None), common))
        )
        return found

    def kept(self, h: int, w: int) -> Tensor:
        """bool [places]: the coefficients that a picture of this size still has."""
        high, wide = (torch.arange(len(base)) < BAND * n for base, n in zip(self.bases, (h, w), strict=True))
        return (high[:, None] & wide)[self.places]

    def _tried(self, x: Tensor, places: list[tuple[int, int]], kept: Any, common: bool) -> np.ndarray:
        """p values [n] of brightness [n, h, w] that lies at one of `places`.   kept: the coefficients that count."""
        best = torch.full((len(x),), -torch.inf)
        for top, left in places:
            z = spread.correlated(self.coefficients(x, top, left)[:, kept], self.patterns[:, kept])
            if common:  # what all have in common goes with some patterns by chance
                z = z - z.mean(0)
            best = torch.maximum(best, z.amax(1))
        return best_of(spread.chance_of(best.double().numpy()), len(places) * spread.NONCES)


def cosines(size: int) -> Tensor:
    """float32 [k, size]: the lowest rows of the orthonormal discrete cosine transform."""
    k = torch.arange(max(1, int(BAND * size)), dtype=torch.float64)[:, None]
    base = torch.cos(torch.pi / size * (torch.arange(size, dtype=torch.float64) + 0.5) * k) * (2 / size) ** 0.5
    base[0] /= 2**0.5
    found: Tensor = base.float()
    return found


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
    return F.interpolate(grey[:, None], size, mode="bilinear", antialias=True)[:, 0]


def reach(grey: Tensor) -> Tensor:
    """The range of brightness of each pixel and its neighbours, [n, h, w]."""
    return F.max_pool2d(grey, 3, 1, 1) + F.max_pool2d(-grey, 3, 1, 1)


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
