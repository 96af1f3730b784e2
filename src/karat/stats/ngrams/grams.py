"""N-grams of sequences of tokens: which there are, and how often they come, with and without each part of the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from karat.errors import FitError, RunError
from karat.space import BEGIN, MORE, NOTHING

MOST = 2**23  # n-grams: about 0.4 GB while they are counted


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

    @property
    def order(self) -> int:
        return len(self.ends) - 1

    @property
    def contexts(self) -> int:
        return len(self.first) - 1

    def sums(self, of: np.ndarray) -> np.ndarray:
        """The sum [contexts] over the children of each of `of` [grams]."""
        sums = np.zeros(len(of) + 1, of.dtype if of.dtype.kind == "f" else np.int32)
        np.cumsum(of, out=sums[1:])
        out: np.ndarray = np.diff(sums[self.first])
        return out

    def short(self, most: int) -> int:
        """The longest contexts of which all, with all shorter ones, have whole distributions of `most` chances together."""
        fits = (self.ends[: self.order] + 1) * self.vocab <= most
        return int(fits.sum()) - 1 if fits[0] else 0


def digest(rows: Tensor) -> Tensor:
    """A number [b] for each row [b, length] of codes, NOTHING at its end left out."""
    power = torch.full((rows.shape[1],), 6364136223846793005, device=rows.device)
    return ((rows + 1).masked_fill(rows == NOTHING, 0) * power.cumprod(0)).sum(1)  # modulo 2 ** 64


def ending(key: Tensor, ends: np.ndarray, vocab: int, x: Tensor, most: int) -> list[Tensor]:
    """For 0 to `most` codes the n-gram [b, length] that ends at each place of `x`; -1 for that of no codes, -2 for none.

    key [grams], ends [order + 1]: of a `Tree`, the former on the device of `x` [b, length].
    """
    found = [torch.full_like(x, -1)]
    for k in range(1, most + 1):
        wanted = x.clone()
        if k > 1:
            wanted[:, 1:] += (found[-1][:, :-1] + 1) * vocab
            wanted[:, 1:].masked_fill_(found[-1][:, :-1] < 0, -1)
            wanted[:, :1] = -1
        low, high = int(ends[k - 1]), int(ends[k])
        if high == low:
            found.append(torch.full_like(x, -2))
            continue
        keys = key[low:high]
        gram = torch.searchsorted(keys, wanted).clamp_max(high - low - 1)
        found.append(torch.where(keys[gram] == wanted, gram + low, -2))
    return found


class Grams:
    """The n-grams of points of `Tokens` up to a length, and how often they come, with and without each fold of rows.

    A fold is a run of neighbouring rows, as what is new to the counts will be no neighbour either; a row that comes twice
    is in one fold.

    known: hashes of the rows, ascending, and the fold of each.
    """

    def __init__(self, points: Tensor, vocab: int, order: int, folds: int = 0, most: int = MOST) -> None:
        """points: long [n, length]; NOTHING is behind the end of a row.   order: the longest, while all are at most `most`."""
        self.points, self.vocab, self.folds = points, vocab, folds
        rows = points.cpu().numpy()
        wide = np.zeros((len(rows), rows.shape[1] + order), np.int32)
        wide[:, : rows.shape[1]] = rows
        flat = wide.ravel()
        self._place = np.flatnonzero(flat[: max(len(flat) - order, 0)])
        if not len(self._place):
            raise FitError("there are no tokens to count.")
        self._starts = np.concatenate([[True], np.diff(self._place) > 1])
        self.known = np.zeros(0, np.int64), np.zeros(0, np.int64)
        if folds:
            mixed = digest(points).cpu().numpy()
            known, earliest, which = np.unique(mixed, return_index=True, return_inverse=True)
            of = earliest * folds // len(rows)
            self.known = known, of
            self._fold = of[which][self._place // wide.shape[1]].astype(np.int8)
        self._kinds: list[np.ndarray] = []  # for each length: kinds of code that stand before, and how often none does
        self._only: list[np.ndarray] = []  # the one fold that an n-gram comes in; -1 where there are more
        self._first: list[np.ndarray] = []  # the n-gram at each start of a row, or -1
        self._last: np.ndarray  # the longest n-gram at each place, or -1
        self._seen: np.ndarray  # how often each of the longest comes
        self.tree = self._count(flat, order, most)

    @property
    def order(self) -> int:
        return self.tree.order

    def _count(self, flat: np.ndarray, order: int, most: int) -> Tree:
        codes = [flat[self._place + i] for i in range(order)]
        sort = _sorted(codes, int(self.vocab - 1).bit_length())
        new, valid = np.zeros(len(sort), bool), np.ones(len(sort), bool)
        new[0] = True
        before = np.zeros(len(sort), np.int64)  # of its length the n-gram that all but the last code are
        ends = [0]
        symbols: list[np.ndarray] = []
        children: list[np.ndarray] = []
        links = [np.zeros(1, np.int64)]
        for k in range(1, order + 1):
            code = codes[k - 1][sort]
            new[1:] |= code[1:] != code[:-1]
            valid &= code != NOTHING
            head = np.flatnonzero(new & valid)
            if k > 1 and (ends[-1] + len(head) > most or not len(head)):
                break
            gram = np.cumsum(new & valid) - 1
            within = np.full(len(sort), -1, np.int32)
            within[sort[valid]] = gram[valid]
            symbols.append(code[head])
            children.append(np.bincount(before[head], minlength=ends[-1] - ends[-2] if k > 1 else 1))
            if k == 1:
                links.append(np.zeros(len(head), np.int64))
            else:
                link = self._last[sort[head] + 1]  # the next code is at the next place
                links.append(link + (ends[-2] + 1))
                self._kinds[-1] += np.bincount(link, minlength=len(self._kinds[-1]))
            self._first.append(within[self._starts])
            self._kinds.append(_tally(self._first[-1], len(head)))
            if self.folds:
                groups = np.flatnonzero(new)
                least, greatest = (f.reduceat(self._fold[sort], groups) for f in (np.minimum, np.maximum))
                self._only.append(np.where(least == greatest, least, -1)[valid[groups]])
            self._last = within
            before = np.maximum(gram, 0)
            ends.append(ends[-1] + len(head))
        self._seen = _tally(self._last, ends[-1] - ends[-2])
        symbol, suffix = (np.concatenate(each).astype(np.int32) for each in (symbols, links))
        return Tree.of(self.vocab, np.array(ends), symbol, np.concatenate(children), suffix)

    def count(self, fold: int | None = None) -> np.ndarray:
        """int32 [grams]: how often those of the greatest length come; of the shorter how many kinds of code precede them.

        fold: without the rows of this one.
        """
        counts = [*(each.copy() for each in self._kinds[:-1]), self._seen.copy()]
        if fold is not None:
            inside = self._fold == fold
            starts = inside[self._starts]
            for k, count in enumerate(counts[:-1], 1):
                low, high = self.tree.ends[k], self.tree.ends[k + 1]
                lost = self.tree.link[low + 1 : high + 1][self._only[k] == fold] - (self.tree.ends[k - 1] + 1)
                count -= np.bincount(lost, minlength=len(count))
                count -= _tally(self._first[k - 1][starts], len(count))
            counts[-1] -= _tally(self._last[inside], len(counts[-1]))
        counts[0][np.isin(self.tree.symbol[: len(counts[0])], (BEGIN, MORE))] = 0
        return np.concatenate(counts).astype(np.int32)

    def rows(self, fold: int, places: int) -> Tensor:
        """Rows of a fold, spread evenly, of about so many places."""
        own = torch.from_numpy(
            np.isin(digest(self.points).cpu().numpy(), self.known[0][self.known[1] == fold])
        ).nonzero()
        many = min(len(own), max(1, places // self.points.shape[1]))
        return self.points[own[:, 0][torch.arange(many) * len(own) // max(1, many)].to(self.points.device)]


def _tally(gram: np.ndarray, size: int) -> np.ndarray:
    """How often each number below `size` is there; -1 is none."""
    return np.bincount(gram[gram >= 0], minlength=size)


def _sorted(codes: list[np.ndarray], bits: int) -> np.ndarray:
    """The order of places by their first code, then the second, and so on; as many codes to a number as fit."""
    many = 63 // bits
    words = []
    for i in range(0, len(codes), many):
        word = np.zeros(len(codes[0]), np.int64)
        for code in codes[i : i + many]:
            word = word << bits | code
        words.append(word)
    return np.argsort(words[0]) if len(words) == 1 else np.lexsort(words[::-1])
