"""A cache of what was just read: the same few tokens as before are likely followed by the same token again.

Grave et al., "Improving neural language models with a continuous cache" (https://arxiv.org/abs/1612.04426), with the length
of the exact match in place of a likeness of hidden states, as in the match models of data compressors.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

LONGEST = 10  # longer matches count as this
SURE = 10  # steps in which the likeliest code's chance is told apart


class Cache(nn.Module):
    """Mixes given chances with those of what followed the last codes earlier in the same window.

    `weight`: the log of what a match of each length counts.   `share`: the log-odds of the cache's share in the mixture,
    by the longest match and by how sure the given chances are.
    """

    def __init__(self) -> None:
        super().__init__()
        length = torch.arange(LONGEST + 1.0)
        self.weight = nn.Parameter(1.4 * length.sqrt() * length.log1p() - 6)
        begin = torch.tensor([-9.0, -4.6, -3.9, -1.7, -1.4, -0.9, -0.8, 0.0, 0.2, 0.2, -0.2])
        self.share = nn.Parameter(begin[:, None].repeat(1, SURE))

    def forward(self, x: Tensor, chances: Tensor) -> tuple[Tensor, Tensor]:
        """Chances [b, T, vocab] of the code that follows each of `x` [b, T], and the longest match [b, T] of each place.

        chances: the given ones.
        """
        match = matches(x)
        longest = match.amax(2).long()
        row, place, earlier = (match >= 2).nonzero(as_tuple=True)
        weight = self.weight.exp()[match[row, place, earlier].long()]
        at = (row * x.shape[1] + place) * chances.shape[2] + x[row, earlier + 1]
        seen = chances.new_zeros(chances.numel()).index_add(0, at, weight).view_as(chances)
        total = seen.sum(2, keepdim=True)
        sure = (chances.amax(2) * SURE).long().clamp(0, SURE - 1)
        share = torch.sigmoid(self.share[longest, sure])[..., None] * (total > 0)
        return (1 - share) * chances + share / total.clamp_min(1e-9) * seen, longest


def matches(x: Tensor) -> Tensor:
    """For each two places of `x` [b, T], how many codes up to the one equal those up to the other, uint8 [b, T, T].

    At most `LONGEST`, and 0 where the second place is not before the first.
    """
    equal = (x[:, :, None] == x[:, None, :]).to(torch.uint8).tril_(-1)
    total, run = equal.clone(), equal
    for _ in range(LONGEST - 1):
        longer = torch.zeros_like(run)
        torch.mul(equal[:, 1:, 1:], run[:, :-1, :-1], out=longer[:, 1:, 1:])
        total += longer
        run = longer
    return total


class Recent:
    """The cache of n sequences that go on code by code, over the last `window` codes of each."""

    def __init__(self, cache: Cache, n: int, window: int) -> None:
        self.weight = cache.weight.detach().exp().cpu().numpy()
        self.share = torch.sigmoid(cache.share.detach()).cpu().numpy()
        self.codes = np.zeros((n, window), np.int32)  # a ring
        self.follows = np.zeros((n, window), np.int32)  # what came after each
        self.match = np.zeros((n, window), np.uint8)
        self.spare = np.zeros((n, window), np.uint8)
        self.at = -1

    def step(self, codes: np.ndarray) -> None:
        """Each goes on with its code of `codes` [n]."""
        window = self.codes.shape[1]
        if self.at >= 0:
            self.follows[:, self.at % window] = codes
        equal = self.codes == codes[:, None]
        np.add(self.match[:, :-1], 1, out=self.spare[:, 1:])
        np.add(self.match[:, -1], 1, out=self.spare[:, 0])
        self.match, self.spare = self.spare, self.match
        self.match *= equal
        np.minimum(self.match, LONGEST, out=self.match)
        self.at += 1
        slot = self.at % window
        self.codes[:, slot] = codes
        self.match[:, slot] = 0

    def mix(self, chances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `Cache.forward`, for the next code of each: chances [n, vocab] and the longest matches [n]."""
        n, vocab = chances.shape
        longest = self.match.max(1)
        row, place = np.nonzero(self.match >= 2) if n > 1 else (0, np.flatnonzero(self.match[0] >= 2))
        if not len(place):
            return chances, longest
        weight = self.weight[self.match[row, place]]
        at = row * vocab + self.follows[row, place]
        seen = np.bincount(at, weight, n * vocab).astype(np.float32).reshape(n, vocab)
        total = seen.sum(1)
        sure = np.minimum((chances.max(1) * SURE).astype(np.int64), SURE - 1)
        share = self.share[longest, sure] * (total > 0)
        return (1 - share)[:, None] * chances + (share / np.maximum(total, 1e-9))[:, None] * seen, longest

    def keep(self, rows: np.ndarray) -> None:
        """Only these rows go on."""
        self.codes, self.follows, self.match = self.codes[rows], self.follows[rows], self.match[rows]
        self.spare = np.zeros_like(self.match)
