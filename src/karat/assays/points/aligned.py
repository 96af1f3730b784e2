"""The nearest training record to each of others, whatever change of place, size or level lies between the two.

Candidates: each record in some dozens of coarse poses (pictures mirrored, moved, turned, scaled; sounds at other speeds,
pitches and times) is compared with all training records, blurred, each centred and of length one, so that brightness,
contrast and level make no other record of it. Each candidate is then brought into register by least squares (Gauss-Newton
steps over the change's four generators; Lucas & Kanade 1981; Simard et al., https://doi.org/10.1007/3-540-49430-8_13), and
only what both show is compared. Whoever is a copy lies far nearer to one candidate than to the next best; how much nearer
real records do, whose data may be symmetric, is found by the same search.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from karat.assays.neighbours import components

CLOSEST = 6  # training records that are brought into register
STEPS = 3  # of the closest of these, after one step of each
MOST_STEP = 0.15  # of half the width
AT_ONCE = 1 << 16  # numbers that are brought into register together: they fit a processor's cache
TILE = 512  # training records that all poses are compared with before the next: what is between stays in the cache
POSED = 1 << 10  # coarse records that are looked at in their poses together
LEAST = 24  # pixels of a picture's longer side, below which it is enlarged by a whole number
COMPONENTS = 48
MOVED, TURNED, RESIZED, PITCHED = (
    0.1,
    4.0,
    0.04,
    0.03,
)  # of half the width, degrees, logarithms: from which on a change is named
DEPTH = 0.7  # of sounds, what counts below the peak, in a range of 2
SHIFTS = (-0.19, -0.06, 0.06, 0.19)  # of pictures, of half the width: up to 3 of 28 pixels, with what a step adds
TURN, SCALE = 11.0, 1.1  # degrees; times
LATER, SPEED, PITCH = (
    0.075,
    1.1,
    1.075,
)  # of sounds: share of the frames; times, of the rows that are bands of frequency


@dataclass(frozen=True)
class Matches:
    """Per record [n]: the distance to the nearest training record over the mean of that to the next best ones, which it is,
    and the change [n, 3, 3] that maps places of the training record, from -1 to 1, to those of the record.

    kind: names the changes; None where records are compared as they are.
    """

    ratio: Tensor
    row: Tensor
    change: Tensor
    kind: Pictures | Sounds | None = None

    def changes(self, rows: Iterable[int]) -> list[str]:
        """How each record at `rows` differs from its training record, in a word; "" where hardly."""
        return ["" if self.kind is None else self.kind.name(self.change[i]) for i in rows]


class Pictures:
    """Changes of pictures [n, c, h, w]: mirrored or upside down, moved, turned, scaled."""

    fine, coarse, padding = (32, 32), (14, 14), "border"

    def __init__(self, height: int, width: int) -> None:
        self.aspect = height / width
        turn = [[0, -self.aspect, 0], [1 / self.aspect, 0, 0]]
        self.moves = torch.tensor([[[0, 0, 1], [0, 0, 0]], [[0, 0, 0], [0, 0, 1]], turn, [[1, 0, 0], [0, 1, 0]]])
        some = [affine(moved=(x, y)) for x, y in itertools.product(SHIFTS, repeat=2)]
        some += [affine(scaled=(scale, scale)) for scale in (1 / SCALE, 1, SCALE)]
        for degrees in (-TURN, TURN):
            turned = affine(scaled=(math.cos(math.radians(degrees)),) * 2)
            turned[:2] += math.sin(math.radians(degrees)) * self.moves[2]
            some.append(turned)
        flips = [affine(scaled=flip) for flip in ((1, 1), (-1, 1), (1, -1))]
        self.poses = torch.stack([flip @ pose for flip in flips for pose in some])

    def prepared(self, points: Tensor) -> Tensor:
        """Smoothed luminance, of small pictures in between as well."""
        x = points.float().mean(1, keepdim=True)
        times = max(1, round(LEAST / max(x.shape[2:])))
        x = F.interpolate(x, scale_factor=times, mode="bilinear") if times > 1 else x
        return _folded(smoothed(x), self.fine)

    def name(self, change: Tensor) -> str:
        """A change [3, 3] in a word, the most striking one."""
        (a, b), (c, d) = change[:2, :2].tolist()
        if a * d - b * c < 0:
            return "mirrored" if a < 0 else "upside down"
        angle = math.degrees(math.atan2(c * self.aspect - b / self.aspect, a + d))
        scale = math.sqrt(max(a * d - b * c, 0.0))
        if abs(angle) > TURNED:
            return "turned"
        if abs(math.log(max(scale, 1e-3))) > RESIZED:
            return "scaled"
        return "moved" if float(change[:2, 2].norm()) > MOVED else ""


class Sounds:
    """Changes of spectrograms [n, c, bands, frames]: faster or slower, at another pitch, at another time."""

    fine, coarse, padding = (64, 32), (16, 32), "zeros"

    def __init__(self, bands: int, frames: int) -> None:
        self.moves = torch.tensor(
            [[[0, 0, 1], [0, 0, 0]], [[0, 0, 0], [0, 0, 1]], [[1, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 1, 0]]]
        ).float()
        each = itertools.product((1 / SPEED, 1, SPEED), (1 / PITCH, 1, PITCH), (-2, -1, 0, 1, 2))
        # what is low stays: a band's distance from the first grows
        self.poses = torch.stack([affine((s, p), (2 * LATER * i, p - 1)) for s, p, i in each])

    def prepared(self, points: Tensor) -> Tensor:
        """What stands out, measured from each record's own peak, with its middle in the middle of the frames."""
        x = smoothed(points.float().mean(1, keepdim=True))
        x = _folded(F.relu(x - (x.flatten(1).amax(1) - DEPTH).clamp_min(-1)[:, None, None, None]), self.fine)
        mass, at = x.sum((1, 2)), torch.linspace(-1, 1, x.shape[3])
        middle = torch.eye(3).repeat(len(x), 1, 1)
        middle[:, 0, 2] = (mass * at).sum(1) / mass.sum(1).clamp_min(1e-6)
        return smoothed(smoothed(seen(x, middle, self.padding)))

    def name(self, change: Tensor) -> str:
        """A change [3, 3] in a word, the most striking one."""
        speed, pitch = (abs(math.log(max(float(change[i, i]), 1e-3))) for i in (0, 1))
        return "at another speed" if speed > RESIZED else "at another pitch" if pitch > PITCHED else ""


