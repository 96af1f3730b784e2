"""A review from end to end: what is looked at and by which plan, real records among it, and what came of it in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from karat.content.showing import Shown, Things, of_records, things
from karat.errors import DataError, FitError, RunError
from karat.options import ReviewOptions
from karat.output import BESIDE as LABEL
from karat.output import INSIDE, Output, digest_of, file_name, read_json, to_json
from karat.provenance.label import KEYWORD
from karat.provenance.reading import says_inside
from karat.review.decisions import BESIDE, FILE, Decisions
from karat.review.outcome import Outcome, outcome
from karat.review.plan import BLIND, FEWEST, promise, wanted
from karat.review.session import Session
from karat.run import Run
from karat.workflow.learning import again
from karat.workflow.making import FEW
from karat.worth.reviewed import Reviewed

PLAN = "5%"
ANY = 10**9  # more than any plan asks
MENDED = "review/edited"  # in a run: what reviewers mended
MENDED_BESIDE = ".edited"  # behind the name of a folder or file that lies in no run


@dataclass(frozen=True)
class Looked:
    """What is to be looked at.   run: whose decisions these are, None for a folder or file that lies in none."""

    place: Path
    things: Things
    run: Run | None
    notes: tuple[str, ...] = ()

    @property
    def decisions(self) -> Decisions:
        return Decisions(decisions_of(self.place, self.run))

    @property
    def model(self) -> str:
        return model_of(self.run)


@dataclass(frozen=True)
class Review:
    """What came of a review, with all decisions of before."""

    place: Path
    outcome: Outcome
    said: tuple[str, ...]
    left: int  # looks until the plan is done
    report: Path | None = None

    def __str__(self) -> str:
        return "\n".join(self.said)

    def to_dict(self) -> dict[str, Any]:
        return {"place": str(self.place), "left": self.left, "said": list(self.said), **self.outcome.to_dict()}


def model_of(run: Run | None) -> str:
    """By which a run's decisions know what they are about: a run that goes on learning makes other things."""
    return "" if run is None else str(next(iter(run.spec.get("models", [])), ""))


def decisions_of(place: Path, run: Run | None) -> Path:
    """The file of the decisions about what lies at `place`."""
    return place.with_name(place.name + BESIDE) if run is None else run.path / FILE


def reviewed_of(place: Path, run: Run | None = None) -> Reviewed:
    """What people said of what the run made as it is now, or of a folder or file, which may lie in one.

    Unknown where the decisions are not as this user's reviews left them: whoever may write a line could accept anything.
    """
    run = _run_at(place) if run is None else run
    decisions = Decisions(decisions_of(place, run))
    doubt = decisions.doubt()
    if doubt:
        return Reviewed(stamps=(doubt,))
    return outcome(decisions.all(), model_of(run)).reviewed


def looked(place: Path, options: ReviewOptions, make: Callable[[Run, int], object]) -> Looked:
    """What is at a run, folder or file to be looked at; where a run has made too few, `make` makes so many new ones."""
    run = _run_at(place)
    if run is None or run.path.resolve() != place.resolve():
        if not place.exists():
            raise RunError(f"{place} does not exist; the folder of a run, or of made things, was wanted.")
        return Looked(place, things(place), run)
    plan = options.plan or PLAN
    least = wanted(plan, ANY) if options.n is None else options.n
    least = least if least < ANY else 1
    newest = _newest(run)
    if newest is None or len(things(newest)) < least:
        make(run, max(least, FEW))
        newest = _newest(run)
        assert newest is not None
    return Looked(newest, things(newest), run)


def session_of(found: Looked, options: ReviewOptions) -> tuple[Session, tuple[str, ...]]:
    """The review of what was found by these options, and what there is to say of it before."""
    if options.n is not None and options.plan is not None:
        raise FitError("give --plan or -n, not both: a plan says how many are looked at.")
    total = len(found.things)
    if options.n is not None and not 1 <= options.n <= total:
        raise FitError(f"-n {options.n}: {found.place} holds {total:,}; a number from 1 to {total:,} was wanted.")
    plan = options.plan or PLAN
    n = wanted(plan, total) if options.n is None else options.n
    reals, notes = _reals(found, options, max(FEWEST, int(np.ceil(BLIND * n))))
    model = found.model
    session = Session(found.things, found.decisions, plan, n, options.reviewer, reals, model)
    if plan != "all" and options.n is None and n < (most := wanted(plan, ANY)):
        notes = (*notes, f"--plan {plan} wants {most:,} and {found.place} holds {total:,}: all are shown.")
    return session, (*found.notes, *notes)


