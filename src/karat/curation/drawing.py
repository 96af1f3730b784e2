"""Drawing until enough records passed the gates; what was dropped, why, and what that cost.

The first draw is the request itself, so that where nothing is dropped the records are those of a make without gates. What is
missing then is drawn by further requests, each of a seed of its own.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from karat import limits
from karat.content.codec import Block, Codec
from karat.content.table.bloom import Past
from karat.curation.gate import Candidates, Gate, asked
from karat.errors import GateError
from karat.request import Request

LOOKED = 250  # candidates that gates look at before others may have their turn
WASTE = 20  # candidates for each record that is expected to pass, beyond which it is given up
SPARE = 1.1  # candidates for each that is missing, so that one further draw is mostly enough

Draw = Callable[[Request, Past | None], Iterator[Block]]  # as `Synthesizer.stream`


@dataclass
class Tally:
    """How many candidates were drawn and kept, why others were dropped, and the CPU seconds that the gates took.

    notes: what a person should know of the gates.
    """

    candidates: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.candidates, self.kept = self.candidates + other.candidates, self.kept + other.kept
        self.dropped, self.seconds = self.dropped + other.dropped, self.seconds + other.seconds
        self.notes += [note for note in other.notes if note not in self.notes]

    def line(self) -> str | None:
        """What was dropped, in words; None where nothing was."""
        if not self.dropped:
            return None
        told = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.most_common())
        return f"dropped {sum(self.dropped.values()):,} of {self.candidates:,} candidates: {told}"


def curated(
    codec: Codec, draw: Draw, requests: Sequence[Request], gates: Sequence[Gate], tally: Tally, share: float = 1.0
) -> Iterator[Block]:
    """Blocks of together as many records as `requests` ask for, all of which passed the gates; counted in `tally`.

    share: of the candidates that are expected to pass.   Raises GateError where far too few do.
    """
    drawn = 0
    past = Past(2 * sum(request.n for request in requests) + 1000, 0, requests[0].shard.number, requests[0].shard.of)
    for request in requests:
        left, turn, seen, passed = request.n, 0, 0, 0
        while left:
            wanted = (
                left if share == 1 and not turn else int(SPARE * left / max(share, passed / max(seen, 1), 0.01)) + 1
            )
            past.first = _behind(request, drawn)
            asking = request.again(wanted, turn) if turn else replace(request, n=wanted)
            for block in draw(asking, past if drawn else None):
                some = Candidates(codec, block)
                rows = _passing(some, gates, left, tally)
                seen, passed, left = seen + len(some), passed + len(rows), left - len(rows)
                if len(rows):
                    kept = block if len(rows) == len(some) else some.take(rows).block
                    if not drawn:  # further draws enter theirs themselves
                        codec.note(kept.records, past)
                    yield kept
                if not left:
                    break
            drawn, turn = drawn + wanted, turn + 1
            if left and seen > WASTE * (request.n / share + 20):
                raise GateError(
                    f"of {seen:,} candidates {passed:,} passed, where {request.n:,} were wanted ({tally.line()}). Nothing "
                    "was exported. Ask for fewer, or loosen a gate."
                )
    tally.notes += [note for gate in gates if (note := gate.note()) is not None]


def _behind(request: Request, drawn: int) -> int:
    """How many records come before those of a further draw, where something counts on from one to the next.

    What counts on in other shards ends at the `total`; behind it each of them has room for a hundred times its records.
    """
    shard = request.shard
    return drawn if shard.of == 1 else shard.total + 100 * shard.number * (shard.total // shard.of + 100) + drawn


def _passing(some: Candidates, gates: Sequence[Gate], most: int, tally: Tally) -> np.ndarray:
    """Rows of the candidates that every gate keeps, `most` of them at most; none is drawn for nothing beyond these."""
    parts = []
    for first in range(0, len(some), LOOKED):
        limits.pause()  # what others compute meanwhile is no cost of these gates
        began = time.process_time()
        parts.append(_good(some, np.arange(first, min(first + LOOKED, len(some))), gates, tally))
        tally.seconds += time.process_time() - began
    rows = np.concatenate([np.arange(0), *parts])
    tally.candidates += len(some) - max(0, len(rows) - most)  # those beyond are neither kept nor dropped
    rows = rows[:most]
    tally.kept += len(rows)
    return rows


def _good(some: Candidates, rows: np.ndarray, gates: Sequence[Gate], tally: Tally) -> np.ndarray:
    """Those of the `rows` that every gate keeps."""
    for gate in gates:
        if not len(rows):
            break
        reasons = asked(gate, some if len(rows) == len(some) else some.take(rows))
        bad = reasons != ""
        if bad.any():
            tally.dropped.update(Counter(reasons[bad].tolist()))
            rows = rows[~bad]
    return rows
