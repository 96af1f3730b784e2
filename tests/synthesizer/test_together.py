"""What is drawn together comes as it would alone, bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small import LEAST, learn, points, serving
from torch import Tensor

from karat.families.generator import Generator, Learned
from karat.recipe import load
from karat.space import Fields, Grid, Space
from karat.synthesizer.building import build
from karat.synthesizer.together import Blocks

SPACES: dict[str, Space] = {
    "pictures": Grid(1, (8, 8)),
    "colours": Grid(3, (16, 16)),
    "sounds": Grid(1, (256,)),
    "rows": Fields((1, 1, 4, 7, 1, 2)),
}
GRIDS, ALL = ("pictures", "colours", "sounds"), tuple(SPACES)
SERVED = {
    **dict.fromkeys(("vae", "diffusion", "gan", "cgan", "wgan-gp"), ALL),
    "dcgan": ("pictures", "colours"),
    "ddpm": GRIDS,
    **dict.fromkeys(("tvae", "ctgan"), ("rows",)),
}


def small(recipe: str, space: Space) -> Generator:
    chosen = load(recipe)
    known = LEAST.get(chosen.family, {})
    model = build(load(recipe, [f"model.{name}={value}" for name, value in known.items()]), space, 3, 0)
    assert isinstance(model, Learned)
    x, y = points(space)
    learn(model, serving(x, y, 64), 4)
    return model.eval()


def chance(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def check(recipe: str, name: str) -> None:
    """Requests of one to five rows, some of a class, come alone as they come in company, wherever they stand in it."""
    blocks = Blocks(small(recipe, SPACES[name]))
    assert len(blocks.sizes) > 1 and blocks.sizes[-1] >= 16, (
        f"{recipe} of {name} cannot be drawn together: {blocks.sizes}"
    )
    rows = [1, 3, 2, 5, 1, 1]
    y = torch.arange(sum(rows)) % 3 if blocks.model.conditional else None
    for classes in {None, y} if y is not None else {None}:
        own: list[Tensor | None] = [None] * len(rows) if classes is None else list(classes.split(rows))
        alone = [blocks.points([(chance(i), n)], own[i])[0] for i, n in enumerate(rows)]
        for first in range(len(rows)):
            order = [*range(first, len(rows)), *range(first)]
            of = None if classes is None else torch.cat([part for i in order if (part := own[i]) is not None])
            made = blocks.points([(chance(i), rows[i]) for i in order], of)
            assert all(torch.equal(alone[i], got) for i, got in zip(order, made, strict=True)), (recipe, name, order)


@pytest.mark.parametrize("recipe", ["vae", "cgan", "diffusion"])
def test_each_gets_together_what_it_gets_alone(recipe: str) -> None:
    check(recipe, "pictures")


@pytest.mark.parametrize("recipe", ["tvae", "ctgan"])
def test_each_gets_together_what_it_gets_alone_of_rows(recipe: str) -> None:
    check(recipe, "rows")


def test_a_model_whose_rows_hang_on_each_other_is_not_drawn_together() -> None:
    model = small("vae", SPACES["pictures"])
    sample = model.sample
    model.sample = lambda n, y, rng: sample(n, y, rng).sort(0).values  # type: ignore[method-assign]
    assert Blocks(model).sizes == (1,), "the sort mixes the rows of those who asked"


def test_a_model_that_uses_chance_as_a_whole_is_not_drawn_together() -> None:
    model = small("vae", SPACES["pictures"])
    sample = model.sample
    model.sample = lambda n, y, rng: sample(n, y, rng) + torch.randn(1, generator=rng)  # type: ignore[method-assign]
    assert Blocks(model).sizes == ()


@pytest.mark.exam
@pytest.mark.parametrize("capability", ["", "avx2", "default"])
def test_every_family_draws_alike_on_every_processor(capability: str) -> None:
    code = (
        "import test_together as t\n"
        "for recipe, names in t.SERVED.items():\n"
        "    for name in names:\n"
        "        t.check(recipe, name)\n"
    )
    here = Path(__file__).parent
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent), *sys.path])}
    env |= {"ATEN_CPU_CAPABILITY": capability} if capability else {}
    env |= {"ONEDNN_MAX_CPU_ISA": "AVX2"} if capability == "avx2" else {}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
