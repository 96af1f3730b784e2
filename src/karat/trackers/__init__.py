"""Trackers that a person may ask for with --track: one file each, found by its name.

Such a file exports `NEEDS`, the names of the modules that it imports and the install does not bring, and `track(job)`: a
context manager that gives a sink (see `karat.events`). It imports what it needs when `track` is called, not before.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from karat.errors import FitError


@dataclass(frozen=True)
class Job:
    """What a tracker may know of a run.

    folder: of the run, where a tracker that keeps files puts its own.   name: of that folder.   settings: the recipe and the
    budget; nothing of the data.
    """

    folder: Path
    id: str
    name: str
    settings: Mapping[str, Any]


def names() -> list[str]:
    """Every tracker there is."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__))


def module(name: str) -> Any:
    """The file of that name; FitError where there is none, or what it needs is not installed."""
    if name not in names():
        raise FitError(f"--track {name}: there is no such tracker; there are {', '.join(names())}.")
    found = importlib.import_module(f"{__name__}.{name}")
    if any(importlib.util.find_spec(need) is None for need in found.NEEDS):
        raise FitError(f"{name} is not installed; pip install 'karat[{name}]', or leave out --track {name}.")
    return found


def check(asked: Sequence[str]) -> list[str]:
    """The names that were asked for, each once; FitError where one cannot be had."""
    for name in asked:
        module(name)
    return list(dict.fromkeys(asked))
