"""Several requests drawn by one pass through the model, each of which gets the very records that it would get alone.

How a net rounds hangs on how many rows pass it at once, so rows pass it in blocks of a few fixed sizes, filled up where fewer
are asked for. Which sizes give a row the same bits, wherever it stands in the block and whatever stands beside it, hangs on the
processor and the libraries, and is tried out once for each model that is loaded. See "Defeating nondeterminism in LLM inference"
(Thinking Machines, 2025) for why nothing else is enough. Chance is of each request's own: `_Chances`.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from karat.content.codec import Block
from karat.content.table.bloom import Past
from karat.families.generator import Fitted, Generator, Stratified
from karat.request import Request, Shard
from karat.synthesizer import drawing
from karat.synthesizer.single import Single
from karat.synthesizer.synthesizer import Synthesizer

SIZES = (1, 4, 16, 64)  # of blocks
NUMBERS = 2**21  # that pass a net for one block, at most: a large block is slow for who asks for one record alone
TRIED = 5  # rows that are compared

Asked = tuple[torch.Generator, int]  # whose chance, and how many rows


class Blocks:
    """A model in blocks of fixed sizes.   sizes: those whose rows come the same, the smallest first; () where none do."""

    def __init__(self, model: Generator) -> None:
        self.model = model
        self.sizes = self._tried()

    def points(self, asked: Sequence[Asked], y: Tensor | None = None, size: int = 0) -> list[Tensor]:
        """Points of each of `asked`, of classes `y` [all rows] where given, by one block: the smallest, or of `size` rows."""
        rows = [n for _, n in asked]
        with torch.no_grad(), _EachItsOwn():
            points = self.model.sample(*self._filled(asked, y, size))
        return list(points[: sum(rows)].split(rows))

    def stages(self, asked: Asked, y: Tensor | None) -> Iterator[Callable[[], Tensor]]:
        """As of the model, for one alone."""
        walk = self.model.stages(*self._filled([asked], y))

        def points(shown: Callable[[], Tensor]) -> Tensor:
            with torch.no_grad(), _EachItsOwn():
                return shown()[: asked[1]]

        while True:
            with torch.no_grad(), _EachItsOwn():
                shown = next(walk, None)
            if shown is None:
                return
            yield partial(points, shown)

    def _filled(self, asked: Sequence[Asked], y: Tensor | None, size: int = 0) -> tuple[int, Tensor | None, _Chances]:
        """What the model is asked for: a block."""
        rows, device = sum(n for _, n in asked), self.model.device
        size = size if size else next(size for size in self.sizes if size >= rows)
        parts = [*asked, (torch.Generator(device).manual_seed(0), size - rows)] if size > rows else asked
        classes = None if y is None else torch.cat([y, y.new_zeros(size - rows)]).to(device)
        return size, classes, _Chances(device, parts)

    def _tried(self) -> tuple[int, ...]:
        numbers = self.model.space.numel * self.model.passes
        sizes = [size for size in SIZES if size * numbers <= NUMBERS]
        try:
            while sizes:
                rows = self._rows(range(sizes[-1]), sizes[-1])
                if self._agrees(sizes[-1], rows):
                    return tuple(size for size in sizes if size == sizes[-1] or self._agrees(size, rows))
                sizes.pop()
        except (TypeError, ValueError, RuntimeError):  # a family that uses chance in a way that cannot be parted
            pass
        return ()

    def _agrees(self, size: int, rows: Sequence[Tensor]) -> bool:
        """Whether blocks of `size` give the same `rows`, each of a seed by its place: in any order, and alone."""
        for first in range(0, min(TRIED, len(rows)), size):
            seeds = range(first, min(first + size, len(rows)))
            for some in (seeds, seeds[::-1], seeds[:1]):
                made = self._rows(some, size)
                if not all(torch.equal(rows[seed], row) for seed, row in zip(some, made, strict=True)):
                    return False
        return True

    def _rows(self, seeds: Sequence[int], size: int) -> list[Tensor]:
        return self.points([(torch.Generator(self.model.device).manual_seed(seed), 1) for seed in seeds], None, size)


class Together:
    """Requests to one synthesizer."""

    def __init__(self, synth: Synthesizer) -> None:
        self._single = _parting(synth)
        self._blocks = None if self._single is None else Blocks(self._single.model)

    @property
    def most(self) -> int:
        """Records that are drawn together at most; 0 where no two requests are."""
        sizes = () if self._blocks is None else self._blocks.sizes
        return sizes[-1] if sizes and sizes[-1] > 1 else 0

    def kind(self, request: Request) -> tuple[bool, bool] | None:
        """None where the request is drawn alone; only those of one kind may be drawn together.

        FitError for a class that there is not.
        """
        plain = request.pick is None and request.shard == Shard() and not (request.imputes or request.continues)
        if self._single is None or not plain or request.n > self.most:
            return None
        return self._single.labels(request) is not None, request.independent

    def ahead(self, requests: Sequence[Request]) -> list[Ahead]:
        """Each of the requests, which are of one kind and have at most `most` records together, drawn."""
        single, blocks = self._single, self._blocks
        assert single is not None and blocks is not None, "of a kind"
        classes = [single.labels(request) for request in requests]
        y = torch.cat([one for one in classes if one is not None]) if classes[0] is not None else None
        device = single.model.device
        asked = [(torch.Generator(device).manual_seed(request.seed), request.n) for request in requests]
        drawn: list[deque[Tensor]] = [deque() for _ in requests]
        for _ in range(drawing.times(single.model, single.codec, requests[0].independent)):
            for points, mine in zip(blocks.points(asked, y), drawn, strict=True):
                mine.append(points)
        return [_decoded(single, request, points) for request, points in zip(requests, drawn, strict=True)]

    @property
    def steps(self) -> int:
        """How many `stages` there are."""
        return 1 if self._single is None else self._single.model.steps

    def stages(self, request: Request) -> Iterator[Callable[[], Ahead]]:
        """What shows the records of a request, which is of some kind, after each step of the model; the last as `ahead` has it."""
        single, blocks = self._single, self._blocks
        assert single is not None and blocks is not None, "of a kind"
        asked = torch.Generator(single.model.device).manual_seed(request.seed), request.n
        for shown in blocks.stages(asked, single.labels(request)):
            yield partial(_shown, single, request, shown)


class Ahead(Single):
    """A synthesizer that has drawn one request already, as `block`; any other it draws as usual."""

    def __init__(self, single: Single, request: Request, block: Block) -> None:
        super().__init__(single.codec, single.model, single.classes)
        self.request, self.block = request, block

    def stream(self, request: Request, past: Past | None = None) -> Iterator[Block]:
        return iter([self.block]) if past is None and request == self.request else super().stream(request, past)


def _parting(synth: Synthesizer) -> Single | None:
    """The synthesizer where its records do not hang on each other and a net draws them as a whole."""
    if not isinstance(synth, Single) or synth.model.continues or isinstance(synth.model, Stratified | Fitted):
        return None
    return synth


def _shown(single: Single, request: Request, points: Callable[[], Tensor]) -> Ahead:
    return _decoded(single, request, deque([points()]))


def _decoded(single: Single, request: Request, drawn: deque[Tensor]) -> Ahead:
    """`drawn`: what the model gives for the request, in the order in which it is asked."""
    model = copy.copy(single.model)
    model.sample = lambda n, y, rng: drawn.popleft()  # type: ignore[method-assign]
    (block,) = Single(single.codec, model, single.classes).stream(request)
    return Ahead(single, request, block)


class _Chances(torch.Generator):
    """The chance of rows that belong to several: of each by its own generator. Only within `_EachItsOwn`."""

    parts: Sequence[Asked]

    def __new__(cls, device: torch.device, parts: Sequence[Asked]) -> _Chances:
        made: _Chances = super().__new__(cls, device)  # type: ignore[call-arg]  # which the stubs do not know
        return made

    def __init__(self, device: torch.device, parts: Sequence[Asked]) -> None:
        self.parts = parts


class _EachItsOwn(TorchFunctionMode):
    """Within it, torch fills each part of what is drawn with `_Chances` from the generator whose rows these are.

    TypeError where rows cannot be told apart.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {} if kwargs is None else kwargs
        chances = given.get("generator")
        if not isinstance(chances, _Chances):
            return func(*args, **given)
        rest = {name: value for name, value in given.items() if name != "generator"}
        return _parted(func, args, rest, chances.parts)


