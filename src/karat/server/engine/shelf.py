"""Runs that are loaded, as many as memory is given for."""

from __future__ import annotations

import logging
import os
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

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

    size: bytes of memory that it may take, by its files.
    """

    name: str
    run: Run
    synth: Synthesizer
    together: Together
    prices: Prices
    size: int

    @cached_property
    def device(self) -> str:
        """The type of device that it computes on."""
        return self.synth.model.device.type if isinstance(self.synth, Single) else "cpu"

    @cached_property
    def gates(self) -> curating.Usual:
        """What its usual gates know of the training records; of pictures and sounds these are read, once."""
        found = curating.Usual.of(self.run)
        self.__dict__["weight"] = self.size + _arrays(found, set())
        return found

    @cached_property
    def weight(self) -> int:
        """Bytes of memory that it takes, with what its gates know once they were asked."""
        return self.size

    def ahead(self, requests: Sequence[Request], gated: Sequence[bool]) -> list[Source]:
        """What each of the requests, which are of one kind, is drawn from; they are drawn already, and those of them that are to
        be `gated` looked at."""
        drawn = self.together.ahead(requests)
        some = [one.block for one, looked in zip(drawn, gated, strict=True) if looked]
        known = iter(self.gates.foreseen(self.synth.codec, some) if some else ())
        return [Source(one, next(known) if looked else None) for one, looked in zip(drawn, gated, strict=True)]


@dataclass(frozen=True)
class Source:
    """What one request is drawn from.   usual: what the gates know for it, None for that of the run."""

    synth: Synthesizer
    usual: curating.Usual | None = None

    def blocks(self, loaded: Loaded, options: MakeOptions, request: Request, tally: Tally) -> Iterator[Block]:
        """What `karat make` would make for the request."""
        with answered_for(loaded.run):
            yield from making.blocks_of(
                self.synth,
                loaded.run,
                options,
                request,
                tally,
                lambda: loaded.gates if self.usual is None else self.usual,
            )


class Shelf:
    """Loaded runs by their names in `catalogue`, which take `memory` bytes together at most; used by one thread.

    A run that was trained on, or made anew, is loaded anew; where that fails the one that is loaded stays.
    every: seconds between two looks whether the record of a run has changed.
    """

    def __init__(self, catalogue: Catalogue, memory: int, every: float = 0.2) -> None:
        self._catalogue, self._memory, self.every = catalogue, memory, every
        self._looked: dict[str, tuple[float, Any]] = {}
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._stamps: dict[str, Any] = {}

    def names(self) -> tuple[str, ...]:
        """Those that are loaded, the one used last at the end."""
        return tuple(self._loaded)

    def there(self, name: str) -> Loaded | None:
        """The run where it is loaded and not deleted since, for any thread."""
        found = self._loaded.get(name)
        return None if found is None or self._stamp(name, found) is None else found

    @property
    def state(self) -> str:
        """Changes whenever a run was loaded or let go, or its gates were asked for the first time."""
        return repr([(name, id(loaded), loaded.weight) for name, loaded in self._loaded.items()])

    @property
    def size(self) -> int:
        return sum(loaded.weight for loaded in tuple(self._loaded.values()))

    def get(self, name: str) -> Loaded:
        """The run, loaded. Problem (503) where it is larger than the memory, (404) where it is gone; RunError where damaged."""
        there = self._loaded.get(name)
        if there is None:
            return self._load(name, self._catalogue.run(name))
        self._loaded.move_to_end(name)
        self._make_room(name, there.weight)
        stamp = self._stamp(name, there)
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

    def _stamp(self, name: str, loaded: Loaded) -> Any:
        """What changes whenever the record of a loaded run is written anew, as it was a moment ago."""
        at, stamp = self._looked.get(name, (0.0, None))
        if time.monotonic() - at >= self.every:
            stamp = _stamp(loaded.run.path)
            self._looked[name] = time.monotonic(), stamp
        return stamp

    def _load(self, name: str, run: Run) -> Loaded:
        stamp, size = _stamp(run.path), _size(run)
        self._looked[name] = time.monotonic(), stamp
        if size > self._memory:
            raise Problem(
                503,
                "run_too_large",
                f"the run {name} takes {size / 1e6:,.0f} MB, and all loaded runs may take {self._memory / 1e6:,.0f}; start the "
                "server with more --memory.",
            )
        self._make_room(name, size)
        with answered_for(run):
            learning.permit(run, None)
            synth = synthesizer.load(run, choose_device("auto"))
            loaded = Loaded(name, run, synth, Together(synth), find(None, [run.path, Path.cwd()]), size)
        self._loaded[name], self._stamps[name] = loaded, stamp
        self._loaded.move_to_end(name)
        return loaded

    def _make_room(self, name: str, size: int) -> None:
        """Lets others go until there is room for the run `name` of `size` bytes, those not used for longest first."""
        for other in [each for each in self._loaded if each != name]:
            if sum(self._loaded[each].weight for each in self._loaded if each != name) + size <= self._memory:
                return
            del self._loaded[other], self._stamps[other]
            LOG.info("run %s was let go to make room for %s", other, name)


def _arrays(value: Any, met: set[int]) -> int:
    """Bytes of all arrays and tensors that an object holds, but of those already `met`."""
    if id(value) in met:
        return 0
    met.add(id(value))
    if isinstance(value, Tensor | np.ndarray):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(_arrays(inner, met) for inner in value.values())
    if isinstance(value, list | tuple):
        return sum(_arrays(inner, met) for inner in value)
    return sum(_arrays(inner, met) for inner in getattr(value, "__dict__", {}).values())


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
