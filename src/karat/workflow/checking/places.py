"""What a person points at: a file, a folder of files, or a run."""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from karat.chain import HEAD, Chain
from karat.errors import DataError, FitError, RunError
from karat.output import BESIDE, INSIDE, STAGE
from karat.provenance.reading import read_label
from karat.provenance.signing import Trust
from karat.provenance.signing.detached import BESIDE as SIGNED_BESIDE
from karat.provenance.signing.detached import INSIDE as SIGNED_INSIDE
from karat.review.decisions import FILE as DECISIONS
from karat.run import Run
from karat.trust import signed
from karat.words import several
from karat.workflow.checking.files import FileCheck, Result, check_file, marked
from karat.workflow.checking.made import NAME as REMEMBERED
from karat.workflow.checking.made import Memory

if TYPE_CHECKING:
    from karat.assays.resemblance import Resemblance

RUNS = Path("runs")  # where runs lie that nobody named
MADE = re.compile(r"made(-\d+)?")  # where a run makes that is told no other place
GOOD = ("intact",)
UNLABELLED = ("no label", "stripped")


@dataclass(frozen=True)
class Part:
    """One thing that a run keeps.   holds: None where it cannot be told."""

    name: str
    holds: bool | None
    says: str


@dataclass(frozen=True)
class Check:
    """What was found.   files: one by one.   parts: what runs keep: their record, model and chains.

    together: the watermark that all files of a folder bear, put to one test: a hundred that say little say much.
    resemblances: where they were asked for, of each file or folder as a whole.   failed: what is not as it should be, where
    that was demanded.
    """

    files: tuple[FileCheck, ...] = ()
    parts: tuple[Part, ...] = ()
    together: tuple[tuple[Path, Result], ...] = ()
    resemblances: tuple[tuple[Path, Resemblance], ...] = ()
    failed: tuple[str, ...] = ()
    report: None = field(default=None, repr=False)

    @property
    def states(self) -> dict[str, int]:
        """How many files are in which state."""
        return dict(Counter(found.state for found in self.files))

    def to_dict(self) -> dict[str, Any]:
        """For one file also `results` at the top, each with type, outcome, validation_state, issuer, model, generated_at."""
        alone = {"results": self.files[0].to_dict()["results"]} if len(self.files) == 1 else {}
        return {
            **alone,
            "states": self.states,
            "files": [found.to_dict() for found in self.files],
            "parts": [asdict(part) for part in self.parts],
            "together": [{"path": str(path), **asdict(found)} for path, found in self.together],
            "resemblances": [{"path": str(path), **asdict(found)} for path, found in self.resemblances],
            "failed": list(self.failed),
        }


def check(
    paths: Sequence[Path],
    run: Path | None = None,
    trust: Sequence[Path] = (),
    resembles: bool = False,
    strict: bool = False,
) -> Check:
    """What is known of the origin of files, folders of files, and runs.   run: by which they may have been made.

    trust: certificates to trust beside one's own.   resembles: whether they look like what `run` makes.
    strict: `failed` names all that is not known to be as it was made.
    """
    roots, given = Trust.of(trust), None if run is None else [Memory(Run.open(run))]
    files: list[FileCheck] = []
    parts: list[Part] = []
    together: list[tuple[Path, Result]] = []
    for path in paths:
        if not path.exists():
            raise FitError(f"{path} is not there; `karat check` wants a file, a folder, a run or a report.")
    places = [place for path in paths for place in _places(path)]
    for place in places:
        if Run.is_run(place):
            parts += _parts(Run.open(place), named=len(places) > 1)
        memories = _memories(place) if given is None else given
        here = [check_file(one, memories, roots) for one in (_files(place) if place.is_dir() else [place])]
        files += here
        if len(here) > 1 and any(one.state in UNLABELLED for one in here):
            together += [(place, found) for found in [marked(place, memories)] if found.outcome == "detected"]
    bad = [f"{found.path}: {found.state}" for found in files if found.state not in GOOD]
    bad += [f"{part.name}: {part.says}" for part in parts if part.holds is False]
    alike = _resemblances(paths, run) if resembles else ()
    return Check(tuple(files), tuple(parts), tuple(together), alike, tuple(bad) if strict else ())


