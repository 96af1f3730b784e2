"""What is fixed about a reference generator: how it makes records, how bad it can be, and which findings must speak of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Maker = TypeVar("Maker", bound=Callable[..., object])


@dataclass(frozen=True)
class Reference(Generic[Maker]):
    """A generator whose worth is known.

    make: draws records; how, the module of each view says.   must: findings that must speak of what it makes by default
    and of what is worse.
    dial: the keyword of `make` by which it is worse, "" where it has none.   strengths: of the dial, from weak to strong.
    usual: the strength from which on the findings promise to see it, where there are enough records.
    phrase: the strength in words, as "{:.0%} copies".
    """

    make: Maker
    must: tuple[str, ...] = ()
    dial: str = ""
    strengths: tuple[float, ...] = ()
    usual: float = 0.0
    phrase: str = ""
