"""Measures equal published and hand-computed values, and change as they must when the samples do."""

from __future__ import annotations

import math

import pytest
import torch

from karat.assays.neighbours import distances
from karat.assays.points.diversity import clipped_coverage, coverage, expected_coverage, recall, vendi, vendi_of_kernel
from karat.assays.points.fidelity import (
    clipped_density,
    density,
    discriminant_auc,
    frechet,
    frechet_gaussians,
    kernel_distance,
    precision,
    radii,
    roughness,
)
from karat.assays.points.memory import chance_of, rank_z

REAL = torch.tensor([[0.0], [1.0], [2.0], [4.0]])
FAKE = torch.tensor([[0.5], [1.5], [3.0], [10.0]])


def near(value: float, wanted: float, within: float = 1e-6) -> bool:
    return math.isclose(value, wanted, abs_tol=within)


def balls(real: torch.Tensor, fake: torch.Tensor, k: int) -> tuple[float, float, float, float]:
    d = distances(real, fake)
    r, f = radii(real, k), radii(fake, k)
    return float(precision(d, r).mean()), recall(d, f), float(density(d, r, k).mean()), coverage(d, r)


def test_frechet_of_known_gaussians() -> None:
    eye = torch.eye(256, dtype=torch.float64)
    zero = torch.zeros(256, dtype=torch.float64)
    assert near(frechet_gaussians(zero, eye, zero + 1, eye), 256)  # d in any dimension d
    a, b = torch.diag(torch.tensor([1.0, 4.0, 9.0])), torch.diag(torch.tensor([4.0, 9.0, 16.0]))
    assert near(frechet_gaussians(torch.zeros(3), a, torch.zeros(3), b), 3.0)
    mean, cov = torch.tensor([1.0, -1.0]), torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    other = torch.diag(torch.tensor([3.0, 1.0]))
    assert near(frechet_gaussians(mean, cov, torch.zeros(2), other), 2.5166852265)
    assert near(frechet_gaussians(torch.zeros(2), other, mean, cov), 2.5166852265)


def test_frechet_of_samples() -> None:
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(500, 8, generator=rng), torch.randn(500, 8, generator=rng) + 0.3
    assert near(frechet(x, x), 0)
    assert near(frechet(3 * x, 3 * y), 9 * frechet(x, y), 1e-5)
    assert near(frechet(x, y), frechet(y, x[torch.randperm(500, generator=rng)]))
    d, n = 64, 4000
    a, b = torch.randn(n, d, generator=rng), torch.randn(n, d, generator=rng)
    assert near(frechet(a, b), d * (d + 5) / (2 * n), 0.04)  # the bias of two samples of one Gaussian


def test_kernel_distance_is_unbiased_and_may_be_negative() -> None:
    x, y = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 1.0], [2.0, 0.0]])
    assert near(kernel_distance(x, y), 1.125)
    assert near(kernel_distance(x, x), -2.375)


def test_balls_on_a_line() -> None:
    for value, want in zip(balls(REAL, FAKE, 1), (0.75, 1.0, 1.25, 1.0), strict=True):
        assert near(value, want)
    assert near(balls(REAL, FAKE, 2)[2], 1.125)


def test_a_point_on_the_edge_of_a_ball_is_outside() -> None:
    d = distances(torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0]]))
    assert precision(d, torch.tensor([1.0, 1.0])).tolist() == [0.0]
    assert coverage(d, torch.tensor([1.0, 1.0])) == 0.0


def test_balls_of_normal_samples() -> None:
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(2000, 64, generator=rng), torch.randn(2000, 64, generator=rng)
    for value, wanted in zip(balls(x, y, 5), (0.718, 0.707, 0.972, 0.966), strict=True):
        assert near(value, wanted, 0.2 if wanted == 0.972 else 0.04)  # density varies most: hubs


def test_expected_coverage() -> None:
    for n, wanted in ((10, 0.989164), (100, 0.971070), (2000, 0.968867), (10000, 0.968773)):
        assert near(expected_coverage(n, n, 5), wanted)


def test_vendi() -> None:
    assert near(vendi_of_kernel(torch.eye(4) / 4), 4)
    assert near(vendi_of_kernel(torch.ones(4, 4) / 4), 1)
    assert near(vendi_of_kernel(torch.block_diag(torch.ones(2, 2), torch.ones(2, 2)) / 4), 2)
    assert near(vendi_of_kernel(torch.tensor([[1.0, 0.5], [0.5, 1.0]]) / 2), 1.754765)
    assert near(vendi(torch.eye(3).repeat(5, 1)), 3)


def test_rank_z_of_a_full_copy() -> None:
    assert near(rank_z(torch.zeros(100), torch.arange(1.0, 101.0)), -12.2157, 1e-4)
    assert near(rank_z(torch.arange(4.0), torch.arange(4.0)), 0.5 / math.sqrt(4 * 4 * 9 / 12))  # ties share a rank


def test_chance_of_copies() -> None:
    assert near(chance_of(0, 50, 3, 100), 1)
    assert near(chance_of(1, 1, 3, 99), 3 / 100)  # the rank of one fresh record among 99 is uniform
    assert near(chance_of(2, 2, 1, 9), 1 / 55)  # two fresh below the least of 9: 2! 9! / 11!


def test_two_sample_auc() -> None:
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(2000, 10, generator=rng), torch.randn(2000, 10, generator=rng)
    value, sd = discriminant_auc(x, y, 0)
    assert abs(value - 0.5) < 4 * sd
    assert discriminant_auc(x + 5, y, 0)[0] > 0.999
    assert discriminant_auc(2 * x, y, 0)[0] > 0.9  # another spread, the same mean: the squares see it


def test_garbage_lowers_clipped_density_by_its_share() -> None:
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(1500, 8, generator=rng), torch.randn(1500, 8, generator=rng)
    r = radii(x, 5)
    good = float(clipped_density(distances(x, y), r, 5).mean())
    y[:300] += 100
    assert near(float(clipped_density(distances(x, y), r, 5).mean()) / good, 0.8, 0.03)


def test_a_lost_class_lowers_coverage_by_its_share() -> None:
    rng = torch.Generator().manual_seed(0)
    where = torch.arange(1500) % 5 * 50.0
    x, y = (torch.randn(1500, 8, generator=rng) + where[:, None] for _ in range(2))
    r = radii(x, 5)
    full, lost = coverage(distances(x, y), r), coverage(distances(x, y[where > 0]), r)
    assert near(full - lost, 0.2 * full, 0.01)
    assert clipped_coverage(distances(x, y[where > 0]), r, 5) < 0.85 * clipped_coverage(distances(x, y), r, 5)


def test_order_and_duplicated_order_change_nothing() -> None:
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(300, 6, generator=rng), torch.randn(300, 6, generator=rng)
    turned = y[torch.randperm(300, generator=rng)]
    assert balls(x, y, 5) == pytest.approx(balls(x, turned, 5), abs=1e-6)
    assert kernel_distance(x, y) == pytest.approx(kernel_distance(x, turned), abs=1e-5)
    assert vendi(y) == pytest.approx(vendi(turned), abs=1e-8)


def test_roughness_ignores_ramps_and_feels_noise() -> None:
    ramp = torch.linspace(-1, 1, 16).expand(1, 1, 16, 16)
    assert float(roughness(ramp).max()) < 1e-10
    rng = torch.Generator().manual_seed(0)
    assert float(roughness(ramp + 0.1 * torch.randn(1, 1, 16, 16, generator=rng))) > 0.05
