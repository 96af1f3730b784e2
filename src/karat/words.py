"""Numbers as a person reads them (three significant digits, thousands apart), and sentences that can be said anew elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "CNY": "CN¥", "JPY": "¥", "INR": "₹"}
MINUS = "\u2212"
LEAST = 1e-4  # of money and of scores, below which nobody counts
ROUNDING = 1e-6  # of scores reckoned in float32


class Sentence(str):
    """A text in English that knows how it came to be, so that it can be said in another language (`Language.again`).

    parts: its templates in order, each with what stands in its places.
    """

    parts: tuple[tuple[str, Mapping[str, Any]], ...]

    def __new__(cls, parts: tuple[tuple[str, Mapping[str, Any]], ...]) -> Self:
        self = super().__new__(cls, "".join(template.format_map(values) for template, values in parts))
        self.parts = parts
        return self

    def __add__(self, other: str) -> Sentence:
        return Sentence((*self.parts, *parts_of(other)))

    def __radd__(self, other: str) -> Sentence:  # or a text without parts before one with some would leave none
        return together((other, self))

    def __getnewargs__(self) -> tuple[Any]:  # for copies
        return (self.parts,)


def said(template: str, **values: Any) -> Sentence:
    """The text of `template`, in English, with `values` in its places."""
    return Sentence(((template, values),))


def together(texts: Iterable[str], between: str = "") -> Sentence:
    """Several texts as one, with `between` between two."""
    parts: list[tuple[str, Mapping[str, Any]]] = []
    for text in texts:
        parts += [*(parts_of(between) if parts and between else ()), *parts_of(text)]
    return Sentence(tuple(parts))


class Clause(Sentence):
    """A sentence without its full stop, to stand inside of another one."""

    def __new__(cls, parts: tuple[tuple[str, Mapping[str, Any]], ...]) -> Self:
        self = str.__new__(cls, Sentence(parts).strip().rstrip("."))
        self.parts = parts
        return self


def term(text: str) -> Sentence:
    """A word of ours, such as the name of a descriptor, as a sentence of its own."""
    return text if isinstance(text, Sentence) else Sentence(((text.replace("{", "{{").replace("}", "}}"), {}),))


def listed(names: Sequence[str], most: int | None = None) -> str:
    """Names in words, "a, b and c"; of more than `most` the first ones, and how many more."""
    some = list(names[:most])
    some += [said("{n} more", n=len(names) - len(some))] if len(names) > len(some) else []
    if len(some) < 2:
        return "".join(names) if not some or not isinstance(some[0], Sentence) else some[0]
    return said("{first} and {last}", first=together(some[:-1], term(", ")), last=some[-1])


def firsts(names: Sequence[str], most: int = 8) -> str:
    """The first `most` of some names, and whether there are more."""
    some = together(names[:most], ", ")
    return said("{names} and more", names=some) if len(names) > most else some


def parts_of(text: str) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """The parts of a `Sentence`; any other text as what stands in one place."""
    return text.parts if isinstance(text, Sentence) else (("{text}", {"text": text}),) if text else ()


def number(x: float | None) -> str:
    """Three significant digits: 0.0123, 1.23, 12,300; an em dash where there is no number."""
    if x is None or math.isnan(x):
        return "—"
    sign = MINUS if x < 0 else ""
    size = abs(x)
    if math.isinf(size):
        return sign + "∞"
    if size == 0:
        return "0"
    if size < 1e-4 or size >= 1e12:
        mantissa, _, exponent = f"{size:.2e}".partition("e")
        return f"{sign}{mantissa}e{int(exponent)}"
    if float(f"{size:.3g}") >= 1000:
        return f"{sign}{float(f'{size:.3g}'):,.0f}"
    digits = max(0, 2 - math.floor(math.log10(float(f"{size:.3g}"))))
    text = f"{size:.{digits}f}"
    return sign + (text.rstrip("0").rstrip(".") if "." in text and (float(text).is_integer() or digits > 2) else text)


def score(x: float | None) -> str:
    """A finding's value: as `number`, 0 for what is nothing but the rounding of sums, and no powers of ten for other small ones."""
    if x is None or math.isnan(x) or abs(x) >= LEAST:
        return number(x)
    return "0" if abs(x) < ROUNDING else f">{MINUS}{LEAST:.4f}" if x < 0 else f"<{LEAST:.4f}"


def several(n: int, one: str, many: str = "") -> str:
    """A number with its noun: 1 pair, 2,292 pairs; `many` where the plural is no s."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def count(n: int) -> str:
    return f"{n:,}"


def money(x: float | None, currency: str | None) -> str:
    """An amount with its currency: $0.281, CHF 1,230; cents where they matter, no more digits than are known, <$0.0001 for less."""
    if x is None or math.isnan(x):
        return "—"
    size = abs(x)
    text = f"{size:,.2f}" if 1 <= size < 1000 else number(max(size, LEAST) if x else 0.0)
    text += "0" if len(text) == len("0.8") and text.startswith("0.") else ""
    less = "" if x == 0 or size >= LEAST else ">" if x < 0 else "<"
    sign = less + (MINUS if x < 0 else "")
    if currency is None:
        return sign + text
    symbol = SYMBOLS.get(currency.upper())
    return f"{sign}{symbol}{text}" if symbol else f"{sign}{currency}\u00a0{text}"


def duration(seconds: float | None) -> str:
    """0.42 s, 31 s, 4 min 12 s, 3 h 5 min, 2 d 4 h."""
    if seconds is None or math.isnan(seconds):
        return "—"
    if seconds < 0.001:
        return "0 s" if seconds == 0 else f"{number(seconds * 1e6)} µs"
    if seconds < 1:
        return f"{number(seconds * 1000)} ms"
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    rounded = round(seconds)
    for size, unit, part, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if rounded >= size:
            rest = rounded % size // part
            return f"{rounded // size} {unit}" + (f" {rest} {small}" if rest else "")
    raise AssertionError(seconds)


def chance(p: float) -> str:
    """A probability that was found by drawing: never 0% or 100%."""
    return said("under 1%") if p < 0.01 else said("over 99%") if p > 0.99 else f"{100 * p:.0f}%"
