"""POST /v1/images/generations, as clients of OpenAI's API know it."""

from __future__ import annotations

import asyncio
import base64
import io
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from fastapi import Request as Http
from PIL import Image
from pydantic import BaseModel, Field

from karat.content.codec import Codec
from karat.curation.drawing import Tally
from karat.options import MakeOptions
from karat.provenance.containers import container_of
from karat.server.answers import Labelled
from karat.server.bodies import Route
from karat.server.engine import Drawn, File, Partial
from karat.server.forms import Form, form, options_of, takes
from karat.server.guard import caller_of
from karat.server.problems import Problem, short
from karat.server.routes.documented import MAKING, Counted, errors, made
from karat.server.routes.drawing import (
    OWN,
    check_cost,
    class_of,
    codec_for,
    draw,
    note,
    options_for,
    request_for,
)
from karat.server.routes.streams import begun, event, streamed
from karat.server.served import Served, served
from karat.workflow.making import label_of

ROUTER = APIRouter(tags=["pictures"], route_class=Route)
SUFFIX = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}
Words = Annotated[str, Field(max_length=32_000)]


@dataclass(frozen=True, kw_only=True)
class PicturesAsked:
    """Make pictures.

    Parameters
    ----------
    model
        The name of a run of pictures.
    prompt
        The class to make, by its name, as /v1/runs/{name} lists them; empty for any.
    n
        How many pictures.
    size
        auto, or the size that the run makes, as 32x32: pictures are not made larger than they were learned.
    output_format
        The form of each file.
    output_compression
        Quality from 0 to 100 of jpeg and webp; without it webp is lossless, and jpeg of quality 95.
    background
        opaque, or transparent where the run learned transparency; auto is either.
    quality
        Taken from clients that send it; every picture is made as well as the run can.
    response_format
        b64_json: files come as base64.
    stream
        Send server-sent events: earlier states of the pictures, then each as it is done.
    partial_images
        With stream: how many earlier states are shown, of runs whose recipe has steps.
    moderation
        Taken from clients that send it, and not used: gates decide what leaves.
    user
        Taken from clients that send it, and not kept.
    safety_identifier
        Taken from clients that send it, and not kept.
    """

    model: str
    prompt: Words = ""
    n: Annotated[int, Field(ge=1, le=10)] = 1
    size: str = "auto"
    output_format: Literal["png", "webp", "jpeg"] = "png"
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = None
    background: Literal["auto", "opaque", "transparent"] = "auto"
    quality: Literal["auto", "low", "medium", "high", "xhigh", "max"] = "auto"
    response_format: Literal["b64_json"] = "b64_json"
    stream: bool = False
    partial_images: Annotated[int, Field(ge=0, le=3)] = 0
    moderation: Literal["auto", "low"] = "auto"
    user: str | None = None
    safety_identifier: str | None = None


Asked = form(
    "PicturesRequest",
    PicturesAsked,
    MakeOptions,
    only=OWN,
    examples=[{"model": "digits", "prompt": "7", "n": 4, "output_format": "webp"}],
)


class Picture(BaseModel):
    """A picture. b64_json: its file, labelled.   revised_prompt: its class, where it was made for one."""

    b64_json: str
    revised_prompt: str | None = None


class Pictures(BaseModel):
    """Pictures that were made. usage counts the levels of their points."""

    created: int
    data: list[Picture]
    background: Literal["opaque", "transparent"]
    output_format: Literal["png", "webp", "jpeg"]
    size: str
    usage: Counted


@ROUTER.post(
    "/v1/images/generations",
    responses={**made("application/json", "text/event-stream"), **errors(*MAKING)},
    response_model=Pictures,
)
@takes(Asked)
async def generations(asked: Form, http: Http) -> Response:
    """Pictures of a run, each a labelled file."""
    here = served(http)
    one = options_of(asked, PicturesAsked, here.catalogue)
    codec = await codec_for(here, one.model, "image")
    _check(one, codec)
    check_cost(codec, one.n)
    run = (await here.engine.open(one.model)).run
    options = options_for(here, run, asked)
    options = replace(options, label=class_of(run, ("prompt", one.prompt), ("label", options.label)))
    request = request_for(options, one.n)
    if not one.stream:
        drawn = await draw(http, one.model, request, options)
        files = await _files(here, one, drawn)
        body = _body(one, drawn, files)
        return Labelled(body.model_dump_json(exclude_none=True).encode(), drawn.label, "application/json")
    steps = here.engine.partial(one.model, request, options, shown=one.partial_images, caller=caller_of(http))
    label = label_of(run, replace(options, seed=request.seed))
    early = Drawn(one.model, run, codec, request, options, (), label, Tally())
    return streamed(http, _events(here, one, early, await begun(http, steps)), label)


