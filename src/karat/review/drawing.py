"""Pictures, sounds, passages and rows as lines of a terminal: pixels as half blocks, wide characters counted as two.

A half block shows two pixels, one over the other, in the colours of its ink and of its ground, so that a pixel is about as
high as it is wide. In 24 bits of colour where the terminal says so (COLORTERM), else in the 256 of xterm.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from rich.cells import cell_len, set_cell_size

from karat.content.showing import Passage, Pixels, Row, Shown, Sound
from karat.terminal import shown as harmless

HALF, PLAIN = "▀", "\x1b[0m"
COLOUR = re.compile("\x1b\\[[0-9;]*m")
LEVELS = " ▁▂▃▄▅▆▇█"
LOUD = -60.0  # dB below full scale at which a bar begins
NAMES = 0.4  # of the width, for the names of cells at most
ENDS = (0, 95, 135, 175, 215, 255)  # levels of the colour cube of 256 colours


@dataclass(frozen=True)
class Room:
    """What there is to draw in.   fine: whether the terminal has 24 bits of colour."""

    columns: int
    lines: int
    fine: bool = True


def fine_colours() -> bool:
    return os.environ.get("COLORTERM", "").lower() in ("truecolor", "24bit")


def drawn(shown: Shown, room: Room) -> list[str]:
    """Lines as wide as there is room for; of a long passage more of them than that, which `page` shows by and by."""
    match shown:
        case Pixels(pixels):
            return picture(pixels, room)
        case Sound():
            return sound(shown, room)
        case Passage(text):
            return wrapped(text, room.columns)
        case Row():
            return row(shown, room)


def centred(lines: Sequence[str], room: Room) -> list[str]:
    """The lines in the middle of the room."""
    left = max(0, (room.columns - max(map(_wide, lines), default=0)) // 2)
    return [""] * max(0, (room.lines - len(lines)) // 2) + [" " * left + line for line in lines]


def picture(pixels: np.ndarray, room: Room) -> list[str]:
    """Pixels [h, w, 3]: a small picture as many whole times larger as there is room for, a large one scaled down."""
    height, width = pixels.shape[:2]
    fits = min(room.columns / width, 2 * room.lines / height)
    if fits >= 1:
        pixels = pixels.repeat(int(fits), 0).repeat(int(fits), 1)
    else:
        size = max(1, int(width * fits)), max(1, int(height * fits))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, np.zeros_like(pixels[:1])])
    ink = _fine if room.fine else _coarse
    out = []
    for upper, lower in zip(pixels[::2].tolist(), pixels[1::2].tolist(), strict=True):
        line, before = "", ""
        for above, below in zip(upper, lower, strict=True):
            colours = ink(above, below)
            line += HALF if colours == before else colours + HALF
            before = colours
        out.append(line + PLAIN)
    return out


def sound(one: Sound, room: Room) -> list[str]:
    """How loud a sound is along its length, in dB, and its length, rate and loudest sample in words."""
    wave = np.abs(one.wave).max(1) if one.wave.ndim == 2 and len(one.wave) else np.zeros(1, np.float32)
    parts = np.array_split(wave, min(room.columns, len(wave)))
    loud = 20 * np.log10(np.maximum([float(np.sqrt(np.square(part).mean())) for part in parts], 1e-9))
    high = max(1, min(10, room.lines - 3))
    bars = np.rint(np.clip(1 - loud / LOUD, 0, 1) * high * 8).astype(int)
    lines = ["".join(LEVELS[int(np.clip(bar - 8 * at, 0, 8))] for bar in bars) for at in reversed(range(high))]
    channels = one.wave.shape[1] if one.wave.ndim == 2 else 1
    says = f"{len(one.wave) / one.rate:.2f} s, {one.rate:,} Hz, {channels} channel{'s' if channels > 1 else ''}"
    return [*lines, "─" * len(bars), f"{says}, loudest sample {float(wave.max()):.2f}"]


def row(one: Row, room: Room) -> list[str]:
    """A name and a value to each line, in several columns where they would not fit below each other."""
    cells = [(harmless(name), "–" if value is None else harmless(value)) for name, value in one.cells]
    many = -(-len(cells) // max(1, room.lines))
    width = max(12, room.columns // many - 2)
    named = min(max((cell_len(name) for name, _ in cells), default=0), int(NAMES * width))
    lines = [set_cell_size(name, named) + "  " + _short(value, width - named - 2) for name, value in cells]
    high = min(len(lines), room.lines)
    columns = [lines[i : i + high] for i in range(0, len(lines), max(1, high))]
    return [
        "  ".join(set_cell_size(column[i], width) for column in columns if i < len(column)).rstrip()
        for i in range(high)
    ]


def wrapped(text: str, width: int) -> list[str]:
    """Text in lines of at most `width` columns, broken between words where there are any, else anywhere; nothing is obeyed."""
    out = []
    for line in harmless(text).expandtabs(4).split("\n"):
        now = ""
        for word in _pieces(line):
            if cell_len(now) + cell_len(word.rstrip(" ")) > width and now:
                out.append(now.rstrip(" "))
                now = ""
            now += word
            while cell_len(now.rstrip(" ")) > width:
                head = _short(now, width, "")
                out.append(head)
                now = now[len(head) :]
        out.append(now.rstrip(" "))
    return out


def beside(left: Sequence[str], right: Sequence[str], width: int) -> list[str]:
    """Two drawings side by side, the left one `width` columns wide."""
    high = max(len(left), len(right))
    sides = [[*side, *[""] * (high - len(side))] for side in (left, right)]
    return [a + " " * max(0, width - _wide(a)) + b for a, b in zip(*sides, strict=True)]


def _wide(line: str) -> int:
    """Columns that a drawn line takes, colours aside."""
    return cell_len(COLOUR.sub("", line))


def _pieces(line: str) -> list[str]:
    """Words with the spaces behind them; each wide character is one, as Chinese is broken anywhere."""
    out: list[str] = []
    for c in line:
        goes_on = bool(out) and not out[-1].endswith(" ") and max(cell_len(c), cell_len(out[-1][-1])) < 2
        if out and (c == " " or goes_on):
            out[-1] += c
        else:
            out.append(c)
    return out


def page(lines: Sequence[str], at: int, most: int) -> list[str]:
    """Page `at`, from 0, of the lines, the first one behind the last; under it, where it is not all, which lines these are."""
    if len(lines) <= most:
        return list(lines)
    each = max(1, most - 1)
    first = at % -(-len(lines) // each) * each
    shown = list(lines[first : first + each])
    return [*shown, f"… lines {first + 1} to {first + len(shown)} of {len(lines)} (space: on)"]


def _short(text: str, width: int, sign: str = "…") -> str:
    """The text, or as much of it as fits into `width` columns with `sign` behind."""
    text = text.replace("\n", "⏎")
    if cell_len(text) <= width:
        return text
    room, out = max(0, width - cell_len(sign)), ""
    for c in text:
        if cell_len(out) + cell_len(c) > room:
            break
        out += c
    return (out or text[:1]) + sign


def _fine(above: Sequence[int], below: Sequence[int]) -> str:
    return f"\x1b[38;2;{above[0]};{above[1]};{above[2]};48;2;{below[0]};{below[1]};{below[2]}m"


def _coarse(above: Sequence[int], below: Sequence[int]) -> str:
    return f"\x1b[38;5;{_of_256(above)};48;5;{_of_256(below)}m"


def _of_256(colour: Sequence[int]) -> int:
    """The nearest of xterm's colours: one of 24 greys and the cube's black and white for a grey, else one of the cube."""
    red, green, blue = colour
    if max(colour) - min(colour) < 12:
        step = round((sum(colour) / 3 - 8) / 10)
        return 16 if step < 0 else 231 if step > 23 else 232 + step
    near = [min(range(6), key=lambda i: abs(ENDS[i] - c)) for c in (red, green, blue)]
    return 16 + 36 * near[0] + 6 * near[1] + near[2]