def _resemblances(paths: Sequence[Path], run: Path | None) -> tuple[tuple[Path, Resemblance], ...]:
    if run is None:
        raise FitError("--resembles wants --run: the run whose content the files may resemble.")
    from karat.workflow.checking.likeness import Likeness  # and with it torch

    likeness = Likeness(Run.open(run))
    return tuple((path, likeness.of(path)) for path in paths if not Run.is_run(path))


def _places(path: Path) -> Iterator[Path]:
    """The path itself, and each run in it where it is a folder of them."""
    yield path
    if path.is_dir() and not Run.is_run(path):
        for here, folders, _ in os.walk(path):
            folders.sort()
            if Run.is_run(Path(here)):
                folders.clear()
                yield Path(here)


def _files(folder: Path) -> Iterator[Path]:
    """The files of a folder, without those that are labels or signatures of others; of a run what it made, not what it keeps.

    Runs in a folder are places of their own.
    """
    for here, folders, names in os.walk(folder):
        if Run.is_run(Path(here)):
            folders[:], names = [name for name in folders if here == str(folder) and MADE.fullmatch(name)], []
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != STAGE)
        for name in sorted(names):
            aside = name in (INSIDE, SIGNED_INSIDE) or name.endswith((BESIDE, SIGNED_BESIDE)) or name.startswith(".")
            if not aside and (Path(here) / name).is_file():
                yield Path(here) / name


def _memories(path: Path) -> list[Memory]:
    """Of the run in which a file lies, or that it is, else of those in the folder `runs`."""
    here = path.absolute()
    above = [place for place in (here, *here.parents) if Run.is_run(place)][:1]
    beside = sorted(place.parent for place in RUNS.glob("*/karat.json")) if not above else []
    found = []
    for place in above or beside:
        with contextlib.suppress(RunError):  # one that is damaged vouches for nothing
            found.append(Memory(Run.open(place)))
    return found


def _parts(run: Run, named: bool) -> Iterator[Part]:
    name = f"{run.path}: " if named else ""
    mine = signed(run.spec)
    yield Part(
        f"{name}record",
        mine or None,
        "as you left it" if mine else "not signed by you on this machine, or changed since",
    )
    try:
        run.load_model()
        for part in run.spec["parts"]:
            run.part(part)
        label = read_label(run.path / run.spec["models"][0])
        said = "without a label" if label is None else f"labelled as {label.fields.get('ProduceID', '')}"
        whole = "; ".join(run.notes) or f"its bytes are those that the record names, {said}"
        yield Part(f"{name}model", not run.notes, whole)
    except (RunError, DataError) as error:
        yield Part(f"{name}model", None if not run.spec.get("models") else False, str(error))
    headed = {head.with_name(head.name.removesuffix(HEAD)) for head in run.path.rglob(f"*.jsonl{HEAD}")}
    bare = {
        place for kept in (REMEMBERED, DECISIONS) if (place := run.path / kept).is_file()
    }  # also where the head was removed
    for path in sorted({run.path / "ledger.jsonl", *headed, *bare}):
        yield _chain(f"{name}{path.relative_to(run.path)}", Chain(path))


def _chain(name: str, chain: Chain) -> Part:
    found = chain.audit()
    older = f", the first {found.older:,} from before it was a chain" if found.older else ""
    lines = several(found.lines, "line") + older
    if found.breaks:
        return Part(name, False, f"{lines}; " + "; ".join(map(str, found.breaks[:5])))
    if not found.lines:
        return Part(name, None, "nothing in it yet")
    by = {True: "sealed by you", False: "sealed by another user, or on another machine", None: "not sealed"}[
        found.sealed
    ]
    upon = f"; line {found.unsealed[0]} was added upon an end that you had not sealed" if found.unsealed else ""
    return Part(name, found.sealed is True and not found.unsealed or None, f"{lines}, unbroken, {by}{upon}")
