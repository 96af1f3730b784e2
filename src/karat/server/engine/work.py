"""What is done for a request, step by step, in the engine's thread; between two steps others have their turn."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from karat.content.codec import Block
from karat.content.table.rules.conditions import pieces
from karat.curation.drawing import Tally
from karat.errors import FitError, GateError, KaratError, RunError
from karat.limits import exhausted
from karat.server.engine.drawn import Drawn, Partial
from karat.server.engine.shelf import Loaded, Source
from karat.server.engine.ticket import Ticket
from karat.server.guard.keys import PROBE
from karat.server.problems import Problem, in_fields, without_places
from karat.synthesizer import Single
from karat.trust import answered_for
from karat.workflow import making
from karat.workflow.curating import NONE

MOST, NUMBERS = 1_000_000, 2**28  # records of one answer, and numbers in them, at most


Steps = Generator[Any, None, Any]  # yields what is given meanwhile, or None; returns what is given last


def records(ticket: Ticket, loaded: Loaded, source: Source) -> Steps:
    """All records of the request, a block a step."""
    most = min(MOST, NUMBERS // max((space.numel for space in loaded.synth.codec.spaces), default=1))
    if ticket.request.n > most:
        raise Problem(400, "too_many", f"{ticket.request.n:,} records: at most {most:,} are made for one request.", "n")
    _check_probing(ticket, loaded)
    tally, blocks, left = Tally(), list[Block](), ticket.request.n
    for block in source.blocks(loaded, ticket.options, ticket.request, tally):
        blocks.append(block)
        left -= len(block)
        if left > 0:
            yield None
    return _drawn(ticket, loaded, blocks, tally)


def text(ticket: Ticket, loaded: Loaded, source: Source) -> Steps:
    """One passage, a piece a step."""
    if not isinstance(loaded.synth, Single):
        raise FitError("only text can be followed while it comes; leave stream out.")
    with answered_for(loaded.run):
        growing = loaded.synth.growing(ticket.request)
        yield from growing
        block = growing.block()
    tally = Tally(notes=["no gate looked at them: text was shown while it came"])
    return _drawn(ticket, loaded, [block], tally)


@dataclass(frozen=True)
class Shown:
    """Up to `most` earlier states of the records, and then these."""

    most: int

    def __call__(self, ticket: Ticket, loaded: Loaded, source: Source) -> Steps:
        together = loaded.together
        if self.most and ticket.plain and together.steps > 1 and together.kind(ticket.request) is not None:
            at = {together.steps * k // (self.most + 1) for k in range(1, self.most + 1)}
            for step, shown in enumerate(together.stages(ticket.request), 1):
                last = step == together.steps
                yield Partial(step, together.steps, shown().block) if step in at and not last else None
            source = Source(shown())
        return (yield from records(ticket, loaded, source))


@dataclass(frozen=True)
class Look:
    """What `of` finds in a loaded run."""

    of: Callable[[Loaded], Any]

    def __call__(self, ticket: Ticket, loaded: Loaded, source: Source) -> Steps:
        yield from ()
        with answered_for(loaded.run), torch.no_grad():
            return self.of(loaded)


def _check_probing(ticket: Ticket, loaded: Loaded) -> None:
    """Problem (403) where nearly a whole row is given by who may not know whether it was learned from: a gate would drop it."""
    given = ticket.request.given
    if given is None or PROBE in ticket.caller.scopes or ticket.options.gate == NONE:
        return
    columns = getattr(getattr(loaded.synth.codec, "schema", None), "columns", ())  # related tables pass no gate
    if columns and len({name for name, *_ in pieces(given)}) > len(columns) / 2:
        message = (
            f"more than half of the {len(columns)} columns are given, and gates would tell whether such a row was learned from; "
            f"give fewer, leave the gates out (gate: none), or use a key with the scope {PROBE}."
        )
        raise Problem(403, "missing_scope", message, "given")


def _drawn(ticket: Ticket, loaded: Loaded, blocks: list[Block], tally: Tally) -> Drawn:
    label, codec = making.label_of(loaded.run, ticket.options), loaded.synth.codec
    return Drawn(ticket.name, loaded.run, codec, ticket.request, ticket.options, tuple(blocks), label, tally)


def told(error: BaseException, hidden: Iterable[Path]) -> BaseException:
    """What a client hears of what went wrong while something was made for it: a fault of the run's or the server's is a 5xx,
    all else of karat's what `problems` makes of it.   hidden: folders that it is not told of.
    """
    if isinstance(error, GateError | RunError):
        code = "gate_refused" if isinstance(error, GateError) else "run_unusable"
        return Problem(500, code, in_fields(without_places(str(error), hidden)))
    if not isinstance(error, KaratError | Problem) and (short := exhausted(error)) is not None:
        return Problem(503, "out_of_memory", in_fields(short))
    return error
