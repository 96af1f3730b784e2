"""Watermarks are found by their key, by no other, and in nothing that has none; and they leave what is drawn as it was."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from drawings import pictures
from sounds import tone

import karat
from karat import watermarks
from karat.content import visible
from karat.content.audio.sounds import Sounds
from karat.content.audio.spectrum import Mel
from karat.content.image.images import Images
from karat.content.table.tables import Tables
from karat.content.text.texts import Texts
from karat.content.text.tokenizer import Letters
from karat.errors import DataError, FitError, RunError
from karat.families.generator import Sampling
from karat.run import Run
from karat.watermarks.detection import detection
from karat.watermarks.images import ImageWatermark
from karat.watermarks.lattice import chance_of
from karat.watermarks.sounds import SoundWatermark
from karat.watermarks.tables import DRAWS, TableWatermark
from karat.watermarks.texts import NONCES, TextWatermark, p_value

KEY, OTHER = b"k" * 32, b"o" * 32


def text_mark(key: bytes = KEY) -> TextWatermark:
    letters = Letters("abcdefghijklmnopqrstuvwxyz")
    codec = SimpleNamespace(
        density=1.0, opening=lambda text: torch.tensor([1, *letters.codes(np.array(list(map(ord, text))))])
    )
    return TextWatermark(cast(Texts, codec), key)


def written(mark: TextWatermark, n: int, length: int, logits: torch.Tensor) -> list[str]:
    """Texts drawn by the mark, each letter with the chances of `logits` [26]."""
    rng = torch.Generator().manual_seed(0)
    draw = Sampling(chooser=mark.writing).drawing(torch.ones(n, 1, dtype=torch.long), rng)
    steps = [draw(logits.expand(n, -1), torch.rand(n, generator=rng), torch.arange(n)) for _ in range(length)]
    return ["".join(chr(93 + code) for code in row) for row in torch.stack(steps, 1).tolist()]


def letters() -> torch.Tensor:
    shares = torch.zeros(30)
    shares[4:] = torch.linspace(1, 5, 26)
    return shares.log()


def test_a_marked_text_is_found_by_its_key_alone_and_its_letters_come_as_often_as_they_should() -> None:
    texts = written(text_mark(), 40, 80, letters())
    assert text_mark().detect(texts).alone >= 38
    assert not text_mark(OTHER).detect(texts).found
    counts = np.bincount([ord(c) - 97 for text in texts for c in text], minlength=26) / 3200
    assert np.abs(counts - np.arange(1, 5.01, 4 / 25) / 78).max() < 0.018  # four standard deviations of the commonest


def test_a_text_without_a_mark_has_any_p_value_as_often_as_another() -> None:
    p = np.array([p_value(np.random.default_rng(i).random((NONCES, 50))) for i in range(400)])
    assert abs((p < 0.1).mean() - 0.1) < 0.06
    assert abs(p.mean() - 0.5) < 0.06


def test_what_repeats_itself_counts_once() -> None:
    found = text_mark().detect(["abcdefghij" * 50])
    assert text_mark().draws("abcdefghij" * 50)[1].shape == (NONCES, 10)
    assert not found.found


def test_the_likeliest_token_leaves_a_watermark_nothing_to_choose() -> None:
    with pytest.raises(FitError, match="temperature 0"):
        text_mark().asked(karat.request.Request(sampling=Sampling(temperature=0)))


def table_mark(columns: int, key: bytes = KEY) -> TableWatermark:
    return TableWatermark(cast(Tables, SimpleNamespace(layout=SimpleNamespace(coded=range(columns)))), key)


def picked(mark: TableWatermark, draws: list[np.ndarray], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows picked from the draws, and from which each."""
    rng = np.random.default_rng(seed)
    best = np.stack([mark.score(one, rng) for one in draws]).argmax(0)
    return np.stack(draws)[best, np.arange(len(best))], best


def test_a_marked_table_is_found_by_its_key_alone_in_any_order_and_with_a_tenth_of_it_lost() -> None:
    rng = np.random.default_rng(0)
    rows, _ = picked(table_mark(10), [rng.integers(0, 12, (200, 10)) for _ in range(DRAWS)])
    assert table_mark(10).p_value(table_mark(10).bits(rows)) < 1e-9
    assert table_mark(10, OTHER).p_value(table_mark(10, OTHER).bits(rows)) > 1e-3
    hurt = rng.permutation(rows)[:180]
    hurt = np.where(rng.random(hurt.shape) < 0.1, rng.integers(0, 12, hurt.shape), hurt)
    assert table_mark(10).p_value(table_mark(10).bits(hurt, absent=[3])) < 1e-3


