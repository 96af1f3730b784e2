"""The family ngram: what it learns of Shakespeare, what it makes, and that its weights are all of it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from small import points
from torch import Tensor

from karat.errors import FitError, RunError
from karat.families.generator import Sampling
from karat.families.ngram import Config, Model
from karat.space import BEGIN, END, MARKS, MORE, NOTHING, Codes, Tokens

SPACE = Tokens(20, 12)


def fitted(x: Tensor, space: Tokens = SPACE, config: Config = Config()) -> Model:  # noqa: B008 (frozen)
    model = Model(space, 0, config)
    assert list(model.fit(x, None, 0, None))[-1] == 1.0
    return model


@pytest.fixture(scope="module")
def shakespeare(data_dir: Path) -> tuple[Model, Tensor, list[str]]:
    """Fitted to 200,000 characters; the 20,000 that follow; the characters."""
    text = (data_dir / "text" / "tinyshakespeare.txt").read_text()[:220_000]
    symbols = sorted(set(text))
    codes = torch.tensor([symbols.index(c) + MARKS for c in text])
    rows = torch.nn.functional.pad(codes[: 199_000 // 199 * 199].view(-1, 199), (1, 0), value=MORE)
    return fitted(rows, Tokens(200, len(symbols) + MARKS)), codes[199_000:], symbols


def test_shakespeare_is_told_from_counts_and_better_with_what_was_just_read(
    shakespeare: tuple[Model, Tensor, list[str]],
) -> None:
    model, unseen, _ = shakespeare
    bits = float(model.nll(unseen).mean()) / math.log(2)
    counts = float(model.counts.nats(unseen[None]).mean()) / math.log(2)
    assert bits < counts - 0.03 and bits < 2.6, (bits, counts)


def test_what_it_writes_of_shakespeare_is_mostly_words_of_his(shakespeare: tuple[Model, Tensor, list[str]]) -> None:
    model, unseen, symbols = shakespeare
    start = torch.full((8, 1), MORE)
    made = torch.stack(list(model.continuation(start, None, torch.Generator().manual_seed(0), Sampling(0.8), 300)), 1)
    text = ["".join(symbols[code - MARKS] for code in row) for row in made.tolist()]
    known = set("".join(symbols[code - MARKS] for code in unseen.tolist()).lower().split())
    words = [word for part in text for word in part.lower().split()[1:-1]]
    assert sum(word in known for word in words) > 0.5 * len(words)


def test_its_odds_when_it_writes_are_those_it_weighs_by() -> None:
    """However cold, the likeliest code that it writes is the one that it finds likeliest."""
    x, _ = points(SPACE, 200)
    model = fitted(x)
    start = torch.tensor([[BEGIN, 5, 6, 7]])
    first = next(iter(model.continuation(start, None, torch.Generator(), Sampling(temperature=0))))
    nats = [float(model.nll(torch.tensor([BEGIN, 5, 6, 7, code]))[-1]) for code in range(SPACE.vocab)]
    assert int(first) == min(range(SPACE.vocab), key=lambda code: nats[code])
    assert sum(math.exp(-each) for each in nats) == pytest.approx(1, abs=1e-4)


def test_a_long_stream_weighs_what_its_windows_weigh() -> None:
    x, _ = points(SPACE, 200)
    model = fitted(x, config=Config(window=16))
    stream = x[x > END][:300]
    nats = model.nll(stream)
    short = model.nll(stream[:17])
    assert torch.allclose(nats[:16], short, atol=1e-5)
    assert torch.allclose(nats[16:24], model.nll(stream[8:25])[8:], atol=0.5), (
        "the same but for what counts see further"
    )
    plain = fitted(x, config=Config(window=0))
    assert torch.allclose(plain.nll(stream), plain.counts.nats(stream[None])[0])


def test_sequences_begin_and_end_as_often_as_those_it_learned() -> None:
    x, _ = points(SPACE, 600)
    model = fitted(x)
    made = model.sample(600, None, torch.Generator().manual_seed(0))
    assert abs(float((made[:, 0] == MORE).float().mean() - (x[:, 0] == MORE).float().mean())) < 0.08
    assert abs(float((made == END).any(1).float().mean() - (x == END).any(1).float().mean())) < 0.12


def test_weights_are_all_that_it_learned() -> None:
    x, _ = points(SPACE, 200)
    model, again = fitted(x), Model(SPACE, 0)
    again.put({name: tensor.clone() for name, tensor in model.weights().items()})
    assert torch.equal(again.nll(x[0]), model.nll(x[0]))
    for made in (model, again):
        made.sample(3, None, torch.Generator().manual_seed(0))
    one, two = (made.sample(5, None, torch.Generator().manual_seed(4)) for made in (model, again))
    assert torch.equal(one, two)
    with pytest.raises(RunError, match="not of an n-gram model"):
        again.put({"weight": torch.zeros(1)})


def test_more_codes_than_it_counts_are_thinned_evenly() -> None:
    x, _ = points(SPACE, 400)
    model = fitted(x, config=Config(most=100 * SPACE.length))
    same = fitted(x[torch.arange(100) * 4])
    assert torch.equal(model.nll(x[0]), same.nll(x[0]))


def test_a_few_rows_are_enough_to_begin_with() -> None:
    for n in (1, 2, 3):
        x = points(SPACE, n)[0]
        made = fitted(x).sample(4, None, torch.Generator().manual_seed(0))
        assert made.shape == (4, SPACE.length)
    x = torch.full((3, SPACE.length), NOTHING)
    x[:, 0], x[:, 1] = BEGIN, END
    made = fitted(x).sample(50, None, torch.Generator().manual_seed(0))
    assert float((made[:, 1] == END).float().mean()) > 0.3, "empty documents are learned too"


def test_settings_and_content_that_it_has_no_use_for_are_refused() -> None:
    for wrong in ({"order": -1}, {"folds": 1}, {"window": -5}, {"most": 0}):
        with pytest.raises(FitError, match="wanted"):
            Config(**wrong)
    with pytest.raises(FitError, match="of Tokens"):
        Model(Codes((3, 4), (True, True)), 0)
    with pytest.raises(FitError, match="train it first"):
        Model(SPACE, 0).sample(1, None, torch.Generator())
