"""The types of options, as the command line reads them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from cyclopts import Parameter

if TYPE_CHECKING:
    from cyclopts import Token

    from karat.run import Run

    RunLike: TypeAlias = str | Path | Run
    RunsLike: TypeAlias = RunLike | Sequence[RunLike]
    Source: TypeAlias = Any  # a path, an address, or a data frame of pandas, polars or Arrow
else:  # the command line reads these types: it names a run by its folder, and must not import torch
    RunLike, RunsLike, Source = (
        str | Path,
        list[str | Path],
        str | Path,
    )  # a text either way; the shell completes names of files


def _count(_: Any, tokens: Sequence[Token]) -> int:
    """A whole number as people write large ones: 1000000, 1_000_000, 1e6."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        with contextlib.suppress(ValueError):
            if (number := float(text)).is_integer():
                return int(number)
    raise ValueError(f"{text!r} is no whole number.")


COUNT = Parameter(converter=_count)
NUMBER = Parameter(name=["-n", "--number"], converter=_count)
