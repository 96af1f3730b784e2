"""Who sees only pictures or passages that were made: training records given back are a leak, a shifted hold-out is none."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from blobs import blobs
from cases import case
from sklearn.datasets import load_digits
from torch import Tensor

import karat.assays.table.membership as of_rows
import karat.assays.text.membership as of_text
from karat.assays import Finding
from karat.assays.neighbours import components
from karat.assays.points import membership
from karat.assays.points.embedded import Embedded
from karat.assays.points.points import Case as Judged
from karat.assays.references.points import REFERENCES
from karat.assays.references.reference import Case
from karat.assays.references.tables import copier
from karat.assays.table import linkage
from karat.assays.text.texts import Case as Read
from karat.data import load
from karat.views import Points, TextView

FOUND = load_digits()


def parts(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    order = torch.randperm(len(FOUND.images), generator=torch.Generator().manual_seed(seed))
    points = (torch.tensor(FOUND.images, dtype=torch.float32)[:, None] / 8 - 1)[order]
    return points[:900], points[900:1350], points[1350:]


@pytest.mark.parametrize("seed", range(3))
def test_training_pictures_given_back_are_a_leak_and_new_ones_are_not(seed: int) -> None:
    train, unseen, source = parts(seed)
    basis = components(train, 64)
    for name, leaks in (("oracle", False), ("bootstrap", True)):
        made = REFERENCES[name].make(Case(Points(train), Points(source), 440, np.random.default_rng(seed))).points
        told = membership.attacked(*(basis.of(x) for x in (train, unseen, made)), seed, len(train))
        assert told.raised is leaks and told.kind.feeds == "privacy", told.summary


def test_where_unseen_records_differ_of_themselves_nobody_can_tell() -> None:
    train, unseen, source = parts(0)
    shifted = unseen * 0.7
    basis = components(train, 64)
    told = membership.attacked(*(basis.of(x) for x in (train, shifted, source)), 0, len(train))
    assert math.isnan(told.value) and told.state == "cannot tell" and "of the time" in told.summary


def of_points(train: Tensor, unseen: Tensor, made: Tensor) -> Finding:
    sides = [Embedded(x, x.flatten(1)[:, :2], None, None) for x in (train, unseen, made)]
    return membership.findings(Judged(*sides, (), (), 0, None))[0]


def passages(n: int, seed: int) -> TextView:
    """Thirty words each, of 400 that are as common as words are."""
    rng = np.random.default_rng(seed)
    words = ["".join(np.random.default_rng(i).choice(list("aeioulnrst"), 3 + i % 6)) for i in range(400)]
    share = 1 / np.arange(1, 401)
    return TextView(tuple(" ".join(rng.choice(words, 30, p=share / share.sum())) for _ in range(n)))


def attacked(kind: str, copies: bool) -> Finding:
    """500 records to learn from, 1,000 others, and made ones: each of the first twice in the mean, or others again."""
    again = np.random.default_rng(0).integers(500, size=1000)
    if kind == "pictures":
        train, unseen, source = (x[:500] for x in (parts(0)[0], torch.cat(parts(0)[1:]), parts(0)[0][500:]))
        return of_points(train, unseen, train[again] if copies else source)
    if kind == "sounds":
        train = blobs(500, 0)
        return of_points(train, blobs(600, 1), train[again] if copies else blobs(500, 2))
    if kind == "texts":
        texts = passages(500, 0)
        return of_text.findings(Read(texts, passages(600, 1), texts.take(again) if copies else passages(500, 2)))[0]
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(0, 1, (2_000, 4)).round(3), columns=list("abcd"))
    frame["e"] = rng.choice(list("xyz"), 2_000)
    rows = load(frame).view("train")
    train = rows.take(np.arange(500))
    made = train.take(again) if copies else rows.take(np.arange(1_200, 1_700))
    return of_rows.findings(case(train, rows.take(np.arange(500, 1_100)), made))[0]


@pytest.mark.parametrize("kind", ["pictures", "sounds", "texts", "rows"])
def test_a_copier_gives_more_than_half_of_its_records_away_at_one_false_alarm_in_a_hundred(kind: str) -> None:
    leak, fine = attacked(kind, copies=True), attacked(kind, copies=False)
    assert leak.raised and leak.detail.found_at_false_alarm_rate["1.0%"][1] > 0.5, leak.summary
    share, low, high = fine.detail.found_at_false_alarm_rate["1.0%"]
    assert not fine.raised and low <= 0.01 <= high, fine.summary


def test_a_leak_that_the_nearest_record_share_lets_pass_is_found_among_the_near_copies() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(0, 1, (3_600, 6)).round(3), columns=list("abcdef"))
    rows = load(frame).view("train")
    train, unseen, source = (rows.take(np.arange(a, a + 1_000)) for a in (0, 1_000, 2_000))
    made = copier(Case(train, source, 1_000, rng), share=0.05)
    found = {f.key: f for f in linkage.findings(case(train, unseen, made))}
    assert not found["nearest record share"].raised, found["nearest record share"].summary
    assert found["near copies"].raised, found["near copies"].summary


@pytest.mark.parametrize("seed", range(3))
def test_few_records_of_many_numbers_are_told_from_others_of_their_kind_by_nobody(seed: int) -> None:
    """Components that are fitted to 100 spectrograms tell these from others; a passage's own strings weigh on its component."""
    train, unseen, made = (blobs(100, 10 * seed + i) for i in range(3))
    assert math.isfinite(of_points(train, unseen, made).value)
    texts = (passages(100, 10 * seed + i) for i in range(3))
    assert math.isfinite(of_text.findings(Read(*texts))[0].value)
