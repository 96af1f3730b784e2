"""Assays are found, not listed: a module in the folder of a view that says which keys it finds is one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection
from types import ModuleType
from typing import Any

from karat.assays.finding import Finding
from karat.assays.keys import KEYS


def modules(package: ModuleType) -> list[ModuleType]:
    """The modules of `package` with `FINDS`, the keys of what their `findings(case)` may find, by name."""
    names = sorted(each.name for each in pkgutil.iter_modules(package.__path__))
    every = (importlib.import_module(f"{package.__name__}.{name}") for name in names)
    return [module for module in every if hasattr(module, "FINDS")]


def examined(package: ModuleType, case: Any, keys: Collection[str] | None = None) -> list[Finding]:
    """What all assays of `package` find of `case`, in the order of `KEYS`; only those that may find one of `keys`, where given.

    Raises ValueError for a finding that its module's `FINDS` does not name.
    """
    out: list[Finding] = []
    for module in modules(package):
        if keys is not None and not set(module.FINDS) & set(keys):
            continue
        found = module.findings(case)
        if unnamed := {finding.key for finding in found} - set(module.FINDS):
            raise ValueError(f"{module.__name__} finds {', '.join(sorted(unnamed))}; name it in its FINDS")
        out += found
    order = {key: i for i, key in enumerate(KEYS)}
    return sorted(out, key=lambda finding: order[finding.key])
