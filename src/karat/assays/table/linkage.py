"""Whether training rows were copied, exactly or slightly altered.

Near copies are looked for as records are linked (Fellegi and Sunter, https://doi.org/10.1080/01621459.1969.10501049):
two rows agree the more surprisingly, the fewer training rows agree as well in each column. How far the best match
stands out among the next best is what counts (as for pictures, Carlini et al., https://arxiv.org/abs/2301.13188). How
far is far is said by unseen rows, and by training rows that are matched with all others: both have no copy to be
matched with. Nearest record share: https://arxiv.org/abs/2505.01524 says why it clears nobody.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from karat.assays import power
from karat.assays.chance import LEVEL, fewest, limit_of_share, wilson
from karat.assays.details.records import CopyRate, NearCopies
from karat.assays.details.rows import NearestShare
from karat.assays.finding import Finding, Limit, Score, scored
from karat.assays.met import Met, beside
from karat.assays.neighbours import nearest
from karat.assays.points.memory import CERTAIN, NEAR, chance_of
from karat.assays.shares import certain, tail
from karat.assays.table.altering import altered
from karat.assays.table.sheet import finite, ranks
from karat.assays.table.tables import Case
from karat.views import TableView, plain, row_digests
from karat.words import said, term

EQUAL = (
    "{count} of {n} made {what}s ({value:.2%}) equal a training {what} in every cell that is compared; of unseen real {what}s, "
    "{real:.2%} do, and {twice:.2%} of the training {what}s equal another one"
)
FINDS = ("copy rate", "near copies", "nearest record share")
WORK = 2.4e9  # cells compared, at most: made rows times training rows times columns; for innocent rows twice that
BARS = (
    1,
    3,
    NEAR,
    0.01,
)  # innocent rows, or their share, beyond which a match stands out: few and sure, or many and less so
CHANCE = (
    1e-4  # at which so many different training rows accuse; what comes back often may be one row that a model prefers
)
COPIES = 0.02  # of the made rows, from which on they matter: what cannot be seen of so many leaves the gate open
CROWD = 5  # next best matches that the best must stand out from
EVEN = 0.01  # nats by which a match that is as good as the next best may seem to stand out
MISS = 2.0  # nats that a choice which does not agree counts against: about a tenth of a copy's cells are altered
ONE_HOT = 256  # choices up to which a column is compared by a product of matrices
BASE = 100_000  # training rows that are searched, at most
SEARCHED = 6000  # rows of each kind whose matches are looked for, at most
MOST = 4000  # made rows of the nearest record share
LEANING = 0.1  # of the way from none to all rows copied, beyond which the nearest record share is a fault
PLANTED = 300  # training rows that are altered to see how many of such copies would stand out
TILE = 1024  # rows of the base that a block of others is compared with at a time
NOBODY = 0.5  # of real rows that equal another, from which on no copy can be told, however many rows there are


@dataclass(frozen=True)
class Links:
    """Per row [n]: by how much its best match stands out, in nats, and which training row that is."""

    gap: Tensor
    row: Tensor


@dataclass(frozen=True)
class Bar:
    """The gap of the k-th of the innocent rows, and the share of altered copies found beyond it."""

    k: int
    gap: float
    found: float


class Linker:
    """Scores how surprisingly rows agree with each row of `base`.

    A choice that agrees counts -log of its share, one that does not -`MISS`. A number counts -log of the share of rows
    that lie as near to it as the other row does. A row of the base that is scored itself does not count among the others:
    else it would find them less near than an unseen row does.
    """

    def __init__(self, base: TableView) -> None:
        self.n = len(base)
        self.numbers = base.numbers
        self.choices = [j for j, choices in enumerate(base.columns.choices) if choices]
        self.known = [finite(base.values[:, j]) for j in self.numbers]
        self.hole = [max(1 / self.n, float(np.isnan(base.values[:, j]).mean())) for j in self.numbers]
        self.places = [torch.from_numpy(self._place(base, k)) for k in range(len(self.numbers))]
        self.codes = [torch.from_numpy(base.codes(j).astype(np.int32)) for j in self.choices]
        self.weights: list[tuple[np.ndarray, np.ndarray]] = []  # of unseen rows and of those of the base
        for j in self.choices:
            counts = np.bincount(base.codes(j), minlength=len(base.columns.choices[j]) + 2)
            both = [(MISS - np.log(np.maximum(counts - own, 1) / self.n)).astype(np.float32) for own in (0, 1)]
            self.weights.append((both[0], both[1]))
        self.few = [len(w[0]) <= ONE_HOT for w in self.weights]
        marks = [self._marks(k, base.codes(j)) for k, j in enumerate(self.choices) if self.few[k]]
        self.marked = torch.from_numpy(np.hstack(marks)).T.contiguous() if marks else None

    def _place(self, sheet: TableView, k: int) -> np.ndarray:
        """Twice the mid-rank, so that a difference is a share of rows; missing cells far from all."""
        place = 2 * ranks(self.known[k], sheet.values[:, self.numbers[k]])
        filled: np.ndarray = np.nan_to_num(place, nan=10.0).astype(np.float32)
        return filled

    def _mass(self, sheet: TableView, k: int, own: bool) -> np.ndarray:
        """Share of the base, without the row itself where it is its `own`, that has the very value."""
        column, known = sheet.values[:, self.numbers[k]], self.known[k]
        same = np.searchsorted(known, column, "right") - np.searchsorted(known, column, "left")
        mass: np.ndarray = np.where(np.isnan(column), self.hole[k], np.maximum(same - own, 1) / self.n).astype(
            np.float32
        )
        return mass

    def _marks(self, k: int, codes: np.ndarray) -> np.ndarray:
        """One-hot [n, choices] of a column of few choices."""
        marks: np.ndarray = np.eye(len(self.weights[k][0]), dtype=np.float32)[codes]
        return marks

    def of(self, sheet: TableView, *, own: bool = False, block: int = 64) -> Links:
        """The links of every row of `sheet`; with `own` they are the first rows of the base, and none is its own match."""
        places = [torch.from_numpy(self._place(sheet, k)) for k in range(len(self.numbers))]
        masses = [torch.from_numpy(self._mass(sheet, k, own)) for k in range(len(self.numbers))]
        crowd = min(CROWD + 1, self.n - own)
        room = torch.empty(block, self.n)  # once: what is allocated for each block anew leaves holes behind
        spare = torch.empty(3, block, TILE)
        gaps, rows = [], []
        for start in range(0, len(sheet), block):
            part = slice(start, min(start + block, len(sheet)))
            total = self._agreement(sheet, part, places, masses, own, room[: part.stop - part.start], spare)
            if own:
                total[torch.arange(len(total)), torch.arange(part.start, part.stop)] = -torch.inf
            best = total.topk(crowd, dim=1)
            gaps.append(best.values[:, 0] - best.values[:, 1:].mean(1))
            rows.append(best.indices[:, 0])
        return Links(torch.cat(gaps), torch.cat(rows))

    def _agreement(
        self,
        sheet: TableView,
        part: slice,
        places: list[Tensor],
        masses: list[Tensor],
        own: bool,
        room: Tensor,
        spare: Tensor,
    ) -> Tensor:
        """Nats [rows of the part, n] in `room`, reckoned in `spare` for as many rows of the base at a time as the cache holds."""
        some = [sheet.codes(j)[part] for j in self.choices]
        marks = [self._marks(k, c) * self.weights[k][own] for k, c in enumerate(some) if self.few[k]]
        mine = torch.from_numpy(np.hstack(marks)) if marks else None
        many = [
            (torch.from_numpy(c)[:, None], torch.from_numpy(self.weights[k][own][c])[:, None], self.codes[k])
            for k, c in enumerate(some)
            if not self.few[k]
        ]
        sides = [
            (x[part, None], known, mass[part, None]) for x, known, mass in zip(places, self.places, masses, strict=True)
        ]
        for start in range(0, self.n, TILE):
            here = slice(start, min(start + TILE, self.n))
            total, product, share = (each[: len(room), : here.stop - start] for each in spare)
            if mine is None or self.marked is None:
                total.zero_()
            else:
                torch.mm(mine, self.marked[:, here], out=total)
            for codes, weight, known in many:
                torch.eq(codes, known[here], out=share)
                total.addcmul_(share, weight)
            for first in range(0, len(sides), 6):  # products of six shares stay in the range of float32
                product.fill_(1)
                for place, known, mass in sides[first : first + 6]:
                    torch.sub(place, known[here], out=share).abs_()
                    if own:
                        share -= 1 / self.n
                    product.mul_(torch.maximum(share, mass, out=share).clamp_(max=1))
                total -= product.log_()
            room[:, here] = total
        return room


def keys(sheet: TableView) -> list[bytes]:
    """One key per row: equal where every cell is equal or missing on both sides."""
    return [row.tobytes() for row in plain(sheet.values)]


def findings(case: Case) -> list[Finding]:
    """Copy rate, near copies and nearest record share; `train` must be all that the generator learned from."""
    sides = case.train, case.unseen, case.made
    train = case.train if case.whole is None else case.whole
    return [
        copies(train, *sides[1:], case.apart),
        _near(*sides, case.apart, case.seed),
        _share(*case.embedded, seed=case.seed),
    ]


def copies(train: TableView, unseen: TableView, made: TableView, known: bool = True, *, what: str = "row") -> Finding:
    """Unseen rows are few; how often real rows are alike is said by training rows beside each other as well.

    known: whether unseen rows are known not to have been copied, so that they tell how often a row is met by chance.
    what: a row is, in words.
    """
    often = row_digests(train.values)
    asked = np.isin(often, np.concatenate([row_digests(made.values), row_digests(unseen.values)]))
    first: dict[bytes, int] = {}
    there = np.flatnonzero(asked)
    for i, key in zip(there.tolist(), keys(train.take(there)), strict=True):
        first.setdefault(key, i)
    mine, theirs = keys(made), keys(unseen)
    hits = [i for i, key in enumerate(mine) if key in first]
    held = sum(key in first for key in theirs)
    counts = np.unique(often, return_counts=True)[1]
    apart = set(theirs) - first.keys()
    had, other = (key for key in mine if key in first), (key for key in mine if key in apart)
    met = Met.of(had, len(counts), other, len(apart)) if known else None
    twice = int(counts[counts > 1].sum())
    alike = held + twice
    count, n, m = len(hits), len(made), len(unseen) + len(train)
    value, real = count / n, held / len(unseen)
    if twice / len(train) > real and certain(twice, len(train), held, len(unseen)):
        # rows that were recorded twice say nothing of how often others are alike
        usual, alike, m = real, held, len(unseen)
    else:
        usual = max(real, alike / m, twice / len(train))  # a row that many have is nobody's
    low, high = wilson(count, n)

    def more(c: int, chance: float) -> bool:
        return c / n - usual > 0.003 and tail(c, n, alike, m) < chance and (met is None or met.more(c))

    limit, raised = accused(value, n, len({mine[i] for i in hits}), more, what)
    places = {"count": count, "n": n, "value": value, "real": real, "twice": twice / len(train)}
    summary = (
        said(EQUAL, what=term(what), **places)
        + ("" if met is None else met.summary(n))
        + (said(": training {what}s were copied.", what=term(what)) if raised else said("."))
    )
    same = tuple((made.row(i), train.row(first[mine[i]])) for i in hits[:24])
    detail = CopyRate(copies=count, n=n, searched=len(train), same=same, usual=usual)

    def sees(made: int, held: int, copies: float) -> bool:
        whole = held + m - len(unseen)
        if met is not None and not met.sees(made / n, held / len(unseen), copies * made):
            return False
        alike = round(usual * whole)
        count, apart = power.reached(made, usual + copies * (1 - usual)), power.reached(made, copies * (1 - usual))
        tests = (count, CERTAIN), (different(apart, len(counts)), CHANCE)
        return any(c / made - usual > 0.003 and tail(c, made, alike, whole) < chance for c, chance in tests)

    samples = power.of_count(sees, n, len(unseen), COPIES)
    if usual >= NOBODY:
        samples = tuple(replace(s, needs=0) for s in samples)
    score = Score(value, low, high, real, 0.0)
    return beside(met, n, scored("copy rate", score, limit, summary, detail=detail, samples=samples, raised=raised))


def accused(value: float, n: int, apart: int, more: Callable[[int, float], bool], what: str) -> tuple[Limit, bool]:
    """What a share `value` of `n` made rows is judged by, and whether it is raised, also by `apart` different training rows.

    more: whether so many are more than due, at a chance.   Made rows that meet one training row again and again may come of a
    model that prefers it, so that as many different ones say more.
    """
    few = fewest(n, lambda c: more(c, CHANCE))
    also = said("where {few} different training {what}s come back", few=few, what=term(what)) if few <= n else ""
    limit = limit_of_share(n, lambda c: more(c, CERTAIN), also=also)
    return limit, limit.broken(value) or few <= apart


def different(draws: int, rows: int) -> int:
    """How many different ones of `rows` so many draws meet, as is to be expected."""
    return int(rows * (1 - math.exp(-draws / rows)))


def _near(train: TableView, unseen: TableView, made: TableView, known: bool = True, seed: int = 0) -> Finding:
    most = int(np.clip(WORK / (min(len(train), BASE) * train.width), 200, SEARCHED))
    aside, train, made = (
        unseen.take(np.arange(min(len(unseen), most))),
        train.take(np.arange(min(len(train), BASE))),
        made.take(np.arange(min(len(made), most))),
    )
    real = TableView(train.columns, np.concatenate([aside.values, train.values]))
    linker, kept = Linker(real), len(aside)
    m = linker.of(made)
    innocent = linker.of(real.take(np.arange(min(len(real), kept + 2 * most))), own=True).gap
    n, held, at_training = len(made), len(innocent), m.row >= kept
    bars = _bars(innocent, _planted(linker, train, kept, np.random.default_rng([seed, 7])))
    found = [m.row[at_training & (m.gap > bar.gap)] for bar in bars]
    which = min(range(len(bars)), key=lambda i: (chance(len(found[i]), n, bars[i].k, held), bars[i].gap))
    k, bar, count = bars[which].k, bars[which].gap, len(found[which])
    had, apart = (m.row[(m.gap > bar) & side].tolist() for side in (at_training, ~at_training))
    met = Met.of(had, len(train), apart, kept) if known else None
    value, usual = count / n, float((innocent[:kept] > bar).double().mean())
    low, high = wilson(count, n)

    def more(c: int, least: float) -> bool:
        beyond = c / n - max(usual, k / held) > 0.003 and (met is None or met.more(c))
        return beyond and chance(c, n, k, held) < least

    limit, raised = accused(value, n, len(found[which].unique()), more, "row")
    order = torch.where(at_training, m.gap, -torch.inf).argsort(descending=True, stable=True)[:24]
    pairs = tuple((made.row(int(i)), train.row(int(m.row[i]) - kept), float(m.gap[i])) for i in order if at_training[i])
    summary = (
        said(
            "{count} of {n} made rows ({value:.1%}) match one training row so much better than the next "
            "best as only {usual:.2%} of unseen real ones match another",
            count=count,
            n=n,
            value=value,
            usual=usual,
        )
        + ("" if met is None else met.summary(n))
        + (
            said(": training rows were copied, slightly altered.")
            if raised
            else said(
                "; no more than chance explains. Of training rows that were altered on trial {found:.0%} do.",
                found=bars[-1].found,
            )
        )
    )
    detail = NearCopies(pairs=pairs, bar=bar, p=chance(count, n, k, held), copies=count, n=n, searched=len(train))

    def sees(made: int, real: int, copies: float) -> bool:
        made = min(made, most)  # no more are searched
        if met is not None and not met.sees(made / n, real / kept, bars[which].found * copies * made):
            return False
        return _seen(bars, made, min(real, most) + held - kept, copies, len(train))

    samples = power.of_count(sees, n, kept, COPIES)
    if repeated(real) >= NOBODY:
        samples = tuple(replace(s, needs=0) for s in samples)
    score = Score(value, low, high, usual, 0.0)
    return beside(met, n, scored("near copies", score, limit, summary, detail=detail, samples=samples, raised=raised))


def _ranks(held: int) -> list[int]:
    """Of `held` innocent rows, how many lie above each bar or at it."""
    return [min(held, max(1, math.ceil(bar if bar >= 1 else max(3, bar * held)))) for bar in BARS]


def _bars(innocent: Tensor, altered: Tensor) -> list[Bar]:
    """By the gaps of innocent rows and of copies that were altered."""
    descending = innocent.sort(descending=True).values
    gaps = [(k, max(EVEN, float(descending[k - 1]))) for k in _ranks(len(innocent))]
    return [Bar(k, gap, float((altered > gap).double().mean()) if len(altered) else 0.0) for k, gap in gaps]


def _seen(bars: list[Bar], made: int, held: int, copies: float, rows: int) -> bool:
    """Whether a share `copies` of altered copies of so many training rows accuses, among so many made and innocent ones."""
    for bar, k in zip(bars, _ranks(held), strict=True):
        all_ = power.reached(made, min(1.0, bar.found * copies + k / held))
        apart = different(power.reached(made, bar.found * copies), rows) + made * k // held
        for count, least in ((all_, CERTAIN), (apart, CHANCE)):
            if count / made - k / held > 0.003 and chance(count, made, k, held) < least:
                return True
    return False


def chance(count: int, n: int, k: int, held: int) -> float:
    """Of so many of `n` innocent rows beyond the k-th of `held` others, by whichever bar says most."""
    return min(1.0, chance_of(count, n, k, held) * len(BARS))


def _planted(linker: Linker, train: TableView, kept: int, rng: np.random.Generator) -> Tensor:
    """The gaps of altered copies of training rows, which stand behind so many others in the base.

    A copy of which another row is the best match was altered beyond recognition, and is none.
    """
    rows = rng.permutation(len(train))[:PLANTED]
    links = linker.of(TableView(train.columns, altered(train.values[rows], train, rng)))
    return links.gap[links.row == torch.from_numpy(rows) + kept]


def repeated(sheet: TableView) -> float:
    """The share of rows that equal another one."""
    counts = np.unique(row_digests(sheet.values), return_counts=True)[1]
    return float(counts[counts > 1].sum()) / len(sheet)


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
    limit = Limit(above=0.5 + max(LEVEL * sd, LEANING * (ceiling - 0.5)) if ceiling > 0.5 else 1.0)
    summary = said(
        "{value:.1%} of what was made lies nearer to a training row than to an unseen real one, of "
        "{n_ours} each; 50% is ideal, unseen real rows score {real:.1%}, a verbatim copy of the "
        "training data {ceiling:.1%}.",
        value=value,
        n_ours=len(ours),
        real=real,
        ceiling=ceiling,
    )
    n, z = min(len(made), MOST), (value - 0.5) / sd
    detail = NearestShare(n=n, ceiling=ceiling, way=way, sd=sd, z=z, rows=len(ours))
    score = Score(value, value - 1.96 * sd, value + 1.96 * sd, real, sd).clipped(0.0, 1.0)
    room = ceiling - 0.5
    samples = power.scored("nearest record share", sd, len(made), held, max(2 * room, 1e-3), beyond=LEANING * room)
    return scored("nearest record share", score, limit, summary, detail=detail, samples=samples)
