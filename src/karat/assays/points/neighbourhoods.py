"""Precision, recall, density and coverage of whole sets, exact, in one pass of distances.

Precision and recall: https://arxiv.org/abs/1904.06991. Density and coverage: https://arxiv.org/abs/2002.09797.
Distances are reckoned in float32; where rounding could decide, that pair again in float64.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS = 64  # whose distances to all others are held at once
SPARE = 3  # nearest records beyond those asked for, among which float32 may have put them
MARGIN = 1e-5  # of the squared norms: what float32 may be off by


class Prdc(NamedTuple):
    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: Tensor, made: Tensor, k: int) -> Prdc:
    """Scores of `made` [m, d] beside `real` [n, d] by the balls around each record to its `k`-th neighbour, itself excluded.

    The same as the package prdc finds in float64.   Raises ValueError for k that is not below n and m.
    """
    if not 0 < k < min(len(real), len(made)):
        raise ValueError(
            f"k = {k} for {len(real)} real and {len(made)} made records; at least 1 and fewer than either was wanted"
        )
    middle = real.double().mean(0)
    real, made = real.double() - middle, made.double() - middle  # small norms round less
    theirs, mine = radii(real, k), radii(made, k)
    a, b, norms = real.float(), made.float(), made.float().square().sum(1)
    margin = MARGIN * float(real.square().sum(1).max() + made.square().sum(1).max())
    held, reached, covered = torch.zeros(len(made), dtype=torch.long), 0, 0
    for start in range(0, len(a), ROWS):
        part = slice(start, start + ROWS)
        d = torch.addmm(norms[None], a[part], b.T, alpha=-2).add_(a[part].square().sum(1)[:, None])
        row, column = _below(d, theirs[part, None], margin, real[part], made)
        held += torch.bincount(column, minlength=len(made))
        covered += len(row.unique())
        reached += len(_below(d, mine[None], margin, real[part], made)[0].unique())
    n, m = len(real), len(made)
    return Prdc(float((held > 0).double().mean()), reached / n, float(held.sum()) / (k * m), covered / n)


def _below(d: Tensor, limit: Tensor, margin: float, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The pairs of `a` [r, f] and `b` [m, f] whose squared distance, of which `d` [r, m] is a rounding, lies below `limit`."""
    row, column = (d < (limit + margin).float()).nonzero(as_tuple=True)
    high = limit.expand_as(d)[row, column]
    near = d[row, column]
    sure = near < high - margin
    doubtful = (~sure).nonzero()[:, 0]
    exact = [(a[row[i]] - b[column[i]]).square().sum(1) < high[i] for i in doubtful.split(1 << 16)]
    sure[doubtful] = torch.cat([*exact, sure[:0]])
    return row[sure], column[sure]


def radii(points: Tensor, k: int) -> Tensor:
    """Squared distances [n], float64, of each of `points` [n, d] to its `k`-th neighbour, itself excluded."""
    x, n = points.float(), len(points)
    wanted = min(k + SPARE, n - 1)
    # the nearest records lie in the groups whose nearest ones are nearest, so only these are sorted
    groups = max(wanted, int(math.sqrt(n * wanted)))
    size = -(-n // groups)
    spare = groups * size - n
    others, norms = F.pad(x, (0, 0, 0, spare)), F.pad(x.square().sum(1), (0, spare), value=math.inf)
    out, d = [], torch.empty(min(ROWS, n), groups * size)
    for start in range(0, n, ROWS):
        mine = torch.arange(start, min(start + ROWS, n))
        d = torch.addmm(norms[None], x[mine], others.T, alpha=-2, out=d[: len(mine)])
        d[torch.arange(len(d)), mine] = math.inf
        grouped = d.view(len(d), size, groups)
        best = grouped.amin(1).topk(wanted, dim=1, largest=False).indices
        few = grouped.gather(2, best[:, None].expand(-1, size, -1)).flatten(1)
        at = few.topk(wanted, dim=1, largest=False).indices
        row = (at // wanted) * groups + best.gather(1, at % wanted)
        exact = (points[mine, None].double() - points[row].double()).square().sum(2)
        out.append(exact.kthvalue(k, dim=1).values)
    return torch.cat(out)
