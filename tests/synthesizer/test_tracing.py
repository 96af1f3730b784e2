"""Tokens that are drawn can be followed: the text is the same as untraced, its tokens spell it, its ends have their reasons."""

from __future__ import annotations

import pytest
import torch

import karat
from karat.request import Request
from karat.synthesizer import Synthesizer
from karat.synthesizer.tracing import Traced, followed, word_of


@pytest.fixture(scope="module")
def synth(tmp_path_factory: pytest.TempPathFactory) -> Synthesizer:
    folder = tmp_path_factory.mktemp("lines")
    lines = [f"Line {i} of many" + (", and more" * (i % 3)) + "! So it is." for i in range(200)]
    (folder / "t.txt").write_text("\n\n".join(lines))
    return karat.train(folder / "t.txt", recipe="ngram", out=folder / "run", threads=1).synthesizer()


@pytest.mark.parametrize(
    "asked", [{"tokens": 12}, {"tokens": 80, "stop": ("!",)}, {"characters": 9}, {"tokens": 4, "characters": 9}, {}]
)
def test_traced_text_is_the_same_and_its_tokens_spell_it(synth: Synthesizer, asked: dict[str, object]) -> None:
    plain = Request(3, seed=5, prompt="Line ", **asked)  # type: ignore[arg-type]
    sampling = Traced(likeliest=3)
    traced = Request(3, seed=5, prompt="Line ", sampling=sampling, **asked)  # type: ignore[arg-type]
    texts = [text for block in synth.stream(plain) for text in block.records]
    assert [text for block in synth.stream(traced) for text in block.records] == texts
    found = followed(sampling.traces, synth.codec.spelling, traced)  # type: ignore[attr-defined]
    assert ["Line " + one.text for one in found] == texts
    for one in found:
        words = [word_of(step.code, synth.codec.spelling) for step in one.steps]  # type: ignore[attr-defined]
        assert "".join(words).startswith(one.text) and one.prompt == 5
        most = min(asked.get("tokens", 999), asked.get("characters", 999), synth.model.space.numel)  # type: ignore
        assert one.ended == ("length" if len(words) == most else "stop")
        assert "!" not in one.text or "stop" not in asked
        assert all(step.log <= 0 and len(step.likeliest) == 3 for step in one.steps)
        assert all(step.likeliest[0][1] >= step.log for step in one.steps), "nothing is likelier than the likeliest"


def test_a_limit_of_tokens_holds_in_each_row(synth: Synthesizer) -> None:
    for tokens in (1, 7):
        texts = next(synth.stream(Request(4, prompt="", tokens=tokens))).records
        assert all(0 < len(text) <= tokens for text in texts)


def test_the_probabilities_of_a_step_are_those_of_the_model(synth: Synthesizer) -> None:
    """Against its own likelihood of the same codes, which is reckoned by another way."""
    sampling = Traced(temperature=0.5, likeliest=0)
    request = Request(1, prompt="Line ", tokens=10, sampling=sampling)
    next(synth.stream(request))
    steps = sampling.traces[0].rows[0]
    codes = torch.cat([synth.codec.opening("Line "), torch.tensor([step.code for step in steps])])  # type: ignore[attr-defined]
    nats = synth.model.nll(codes)[-len(steps) :]  # type: ignore[attr-defined]
    assert torch.allclose(nats.double(), torch.tensor([-step.log for step in steps]).double(), atol=1e-4)
