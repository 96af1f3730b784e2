"""Copies that were mirrored, moved, turned, scaled or played at another speed are found and named; real records are not."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from blobs import blobs
from scipy.ndimage import affine_transform, zoom
from sklearn.datasets import load_digits
from torch import Tensor

from karat.assays import Finding
from karat.assays.points import memory
from karat.assays.points.aligned import Aligned, Pictures, Sounds
from karat.assays.points.embedded import Embedded
from karat.assays.points.points import Case as Judged
from karat.assays.references.points import changer
from karat.assays.references.reference import Case
from karat.views import Points

DIGITS = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1


def digits(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """600 pictures to learn from, 400 unseen and 400 others."""
    order = torch.randperm(len(DIGITS), generator=torch.Generator().manual_seed(seed))
    return DIGITS[order[:600]], DIGITS[order[600:1000]], DIGITS[order[1000:1400]]


def copy_rate(train: Tensor, unseen: Tensor, made: Tensor, axes: tuple[str, ...] = ()) -> Finding:
    sides = [Embedded(x, x.flatten(1)[:, :2], None, None) for x in (train, unseen, made)]
    return memory.findings(Judged(*sides, (), axes, 0, None))[0]


def test_changed_copies_are_found_and_named() -> None:
    train, unseen, source = digits(0)
    made = changer(Case(Points(train), Points(source), 400, np.random.default_rng(1)), share=0.2).points
    rate = copy_rate(train, unseen, made)
    assert rate.raised and rate.value > 0.1, rate.summary
    assert all(f"of them {change}" in rate.summary for change in ("mirrored", "moved", "scaled"))
    source_rng = np.random.default_rng(1)
    source_rng.permutation(400)
    copied = source_rng.permutation(600)[:80]
    named = [(i, j, change) for (i, j, _), change in zip(rate.detail.pairs, rate.detail.changes, strict=True) if i < 80]
    assert len(named) >= 20 and np.mean([copied[i] == j for i, j, _ in named]) > 0.9
    assert Counter(change for i, _, change in named if i % 6 == 0).most_common(1)[0][0] == "mirrored"


def test_what_is_its_own_mirror_image_accuses_nobody() -> None:
    """Each picture is mirrored by a coin, whichever side it is on."""
    sides = digits(1)
    flipped = [torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(3), x) for x in sides]
    assert not copy_rate(*flipped).raised


@pytest.mark.parametrize("how", ["turned by 12 degrees and smaller", "wider than high, moved"])
def test_two_pictures_come_into_register_by_another_tool_s_changes(how: str) -> None:
    """SciPy's spline turns and moves; what it makes is nearest to its source, and far nearer than to the next best."""
    train = torch.from_numpy(zoom(DIGITS[:200].numpy(), (1, 1, 3, 4 if "wider" in how else 3), order=1))
    size = np.array(train.shape[2:])
    angle = np.radians(12 if "turned" in how else 0)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * (1.08 if angle else 1)
    offset = (size - 1) / 2 - matrix @ ((size - 1) / 2) + (0 if angle else 2)
    changed = [affine_transform(x[0], matrix, offset, order=1, cval=-1)[None] for x in train[:40].numpy()]
    found = Aligned(train, Pictures(*train.shape[2:])).search(torch.from_numpy(np.stack(changed)).float())
    assert np.mean(found.row.numpy() == np.arange(40)) > 0.9
    assert float(found.ratio.median()) < 0.6  # of what is no copy: above 0.7
    names = Counter(found.changes(range(40)))
    assert names.most_common(1)[0][0] == ("turned" if angle else "moved"), names


def test_a_sound_is_found_at_any_time_louder_faster_or_under_noise() -> None:
    train, fresh = blobs(200, 0), blobs(60, 1)
    known = Aligned(train, Sounds(32, 48))
    rng = torch.Generator().manual_seed(0)
    copies = train[:40].roll(13, 3)
    copies = ((copies + 1) * 0.9 - 1 + 0.05 * torch.randn(copies.shape, generator=rng)).clamp(-1, 1)
    fast = torch.full_like(copies, -1)
    fast[..., :44] = torch.nn.functional.interpolate(train[:40], (32, 44), mode="bilinear")
    far = known.search(fresh).ratio
    for made in (copies, fast):
        found = known.search(made)
        assert found.row.tolist() == list(range(40))
        assert found.ratio.max() < far.min()
    assert Counter(known.search(fast).changes(range(40))).most_common(1)[0][0] == "at another speed"


def test_a_training_record_is_not_its_own_neighbour() -> None:
    for train, kind in ((blobs(80, 0), Sounds), (DIGITS[:80], Pictures)):
        known, rows = Aligned(train, kind(*train.shape[2:])), torch.arange(20)
        found = known.search(train[:20], rows)
        assert not (found.row == rows).any() and found.ratio.min() > 0.1
        assert known.search(train[:20]).ratio.max() < 0.05


def test_training_pictures_that_stand_in_for_unseen_ones_are_not_counted_as_unseen() -> None:
    train, unseen, made = digits(0)
    found = copy_rate(train[:270], unseen[:29], made[:300])
    assert found.lacking is not None and found.lacking.side == "unseen real" and found.lacking.n == 29
