"""Training with several seeds: where the runs of one recipe with several seeds go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from karat.errors import FitError, RunError
from karat.options import TrainOptions
from karat.run import Run

MOST = 1000


def of_seeds(options: TrainOptions) -> list[TrainOptions]:
    """The options of each run: OUT-1 with the seed given, OUT-2 with the next; RunError where one of them is there."""
    n, source = options.seeds, options.source
    assert n is not None
    if not 2 <= n <= MOST:
        raise FitError(f"--seeds {n}: wanted 2 to {MOST}; without it one run is trained.")
    place = source if isinstance(source, str | Path) else None
    if place is not None and Run.is_run(Path(place)):
        raise FitError(f"{place} is a run, whose seed is fixed; --seeds is for data: `karat train DATA --seeds {n}`.")
    if options.out is not None:
        base = Path(options.out)
        there = [goal for goal in _places(base, n) if goal.exists()]
        if there:
            raise RunError(f"{there[0]} is there already; choose another --out for the {n} runs.")
    else:
        stem = "frame" if place is None else Path(place).name.split(".")[0]
        named = Path("runs") / f"{stem}-{options.recipe or 'seeds'}"
        k, base = 1, named
        while any(goal.exists() for goal in _places(base, n)):
            k += 1
            base = named.with_name(f"{named.name}-{k}")
    return [replace(options, seeds=None, seed=options.seed + i, out=goal) for i, goal in enumerate(_places(base, n))]


def _places(base: Path, n: int) -> list[Path]:
    return [base.with_name(f"{base.name}-{i + 1}") for i in range(n)]
