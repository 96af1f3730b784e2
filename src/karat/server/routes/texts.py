"""POST /v1/completions, as clients of OpenAI's API know it: text of a run, or what follows a prompt."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from fastapi import Request as Http
from pydantic import BaseModel, Field

from karat.content.roles import Continued
from karat.options import MakeOptions
from karat.request import Request
from karat.server.answers import Labelled
from karat.server.bodies import Route
from karat.server.engine import Drawn, Engine, File
from karat.server.forms import Form, form, options_of, takes
from karat.server.guard import Caller, caller_of
from karat.server.guard.keys import PROBE
from karat.server.problems import Problem
from karat.server.routes.documented import MAKING, errors, made
from karat.server.routes.drawing import OWN, check_cost, class_of, codec_for, draw, note, options_for, request_for
from karat.server.routes.streams import DONE, begun, event, streamed
from karat.server.served import Served, served
from karat.synthesizer.tracing import Followed, Traced, followed, word_of
from karat.workflow.making import label_of

ROUTER = APIRouter(tags=["text"], route_class=Route)
Text = Annotated[str, Field(max_length=100_000)]
Stop = Annotated[str, Field(min_length=1, max_length=256)]


@dataclass(frozen=True, kw_only=True)
class TextAsked:
    """Write text.

    Parameters
    ----------
    model
        The name of a run of text whose recipe writes from left to right.
    prompt
        What it begins with, or several such; empty for a new document.
    n
        How many texts for each prompt.
    max_tokens
        How many tokens follow the prompt at most: characters or byte pairs, as the run learned; without it about as many as
        a passage of the data has.
    temperature
        Below 1 likelier, above 1 more varied; 0 takes the likeliest.
    top_p
        Drawn from the likeliest that hold this share together.
    min_p
        Drawn from those at least this share as likely as the likeliest.
    stop
        Text ends before this comes, or before the first of several.
    echo
        Give the prompt back in front of each text.
    logprobs
        Give the probability of each token, and of so many of the likeliest in its place, as logarithms before temperature. They
        tell what was learned by heart, so that a key needs the scope probe for them.
    best_of
        Taken from clients that send it, where it equals n.
    stream
        Send server-sent events with text while it comes. No gate looks at what was shown already.
    stream_options
        {"include_usage": true} ends a stream with the tokens that were counted.
    user
        Taken from clients that send it, and not kept.
    """

    model: str
    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=16)] = ""
    n: Annotated[int, Field(ge=1, le=128)] = 1
    max_tokens: Annotated[int, Field(ge=1, le=100_000)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    min_p: Annotated[float, Field(ge=0, lt=1)] = 0.0
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = None
    echo: bool = False
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    best_of: Annotated[int, Field(ge=1, le=128)] | None = None
    stream: bool = False
    stream_options: dict[str, bool] | None = None
    user: str | None = None

    @property
    def prompts(self) -> tuple[str, ...]:
        return (self.prompt,) if isinstance(self.prompt, str) else tuple(self.prompt)

    @property
    def stops(self) -> tuple[str, ...]:
        return () if self.stop is None else (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)


Asked = form(
    "TextRequest",
    TextAsked,
    MakeOptions,
    only=(*OWN, "characters"),
    examples=[{"model": "letters", "prompt": "Dear ", "max_tokens": 120, "temperature": 0.8, "stop": "\n\n"}],
)


class Logprobs(BaseModel):
    """tokens: as text.   token_logprobs: natural logarithms.   text_offset: characters before each, an echoed prompt's too."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class Choice(BaseModel):
    """A text. finish_reason: stop where a document ended or a stop came, length where there was no room for more."""

    index: int
    text: str
    finish_reason: Literal["stop", "length"] | None
    logprobs: Logprobs | None = None


class Usage(BaseModel):
    """Tokens: characters or byte pairs, as the run learned."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(BaseModel):
    """Text that was written."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None


@ROUTER.post(
    "/v1/completions",
    responses={**made("application/json", "text/event-stream"), **errors(*MAKING)},
    response_model=Completion,
)
@takes(Asked)
async def completions(asked: Form, http: Http) -> Response:
    """Text of a run, or what follows a prompt."""
    here = served(http)
    one = options_of(asked, TextAsked, here.catalogue)
    codec = await codec_for(here, one.model, "text")
    assert isinstance(codec, Continued)
    _check(one, caller_of(http))
    check_cost(codec, one.n * len(one.prompts), one.max_tokens)
    run = (await here.engine.open(one.model)).run
    options = options_for(here, run, asked, "characters")
    options = replace(options, label=class_of(run, ("label", options.label)))
    requests = [_request(one, options, prompt, i) for i, prompt in enumerate(one.prompts)]
    if one.stream:
        answer = _Stream(here, http, one, options, codec, f"cmpl-{secrets.token_hex(12)}")
        return streamed(http, await begun(http, answer.events(requests)), label_of(run, options))
    drawn = await asyncio.gather(*(draw(http, one.model, request, options) for request in requests))
    found = [each for one_drawn in drawn for each in _followed(one_drawn, codec)]
    for each in drawn:
        await _note(here, each)
    body = Completion(
        id=f"cmpl-{secrets.token_hex(12)}",
        created=int(time.time()),
        model=one.model,
        choices=[_choice(one, i, each, codec.spelling) for i, each in enumerate(found)],
        usage=_usage([each for _, each in found], one.n),
    )
    return Labelled(body.model_dump_json().encode(), drawn[0].label, "application/json")


