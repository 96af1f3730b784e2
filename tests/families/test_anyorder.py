"""The autoregressive net: exact completion, what it learns, columns of many codes, and an end before it memorises."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from small import learn, serving
from torch import Tensor

from karat.families.anyorder import Config, Model, spell
from karat.space import Batch, Codes
from karat.training.loop import Plan, State, train

SMALL = Config(known=32, width=24, dropout=0.0)


def chain(n: int, seed: int = 0) -> tuple[Codes, Tensor]:
    """Three columns of 4 codes, each the one before it plus one, but for one row in ten, and one of 400 that repeats the first."""
    rng = torch.Generator().manual_seed(seed)
    first = torch.randint(4, (n,), generator=rng)
    columns = [first]
    for _ in range(2):
        noise = torch.where(
            torch.rand(n, generator=rng) < 0.1, torch.randint(4, (n,), generator=rng), torch.zeros(n, dtype=torch.long)
        )
        columns.append((columns[-1] + 1 + noise) % 4)
    columns.append(first * 100 + torch.randint(100, (n,), generator=rng))
    return Codes((4, 4, 4, 400), (False, False, False, True)), torch.stack(columns, 1)


@cache
def fitted() -> tuple[Model, Tensor]:
    """A trained model, which is only drawn from."""
    space, x = chain(4000)
    torch.manual_seed(0)
    model = Model(space, 0, SMALL)
    learn(model, serving(x, None, 256), 250, size=256)
    return model, x


def test_what_it_makes_has_the_shares_and_the_relations_of_the_data() -> None:
    model, x = fitted()
    made = model.sample(4000, None, torch.Generator().manual_seed(1))
    for j in range(3):
        real, drawn = (torch.bincount(t[:, j], minlength=4) / len(t) for t in (x, made))
        assert torch.allclose(real, drawn, atol=0.04), (j, real, drawn)
    for t in (x, made):
        assert 0.85 < float(((t[:, 1] - t[:, 0]) % 4 == 1).float().mean()) < 0.98
        assert float((t[:, 3] // 100 == t[:, 0]).float().mean()) > 0.9


def test_cells_given_in_any_pattern_are_kept_and_heeded() -> None:
    model, _ = fitted()
    space, unseen = chain(2000, seed=5)
    assert isinstance(space, Codes)
    for keep in ([0], [2], [3], [1, 2], [0, 2, 3]):
        given = torch.full_like(unseen, -1)
        given[:, keep] = unseen[:, keep]
        full = model.impute(given, torch.Generator().manual_seed(2))
        assert torch.equal(full[:, keep], unseen[:, keep])
        assert float(((full[:, 1] - full[:, 0]) % 4 == 1).float().mean()) > 0.6, keep
        assert float((full[:, 3] // 100 == full[:, 0]).float().mean()) > 0.6, keep


def test_rows_with_different_cells_given_are_completed_together() -> None:
    model, _ = fitted()
    _, unseen = chain(500, seed=6)
    hidden = torch.rand(unseen.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    full = model.impute(unseen.where(~hidden, -1), torch.Generator().manual_seed(1))
    assert torch.equal(full[~hidden], unseen[~hidden])
    assert bool((full >= 0).all()) and bool((full < torch.tensor([4, 4, 4, 400])).all())


def test_a_column_of_many_codes_is_spelled_in_two_digits_and_no_code_is_made_up() -> None:
    digits = spell((100_000, 3, 257), 256)
    assert [(d.column, d.step, d.size, d.after) for d in digits] == [
        (0, 317, 316, 1),
        (0, 1, 317, 316),
        (1, 1, 3, 1),
        (2, 17, 16, 1),
        (2, 1, 17, 16),
    ]
    space = Codes((100_000, 2), (False, False))
    rng = torch.Generator().manual_seed(0)
    x = torch.stack(
        [(torch.rand(5000, generator=rng) ** 4 * 100_000).long(), torch.randint(2, (5000,), generator=rng)], 1
    )
    model = Model(space, 0, SMALL)
    learn(model, serving(x, None, 128), 20, size=128)
    made = model.sample(3000, None, rng)
    assert int(made[:, 0].max()) < 100_000
    assert abs(float((made[:, 0] < 1000).float().mean()) - float((x[:, 0] < 1000).float().mean())) < 0.05


@pytest.mark.exam
def test_five_hundred_columns_learn_a_part_of_them_in_each_step() -> None:
    space = Codes((3,) * 500, (False,) * 500)
    x = torch.randint(3, (64, 1), generator=torch.Generator().manual_seed(0)).expand(64, 500).contiguous()
    model = Model(space, 0, SMALL)
    learn(model, serving(x, None, 64), 3)
    assert model.sample(4, None, torch.Generator().manual_seed(0)).shape == (4, 500)


def test_one_column_and_one_code_are_enough() -> None:
    for space, x in (
        (Codes((7,), (True,)), torch.arange(7).repeat(8)[:, None]),
        (Codes((1,), (False,)), torch.zeros(40, 1).long()),
    ):
        model = Model(space, 0, SMALL)
        learn(model, serving(x, None, 32), 5, size=32)
        made = model.sample(50, None, torch.Generator().manual_seed(0))
        assert bool((made < space.sizes[0]).all())


def test_learning_ends_before_it_memorises_a_small_table() -> None:
    space = Codes((8,) * 6, (False,) * 6)
    rng = torch.Generator().manual_seed(0)
    x = torch.randint(8, (200, 6), generator=rng)
    torch.manual_seed(0)
    model = Model(space, 0, Config(known=64, width=64))
    state = State()
    fractions = [p.fraction for p in train(model, serving(x, None, 128), Plan(steps=2000, batch=128), state)]
    assert state.step < 500 and fractions[-1] == 1.0 and state.settled
    with torch.no_grad():
        seen, unseen = (
            float(model._nll(t, torch.Generator().manual_seed(0)).mean())
            for t in (x, torch.randint(8, (2000, 6), generator=rng))
        )
    assert unseen < 2.3 and unseen - seen < 0.6, "nothing was there to learn: log 8 is 2.08"


def test_the_same_row_is_kept_aside_wherever_it_turns_up() -> None:
    space, x = chain(600)
    model = Model(space, 0, SMALL)
    model.prepare(serving(x, None, 64), "net")
    aside = model._aside
    assert aside is not None and 10 < len(aside) < 80
    model.prepare(serving(x, None, 64), "net")
    assert model._aside is not None and torch.equal(aside, model._aside)
    before = model.net.logits.detach().clone()
    model.train()
    loss, seen = model.loss(Batch(aside, None, 0.0, torch.Generator().manual_seed(0)), "net")
    assert loss.item() == 0.0 and float(seen["unseen"]) > 0
    assert torch.equal(before, model.net.logits)
