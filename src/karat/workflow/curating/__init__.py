"""The gates of a make: those that every make has, and those that a person asked for."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from karat.cache import cache_folder
from karat.content.codec import Block, Codec
from karat.content.table.rules.conditions import names_file
from karat.curation import quotas, ranking
from karat.curation.copies import Copies
from karat.curation.copies.points import VERSION, Searched
from karat.curation.drawing import Draw, Tally, curated
from karat.curation.gate import Candidates, Gate
from karat.curation.kept import Kept
from karat.curation.repeats import Repeats
from karat.curation.rules import Rules
from karat.data import Data
from karat.errors import FitError, RunError
from karat.options import MakeOptions
from karat.output import to_json, write_whole
from karat.request import Request
from karat.run import Run
from karat.trust import sealed
from karat.workflow import learning
from karat.workflow.curating import asked as chosen

NONE = "none"
LARGE = 1e9  # bytes of pictures or sounds that are not read anew for each make


@dataclass(frozen=True)
class Usual:
    """What the gates that every make has know of the training records of a run.   chance: that two of these are equal, at most;
    None where that is not known."""

    copies: Gate
    chance: float | None

    @classmethod
    def of(cls, run: Run) -> Usual:
        blob = run.load_gates()
        kept = None if blob is None else Kept.restore(blob)
        return cls(_copies(run, kept), None if kept is None else kept.chance)

    def gates(self, codec: Codec, request: Request) -> Iterator[Gate]:
        """Those of one make."""
        yield Rules()
        yield self.copies
        if not request.continues:  # where text is likelier than usual, or begins alike, it comes again
            yield Repeats(request.n, (1.0 if codec.repeats else 0.0) if self.chance is None else self.chance)

    def foreseen(self, codec: Codec, blocks: Sequence[Block]) -> list[Usual]:
        """For each block, which was drawn already, the same for a make that begins with it; all are looked at together."""
        if not isinstance(self.copies, Copies):
            return [self for _ in blocks]
        gates = self.copies.foreseen([Candidates(codec, block) for block in blocks])
        return [replace(self, copies=gate) for gate in gates]


def blocks(
    run: Run,
    options: MakeOptions,
    codec: Codec,
    request: Request,
    draw: Draw,
    tally: Tally,
    usual: Callable[[], Usual] | None = None,
) -> Iterator[Block]:
    """What is drawn for `request`, as far as it passes the gates; counted in `tally`.

    usual: who makes several has those of the run already.
    """
    named, share = _named(options), ranking.checked(options.keep)
    requests = [request]
    if options.classes is not None:
        requests = quotas.requests(request, options.classes, codec.target, "given" in codec.answers)
    why = _ungated(request, codec)
    if why is not None or named == [NONE]:
        if options.keep is not None or (named and named != [NONE]):
            raise FitError(
                f"--gate and --keep take records away, and {why or '--gate none takes none'}; leave them out."
            )
        tally.notes += [] if why is None else [f"no gate looked at them: {why}"]
        return itertools.chain.from_iterable(draw(one, None) for one in requests)
    common = Usual.of(run) if usual is None else usual()
    gates = [*common.gates(codec, request), *chosen.gates(named, codec, lambda: _others(run))]
    if share < 1:
        gates.append(_ranking(run, options, codec, request, draw, share))
    return curated(codec, draw, requests, gates, tally, share)


def _ungated(request: Request, codec: Codec) -> str | None:
    """Why nothing can be taken from what is made, None where it can."""
    if not codec.gated:
        return "related tables are made at once"
    if request.on_text is not None:
        return "text was shown while it came"
    if request.given is not None and names_file(request.given):
        return "each row of a file is completed"
    return None if request.balance is None else "values are balanced to the row"


def _named(options: MakeOptions) -> list[str]:
    return [options.gate] if isinstance(options.gate, str) else list(options.gate)


def told(options: MakeOptions) -> dict[str, Any]:
    """What decides which records are kept, as JSON; nothing where a make has the usual gates."""
    asked = {"gate": _named(options), "keep": options.keep, "classes": options.classes}
    return {name: value for name, value in asked.items() if value not in (None, [])}


def _ranking(
    run: Run, options: MakeOptions, codec: Codec, request: Request, draw: Draw, share: float
) -> ranking.Ranking:
    if options.shards is not None:
        raise FitError("--keep learns from what is made, which each shard would do anew; leave --shards out.")
    data = learning.again(run)
    train = data.view("train")
    made = draw(request.again(ranking.aside(request.n), 999), None)
    return ranking.Ranking(train, [codec.view(block.records) for block in made], share, data.fingerprint, options.seed)


def _copies(run: Run, kept: Kept | None) -> Copies:
    if run.spec["epsilon"] is not None:
        return Copies(None, "what would tell them is no part of a private run")
    if kept is None and run.spec["status"] != "trained":
        raise RunError(
            f"the training of {run.path} did not end ({run.spec['status']}), at which is kept what tells copies of training "
            f"records: train it to its end with `karat train {run.path}`, or make without looking for them by `--gate none`."
        )
    if kept is None:
        return Copies(None, "the run was trained before they were; train it anew")
    if kept.finder is not None:
        return Copies(kept.finder)
    if not sealed(run.spec):
        return Copies(None, "that takes the data, and who made this run may not have them opened here")
    if (size := _size(run.source)) > LARGE:
        return Copies(
            None, f"it takes the data, and reading {size / 1e9:,.1f} GB of them anew would take longer than making"
        )
    try:
        return Copies(_searched(learning.again(run)))
    except RunError as error:
        return Copies(None, f"that takes the data; {error}")


def _others(run: Run) -> tuple[Any, Any] | None:
    """Training records of a run and those set aside; None where they may not or cannot be read anew."""
    if run.spec["epsilon"] is not None or not sealed(run.spec) or _size(run.source) > LARGE:
        return None
    try:
        data = learning.again(run)
    except RunError:
        return None
    return data.view("train"), data.view("holdout")


def _size(source: str | Path) -> int:
    """Bytes of the files at a path; 0 where there are none."""
    path = Path(source)
    files = [path] if path.is_file() else path.rglob("*") if path.is_dir() else []
    return sum(file.stat().st_size for file in files if file.is_file())


def _searched(data: Data) -> Searched:
    """What tells copies of the training points; where its bars are is kept, as finding that takes longest."""
    place = cache_folder(None) / "gates" / f"{data.fingerprint[:32]}-{VERSION}.json"
    view = data.view("train")
    try:
        bars = [math.inf if bar is None else float(bar) for bar in json.loads(place.read_bytes())]
    except (OSError, ValueError, TypeError):
        found = Searched(view, 0)  # type: ignore[arg-type]
        place.parent.mkdir(mode=0o700, exist_ok=True)
        write_whole(place, to_json([bar if math.isfinite(bar) else None for bar in found.bars]))
        return found
    return Searched(view, 0, bars)  # type: ignore[arg-type]


def tally_note(tally: Tally) -> tuple[str, ...]:
    """What a person should know of what passed the gates."""
    line = tally.line()
    return (*(() if line is None else (line,)), *tally.notes)
