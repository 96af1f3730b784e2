"""Small points, families and runs for tests, and the contract that every family keeps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from karat.families.generator import PLAIN, Batches, Fitted, Generator, Learned, Sampling
from karat.space import BEGIN, END, MARKS, MORE, NOTHING, Batch, Codes, Fields, Grid, Space, Tokens
from karat.training.loop import Plan, Precision, State, train

# The least that each family can be, so that a test takes moments. Families not named here are taken at their defaults.
LEAST: dict[str, dict[str, Any]] = {
    "gan": {"latent": 8, "width": 8, "critic_width": 8, "every": 2},
    "vae": {"latent": 6, "width": 8, "hidden": 16, "components": 4, "iterations": 3},
    "diffusion": {"width": 16, "steps": 3},
    "anyorder": {"known": 16, "width": 8, "split": 6},
    "autoregressive": {"width": 16, "depth": 2, "heads": 2, "span": 8, "prior_order": 3, "folds": 2},
    "marginals": {"noise": "seeded"},
    "masked": {"width": 32, "depth": 1, "heads": 2, "steps": 16},
}

# Settings of a `vae` with which a whole run takes a second.
TINY = [
    "train.precision=fp32",
    "model.latent=4",
    "model.width=8",
    "model.hidden=8",
    "model.components=4",
    "model.iterations=2",
]


def points(space: Space, n: int = 256, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points [n, *shape] of three kinds, and which kind [n] each is."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (n,), generator=rng)
    if isinstance(space, Fields):
        parts = []
        for width in space.widths:
            if width == 1:
                parts.append((y[:, None] / 2 - 0.5 + 0.1 * torch.randn(n, 1, generator=rng)).clamp(-1, 1))
            else:
                parts.append(torch.nn.functional.one_hot(y % width, width).float())
        return torch.cat(parts, 1), y
    if isinstance(space, Codes):
        parts = [
            (y * size // 3 + torch.randint(size, (n,), generator=rng) // 3).clamp_max(size - 1) for size in space.sizes
        ]
        return torch.stack(parts, 1), y
    if isinstance(space, Tokens):
        return _sequences(space, y, rng), y
    level = (y.float() / 2 - 0.5).reshape(-1, *(1,) * len(space.shape))
    return (level + 0.2 * torch.randn(n, *space.shape, generator=rng)).clamp(-1, 1), y


def _sequences(space: Tokens, y: Tensor, rng: torch.Generator) -> Tensor:
    """Tokens [n, length] that count upwards from any one in steps of their kind + 1; one in four goes on, one in two is cut."""
    n, tokens = len(y), space.vocab - MARKS
    places = torch.arange(space.length - 1)
    x = (torch.randint(tokens, (n, 1), generator=rng) + (y[:, None] + 1) * places) % tokens + MARKS
    ends = torch.randint(1, 2 * space.length, (n, 1), generator=rng)
    x = torch.where(places < ends, x, torch.where(places == ends, END, NOTHING))
    begin = torch.where(torch.rand(n, 1, generator=rng) < 0.25, MORE, BEGIN)
    return torch.cat([begin, x], 1)


def serving(x: Tensor, y: Tensor | None, size: int) -> Batches:
    """The k-th batch as a pure function of k."""

    def batch(k: int) -> tuple[Tensor, Tensor | None]:
        rows = torch.randint(len(x), (size,), generator=torch.Generator().manual_seed(k))
        return x[rows], None if y is None else y[rows]

    return Batches(len(x), batch, lambda most: (x[:most], None if y is None else y[:most]))


def learn(
    model: Learned, batch: Batches, steps: int, *, size: int = 64, seed: int = 0, precision: Precision = "fp32"
) -> State:
    """Trains `model` in place to the end of a budget in steps."""
    state = State()
    for _ in train(model, batch, Plan(steps=steps, batch=size, seed=seed, precision=precision), state):
        pass
    return state


def assert_inside(space: Space, x: Tensor) -> None:
    """Every row is a valid point of `space`."""
    assert bool(x.isfinite().all())
    if isinstance(space, Codes):
        assert x.dtype == torch.long and int(x.min()) >= 0
        assert bool((x < torch.tensor(space.sizes)).all())
        return
    if isinstance(space, Tokens):
        assert x.dtype == torch.long and int(x.min()) >= 0 and int(x.max()) < space.vocab
        assert bool(((x[:, 0] == BEGIN) | (x[:, 0] == MORE)).all()), "a sequence says how it begins"
        assert not bool(((x[:, 1:] == BEGIN) | (x[:, 1:] == MORE)).any()), "and begins once"
        ended = (x == END).cumsum(1) - (x == END).long()
        assert torch.equal(ended > 0, x == NOTHING), "nothing is behind the end, and only there"
        return
    if isinstance(space, Grid):
        assert float(x.min()) >= -1 and float(x.max()) <= 1
        return
    for part, width in zip(x.split(space.widths, 1), space.widths, strict=True):
        if width == 1:
            assert float(part.min()) >= -1 and float(part.max()) <= 1
        else:
            assert bool(((part == 0) | (part == 1)).all()) and bool((part.sum(1) == 1).all())


def sampled(model: Generator, n: int, seed: int, y: Tensor | None = None) -> bytes:
    return model.sample(n, y, torch.Generator().manual_seed(seed)).numpy().tobytes()


def keeps_the_contract(model: Generator, space: Space, x: Tensor, y: Tensor | None, steps: int = 3) -> None:
    """Asserts all that a family promises, on a fresh `model` and the data `x`, `y`."""
    assert isinstance(space, model.spaces)
    if isinstance(model, Fitted):
        done = list(model.fit(x, y, 0, None))
        assert done == sorted(done) and done[-1] == 1.0
    else:
        assert isinstance(model, Learned)
        _learns(model, x, y, steps)
    _draws(model, space, x)
    _says_what_fits(model, x[:3], None if y is None else y[:3])


def _learns(model: Learned, x: Tensor, y: Tensor | None, steps: int) -> None:
    size = 64
    batch = serving(x, y, size)
    players, turns = model.players(), model.turns()
    assert set(turns) == set(players), "everybody who owns weights plays, and nobody else"
    owned: dict[int, str] = {}
    for name, player in players.items():
        own = [p for p in player.module.parameters() if p.requires_grad]
        assert own, f"{name} has nothing to learn"
        for p in own:
            assert id(p) not in owned, f"{name} shares weights with {owned.get(id(p))}"
            owned[id(p)] = name
    for name in players:
        model.prepare(batch, name)
        model.train()
    for i, name in enumerate(turns):
        bx, by = batch(i)
        loss, seen = model.loss(Batch(bx, by, 0.5, torch.Generator().manual_seed(i)), name)
        assert loss.shape == () and bool(loss.isfinite()) and loss.requires_grad
        assert all(v.numel() == 1 and not v.requires_grad for v in seen.values())
    _players_move_one_at_a_time(model, batch, size)
    learn(model, batch, steps, size=size)
    assert not model.training, "a settled model is in eval mode"


def _says_what_fits(model: Generator, x: Tensor, y: Tensor | None) -> None:
    if model.weighs:
        losses = model.losses(x, y, 0)
        assert losses.shape == (len(x),) and losses.dtype == torch.float64 and bool(losses.isfinite().all())
        assert torch.equal(losses, model.losses(x, y, 0)), "the same chance, the same losses"
        assert torch.allclose(losses[1:], model.losses(x[1:], None if y is None else y[1:], 0)), "each by itself"


def _draws(model: Generator, space: Space, x: Tensor) -> None:
    before = torch.random.get_rng_state()
    made = model.sample(9, None, torch.Generator().manual_seed(1))
    assert torch.equal(torch.random.get_rng_state(), before), "chance comes only from rng"
    assert made.shape == (9, *space.shape) and made.dtype == x.dtype
    assert not made.requires_grad
    assert_inside(space, made)
    assert sampled(model, 9, 1) == made.numpy().tobytes(), "the same chance, the same bytes"
    assert sampled(model, 9, 2) != made.numpy().tobytes(), "other chance, other points"
    if isinstance(model, Learned):
        model.train()
        model.sample(2, None, torch.Generator().manual_seed(1))
        assert not model.training, "sampling is done in eval mode"
    if model.conditional:
        with torch.no_grad():  # away from layers that start at zero, as a longer training would bring it
            for i, p in enumerate(model.parameters()):
                p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(i)))
        asked = torch.arange(9) % model.classes
        made = model.sample(9, asked, torch.Generator().manual_seed(1))
        assert made.shape == (9, *space.shape)
        assert_inside(space, made)
        assert sampled(model, 9, 1, asked) == made.numpy().tobytes()
        other = model.sample(9, (asked + 1) % model.classes, torch.Generator().manual_seed(1))
        assert not torch.equal(made, other), "y is heeded"
    if model.has_nll:
        _weighs(model, x)
    if model.continues:
        _extends(model, x)
    if model.imputes:
        given = torch.where(torch.rand(x[:50].shape, generator=torch.Generator().manual_seed(3)) < 0.5, x[:50], -1)
        full = model.impute(given, torch.Generator().manual_seed(1))
        assert_inside(space, full)
        assert torch.equal(full[given >= 0], given[given >= 0]), "what is given is kept"
        assert torch.equal(full, model.impute(given, torch.Generator().manual_seed(1)))
        assert torch.equal(model.impute(x[:5], torch.Generator().manual_seed(1)), x[:5]), "nothing is left to fill in"
        assert len(model.impute(x[:0], torch.Generator().manual_seed(1))) == 0


def _weighs(model: Generator, x: Tensor) -> None:
    stream = x[x != NOTHING]
    nats = model.nll(stream)
    assert nats.shape == (len(stream) - 1,) and bool(nats.isfinite().all()) and bool((nats > -1e-4).all())
    assert model.nll(stream[:1]).shape == (0,)
    changed = stream.clone()
    changed[-1] = END
    assert torch.allclose(model.nll(changed)[:-1], nats[:-1], atol=1e-4), "what comes later changes nothing"


def _extends(model: Generator, x: Tensor) -> None:
    start = x[:6, :3].clone()
    start[start < MARKS] = MARKS
    start[:, 0] = BEGIN

    def steps(seed: int, most: int, sampling: Sampling = PLAIN) -> Tensor:
        out = list(model.continuation(start, None, torch.Generator().manual_seed(seed), sampling, most))
        assert all(codes.shape == (6,) and codes.dtype == torch.long for codes in out) and len(out) <= most
        return torch.stack(out, 1)

    beyond = steps(0, 2 * x.shape[1])
    ended = (beyond == END).cumsum(1) - (beyond == END).long()
    assert torch.equal(ended > 0, beyond == NOTHING), "a row that ended is NOTHING"
    assert not bool(((beyond == BEGIN) | (beyond == MORE)).any())
    assert torch.equal(beyond[:, :4], steps(0, 4)), "the same chance, the same codes"
    assert torch.equal(steps(1, 5, Sampling(temperature=0)), steps(2, 5, Sampling(temperature=0))), "coldest is certain"


def _players_move_one_at_a_time(model: Learned, batch: Batches, size: int) -> None:
    """In a turn of one player no weight of another moves, also not through a stale gradient."""
    model.train()
    players = model.players()
    for i, name in enumerate(model.turns()):
        kept = {other: [p.detach().clone() for p in q.module.parameters()] for other, q in players.items()}
        optimiser = torch.optim.SGD(players[name].module.parameters(), lr=1e-3)
        bx, by = batch(i)
        loss, _ = model.loss(Batch(bx, by, 0.5, torch.Generator().manual_seed(i)), name)
        optimiser.zero_grad()
        loss.backward(inputs=[p for p in players[name].module.parameters() if p.requires_grad])
        optimiser.step()
        for other, weights in kept.items():
            if other != name:
                now = list(players[other].module.parameters())
                assert all(torch.equal(a, b) for a, b in zip(weights, now, strict=True)), f"{other} moved with {name}"