def _check(one: PicturesAsked, codec: Codec) -> None:
    """Problem (400) for what this run's pictures cannot be."""
    width, height = codec.traits()["size"]
    if one.size not in ("auto", f"{width}x{height}"):
        message = f"size is {short(one.size)}; this run makes pictures of {width}x{height}: give that, or auto."
        raise Problem(400, "no_such_size", message, "size")
    if one.background == "transparent" and (codec.traits()["channels"] != 4 or one.output_format == "jpeg"):
        message = (
            "background is transparent, which only runs that learned it make, as png or webp: give opaque, or auto."
        )
        raise Problem(400, "not_transparent", message, "background")
    if one.output_compression is not None and one.output_format == "png":
        raise Problem(
            400, "not_compressed", "output_compression is for jpeg and webp; leave it out.", "output_compression"
        )
    if one.partial_images and not one.stream:
        raise Problem(400, "not_streamed", "partial_images goes with stream: true.", "partial_images")
    codec.place_of(Path(f"x{SUFFIX[one.output_format]}"), True)  # which pictures of 16 bits refuse for some


async def _files(here: Served, one: PicturesAsked, drawn: Drawn) -> Sequence[File]:
    """The file of each picture, noted."""
    files: Sequence[File] = await here.engine.answer(
        drawn, ".png" if one.output_compression is not None else SUFFIX[one.output_format]
    )
    if one.output_compression is not None:
        files = await asyncio.to_thread(lambda: [_compressed(file, one) for file in files])
    await note(here, drawn, files)
    return files


def _compressed(file: File, one: PicturesAsked) -> File:
    """The picture of a PNG as JPEG or WebP of the quality that was asked for, with the label of the PNG."""
    out, suffix = io.BytesIO(), SUFFIX[one.output_format]
    with Image.open(io.BytesIO(file.content), formats=["PNG"]) as image:
        opaque = image if image.mode != "RGBA" or suffix == ".webp" else image.convert("RGB")
        opaque.save(out, one.output_format.upper(), quality=one.output_compression)
    container = container_of(suffix)
    assert container is not None
    blob = container.write(out.getvalue(), file.label)
    return replace(file, name=f"{Path(file.name).stem}{suffix}", content=blob, digest="")


def _known(one: PicturesAsked, drawn: Drawn) -> dict[str, Any]:
    width, height = drawn.codec.traits()["size"]
    four = drawn.codec.traits()["channels"] == 4 and one.output_format != "jpeg"
    return {
        "background": "transparent" if four else "opaque",
        "output_format": one.output_format,
        "size": f"{width}x{height}",
    }


def _body(one: PicturesAsked, drawn: Drawn, files: Sequence[File]) -> Pictures:
    names = [drawn.classes[k] for block in drawn.blocks if block.labels is not None for k in block.labels.tolist()]
    pictures = [
        Picture(b64_json=base64.b64encode(file.content).decode(), revised_prompt=names[i] if names else None)
        for i, file in enumerate(files)
    ]
    return Pictures(created=int(time.time()), data=pictures, usage=_usage(drawn, len(files)), **_known(one, drawn))


def _usage(drawn: Drawn, n: int) -> Counted:
    numbers = n * drawn.codec.spaces[0].numel
    return Counted(output_tokens=numbers, total_tokens=numbers)


async def _events(
    here: Served, one: PicturesAsked, early: Drawn, steps: AsyncIterator[Partial | Drawn]
) -> AsyncIterator[bytes]:
    """An event for each earlier state of each picture, then one for each that is done."""
    shown = 0
    async for step in steps:
        drawn = step if isinstance(step, Drawn) else replace(early, blocks=(step.block,))
        known = {**_known(one, drawn), "quality": "auto", "created_at": int(time.time())}
        for file in await _files(here, one, drawn):
            own = {"b64_json": base64.b64encode(file.content).decode(), **known}
            if isinstance(step, Drawn):
                name = "image_generation.completed"
                yield event({"type": name, **own, "usage": _usage(drawn, 1).model_dump()}, name)
            else:
                name = "image_generation.partial_image"
                yield event({"type": name, **own, "partial_image_index": shown}, name)
        shown += 1