class Aligned:
    """Training points [t, c, h, w], ready to be searched."""

    def __init__(self, train: Tensor, kind: Pictures | Sounds) -> None:
        self.train, self.kind = train, kind
        blurred = torch.cat([_level(self._blurred(kind.prepared(part))) for part in train.split(1000)])
        self.basis = components(blurred, COMPONENTS)
        self.base = self.basis.of(blurred)
        # of records [n, k + 2] that end in minus half their squared length and minus one, the product with a row of these is
        # minus half the squared distance
        half = self.base.square().sum(1, keepdim=True) / 2
        self.sought = torch.cat([self.base, torch.ones_like(half), half], 1)

    def _blurred(self, x: Tensor) -> Tensor:
        return _folded(smoothed(smoothed(smoothed(x))), self.kind.coarse)

    def search(self, points: Tensor, own: Tensor | None = None) -> Matches:
        """For `points` [n, c, h, w].   own: rows [n] of the training records that they are themselves, to be passed over."""
        parts = []
        for start in range(0, len(points), 250):
            skip = None if own is None else own[start : start + 250]
            parts.append(self._block(self.kind.prepared(points[start : start + 250]), skip))
        ratio, row, change = (torch.cat(each) for each in zip(*parts, strict=True))
        return Matches(ratio, row, change, self.kind)

    def _block(self, x: Tensor, own: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        n, poses, rough = len(x), self.kind.poses, self._blurred(x)
        posed = torch.cat([self._posed(rough, some) for some in poses.split(max(1, POSED // n))])
        best, asked = torch.empty(n, len(self.base)), F.pad(posed, (0, 2), value=-1.0)
        asked[:, :, -2] = -posed.square().sum(2) / 2
        for here, base in zip(best.split(TILE, 1), self.sought.split(TILE), strict=True):
            most, room = torch.full_like(here, -math.inf), torch.empty_like(here)
            for each in asked:
                torch.maximum(most, torch.mm(each, base.T, out=room), out=most)
            here.copy_(most)
        if own is not None:
            best[torch.arange(n), own] = -math.inf
        count = min(CLOSEST, len(self.base) - (own is not None))
        rows = best.topk(count, dim=1).indices
        near = torch.einsum("pnk,nck->pnc", posed, self.base[rows]) - posed.square().sum(2)[:, :, None] / 2
        used, at = rows.unique(return_inverse=True)
        change, theirs = poses[near.argmax(0)], self.kind.prepared(self.train[used])[at.flatten()]
        d, change = _registered(x.repeat_interleave(count, 0), theirs, change.flatten(0, 1), self.kind.moves, 1)
        d, change, theirs = (y.unflatten(0, (n, count)) for y in (d, change, theirs))
        at, all_of = d.argmin(1), torch.arange(n)
        least, last = _registered(x, theirs[all_of, at], change[all_of, at], self.kind.moves, STEPS)
        others = (d.sum(1) - d[all_of, at]) / max(1, count - 1)
        return least / others.clamp_min(1e-6), rows[all_of, at], last

    def _posed(self, rough: Tensor, poses: Tensor) -> Tensor:
        """Components [p, n, k] of `rough` [n, 1, h, w] in each of `poses` [p, 3, 3]."""
        p, n = len(poses), len(rough)
        each = seen(rough.repeat(p, 1, 1, 1), poses.repeat_interleave(n, 0), self.kind.padding)
        out: Tensor = self.basis.of(_level(each)).unflatten(0, (p, n))
        return out


def _level(x: Tensor) -> Tensor:
    """`x` [n, ...] flat [n, d], each centred and of length one."""
    flat = x.flatten(1) - x.flatten(1).mean(1, keepdim=True)
    out: Tensor = flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-6)
    return out


def smoothed(x: Tensor) -> Tensor:
    """`x` [n, c, *size] through a binomial filter along each axis of more than two steps."""
    for axis in range(2, x.ndim):
        size = x.shape[axis]
        if size > 2:
            wide = torch.cat([x.narrow(axis, 0, 1), x, x.narrow(axis, size - 1, 1)], axis)
            x = (wide.narrow(axis, 0, size) + 2 * x + wide.narrow(axis, 2, size)) / 4
    return x


def _folded(x: Tensor, most: tuple[int, int]) -> Tensor:
    """`x` [n, c, h, w] averaged down to at most so many steps along each axis."""
    fold = [max(1, math.ceil(size / limit)) for size, limit in zip(x.shape[2:], most, strict=True)]
    out: Tensor = F.avg_pool2d(x, fold, ceil_mode=True)
    return out


def affine(scaled: tuple[float, float] = (1, 1), moved: tuple[float, float] = (0, 0)) -> Tensor:
    """The map [3, 3] of places that multiplies and then adds."""
    return torch.tensor([[scaled[0], 0, moved[0]], [0, scaled[1], moved[1]], [0, 0, 1]], dtype=torch.float32)


def seen(x: Tensor, change: Tensor, padding: str) -> Tensor:
    """`x` [n, c, h, w] at the places that `change` [n or 1, 3, 3] maps to."""
    grid = _places(change, *x.shape[2:]).expand(len(x), -1, -1, -1)
    return F.grid_sample(x, grid, padding_mode=padding, align_corners=False)


def _places(change: Tensor, h: int, w: int) -> Tensor:
    """Where `change` [n, 3, 3] maps the middles of `h` times `w` pixels to, across and down: [n, h, w, 2]."""
    across, down = (torch.linspace(1 / size - 1, 1 - 1 / size, size) for size in (w, h))
    (a, b, c), (d, e, f) = change[:, :2, :, None, None].permute(1, 2, 0, 3, 4)
    return torch.stack([(a * across + c) + b * down[:, None], (d * across + f) + e * down[:, None]], 3)


def _registered(mine: Tensor, theirs: Tensor, change: Tensor, moves: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The distance [n] of each of `mine` to that of `theirs` (both [n, 1, h, w]) where both show something, each of length
    one there, after so many steps from `change` [n, 3, 3] along `moves` [k, 2, 3]; and the change then."""
    h, w = mine.shape[2:]
    at = F.pad(_places(torch.eye(3)[None], h, w).reshape(-1, 2), (0, 1), value=1)
    flow = torch.einsum("kij,dj->kid", moves, at)  # [k, 2, h * w]

    def laid(x: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
        grid = _places(m, h, w)
        inside = ((grid[..., 0].abs() <= 1) & (grid[..., 1].abs() <= 1)).flatten(1).float()
        return F.grid_sample(x, grid, padding_mode="border", align_corners=False), inside

    d, last = [], []
    for a, b, m in zip(*(x.split(max(1, AT_ONCE // (h * w))) for x in (mine, theirs, change)), strict=True):
        target = b.flatten(1)
        for _ in range(steps):
            m = m @ _step(*laid(a, m), target, moves, flow)
        now, inside = laid(a, m)
        x, y = (_centred(z, inside) for z in (now.flatten(1), target))
        like = (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1)).clamp_min(1e-6)
        d.append((2 - 2 * like).clamp_min(0).sqrt())
        last.append(m)
    return torch.cat(d), torch.cat(last)


def _step(now: Tensor, inside: Tensor, target: Tensor, moves: Tensor, flow: Tensor) -> Tensor:
    """The small change [n, 3, 3] that brings `now` [n, 1, h, w] nearer to `target` [n, h * w] at any level and contrast."""
    h, w = now.shape[2:]
    slope = torch.zeros(2, *now.shape)
    slope[0, ..., 1:-1] = (now[..., 2:] - now[..., :-2]) * (w / 4)
    slope[1, ..., 1:-1, :] = (now[..., 2:, :] - now[..., :-2, :]) * (h / 4)
    gx, gy = slope.flatten(2)
    moved = gx[:, None] * flow[None, :, 0] + gy[:, None] * flow[None, :, 1]
    known = _centred(torch.cat([now.flatten(1)[:, None], moved], 1), inside[:, None])
    size = known.norm(dim=2).clamp_min(1e-6)
    known = known / size[:, :, None]
    square = torch.bmm(known, known.transpose(1, 2)) + 1e-3 * torch.eye(known.shape[1])
    share = torch.linalg.solve(square, torch.bmm(known, _centred(target, inside)[:, :, None]))[:, :, 0] / size
    share = (share[:, 1:] / share[:, :1].clamp_min(1e-6)).clamp(-MOST_STEP, MOST_STEP)
    out = torch.eye(3).repeat(len(now), 1, 1)
    out[:, :2] += torch.einsum("nk,kij->nij", share, moves)
    return out


def _centred(x: Tensor, inside: Tensor) -> Tensor:
    """`x` [..., d] less its mean over what is inside, and nothing elsewhere."""
    mean = (x * inside).sum(-1, keepdim=True) / inside.sum(-1, keepdim=True).clamp_min(1)
    return (x - mean) * inside
