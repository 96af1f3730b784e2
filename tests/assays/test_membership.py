"""Who sees only pictures or passages that were made: training records given back are a leak, a shifted hold-out is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from karat.assays.neighbours import components
from karat.assays.points import membership
from karat.assays.references.points import REFERENCES
from karat.assays.references.reference import Case
from karat.views import Points

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
        told = membership.attacked(*(basis.of(x) for x in (train, unseen, made)), seed=seed)
        assert told.raised is leaks and told.kind.feeds == "privacy", told.summary


def test_where_unseen_records_differ_of_themselves_nobody_can_tell() -> None:
    train, unseen, source = parts(0)
    shifted = unseen * 0.7
    basis = components(train, 64)
    told = membership.attacked(*(basis.of(x) for x in (train, shifted, source)), seed=0)
    assert math.isnan(told.value) and told.state == "cannot tell" and "of the time" in told.summary
