"""A recipe's model for a space, before and after it has weights: counted before it is built, its weights read with care."""

from __future__ import annotations

import zlib

import safetensors.torch
import torch

from karat.content.codec import Codec
from karat.errors import FitError, KaratError, RunError
from karat.families.generator import Generator, Learned
from karat.recipe import Recipe, config, module
from karat.run import safe_header
from karat.space import Space
from karat.synthesizer.weighing import build_small, refuse_large


def meet(recipe: Recipe, codec: Codec) -> Space:
    """The space in which the recipe's family meets this content; FitError naming both where there is none."""
    kinds: tuple[type, ...] = module(recipe.family, recipe.digest).Model.spaces
    met: Space | None = next((space for space in codec.spaces if isinstance(space, kinds)), None)
    if met is None:
        fits, mine = (
            ", ".join(names) for names in ([k.__name__ for k in kinds], [type(s).__name__ for s in codec.spaces])
        )
        raise FitError(
            f"the recipe {recipe.name} (family {recipe.family}) does not fit: that family lives in {fits}, and these data can "
            f"become {mine}."
        )
    return met


def build(recipe: Recipe, space: Space, classes: int, seed: int) -> Generator:
    """The recipe's model for this space, weights drawn with `seed`; FitError when the family cannot live there."""
    exported = module(recipe.family, recipe.digest)
    if not isinstance(space, exported.Model.spaces):
        fits = ", ".join(cls.__name__ for cls in exported.Model.spaces)
        raise FitError(f"the family {recipe.family} lives in {fits}, and these data are a {type(space).__name__}.")
    if "labels" in recipe.needs and classes == 0:
        raise FitError(
            f"the recipe {recipe.name} needs labels and these data have none. Sort them into one folder per class, "
            "or use --recipe gan."
        )
    settings = config(recipe)

    def draw() -> Generator:
        torch.manual_seed(seed)
        model: Generator = exported.Model(space, classes, settings)
        return model

    if (made := build_small(draw)) is None:
        refuse_large(draw)
        made = draw()
    if isinstance(made, Learned):
        made.players()  # refuses impossible rates and shares before a run is begun
    return made


def weights_of(blob: bytes) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, which may be a stranger's; RunError where it is damaged, or one is not finite."""
    safe_header(blob)
    try:
        tensors = safetensors.torch.load(blob)
    except Exception as error:  # the library has errors of its own
        raise RunError(f"a weights file is damaged ({line_of(error)}); train anew.") from None
    for name, tensor in tensors.items():
        # a single number may still be infinite: the least loss of none so far
        fine = tensor.isfinite() if tensor.dim() else ~tensor.isnan()
        if tensor.is_floating_point() and not bool(fine.all()):
            raise RunError(f"the saved weights hold numbers that are not finite (in {name[:60]!r}); train anew.")
    return tensors


def put(model: Generator, weights: dict[str, torch.Tensor]) -> None:
    """Loads weights by name; RunError when they are of another model."""
    try:
        model.put(weights)
    except KaratError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, AssertionError, zlib.error) as error:
        lines = str(error).splitlines()
        reason = f"{type(error).__name__}: {line_of(error)}" if len(lines) < 2 else lines[1].strip()
        raise RunError(f"the saved weights do not fit the recipe: {reason[:200]}") from None


def line_of(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split())[:200]
