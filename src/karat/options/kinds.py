"""The types of options, as the command line reads them."""

from __future__ import annotations

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
        number = float(text)
        if not number.is_integer():
            raise ValueError(f"{text} is no whole number") from None
        return int(number)


NUMBER = Parameter(name=["-n", "--number"], converter=_count)