def _reals(found: Looked, options: ReviewOptions, n: int) -> tuple[list[Shown], tuple[str, ...]]:
    """Unseen real records in the form of the made ones, where they are at hand; else why not."""
    if found.run is None:
        return [], ()
    try:
        data = again(found.run, options.data, options.trust_data)
        reals = of_records(data.codec, data.records("holdout", n, 0))
    except (RunError, DataError) as error:
        return [], (f"no real ones are among them: {error}",)
    like = type(found.things[0].show())
    return [real for real in reals if isinstance(real, like)], ()


def mended(found: Looked, name: str, blob: bytes) -> str:
    """Keeps what a reviewer mended, with the label of origin of what it was made from; its name."""
    folder = found.place.with_name(found.place.name + MENDED_BESIDE) if found.run is None else found.run.path / MENDED
    output, k, goal = Output(private=True), 1, folder / file_name(name)
    while goal.exists():
        k += 1
        goal = folder / file_name(f"{Path(name).stem}-{k}{Path(name).suffix}")
    beside = [
        found.place / INSIDE,
        found.place.with_name(found.place.name + LABEL),
        *sorted(found.place.glob(f"*{LABEL}")),
    ]
    label: dict[str, Any] = next(filter(None, map(read_json, beside)), {})
    output.write(goal, blob)
    if KEYWORD in label:
        record = {**label, "sha256": {goal.name: digest_of(goal)}, "changed": "by a person, from what was made"}
        output.write(goal.with_name(goal.name + LABEL), to_json(record))
    return goal.name


def concluded(found: Looked, session: Session) -> Review:
    """What all decisions say together, once the reviewer has gone."""
    result = outcome(found.decisions.all(), found.model)
    said, left = result.lines(), len(session.looks) - len(session.done)
    seen = result.reviewed.seen
    if seen:
        said.append(promise(session.plan, seen, result.faults))
        usual = result.reviewed.seconds
        said.append(f"accepted: {result.reviewed.accepted:,} of {seen:,}, in {usual:.1f} s each, mending included.")
    elif result.reviewed.stamps:
        said.append("how many are accepted is unknown: nobody looked who can be believed.")
    if doubt := found.decisions.doubt():
        said.append(f"a verdict will not count them: {doubt}.")
    if left:
        said.append(f"{left:,} are left: the same command goes on with them.")
    return Review(found.place, result, tuple(said), left)


def note_of(review: Review) -> str:
    """What the ledger says of a review."""
    found = review.outcome.reviewed
    if not found.seen:
        return "nobody who can be believed" if found.stamps else ""
    told = f"; {found.agreement}" if found.agreement else ""
    return f"{found.accepted} of {found.seen} accepted, {found.seconds:.1f} s each{told}"


def _run_at(place: Path) -> Run | None:
    """The run that is `place`, or in which it lies."""
    for folder in (place, *place.absolute().parents):
        if Run.is_run(folder):
            return Run.open(folder)
    return None


def _newest(run: Run) -> Path | None:
    """What the run made last, where all of it is there."""
    return next(iter(made_in(run)), None)


def made_in(run: Run) -> list[Path]:
    """Files and folders in the run that it made, where all of each is there; the newest first."""
    found = (path for path in run.path.glob("made*") if _is_made(path))
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _is_made(path: Path) -> bool:
    """Whether it carries a label of origin, as nothing else in a run does."""
    if path.is_symlink():
        return False
    if path.with_name(path.name + LABEL).is_file() or (path / INSIDE).is_file() or any(path.glob(f"*{LABEL}")):
        return True
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()][:1]
    return any(map(says_inside, files))
