"""A recipe's model for a space, before and after it has weights: counted before it is built, its weights read with care."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import safetensors.torch
import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from karat import limits
from karat.content.codec import Codec
from karat.errors import FitError, KaratError, RunError, TooLarge
from karat.families.generator import Generator, Learned
from karat.recipe import Recipe, config, module
from karat.run import safe_header
from karat.space import Space

COPIES = 6  # of each weight in training: itself, its gradient, two moments, its average, and one in a checkpoint
LAYERS = 5_000
SMALLER = "Lower --set model.width, model.depth or what else makes it large."


def meet(recipe: Recipe, codec: Codec) -> Space:
    """The space in which the recipe's family meets this content; FitError naming both where there is none."""
    try:
        return codec.meet(module(recipe.family, recipe.digest).Model.spaces)
    except FitError as error:
        raise FitError(f"the recipe {recipe.name} (family {recipe.family}) does not fit: {error}") from None


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
    refuse_large(lambda: exported.Model(space, classes, settings))
    torch.manual_seed(seed)
    made: Generator = exported.Model(space, classes, settings)
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


def refuse_large(build: Callable[[], object]) -> None:
    """TooLarge when what `build` makes would not fit into memory with its gradient, moments and averages.

    It is built once without memory (https://docs.pytorch.org/docs/stable/meta.html) and counted while it is built, so that a
    depth of a billion layers is refused as well. What cannot be built that way is not counted.
    """
    count = {"layers": 0, "weights": 0, "buffers": 0}

    room = limits.SPARE * limits.available()  # asking for every layer would take longer than building it

    def refuse() -> None:
        size = 4.0 * (COPIES * count["weights"] + 2 * count["buffers"])
        if size > room:
            limits.need(size, f"a model of {count['weights']:,} weights or more", SMALLER)
        if count["layers"] > LAYERS:
            raise TooLarge(f"a model of more than {LAYERS:,} layers would not end. {SMALLER}")

    def layer(module: nn.Module, name: str, part: nn.Module | None) -> None:
        count["layers"] += 1
        refuse()

    def numbers(kind: str) -> Callable[[nn.Module, str, Any], None]:
        def counted(module: nn.Module, name: str, value: Any) -> None:
            if value is not None:
                count[kind] += value.numel()
                refuse()

        return counted

    hooks = [
        register_module_module_registration_hook(layer),
        register_module_parameter_registration_hook(numbers("weights")),
        register_module_buffer_registration_hook(numbers("buffers")),
    ]
    try:
        with torch.device("meta"):
            build()
    except KaratError:
        raise
    except (RuntimeError, MemoryError, OverflowError, TypeError) as error:
        if limits.EXHAUSTED.search(str(error)) or isinstance(error, MemoryError | OverflowError):
            raise TooLarge(f"a model of these settings would need more memory than can be counted. {SMALLER}") from None
    except NotImplementedError:
        pass  # a family that looks at numbers while it is built
    finally:
        for hook in hooks:
            hook.remove()
