"""POST /v1/audio/speech, as clients of OpenAI's API know it: `input` and `voice` name what the run learned."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import soxr
from fastapi import APIRouter, Response
from fastapi import Request as Http
from pydantic import Field

from karat.content.audio.players import encoded, whole_numbers
from karat.options import MakeOptions
from karat.provenance.containers import container_of
from karat.provenance.forms.vorbis import with_serial
from karat.server.answers import Labelled, LabelledStream
from karat.server.bodies import Route
from karat.server.engine import Drawn, Engine, File
from karat.server.forms import Form, form, options_of, takes
from karat.server.problems import Problem, short
from karat.server.routes.documented import MAKING, errors, made
from karat.server.routes.drawing import OWN, check_cost, class_of, codec_for, draw, note, options_for, request_for
from karat.server.routes.streams import event, streamed
from karat.server.served import served

ROUTER = APIRouter(tags=["sounds"], route_class=Route)
KINDS = {  # by response_format
    "wav": "audio/wav",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "pcm": "audio/pcm",
}
OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
PCM_RATE = 24_000  # Hz, 16 bits, one channel: what clients expect of pcm
PIECE = 1 << 14  # bytes that are sent at once
ANY = ("", "any", "auto", "default")  # voices that ask for nothing


@dataclass(frozen=True, kw_only=True)
class SoundAsked:
    """Make a sound.

    Parameters
    ----------
    model
        The name of a run of sounds.
    input
        The class to make, by its name, as /v1/runs/{name} lists them; empty for any. Nothing else is spoken.
    voice
        A class too, for runs whose classes are speakers: as text or as {"id": ...}; any, auto or default for none.
    response_format
        wav, flac, mp3, opus, or pcm: 16 bits, 24 kHz, one channel, little end first, whose label stands in the header only.
    speed
        Taken from clients that send it, and 1: sounds are made as fast as they were learned.
    stream_format
        audio sends the file in pieces; sse server-sent events of it.
    stream
        Send the file in pieces, as stream_format says; without it at once.
    """

    model: str
    input: Annotated[str, Field(max_length=4096)] = ""
    voice: str | dict[str, str] | None = None
    response_format: Literal["mp3", "opus", "flac", "wav", "pcm"] = "mp3"
    speed: Annotated[float, Field(ge=1, le=1)] = 1.0
    stream_format: Literal["audio", "sse"] = "audio"
    stream: bool = False


Asked = form(
    "SoundRequest",
    SoundAsked,
    MakeOptions,
    only=OWN,
    examples=[{"model": "spoken", "input": "seven", "voice": "any", "response_format": "wav"}],
)


@ROUTER.post(
    "/v1/audio/speech",
    responses={**made(*KINDS.values(), "text/event-stream"), **errors(*MAKING)},
    response_class=Labelled,
)
@takes(Asked)
async def speech(asked: Form, http: Http) -> Response:
    """A sound of a run, as a labelled file."""
    here = served(http)
    one = options_of(asked, SoundAsked, here.catalogue)
    codec = await codec_for(here, one.model, "audio")
    check_cost(codec, 1)
    if one.response_format == "mp3":
        codec.place_of(Path("x.mp3"), True)  # which has not every rate
    run = (await here.engine.open(one.model)).run
    options = options_for(here, run, asked)
    wanted = (("input", one.input), ("voice", _voice(one.voice)), ("label", options.label))
    options = replace(options, label=class_of(run, *wanted))
    drawn = await draw(http, one.model, request_for(options, 1), options)
    blob, kind = await _file(here.engine, drawn, one.response_format), KINDS[one.response_format]
    name = f"sound.{one.response_format}"
    await note(here, drawn, [File(name, blob, drawn.label, kind)])
    if one.stream_format == "sse":
        return streamed(http, _events(blob, drawn), drawn.label)
    named = {"content-disposition": f'attachment; filename="{name}"'}
    if one.stream:
        return LabelledStream(_pieces(blob), drawn.label, kind, headers=named)
    return Labelled(blob, drawn.label, kind, headers=named)


def _voice(voice: str | dict[str, str] | None) -> str | None:
    if isinstance(voice, dict):
        if set(voice) != {"id"}:
            raise Problem(422, "invalid_value", f'voice is {short(voice)}: text or {{"id": ...}} was wanted.', "voice")
        voice = voice["id"]
    return None if voice in ANY else voice


async def _file(engine: Engine, drawn: Drawn, form: str) -> bytes:
    if form in ("opus", "pcm"):
        return await asyncio.to_thread(_opus if form == "opus" else _pcm, drawn)
    return (await engine.answer(drawn, f".{form}"))[0].content


def _opus(drawn: Drawn) -> bytes:
    """Opus in OGG, at the rate of the run or the next that Opus has."""
    waves, rate = drawn.records
    wanted = next((each for each in OPUS_RATES if each >= rate), OPUS_RATES[-1])
    wave = waves[0] if wanted == rate else soxr.resample(waves[0], rate, wanted)
    container = container_of(".opus")
    assert container is not None
    blob = encoded(whole_numbers(np.asarray(wave), 16), wanted, "OGG", "OPUS")
    return container.write(with_serial(blob, 1), drawn.label)  # by libsndfile the serial is a random number


def _pcm(drawn: Drawn) -> bytes:
    waves, rate = drawn.records
    mono = np.asarray(waves[0]).mean(1)
    return whole_numbers(soxr.resample(mono, rate, PCM_RATE), 16).astype("<i2").tobytes()


async def _pieces(blob: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(blob), PIECE):
        yield blob[start : start + PIECE]


async def _events(blob: bytes, drawn: Drawn) -> AsyncIterator[bytes]:
    async for piece in _pieces(blob):
        yield event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()}, "speech.audio.delta")
    numbers = drawn.codec.spaces[0].numel
    usage = {"input_tokens": 0, "output_tokens": numbers, "total_tokens": numbers}
    yield event({"type": "speech.audio.done", "usage": usage}, "speech.audio.done")
