"""`karat make`."""

from __future__ import annotations

from pathlib import Path

from karat.options import MakeOptions, takes_fields
from karat.verbs.entry import check_seed, run_of, terminal, write


@takes_fields(MakeOptions)
def make(options: MakeOptions) -> list[Path]:
    """Make new content and write it as ordinary files, each labelled as AI-made."""
    from karat.training import loop
    from karat.trust import answered_for
    from karat.workflow import checking, curating, devices, learning, making, sharding
    from karat.worth.ledger import Ledger
    from karat.worth.prices import find

    loop.tune_machine(options.threads)
    check_seed(options.seed)
    if options.shards is None:
        sharding.refuse(options)
    making.request_of(options)  # what cannot be is refused before the run is opened
    run = run_of(options.run)
    with answered_for(run):
        learning.permit(run, options.family)
    where = devices.choose_device(options.device)
    ledger = Ledger(run.path / "ledger.jsonl", find(options.prices, [run.path, Path.cwd()]))
    with ledger.entry("make", where.type) as entry, answered_for(run):
        cautions = making.cautions(run, options)
        for line in cautions:
            terminal(options.stream).print(line, soft_wrap=True)
        one = options.shards is None
        made = making.make(run, options, write) if one else sharding.make(run, options, terminal().print)
        checking.remember(run, made.files, options.sign is not None)
        entry.items, entry.elsewhere, entry.candidates = made.count, made.elsewhere, made.tally.candidates
        entry.dropped, entry.gate_seconds = dict(made.tally.dropped), made.tally.seconds
    noted = () if made.note is None else (made.note,)
    told = [note for note in curating.tally_note(made.tally) if note not in cautions]
    for line in (f"made {made.count:,}: {made.place}", *noted, *told, *run.notes):
        terminal(options.stream).print(line, soft_wrap=True)
    return list(made.files)
