"""A model is refused before memory is taken for it, and weighed only where its size is in doubt."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from karat.errors import FitError
from karat.synthesizer import weighing

BUILDS = """
import sys
from karat import recipe
from karat.recipe import module
from karat.space import Codes, Fields, Grid, Tokens
from karat.synthesizer.building import build

built = 0
for space in (Grid(1, (28, 28)), Fields((1, 1, 3, 2)), Codes((30, 4, 900), (True, False, True)), Tokens(64, 300)):
    for name in recipe.names():
        chosen = recipe.load(name, spaces=(space,))
        if isinstance(space, module(chosen.family, chosen.digest).Model.spaces) and chosen.name != "dcgan":
            build(chosen, space, 3, 0)
            built += 1
assert built > 20, built
assert not {"torch._dynamo", "sympy"} & set(sys.modules)
"""


def test_building_any_recipe_imports_no_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", BUILDS], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_small_model_is_built_once_and_as_without_a_guard() -> None:
    def build() -> nn.Linear:
        built.append(1)
        torch.manual_seed(3)
        return nn.Linear(20, 30)

    built: list[int] = []
    made = weighing.build_small(build)
    assert made is not None and len(built) == 1
    assert torch.equal(made.weight, build().weight)


CALLS: list[Callable[[], Tensor]] = [
    lambda: torch.empty(70, 80),
    lambda: torch.zeros((70, 80), dtype=torch.int64),
    lambda: torch.full((70, 80), 2.0),
    lambda: torch.randn(size=(70, 80)),
    lambda: torch.eye(75),
    lambda: torch.eye(70, m=80),
    lambda: torch.arange(5600),
    lambda: torch.linspace(0, 1, steps=5600),
    lambda: torch.ones(70).repeat(80, 1),
    lambda: torch.ones(70).new_zeros(70, 80),
    lambda: torch.ones(70, 1) + torch.ones(80),
    lambda: torch.ones(70, 1) @ torch.ones(1, 80),
    lambda: torch.ones(70, 3) @ torch.ones(3, 80),
    lambda: torch.outer(torch.ones(70), torch.ones(80)),
    lambda: nn.Embedding(70, 80).weight,
]


@pytest.mark.parametrize("call", CALLS)
def test_no_call_gives_more_numbers_than_it_is_taken_for(call: Callable[[], Tensor]) -> None:
    size = call().numel()
    assert size >= 5600
    with pytest.raises(weighing._NotSmall), weighing._StopBefore(size - 1):
        call()


def test_a_model_above_what_is_free_is_left_to_be_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KARAT_MEMORY_GB", "0.001")
    assert weighing.build_small(lambda: nn.Linear(10, 10)) is not None
    assert weighing.build_small(lambda: nn.Linear(400, 400)) is None, "one large layer"
    assert weighing.build_small(lambda: nn.ModuleList(nn.Linear(40, 40) for _ in range(40))) is None, "many small ones"
    assert weighing.build_small(lambda: [nn.Linear(2, 2), nn.Linear(2**40, 2**40)]) is None, "more than there can be"


def test_what_a_family_refuses_is_refused_and_not_taken_for_a_large_model() -> None:
    def build() -> None:
        raise FitError("a width of -1")

    with pytest.raises(FitError, match="a width of -1"):
        weighing.build_small(build)
