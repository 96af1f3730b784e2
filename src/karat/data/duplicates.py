"""Records that are nearly there twice, by what they look like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from karat.content.roles import Paired, Thumbnailed
from karat.data.dataset import Data

NEAR = 0.995  # cosine of two centred thumbnails; saving as JPEG again stays above it, another take of a scene does not
NEAR_MOST = 20_000  # records compared, each with each
EXAMPLES = 20


def near_duplicates(data: Data, most: int = NEAR_MOST) -> dict[str, Any] | None:
    """Pairs of different records that are nearly the same: the codec's `doubles`, or of what has thumbnails those whose grey
    16 x 16 ones have a cosine of at least 0.995, contrast aside.

    records: how many have such a partner; pairs: how many pairs; across: pairs with one record on each side of the
    split; examples: up to 20 pairs of names, nearest first in each stretch; examined: how many records were compared. None
    of content whose records are not compared.
    """
    codec = data.codec
    if not isinstance(codec, Paired | Thumbnailed):
        return None
    rows = np.sort(np.concatenate([data.train, data.holdout]))
    if len(rows) > most:
        rows = rows[np.arange(most) * len(rows) // most]
    held = torch.from_numpy(np.isin(rows, data.holdout))
    names = data.contents.names
    if isinstance(codec, Paired):
        found = codec.doubles(data.contents.records[rows])
        return {
            "records": len(np.unique(found)),
            "pairs": len(found),
            "across": int((held[found[:, 0]] != held[found[:, 1]]).sum()),
            "examined": len(rows),
            "examples": [[_name(names, int(rows[a])), _name(names, int(rows[b]))] for a, b in found[:EXAMPLES]],
        }
    thumbs = torch.cat([_centred(codec.thumbnails(part)) for part in _blocks_of(data.contents.records, rows)])
    partnered = torch.zeros(len(rows), dtype=torch.bool)
    pairs, across = 0, 0
    examples: list[tuple[int, int]] = []
    for start in range(0, len(rows), 1024):
        near = torch.triu(thumbs[start : start + 1024] @ thumbs[start:].T, diagonal=1)
        a, b = torch.nonzero(near >= NEAR, as_tuple=True)
        if not len(a):
            continue
        if len(examples) < EXAMPLES:
            order = near[a, b].argsort(descending=True)[: EXAMPLES - len(examples)]
            examples += [(int(a[i]) + start, int(b[i]) + start) for i in order]
        a, b = a + start, b + start
        pairs, across = pairs + len(a), across + int((held[a] != held[b]).sum())
        partnered[a] = True
        partnered[b] = True
    return {
        "records": int(partnered.sum()),
        "pairs": pairs,
        "across": across,
        "examined": len(rows),
        "examples": [[_name(names, int(rows[a])), _name(names, int(rows[b]))] for a, b in examples],
    }


def _name(names: tuple[str, ...], row: int) -> str:
    return names[row] if names else f"record {row}"


def _blocks_of(records: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), 1024):
        yield records[rows[start : start + 1024]]


def _centred(small: Tensor) -> Tensor:
    """`small` [n, d], centred and of length 1 (0 for a blank record)."""
    centred = small - small.mean(1, keepdim=True)
    return F.normalize(centred, dim=1, eps=1e-3)
