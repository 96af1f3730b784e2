"""The measures of text on cases that can be worked out by hand, and on text that nobody should trip over."""

from __future__ import annotations

import math

import numpy as np
import pytest

from karat.assays.text import bits, copying, disclosure, fluency
from karat.assays.text.band import banded, mean_error
from karat.assays.text.suffixes import matches
from karat.assays.text.texts import Case, examine
from karat.assays.text.variety import distinct, frontier, self_bleu
from karat.assays.text.writing import dense, joined, openings, terms, words
from karat.errors import DataError
from karat.views import TextView


def test_matches_are_those_of_a_search_at_every_place() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        letters = int(rng.integers(2, 5))
        query, base = (rng.integers(0, letters, int(rng.integers(1, 40))) for _ in range(2))
        for text in (query, base):
            text[rng.random(len(text)) < 0.1] = -1
            text[-1] = -1
        length, place = matches(query, base)
        for i in range(len(query)):
            best = 0
            for j in range(len(base)):
                k = 0
                while i + k < len(query) and j + k < len(base) and query[i + k] == base[j + k] != -1:
                    k += 1
                best = max(best, k)
            assert length[i] == best
            if best:
                assert (query[i : i + best] == base[place[i] : place[i] + best]).all()


def test_matches_are_the_same_when_the_base_is_searched_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    query, base = (joined("".join(rng.choice(list("ab "), 30)) for _ in range(20))[0] for _ in range(2))
    whole, _ = matches(query, base)
    monkeypatch.setattr("karat.assays.text.suffixes.BLOCK", 70)
    parts, where = matches(query, base)
    assert (whole == parts).all()
    for i in np.flatnonzero(parts):
        assert (query[i : i + parts[i]] == base[where[i] : where[i] + parts[i]]).all()


def test_distinct_n_of_the_papers_example() -> None:
    ids = np.array([[0, 1, 0, 1]])
    assert distinct(ids, 1) == 0.5 and distinct(ids, 2) == pytest.approx(2 / 3)


def test_self_bleu_is_1_for_equal_passages_and_small_for_others() -> None:
    assert self_bleu(np.tile(np.arange(10), (5, 1))) == pytest.approx(1.0)
    assert self_bleu(np.arange(50).reshape(5, 10)) < 0.02


def test_mauve_of_equal_histograms_is_1_and_of_disjoint_ones_almost_0() -> None:
    assert frontier(np.array([3.0, 5, 2]), np.array([3.0, 5, 2])) == pytest.approx(1.0)
    # 1 / C(10, 5) in the continuum; 25 mixtures come near it
    assert frontier(np.array([1.0, 0]), np.array([0, 1.0])) == pytest.approx(1 / math.comb(10, 5), abs=2e-3)


def test_chances_of_the_counts_sum_to_1() -> None:
    text = "she sells sea shells by the sea shore. " * 3 + "the shells she sells are sea shells, surely. " * 2
    judge = fluency.Counted([text], 4)
    known = [chr(c) for c in judge.known if c >= 0]
    for start in ("", "she", "xq", "sea s"):
        each = judge.bits([start + c for c in known])[0]
        _, starts, sizes = judge.bits([start + c for c in known])
        last = each[starts + sizes - 1]
        closed = judge.bits([start])[0][-1]  # its end
        unknown = judge.bits([start + "\u2603"])[0][len(start)]
        assert sum(2.0 ** -np.append(last, [closed, unknown])) == pytest.approx(1.0, abs=1e-6)


def test_a_uniform_text_has_the_bits_of_its_letters() -> None:
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(list("abcdefgh"), 40_000))
    judge = fluency.Counted([text[:30_000]], 2)
    assert judge.per_character([text[30_000:]])[0] == pytest.approx(3.0, abs=0.02)


def test_loops_are_found_where_they_are() -> None:
    assert fluency.loop("he said that " + "again and " * 5) == (12, 51, 10)
    assert fluency.loop("to be or not to be, that is the question: to be or not to be") is None
    assert fluency.loop("-" * 30) == (0, 30, 1)
    assert fluency.loop("") is None