def test_rare_rows_are_picked_no_oftener_than_common_ones() -> None:
    rng = np.random.default_rng(1)
    draws = [np.where(rng.random((4000, 1)) < 0.5, 0, rng.integers(1, 40, (4000, 6))) for _ in range(DRAWS)]
    rows, best = picked(table_mark(6), draws)
    assert abs((rows[:, 0] == 0).mean() - 0.5) < 0.03  # half of all rows are the same row
    assert np.abs(np.bincount(best) / 4000 - 1 / DRAWS).max() < 0.03


def test_a_table_of_one_common_row_carries_no_mark() -> None:
    mark = table_mark(3)
    assert mark.p_value(mark.bits(np.zeros((500, 3), np.int64))) == 1.0


def image_mark(key: bytes = KEY) -> ImageWatermark:
    return ImageWatermark(Images(3, 48, 48), key)


def scenes(n: int) -> np.ndarray:
    """Pictures with something going on everywhere."""
    busy = np.random.default_rng(5).normal(0, 12, (n, 48, 48, 1))
    return np.clip(pictures(n, 48, 48) + busy, 0, 255).astype(np.uint8)


def test_a_marked_picture_is_found_by_its_key_alone_also_in_a_part_of_it() -> None:
    real = scenes(12)
    made = image_mark().embedded(real, np.random.default_rng(0))
    assert image_mark().detect(made).alone >= 11
    assert not image_mark(OTHER).detect(made).found
    assert not image_mark().detect(real).found
    assert image_mark().detect(made[:, 5:43, 7:45]).found
    assert np.abs(made.astype(int) - real).max() <= 8


def strokes(n: int, seed: int = 6) -> np.ndarray:
    """Pictures [n, 28, 28, 1] of a bright ring on black, here and there, as digits are."""
    rng = np.random.default_rng(seed)
    at, radius = rng.uniform(11, 16, (2, n, 1, 1)), rng.uniform(4, 7, (n, 1, 1))
    y, x = np.mgrid[:28, :28]
    off = np.abs(np.hypot(y - at[0], x - at[1]) - radius)
    return (np.clip(2 - off, 0, 1) * 255).astype(np.uint8)[..., None]


def digit_mark(key: bytes = KEY) -> ImageWatermark:
    return ImageWatermark(Images(1, 28, 28), key)


def test_most_small_pictures_of_strokes_are_found_alone_and_their_ground_stays_black() -> None:
    real = strokes(60)
    made = digit_mark().embedded(real, np.random.default_rng(0))
    found = digit_mark().detect(made)
    assert found.alone >= 35 and found.p_value < 1e-9 and found.items == 60
    assert (made[:, 0] == 0).all() and (made[:, -1] == 0).all()


@pytest.mark.parametrize(("side", "weak"), [(28, True), (32, False)])
def test_that_a_small_picture_alone_may_not_be_found_is_said(side: int, weak: bool) -> None:
    note = ImageWatermark(Images(1, side, side), bytes(32)).note()
    assert (note is not None) == weak and (note is None or "one picture of 28x28 alone" in note)


def test_many_pictures_show_together_what_none_shows_alone() -> None:
    made = digit_mark().embedded(strokes(300), np.random.default_rng(0))
    hurt = np.clip(made + np.random.default_rng(1).normal(0, 9, made.shape), 0, 255).astype(np.uint8)
    found = digit_mark().detect(hurt)
    assert found.found and found.alone <= 60
    assert not digit_mark(OTHER).detect(hurt).found


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_few_pictures_in_an_array_are_read_too(suffix: str, tmp_path: Path) -> None:
    made, path = digit_mark().embedded(strokes(9), np.random.default_rng(0)), tmp_path / f"x{suffix}"
    np.save(path, made[..., 0]) if suffix == ".npy" else np.savez(path, images=made[..., 0])
    read = digit_mark().read(path)
    assert len(read) == 9 and (np.stack(list(read)) == made).all()
    np.save(tmp_path / "odd.npy", np.full((9, 28, 28), np.nan))
    with pytest.raises(DataError):
        digit_mark().read(tmp_path / "odd.npy")


def test_what_pictures_without_a_mark_have_in_common_is_not_taken_for_one() -> None:
    alike = strokes(80)
    alike[:, 8:20, 8:20] = strokes(1)[:, 8:20, 8:20]  # all of them have the same middle
    p = np.array([digit_mark(bytes([k]) * 32).detect(alike).p_value for k in range(40)])
    assert (p < 0.05).mean() <= 0.2 and p.min() > 1e-4


def test_the_chance_of_a_sum_of_cosines_is_what_draws_show() -> None:
    rng = np.random.default_rng(0)
    weights = rng.random((40_000, 7))
    p = chance_of((weights * np.cos(2 * np.pi * rng.random(weights.shape))).sum(1), weights)
    for share in (0.2, 0.05, 0.01):
        assert abs((p <= share).mean() / share - 1) < 0.2, share


def test_what_is_black_all_over_stays_so() -> None:
    black = np.zeros((2, 48, 48, 3), np.uint8)
    assert (image_mark().embedded(black, np.random.default_rng(0)) == 0).all()
    assert not image_mark().detect(black).found


