"""The best of what is made, as many of each class as were asked for, and nothing that a person or a list calls bad."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import karat
from karat.curation import quotas
from karat.curation.copies import PLANTED
from karat.curation.copies.passages import Passages
from karat.curation.copies.points import Searched
from karat.curation.learned import Learned
from karat.curation.ranking import Ranking
from karat.curation.wording import Blocklist, personal
from karat.data import load
from karat.errors import FitError
from karat.request import Request
from karat.views import Columns, Points, TableView, TextView


class Shown:
    """Candidates of which a gate sees only the view."""

    def __init__(self, view: TableView) -> None:
        self.view = view


def numbers(values: np.ndarray) -> TableView:
    return TableView(Columns(("a", "b"), ((), ())), values)


def test_the_best_half_holds_few_of_what_is_not_like_real_records() -> None:
    rng = np.random.default_rng(0)

    def made(n: int) -> np.ndarray:  # half like real rows, half with the two columns apart
        x = rng.normal(size=n)
        off = np.arange(n) % 2 * rng.normal(0, 2, n)
        return np.column_stack([x, x + 0.1 * rng.normal(size=n) + off])

    x = rng.normal(size=1500)
    real = numbers(np.column_stack([x, x + 0.1 * rng.normal(size=1500)]))
    ranking = Ranking(real, [numbers(made(1500))], 0.5, "", 0)
    kept = ranking.reasons(Shown(numbers(made(1000)))) == ""  # type: ignore[arg-type]
    assert abs(kept.mean() - 0.5) < 0.06 and ranking.auc > 0.6
    assert kept[0::2].mean() > 0.8 and kept[1::2].mean() < 0.25


def test_as_many_of_each_class_are_made_as_were_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = {"kind": rng.choice(["<=50K", ">50K"], 300, p=[0.9, 0.1]), "n": rng.normal(5, 1, 300).round(2)}
    pd.DataFrame(rows).to_csv(tmp_path / "d.csv", index=False)
    run = karat.train(tmp_path / "d.csv", out=tmp_path / "r", threads=1, set=["model.rounds=2"])
    (file,) = karat.make(run, classes="kind: >50K=30, <=50K=10", out=tmp_path / "x.csv", threads=1)
    assert Counter(pd.read_csv(file).kind) == {">50K": 30, "<=50K": 10}
    with pytest.raises(FitError, match="asks for 40 in all"):
        karat.make(run, n=9, classes="kind: >50K=30, <=50K=10", out=tmp_path / "y.csv", threads=1)


@pytest.mark.parametrize("text", ["cat", "cat=0", "cat=3, cat=4", "=3", ""])
def test_what_names_no_class_and_number_is_refused(text: str) -> None:
    with pytest.raises(FitError, match="--classes"):
        quotas.requests(Request(3), text, None)


def test_classes_of_a_table_without_a_target_ask_for_the_column() -> None:
    with pytest.raises(FitError, match="--classes cat=3: of which column"):
        quotas.requests(Request(3), "cat=3", None, columns=True)
    assert [one.given for one in quotas.requests(Request(3), "cat=3", "kind", columns=True)] == ['"kind"="cat"']


def test_a_listed_term_is_met_however_it_is_written_and_not_inside_another_word() -> None:
    gate = Blocklist(["bad word", "冰毒"], "own")
    assert all(gate.pattern.search(quote) for quote in ("a bad word.", "bad words", "出售冰毒吗", "他说bad word了"))
    assert not gate.pattern.search("a forbad wordy text")
    with pytest.raises(FitError, match="holds no terms"):
        Blocklist(["# nothing", " "], "own")


def test_a_gate_that_cannot_tell_bad_files_says_which_target_it_misses(tmp_path: Path) -> None:
    rng, words = np.random.default_rng(2), ["".join(t) for t in itertools.product("abcd", repeat=3)]
    for side in ("good", "bad"):
        (tmp_path / "files" / side).mkdir(parents=True)
        for i in range(30):
            (tmp_path / "files" / side / f"{i}.txt").write_text(" ".join(rng.choice(words, 40)))
    (tmp_path / "book.txt").write_text("\n\n".join(" ".join(rng.choice(words, 40)) for _ in range(80)))
    assert (
        "; missed: 95% of the bad ones dropped" in Learned(load(tmp_path / "book.txt").codec, tmp_path / "files").note()
    )


def test_personal_data_in_a_text_are_named_by_kind_and_other_numbers_are_none() -> None:
    held = {
        "write to jo@mail.example.org": "mail address",
        "call +44 20 7946 0958 now": "telephone number",
        "电话13912345678": "telephone number",
        "pay 4111 1111 1111 1111": "card number",
        "身份证11010519491231002X": "identity number",
    }
    for text, kind in held.items():
        assert personal(text).startswith(kind), text
    assert [personal(text) for text in ("on 2024-01-31 at 10:20:30", "ISBN 978-0-13-468599", "1234567890123")] == [
        ""
    ] * 3


def test_altered_copies_of_text_are_found_and_unseen_text_is_not() -> None:
    rng = np.random.default_rng(3)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), 5)) for _ in range(400)]
    train, unseen = (TextView(tuple(" ".join(rng.choice(words, 60)) for _ in range(250))) for _ in range(2))
    gate = Passages.restore(Passages.fit(train, 0).arrays())
    for way, view in PLANTED[TextView](train, rng).items():
        assert gate.copied(view).mean() >= 0.95, way
    assert gate.copied(unseen).mean() <= 0.01


def test_altered_copies_of_pictures_are_found_and_unseen_ones_are_not() -> None:
    rng = torch.Generator().manual_seed(0)
    smooth = torch.nn.AvgPool2d(5, 1, 2)
    train, unseen = (Points(smooth(torch.randn(n, 1, 16, 16, generator=rng)).mul(2).clamp(-1, 1)) for n in (400, 200))
    gate = Searched(train, 0)
    for way, view in PLANTED[Points](train.take(np.arange(60)), np.random.default_rng(0)).items():
        assert gate.copied(view).mean() >= 0.95, way
    assert gate.copied(unseen).mean() <= 0.02
