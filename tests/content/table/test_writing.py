"""Columns of text that are learned: words follow each other and the other columns, and no long run comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from karat.content.codec import Contents
from karat.content.table.tables import Tables
from karat.content.table.writing.words import END, RUN, Chain, Runs, parted, run_of
from karat.content.table.writing.writer import Writer
from karat.errors import DataError, FitError, RunError
from karat.privacy import Budget, Source

GOOD, BAD = "lovely warm bright happy quick".split(), "awful cold dark sad slow".split()
THINGS = [
    f"{a}{b}"
    for a in ("bed", "bath", "sun", "tea", "back", "side")
    for b in ("room", "table", "door", "lamp", "chair", "set")
]


def stays(n: int = 900) -> pd.DataFrame:
    """Ratings, nights and what guests wrote: the words go with the rating, the length with the nights."""
    rng = np.random.default_rng(0)
    rating, nights = rng.integers(1, 6, n), rng.choice([1, 14], n)
    texts = []
    for stars, long in zip(rating, nights, strict=True):
        words = GOOD if stars > 3 else BAD
        parts = [
            f"the {rng.choice(THINGS)} by the {rng.choice(THINGS)} was {rng.choice(words)}"
            for _ in range(6 if long > 1 else 1)
        ]
        texts.append(", ".join(parts).capitalize() + ".")
    return pd.DataFrame({"rating": rating, "nights": nights, "review": texts})


@pytest.fixture(scope="module")
def contents() -> Contents:
    return Tables.read(stays(), {"learn": "review"})


@pytest.fixture(scope="module")
def codec(contents: Contents) -> Tables:
    return Tables.fit(contents, np.arange(len(contents.records)))


@pytest.fixture(scope="module")
def made(codec: Tables, contents: Contents) -> pd.DataFrame:
    points = codec.encode(contents.records, codec.spaces[0])
    frame: pd.DataFrame = codec.decode(points, codec.spaces[0], np.random.default_rng(1)).cells.to_pandas()
    return frame


def told(frame: pd.DataFrame, words: list[str]) -> Any:
    return frame["review"].str.contains("|".join(words))


def test_the_words_of_a_learned_column_go_with_the_other_columns_of_the_row(made: pd.DataFrame) -> None:
    high = made["rating"] > 3
    assert told(made[high], GOOD).mean() > 0.85 and told(made[high], BAD).mean() < 0.15
    assert told(made[~high], BAD).mean() > 0.85 and told(made[~high], GOOD).mean() < 0.15


def test_the_length_of_a_learned_column_goes_with_the_other_columns_of_the_row(made: pd.DataFrame) -> None:
    words = made["review"].str.split().str.len()
    assert words[made["nights"] == 1].median() == 7 and words[made["nights"] == 14].median() > 30


def test_made_text_is_written_as_real_text_is(made: pd.DataFrame) -> None:
    assert made["review"].str.match(r"The \w+ by the \w+ ").mean() > 0.8
    assert (made["review"].str.strip() == made["review"]).all() and (made["review"] != "").all()


def test_no_run_of_eight_words_comes_back_that_fewer_than_three_rows_hold(made: pd.DataFrame) -> None:
    def runs(texts: pd.Series) -> list[set[tuple[str, ...]]]:
        split = [parted(text) for text in texts]
        return [{tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)} for words in split]

    rows = pd.Series([run for each in runs(stays()["review"]) for run in each]).value_counts()
    rare = set(rows[rows < 3].index)
    assert len(rare) > 1000
    assert not rare & {run for each in runs(made["review"]) for run in each}


def test_what_was_learned_of_text_is_saved_and_makes_the_same_again(
    codec: Tables, made: pd.DataFrame, contents: Contents
) -> None:
    again = Tables.restore(json.loads(json.dumps(codec.state())))
    points = codec.encode(contents.records, codec.spaces[0])
    assert again.decode(points, codec.spaces[0], np.random.default_rng(1)).cells.to_pandas().equals(made)


@pytest.mark.parametrize("part", ["words", "triples", "counts", "weights", "ends", "copies", "beside", "bits"])
def test_what_does_not_fit_together_is_refused(codec: Tables, part: str) -> None:
    state = codec.layout.writers[0].state()
    broken = {"words": state["words"][:-3], "beside": state["beside"][:-1] + [[999]], "bits": 0}
    with pytest.raises((RunError, ValueError)):  # which the loading of a run makes one line
        Writer.restore({**state, part: broken.get(part, state["ends"] if part != "ends" else state["copies"])})


def test_more_bits_than_there_are_lay_nothing_out(codec: Tables) -> None:
    with pytest.raises(RunError, match="fit together"):
        Writer.restore({**codec.layout.writers[0].state(), "bits": 10**12})


def test_text_is_written_into_no_column_that_was_not_to_be_learned(codec: Tables) -> None:
    state = json.loads(json.dumps(codec.state()))
    state["layout"]["writers"][0]["name"] = "rating"
    with pytest.raises(RunError, match="other columns"):
        Tables.restore(state)


def test_a_judge_sees_the_length_and_the_topic_of_text_that_is_learned(codec: Tables, contents: Contents) -> None:
    view = codec.view(contents.records)
    names = view.columns.names
    assert "review: number of words" in names and "review: topic 1" in names
    topic, rating = (view.values[:, names.index(name)] for name in ("review: topic 1", "rating"))
    assert abs(np.corrcoef(topic, rating > 3)[0, 1]) > 0.9


def test_text_that_is_not_learned_is_filled_as_before() -> None:
    contents = Tables.read(stays(), {})
    assert not Tables.fit(contents, np.arange(len(contents.records))).layout.writers
    assert any("data.learn=review" in note for note in contents.facts["notes"])


def test_a_schema_asks_for_text_to_be_learned(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("[columns]\nreview = { learn = true }\n")
    read = Tables.read(stays(), {"schema": str(tmp_path / "s.toml")})
    assert [column.name for column in read.records.facts.schema.columns if column.learn] == ["review"]
    (tmp_path / "s.toml").write_text("[columns]\nrating = { learn = true }\n")
    with pytest.raises(FitError, match="learn = true is for columns of kind"):
        Tables.read(stays(), {"schema": str(tmp_path / "s.toml")})


def test_a_column_to_learn_must_be_one_of_text() -> None:
    with pytest.raises(DataError, match="wanted columns of text"):
        Tables.read(stays(), {"learn": "rating"})
    with pytest.raises(DataError, match="'revew', which is no column; the nearest is 'review'"):
        Tables.read(stays(), {"learn": "revew"})


def test_what_no_judge_sees_is_no_target() -> None:
    with pytest.raises(DataError, match="target is 'review', of kind text"):
        Tables.read(stays(), {"learn": "review", "target": "review"})
    with pytest.raises(DataError, match="target is 'hotel', of kind constant"):
        Tables.read(stays().assign(hotel="Ritz"), {"target": "hotel"})


def test_epsilon_refuses_text_that_is_learned(contents: Contents) -> None:
    with pytest.raises(FitError, match="epsilon does not allow"):
        Tables.fit_discreetly(contents, np.arange(900), Budget.of(1.0, 1e-6), Source(0))


def test_text_in_which_hardly_a_word_repeats_is_refused_with_what_to_do() -> None:
    frame = pd.DataFrame({"a": range(60), "t": [f"w{i}x v{i}y u{i}z q{i}p r{i}s" for i in range(60)]})
    contents = Tables.read(frame, {"learn": "t"})
    with pytest.raises(FitError, match="too few to learn to write from"):
        Tables.fit(contents, np.arange(60))


def test_text_of_a_script_without_spaces_is_parted_into_characters() -> None:
    assert parted("房间很好, 早餐 ok.") == [" 房", "间", "很", "好", ",", " 早", "餐", " ok", "."]
    assert "".join(parted("a  b\tc (d)")) == " a  b\tc (d)"


def test_a_copy_is_twice_as_long_where_a_word_is_a_character() -> None:
    assert run_of(parted("包装非常好物流非常快ok")) == 2 * RUN and run_of(parted("the parcel came late 包装")) == RUN


def chain(n: int = 400) -> tuple[Chain, list[list[int]]]:
    rng = np.random.default_rng(3)
    coded = [rng.integers(1, 6, rng.integers(1, 9)).tolist() for _ in range(n)]
    return Chain.fit(coded, 7), coded


def test_chances_behind_any_two_words_sum_to_one() -> None:
    model, _ = chain()
    first, second = np.divmod(np.arange(49), 7)
    chances = model.after(first, second)
    assert np.allclose(chances.sum(1), 1) and (chances[:, :6] > 0).all() and (chances[:, 6] == 0).all()


def test_words_are_drawn_with_their_chances() -> None:
    model, _ = chain()
    n = 60_000
    drawn = np.bincount(model.next(np.full(n, 2), np.full(n, 4), np.random.default_rng(0)), minlength=7)
    expected = n * model.after(np.array([2]), np.array([4]))[0]
    assert ((drawn - expected) ** 2 / np.maximum(expected, 1)).sum() < 30


def test_a_factor_makes_a_word_as_much_likelier_as_it_says() -> None:
    model, _ = chain()
    tilt = np.zeros((20_000, 6))
    tilt[:, 3] = np.log(4.0)
    none = Runs(np.zeros(64, bool), 7, RUN)
    first = [
        row[0] if row else END for row in model.write(tilt, np.zeros(1, np.float32), np.random.default_rng(0), none)
    ]
    plain = model.after(np.array([6]), np.array([6]))[0] * np.exp(np.append(tilt[0], 0))
    assert abs(np.mean(np.array(first) == 3) - plain[3] / plain.sum()) < 0.015
