"""How many digits the decimals of a column have: learned, and given to made ones, so that none is finer than any real one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

import numpy as np

LOOKED = 20_000  # values whose digits are counted
ENOUGH = 20  # of a power of ten, that has digits of its own
FULL, SINGLE = 15, 6  # significant digits that every number of 64 and of 32 bits keeps
WHOLE = 0.9  # share of values that have so many, from which the column holds measurements as they came


@dataclass(frozen=True)
class Precision:
    """The most decimals that a column has, and for powers of ten, None for all others, how many values have 1, 2, 3, ...
    significant digits."""

    most: int
    shares: tuple[tuple[int | None, tuple[int, ...]], ...]

    def rounded(self, values: np.ndarray, chance: np.ndarray) -> np.ndarray:
        """`values` float64 [n] of as many digits as `chance` [n], in [0, 1), draws for each. NaN and 0 stay."""
        shares = {power: np.cumsum(counts) / sum(counts) for power, counts in self.shares}
        out = values.copy()
        for i in np.flatnonzero(np.isfinite(values) & (values != 0)).tolist():
            value = float(values[i])
            power = int(np.floor(np.log10(abs(value))))
            share = shares.get(power, shares[None])
            digits = int(np.searchsorted(share, chance[i], side="right")) + 1
            out[i] = round(value, min(digits - 1 - power, self.most))
        return out

    def state(self) -> dict[str, Any]:
        return {"most": self.most, "shares": [[power, list(counts)] for power, counts in self.shares]}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        return cls(int(state["most"]), tuple((power, tuple(counts)) for power, counts in state["shares"]))


def learn(values: np.ndarray, single: bool) -> Precision | None:
    """The digits of `values` float64 [n] that lie on no lattice; None where they need not be learned.   single: of float32."""
    some = values[values != 0]
    some = some[:: max(1, len(some) // LOOKED)]
    if len(some) < ENOUGH:
        return None
    tens, digits, decimals = np.array([_digits(v, single) for v in some.tolist()], np.int64).T
    if (digits >= (SINGLE if single else FULL)).mean() >= WHOLE:
        return None
    out: list[tuple[int | None, tuple[int, ...]]] = [(None, tuple(np.bincount(digits)[1:].tolist()))]
    for power in np.unique(tens).tolist():
        mine = digits[tens == power]
        if len(mine) >= ENOUGH:
            out.append((power, tuple(np.bincount(mine)[1:].tolist())))
    return Precision(int(decimals.max()), tuple(out))


def _digits(value: float, single: bool) -> tuple[int, int, int]:
    """The power of ten of a number, its significant digits and its decimals, as it is printed."""
    exact = Decimal(str(np.float32(value)) if single else repr(value)).normalize()
    exponent = exact.as_tuple().exponent
    assert isinstance(exponent, int)
    return exact.adjusted(), len(exact.as_tuple().digits), max(0, -exponent)
