"""The transformer sees what it may, its steps are its rows, the cache counts matches, and Muon's steps are orthogonal."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from karat.nets.transformer import SingleSteps, Steps, Transformer
from karat.stats.cache import LONGEST, Cache, Recent, matches
from karat.training.optimizers import Muon, orthogonal


def stirred(span: int, kinds: int = 3, features: int = 5) -> Transformer:
    """A small net away from the zeros at which it begins."""
    torch.manual_seed(0)
    net = Transformer(20, 21, kinds, features, width=32, depth=2, heads=2, span=span)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return net


@pytest.mark.parametrize("span", [8, 64])
def test_steps_say_what_the_whole_row_says(span: int) -> None:
    """Also where the sequence is longer than what a layer sees, for many and for one."""
    net = stirred(span)
    x, features, kind = torch.randint(20, (3, 37)), torch.randn(3, 37, 5), torch.tensor([1, 0, 2])
    whole = net(x, features, kind).detach()
    steps = Steps(net, 3, kind, torch.float32)
    said = torch.stack([steps.step(x[:, i], features[:, i]) for i in range(37)], 1)
    assert torch.allclose(said.detach(), whole, atol=1e-4)
    lone = SingleSteps(net, kind[:1])
    one = np.stack([lone.step(x[:1, i], features[0, i].numpy()) for i in range(37)], 1)
    assert np.allclose(one, whole[:1], atol=1e-4)


def test_a_row_that_is_dropped_changes_no_other() -> None:
    net = stirred(8)
    x, features, kind = torch.randint(20, (4, 20)), torch.randn(4, 20, 5), torch.tensor([1, 0, 2, 1])
    all_of_them, some = (Steps(net, 4, kind, torch.float32) for _ in range(2))
    rows = torch.tensor([1, 3])
    for i in range(20):
        said = all_of_them.step(x[:, i], features[:, i])
        if i == 10:
            some.keep(rows)
        fewer = some.step(x[:, i], features[:, i]) if i < 10 else some.step(x[rows, i], features[rows, i])
        assert torch.allclose(fewer, said if i < 10 else said[rows], atol=1e-5)


def test_a_place_sees_the_past_as_far_as_its_layers_reach_and_nothing_else() -> None:
    net = stirred(8, kinds=0, features=0)
    x = torch.randint(20, (1, 40))
    whole = net(x, None, None)
    for changed in (0, 17, 39):
        other = x.clone()
        other[0, changed] = (other[0, changed] + 1) % 20
        differs = (net(other, None, None) - whole).abs().amax(2)[0] > 1e-6
        assert not differs[:changed].any() and differs[changed]
        assert not differs[changed + 2 * 7 + 1 :].any(), "two layers of span 8 reach 14 back"


def test_a_fresh_net_says_nothing() -> None:
    net = Transformer(20, 20, 0, 0, width=16, depth=1, heads=2, span=8)
    assert not net(torch.randint(20, (2, 9)), None, None).any()


def test_matches_are_counted_as_by_hand() -> None:
    x = torch.randint(3, (2, 60), generator=torch.Generator().manual_seed(0))
    x[0, 30:50] = x[0, :20]
    found = matches(x)
    for b in range(2):
        row = x[b].tolist()
        for i in range(60):
            for j in range(60):
                run = 0
                while j < i and run <= j and run < LONGEST and row[i - run] == row[j - run]:
                    run += 1
                assert found[b, i, j] == run
    assert found[0, 49, 19] == LONGEST


def test_the_cache_gives_chances_and_believes_long_matches() -> None:
    x = torch.randint(4, 30, (1, 80), generator=torch.Generator().manual_seed(0))
    x[0, 50:79] = x[0, :29]
    flat = torch.full((1, 80, 30), 1 / 30)
    mixed, longest = Cache()(x, flat)
    assert torch.allclose(mixed.sum(2), torch.ones(1, 80), atol=1e-5)
    assert longest[0, 78] == LONGEST and mixed[0, 78].argmax() == x[0, 29] and mixed[0, 78].max() > 0.3
    assert torch.equal(mixed[0, 0], flat[0, 0]), "at the beginning there is nothing to go by"


@pytest.mark.parametrize("n", [1, 5])
def test_the_cache_of_what_goes_on_is_that_of_the_row(n: int) -> None:
    x = torch.randint(4, 9, (n, 50), generator=torch.Generator().manual_seed(1))
    chances = torch.rand(n, 50, 9).softmax(2)
    cache = Cache()
    mixed, longest = cache(x, chances)
    recent = Recent(cache, n, 64)
    for i in range(50):
        recent.step(x[:, i].numpy())
        now, match = recent.mix(chances[:, i].numpy())
        assert np.allclose(now, mixed[:, i].detach(), atol=1e-5) and np.array_equal(match, longest[:, i])


def test_the_cache_forgets_what_left_the_window() -> None:
    recent = Recent(Cache(), 1, 8)
    for code in [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 4, 5]:
        recent.step(np.array([code]))
    given = np.full((1, 20), 0.05, np.float32)
    mixed, longest = recent.mix(given)
    assert not longest.any() and np.array_equal(mixed, given)


def test_steps_of_muon_are_orthogonal_and_stacks_are_taken_one_by_one() -> None:
    for shape in ((3, 16, 16), (2, 32, 8), (2, 8, 32)):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        values = torch.linalg.svdvals(orthogonal(x))
        assert values.max() < 1.35 and values.median() > 0.5
        assert torch.allclose(orthogonal(x[1:2]), orthogonal(x)[1:2], atol=0.03)


def test_muon_finds_a_minimum() -> None:
    goal = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    weight = torch.nn.Parameter(torch.zeros(2, 6, 4))
    muon = Muon([weight], 0.05, 0.0)
    for step in range(200):
        weight.grad = 2 * (weight.detach() - goal)
        muon.param_groups[0]["lr"] = 0.05 * (1 - step / 200)
        muon.step()
    assert (weight.detach() - goal).abs().max() < 0.1
