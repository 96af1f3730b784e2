"""How large a model would be, before memory is taken for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.overrides import TorchFunctionMode

from karat import limits
from karat.errors import KaratError, TooLarge

COPIES = 6  # of each weight in training: itself, its gradient, two moments, its average, and one in a checkpoint
LAYERS = 5_000
SMALL = 2**25  # numbers
SMALLER = "Lower --set model.width, model.depth or what else makes it large."
MULTIPLY = {"repeat", "repeat_interleave", "tile", "new_empty", "new_full", "new_ones", "new_zeros"}
Built = TypeVar("Built")


def build_small(build: Callable[[], Built]) -> Built | None:
    """What `build` makes, or None as soon as it may be more than `SMALL` numbers, `LAYERS` layers or what memory has room for.

    So most models are built once and never weighed, which would import torch's compiler, a second of CPU time. None as well
    where building fails by an error of torch's or Python's, which weighing may explain.
    """
    most = min(SMALL, limits.SPARE * limits.available() / (4 * COPIES))

    def stop(count: Mapping[str, int]) -> None:
        if count["layers"] > LAYERS or count["weights"] + count["buffers"] > most:
            raise _NotSmall

    try:
        with _counted(stop), _StopBefore(most):
            return build()
    except KaratError:
        raise
    except (_NotSmall, RuntimeError, MemoryError, OverflowError, TypeError):
        return None


def refuse_large(build: Callable[[], object]) -> None:
    """TooLarge when what `build` makes would not fit into memory with its gradient, moments and averages.

    It is built once without memory (https://docs.pytorch.org/docs/stable/meta.html) and counted while it is built, so that a
    depth of a billion layers is refused as well. What cannot be built that way is not counted.
    """
    room = limits.SPARE * limits.available()  # asking for every layer would take longer than building it

    def refuse(count: Mapping[str, int]) -> None:
        size = 4.0 * (COPIES * count["weights"] + 2 * count["buffers"])
        if size > room:
            limits.need(size, f"a model of {count['weights']:,} weights or more", SMALLER)
        if count["layers"] > LAYERS:
            raise TooLarge(f"a model of more than {LAYERS:,} layers would not end. {SMALLER}")

    try:
        with _counted(refuse), torch.device("meta"):
            build()
    except KaratError:
        raise
    except (RuntimeError, MemoryError, OverflowError, TypeError) as error:
        if limits.EXHAUSTED.search(str(error)) or isinstance(error, MemoryError | OverflowError):
            raise TooLarge(f"a model of these settings would need more memory than can be counted. {SMALLER}") from None
    except NotImplementedError:
        pass  # a family that looks at numbers while it is built


@contextmanager
def _counted(check: Callable[[Mapping[str, int]], None]) -> Iterator[None]:
    """Calls `check` with the layers, weights and buffers so far, whenever a module takes one more."""
    count = {"layers": 0, "weights": 0, "buffers": 0}

    def one_more(kind: str) -> Callable[[Any, str, Any], None]:
        def counted(module: Any, name: str, value: Any) -> None:
            if value is not None:
                count[kind] += value.numel() if isinstance(value, Tensor) else 1
                check(count)

        return counted

    hooks = [
        register_module_module_registration_hook(one_more("layers")),
        register_module_parameter_registration_hook(one_more("weights")),
        register_module_buffer_registration_hook(one_more("buffers")),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _NotSmall(Exception):
    pass


class _StopBefore(TorchFunctionMode):
    """Stops a call of torch whose result might hold more than `most` numbers, before it is made.

    A bound and not a count: it may stop too early, where the model is then weighed.
    """

    def __init__(self, most: float) -> None:
        super().__init__()
        self.most = most

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = {} if kwargs is None else kwargs
        if _bound(func.__name__, [*args, *kwargs.values()]) > self.most:
            raise _NotSmall
        return func(*args, **kwargs)


def _bound(name: str, args: list[Any]) -> float:
    """Numbers that a call allocates at most: what changes a tensor in place or is a view of it allocates none of note."""
    tensors = [a for a in args if isinstance(a, Tensor)]
    if tensors and name not in MULTIPLY:
        if len(tensors) == 1 or name.endswith("_"):
            return 0
        dims = list(zip_longest(*(reversed(t.shape) for t in tensors), fillvalue=1))
        if all(len(set(dim) - {1}) < 2 for dim in dims):
            return math.prod(max(dim) for dim in dims)
        return math.prod(float(t.numel()) for t in tensors)  # a product of matrices, say
    flat = [n for a in args for n in (a if isinstance(a, list | tuple) else [a])]
    sizes = math.prod(float(max(1, n)) for n in flat if isinstance(n, int) and not isinstance(n, bool))
    return sizes ** (2 if name == "eye" else 1) * math.prod(float(t.numel()) for t in tensors)
