"""Nets do what their docstrings say: folding changes nothing, averages are plain, mixtures and cells find what is planted."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from karat import nets
from karat.errors import FitError
from karat.space import Allowance, Fields, Grid, Space

ODD = [(8, 8), (12, 10), (28, 28), (5, 7), (17, 33), (4, 4), (1, 9)]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def used(net: nn.Module, make: Callable[[], torch.Tensor]) -> nn.Module:
    """`net` after some forward passes, so that its running statistics are not the first ones."""
    torch.manual_seed(0)
    for m in net.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(m.weight, 1.0, 0.3)
            nn.init.normal_(m.bias, 0.0, 0.3)
    net.train()
    for _ in range(5):
        net(make())
    return net.eval()


@pytest.mark.parametrize("net", ["conv", "mlp", "article"])
@pytest.mark.parametrize("role", ["generator", "decoder", "encoder", "critic"])
def test_folding_the_norms_changes_nothing(net: str, role: str) -> None:
    space = Grid(3, (12, 10))
    if role in ("generator", "decoder"):
        made = (
            nets.generator(space, 6, width=8, net=net)
            if role == "generator"
            else nets.decoder(space, 6, width=8, hidden=16, net=net)
        )
        shape: tuple[int, ...] = (16, 6)
    else:
        made = (
            nets.critic(space, 2, width=8, net=net)
            if role == "critic"
            else nets.encoder(space, 5, width=8, hidden=16, net=net)
        )
        shape = (16, *space.shape)
    made = used(made, lambda: torch.randn(shape))
    before = copy.deepcopy(made.state_dict())
    x = torch.randn(shape, generator=rng())
    with torch.no_grad():
        wanted = made(x.clone())
        folded = nets.fold(made)
        assert torch.allclose(folded(x.clone()), wanted, atol=1e-4, rtol=1e-4)
        assert torch.equal(made(x.clone()), wanted), "the net itself is left as it was"
    assert all(torch.equal(v, before[k]) for k, v in made.state_dict().items())
    if role in ("generator", "decoder"):
        assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in folded.modules())


def test_refreshed_norms_hold_plain_averages() -> None:
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2), nn.BatchNorm1d(2))
    used(net, lambda: 5 + torch.randn(8, 3))
    batches = [torch.randn(16, 3, generator=rng(k)) + k for k in range(7)]
    nets.refresh_norms(net, lambda k: net(batches[k]), len(batches))
    first = net[0]
    assert isinstance(first, nn.BatchNorm1d) and first.running_mean is not None and first.running_var is not None
    assert torch.allclose(first.running_mean, torch.stack([b.mean(0) for b in batches]).mean(0), atol=1e-5)
    assert torch.allclose(first.running_var, torch.stack([b.var(0) for b in batches]).mean(0), atol=1e-4)
    assert first.momentum == 0.1 and not net.training and not first.training


def test_refreshing_leaves_dropout_off() -> None:
    net = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm1d(3)).train()
    x = torch.randn(64, 3, generator=rng())
    nets.refresh_norms(net, lambda k: net(x), 1)
    norm = net[1]
    assert isinstance(norm, nn.BatchNorm1d) and norm.running_mean is not None
    assert torch.allclose(norm.running_mean, x.mean(0), atol=1e-6)
    assert net.training


def planted(n: int = 3000) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Points of three Gaussians, their weights, means and covariances."""
    weights = torch.tensor([0.5, 0.3, 0.2])
    means = torch.tensor([[0.0, 0.0], [6.0, 0.0], [0.0, 7.0]])
    factors = torch.tensor([[[1.0, 0.0], [0.5, 0.8]], [[0.4, 0.0], [0.0, 1.5]], [[1.0, 0.0], [-0.6, 0.5]]])
    which = torch.multinomial(weights, n, replacement=True, generator=rng())
    noise = torch.randn(n, 2, generator=rng(1))
    z = means[which] + (factors[which] @ noise[:, :, None])[:, :, 0]
    return z, weights, means, factors @ factors.transpose(1, 2)


def test_the_mixture_recovers_three_planted_gaussians() -> None:
    z, weights, means, covariances = planted()
    mixture = nets.Mixture(3, 2)
    mixture.fit(z, rng(4), iterations=60, shrink=0.0)
    order = torch.cdist(means, mixture.mean).argmin(1)
    assert sorted(order.tolist()) == [0, 1, 2]
    assert torch.allclose(mixture.mean[order], means, atol=0.2)
    assert torch.allclose(mixture.log_weight[order].exp(), weights, atol=0.04)
    found = mixture.scale @ mixture.scale.transpose(1, 2)
    assert torch.allclose(found[order], covariances, atol=0.25)


def test_every_step_of_expectation_maximisation_raises_the_likelihood() -> None:
    z, *_ = planted()
    values = []
    for iterations in (1, 2, 4, 8, 16, 32):
        mixture = nets.Mixture(4, 2)
        mixture.fit(z, rng(4), iterations=iterations, shrink=0.0)
        values.append(float(mixture.log_density(z).double().mean()))
    assert all(b >= a - 1e-4 for a, b in zip(values, values[1:], strict=False)), values
    assert values[-1] > values[0] + 0.05


def test_the_log_density_is_that_of_torch_distributions() -> None:
    z, *_ = planted()
    mixture = nets.Mixture(5, 2)
    mixture.fit(z, rng(4), iterations=5)
    wanted = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=mixture.log_weight),
        torch.distributions.MultivariateNormal(mixture.mean, scale_tril=mixture.scale),
    ).log_prob(z)
    assert torch.allclose(mixture.log_density(z, chunk=700), wanted, atol=2e-3)


