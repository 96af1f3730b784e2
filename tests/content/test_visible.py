"""The explicit label: large enough, at an edge, with both words; the rhythm of A and I; a line, a column."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karat.content import visible
from karat.content.visible import DOT, GLYPHS, ROWS, drawn, heard, stamp, words_of

MORSE = {"A": ".-", "I": ".."}


@given(st.integers(48, 500), st.integers(48, 500), st.sampled_from([1, 3, 4]), st.booleans())
@settings(max_examples=10, deadline=None)
def test_a_label_is_at_the_corner_and_five_hundredths_of_the_shortest_side(
    height: int, width: int, channels: int, deep: bool
) -> None:
    records = np.full((2, height, width, channels), 90, np.uint16 if deep else np.uint8)
    out = drawn(records, words_of("both"))
    changed = (out != records).any((0, 3))
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    assert rows[-1] == height - 1 and columns[-1] == width - 1, "at an edge"
    ink = np.flatnonzero((out[0, ..., 0] == np.iinfo(records.dtype).max).any(1))
    assert ink[-1] - ink[0] + 1 >= 0.05 * min(height, width)
    assert (out[0, rows[0] :, columns[0] :, :3] % np.iinfo(records.dtype).max == 0).all(), "white on black"
    assert changed.mean() < 0.4 and (records == 90).all()


@pytest.mark.parametrize(
    ("height", "width", "channels", "law"), [(28, 28, 1, "cn"), (8, 200, 3, "cn"), (60, 20, 4, "cn"), (28, 28, 1, "eu")]
)
def test_a_picture_too_small_for_a_label_that_can_be_read_has_it_on_a_border_below(
    height: int, width: int, channels: int, law: str
) -> None:
    records = np.random.default_rng(0).integers(1, 200, (2, height, width, channels)).astype(np.uint8)
    out, text = drawn(records, words_of(law)), stamp(words_of(law))
    assert all(np.array_equal(visible.bare(one, height, width), was) for one, was in zip(out, records, strict=True))
    left = max(0, text.shape[1] - width) // 2
    assert np.array_equal(out[:, :height, left : left + width], records), "nothing of the picture is covered"
    assert out.shape == (2, height + text.shape[0], max(width, text.shape[1]), channels)
    assert ((out[0, height:, -text.shape[1] :, 0] == 255) == text).all()
    assert channels < 4 or (out[:, height:, :, 3] == 255).all()


def test_the_signs_are_four_and_no_two_alike() -> None:
    assert [len(GLYPHS[sign].split()) for sign in "AI生成"] == [ROWS] * 4
    assert all(len({len(row) for row in rows.split()}) == 1 for rows in GLYPHS.values())
    assert stamp("AI生成").shape[1] > 1.8 * stamp("AI-generated").shape[1]
    assert "AI" in words_of("cn") and "生成" in words_of("cn") and "生成" not in words_of("eu")


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("channels", [0, 2])
def test_the_rhythm_is_morse_for_a_i_with_the_gap_of_letters(rate: int, channels: int) -> None:
    sound = np.random.default_rng(0).uniform(-1, 1, (rate, channels) if channels else rate).astype(np.float32)
    out = heard(sound, rate)
    assert np.array_equal(out[-len(sound) :], sound) and out.dtype == np.float32
    label = out[: -len(sound)] if not channels else out[: -len(sound), 0]
    size = round(DOT * rate)
    loud = [np.abs(label[k * size : (k + 1) * size]).mean() > 0.05 for k in range(len(label) // size)]
    told = "".join("1" if on else "0" for on in loud).rstrip("0")
    wanted = "000".join("0".join("1" if sign == "." else "111" for sign in MORSE[letter]) for letter in "AI")
    assert told == wanted and len(told) * DOT == pytest.approx(1.32)
    assert np.abs(label).max() <= visible.LOUD + 1e-6