def _parted(func: Callable[..., Any], args: Sequence[Any], rest: dict[str, Any], parts: Sequence[Asked]) -> Any:
    total, name = sum(n for _, n in parts), func.__name__
    if name in ("randn", "rand"):  # of a shape, given as one or as numbers
        shape = tuple(args[0] if len(args) == 1 and not isinstance(args[0], int) else args)
        _check(shape[0], total, name)
        return torch.cat([func((n, *shape[1:]), generator=rng, **rest) for rng, n in parts])
    if name == "multinomial" and args[0].dim() == 1:  # so many of the same shares
        _check(args[1], total, name)
        return torch.cat([func(args[0], n, *args[2:], generator=rng, **rest) for rng, n in parts])
    if name == "multinomial" or name in ("exponential_", "normal_", "uniform_"):  # of a tensor, row by row
        several, left = divmod(len(args[0]), total)
        _check(left, 0, name)
        some = args[0].split([n * several for _, n in parts])
        made = [func(one, *args[1:], generator=rng, **rest) for one, (rng, n) in zip(some, parts, strict=True)]
        return args[0] if name.endswith("_") else torch.cat(made)
    raise TypeError(f"{name} cannot be drawn for several requests at once")


def _check(found: int, wanted: int, name: str) -> None:
    if found != wanted:
        raise TypeError(f"{name}: {found} rows where {wanted} are drawn")
