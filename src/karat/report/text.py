"""What a report says of text: copied runs marked, loops shown, words named, bits beside counts and packers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from karat.assays.details import Detail
from karat.assays.details.passages import (
    Bits,
    Fluency,
    InventedWords,
    Loop,
    Loops,
    MissingWords,
    PersonalData,
    Repeat,
    Run,
    VerbatimRun,
    WordBalance,
)
from karat.languages import Language
from karat.words import said, term

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding

RUNS = 8
LOOPS = 5
WORDS = 16
HEAD, TAIL = 200, 60  # characters of a long run or loop that are shown
_SIGNS = {code: chr(0x2400 + code) for code in range(32) if code not in (9, 10)} | {0x7F: "\u2421"}
_HIDDEN = {
    code: f"\u27e8U+{code:04X}\u27e9"
    for code in (0xAD, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), 0x2060, *range(0x2066, 0x206A), 0xFEFF, 0xFFFC)
}
_SHOWN = str.maketrans(_SIGNS | _HIDDEN)  # what turns the direction of writing, or is not seen, is shown by its number


@dataclass(frozen=True)
class Marked:
    """A string that stands out, with what stands round it and what is said of it."""

    caption: str
    made: Markup
    train: Markup | None = None


@dataclass(frozen=True)
class Word:
    """A word or line opening: the shares of made, of unseen and of training passages that have it."""

    name: str
    kind: str
    made: float
    unseen: float
    train: float


@dataclass(frozen=True)
class TextView:
    """All that the page shows of text beyond its findings; empty where there is nothing to show."""

    bits: Markup | None
    held: int  # characters that were weighed
    runs: tuple[Marked, ...]
    bar: float | None  # the longest run that one of 1,000 unseen passages shares
    loops: tuple[Marked, ...]
    missing: tuple[Word, ...]
    balance: tuple[Word, ...]
    invented: tuple[tuple[str, int], ...]
    unlikely: tuple[tuple[float, Markup], ...]
    leaks: tuple[Repeat, ...]


def view(findings: Sequence[Finding], language: Language) -> TextView | None:
    """The view of text where findings speak of it, else None."""
    found = {f.key: f for f in findings}
    held: dict[str, Detail] = {key: f.detail for key, f in found.items() if f.detail is not None}
    runs, fluency = held.get("verbatim run"), held.get("fluency")
    if not isinstance(runs, VerbatimRun) or not isinstance(fluency, Fluency):
        return None
    over = found["verbatim run"].real
    lost = [d for d in map(held.get, ("missing openings", "missing words")) if isinstance(d, MissingWords)]
    loops, balance, invented, leaks, bits = (
        held.get(key) for key in ("loops", "word balance", "invented words", "personal data", "bits per character")
    )
    return TextView(
        _bars(bits.rows, language) if isinstance(bits, Bits) else None,
        bits.characters if isinstance(bits, Bits) else 0,
        tuple(_run(r, over) for r in runs.runs[:RUNS]),
        over,
        tuple(_loop(r) for r in loops.loops[:LOOPS]) if isinstance(loops, Loops) else (),
        tuple(Word(row[0], d.kind, *row[1:]) for d in lost for row in d.rows)[:WORDS],
        tuple(Word(row[0], "", *row[1:]) for row in balance.rows[:WORDS]) if isinstance(balance, WordBalance) else (),
        invented.invented[: 2 * WORDS] if isinstance(invented, InventedWords) else (),
        tuple((x.bits, _plain(x.text)) for x in fluency.strangest),
        leaks.repeats if isinstance(leaks, PersonalData) else (),
    )


def _plain(text: str) -> Markup:
    return escape(text.translate(_SHOWN))


def _around(before: str, run: str, after: str) -> Markup:
    cut = run if len(run) <= HEAD + TAIL else f"{run[:HEAD]} [\u2026] {run[-TAIL:]}"
    return Markup("{}<mark>{}</mark>{}").format(_plain(before), _plain(cut), _plain(after))


def _run(r: Run, over: float) -> Marked:
    caption = said(
        "{length} characters of made passage {made}, from training passage {train}",
        length=r.length,
        made=r.made + 1,
        train=r.train + 1,
    )
    if r.length > over:
        caption += said(", more than one unseen passage in 1,000 shares")
    return Marked(caption, _around(r.before, r.run, r.after), _around(r.train_before, r.run, r.train_after))


def _loop(r: Loop) -> Marked:
    times = r.length / max(1, len(r.unit))
    unit = repr(r.unit[:40].translate(_SHOWN))
    caption = said("made passage {made}: {times:.0f} times {unit}", made=r.made + 1, times=times, unit=unit)
    return Marked(caption, _around(r.before, r.loop[: HEAD // 2], "\u2026"))


def _bars(rows: Sequence[tuple[str, float]], language: Language) -> Markup:
    """A lying bar for each of (name, bits per character), the first one made, the others for comparison."""
    rows = [(language.again(term(name)), bits) for name, bits in rows]
    top = max(bits for _, bits in rows) or 1.0
    out = []
    for i, (name, bits) in enumerate(rows):
        y = 22 * i
        out.append(
            f'<text x="178" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{"cr" if i else "c1"}" x="186" y="{y + 3}" width="{max(0.6, 250 * bits / top):.1f}" height="13"/>'
            f'<text class="tick" x="{190 + 250 * bits / top:.1f}" y="{y + 14}">{bits:.3f}</text>'
        )
    told = "; ".join(f"{name}: {bits:.3f}" for name, bits in rows)
    label = language.again(said("Bits per character: {bits}", bits=told))
    return Markup(
        f'<svg class="chart bits" style="max-width:640px" viewBox="0 0 480 {22 * len(rows) + 2}" role="img" '
        f'aria-label="{escape(label)}">{"".join(out)}</svg>'
    )
