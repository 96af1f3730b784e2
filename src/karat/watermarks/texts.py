"""Text: each token is the one that a keyed draw gives, by the Gumbel trick, where the tokens before it are new in the passage.

Aaronson & Kirchner (2022): of shares p the token with the largest r ** (1 / p) is written, r being uniform numbers that the key
and the last tokens give; a token comes out as often as by chance. A context that was there before in the passage is drawn by
chance, without which a passage would repeat itself (Dathathri et al., "Scalable watermarking for identifying large language
model outputs", Nature 634, 2024); and each passage has one of NONCES keys, without which all passages would go on alike
(the losslessness of a fixed key is of one draw: https://arxiv.org/abs/2503.11404).

The test sums -ln(1 - r) over the contexts of a text, each once (https://arxiv.org/abs/2308.00113): of T of them that is
Gamma(T, 1) where the text knows nothing of the key. It is made with each of the keys, for which the smallest p value is corrected.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from karat.content.text.texts import Texts
from karat.errors import FitError
from karat.request import Request
from karat.space import MARKS
from karat.watermarks.detection import Detection, best_of, detection
from karat.watermarks.keyed import GOLDEN, mix, uniform, words
from karat.watermarks.scheme import Watermark

NONCES = 256
CHARACTERS, PAIRS = 8, 3  # tokens of a context, where these are characters and where they are longer
LONGEST = 20_000  # tokens of a text that are looked at


@dataclass(frozen=True)
class TextWatermark(Watermark):
    technique = "tokens by a keyed draw"
    codec: Texts

    def asked(self, request: Request) -> Request:
        """FitError where every token is the likeliest: nothing is left to choose."""
        if request.sampling.certain:
            raise FitError("--temperature 0 leaves nothing to choose for --watermark; take it out, or raise it.")
        return replace(request, sampling=replace(request.sampling, chooser=self.writing))

    @property
    def width(self) -> int:
        """Tokens of a context."""
        return CHARACTERS if self.codec.density >= 1 else PAIRS

    @property
    def nonces(self) -> np.ndarray:
        return words(self.key, "text nonces", NONCES)

    def writing(self, start: Tensor, rng: torch.Generator) -> Writing:
        """What draws the tokens that follow `start` [n, k]; `rng` says which nonce each row has."""
        which = torch.randint(NONCES, (len(start),), generator=rng, device=rng.device).cpu().numpy()
        return Writing(self, start.cpu().numpy(), self.nonces[which])

    def seeds(self, contexts: np.ndarray) -> np.ndarray:
        """uint64 [n] of codes [n, width]."""
        rows = np.ascontiguousarray(contexts, "<i8")
        found = b"".join(hashlib.blake2b(row.tobytes(), key=self.key, digest_size=8).digest() for row in rows)
        return np.frombuffer(found, "<u8").astype(np.uint64)

    def read(self, path: Path) -> Sequence[str]:
        return list(super().read(path))

    def draws(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """The seed [T] of each context of a text, and the number [NONCES, T] in (0, 1) that its next token has by each key."""
        codes = self.codec.opening(text.encode("utf-8", "replace").decode())[1 : LONGEST + 1].numpy()
        if len(codes) <= self.width:
            return np.zeros(0, np.uint64), np.zeros((NONCES, 0))
        seeds, tokens = (
            self.seeds(np.lib.stride_tricks.sliding_window_view(codes, self.width)[:-1]),
            codes[self.width :],
        )
        _, first = np.unique(seeds, return_index=True)
        return seeds[first], uniform(hashed(seeds[first], self.nonces[:, None], tokens[first]))

    def detect(self, records: Any) -> Detection:
        """records: texts.   Put together, a context counts in the first text that has it, so that texts alike count once."""
        seen = np.zeros(0, np.uint64)
        each, together = [], []
        for text in records:
            seeds, r = self.draws(text)
            if not len(seeds):
                continue
            each.append(p_value(r))
            new = ~np.isin(seeds, seen)
            seen = np.union1d(seen, seeds)
            if new.any():
                together.append(p_value(r[:, new]))
        return detection(self.technique, np.array(each), np.array(together))


class Writing:
    """Rows of text under way.   start: int64 [n, k], the codes that they begin with.   nonces: uint64 [n]."""

    def __init__(self, mark: TextWatermark, start: np.ndarray, nonces: np.ndarray) -> None:
        self.mark, self.nonces = mark, nonces
        missing = max(0, mark.width - start.shape[1])
        self.past = np.pad(start, ((0, 0), (missing, 0)))[:, -mark.width :]
        self.seen: list[set[int]] = [set() for _ in start]

    def __call__(self, shares: Tensor, drawn: Tensor, rows: Tensor) -> Tensor:
        """Codes [n] of the `rows` [n] that go on: those of `shares` [n, vocab] that the key gives, or those `drawn` by chance."""
        at = rows.cpu().numpy()
        past = self.past[at]
        seeds = self.mark.seeds(past)
        fresh = (past >= MARKS).all(1)
        for i, (row, seed) in enumerate(zip(at.tolist(), seeds.tolist(), strict=True)):
            fresh[i] &= seed not in self.seen[row]
            self.seen[row].add(seed)
        codes = drawn.cpu().numpy().copy()
        if fresh.any():
            share = shares.cpu().numpy()[fresh]
            r = uniform(hashed(seeds[fresh][:, None], self.nonces[at][fresh][:, None], np.arange(share.shape[1])))
            with np.errstate(divide="ignore"):
                codes[fresh] = (np.log(r) / share).argmax(1)
        self.past[at] = np.concatenate([past[:, 1:], codes[:, None]], 1)
        return torch.from_numpy(codes).to(drawn.device)


def hashed(seeds: np.ndarray, nonces: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """uint64, of what is broadcast together."""
    return mix(mix(seeds ^ nonces) + tokens.astype(np.uint64) * GOLDEN)


def p_value(r: np.ndarray) -> float:
    """The p value of numbers [NONCES, T], uniform in (0, 1) where there is no mark."""
    from scipy.special import gammaincc

    sums = -np.log1p(-r).sum(1)
    return float(best_of(gammaincc(r.shape[1], sums.max()), len(r)))