def _check(one: TextAsked, caller: Caller) -> None:
    """Problem (400) for what goes with nothing else; (403) for how likely text is, where the caller is not to know."""
    if one.logprobs is not None and PROBE not in caller.scopes:
        message = f"the key {caller.name} may not know how likely text is; it takes one with the scope {PROBE}."
        raise Problem(403, "missing_scope", message, "logprobs")
    if one.best_of not in (None, one.n):
        raise Problem(
            400, "not_ranked", "best_of is for more texts than n, of which the best are kept: give gates.", "best_of"
        )
    if one.stream and one.logprobs is not None:
        raise Problem(400, "not_streamed", "logprobs come with the whole text; leave stream out, or them.", "logprobs")
    if set(one.stream_options or ()) - {"include_usage", "include_obfuscation"}:
        raise Problem(400, "unknown_field", "stream_options takes include_usage.", "stream_options")


def _request(one: TextAsked, options: MakeOptions, prompt: str, i: int) -> Request:
    """That of prompt `i`, each with a seed of its own."""
    own = {"prompt": prompt, "sampling": _traced(one), "stop": one.stops, "tokens": one.max_tokens}
    first = request_for(options, one.n, **own)
    return first if i == 0 else first.again(one.n, i)


def _traced(one: TextAsked) -> Traced:
    return Traced(one.temperature, one.top_p, one.min_p, likeliest=one.logprobs)


def _followed(drawn: Drawn, codec: Continued) -> list[tuple[str, Followed]]:
    """The prompt and what follows it, of each record; what gates dropped was traced too, and is left out."""
    request, sampling = drawn.request, drawn.request.sampling
    assert isinstance(sampling, Traced)
    prompt = request.prompt if request.prompt is not None else ""
    known = {each.text: each for each in followed(sampling.traces, codec.spelling, request)}
    return [(prompt, known[text.removeprefix(prompt)]) for text in drawn.records]


async def _note(here: Served, drawn: Drawn) -> None:
    """As files of text, which is what becomes of them."""
    files = [File("made.txt", text.encode(), drawn.label, "text/plain") for text in drawn.records]
    await note(here, drawn, files)


def _choice(one: TextAsked, i: int, found: tuple[str, Followed], spelling: tuple[bytes, ...]) -> Choice:
    prompt, each = found
    before = prompt if one.echo else ""
    logprobs = None if one.logprobs is None else _logprobs(each, len(before), spelling, one.logprobs)
    return Choice(index=i, text=before + each.text, finish_reason=each.ended, logprobs=logprobs)


def _logprobs(each: Followed, before: int, spelling: tuple[bytes, ...], most: int) -> Logprobs:
    likeliest = [{word_of(code, spelling): log for code, log in step.likeliest} for step in each.steps]
    return Logprobs(
        tokens=[word_of(step.code, spelling) for step in each.steps],
        token_logprobs=[step.log for step in each.steps],
        top_logprobs=likeliest if most else None,
        text_offset=[before + at for at in each.offsets],
    )


def _usage(found: Sequence[Followed], n: int) -> Usage:
    prompt = sum(each.prompt for each in found[::n])  # the prompt of several texts counts once
    made = sum(len(each.steps) for each in found)
    return Usage(prompt_tokens=prompt, completion_tokens=made, total_tokens=prompt + made)


@dataclass(frozen=True)
class _Stream:
    """Texts that are sent while they come, one after another."""

    here: Served
    http: Http
    one: TextAsked
    options: MakeOptions
    codec: Continued
    id: str

    async def events(self, requests: Sequence[Request]) -> AsyncIterator[bytes]:
        done: list[Followed] = []
        for request in requests:
            for k in range(request.n):
                single = request.again(1, k) if k else replace(request, n=1)
                single = replace(single, sampling=_traced(self.one))
                async for text in self._texts(single, len(done), done):
                    yield text
        if (self.one.stream_options or {}).get("include_usage"):
            yield self._event([], _usage(done, self.one.n))
        yield DONE

    async def _texts(self, request: Request, index: int, done: list[Followed]) -> AsyncIterator[bytes]:
        """The events of one text. The last piece is held back: behind the text comes the end of a line that is not its own."""
        engine: Engine = self.here.engine
        pieces = engine.stream_text(self.one.model, request, self.options, caller=caller_of(self.http))
        prompt, came, sent = request.prompt or "", "", 0 if self.one.echo else len(request.prompt or "")
        held = ""
        async for piece in pieces:
            if isinstance(piece, str):
                came, held = came + held, piece
                if len(came) > sent:
                    yield self._event([Choice(index=index, text=came[sent:], finish_reason=None)])
                    sent = len(came)
                continue
            (_, found), whole = _followed(piece, self.codec)[0], str(piece.records[0])
            assert whole.startswith(came) and whole == prompt + found.text
            done.append(found)
            await _note(self.here, piece)
            yield self._event([Choice(index=index, text=whole[sent:], finish_reason=found.ended)])

    def _event(self, choices: list[Choice], usage: Usage | None = None) -> bytes:
        made = Completion(id=self.id, created=int(time.time()), model=self.one.model, choices=choices, usage=usage)
        return event(made.model_dump())