def sound_mark(key: bytes = KEY) -> SoundWatermark:
    return SoundWatermark(Sounds(1, Mel.shaped(8000, 1.0)), key)


def test_a_marked_sound_is_found_by_its_key_alone_also_without_its_beginning() -> None:
    rng, mark = np.random.default_rng(0), sound_mark()
    real = np.zeros((4, mark.codec.mel.samples, 1), np.float32)
    for i, one in enumerate(real):
        one[:8000, 0] = tone(rng, i % 3, seconds=1.0)[:8000] + rng.normal(0, 0.05, 8000)
    made = mark.embedded(real, np.random.default_rng(0))
    assert mark.detect(made).alone == 4
    assert not sound_mark(OTHER).detect(made).found
    assert not mark.detect(real).found
    assert mark.detect(made[:, 900:]).found
    assert (made[:, 8000:] == 0).all()


def test_a_visible_label_below_a_small_picture_or_before_a_sound_hides_no_mark() -> None:
    made = digit_mark().embedded(strokes(30), np.random.default_rng(0))
    for words in ("AI生成", "AI-generated"):
        shown = visible.drawn(made, words)
        assert shown.shape[1] > 28 and digit_mark().detect(shown).p_value < 1e-9
    assert visible.bare(made[0], 28, 28).shape == made[0].shape
    rng, mark = np.random.default_rng(0), sound_mark()
    waves = np.zeros((2, mark.codec.mel.samples, 1), np.float32)
    for i, one in enumerate(waves):
        one[:8000, 0] = tone(rng, i, seconds=1.0)[:8000] + rng.normal(0, 0.05, 8000)
    spoken = [visible.heard(one, 8000) for one in mark.embedded(waves, rng)]
    assert mark.detect(spoken).alone == 2
    assert len(visible.unheard(waves[0], 8000)) == len(waves[0])


def test_equal_evidence_of_many_items_adds_up_and_of_none_is_none() -> None:
    assert detection("", np.full(100, 0.02)).found
    assert not detection("", np.full(100, 0.5)).found
    assert not detection("", np.zeros(0)).found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("marked")
    letters = np.random.default_rng(0).choice(list("abcdefghijklmnopqrstuvwxyz "), (300, 150))
    lines = ["".join(line) + "." for line in letters]
    (folder / "lines.txt").write_text("\n".join(lines))
    karat.train(folder / "lines.txt", out=folder / "run", recipe="ngram", set=["data.documents=lines"])
    return Run.open(folder / "run")


def test_a_make_has_a_watermark_only_if_it_is_asked_for_and_its_key_is_for_the_owner_alone(
    run: Run, tmp_path: Path
) -> None:
    karat.make(run.path, n=20, out=tmp_path / "plain.jsonl")
    assert not (run.path / "watermark.key").exists()
    assert watermarks.detect(tmp_path / "plain.jsonl", run) == []
    karat.make(run.path, n=1, out=tmp_path / "first.jsonl", watermark=True)
    key = run.path / "watermark.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    said = "".join(file.read_text() for file in tmp_path.iterdir())
    assert key.read_bytes().hex() not in said
    key.write_bytes(KEY)  # of another key each time, one test in a thousand finds a mark in what has none
    karat.make(run.path, n=20, out=tmp_path / "marked.jsonl", watermark=True)
    karat.make(run.path, n=20, out=tmp_path / "again.jsonl", watermark=True)
    assert (tmp_path / "marked.jsonl").read_bytes() == (tmp_path / "again.jsonl").read_bytes()
    (found,) = watermarks.detect(tmp_path / "marked.jsonl", run)
    assert found.found
    assert not watermarks.detect(tmp_path / "plain.jsonl", run)[0].found
    assert json.loads((tmp_path / "marked.jsonl").read_text().splitlines()[0])
    key.write_bytes(b"short")
    with pytest.raises(RunError, match="holds 5 bytes"):
        watermarks.detect(tmp_path / "marked.jsonl", run)
    key.write_bytes(KEY)


def test_a_folder_of_short_texts_shows_together_what_no_file_shows_alone(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run.path / "watermark.key").write_bytes(KEY)
    for name, watermark in (("marked", True), ("plain", False)):
        (folder := tmp_path / name).mkdir()
        karat.make(run.path, n=40, out=tmp_path / f"{name}.txt", watermark=watermark)
        whole = (tmp_path / f"{name}.txt").read_text()
        for i in range(40):
            (folder / f"{i}.txt").write_text(whole[100 * i : 100 * i + 12])
    assert karat.check(tmp_path / "plain", run=run.path).together == ()
    found = karat.check(tmp_path / "marked", run=run.path)
    ((folder, mark),) = found.together
    assert folder == tmp_path / "marked" and mark.model == run.id
    assert "together they bear the watermark" in capsys.readouterr().out
    assert found.states.get("stripped", 0) < 10, "alone they say little"
