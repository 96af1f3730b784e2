"""What was drawn token by token, for who must count tokens, say why text ended, or how likely each token was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from karat.families.generator import Draw, Sampling
from karat.request import Request
from karat.space import END
from karat.synthesizer.continuation import Writer

LEAST = -9999.0  # nats of what cannot be, where they are told as JSON


@dataclass(frozen=True)
class Step:
    """A token that was drawn: its code; nats of its probability before temperature; those of the likeliest codes, falling."""

    code: int
    log: float = 0.0
    likeliest: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Trace:
    """One drawing of several rows.   prompt: tokens before it.   rows: the steps of each, also those behind its end."""

    prompt: int
    rows: tuple[list[Step], ...]


@dataclass(frozen=True, eq=False)
class Traced(Sampling):
    """Draws as the same `Sampling` would, and notes each step.

    likeliest: how many of the likeliest codes are noted with each; None for no probabilities.   traces: of each drawing.
    Two are never equal: what each notes is its own.
    """

    likeliest: int | None = None
    traces: list[Trace] = field(default_factory=list)

    def drawing(self, start: Tensor, rng: torch.Generator) -> Draw:
        draw = super().drawing(start, rng)
        trace = Trace(start.shape[1] - 1, tuple([] for _ in range(len(start))))
        self.traces.append(trace)

        def noted(logits: Tensor, chance: Tensor, rows: Tensor) -> Tensor:
            codes = draw(logits, chance, rows)
            for row, step in zip(rows.tolist(), self._steps(logits, codes), strict=True):
                trace.rows[row].append(step)
            return codes

        return noted

    def _steps(self, logits: Tensor, codes: Tensor) -> list[Step]:
        if self.likeliest is None:
            return [Step(code) for code in codes.tolist()]
        logs = logits.float().log_softmax(1).clamp_min(LEAST)
        own = logs.gather(1, codes[:, None])[:, 0].tolist()
        top = logs.topk(self.likeliest, 1)
        likeliest = [
            tuple(zip(*two, strict=True)) for two in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        ]
        return [Step(code, log, most) for code, log, most in zip(codes.tolist(), own, likeliest, strict=True)]


@dataclass(frozen=True)
class Followed:
    """What follows a prompt: its text, the steps that made it, without the end, and why it ended.

    prompt: tokens before it.   offsets: characters before each step's.
    """

    text: str
    steps: tuple[Step, ...]
    offsets: tuple[int, ...]
    ended: Literal["stop", "length"]
    prompt: int


def followed(traces: Sequence[Trace], spelling: tuple[bytes, ...], request: Request) -> list[Followed]:
    """Every row of the traces of a request, in order."""
    return [_followed(steps, trace.prompt, spelling, request) for trace in traces for steps in trace.rows]


def _followed(steps: Sequence[Step], prompt: int, spelling: tuple[bytes, ...], request: Request) -> Followed:
    writer, text, taken, offsets = Writer(spelling, request.stop, request.characters), "", list[Step](), list[int]()
    for step in steps:
        if step.code != END:
            taken.append(step)
            offsets.append(len(text))
        text += writer.add(step.code)
        if writer.done:
            break
    text += writer.close()
    return Followed(text, tuple(taken), tuple(offsets), "stop" if writer.ended or writer.stopped else "length", prompt)


def word_of(code: int, spelling: tuple[bytes, ...]) -> str:
    """A token as text; a part of a character is a replacement character, END nothing."""
    return spelling[code].decode("utf-8", "replace") if code < len(spelling) else ""
