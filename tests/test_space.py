"""A space squashes anything finite into itself, and is least surprised by the truth."""

from __future__ import annotations

import pytest
import torch
from small import assert_inside, points

from karat.space import BEGIN, END, MORE, NOTHING, Fields, Grid, Space, Tokens

SPACES = [Grid(1, (8, 8)), Grid(3, (5, 7)), Grid(2, (11,)), Fields((1, 1, 3, 4)), Fields((2,)), Fields((1,))]


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("chance", [False, True])
def test_squash_lands_in_the_space_for_anything_finite(space: Space, scale: float, chance: bool) -> None:
    raw = scale * torch.randn(50, *space.shape, generator=torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(1) if chance else None
    made = space.squash(raw, rng)
    assert made.shape == raw.shape
    assert_inside(space, made)


def test_squash_draws_a_choice_as_often_as_its_softmax_says() -> None:
    space = Fields((1, 3))
    p = torch.tensor([0.2, 0.5, 0.3])
    raw = torch.cat([torch.zeros(1), p.log()]).repeat(20_000, 1)
    shares = space.squash(raw, torch.Generator().manual_seed(0))[:, 1:].mean(0)
    assert torch.allclose(shares, p, atol=0.015)  # 4 standard deviations
    assert torch.equal(space.squash(raw)[:, 1:].mean(0), torch.tensor([0.0, 1.0, 0.0])), "without chance, the likeliest"


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_surprise_is_one_number_a_point_and_least_at_the_truth(space: Space) -> None:
    x, _ = points(space, 40)
    x = x * 0.9 if isinstance(space, Grid) else x
    truth = torch.atanh(x.clamp(-0.999, 0.999)) if isinstance(space, Grid) else _logits(space, x)
    best = space.nll(truth, x)
    assert best.shape == (40,) and bool(best.isfinite().all())
    for seed in range(3):
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
        assert space.nll(truth + 3 * noise, x).mean() > best.mean()


def _logits(space: Fields, x: torch.Tensor) -> torch.Tensor:
    parts = [
        torch.atanh(part.clamp(-0.999, 0.999)) if width == 1 else 6 * part
        for part, width in zip(x.split(space.widths, 1), space.widths, strict=True)
    ]
    return torch.cat(parts, 1)


def test_the_gradient_of_surprise_is_that_of_the_best_width_gaussian() -> None:
    space = Grid(1, (4, 4))
    x, _ = points(space, 30)
    raw = torch.randn(30, *space.shape, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    (ours,) = torch.autograd.grad(space.nll(raw, x).mean(), raw)
    mse = (torch.tanh(raw) - x).square().mean()
    (theirs,) = torch.autograd.grad(space.numel / 2 * mse.log(), raw)  # Rybkin et al., eq. 10
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-7)


def test_a_perfect_fit_is_finite() -> None:
    space = Fields((1, 2))
    x = torch.tensor([[0.0, 1.0, 0.0]]).repeat(4, 1)
    raw = torch.tensor([[0.0, 100.0, -100.0]]).repeat(4, 1)
    assert bool(space.nll(raw, x).isfinite().all())


def test_shapes_and_sizes_agree() -> None:
    for space in SPACES:
        assert torch.zeros(space.shape).numel() == space.numel


def test_soft_choices_are_shares_of_one_with_a_gradient_and_agree_with_the_drawn_ones() -> None:
    space = Fields((1, 3, 2))
    p = torch.tensor([0.2, 0.5, 0.3])
    raw = torch.cat([torch.zeros(1), p.log() + 50, torch.tensor([-80.0, 80.0])]).repeat(20_000, 1).requires_grad_(True)
    soft = space.soften(raw, 0.2, torch.Generator().manual_seed(0))
    assert torch.allclose(soft[:, 1:4].sum(1), torch.ones(20_000)) and torch.allclose(soft[:, 5], torch.ones(20_000))
    shares = torch.bincount(soft[:, 1:4].argmax(1), minlength=3) / 20_000
    assert torch.allclose(shares, p, atol=0.015)
    (slope,) = torch.autograd.grad(soft[:, 1].sum(), raw)
    assert bool(slope.isfinite().all()) and float(slope[:, 1:4].abs().sum()) > 0


def test_fields_of_numbers_only_and_of_choices_only_work_alike() -> None:
    for space in (Fields((1, 1)), Fields((2, 5)), Fields((65,))):
        x, _ = points(space, 30)
        raw = torch.randn(30, space.numel, generator=torch.Generator().manual_seed(0))
        assert bool(space.nll(raw, x).isfinite().all())
        for made in (space.squash(raw), space.squash(raw, torch.Generator().manual_seed(0))):
            assert made.shape == x.shape
        assert space.soften(raw, 0.5, torch.Generator().manual_seed(0)).shape == x.shape


def test_tokens_forget_what_lies_behind_the_end() -> None:
    space = Tokens(6, 8)
    x = torch.tensor([[BEGIN, 5, END, 6, END, 7], [MORE, 4, 5, 6, 7, 4]])
    assert space.tidy(x).tolist() == [[BEGIN, 5, END, NOTHING, NOTHING, NOTHING], [MORE, 4, 5, 6, 7, 4]]


def test_the_surprise_of_tokens_is_that_of_the_tokens_and_not_of_what_is_behind_them() -> None:
    space, raw = Tokens(4, 6), torch.zeros(1, 4, 6)
    short = space.nll(raw, torch.tensor([[BEGIN, 5, END, NOTHING]]))
    assert torch.allclose(short, 3 * torch.tensor([6.0]).log())
