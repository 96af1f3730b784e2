"""What a report says of text: copied runs marked, loops shown, words named, bits beside counts and packers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

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

    says: str
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
    strange: tuple[tuple[float, Markup], ...]
    leaks: tuple[Mapping[str, Any], ...]


def view(findings: Sequence[Finding]) -> TextView | None:
    """The view of text where findings speak of it, else None."""
    found = {f.key: f for f in findings}
    if "verbatim run" not in found or "fluency" not in found:
        return None
    detail = {name: f.detail for name, f in found.items()}
    likely = detail.get("bits per character", {})
    over = found["verbatim run"].real
    runs = detail["verbatim run"]["runs"]
    told = [
        Word(row[0], detail[name]["kind"], *row[1:])
        for name in ("missing openings", "missing words")
        for row in detail[name]["rows"]
    ]
    return TextView(
        _bars(likely["rows"]) if likely else None,
        int(likely.get("characters", 0)),
        tuple(_run(r, over) for r in runs[:RUNS]),
        over,
        tuple(_loop(r) for r in detail["loops"]["loops"][:LOOPS]),
        tuple(told[:WORDS]),
        tuple(Word(row[0], "", *row[1:]) for row in detail["word balance"]["rows"][:WORDS]),
        tuple((str(word), int(n)) for word, n in detail["invented words"]["invented"][: 2 * WORDS]),
        tuple((float(x["bits"]), _plain(x["text"])) for x in detail["fluency"]["strangest"]),
        tuple(detail["personal data"]["repeats"]) if "personal data" in detail else (),
    )


def _plain(text: str) -> Markup:
    return escape(text.translate(_SHOWN))


def _around(before: str, run: str, after: str) -> Markup:
    cut = run if len(run) <= HEAD + TAIL else f"{run[:HEAD]} [\u2026] {run[-TAIL:]}"
    return Markup("{}<mark>{}</mark>{}").format(_plain(before), _plain(cut), _plain(after))


def _run(r: Mapping[str, Any], over: float) -> Marked:
    more = ", more than one unseen passage in 1,000 shares" if r["length"] > over else ""
    says = f"{r['length']} characters of made passage {r['made'] + 1}, from training passage {r['train'] + 1}{more}"
    made = _around(r["before"], r["run"], r["after"])
    return Marked(says, made, _around(r["train before"], r["run"], r["train after"]))


def _loop(r: Mapping[str, Any]) -> Marked:
    times = r["length"] / max(1, len(r["unit"]))
    says = f"made passage {r['made'] + 1}: {times:.0f} times {r['unit'][:40].translate(_SHOWN)!r}"
    return Marked(says, _around(r["before"], r["loop"][: HEAD // 2], "\u2026"))


def _bars(rows: Sequence[Sequence[Any]]) -> Markup:
    """A lying bar for each of (name, bits per character), the first one made, the others for comparison."""
    top = max(float(bits) for _, bits in rows) or 1.0
    out = []
    for i, (name, bits) in enumerate(rows):
        y = 22 * i
        out.append(
            f'<text x="178" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{"cr" if i else "c1"}" x="186" y="{y + 3}" width="{max(0.6, 250 * float(bits) / top):.1f}" height="13"/>'
            f'<text class="tick" x="{190 + 250 * float(bits) / top:.1f}" y="{y + 14}">{float(bits):.3f}</text>'
        )
    told = "; ".join(f"{name}: {float(bits):.3f}" for name, bits in rows)
    return Markup(
        f'<svg class="chart bits" style="max-width:640px" viewBox="0 0 480 {22 * len(rows) + 2}" role="img" '
        f'aria-label="Bits per character: {escape(told)}">{"".join(out)}</svg>'
    )
