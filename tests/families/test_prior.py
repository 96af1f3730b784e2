"""The prior of the variational autoencoder: how wide it draws."""

import torch
from small import points
from torch import Tensor

from karat.families.vae import Config, Model
from karat.space import UNLIMITED, Batches, Grid


def _spread(rows: int, narrow: float) -> float:
    """Mean deviation of the components of a prior fitted to `rows` points of two clouds of deviation 1."""
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(rows, 4, generator=rng) + 20 * (torch.arange(rows)[:, None] % 2)
    model = Model(Grid(1, (8, 8)), 0, Config(latent=4, width=8, hidden=16, components=2, narrow=narrow, shrink=0.0))
    model.fit_prior(z, None, UNLIMITED, rows, iterations=20)
    return float(model.mixture.scale.diagonal(dim1=1, dim2=2).mean())


def test_components_of_few_points_are_drawn_closer_to_their_means_and_those_of_many_are_not() -> None:
    assert _spread(200, 100.0) < 0.85 * _spread(200, 0.0)
    assert _spread(20_000, 100.0) > 0.99 * _spread(20_000, 0.0)


def test_each_of_few_points_is_encoded_once_and_counts_as_often_as_it_would_have_come() -> None:
    model = Model(Grid(1, (8, 8)), 0, Config(latent=4, width=8, hidden=16))
    x, y = points(Grid(1, (8, 8)), 48)
    drawn: list[int] = []

    def nth(k: int) -> tuple[Tensor, Tensor]:
        drawn.append(k)
        rows = torch.arange(16 * k, 16 * k + 16) % 48
        return x[rows], y[rows]

    batch = Batches(48, nth, lambda most: (x, y))
    mean, deviation, labels = model.posterior(batch, 120)
    assert mean.shape == deviation.shape == (120, 4) and labels is not None
    assert torch.equal(labels, y[torch.arange(120) % 48]) and torch.equal(mean[:48], mean[48:96])
    assert len({tuple(row.tolist()) for row in mean}) == 48
    assert len(drawn) <= 1 + (1 + 120 // 16) + 48 // 16  # the first, those for the norms, and all of them once
