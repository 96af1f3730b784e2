"""`karat train`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from karat.options import TrainOptions, takes_fields
from karat.run import Run
from karat.verbs.entry import check_seed, terminal
from karat.verbs.opened import Opened, opened


@takes_fields(TrainOptions)
def train(options: TrainOptions) -> Opened:
    """Train a generator on data, or continue a run exactly where it stopped.

    With `seeds` the first of so many runs; its `seeds` are all of them.
    """
    called = {"wall": time.monotonic(), "cpu": time.process_time()}
    from karat.training import loop
    from karat.workflow.several import seeding

    loop.tune_machine(options.threads)
    check_seed(options.seed)
    if options.seeds is None:
        return _train(options, called)
    runs = tuple(_train(each, None) for each in seeding.of_seeds(options))
    runs[0].seeds = runs
    terminal().print(f"compare them: karat assay {' '.join(str(run.path) for run in runs)}", soft_wrap=True)
    return runs[0]


def _train(options: TrainOptions, called: Mapping[str, float] | None) -> Opened:
    from karat.errors import FitError
    from karat.training import loop
    from karat.trust import answered_for
    from karat.workflow import learning
    from karat.worth.ledger import Ledger
    from karat.worth.prices import find

    console = terminal()
    source = options.source
    place = source.path if isinstance(source, Run) else Path(source) if isinstance(source, str | Path) else None
    if place is not None and Run.is_run(place):
        run = Run.open(place)
        if options.threads is None:  # as the run began: another number of threads adds in another order
            loop.tune_machine(run.spec.get("threads"))
        declared = find(options.prices, [place, Path.cwd()])
        with run.lock(), Ledger(run.path / "ledger.jsonl", declared).entry("train") as entry, answered_for(run):
            return opened(learning.proceed(run, options, entry, console))
    if options.data is not None or options.trust_data:
        raise FitError(
            "--data and --trust-data are for a run that is continued; name the data alone: `karat train DATA`."
        )
    return opened(learning.begin(options, console, called=called))
