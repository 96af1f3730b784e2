"""What all routes that make content share: the run, its class that was asked for, what a request may cost, the draw itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import Request as Http

from karat.content.codec import Codec
from karat.options import MakeOptions
from karat.request import Request
from karat.run import Run
from karat.server.engine import Drawn, File, unless_gone
from karat.server.forms import Form, options_of
from karat.server.guard import caller_of
from karat.server.problems import Problem, nearest, short
from karat.server.served import Served, served

NUMBERS = 2**27  # that one request may have drawn: of each record those of its space
OWN = (
    "label",
    "seed",
    "gate",
    "watermark",
    "visible",
    "labels",
    "producer",
)  # of MakeOptions, for every kind of content


async def codec_of(here: Served, name: str) -> Codec:
    """The codec of a run, which is loaded for that; Problem (404) where there is none of the name."""
    return (await here.engine.open(name)).synth.codec


async def codec_for(here: Served, name: str, *kinds: str) -> Codec:
    """The same; Problem (400) where it makes another kind of content than one of `kinds`."""
    codec = await codec_of(here, name)
    makes = codec.name
    if makes not in kinds:
        message = f"{short(name)} makes {codec.thing}s; {' or '.join(kinds)} was wanted. /v1/models lists what each run makes."
        raise Problem(400, "other_content", message, "model")
    return codec


def class_of(run: Run, *asked: tuple[str, str | None]) -> str | None:
    """The class that a request asks for by one of its fields, given as (field, value); None for any.

    Problem (400) for one that the run has not, or for two that differ.
    """
    classes = run.spec["classes"]
    found: dict[str, str] = {}
    for param, value in asked:
        if not value:
            continue
        if not classes:
            raise Problem(
                400,
                "no_such_class",
                f"{param} is {short(value)}, and this run learned no classes: leave it empty.",
                param,
            )
        if value not in classes:
            raise Problem(
                400, "no_such_class", f"{param}: there is no class {short(value)}; {nearest(value, classes)}", param
            )
        found[value] = param
    if len(found) > 1:
        raise Problem(
            400,
            "no_such_class",
            f"{' and '.join(found.values())} ask for two classes, {' and '.join(found)}: name one.",
        )
    return next(iter(found), None)


def check_cost(codec: Codec, n: int, each: int | None = None, param: str = "n") -> None:
    """Problem (400) for more than one request may have drawn.   each: numbers of a record, by default those of its space."""
    size = max(1, codec.spaces[0].numel if each is None else each)
    if n * size > NUMBERS:
        most = max(1, NUMBERS // size)
        raise Problem(
            400,
            "too_large",
            f"{param} is {n:,}, and one request may ask for {most:,} {codec.thing}s of this run; ask in parts, each with its seed.",
            param,
        )


def options_for(here: Served, run: Run, asked: Form, *more: str) -> MakeOptions:
    """The options of `karat make` that a request asks for: those in OWN, and `more`."""
    return options_of(asked, MakeOptions, here.catalogue, (*OWN, *more), run=run.path)


def request_for(options: MakeOptions, n: int, **more: Any) -> Request:
    """What those options ask of a generator, of `n` records."""
    names = ("seed", "label", "given", "balance", "independent", "characters")
    return Request(n, **{**{name: getattr(options, name) for name in names}, **more})


async def draw(http: Http, name: str, request: Request, options: MakeOptions) -> Drawn:
    """The records; given up where the client goes before they are there."""
    engine = served(http).engine
    return await unless_gone(http, engine.draw(name, request, options, caller=caller_of(http)))


async def note(here: Served, drawn: Drawn, files: Sequence[File]) -> None:
    """Notes files that leave in the run that made them, so that `karat check` knows them again."""
    await here.book.note(drawn.run, [(file.name, file.content, file.label, file.digest) for file in files])
