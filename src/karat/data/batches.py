"""The records as batches; the k-th is a pure function of (seed, k), so that a run continues exactly where it stopped."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from karat import limits
from karat.data.dataset import Data
from karat.errors import FitError
from karat.space import Batches, Space

RESIDENT = 2**30  # bytes of encoded points that are kept on the device as one tensor


def batches(data: Data, size: int, seed: int, device: torch.device, space: Space | None = None) -> Batches:
    """What there is to learn from, on the device; its k-th batch, points `[size, *space.shape]` and labels, is pure in k.

    Batches are consecutive slices of shuffled epochs laid end to end, so every record is seen once before any is seen
    twice. Points of up to 1 GiB are encoded once and stay on the device; more are encoded batch by batch.
    """
    if size < 1:
        raise FitError(f"The batch size is {size}; at least 1 was wanted.")
    goal = data.space if space is None else space
    limits.need(size * (8.0 * goal.numel + 16), f"a batch of {size:,}", "Lower --set train.batch.")
    rows = data.train
    n = len(rows)
    every = data.labels("train")
    labels = None if every is None else every.to(device)
    resident = n * goal.numel * 4 <= RESIDENT
    points = data.codec.encode(data.contents.records[rows], goal).to(device) if resident else None

    @lru_cache(maxsize=2)
    def shuffled(epoch: int) -> Tensor:
        # torch's CPU generator uses only 32 bits of its seed, so (seed, epoch) is mixed down to 32 first.
        mixed = np.random.SeedSequence((seed & 2**64 - 1, epoch)).generate_state(1)
        return torch.randperm(n, generator=torch.Generator().manual_seed(int(mixed[0])))

    def some(most: int) -> tuple[Tensor, Tensor | None]:
        chosen = np.arange(n) if most >= n else np.arange(most) * n // most
        x = data.codec.encode(data.contents.records[rows[chosen]], goal) if points is None else points[chosen]
        return x.to(device), None if labels is None else labels[chosen]

    def sized(size: int) -> Batches:
        def batch(k: int) -> tuple[Tensor, Tensor | None]:
            start, parts, wanted = k * size, [], size
            while wanted:
                epoch, at = divmod(start, n)
                part = shuffled(epoch)[at : at + wanted]
                parts.append(part)
                start, wanted = start + len(part), wanted - len(part)
            chosen = torch.cat(parts)
            there = chosen.to(device)
            if points is not None:
                x = points.index_select(0, there)
            else:
                x = data.codec.encode(data.contents.records[rows[chosen.numpy()]], goal).to(device)
            return x, None if labels is None else labels.index_select(0, there)

        return Batches(n, batch, some, sized)

    return sized(size)
