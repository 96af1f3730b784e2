"""One model in one space of its codec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from karat import limits
from karat.content.codec import Block, Codec
from karat.content.roles import Conditioned
from karat.content.table.bloom import Past
from karat.data import Data
from karat.errors import DivergedError, FitError, KaratError
from karat.families.generator import Fitted, Generator, Learned
from karat.privacy import Budget
from karat.request import Request
from karat.synthesizer import drawing
from karat.synthesizer.building import put
from karat.synthesizer.continuation import Growing, continued, growing
from karat.synthesizer.synthesizer import Synthesizer
from karat.synthesizer.widening import drawn, kernel_of, widen
from karat.training.divergence import NUMERIC, REMEDY

WIDTH, FACTOR = "kernel.width", "kernel.factor"  # among the saved weights
MOST_GIVEN = 2**24  # rows of a file to be completed, of which what must differ is remembered
GIVEN_AT_ONCE = 50_000
FITTED_MOST = 1_000_000  # rows that a family without gradients is handed


class Single(Synthesizer):
    """A codec, and a model of one of its spaces. classes: the names of the labels."""

    def __init__(self, codec: Codec, model: Generator, classes: tuple[str, ...]) -> None:
        self.codec, self.model, self.classes = codec, model, classes

    def weights(self) -> dict[str, Tensor]:
        """Those of the model, and the kernel through which it is drawn."""
        weights = {k: v.detach().cpu().contiguous() for k, v in self.model.weights().items()}
        if self.model.kernel is None:
            return weights
        width, factor = self.model.kernel
        return {**weights, WIDTH: torch.tensor(width, dtype=torch.float64), FACTOR: factor.contiguous()}

    def put(self, weights: dict[str, Tensor]) -> None:
        """Takes back what `weights` gave; RunError where they are of another model."""
        own = dict(weights)
        width, factor = own.pop(WIDTH, None), own.pop(FACTOR, None)
        put(self.model, own)
        if width is not None and factor is not None:
            self.model.kernel = kernel_of(width, factor, self.codec)

    def widen(self, data: Data, seed: int) -> None:
        widen(self.model, data, seed)

    @property
    def gradient(self) -> Learned | None:
        return self.model if isinstance(self.model, Learned) else None

    @property
    def spent(self) -> Budget | None:
        return getattr(self.model, "budget", None)

    def fit(self, data: Data, seed: int, seconds: float | None) -> Iterator[float]:
        assert isinstance(self.model, Fitted)
        points = data.points("train", FITTED_MOST, seed, self.model.space)
        return self.model.fit(points, data.labels("train", FITTED_MOST, seed), seed, seconds)

    def metrics(self) -> dict[str, float]:
        return self.model.metrics() if isinstance(self.model, Fitted) else {}

    @property
    def width(self) -> int:
        return self.model.space.numel

    def glimpse(self, n: int) -> Any:
        """Raises DivergedError where what is made is no numbers."""
        model = self.model
        y = torch.arange(n, device=model.device) % model.classes if model.conditional else None
        try:
            points = model.sample(n, y, torch.Generator(model.device).manual_seed(0)).cpu()
        except (ValueError, RuntimeError) as error:
            if isinstance(error, KaratError) or not NUMERIC.search(f"{type(error).__name__} {error}"):
                raise
            raise DivergedError(f"what is made is not finite ({type(error).__name__}). {REMEDY}") from None
        if not bool(points.isfinite().all()):
            raise DivergedError(f"what is made is not finite. {REMEDY}")
        points = drawn(model, self.codec, points, np.random.default_rng(0))
        return self.codec.decode(points, model.space)

    def draw(self, request: Request, labels: Tensor | None = None) -> Block:
        self.check(request)
        model = self.model
        y = labels if labels is not None and model.conditional else self.labels(request)
        rng, chance = torch.Generator(model.device).manual_seed(request.seed), np.random.default_rng(request.seed)
        points = drawing.points(
            model, self.codec, request.n, y, rng, chance, request.independent, request.pick, request.start
        )
        return Block(self.codec.decode(points, model.space, chance), y)

    def stream(self, request: Request, past: Past | None = None) -> Iterator[Block]:
        self.check(request)
        if request.imputes:
            return self._completed(request, past)
        y = self.labels(request)
        if request.continues:
            return continued(self.model, self.codec, y, request)
        return self._plain(request, y, past)

    def growing(self, request: Request) -> Growing:
        """The text of one passage as it comes; FitError as `stream` raises it."""
        self.check(request)
        return growing(self.model, self.codec, self.labels(request), replace(request, n=1))

    def _plain(self, request: Request, y: Tensor | None, past: Past | None) -> Iterator[Block]:
        codec, model, n = self.codec, self.model, request.n
        rng = torch.Generator(model.device).manual_seed(request.seed)
        chance, size = np.random.default_rng(request.seed), codec.at_once
        past = _past(request, size) if past is None else past
        for start in range(0, n, size):
            count = min(size, n - start)
            of = None if y is None else y[start : start + count]
            points = drawing.points(
                model, codec, count, of, rng, chance, request.independent, request.pick, request.start
            )
            yield Block(codec.decode_next(points, model.space, chance, past), of)

    def _completed(self, request: Request, past: Past | None) -> Iterator[Block]:
        """Blocks of as many records as are asked for or as there are to complete, every given cell exactly as given."""
        model, codec = self.model, self.codec
        assert isinstance(codec, Conditioned), "what is not was refused before"
        if not model.imputes:
            raise FitError("this recipe cannot fill in around given cells; trees, autoregressive and marginals can.")
        rng = torch.Generator(model.device).manual_seed(request.seed)
        chance = np.random.default_rng(request.seed)
        past = _past(request, GIVEN_AT_ONCE) if past is None else past
        for asked in codec.conditioning_blocks(request.given, request.balance, request.n, chance, GIVEN_AT_ONCE):
            limits.need(asked.cells.numel() * 64, f"{len(asked.cells):,} rows at once", "Lower -n, or ask in parts.")
            points = drawing.completed(
                model, codec, asked, rng, chance, request.independent, GIVEN_AT_ONCE, request.pick
            )
            if past is None and len(asked.cells) == GIVEN_AT_ONCE:  # a file of rows that may go on
                past = Past(MOST_GIVEN)
            yield Block(asked.restore(codec.decode_next(points, model.space, chance, past, asked)), None)

    def labels(self, request: Request) -> Tensor | None:
        """long [n]: the class that was asked for; else as often as the content wants them, where the model is conditional."""
        if request.label is None:
            shares = self.codec.label_shares
            if shares is None or not self.model.conditional:
                return None
            drawn = np.random.default_rng((request.seed, 1)).choice(len(shares), request.n, p=shares)
            return torch.from_numpy(drawn)
        if not self.model.conditional:
            raise FitError(
                "this run cannot make one class on request: "
                + (
                    "its data had no labels."
                    if not self.classes
                    else "its recipe was not conditional; try vae, diffusion or cgan, of text autoregressive."
                )
            )
        if request.label not in self.classes:
            raise FitError(f"there is no class {request.label!r}; there are: {', '.join(self.classes)}.")
        return torch.tensor(self.classes.index(request.label)).expand(request.n)


def _past(request: Request, size: int) -> Past | None:
    """What the blocks of `size` records must remember of each other; None for one block alone."""
    shard = request.shard
    if request.n <= size and shard.of == 1:
        return None
    return Past(request.n, shard.first, shard.number, shard.of)
