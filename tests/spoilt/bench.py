"""What every kind of attack has: real records, and others that nobody learned from, which are spoilt in one way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator


@dataclass(frozen=True)
class Bench:
    """real, fresh: what is learned from or set aside, and as many others, in the form of this kind of content.

    write: such records to a path, which it returns.   attacks: by what they do in words, of fresh records what is made of them.
    options, holdout: how the real ones are read.
    """

    real: Any
    fresh: Any
    write: Callable[[Any, Path], Path]
    attacks: Mapping[str, Callable[[Any, Rng], Any]]
    options: Mapping[str, Any]
    holdout: str = "0.4"


def some(rows: np.ndarray, share: float, rng: Rng) -> np.ndarray:
    return rng.permutation(rows)[: max(1, round(share * len(rows)))]
