"""Passages of text as fragments of a page, for a person to read: escaped, in their own direction, control characters shown."""

from __future__ import annotations

import html
from collections.abc import Sequence
from difflib import SequenceMatcher

SHOWN = 24  # passages of a sheet
LONGEST = 700  # characters of one
OPEN = 2_500  # characters of the passages that are seen at once; the rest unfolds
PAPER = "display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));gap:12px"
LEAF = "white-space:pre-wrap;overflow-wrap:anywhere;margin:0;padding:10px 14px;font:inherit;font-size:.86rem;line-height:1.5"
_SIGNS = {code: chr(0x2400 + code) for code in range(32) if code not in (9, 10)} | {0x7F: "\u2421"}
# What turns the direction of writing, or is not seen, is shown by its number.
_HIDDEN = {
    code: f"\u27e8U+{code:04X}\u27e9"
    for code in (0xAD, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), 0x2060, *range(0x2066, 0x206A), 0xFEFF, 0xFFFC)
}
_SHOWN = str.maketrans(_SIGNS | _HIDDEN)


def escaped(text: str) -> str:
    """The text for a page, shortened, with what cannot be seen as signs."""
    short = text if len(text) <= LONGEST else text[: LONGEST - 1] + "\u2026"
    return html.escape(short.translate(_SHOWN))


def sheet(texts: Sequence[str]) -> bytes:
    """The texts side by side, as many beside each other as fit; behind the first few the others unfold."""
    leaves = [f'<pre dir="auto" style="{LEAF}">{escaped(text)}</pre>' for text in texts]
    return _folded(leaves, [len(text) for text in texts], f'<div class="leaves" style="{PAPER}">', "</div>")


def beside(made: Sequence[str], real: Sequence[str], captions: Sequence[str]) -> bytes:
    """Text i of `made` beside text i of `real` under the line `captions[i]`; the longest run that they share is marked."""
    blocks = []
    for ours, theirs, caption in zip(made, real, captions, strict=True):
        run = SequenceMatcher(None, ours[:LONGEST], theirs[:LONGEST], autojunk=False).find_longest_match()
        said = html.escape(caption), f"the longest run that they share has {run.size} characters"
        line = " \u00b7 ".join(f'<span class="ours">{text}</span>' for text in said)
        cells = "".join(
            f'<td style="vertical-align:top;width:50%"><b><span class="ours">{who}</span></b>'
            f'<pre dir="auto" style="{LEAF}">{_marked(text, at, run.size)}</pre></td>'
            for who, text, at in (("made", ours, run.a), ("real", theirs, run.b))
        )
        blocks.append(f'<tbody><tr class="caption"><th colspan="2">{line}</th></tr><tr>{cells}</tr></tbody>')
    sizes = [max(len(a), len(b)) for a, b in zip(made, real, strict=True)]
    table = '<table class="leaves beside" style="width:100%;table-layout:fixed">'
    return _folded(blocks, sizes, table, "</table>")


def _folded(blocks: list[str], sizes: list[int], before: str, after: str) -> bytes:
    """The blocks in an element; those behind the first three and OPEN characters in another that unfolds, if several."""
    seen, held = 0, 0
    while seen < len(blocks) and (seen < 3 or held < OPEN):
        held += min(sizes[seen], LONGEST)
        seen += 1
    rest = blocks[seen:]
    if len(rest) < 2:
        return (before + "".join(blocks) + after).encode()
    more = f'<details><summary><span class="ours">{len(rest)} more</span></summary>'
    more += f"{before}{''.join(rest)}{after}</details>"
    return (before + "".join(blocks[:seen]) + after + more).encode()


def _marked(text: str, at: int, size: int) -> str:
    if not size:
        return escaped(text)
    run = html.escape(text[at : at + size].translate(_SHOWN))
    return f"{escaped(text[:at])}<mark>{run}</mark>{escaped(text[at + size : LONGEST])}"
