"""Runs that are loaded, as many as memory is given for."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from karat import synthesizer
from karat.content.codec import Block
from karat.curation.drawing import Tally
from karat.errors import KaratError
from karat.options import MakeOptions
from karat.request import Request
from karat.run import Run
from karat.server.catalogue import Catalogue
from karat.server.problems import Problem
from karat.synthesizer import Single, Synthesizer
from karat.synthesizer.together import Together
from karat.trust import answered_for
from karat.workflow import curating, learning, making
from karat.workflow.devices import choose_device
from karat.worth.prices import Prices, find

LOG = logging.getLogger("karat.server")
COPIES = 3  # of a model's bytes that it takes loaded: its weights, and folded ones for inference
STATE = 10  # bytes that a byte of a codec's JSON takes as objects


@dataclass(frozen=True)
class Loaded:
    """A run that can be drawn from: `run` as it was when it was loaded, whatever becomes of its files.

    size: bytes of memory that it may take.
    """

    name: str
    run: Run
    synth: Synthesizer
    together: Together
    prices: Prices
    size: int

    @property
    def device(self) -> str:
        """The type of device that it computes on."""
        return self.synth.model.device.type if isinstance(self.synth, Single) else "cpu"

    @cached_property
    def gates(self) -> curating.Usual:
        """What its usual gates know of the training records."""
        return curating.Usual(self.run)

    def blocks(self, synth: Synthesizer, options: MakeOptions, request: Request, tally: Tally) -> Iterator[Block]:
        """What `karat make` would make for the request.   synth: that of the run, or one that has drawn the request already."""
        with answered_for(self.run):
            yield from making.blocks_of(synth, self.run, options, request, tally, lambda: self.gates)


class Shelf:
    """Loaded runs by their names in `catalogue`, which take `memory` bytes together at most; used by one thread.

    A run that was trained on, or made anew, is loaded anew; where that fails the one that is loaded stays.
    """

    def __init__(self, catalogue: Catalogue, memory: int) -> None:
        self._catalogue, self._memory = catalogue, memory
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._stamps: dict[str, Any] = {}

    def names(self) -> tuple[str, ...]:
        """Those that are loaded, the one used last at the end."""
        return tuple(self._loaded)

    def there(self, name: str) -> Loaded | None:
        """The run where it is loaded and not deleted since, for any thread."""
        found = self._loaded.get(name)
        return None if found is None or _stamp(found.run.path) is None else found

    @property
    def size(self) -> int:
        return sum(loaded.size for loaded in tuple(self._loaded.values()))

    def get(self, name: str) -> Loaded:
        """The run, loaded. Problem (503) where it is larger than the memory, (404) where it is gone; RunError where damaged."""
        there = self._loaded.get(name)
        if there is None:
            return self._load(name, self._catalogue.run(name))
        self._loaded.move_to_end(name)
        stamp = _stamp(there.run.path)
        if stamp == self._stamps[name]:
            return there
        if stamp is None:
            del self._loaded[name], self._stamps[name]
            return self.get(name)  # another may have its name
        self._stamps[name] = stamp  # what cannot be loaded is not tried again until it changes again
        try:
            run = self._catalogue.run(name)
            if _learned(run) == _learned(there.run):
                return there
            return self._load(name, run)
        except (KaratError, Problem) as error:
            LOG.warning("run %s has changed and cannot be loaded, so the one that is loaded stays: %s", name, error)
            return there

    def _load(self, name: str, run: Run) -> Loaded:
        stamp, size = _stamp(run.path), _size(run)
        if size > self._memory:
            raise Problem(
                503,
                "run_too_large",
                f"the run {name} takes {size / 1e6:,.0f} MB, and all loaded runs may take {self._memory / 1e6:,.0f}; start the "
                "server with more --memory.",
            )
        while self.size + size > self._memory + (self._loaded[name].size if name in self._loaded else 0):
            gone = next(other for other in self._loaded if other != name)
            del self._loaded[gone], self._stamps[gone]
            LOG.info("run %s was let go to make room for %s", gone, name)
        with answered_for(run):
            learning.permit(run, None)
            synth = synthesizer.load(run, choose_device("auto"))
            loaded = Loaded(name, run, synth, Together(synth), find(None, [run.path, Path.cwd()]), size)
        self._loaded[name], self._stamps[name] = loaded, stamp
        self._loaded.move_to_end(name)
        return loaded


def _stamp(folder: Path) -> tuple[int, int, int] | None:
    """What changes whenever the record of a run is written anew."""
    try:
        found = os.stat(folder / "karat.json")
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _learned(run: Run) -> tuple[Any, ...]:
    return tuple(run.spec.get(key) for key in ("id", "models", "parts", "gates"))


def _size(run: Run) -> int:
    """Bytes that the run takes once it is loaded, by its files."""
    sizes = {path.name: path.stat().st_size for path in run.path.iterdir() if path.is_file()}
    models = [sizes.get(name, 0) for name in run.spec.get("models", [])]
    return COPIES * max(models, default=0) + 2 * sizes.get("gates.safetensors", 0) + STATE * sizes.get("codec.json", 0)
