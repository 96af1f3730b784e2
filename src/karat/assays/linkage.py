"""Whether training rows were copied, exactly or slightly altered.

Near copies are looked for as records are linked (Fellegi and Sunter, https://doi.org/10.1080/01621459.1969.10501049):
two rows agree the more surprisingly, the fewer training rows agree as well in each column. How far the best match stands
out among the fifty best is what counts, and unseen real rows say how far is far (as for pictures, Carlini et al.,
https://arxiv.org/abs/2301.13188). Nearest record share: https://arxiv.org/abs/2505.01524 says why it clears nobody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from karat.assays.chance import LEVEL, wilson
from karat.assays.finding import Finding
from karat.assays.memory import CERTAIN, CROWD, NEAR, chance_of
from karat.assays.seen import nearest
from karat.assays.shares import certain
from karat.assays.sheet import Sheet, finite, ranks

WORK = 1.2e9  # cells compared, at most: made and unseen rows times training rows times columns
BASE = 100_000  # training rows that are searched, at most
MOST = 4000
LEANING = 0.1  # of the way from none to all rows copied, beyond which the nearest record share is a fault


@dataclass(frozen=True)
class Links:
    """Per row [n]: by how much its best match stands out, in nats, and which training row that is."""

    gap: Tensor
    row: Tensor


class Linker:
    """Scores the agreement of rows with all of `base`; columns whose cells are all equal say nothing."""

    def __init__(self, base: Sheet) -> None:
        self.base = base
        self.n = len(base)
        self.numbers = list(base.numbers)
        self.choices = [j for j, choices in enumerate(base.columns.choices) if choices]
        self.known = [finite(base.values[:, j]) for j in self.numbers]
        self.hole = [max(1 / self.n, float(np.isnan(base.values[:, j]).mean())) for j in self.numbers]
        self.places = [torch.from_numpy(self._place(base, k)) for k in range(len(self.numbers))]
        self.codes = [torch.from_numpy(base.codes(j).astype(np.int32)) for j in self.choices]
        self.weights = [
            -np.log(np.maximum(np.bincount(base.codes(j), minlength=len(base.columns.choices[j]) + 2), 1) / self.n)
            for j in self.choices
        ]

    def _place(self, sheet: Sheet, k: int) -> np.ndarray:
        """Twice the mid-rank, so that a difference is a share of rows; missing cells far from all."""
        place = 2 * ranks(self.known[k], sheet.values[:, self.numbers[k]])
        filled: np.ndarray = np.nan_to_num(place, nan=10.0).astype(np.float32)
        return filled

    def _mass(self, sheet: Sheet, k: int) -> np.ndarray:
        """Share of the base that has the very value."""
        column, known = sheet.values[:, self.numbers[k]], self.known[k]
        same = np.searchsorted(known, column, "right") - np.searchsorted(known, column, "left")
        mass: np.ndarray = np.where(np.isnan(column), self.hole[k], np.maximum(same, 1) / self.n).astype(np.float32)
        return mass

    def of(self, sheet: Sheet, block: int = 32) -> Links:
        """The links of every row of `sheet`."""
        places = [torch.from_numpy(self._place(sheet, k)) for k in range(len(self.numbers))]
        masses = [torch.from_numpy(self._mass(sheet, k)) for k in range(len(self.numbers))]
        codes = [torch.from_numpy(sheet.codes(j).astype(np.int32)) for j in self.choices]
        weights = [torch.from_numpy(w[c.numpy()].astype(np.float32)) for w, c in zip(self.weights, codes, strict=True)]
        crowd = min(CROWD + 1, self.n)
        gaps, rows = [], []
        for start in range(0, len(sheet), block):
            part = slice(start, start + block)
            total = torch.zeros(len(places[0][part]) if places else len(codes[0][part]), self.n)
            product, held = None, 0
            for mine, mass, theirs in zip(places, masses, self.places, strict=True):
                share = (mine[part, None] - theirs[None]).abs_()
                torch.maximum(share, mass[part, None], out=share).clamp_(max=1)
                product = share if product is None else product.mul_(share)
                held += 1
                if held == 6:  # before the product of shares leaves the range of float32
                    total -= product.log_()
                    product, held = None, 0
            if product is not None:
                total -= product.log_()
            for own, weight, other in zip(codes, weights, self.codes, strict=True):
                total.addcmul_((own[part, None] == other[None]).float(), weight[part, None])
            best = total.topk(crowd, dim=1)
            gaps.append(best.values[:, 0] - best.values[:, 1:].mean(1))
            rows.append(best.indices[:, 0])
        return Links(torch.cat(gaps), torch.cat(rows))


def keys(sheet: Sheet) -> list[bytes]:
    """One key per row: equal where every cell is equal or missing on both sides."""
    values = np.ascontiguousarray(np.where(np.isnan(sheet.values), np.nan, sheet.values + 0.0))
    return [row.tobytes() for row in values]


def findings(
    train: Sheet, unseen: Sheet, made: Sheet, embedded: tuple[Tensor, Tensor, Tensor], seed: int
) -> list[Finding]:
    """Copy rate, near copies and nearest record share; `train` must be all that the generator learned from."""
    return [_copies(train, unseen, made), _near(train, unseen, made), _share(*embedded, seed=seed)]


def _copies(train: Sheet, unseen: Sheet, made: Sheet) -> Finding:
    first: dict[bytes, int] = {}
    for i, key in enumerate(keys(train)):
        first.setdefault(key, i)
    mine = keys(made)
    hits = [i for i, key in enumerate(mine) if key in first]
    others = sum(key in first for key in keys(unseen))
    count, n, m = len(hits), len(made), len(unseen)
    value, real = count / n, others / m
    low, high = wilson(count, n)
    raised = value - real > 0.003 and certain(count, n, others, m)
    says = (
        f"{count} of {n} made rows ({value:.2%}) equal a training row in every cell; of unseen real rows, {real:.2%} do"
        + (": training rows were copied." if raised else ".")
    )
    same = [[made.row(i), train.row(first[mine[i]])] for i in hits[:24]]
    detail = {"copies": count, "n": n, "searched": len(train), "same": same}
    return Finding("memory", "copy rate", value, low, high, real, "lower", raised, says, detail)


def _near(train: Sheet, unseen: Sheet, made: Sheet) -> Finding:
    base = train.take(np.arange(min(len(train), BASE)))
    most = int(np.clip(WORK / (len(base) * train.width), 200, MOST))
    linker = Linker(base)
    m, u = (linker.of(s.take(np.arange(min(len(s), most)))) for s in (made, unseen))
    n, held = len(m.gap), len(u.gap)
    k = min(max(3, math.ceil(NEAR * held)), held)
    bar = float(u.gap.sort(descending=True).values[k - 1])
    count = int((m.gap > bar).sum())
    value, real = count / n, k / (held + 1)
    low, high = wilson(count, n)
    p = chance_of(count, n, k, held)
    raised = p < CERTAIN and value - real > 0.003
    order = m.gap.argsort(descending=True, stable=True)[:24]
    pairs = [(made.row(int(i)), base.row(int(m.row[i])), float(m.gap[i])) for i in order]
    says = (
        f"{count} of {n} made rows ({value:.1%}) agree with one training row, cell by cell, as surprisingly as only "
        f"{real:.2%} of unseen real ones do"
        + (": training rows were copied, slightly altered." if raised else "; no more than chance explains.")
    )
    detail = {"pairs": pairs, "bar": bar, "p": p, "copies": count, "n": n, "searched": len(base)}
    return Finding("memory", "near copies", value, low, high, real, "lower", raised, says, detail)


def share_of(queries: Tensor, ours: Tensor, theirs: Tensor) -> tuple[float, float]:
    """Share of `queries` [q, d] nearer to a row of `ours` than to any of `theirs` (both [n, d]), ties counted half.

    Also its standard deviation over which half of the pooled rows each of them fell into by chance.
    """
    (_, a), (_, b) = nearest(queries, ours), nearest(queries, theirs)
    near, far = ((queries - rows).square().sum(1).sqrt() for rows in (ours[a], theirs[b]))
    tie = (near - far).abs() < 1e-6
    closer = (near < far) & ~tie
    share = float((closer.double() + tie.double() / 2).mean())
    pooled = torch.where(closer, a, b + len(ours))[~tie]
    weight = torch.bincount(pooled, minlength=1).double() / len(queries)
    return share, max(float(weight.square().sum().sqrt()) / 2, 0.5 / len(queries))


def _share(train: Tensor, unseen: Tensor, made: Tensor, *, seed: int) -> Finding:
    rng = torch.Generator().manual_seed(seed)
    held = len(unseen)
    cut = torch.randperm(len(train), generator=rng)[:held]
    ours = train[cut]
    value, sd = share_of(made[:MOST], ours, unseen[: len(ours)])
    half = min(held // 2, len(ours))
    real, _ = share_of(unseen[held // 2 :][:MOST], ours[:half], unseen[:half])
    again = torch.randint(len(train), (min(MOST, 2000),), generator=rng)
    ceiling, _ = share_of(train[again], ours, unseen[: len(ours)])
    way = (value - 0.5) / (ceiling - 0.5) if ceiling > 0.5 else 0.0
    raised = value - 0.5 > LEVEL * sd and way > LEANING
    says = (
        f"{value:.1%} of what was made lies nearer to a training row than to an unseen real one, of {len(ours)} each; "
        f"50% is ideal, unseen real rows score {real:.1%}, a verbatim copy of the training data {ceiling:.1%}."
    )
    detail = {
        "n": min(len(made), MOST),
        "ceiling": ceiling,
        "way": way,
        "sd": sd,
        "z": (value - 0.5) / sd,
        "rows": len(ours),
    }
    low, high = max(0.0, value - 1.96 * sd), min(1.0, value + 1.96 * sd)
    return Finding("memory", "nearest record share", value, low, high, real, "lower", raised, says, detail)
