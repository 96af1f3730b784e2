"""What every verb begins with: the terminal, a run by its folder, a seed that can be used."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from karat.run import Run

if TYPE_CHECKING:
    from rich.console import Console


def terminal(aside: bool = False) -> Console:
    """Where a person reads; aside, where what is made itself goes to standard output."""
    from karat.terminal import Terminal

    return Terminal(aside)


def write(text: str) -> None:
    """Writes to standard output at once, in whatever encoding that has; a terminal gets no escape sequences."""
    from karat.terminal import shown

    encoding = getattr(sys.stdout, "encoding", None)
    text = shown(text) if sys.stdout.isatty() else text
    sys.stdout.write(text if encoding is None else text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def run_of(run: str | Path | Run) -> Run:
    return run if isinstance(run, Run) else Run.open(Path(run))


def check_seed(seed: int) -> None:
    from karat.errors import FitError

    if not 0 <= seed < 2**62:
        raise FitError(f"seed {seed}: wanted a whole number from 0 to {2**62 - 1}.")
