"""N-grams of sequences of tokens: which there are, and how often they come, with and without each part of the data."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from karat.errors import FitError, RunError
from karat.space import BEGIN, MORE, NOTHING


@dataclass(frozen=True)
class Tree:
    """The n-grams of some sequences: each is a child of its first n - 1 codes.

    The short stand before the long, those of one length in the order of their codes. N-gram e is node e + 1, the empty
    one node 0; the children of node i are the n-grams `first[i]` to `first[i + 1]`.
    """

    vocab: int
    ends: np.ndarray  # int64 [order + 1]: how many n-grams are up to so long
    symbol: np.ndarray  # int32 [grams]: the last code of each
    first: np.ndarray  # int64 [contexts + 1]
    key: np.ndarray  # int64 [grams]: parent * vocab + symbol, ascending
    link: np.ndarray  # int32 [grams + 1]: the node that lacks the first code of this one

    @staticmethod
    def of(vocab: int, ends: np.ndarray, symbol: np.ndarray, children: np.ndarray, link: np.ndarray | None) -> Tree:
        """children [contexts]: how many each has.   link: None to work it out; RunError where it cannot be."""
        first = np.concatenate([[0], np.cumsum(children, dtype=np.int64)])
        key = np.repeat(np.arange(len(children), dtype=np.int64), children) * vocab + symbol
        if link is None:
            link = np.zeros(len(symbol) + 1, np.int32)
            for low, high in zip(ends[1:-1], ends[2:], strict=True):
                wanted = link[key[low:high] // vocab].astype(np.int64) * vocab + symbol[low:high]
                found = np.searchsorted(key, wanted)
                if not np.array_equal(key[np.minimum(found, len(key) - 1)], wanted):
                    raise RunError("the counts of n-grams in this run do not fit together; train it anew.")
                link[low + 1 : high + 1] = found + 1
        return Tree(vocab, ends, symbol, first, key, link)

    def cut(self, order: int) -> Tree:
        """Without n-grams longer than `order`."""
        grams, contexts = int(self.ends[order]), int(self.ends[order - 1]) + 1
        return Tree(
            self.vocab,
            self.ends[: order + 1],
            self.symbol[:grams],
            self.first[: contexts + 1],
            self.key[:grams],
            self.link[: grams + 1],
        )

    @property
    def order(self) -> int:
        return len(self.ends) - 1

    @property
    def contexts(self) -> int:
        return len(self.first) - 1

    def short(self, most: int) -> int:
        """The longest contexts of which all, with all shorter ones, have whole distributions of `most` chances together."""
        fits = (self.ends[: self.order] + 1) * self.vocab <= most
        return int(fits.sum()) - 1 if fits[0] else 0


def digest(rows: Tensor) -> Tensor:
    """A number [b] for each row [b, length] of codes, NOTHING at its end left out."""
    power = torch.full((rows.shape[1],), 6364136223846793005, device=rows.device)
    return ((rows + 1).masked_fill(rows == NOTHING, 0) * power.cumprod(0)).sum(1)  # modulo 2 ** 64


@dataclass
class Grams:
    """The n-grams of points of `Tokens` up to a length, and how often they come, with and without each fold of rows.

    A fold is a run of neighbouring rows, as what is new to the counts will be no neighbour either; a row that comes twice
    is in one fold.
    """

    points: Tensor  # long [n, length]; NOTHING is behind the end of a row
    vocab: int
    order: int
    folds: int = 0
    tree: Tree = field(init=False)
    known: tuple[np.ndarray, np.ndarray] = field(init=False)  # hashes of rows, ascending, and the fold of each

    def __post_init__(self) -> None:
        self._seen: list[np.ndarray] = []  # for each length: how often each n-gram comes
        self._kinds: list[np.ndarray] = []  # how many different codes stand before it, and how often none does
        self._only: list[np.ndarray] = []  # the one fold that it comes in; -1 where there are more
        self._within: list[np.ndarray] = []  # the n-gram at each place, or -1
        rows = self.points.cpu().numpy()
        wide = np.zeros((len(rows), rows.shape[1] + self.order), np.int64)
        wide[:, : rows.shape[1]] = rows
        flat = wide.ravel()
        self._place = np.flatnonzero(flat[: len(flat) - self.order])
        if not len(self._place):
            raise FitError("there are no tokens to count.")
        self.known = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._starts = np.concatenate([[True], np.diff(self._place) > 1])
        if self.folds:
            mixed = digest(self.points).cpu().numpy()
            known, earliest, which = np.unique(mixed, return_index=True, return_inverse=True)
            of = earliest * self.folds // len(rows)
            self.known = known, of
            self._fold = of[which][self._place // wide.shape[1]].astype(np.int8)
        self._count(flat)

    def _count(self, flat: np.ndarray) -> None:
        codes = [flat[self._place + i] for i in range(self.order)]
        sort = _sorted(codes, int(self.vocab - 1).bit_length())
        new, valid = np.zeros(len(sort), bool), np.ones(len(sort), bool)
        new[0] = True
        before = np.zeros(len(sort), np.int64)  # of its length the n-gram that all but the last code are
        ends = [0]
        symbols: list[np.ndarray] = []
        children: list[np.ndarray] = []
        links = [np.zeros(1, np.int64)]
        for k in range(1, self.order + 1):
            code = codes[k - 1][sort]
            new[1:] |= code[1:] != code[:-1]
            valid &= code != NOTHING
            head = np.flatnonzero(new & valid)
            gram = np.cumsum(new & valid) - 1
            within = np.full(len(sort), -1, np.int32)
            within[sort[valid]] = gram[valid]
            symbols.append(code[head])
            children.append(np.bincount(before[head], minlength=ends[-1] - ends[-2] if k > 1 else 1))
            self._seen.append(np.bincount(gram[valid], minlength=len(head)))
            alone = within[self._starts]
            self._kinds.append(np.bincount(alone[alone >= 0], minlength=len(head)))
            if k == 1:
                links.append(np.zeros(len(head), np.int64))
            else:
                link = self._within[-1][sort[head] + 1]  # the next code is at the next place
                links.append(link + (ends[-2] + 1))
                self._kinds[-2] += np.bincount(link, minlength=len(self._kinds[-2]))
            if self.folds:
                groups = np.flatnonzero(new)
                least, most = (f.reduceat(self._fold[sort], groups) for f in (np.minimum, np.maximum))
                self._only.append(np.where(least == most, least, -1)[valid[groups]])
            self._within.append(within)
            before = np.maximum(gram, 0)
            ends.append(ends[-1] + len(head))
        symbol, suffix = (np.concatenate(each).astype(np.int32) for each in (symbols, links))
        self.tree = Tree.of(self.vocab, np.array(ends), symbol, np.concatenate(children), suffix)

    def count(self, order: int, fold: int | None = None) -> np.ndarray:
        """int64 [grams up to `order`]: how often those of that length come; of the shorter how many kinds of code precede.

        fold: without the rows of this one.
        """
        counts = [each.copy() for each in (*self._kinds[: order - 1], self._seen[order - 1])]
        if fold is not None:
            inside = self._fold == fold
            for k, count in enumerate(counts[:-1], 1):
                low, high = self.tree.ends[k], self.tree.ends[k + 1]
                lost = self.tree.link[low + 1 : high + 1][self._only[k] == fold] - (self.tree.ends[k - 1] + 1)
                count -= np.bincount(lost, minlength=len(count))
                count -= self._tally(k, inside & self._starts)
            counts[-1] -= self._tally(order, inside)
        counts[0][np.isin(self.tree.symbol[: len(counts[0])], (BEGIN, MORE))] = 0
        return np.concatenate(counts)

    def _tally(self, k: int, places: np.ndarray) -> np.ndarray:
        """How often each n-gram of length k begins at `places` (bool)."""
        gram = self._within[k - 1][places]
        return np.bincount(gram[gram >= 0], minlength=len(self._seen[k - 1]))


def _sorted(codes: list[np.ndarray], bits: int) -> np.ndarray:
    """The order of places by their first code, then the second, and so on; as many codes to a number as fit."""
    many = 63 // bits
    words = []
    for i in range(0, len(codes), many):
        word = np.zeros_like(codes[0])
        for code in codes[i : i + many]:
            word = word << bits | code
        words.append(word)
    return np.argsort(words[0]) if len(words) == 1 else np.lexsort(words[::-1])
