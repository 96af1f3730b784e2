"""Options of `karat review`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, cast

from karat.options.kinds import NUMBER, RunLike, RunsLike
from karat.run import Run


@dataclass(frozen=True)
class ReviewOptions:
    """Look at made things one by one and say which may be used: what is accepted, how long it takes, how far it can be relied on.

    Parameters
    ----------
    run
        The folder of a finished run, of which the newest made things are looked at, or new ones where there are too few; or a
        folder or file of made things. Two runs or folders are compared: of each pair, blind, the better one.
    plan
        How many are looked at: 5% shows 59, as many as must be without a fault for 95% confidence that fewer than 5% have
        one; 1% shows 299; all shows all. 5% by default.
    n
        How many are looked at, in place of a plan.
    reviewer
        Who looks: a name or any other word, kept with the decisions, so that several people can look at the same things.
    data
        Where the run's data lie now, if they were moved: some unseen real ones are shown among the made ones.
    trust_data
        Read the data that a run which you did not make names.
    family
        The Python file that the run was trained with, if it was; it is run.
    seed
        Seed of what is made where there are too few.
    threads
        CPU threads to use.
    """

    run: RunsLike
    _: KW_ONLY
    plan: str | None = None
    n: Annotated[int | None, NUMBER] = None
    reviewer: str = ""
    data: str | Path | None = None
    trust_data: bool = False
    family: str | Path | None = None
    seed: int = 0
    threads: int | None = None

    @property
    def places(self) -> tuple[Path, ...]:
        """The runs, folders or files, however many were given."""
        several = self.run if isinstance(self.run, list | tuple) else [cast("RunLike", self.run)]
        return tuple(one.path if isinstance(one, Run) else Path(one) for one in several)
