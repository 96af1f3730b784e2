"""The nearest training record to each of others where content may begin anywhere along the last axis.

Two records are laid over each other at every shift along that axis, by the correlation theorem; the closest few again at
half steps and with one moved by up to a step along the first axis, as a change of pitch moves the bands of a spectrogram.
Only what stands out counts, measured from each record's own peak, and each is scaled to length one: neither a louder copy
nor one under noise is another record.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

DEPTH = 0.7  # below its peak, what of a record counts, in a range of 2
SIZE = (32, 64)  # steps along the first and the last axis that are told apart
CLOSEST = 6  # training records that are looked at again
MOVES = (-1.0, -0.5, 0.0, 0.5, 1.0)  # along the first axis
CROWD = 50


class Sliding:
    """Training points [t, c, first, last] in [-1, 1], ready to be searched."""

    def __init__(self, train: Tensor) -> None:
        self.shape = _outline(train[:1]).shape[1:]
        flat = torch.cat([_turned(_outline(part)) for part in train.split(500)])
        self.by_place = flat.conj().permute(2, 1, 0).contiguous()  # [places, first, t]
        self.by_record = flat.conj()

    def search(self, points: Tensor, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """For `points` [n, c, first, last]: the distance to the nearest over the mean of the 50 next, and its row, [n].

        own: rows [n] of the training records that the points are themselves, to be passed over.
        """
        ratio, row = [], []
        for start in range(0, len(points), 100):
            some = points[start : start + 100]
            near, rows = self._coarse(_turned(_outline(some)), None if own is None else own[start : start + 100])
            crowd = near[:, 1:].mean(1).clamp_min(1e-9)
            least, best = self._fine(some, rows[:, :CLOSEST])
            ratio.append(least / crowd)
            row.append(best)
        return torch.cat(ratio), torch.cat(row)

    def _coarse(self, turned: Tensor, own: Tensor | None) -> tuple[Tensor, Tensor]:
        """Distances [n, 51] to the nearest training records at whole steps, and their rows."""
        cross = torch.bmm(turned.permute(2, 0, 1), self.by_place)  # [places, n, t]
        d = _apart(torch.fft.irfft(cross, n=self.shape[1], dim=0).amax(0))
        if own is not None:
            d[torch.arange(len(d)), own] = math.inf
        count = min(CROWD + 1, d.shape[1] - (own is not None))
        near, rows = d.topk(count, largest=False)
        return near, rows

    def _fine(self, points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The least distance [n] to the training records `rows` [n, k] at half steps along both axes, and its row."""
        last = self.shape[1]
        theirs = self.by_record[rows]
        least, best = torch.full((len(points),), math.inf), rows[:, 0].clone()
        for moved in _moved(points):
            cross = (_turned(_outline(moved))[:, None] * theirs).sum(2)
            d = _apart(2 * torch.fft.irfft(cross, n=2 * last, dim=2).amax(2))
            near, place = d.min(1)
            best = torch.where(near < least, rows.gather(1, place[:, None])[:, 0], best)
            least = torch.minimum(least, near)
        return least, best


def _apart(correlation: Tensor) -> Tensor:
    """The distance of two outlines of length one."""
    out: Tensor = (2 - 2 * correlation).clamp_min(0).sqrt()
    return out


def _turned(outline: Tensor) -> Tensor:
    out: Tensor = torch.fft.rfft(outline, dim=2)
    return out


def _outline(points: Tensor) -> Tensor:
    """What stands out of `points` [n, c, first, last], smoothed, of length one: [n, first', last'] of at most `SIZE`."""
    x = points.float().mean(1, keepdim=True)
    for axis in (2, 3):
        if x.shape[axis] > 2:
            size = x.shape[axis]
            wide = torch.cat([x.narrow(axis, 0, 1), x, x.narrow(axis, size - 1, 1)], axis)
            x = (wide.narrow(axis, 0, size) + 2 * x + wide.narrow(axis, 2, size)) / 4
    floor = (x.flatten(1).amax(1) - DEPTH).clamp_min(-1)
    x = F.relu(x - floor[:, None, None, None])
    fold = [max(1, math.ceil(size / most)) for size, most in zip(x.shape[2:], SIZE, strict=True)]
    x = F.avg_pool2d(x, fold, ceil_mode=True)[:, 0]
    out: Tensor = x / x.flatten(1).norm(dim=1).clamp_min(1e-6)[:, None, None]
    return out


def _moved(points: Tensor) -> Iterator[Tensor]:
    """`points` [n, c, first, last] moved along the first axis by each of `MOVES`, what comes in empty."""
    up, down = F.pad(points, (0, 0, 1, 0), value=-1.0)[:, :, :-1], F.pad(points, (0, 0, 0, 1), value=-1.0)[:, :, 1:]
    for move in MOVES:
        to = down if move < 0 else up
        yield points + abs(move) * (to - points)
