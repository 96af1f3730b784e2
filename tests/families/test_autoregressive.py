"""The family autoregressive begins at its counts, learns on from there, and goes on from a prompt as it weighs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import small
import torch
from small import points, sampled, serving
from torch import Tensor

from karat.errors import FitError
from karat.families.autoregressive import Config, Model, _Decoding
from karat.families.generator import Batches, Sampling
from karat.space import BEGIN, END, MARKS, MORE, NOTHING, UNLIMITED, Tokens
from karat.training.loop import Plan, State, train
from karat.workflow import checkpoints

SPACE = Tokens(20, 12)
LEAST = small.LEAST["autoregressive"]


def made(space: Tokens = SPACE, classes: int = 0, **settings: Any) -> Model:
    torch.manual_seed(0)
    return Model(space, classes, Config(**{**LEAST, **settings}))


def learned(model: Model, x: Tensor, y: Tensor | None = None, steps: int = 6, size: int = 16) -> Model:
    for _ in train(model, serving(x, y, size), Plan(steps=steps, batch=size, precision="bf16"), State()):
        pass
    return model


def shaken(model: Model) -> Model:
    """Away from the zeros at which it begins."""
    with torch.no_grad():
        for i, p in enumerate(model.net.body.parameters()):
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(i)))
    return model


@pytest.fixture(scope="module")
def shakespeare(data_dir: Path) -> tuple[Tensor, Tensor, int]:
    """Rows of 100,000 characters, the 5,000 that follow, and the size of the vocabulary."""
    text = (data_dir / "text" / "tinyshakespeare.txt").read_text()[:105_000]
    symbols = sorted(set(text))
    codes = torch.tensor([symbols.index(c) + MARKS for c in text])
    rows = codes[: 100_000 // 255 * 255].view(-1, 255)
    return torch.nn.functional.pad(rows, (1, 0), value=BEGIN), codes[100_000:], len(symbols) + MARKS


def test_a_few_steps_on_shakespeare_say_more_than_counts_and_cache(shakespeare: tuple[Tensor, Tensor, int]) -> None:
    rows, unseen, vocab = shakespeare
    model = made(Tokens(256, vocab), width=64, span=64, heads=2, prior_order=6, folds=4)
    model.prepare(serving(rows, None, 8), "net")
    begin = float(model.nll(unseen).mean()) / math.log(2)
    assert model._counts is not None
    counts = float(model._counts.of.nats(unseen[None]).mean()) / math.log(2)
    assert begin < counts - 0.03, "with the cache it is better than counts before it learns"
    learned(model, rows, steps=16, size=8)
    assert float(model.nll(unseen).mean()) / math.log(2) < begin - 0.005


def test_it_goes_on_by_the_odds_it_weighs_by() -> None:
    x, _ = points(SPACE, 200)
    for settings in ({}, {"prior_order": 0}):
        model = shaken(learned(made(**settings), x))
        row = x[:1][:, x[0] != NOTHING]
        weighed = model.nll(row[0])
        for n in (1, 3):
            voice = _Decoding(model, row[:, :1].expand(n, 1), None)
            for place in range(1, row.shape[1]):
                nats = -voice.logits.log_softmax(1)[:, row[0, place]]
                assert torch.allclose(nats, weighed[place - 1].expand(n), atol=0.1), (n, place)
                voice.step(row[:, place].expand(n))


def test_a_long_stream_is_weighed_in_windows_and_no_code_twice_or_never() -> None:
    x, _ = points(SPACE, 200)
    model = shaken(learned(made(context=16), x))
    stream = x[x > END][:130]
    nats = model.nll(stream)
    assert nats.shape == (129,) and bool((nats > 0).all())
    assert torch.allclose(model.nll(stream[:17]), nats[:16], atol=0.05)
    for k in range(2, 40):
        assert bool((model.nll(stream[:k]) > 0).all())


def test_rows_are_sequences_as_they_were_learned() -> None:
    x, _ = points(SPACE, 200)
    rows = learned(made(), x).sample(300, None, torch.Generator().manual_seed(0))
    assert rows.shape == (300, 20) and bool(((rows[:, 0] == BEGIN) | (rows[:, 0] == MORE)).all())
    assert abs(float((rows[:, 0] == MORE).float().mean() - (x[:, 0] == MORE).float().mean())) < 0.15
    assert bool((rows[:, 1:] != BEGIN).all()) and bool((rows[:, 1:] != MORE).all())
    ended = ((rows == END).cumsum(1) - (rows == END).long()) > 0
    assert torch.equal(rows == NOTHING, ended) and bool(ended.any())


def test_what_follows_a_prompt_is_as_long_as_asked_and_the_same_for_the_same_chance() -> None:
    x, _ = points(SPACE, 200)
    x = x[(x != NOTHING).all(1) & (x != END).all(1)]
    model = learned(made(context=16), x)
    start = x[:2, :5]
    for n in (1, 2):
        first, again = (
            torch.stack(list(model.continuation(start[:n], None, torch.Generator().manual_seed(3), most=70)), 1)
            for _ in range(2)
        )
        assert first.shape == (n, 70), "longer than the window"
        assert torch.equal(first, again)
    cold = torch.stack(
        list(model.continuation(start, None, torch.Generator().manual_seed(1), Sampling(temperature=0), 9)), 1
    )
    narrow = torch.stack(
        list(model.continuation(start, None, torch.Generator().manual_seed(2), Sampling(top_p=1e-6), 9)), 1
    )
    assert torch.equal(cold, narrow)


def test_taste_leaves_out_what_is_unlikely() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().expand(1000, 4)
    chance = (torch.arange(1000) + 0.5) / 1000
    shares = torch.bincount(Sampling().draw(logits, chance), minlength=4) / 1000
    assert torch.allclose(shares, logits[0].exp(), atol=0.01)
    assert set(Sampling(top_p=0.75).draw(logits, chance).tolist()) == {0, 1}
    assert set(Sampling(min_p=0.2).draw(logits, chance).tolist()) == {0, 1, 2}
    assert set(Sampling(temperature=0).draw(logits, chance).tolist()) == {0}
    for least in (5e-324, 1e-45, 1e-12):  # less than float32 knows, and logits over less
        assert set(Sampling(top_p=least).draw(logits, chance).tolist()) == {0}
        assert set(Sampling(temperature=least).draw(logits, chance).tolist()) == {0}
    sharp = torch.bincount(Sampling(temperature=0.5).draw(logits, chance), minlength=4) / 1000
    assert sharp[0] == pytest.approx(0.25 / 0.365, abs=0.01)


def test_weights_are_all_that_it_learned() -> None:
    x, y = points(SPACE, 120)
    model = learned(made(classes=3), x, y)
    other = made(classes=3)
    other.put({name: value.clone() for name, value in model.weights().items()})
    other.eval()
    assert sampled(model, 7, 0) == sampled(other, 7, 0)
    assert torch.equal(model.nll(x[0]), other.nll(x[0]))


def test_a_continued_run_equals_an_unbroken_one() -> None:
    x, y = points(SPACE, 120)
    plan = Plan(steps=8, batch=16, seed=3, precision="bf16")
    whole, state, kept = made(classes=3), State(), b""
    for progress in train(whole, serving(x, y, 16), plan, state):
        if progress.step == 4:
            kept = checkpoints.checkpoint(whole, state)
    resumed = made(classes=3)
    with torch.no_grad():
        for p in resumed.parameters():
            p.fill_(0.5)
    state = checkpoints.restore(kept, resumed, "bf16")
    assert state.step == 4 and len(state.optimisers) == 2
    for _ in train(resumed, serving(x, y, 16), plan, state):
        pass
    for key, value in resumed.state_dict().items():
        assert torch.equal(value, whole.state_dict()[key]), f"{key} differs"


def test_classes_are_heeded() -> None:
    x, y = points(SPACE, 300)
    model = learned(made(classes=3, lr=0.02, width=32, span=32), x, y, steps=150)
    rows = model.sample(90, torch.arange(90) % 3, torch.Generator().manual_seed(0))
    steps = (rows[:, 2] - rows[:, 1]) % (SPACE.vocab - MARKS)
    right = torch.zeros(3)
    for kind in range(3):  # a kind counts in steps of its own
        right[kind] = (steps[kind::3] == kind + 1).float().mean()
    assert right.mean() > 2.5 / (SPACE.vocab - MARKS), right  # of a guess it is 1 in so many


def test_a_wide_vocabulary_and_one_without_counts_are_learned_too() -> None:
    x, _ = points(SPACE, 100)
    wide = learned(made(Tokens(20, 700)), x, steps=3)
    assert wide.sample(3, None, torch.Generator().manual_seed(0)).shape == (3, 20)
    bare = learned(made(prior_order=0), x, steps=3)
    assert bare._counts is None and bare.sample(3, None, torch.Generator().manual_seed(0)).shape == (3, 20)


def test_what_rows_kept_aside_do_not_bear_out_is_not_trusted() -> None:
    """A net that says anything is turned down as far as the counts alone."""
    x, _ = points(SPACE, 300)
    model = made()
    batches: Batches = serving(x, None, 16)
    model.prepare(batches, "net")
    with torch.no_grad():
        for p in model.net.body.parameters():
            p.add_(2 * torch.randn(p.shape, generator=torch.Generator().manual_seed(0)))
    model.settle(batches, UNLIMITED, 100)
    assert float(model.trust) == 1.0, "it saw its data less than once"
    model.settle(batches, UNLIMITED, 1000)
    assert float(model.trust) == 0.0


def test_impossible_widths_are_refused() -> None:
    with pytest.raises(FitError, match="multiple of 2"):
        Config(width=30, heads=4)
