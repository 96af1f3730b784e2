"""Text of a column that is learned beside the other columns of its rows: which words follow each other, and which go with what.

Which words go with what a row holds is learned by multinomial inverse regression (Taddy, "Multinomial inverse regression for text
analysis", JASA 2013, https://arxiv.org/abs/1012.2098): the logarithm of a word's chance is linear in the values of the other
columns. Each word's chance behind those before it is multiplied by that factor, as Kneser, Peters & Klakow, "Language model
adaptation using dynamic marginals" (Eurospeech 1997), have it. No run of words (`words.run_of`) comes back that fewer than `COMMON`
rows hold.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch

from karat.content.table.writing.words import COMMON, END, Chain, Runs, parted, run_of, vocabulary
from karat.errors import FitError, RunError

ROWS = 20_000  # texts that say enough: more of them are not learned from
WORDS = 1_500  # the commonest words, whose chances follow the other columns
FITTED = 4_000  # texts by which that is learned
PRIORS = (0.5, 2.0, 8.0)  # strengths of the prior that a word follows no column, of which held-out texts choose
FOLLOWED, LOOKED = 30, 200  # other columns at most, and the commonest words by which they are chosen
STEPS = 25  # of L-BFGS
LEAST, GREATEST = -4.0, 2.5  # logarithms of a word's factor
GROUPS, VALUES = 10, 20  # of a number, by rank; of a choice, the commonest
AT_ONCE = 1_000
TOPICS = 3  # that a judge sees
POOLS = 20  # of places at which a text may end
LONGEST = 2_000  # words


@dataclass(frozen=True)
class Beside:
    """What of the other columns a text follows: the groups of values of each code.

    parts: those of the coded parts that go with words most.   groups: of each of them, which group a coarse code belongs to;
    groups are numbered through all of them.
    """

    parts: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]

    @classmethod
    def fit(cls, codes: np.ndarray, sizes: Sequence[int], ordered: Sequence[bool], words: np.ndarray) -> Self:
        """codes: [n, parts].   ordered: whether a part is a number.   words: [n, some]: how often a text holds some words."""
        found: list[tuple[float, int, np.ndarray]] = []
        for i, (column, size, number) in enumerate(zip(codes.T, sizes, ordered, strict=True)):
            counts = np.bincount(column, minlength=size)
            if number:
                before = counts.cumsum() - counts
                group = np.unique(1 + GROUPS * before // max(1, len(codes)), return_inverse=True)[1] + 1
                group[0] = 0  # missing, where some are
            else:
                rank = np.argsort(np.argsort(-counts, kind="stable"), kind="stable")
                group = np.minimum(rank, VALUES)
            found.append((_dependence(group[column], words), i, group))
        most = sorted(sorted(found, key=lambda one: -one[0])[:FOLLOWED], key=lambda one: one[1])
        first = np.cumsum([0, *(int(group.max()) + 1 for *_, group in most)])
        groups = (tuple((start + group).tolist()) for start, (*_, group) in zip(first, most, strict=False))
        return cls(tuple(i for _, i, _ in most), tuple(groups))

    @property
    def size(self) -> int:
        return max((max(group) + 1 for group in self.groups), default=0)

    def fits(self, sizes: Sequence[int]) -> bool:
        """Whether there are such parts, of so many codes each."""
        known = zip(self.parts, self.groups, strict=True)
        return all(0 <= i < len(sizes) and len(group) == sizes[i] and min(group) >= 0 for i, group in known)

    def of(self, codes: np.ndarray) -> np.ndarray:
        """[n, parts]: the group of each code [n, parts]."""
        columns = [np.array(group)[codes[:, i]] for i, group in zip(self.parts, self.groups, strict=True)]
        return np.stack(columns, 1) if columns else np.zeros((len(codes), 0), np.int64)


@dataclass(frozen=True)
class Writer:
    """What was learned of the text column `name`.

    words: code i + 1 is words[i].   weights: float32 [groups, common codes]: how each word goes with each group of values.
    ends: float32 [longest]: how much likelier a text is to end at each place than anywhere.   copies: what may not come back.
    """

    name: str
    beside: Beside
    words: tuple[str, ...]
    chain: Chain
    weights: np.ndarray
    ends: np.ndarray
    copies: Runs

    @classmethod
    def fit(
        cls, name: str, texts: Sequence[str], codes: np.ndarray, sizes: Sequence[int], ordered: Sequence[bool]
    ) -> Self:
        """texts [n] of rows whose other columns have `codes` [n, parts]; FitError where too few words repeat to learn from."""
        split = [parted(text)[:LONGEST] for text in texts]
        words = vocabulary(split)
        if len(words) < 10:
            raise FitError(
                f"column {name!r}: {len(words)} words stand in {COMMON} rows or more, too few to learn to write from. Leave "
                "`learn` out; the column is then filled, or learned as a category where it has few values."
            )
        index = {word: code for code, word in enumerate(words, 1)}
        coded = [[index.get(word, 0) for word in text] for text in split]
        size, counts = len(words) + 2, _counted(coded, min(len(words) + 1, WORDS))
        beside = Beside.fit(codes, sizes, ordered, counts[:, :LOOKED])
        groups = beside.of(codes)
        few = np.arange(0, len(coded), -(-len(coded) // FITTED))
        weights = _weights(counts[few], groups[few], beside.size)
        ends, weights[:, END] = _ends(coded, groups, beside.size)
        return cls(name, beside, words, Chain.fit(coded, size), weights, ends, Runs.fit(coded, size, run_of(words)))

    def write(self, codes: np.ndarray, rng: np.random.Generator) -> list[str]:
        """A text for each row of `codes` [n, parts]."""
        groups, table = self.beside.of(codes), np.array(["", *self.words], object)
        out: list[str] = []
        for start in range(0, len(groups), AT_ONCE):
            some = groups[start : start + AT_ONCE]
            tilt = sum((self.weights[group] for group in some.T), np.zeros((len(some), self.weights.shape[1])))
            made = self.chain.write(np.clip(tilt, LEAST, GREATEST), self.ends, rng, self.copies)
            out += ["".join(table[row]).strip() for row in made]
        return out

    @cached_property
    def _topics(self) -> np.ndarray:
        """float32 [common codes, topics]: the directions in which words go with other columns."""
        _, sizes, across = np.linalg.svd(self.weights - self.weights.mean(0), full_matrices=False)
        return np.asarray(across[:TOPICS][sizes[:TOPICS] > 1e-6].T)

    @property
    def traits(self) -> tuple[str, ...]:
        """What can be read off a text in numbers."""
        topics = (f"{self.name}: topic {i}" for i in range(1, self._topics.shape[1] + 1))
        return f"{self.name}: number of words", *topics

    def read(self, texts: pa.Array) -> dict[str, pa.Array]:
        """float64 [n] of each of `traits`: how many words a text has, and what its words are on the average."""
        index = {word: code for code, word in enumerate(self.words[: len(self._topics) - 1], 1)}
        out = np.full((len(texts), len(self.traits)), np.nan)
        for row, text in zip(out, texts.to_pylist(), strict=True):
            if text is not None:
                words = parted(text)
                known = [index[word] for word in words if word in index]
                row[0], row[1:] = len(words), self._topics[known].sum(0) / max(1, len(words))
        return {name: pa.array(column, from_pandas=True) for name, column in zip(self.traits, out.T, strict=True)}

    def state(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "parts": list(self.beside.parts),
            "beside": [list(group) for group in self.beside.groups],
            "words": list(self.words),
            "triples": _packed(np.diff(self.chain.triples, prepend=0)),
            "counts": _packed(self.chain.counts),
            "weights": _packed(self.weights),
            "ends": _packed(self.ends),
            "copies": _packed(np.packbits(self.copies.bits)),
            "bits": len(self.copies.bits),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """RunError where the parts do not fit each other."""
        words, size = tuple(state["words"]), len(state["words"]) + 2
        beside = Beside(tuple(state["parts"]), tuple(tuple(group) for group in state["beside"]))
        triples, counts = _unpacked(state["triples"], np.int64).cumsum(), _unpacked(state["counts"], np.int64)
        weights, ends = _unpacked(state["weights"], np.float32), _unpacked(state["ends"], np.float32)
        packed = _unpacked(state["copies"], np.uint8)
        known = state["bits"] > 0 and len(packed) == -(-state["bits"] // 8)  # else so many would be laid out
        bits = np.unpackbits(packed, count=state["bits"] if known else None).astype(bool)
        digits = np.stack([triples // size**2, triples // size % size, triples % size])
        fine = (
            all(isinstance(word, str) for word in words)
            and size**3 < 2**62
            and len(triples) == len(counts) > 0
            and bool((np.diff(triples) > 0).all() and triples[0] >= 0 and (counts > 0).all())
            and bool((digits[0] < size).all() and (digits[:2] != END).all() and (digits[2] < size - 1).all())
            and bool(np.isfinite(weights).all() and np.isfinite(ends).all())
            and 0 < len(ends) <= LONGEST + 1
            and known
            and len(beside.parts) == len(beside.groups)
            and min(beside.parts, default=0) >= 0
            and (beside.size == 0 or weights.size % beside.size == 0 and 0 < weights.size // beside.size <= size - 1)
        )
        if not fine:
            raise RunError("what was learned of a text column does not fit together; train anew")
        weights = weights.reshape(max(beside.size, 1), -1) if weights.size else np.zeros((1, 1), np.float32)
        return cls(
            state["name"], beside, words, Chain(size, triples, counts), weights, ends, Runs(bits, size, run_of(words))
        )


def _counted(coded: Sequence[Sequence[int]], common: int) -> np.ndarray:
    """float32 [n, common]: how often each text holds each of the commonest codes; each of them ends."""
    out = np.zeros((len(coded), common), np.float32)
    for row, codes in zip(out, coded, strict=True):
        np.add.at(row, [code for code in codes if END < code < common], 1)
    out[:, END] = 1
    return out


def _dependence(groups: np.ndarray, words: np.ndarray) -> float:
    """How much more the words [n, some] differ between groups [n] than chance explains: G-squared less its degrees of freedom."""
    table = np.zeros((int(groups.max(initial=0)) + 1, words.shape[1]))
    np.add.at(table, groups, words)
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        g2 = 2 * float(np.nansum(table * np.log(table / expected)))
    return float(g2 - ((table.sum(1) > 0).sum() - 1) * (table.shape[1] - 1))


def _weights(counts: np.ndarray, groups: np.ndarray, size: int) -> np.ndarray:
    """float32 [groups, common codes]: the log odds of words by the values beside them; nothing where that helps no unseen text."""
    if not size:
        return np.zeros((1, 1), np.float32)
    common = counts.shape[1]
    beside = np.zeros((len(counts), size), np.float32)
    np.put_along_axis(beside, groups, 1, 1)
    x, y = torch.from_numpy(beside), torch.from_numpy(counts)
    unseen = torch.arange(len(x)) % 5 == 4
    alone = ((y[~unseen].sum(0) + 0.5) / (y[~unseen].sum() + 0.5 * common)).log()

    def nll(weights: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        chances = (alone + x[rows] @ weights).log_softmax(1)
        return torch.neg((y[rows] * chances).sum())

    def fitted(rows: torch.Tensor, prior: float) -> torch.Tensor:
        def loss(weights: torch.Tensor) -> torch.Tensor:
            return nll(weights, rows) + prior * weights.square().sum()

        return minimized(loss, torch.zeros(size, common))[0]

    scores = {prior: float(nll(fitted(~unseen, prior), unseen)) for prior in PRIORS}
    best = min(scores, key=lambda prior: scores[prior])
    if scores[best] >= float(nll(torch.zeros(size, common), unseen)):
        return np.zeros((size, 1), np.float32)
    return fitted(torch.ones(len(x), dtype=torch.bool), best).numpy()


def minimized(loss: Callable[..., torch.Tensor], *start: torch.Tensor) -> list[torch.Tensor]:
    """Where `loss` is least, from `start` on, by L-BFGS."""
    with torch.enable_grad():
        values = [value.clone().requires_grad_() for value in start]
        solver = torch.optim.LBFGS(values, max_iter=STEPS, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            solver.zero_grad()
            value = loss(*values)
            value.backward()
            return value

        solver.step(closure)
        return [value.detach() for value in values]


def _ends(coded: Sequence[Sequence[int]], groups: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 [longest + 1] and [groups]: the logarithm of how much oftener texts end behind so many words, and beside such
    values, than texts end at all.

    A piecewise exponential model (Friedman, "Piecewise exponential models for survival data with covariates", Annals of
    Statistics 1982): places are pooled until enough texts end among them.
    """
    lengths = np.array([len(codes) for codes in coded])
    ended = np.bincount(lengths).astype(float)
    few, so_far = max(COMMON, len(coded) / POOLS), ended.cumsum()
    pool = np.unique((so_far - ended) // few + so_far // few, return_inverse=True)[
        1
    ]  # one where many end is a pool by itself
    there = np.stack([np.bincount(pool[: n + 1], minlength=pool[-1] + 1) for n in lengths])  # places of each pool
    x, y, in_pool = (
        torch.zeros(len(lengths), max(size, 1)),
        torch.from_numpy(there).float(),
        torch.from_numpy(pool[lengths]),
    )
    x.scatter_(1, torch.from_numpy(groups), 1.0)
    often = math.log(len(lengths) / there.sum())
    base, beside = torch.zeros(pool[-1] + 1), torch.zeros(max(size, 1))

    def loss(base: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
        chance = x @ beside
        expected = (y * (base + often + chance[:, None]).exp()).sum()
        return expected - (base[in_pool] + chance).sum() + base.square().sum() + beside.square().sum()

    base, beside = minimized(loss, base, beside)
    return base.numpy()[pool], beside.numpy()


def _packed(values: np.ndarray) -> str:
    return base64.b85encode(
        zlib.compress(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes())
    ).decode()


def _unpacked(text: str, kind: type) -> np.ndarray:
    data = zlib.decompressobj().decompress(base64.b85decode(text), 2**26)
    return np.frombuffer(data, np.dtype(kind).newbyteorder("<")).astype(kind)
