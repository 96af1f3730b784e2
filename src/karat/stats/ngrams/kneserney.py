"""Interpolated modified Kneser-Ney: how likely each token is given those before it, from counts alone.

Chen & Goodman, "An empirical study of smoothing techniques for language modeling" (Computer Speech & Language, 1999):
https://people.eecs.berkeley.edu/~klein/cs294-5/chen_goodman.pdf
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from karat.errors import FitError, RunError
from karat.space import BEGIN, END, MORE, NOTHING
from karat.stats.ngrams.discounts import CLASSES, SIZES, discounts, sizes, tuned
from karat.stats.ngrams.grams import Grams, Tree, digest, ending

NEVER = 1e-13  # the chance of what cannot follow: its logarithm is finite, its mass nothing
DENSE, DENSE_FOLDS = 2**23, 2**20  # chances kept as whole distributions of short contexts; of each fold
WIDE = 2**22  # chances, and codes, that are worked on at once


@dataclass(frozen=True)
class Tables:
    """What counts come to: of each n-gram its discounted share, of each context what it leaves to the next shorter."""

    mass: np.ndarray  # float32 [grams]
    rest: np.ndarray  # float32 [contexts]
    whole: np.ndarray  # float32 [short contexts, vocab]: all chances

    @staticmethod
    def of(tree: Tree, count: np.ndarray, taken: np.ndarray, short: int) -> Tables:
        """count [grams]: 0 for an n-gram that is not there.   taken: as `discounts` gives it.

        short: length of contexts whose chances are all kept.
        """
        total = tree.sums(count)
        off = np.empty(len(count))
        for k, (low, high) in enumerate(zip(tree.ends, tree.ends[1:], strict=False)):
            nodes = slice(int(tree.ends[k - 1]) + 1 if k else 0, int(tree.ends[k]) + 1)
            size = np.repeat(sizes(total[nodes]), np.diff(tree.first[nodes.start : nodes.stop + 1]))
            off[low:high] = taken[k, size, np.minimum(count[low:high], CLASSES)]
        per = 1 / np.maximum(total, 1)
        mass = ((count - off) * np.repeat(per, np.diff(tree.first))).astype(np.float32)
        rest = np.where(total > 0, tree.sums(off) * per, 1.0).astype(np.float32)
        return Tables(mass, rest, _whole(tree, mass, rest, count, short))


def _whole(tree: Tree, mass: np.ndarray, rest: np.ndarray, count: np.ndarray, short: int) -> np.ndarray:
    out = np.empty((int(tree.ends[short]) + 1, tree.vocab), np.float32)
    able = np.ones(tree.vocab, bool)
    able[[NOTHING, BEGIN, MORE]] = False
    able[END] = bool(((tree.symbol[: tree.ends[1]] == END) & (count[: tree.ends[1]] > 0)).any())
    out[0] = np.where(able, rest[0] / able.sum(), NEVER)
    out[0, tree.symbol[: tree.ends[1]]] += mass[: tree.ends[1]]
    for k in range(1, short + 1):
        nodes = slice(int(tree.ends[k - 1]) + 1, int(tree.ends[k]) + 1)
        grams = slice(int(tree.ends[k]), int(tree.ends[k + 1]))
        out[nodes] = out[tree.link[nodes]] * rest[nodes, None]
        out[tree.key[grams] // tree.vocab, tree.symbol[grams]] += mass[grams]
    return out


@dataclass
class _DeviceTables:
    """Tables on a device; those of folds one behind the other."""

    key: Tensor
    symbol: Tensor
    first: Tensor
    mass: Tensor  # [folds * grams]
    rest: Tensor  # [folds * contexts]
    whole: Tensor  # [folds * short contexts, vocab]
    short: int


class KneserNey:
    """How likely each code of `Tokens` is, given at most order - 1 codes before it.

        counts = KneserNey(Grams(points, vocab, 7))                # 0.4 s for a million characters
        counts = KneserNey(Grams(points, vocab, 7, folds=10))      # with what cross-fitting needs
        counts.along(x)                         # log of all chances, float32 [b, length - 1, vocab], on the device of x
        counts.along(x, counts.fold(rows))      # each row as if the rows of its fold had not been counted
        counts.nats(x)                          # [b, length - 1]: of the codes that did come only
        walk = counts.walk(x)                   # then walk.logits() [b, vocab], walk.step(codes [b]), again and again

    Chances are exactly those of the longest context that was seen, interpolated with all shorter ones; NOTHING ends a
    context. NOTHING, BEGIN and MORE never follow (nor END where none was seen): their logits are finite, about -30.
    """

    def __init__(self, grams: Grams) -> None:
        count = grams.count()
        taken = tuned(grams, discounts(grams.tree, count)) if grams.folds > 1 else discounts(grams.tree, count)
        self._set(grams.tree, count, taken)
        self.folds, self._grams = grams.folds, grams

    def _set(self, tree: Tree, count: np.ndarray, taken: np.ndarray) -> None:
        self.tree, self.count, self.taken = tree, count, taken
        self.order, self.vocab = tree.order, tree.vocab
        self.short = tree.short(DENSE)
        self.tables = Tables.of(tree, count, taken, self.short)
        self._there: dict[tuple[torch.device, bool], _DeviceTables] = {}

    def fold(self, rows: Tensor) -> Tensor:
        """The fold [b] of whole rows [b, length] that were counted; 0 for others."""
        known, of = (torch.from_numpy(each).to(rows.device) for each in self._grams.known)
        mixed = digest(rows)
        place = torch.searchsorted(known, mixed).clamp_max(len(known) - 1)
        return torch.where(known[place] == mixed, of[place], 0)

    def forget(self) -> None:
        """Lets go of what only `along` and `nats` with folds need."""
        self.folds = 0
        self._there.clear()
        del self._grams

    def along(self, x: Tensor, fold: Tensor | None = None) -> Tensor:
        """Log-logits, float32 [b, length - 1, vocab], of each code of `x` [b, length] but the first, given those before it.

        fold [b]: count each row without the rows of this fold. Where `x` is cut out of longer rows, `order` - 1 codes
        more on its left give the first places their context.
        """
        at = self._on(x.device, fold is not None)
        b, length = x.shape
        out = at.whole.new_empty(b, max(length - 1, 0), self.vocab)
        rows = max(1, WIDE // max(1, out[0].numel() if b else 1))
        for i in range(0, b, rows):
            self._along(at, x[i : i + rows], None if fold is None else fold[i : i + rows], out[i : i + rows])
        return out

    def _along(self, at: _DeviceTables, x: Tensor, fold: Tensor | None, out: Tensor) -> None:
        nodes = [found + 1 for found in ending(at.key, self.tree.ends, self.vocab, x[:, :-1], self.order - 1)]
        which = torch.zeros_like(nodes[0]) if fold is None else fold[:, None].expand_as(nodes[0])
        base = nodes[0]
        for node in nodes[1 : at.short + 1]:
            base = torch.where(node > 0, node, base)
        short = int(self.tree.ends[at.short]) + 1
        torch.index_select(at.whole, 0, (which * short + base).flatten(), out=out.view(-1, self.vocab))
        flat = out.view(-1)
        for node in nodes[at.short + 1 :]:
            place = (node > 0).flatten().nonzero()[:, 0]
            one, part = node.flatten()[place], which.flatten()[place]
            left = torch.ones_like(flat[: node.numel()])
            left[place] = at.rest[part * self.tree.contexts + one]
            flat.view(-1, self.vocab).mul_(left[:, None])
            low = at.first[one]
            many = at.first[one + 1] - low
            begin = many.cumsum(0) - many
            gram = torch.arange(int(many.sum()), device=x.device) + torch.repeat_interleave(low - begin, many)
            to = torch.repeat_interleave(place * self.vocab, many) + at.symbol[gram]
            flat[to] += at.mass[gram + torch.repeat_interleave(part * len(self.tree.key), many)]
        out.log_()

    def nats(self, x: Tensor, fold: Tensor | None = None) -> Tensor:
        """-log of the chance, float32 [b, length - 1], of each code of `x` [b, length] but the first; as `along`, but lean."""
        at = self._on(x.device, fold is not None)
        b, length = x.shape
        parts, step = [], max(1, WIDE // max(1, b) - self.order)
        for i in range(1, length, step):
            begin = max(0, i - self.order + 1)
            parts.append(self._nats(at, x[:, begin : i + step], fold)[:, i - begin - 1 :])
        return torch.cat(parts, 1) if parts else at.mass.new_empty(b, 0)

    def _nats(self, at: _DeviceTables, x: Tensor, fold: Tensor | None) -> Tensor:
        grams = ending(at.key, self.tree.ends, self.vocab, x, self.order)
        which = torch.zeros_like(x) if fold is None else fold[:, None].expand_as(x)
        which = which[:, 1:]
        chance = at.whole[which * (int(self.tree.ends[at.short]) + 1), x[:, 1:]]
        for k in range(1, self.order):
            node, gram = grams[k][:, :-1] + 1, grams[k + 1][:, 1:]
            left = at.rest[which * self.tree.contexts + node.clamp_min(0)]
            mass = at.mass[which * len(self.tree.key) + gram.clamp_min(0)]
            chance = torch.where(node > 0, chance * left, chance) + torch.where(gram >= 0, mass, 0.0)
        return -chance.log()

    def walk(self, start: Tensor) -> Walk:
        """A state for each row of `start` [n, k] (long), after all its codes."""
        return Walk(self, start)

    def _on(self, device: torch.device, folded: bool) -> _DeviceTables:
        known = self._there.get((device, folded))
        if known is not None:
            return known
        if folded and not self.folds:
            raise FitError("these counts were made without folds.")
        tables, short = [self.tables], self.short
        if folded:
            short = self.tree.short(DENSE_FOLDS)
            tables = [Tables.of(self.tree, self._grams.count(f), self.taken, short) for f in range(self.folds)]

        def put(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(device)

        def stack(name: str) -> Tensor:
            arrays = [getattr(t, name) for t in tables]
            return put(np.concatenate(arrays) if len(arrays) > 1 else arrays[0])

        tree = self.tree
        shared = self._there.get((device, not folded))
        parts = (
            (shared.key, shared.symbol, shared.first) if shared else (put(tree.key), put(tree.symbol), put(tree.first))
        )
        there = _DeviceTables(*parts, stack("mass"), stack("rest"), stack("whole"), short)
        self._there[device, folded] = there
        return there

    def weights(self) -> dict[str, Tensor]:
        """All but the folds, in as few bytes as the numbers need."""
        tree = self.tree
        out = {"sizes": torch.from_numpy(np.diff(tree.ends)), "symbol": _small(tree.symbol)}
        out["taken"] = torch.from_numpy(self.taken.astype(np.float32))
        for k, (low, high) in enumerate(zip(tree.ends, tree.ends[1:], strict=False), 1):
            out[f"count.{k}"] = _small(self.count[low:high])
        nodes = np.concatenate([[0], tree.ends[: tree.order] + 1])
        children = np.diff(tree.first)
        for k, (low, high) in enumerate(zip(nodes, nodes[1:], strict=False)):
            out[f"children.{k}"] = _small(children[low:high])
        return out

    @classmethod
    def put(cls, weights: Mapping[str, Tensor], vocab: int) -> KneserNey:
        """What gave `weights()`; RunError where they do not fit together."""
        try:
            sizes = weights["sizes"].cpu().numpy().astype(np.int64)
            order = len(sizes)
            ends = np.concatenate([[0], np.cumsum(sizes)])
            symbol = weights["symbol"].cpu().numpy().astype(np.int32)
            count, children = (
                np.concatenate([weights[f"{name}.{k}"].cpu().numpy().astype(np.int32) for k in range(low, low + order)])
                for name, low in (("count", 1), ("children", 0))
            )
            taken = weights["taken"].cpu().numpy().astype(np.float64)
        except (KeyError, ValueError) as error:
            raise RunError(f"the counts of n-grams in this run are not whole ({error}); train it anew.") from None
        whole = order > 0 and ends[-1] == len(symbol) == len(count) == children.sum() and len(children) == ends[-2] + 1
        whole = whole and taken.shape == (order, SIZES, CLASSES + 1) and bool(np.isfinite(taken).all())
        if (
            not whole
            or not len(symbol)
            or symbol.min() < 0
            or symbol.max() >= vocab
            or min(count.min(), children.min()) < 0
        ):
            raise RunError("the counts of n-grams in this run do not fit together; train it anew.")
        made = cls.__new__(cls)
        made._set(Tree.of(vocab, ends, symbol, children, None), count, taken)
        made.folds = 0
        return made


class Walk:
    """Where in the counts each of n sequences is: the longest context before its next code."""

    def __init__(self, counts: KneserNey, start: Tensor) -> None:
        self.counts, self.device = counts, start.device
        self.node = np.zeros(len(start), np.int64)
        for codes in start[:, -counts.order :].cpu().numpy().T:
            self._step(codes)

    def logits(self) -> Tensor:
        """Log of all chances, float32 [n, vocab], on the device of the start."""
        return torch.from_numpy(np.log(self.chances())).to(self.device)

    def chances(self) -> np.ndarray:
        """All chances, float32 [n, vocab]."""
        if len(self.node) == 1:
            return self._one()
        tree, tables = self.counts.tree, self.counts.tables
        node, above = self.node.copy(), []
        for k in range(tree.order - 1, self.counts.short, -1):
            rows = np.flatnonzero(node > tree.ends[k - 1])
            above.append((rows, node[rows]))
            node[rows] = tree.link[node[rows]]
        out: np.ndarray = tables.whole[node]
        flat = out.reshape(-1)
        for rows, at in reversed(above):
            if len(rows):
                out[rows] *= tables.rest[at, None]
                low = tree.first[at]
                many = tree.first[at + 1] - low
                begin = np.cumsum(many) - many
                gram = np.arange(int(many.sum())) + np.repeat(low - begin, many)
                flat[np.repeat(rows * tree.vocab, many) + tree.symbol[gram]] += tables.mass[gram]
        return out

    def _one(self) -> np.ndarray:
        tree, tables = self.counts.tree, self.counts.tables
        node, path = int(self.node[0]), []
        while node >= len(tables.whole):
            path.append(node)
            node = int(tree.link[node])
        out: np.ndarray = tables.whole[node].copy()
        for node in reversed(path):
            out *= tables.rest[node]
            low, high = tree.first[node], tree.first[node + 1]
            out[tree.symbol[low:high]] += tables.mass[low:high]
        return out[None]

    def step(self, codes: Tensor) -> None:
        """Each row goes on with its code of `codes` [n] (long)."""
        self._step(codes.cpu().numpy())

    def keep(self, rows: Tensor) -> None:
        """Only these rows [k] go on."""
        self.node = self.node[rows.cpu().numpy()]

    def _step(self, codes: np.ndarray) -> None:
        if len(codes) == 1:
            self.node[0] = self._next(int(self.node[0]), int(codes[0]))
            return
        tree = self.counts.tree
        key, link, vocab = tree.key, tree.link, tree.vocab
        left, node, out = np.arange(len(codes)), self.node, np.zeros(len(codes), np.int64)
        for _ in range(tree.order):
            wanted = node * vocab + codes[left]
            gram = np.minimum(key.searchsorted(wanted), len(key) - 1)
            there = key[gram] == wanted
            reached = gram[there] + 1
            out[left[there]] = np.where(reached < tree.contexts, reached, link[reached])
            more = ~there & (node > 0)
            left, node = left[more], link[node[more]].astype(np.int64)
            if not len(left):
                break
        self.node = out

    def _next(self, node: int, code: int) -> int:
        tree = self.counts.tree
        key = tree.key
        while True:
            wanted = node * tree.vocab + code
            gram = int(key.searchsorted(wanted))
            if gram < len(key) and key[gram] == wanted:
                return gram + 1 if gram + 1 < tree.contexts else int(tree.link[gram + 1])
            if node == 0:
                return 0
            node = int(tree.link[node])


def _small(numbers: np.ndarray) -> Tensor:
    most = int(numbers.max(initial=0))
    kind = np.uint8 if most < 2**8 else np.int16 if most < 2**15 else np.int32
    return torch.from_numpy(numbers.astype(kind))
