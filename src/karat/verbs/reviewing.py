"""`karat review`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from karat.options import ReviewOptions, takes_fields
from karat.verbs.entry import check_seed, terminal
from karat.verbs.making import make
from karat.worth.prices import find

if TYPE_CHECKING:
    from karat.run import Run
    from karat.workflow.people.preferring import Preferred
    from karat.workflow.people.reviewing import Looked, Review


@takes_fields(ReviewOptions)
def review(options: ReviewOptions) -> Review | Preferred:
    """Look at made things one by one and say which may be used: what is accepted, how long it takes, and by whom.

    Of two runs, which of them people like better.
    """
    from karat.errors import FitError
    from karat.review.screen import require_terminal
    from karat.training import loop
    from karat.workflow.people import preferring, reviewing

    loop.tune_machine(options.threads)
    check_seed(options.seed)
    places = options.places

    def more(run: Run, n: int) -> None:
        make(run, n=n, seed=options.seed, family=options.family, threads=options.threads)

    if len(places) > 2:
        raise FitError(f"{len(places)} runs were named; one is reviewed, two are compared.")
    require_terminal()  # nothing is made where nobody can look
    found = [reviewing.looked(place, options, more) for place in places]
    if len(found) == 2:
        preferred = preferring.compare(found[0], found[1], options)
        terminal().print(str(preferred), soft_wrap=True)
        return preferred
    return _reviewed(found[0], options)


def _reviewed(found: Looked, options: ReviewOptions) -> Review:
    from karat.review.asking import ask
    from karat.review.screen import screen
    from karat.workflow.people import reviewing
    from karat.worth.ledger import Ledger

    session, notes = reviewing.session_of(found, options)
    for note in notes:
        terminal().print(note, soft_wrap=True)
    if found.run is None:
        with screen() as shown:
            ask(session, shown, lambda name, blob: reviewing.mended(found, name, blob))
        result = reviewing.concluded(found, session)
    else:
        with Ledger(found.run.path / "ledger.jsonl", find(None, [found.run.path, Path.cwd()])).entry("review") as entry:
            with screen() as shown:
                ask(session, shown, lambda name, blob: reviewing.mended(found, name, blob))
            result = reviewing.concluded(found, session)
            entry.note = reviewing.note_of(result)
    terminal().print(str(result), soft_wrap=True)
    return result
