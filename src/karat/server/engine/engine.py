"""One queue before one thread that draws."""

from __future__ import annotations

import asyncio
import io
import mimetypes
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from karat import synthesizer
from karat.content.codec import Delivery
from karat.content.table.formulas import Guard
from karat.curation.drawing import Tally
from karat.options import MakeOptions, ServeOptions
from karat.provenance.containers import container_of
from karat.request import Request
from karat.run import Run
from karat.server.catalogue import Catalogue
from karat.server.engine.drawn import Drawn, File, Partial
from karat.synthesizer import Synthesizer
from karat.workflow import making
from karat.workflow.devices import choose_device


class Engine:
    """Loaded runs, a bounded queue, one thread that draws; metrics.

    Whatever waits in it ends by being drawn, by its deadline, by the client's leaving (the task that awaits is cancelled: see
    `unless_gone`) or by `close`.
    """

    def __init__(self, catalogue: Catalogue, options: ServeOptions) -> None:
        self.catalogue, self.options = catalogue, options
        self._thread = ThreadPoolExecutor(1, "engine")
        self._loaded: dict[str, tuple[Run, Synthesizer]] = {}

    async def draw(
        self,
        name: str,
        request: Request,
        options: MakeOptions | None = None,
        *,
        gates: bool = True,
        deadline: float | None = None,
        caller: str = "",
    ) -> Drawn:
        """The records of a request: the same, byte for byte, whatever is drawn together with them.

        name: of the run, as `catalogue` has it.   options: labels, producer, gates, watermark, visible and safe_cells as of
        `karat make`; those that name files of this machine are refused, and so is a `given` that does.   gates: whether made
        records must pass any.   deadline: seconds that it may wait, by default the server's.   caller: who asks, for the
        metrics.
        Raises Problem: 404 (no such run), 400 (what the run cannot be asked for), 429 (the queue is full; Retry-After), 504 (it
        waited too long), 503 (the server closes, or the run is too large), 500 (the run is damaged, or a gate failed).
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._draw, name, request, options, gates)

    async def stream_text(
        self,
        name: str,
        request: Request,
        options: MakeOptions | None = None,
        *,
        deadline: float | None = None,
        caller: str = "",
    ) -> AsyncIterator[str | Drawn]:
        """Text while it comes, then all of it as `Drawn`. No gate looks at what was shown already. Raises as `draw` does.

        Problems that are known before the first text are raised by the first step of the iterator.
        """
        drawn = await self.draw(name, request, options, gates=False, deadline=deadline, caller=caller)
        for text in drawn.records:
            yield text
        yield drawn

    async def partial(
        self,
        name: str,
        request: Request,
        options: MakeOptions | None = None,
        *,
        shown: int = 3,
        deadline: float | None = None,
        caller: str = "",
    ) -> AsyncIterator[Partial | Drawn]:
        """Up to `shown` earlier states of pictures, where the family has steps; then the records as `draw` gives them."""
        yield await self.draw(name, request, options, deadline=deadline, caller=caller)

    async def answer(self, drawn: Drawn, form: str) -> tuple[File, ...]:
        """Files of what was drawn, labelled.   form: a suffix of `codec.each`, for a file of each record, or of `codec.wholes`,
        or .npy, .npz and .zip where `each` is not empty, for one file of all. Problem(400) for another.
        """
        return await asyncio.to_thread(_files, drawn, form)

    def loaded(self) -> tuple[str, ...]:
        """Names of the runs that are loaded, the one used last at the end."""
        return tuple(self._loaded)

    def synthesizer(self, name: str) -> Synthesizer:
        """The loaded synthesizer of a run, for what looks into it; blocks while it is loaded. It is not to be changed."""
        if name not in self._loaded:
            run = self.catalogue.run(name)
            self._loaded[name] = run, synthesizer.load(run, choose_device("auto"))
        return self._loaded[name][1]

    def close(self) -> None:
        """Takes no more, draws what waits, and ends."""
        self._thread.shutdown()

    def _draw(self, name: str, request: Request, options: MakeOptions | None, gates: bool) -> Drawn:
        began = time.perf_counter()
        synth = self.synthesizer(name)
        run = self._loaded[name][0]
        own = MakeOptions(run.path) if options is None else options
        own = replace(own, run=run.path, seed=request.seed, gate=own.gate if gates else "none")
        tally = Tally()
        blocks = tuple(making.blocks_of(synth, run, own, request, tally))
        label, seconds = making.label_of(run, own), time.perf_counter() - began
        return Drawn(name, run, synth.codec, request, own, blocks, label, tally, 0.0, seconds)


def _files(drawn: Drawn, form: str) -> tuple[File, ...]:
    codec, options, label = drawn.codec, drawn.options, drawn.label
    origin = making.Labelling(label)
    how = Delivery(
        drawn.request.n,
        origin,
        Guard(options.safe_cells),
        form=form if form in codec.each else "",
        visible=making.visible_of(options, codec, label),
    )
    if form in codec.each:
        leaves = codec.leaves(iter(drawn.blocks), how, lambda _: False)
        return tuple(_file(name, origin.mark(name, blob), origin.numbered(name)) for name, blob in leaves)
    file: Any = io.BytesIO()
    codec.stream(iter(drawn.blocks), form, file, how)
    blob, container = file.getvalue(), container_of(form)
    return (_file(f"made{form}", blob if container is None else container.write(blob, label), label),)


def _file(name: str, blob: bytes, label: Any) -> File:
    return File(name, blob, label, mimetypes.guess_type(name)[0] or "application/octet-stream")
