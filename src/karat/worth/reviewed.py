"""What people said who looked at made things one by one, as far as a verdict needs it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from karat.worth.prices import Prices


@dataclass(frozen=True)
class Reviewed:
    """accepted, seen: different made things, as everybody who looked said; those that were mended and then accepted count.

    seconds: of looking at one and mending it, on average, with its standard `error`; None where nobody's clock is believed.
    agreement: in words, "" where none was measured.   stamps: in words, what shows of a reviewer that he never looks: his
    decisions are in none of the numbers.
    """

    accepted: int = 0
    seen: int = 0
    seconds: float | None = None
    error: float = 0.0
    agreement: str = ""
    stamps: tuple[str, ...] = ()

    @property
    def unknown(self) -> bool:
        """Whether nobody looked who can be believed."""
        return bool(self.stamps) and not self.seen

    def over(self, prices: Prices) -> Prices:
        """The prices with the acceptance that was measured in place of one that was declared; without any where it is unknown."""
        if self.unknown:
            return replace(prices, acceptance=None)
        return replace(prices, acceptance=(self.accepted, self.seen)) if self.seen else prices
