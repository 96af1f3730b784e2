"""Masked diffusion: what is given stays, gaps are filled from both sides, classes are heeded, lengths are learned."""

from __future__ import annotations

import pytest
import torch
from small import learn, serving
from torch import Tensor

from karat.families.masked import Config, Model
from karat.space import BEGIN, END, MARKS, NOTHING, Tokens

SPACE = Tokens(12, MARKS + 6)


def ladders(n: int = 512) -> tuple[Tensor, Tensor]:
    """Points [n, 12]: letters that rise by one (class 0) or fall by one (class 1) round a ring of six, eight of them."""
    rng = torch.Generator().manual_seed(0)
    y = torch.randint(2, (n,), generator=rng)
    first = torch.randint(6, (n, 1), generator=rng)
    x = torch.full((n, 12), NOTHING)
    x[:, 0], x[:, 9] = BEGIN, END
    x[:, 1:9] = MARKS + (first + torch.arange(8) * (1 - 2 * y[:, None])) % 6
    return x, y


def trained(steps: int, classes: int = 0) -> Model:
    x, y = ladders()
    torch.manual_seed(0)
    model = Model(SPACE, classes, Config(width=32, depth=2, heads=2, steps=12, temperature=0.5))
    learn(model, serving(x, y if classes else None, 64), steps)
    return model.eval()


def right(x: Tensor, way: Tensor) -> Tensor:
    """bool [n]: eight letters that go by `way` [n], and the end behind them."""
    return ((x[:, 2:9] - x[:, 1:8] - way[:, None]) % 6 == 0).all(1) & (x[:, 9] == END)


@pytest.mark.exam
def test_ladders_of_both_classes_are_drawn_as_asked() -> None:
    model = trained(400, 2)
    y = torch.arange(64) % 2
    made = model.sample(64, y, torch.Generator().manual_seed(1))
    assert right(made, 1 - 2 * y).float().mean() > 0.8
    assert (made[:, 0] == BEGIN).all() and (made[:, 10:] == NOTHING).all(1).float().mean() > 0.8


def test_a_gap_is_filled_from_what_stands_behind_it() -> None:
    model, (x, y) = trained(200), ladders(64)
    given = x.clone()
    given[:, 1:5] = -1
    made = model.impute(given, torch.Generator().manual_seed(1))
    assert torch.equal(made[:, 5:], x[:, 5:])
    assert right(made, 1 - 2 * y).float().mean() > 0.8


def test_the_odds_start_at_what_is_counted_beside() -> None:
    x, _ = ladders()
    torch.manual_seed(0)
    model = Model(SPACE, 0, Config(width=16, depth=1, heads=1))
    model.prepare(serving(x, None, 64), "net")
    hidden = x.clone()
    hidden[:, 4] = model.hidden
    with torch.no_grad():
        guess = model._logits(hidden, None)[:, 4].argmax(1)
    assert (guess == x[:, 4]).float().mean() > 0.95


def test_many_codes_are_not_counted_in_pairs() -> None:
    model = Model(Tokens(8, 5000), 0, Config(width=16, depth=1, heads=1))
    assert not model.pairs.numel()
    learn(model, serving(torch.randint(MARKS, 5000, (64, 8)), None, 8), 2)
    assert model.sample(2, None, torch.Generator().manual_seed(0)).shape == (2, 8)
