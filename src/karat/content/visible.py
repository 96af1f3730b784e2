"""The explicit label, which a person sees or hears: GB 45438-2025, clause 5, by which it says both AI and 生成.

Of pictures: at an edge, its height at least 5% of the shortest side. Of sounds: the rhythm "short long, short short", which is
A I in Morse code (ITU-R M.1677-1): a dash is three dots, one dot of silence parts the signs and three the letters.
"""

from __future__ import annotations

import numpy as np

WORDS = {"cn": "AI生成", "eu": "AI-generated", "both": "AI生成 AI-generated", "private": "AI生成 AI-generated"}
GLYPHS = {  # twelve rows each
    "A": "...##... ...##... ..#..#.. ..#..#.. ..#..#.. .#....#. .#....#. .######. #......# #......# #......# #......#",
    "I": "##### ..#.. ..#.. ..#.. ..#.. ..#.. ..#.. ..#.. ..#.. ..#.. ..#.. #####",
    "生": ".....#...... .#...#...... .#...#...... .##########. #....#...... .....#...... .....#...... .#########.. "
    ".....#...... .....#...... .....#...... ############",
    "成": "......#.#... ......#..#.. .########### .#....#..... .#....#...#. .####.#...#. .#..#.#..#.. .#..#..#.#.. "
    ".#..#..##... .#.##..##..# #.....#..#.# #....#....##",
}
ROWS = 12
SHARE = 0.055  # of the shortest side; the standard asks for 0.05 and leaves open of what part of a character
MOST = 1 / 3  # of a picture that the label covers
MARGIN = 2  # around the text, in its own pixels
DOT = 0.12  # seconds
TONE, LOUD, EDGE = 800.0, 0.25, 0.005  # Hz, of full scale, seconds in which a tone comes and goes
SIGNS = (1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1)  # dots of tone and of silence
ALIKE = 0.9  # from where what stands there is taken for the label
PAUSE = 3  # dots between the rhythm and the sound


def words_of(law: str) -> str:
    """The explicit label as text."""
    return WORDS[law]


def column_of(words: str) -> str:
    """What a column of the explicit label is called."""
    return words.split()[0]


def stamp(words: str) -> np.ndarray:
    """The text as a picture, bool [rows, columns]: AI生成 where it says so, AI elsewhere."""
    parts: list[np.ndarray] = []
    for sign in "AI生成" if "生成" in words else "AI":
        rows = GLYPHS[sign].split()
        parts += [np.array([[c == "#" for c in row] for row in rows]), np.zeros((ROWS, 2), bool)]
    return np.pad(np.concatenate(parts[:-1], 1), MARGIN)


def drawn(records: np.ndarray, words: str) -> np.ndarray:
    """Pictures [n, h, w, c], of whole numbers, with the label in the bottom right corner, white on black.

    Pictures too small for a label that can be read, and of which it would cover more than a third, have it on a border of their
    own below them, and are larger by that.
    """
    height, width, channels = records.shape[1:]
    text = stamp(words)
    times = max(1, int(np.ceil(SHARE * min(height, width) / ROWS)))
    text, top = text.repeat(times, 0).repeat(times, 1), np.iinfo(records.dtype).max
    out = records.copy()
    if _beneath(text, height, width):
        left = max(0, text.shape[1] - width) // 2
        out = np.zeros((len(records), height + text.shape[0], max(width, text.shape[1]), channels), records.dtype)
        if channels == 4:
            out[..., 3] = top
        out[:, :height, left : left + width] = records
    corner = out[:, out.shape[1] - text.shape[0] :, out.shape[2] - text.shape[1] :]
    corner[..., :] = np.where(text, top, 0)[None, :, :, None]
    if channels == 4:
        corner[..., 3] = top
    return out


def _beneath(text: np.ndarray, height: int, width: int) -> bool:
    """Whether the label stands below a picture of that size, and not in it."""
    return text.shape[0] > height or text.shape[1] > width or text.size > MOST * height * width


def bare(record: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture [h, w, c] of that size without the border that `drawn` gave it for the label; any other as it is."""
    for words in ("AI生成", "AI"):
        text = stamp(words)
        rows, columns = text.shape
        if _beneath(text, height, width) and record.shape[:2] == (height + rows, max(width, columns)):
            corner = record[-rows:, -columns:, 0] > np.iinfo(record.dtype).max / 2
            if (corner == text).mean() > ALIKE:
                left = max(0, columns - width) // 2
                return record[:height, left : left + width]
    return record


def heard(wave: np.ndarray, rate: int) -> np.ndarray:
    """The rhythm, and then the sound: float [samples, channels] or [samples], in [-1, 1]."""
    label = _rhythm(rate)
    if wave.ndim == 2:
        label = np.repeat(label[:, None], wave.shape[1], 1)
    return np.concatenate([label, wave])


def unheard(wave: np.ndarray, rate: int) -> np.ndarray:
    """A sound [samples, channels] without the rhythm that `heard` put before it; any other as it is."""
    label = _rhythm(rate)
    begin = wave[: len(label), 0]
    if len(begin) < len(label) or not begin.any():
        return wave
    return wave[len(label) :] if begin @ label > ALIKE * np.linalg.norm(begin) * np.linalg.norm(label) else wave


def _rhythm(rate: int) -> np.ndarray:
    """float32 [samples], with the pause behind it."""
    size = int(round(DOT * rate))
    edge = max(1, min(size // 2, int(EDGE * rate)))
    on = np.repeat(np.array(SIGNS, np.float32), size)
    ramp = np.hanning(2 * edge + 1)
    gate = np.convolve(np.pad(on, edge), ramp / ramp.sum(), "same")[edge:-edge]
    tone = LOUD * gate * np.sin(2 * np.pi * min(TONE, rate / 4) * np.arange(len(on)) / rate)
    return np.concatenate([tone, np.zeros(PAUSE * size)]).astype(np.float32)
