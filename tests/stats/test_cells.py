"""K-means cells that stand for labels."""

from __future__ import annotations

import torch

from karat.assays.points.diversity import cells
from karat.stats.mixture import Cells


def modes() -> torch.Tensor:
    """1,500 points [n, 8] about ten far means."""
    rng = torch.Generator().manual_seed(1)
    means = 8 * torch.randn(10, 8, generator=rng)
    return means.repeat(150, 1) + torch.randn(1500, 8, generator=rng)


def fitted(points: torch.Tensor, k: int, seed: int) -> Cells:
    found = Cells(k, points.shape[1])
    found.fit(points, torch.Generator().manual_seed(seed))
    return found


def test_each_of_ten_far_modes_has_a_cell_of_its_own_whatever_the_seed() -> None:
    points = modes()
    for seed in range(5):
        found = fitted(points, 10, seed)
        assert found.of(points).reshape(150, 10).eq(found.of(points[:10])).all(), seed
        assert len(found.of(points[:10]).unique()) == 10
        assert torch.cdist(points, cells(points, 10, seed)).argmin(1)[:10].unique().numel() == 10
        torch.testing.assert_close(found.share, torch.full((10,), 0.1))


def test_cells_of_few_or_equal_points_are_those_points() -> None:
    few = modes()[:3]
    found = fitted(few, 5, 0)
    assert found.of(few).unique().numel() == 3 and len(cells(few, 5, 0)) == 3
    same = few[:1].repeat(40, 1)
    found = fitted(same, 5, 0)
    torch.testing.assert_close(found.centre, torch.zeros(5, 8), atol=1e-5, rtol=0)
    torch.testing.assert_close(cells(same, 5, 0), few[:1].expand(5, 8), atol=1e-5, rtol=0)


def test_the_same_seed_gives_the_same_cells() -> None:
    assert fitted(modes(), 20, 3).centre.equal(fitted(modes(), 20, 3).centre)
    assert cells(modes(), 20, 3).equal(cells(modes(), 20, 3))