def test_samples_of_the_mixture_have_its_moments() -> None:
    z, weights, means, covariances = planted()
    mixture = nets.Mixture(3, 2)
    mixture.mean.copy_(means)
    mixture.scale.copy_(torch.linalg.cholesky(covariances))
    mixture.log_weight.copy_(weights.log())
    made = mixture.sample(20_000, rng(7))
    mean = (weights[:, None] * means).sum(0)
    second = (weights[:, None, None] * (covariances + means[:, :, None] * means[:, None, :])).sum(0)
    assert torch.allclose(made.mean(0), mean, atol=0.1)
    assert torch.allclose(torch.cov(made.T), second - mean[:, None] * mean[None], atol=0.4)
    assert torch.equal(made, mixture.sample(20_000, rng(7)))


def test_a_mixture_of_few_or_flat_points_is_still_a_mixture() -> None:
    for z in (torch.randn(3, 4, generator=rng()), torch.ones(50, 4), torch.zeros(50, 4)):
        mixture = nets.Mixture(5, 4)
        mixture.fit(z, rng(), iterations=5)
        assert bool(mixture.sample(20, rng()).isfinite().all())
        assert bool(mixture.log_density(z).isfinite().all())


def test_the_mixture_stops_at_its_time_but_after_two_steps() -> None:
    z, *_ = planted(500)
    assert nets.Mixture(3, 2).fit(z, rng(), iterations=1000, time=Allowance(lambda: 0.0)) == 2
    assert nets.Mixture(3, 2).fit(z, rng(), iterations=7) == 7


def test_cells_find_planted_clusters_and_are_deterministic() -> None:
    centres = 4 * torch.randn(6, 1, 9, 9, generator=rng(3))
    y = torch.randint(6, (900,), generator=rng(4))
    x = centres[y] + 0.3 * torch.randn(900, 1, 9, 9, generator=rng(5))
    cells, again = nets.Cells(30, 81), nets.Cells(30, 81)
    cells.fit(x, rng())
    again.fit(x, rng())
    assert all(torch.equal(a, b) for a, b in zip(cells.buffers(), again.buffers(), strict=True))
    found = cells.of(x)
    pure = sum(int(y[found == k].bincount(minlength=6).max()) for k in range(30)) / len(x)
    assert pure > 0.99, "no cell mixes two clusters"
    assert torch.allclose(cells.share, found.bincount(minlength=30) / len(x))
    drawn = cells.draw(20_000, rng()).bincount(minlength=30) / 20_000
    assert torch.allclose(drawn, cells.share, atol=0.02)


@pytest.mark.parametrize("space", [Grid(1, (8, 8)), Grid(3, (12, 10)), Fields((1, 1, 3))], ids=str)
def test_augmentation_is_nothing_at_zero_random_through_rng_and_lets_gradients_pass(space: Space) -> None:
    x = torch.randn(16, *space.shape, generator=rng()).requires_grad_(True)
    assert nets.augment(x, space, 0.0, rng()) is x
    moved = nets.augment(x, space, 1.0, rng(1))
    assert moved.shape == x.shape and not torch.equal(moved, x)
    assert torch.equal(moved, nets.augment(x, space, 1.0, rng(1)))
    assert not torch.equal(moved, nets.augment(x, space, 1.0, rng(2)))
    (slope,) = torch.autograd.grad(moved.square().sum(), x)
    assert bool(slope.isfinite().all()) and float(slope.abs().sum()) > 0


@pytest.mark.parametrize("size", ODD, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_net_takes_any_size(size: tuple[int, int], channels: int) -> None:
    space = Grid(channels, size)
    x = torch.randn(8, *space.shape, generator=rng())
    t, y = torch.rand(8, generator=rng()), torch.arange(8) % 4
    for name in nets.architectures(space):
        decoder = nets.decoder(space, 5, width=8, hidden=8, net=name)
        assert decoder(torch.randn(8, 5, generator=rng())).shape == x.shape
        assert nets.generator(space, 5, width=8, net=name)(torch.randn(8, 5, generator=rng())).shape == x.shape
        assert nets.encoder(space, 7, width=8, hidden=8, net=name)(x).shape == (8, 7)
        assert nets.critic(space, 3, width=8, net=name)(x).shape == (8, 3)
    for name in ("conv", "mlp"):
        denoiser = nets.denoiser(space, width=16, depth=1, conditions=3, net=name)
        made = denoiser(x, t, y)
        assert made.shape == x.shape and bool(made.isfinite().all())


def test_the_critic_has_no_batch_norm() -> None:
    critic = nets.critic(Grid(1, (8, 8)), 1, width=8)
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in critic.modules())


def test_a_denoiser_of_one_time_agrees_with_its_training_form() -> None:
    net = nets.residual(6, width=16, depth=2, conditions=3)
    torch.manual_seed(0)
    for p in net.parameters():
        nn.init.normal_(p, std=0.2)
    x, y = torch.randn(10, 6, generator=rng()), torch.arange(10) % 4
    t = torch.full((10,), 0.3)
    with torch.no_grad():
        assert torch.allclose(net.train()(x, t, y), net.eval()(x, t, y), atol=1e-5)


def test_an_architecture_that_cannot_live_in_the_space_is_refused_with_those_that_can() -> None:
    with pytest.raises(FitError, match="mlp"):
        nets.critic(Fields((1, 2)), 1, width=8, net="conv")
    with pytest.raises(FitError, match="those that can: conv, mlp, article"):
        nets.generator(Grid(1, (8, 8)), 4, width=8, net="transformer")
