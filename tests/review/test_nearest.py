"""The training record beside a thing that is looked at is the one that looks most like it, whatever its kind."""

from __future__ import annotations

import numpy as np
import pytest

from karat.content.showing import Passage, Pixels, Row, Shown, Sound
from karat.review.nearest import Nearest

RNG = np.random.default_rng(0)


def pixels(shape: tuple[int, int, int]) -> Pixels:
    return Pixels(RNG.integers(0, 256, shape, np.uint8))


PICTURES = [pixels((28, 28, 3)) for _ in range(40)]
LARGE = [pixels((97, 64, 3)) for _ in range(20)]
SOUNDS = [
    Sound(np.sin(np.arange(n) * pitch)[:, None].astype(np.float32), 8000)
    for n, pitch in zip(range(900, 2900, 100), np.linspace(0.1, 3, 20), strict=True)
]
ROWS = [Row((("age", str(20 + i)), ("city", "Ulm" if i % 2 else "Bonn"), ("note", None))) for i in range(40)]
PASSAGES = [Passage(text) for text in ("the cat sat on the mat", "stocks fell on Monday", "很长的话说了很久", "")]


@pytest.mark.parametrize(
    "records", [PICTURES, LARGE, SOUNDS, ROWS, PASSAGES], ids=["pictures", "large", "sounds", "rows", "text"]
)
def test_a_record_is_nearest_to_itself_at_no_distance(records: list[Shown]) -> None:
    search = Nearest(records)
    for i in (0, len(records) // 2, len(records) - 1):
        first, second = search.of(records[i], 2)
        assert first.at == i and first.distance < 0.02 < second.distance


def test_what_differs_a_little_is_nearest_to_what_it_was() -> None:
    noisy = Pixels((PICTURES[7].pixels * 0.9).astype(np.uint8))
    assert Nearest(PICTURES).of(noisy)[0].at == 7
    louder = Sound(SOUNDS[3].wave * 0.7, 8000)
    assert Nearest(SOUNDS).of(louder)[0].at == 3
    assert Nearest(PASSAGES).of(Passage("The cat sat on a mat"))[0].at == 0
    assert Nearest(ROWS).of(Row((("age", "31.2"), ("city", "Ulm"), ("note", None))))[0].at == 11


def test_columns_that_the_records_have_not_are_passed_over_and_another_form_finds_nothing() -> None:
    labelled = Row((*ROWS[5].cells, ("made by", "AI")))
    assert Nearest(ROWS).of(labelled)[0].at == 5
    assert Nearest(PICTURES).of(pixels((4, 5, 3))) == []
    assert Nearest(PICTURES).of(Passage("no picture")) == []
