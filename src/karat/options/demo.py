"""What can be asked of `karat demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Look, train, make, assay and report on data that come with the install, in about a minute.

    Parameters
    ----------
    on
        pictures: handwritten digits; table: orders of a shop, rendered by the program; text: the Python language reference; audio:
        musical notes, rendered by the program.
    seconds
        Seconds of training, 25 by default (50 for audio); a table takes what it takes.
    out
        Folder of the run; the first of runs/demo, runs/demo-2, ... that is new by default (runs/demo-table and so on).
        A former demo there that nobody changed since is replaced.
    seed
        Seed of everything random.
    threads
        CPU threads to use.
    """

    on: Literal["pictures", "table", "text", "audio"] = "pictures"
    seconds: float | None = None
    out: Path | None = None
    seed: int = 0
    threads: int = 1