def test_words_are_ideographs_where_nobody_leaves_spaces() -> None:
    assert words("Don't STOP. 生成式AI") == ["don't", "stop", "生", "成", "式", "ai"]
    assert terms("生成式AI is") == ["生成", "成式", "ai", "is"]
    assert dense(["生成式人工智能"]) == 1 and dense(["text"]) == 0 and dense([""]) == 0


def test_openings_are_speakers_or_first_words() -> None:
    assert openings("ROMEO:\nHow now\n\n张三：你好\n生成式") == ["ROMEO:", "How", "张三:", "生成"]


def test_what_lies_between_two_real_scores_is_no_fault() -> None:
    rng = np.random.default_rng(0)
    made, unseen, train = (rng.normal(m, 1, 1000) for m in (1.0, 0.0, 2.0))
    assert banded((made, None), (unseen, None), (train, None)).z == 0
    far = banded((made + 4, None), (unseen, None), (train, None))
    assert (
        far.z > 5
        and far.gap == pytest.approx(3, abs=0.2)
        and far.limit(0.1).broken(far.value)
        and not far.limit(10).broken(far.value)
    )


def test_passages_of_one_document_count_for_less() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=20), 50) + rng.normal(scale=0.01, size=1000)
    assert mean_error(x, np.repeat(np.arange(20), 50))[1] > 5 * mean_error(x, None)[1]


def test_personal_data_that_comes_back_is_told_and_masked() -> None:
    train = TextView(tuple(f"Write to person{i}@mail.example or call +44 20 7946 {i:04d}." for i in range(200)))
    unseen = TextView(tuple(f"Write to other{i}@mail.example or call +44 20 7000 {i:04d}." for i in range(200)))
    told = disclosure.findings(Case(train, unseen, train.take(np.arange(40))))[0]
    assert told.raised and told.value == 1 and told.real == 0
    assert told.detail.known == 400 and all("person0@mail" not in r.string for r in told.detail.repeats)
    fine = disclosure.findings(Case(train, unseen, unseen))[0]
    assert not fine.raised and fine.value == 0
    assert disclosure.findings(Case(TextView(("none",) * 30), unseen, unseen)) == []


def test_bits_stand_beside_counts_and_packers() -> None:
    rng = np.random.default_rng(0)
    held = ["".join(rng.choice(list("abcd"), 4000))]
    known = ["".join(rng.choice(list("abcd"), 20_000))]
    good, bad = ([np.full(4000, nats)] for nats in (2 * math.log(2), 3 * math.log(2)))
    told = bits.findings(good, held, known)
    assert [f.name for f in told] == ["bits per character", "bits per byte"]
    assert told[0].value == pytest.approx(2) and told[0].real == pytest.approx(2.05, abs=0.1) and not told[0].raised
    assert [row[0] for row in told[0].detail.rows] == [
        "this model",
        "counts of 7 characters",
        "xz after the training text",
        "gzip",
    ]
    assert bits.findings(bad, held, known)[0].raised


def test_altered_shingles_still_point_to_their_passage() -> None:
    rng = np.random.default_rng(0)
    letters = list("abcdefghijklmnopqrstuvwxyz ")
    train = TextView(tuple("".join(rng.choice(letters, 300)) for _ in range(50)))
    index = copying.Shingles(train, 12)
    altered = train.texts[7].upper().replace("A", "xx")
    score, who = index.likeness(TextView((altered, "nothing of this is there at all, not one bit")))
    assert who[0] == 7 and score[0] > 0.2 and score[1] == 0
    assert index.likeness(train, np.arange(50))[0].max() == 0


@pytest.mark.parametrize("text", ["\x00" * 40, "\ud800 half", "a", "😀" * 30, "١٢٣ عربي", "x" * 3000])
def test_odd_text_is_judged_without_a_fall(text: str) -> None:
    plain = tuple(f"The {w} man number {i} went home." for i, w in enumerate(["old", "young", "tall"] * 10))
    findings = examine(TextView(plain), TextView(plain[::-1]), TextView((text,) * 15 + plain[:15]))
    assert {"fluency", "verbatim run"} <= {f.name for f in findings}


def test_too_few_passages_are_refused_in_words() -> None:
    good = TextView(tuple(f"passage {i}" for i in range(30)))
    with pytest.raises(DataError, match="3 made passages with text are too few"):
        examine(good, good, TextView(("a", "b", "c", " ")))
