"""The `openai` client, unmodified, against a server that listens: what it asks is made, labelled, and the same each time."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import soundfile
from coroutines import ended
from openai import AsyncOpenAI, OpenAI
from PIL import Image
from served import LINES, listening

from karat.options import ServeOptions
from karat.provenance.label import parse
from karat.provenance.reading import read_label


@pytest.fixture(scope="module")
def address(served_runs: Path) -> Iterator[str]:
    with listening(ServeOptions([served_runs], studio=False)) as address:
        yield address


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        yield client


def picture(blob: bytes | str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(blob) if isinstance(blob, str) else blob)))


def number_in(blob: bytes, name: str, folder: Path) -> str:
    """The number in the label of a file."""
    (folder / name).write_bytes(blob)
    label = read_label(folder / name)
    assert label is not None and label.intact is not False
    return label.fields["ProduceID"]


# Models -----------------------------------------------------------------------------------------------------------------


def test_the_models_are_the_runs_that_can_make_something(client: OpenAI) -> None:
    found = {model.id: model for model in client.models.list()}
    assert set(found) == {"digits", "steps", "tones", "people", "lines"}
    assert found["digits"].owned_by == "karat" and found["digits"].created > 1_700_000_000
    assert found["digits"].makes == "image" and found["digits"].classes == list("0123456789")  # type: ignore[attr-defined]


def test_one_model_is_found_by_its_name(client: OpenAI) -> None:
    assert client.models.retrieve("lines").recipe == "ngram"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["nothing", "unfinished", "../people"])
def test_a_model_that_cannot_make_anything_is_not_found(client: OpenAI, name: str) -> None:
    with pytest.raises(openai.NotFoundError) as found:
        client.models.retrieve(name)
    assert found.value.code in ("model_not_found", "not_found", "no_such_route")


# Pictures ---------------------------------------------------------------------------------------------------------------


def test_a_picture_is_made_and_labelled_in_the_file_and_in_the_header(client: OpenAI, tmp_path: Path) -> None:
    raw = client.images.with_raw_response.generate(model="digits", prompt="7")
    answer = raw.parse()
    assert answer.data is not None and answer.data[0].b64_json is not None and answer.data[0].revised_prompt == "7"
    assert (answer.output_format, answer.size, answer.background) == ("png", "8x8", "opaque")
    blob = base64.b64decode(answer.data[0].b64_json)
    assert picture(blob).shape == (8, 8)
    header = parse(raw.headers["x-karat-label"])
    assert header is not None
    assert number_in(blob, "x.png", tmp_path).startswith(header["ProduceID"])
    assert raw.headers["x-request-id"]


@pytest.mark.parametrize(("form", "suffix"), [("png", ".png"), ("webp", ".webp"), ("jpeg", ".jpg")])
def test_a_picture_comes_in_each_form_with_its_label(client: OpenAI, tmp_path: Path, form: Any, suffix: str) -> None:
    answer = client.images.generate(model="digits", prompt="3", output_format=form, n=2)
    assert answer.data is not None and len(answer.data) == 2 and answer.output_format == form
    numbers = {number_in(base64.b64decode(one.b64_json or ""), f"x{suffix}", tmp_path) for one in answer.data}
    assert len(numbers) == 2, "each by its own number"
    assert Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json or ""))).format == form.upper()


@pytest.mark.parametrize(("form", "suffix"), [("webp", ".webp"), ("jpeg", ".jpg")])
def test_compression_makes_a_smaller_file_that_is_labelled(
    client: OpenAI, tmp_path: Path, form: Any, suffix: str
) -> None:
    asked: dict[str, Any] = {"model": "digits", "prompt": "3", "output_format": form}
    sizes = []
    for quality in (100, 5):
        one = client.images.generate(**asked, output_compression=quality).data
        assert one is not None
        blob = base64.b64decode(one[0].b64_json or "")
        assert number_in(blob, f"x{suffix}", tmp_path)
        sizes.append(len(blob))
    assert sizes[1] < sizes[0]


def test_the_same_seed_gives_the_same_pictures_and_another_seed_others(client: OpenAI) -> None:
    def made(seed: int) -> list[str | None]:
        answer = client.images.generate(model="digits", prompt="", n=3, extra_body={"seed": seed})
        return [one.b64_json for one in answer.data or ()]

    assert made(4) == made(4) != made(5)


def test_a_label_may_be_given_in_the_body_and_two_that_differ_are_refused(client: OpenAI) -> None:
    answer = client.images.generate(model="digits", prompt="", extra_body={"label": "5"})
    assert answer.data is not None and answer.data[0].revised_prompt == "5"
    with pytest.raises(openai.BadRequestError, match="two classes"):
        client.images.generate(model="digits", prompt="7", extra_body={"label": "5"})


def test_usage_counts_the_points_of_what_was_made(client: OpenAI) -> None:
    usage = client.images.generate(model="digits", prompt="1", n=3).usage
    assert usage is not None and usage.output_tokens == usage.total_tokens == 3 * 64 and usage.input_tokens == 0


def test_fields_that_only_say_who_asks_or_how_well_are_taken(client: OpenAI) -> None:
    made = client.images.generate(
        model="digits", prompt="1", user="ann", quality="high", moderation="low", size="8x8", background="opaque"
    )
    plain = client.images.generate(model="digits", prompt="1")
    assert made.data is not None and made.data == plain.data, "they change nothing"


def test_pictures_are_streamed_and_the_last_event_is_what_comes_without_a_stream(client: OpenAI) -> None:
    plain = client.images.generate(model="steps", prompt="2", extra_body={"seed": 9}).data
    events = list(client.images.generate(model="steps", prompt="2", stream=True, extra_body={"seed": 9}))
    assert [event.type for event in events] == ["image_generation.completed"] and plain is not None
    assert events[-1].b64_json == plain[0].b64_json and events[-1].usage.total_tokens == 64  # type: ignore[union-attr]


def test_earlier_states_come_before_the_picture_and_are_labelled_too(client: OpenAI, tmp_path: Path) -> None:
    events = list(client.images.generate(model="steps", prompt="2", stream=True, partial_images=2))
    assert [event.type for event in events][-1] == "image_generation.completed"
    early = [event for event in events if event.type == "image_generation.partial_image"]
    assert [event.partial_image_index for event in early] == [0, 1] and len(events) == 3, "of four steps"
    for event in events:
        assert number_in(base64.b64decode(event.b64_json), "x.png", tmp_path)


@pytest.mark.parametrize(
    ("more", "code", "param"),
    [
        ({"prompt": "cat"}, "no_such_class", "prompt"),
        ({"size": "1024x1024"}, "no_such_size", "size"),
        ({"background": "transparent"}, "not_transparent", "background"),
        ({"output_compression": 50}, "not_compressed", "output_compression"),
        ({"partial_images": 1}, "not_streamed", "partial_images"),
        ({"extra_body": {"gate": ["mine.py:f"]}}, "unfit", "gate"),
        ({"extra_body": {"given": "a=1"}}, "unknown_field", "given"),
        ({"model": "lines"}, "other_content", "model"),
    ],
)
def test_what_a_run_of_pictures_cannot_be_asked_for_is_a_400(
    client: OpenAI, more: dict[str, Any], code: str, param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as found:
        client.images.generate(**{"model": "digits", "prompt": "", **more})
    assert (found.value.code, found.value.param, found.value.type) == (code, param, "invalid_request_error")


@pytest.mark.parametrize("n", [0, -1, 11, 2**63])
def test_a_number_outside_of_its_limits_is_a_422(client: OpenAI, n: int) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as found:
        client.images.generate(model="digits", prompt="1", n=n)
    assert (found.value.code, found.value.param) == ("invalid_value", "n")


def test_an_unknown_field_is_a_400_that_names_the_nearest(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="did you mean 'seed'"):
        client.images.generate(model="digits", prompt="1", extra_body={"sead": 3})


# Sounds -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "kind"), [("wav", "audio/wav"), ("flac", "audio/flac"), ("mp3", "audio/mpeg"), ("opus", "audio/ogg")]
)
def test_a_sound_comes_in_each_form_with_its_label(client: OpenAI, tmp_path: Path, form: Any, kind: str) -> None:
    answer = client.audio.speech.create(model="tones", input="high", voice="any", response_format=form)
    assert answer.response.headers["content-type"] == kind
    assert number_in(answer.content, f"x.{form}", tmp_path)
    wave, _ = soundfile.read(io.BytesIO(answer.content))
    assert len(wave) > 0 and np.isfinite(wave).all()


def test_pcm_is_16_bits_at_24_khz_and_says_its_label_in_the_header(client: OpenAI) -> None:
    answer = client.audio.speech.create(model="tones", input="high", voice="any", response_format="pcm")
    wav = client.audio.speech.create(model="tones", input="high", voice="any", response_format="wav")
    wave, rate = soundfile.read(io.BytesIO(wav.content))
    samples = np.frombuffer(answer.content, "<i2")
    assert abs(len(samples) / 24_000 - len(wave) / rate) < 0.01
    assert parse(answer.response.headers["x-karat-label"]) is not None


def test_a_voice_is_a_class_too_and_the_classes_sound_different(client: OpenAI) -> None:
    one = client.audio.speech.create(model="tones", input="", voice="low", response_format="wav").content
    same = client.audio.speech.create(model="tones", input="low", voice={"id": "any"}, response_format="wav").content
    other = client.audio.speech.create(model="tones", input="high", voice="auto", response_format="wav").content
    assert one == same != other


def test_a_sound_is_streamed_into_a_file_as_it_comes(client: OpenAI, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"model": "tones", "input": "low", "voice": "any", "response_format": "wav"}
    with client.audio.speech.with_streaming_response.create(**asked, extra_body={"stream": True}) as answer:
        assert parse(answer.headers["x-karat-label"]) is not None
        answer.stream_to_file(tmp_path / "x.wav")
    assert (tmp_path / "x.wav").read_bytes() == client.audio.speech.create(**asked).content


def test_a_sound_comes_as_events_that_are_the_file_together(client: OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tones", "input": "low", "voice": "any", "response_format": "flac"}
    lines = client.audio.speech.create(**asked, stream_format="sse").text.split("\n\n")
    events = [json.loads(line.partition("data: ")[2]) for line in lines if line]
    assert [event["type"] for event in events[-2:]] == ["speech.audio.delta", "speech.audio.done"]
    blob = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    assert blob == client.audio.speech.create(**asked).content


@pytest.mark.parametrize(
    ("more", "error", "param"),
    [
        ({"input": "a whole sentence"}, openai.BadRequestError, "input"),
        ({"voice": "alloy"}, openai.BadRequestError, "voice"),
        ({"response_format": "aac"}, openai.UnprocessableEntityError, "response_format"),
        ({"speed": 2.0}, openai.UnprocessableEntityError, "speed"),
        ({"instructions": "gently"}, openai.BadRequestError, "instructions"),
        ({"voice": {"id": 3}}, openai.UnprocessableEntityError, "voice"),
    ],
)
def test_what_a_run_of_sounds_cannot_be_asked_for_is_refused(
    client: OpenAI, more: dict[str, Any], error: type[openai.APIStatusError], param: str
) -> None:
    with pytest.raises(error) as found:
        client.audio.speech.create(**{"model": "tones", "input": "low", "voice": "any", **more})
    assert found.value.param == param


# Text -------------------------------------------------------------------------------------------------------------------


def test_text_follows_a_prompt_and_is_as_long_as_asked(client: OpenAI) -> None:
    answer = client.completions.create(model="lines", prompt="Line ", max_tokens=8)
    (choice,) = answer.choices
    assert 0 < len(choice.text) <= 8 and choice.finish_reason == "length" and not choice.text.startswith("Line")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (5, 8, 13)
    assert answer.object == "text_completion" and answer.model == "lines" and answer.id.startswith("cmpl-")


def test_an_echo_gives_the_prompt_back_in_front(client: OpenAI) -> None:
    plain = client.completions.create(model="lines", prompt="Line ", max_tokens=8, seed=1).choices[0].text
    assert (
        client.completions.create(model="lines", prompt="Line ", max_tokens=8, seed=1, echo=True).choices[0].text
        == f"Line {plain}"
    )


@pytest.mark.parametrize("stop", ["!", ["!", ","]])
def test_text_ends_before_a_stop(client: OpenAI, stop: Any) -> None:
    choice = client.completions.create(model="lines", prompt="Line ", max_tokens=300, stop=stop).choices[0]
    assert choice.finish_reason == "stop" and not set(stop) & set(choice.text)


def test_several_texts_of_several_prompts_come_in_order(client: OpenAI) -> None:
    answer = client.completions.create(model="lines", prompt=["Line ", "So "], n=2, max_tokens=9, echo=True)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert [choice.text[:3] for choice in answer.choices] == ["Lin", "Lin", "So ", "So "]
    assert answer.usage is not None and answer.usage.prompt_tokens == 5 + 3


def test_the_coldest_text_is_the_same_for_each_seed_and_a_warm_one_is_not(client: OpenAI) -> None:
    def made(**how: Any) -> str:
        return client.completions.create(model="lines", prompt="L", max_tokens=30, **how).choices[0].text

    assert made(temperature=0, seed=1) == made(temperature=0, seed=2)
    assert made(temperature=1.5, seed=1) == made(temperature=1.5, seed=1) != made(temperature=1.5, seed=2)


def test_top_p_leaves_the_likeliest_only(client: OpenAI) -> None:
    cold = client.completions.create(model="lines", prompt="Line 1", max_tokens=20, temperature=0).choices[0].text
    assert client.completions.create(model="lines", prompt="Line 1", max_tokens=20, top_p=1e-6).choices[0].text == cold


def test_logprobs_are_those_of_the_tokens_and_fall(client: OpenAI) -> None:
    choice = client.completions.create(model="lines", prompt="Line ", max_tokens=12, logprobs=3).choices[0]
    found = choice.logprobs
    assert found is not None and found.tokens is not None and found.token_logprobs is not None
    assert found.top_logprobs is not None and found.text_offset is not None
    assert "".join(found.tokens) == choice.text and found.text_offset == list(range(len(choice.text)))
    assert all(log <= 0 for log in found.token_logprobs)
    for token, log, top in zip(found.tokens, found.token_logprobs, found.top_logprobs, strict=True):
        assert len(top) == 3 and list(top.values()) == sorted(top.values(), reverse=True)
        assert top.get(token, log) == log


def test_text_is_streamed_and_together_is_what_comes_without_a_stream(client: OpenAI) -> None:
    asked: dict[str, Any] = {"model": "lines", "prompt": "Line ", "max_tokens": 60, "stop": "!", "seed": 3}
    options: Any = {"include_usage": True}
    chunks = list(client.completions.create(**asked, stream=True, stream_options=options))
    plain = client.completions.create(**asked)
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == plain.choices[0].text
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage == plain.usage


def test_several_texts_are_streamed_each_by_its_index(client: OpenAI) -> None:
    chunks = client.completions.create(model="lines", prompt="Line ", n=2, max_tokens=9, echo=True, stream=True)
    texts = {0: "", 1: ""}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert all(text.startswith("Line ") and len(text) <= 14 for text in texts.values())


@pytest.mark.parametrize(
    ("more", "error", "param"),
    [
        ({"max_tokens": 0}, openai.UnprocessableEntityError, "max_tokens"),
        ({"max_tokens": 100_000, "n": 128, "prompt": ["a"] * 16}, openai.BadRequestError, "n"),
        ({"temperature": 3}, openai.UnprocessableEntityError, "temperature"),
        ({"top_p": 0}, openai.UnprocessableEntityError, "top_p"),
        ({"logprobs": 6}, openai.UnprocessableEntityError, "logprobs"),
        ({"logprobs": 1, "stream": True}, openai.BadRequestError, "logprobs"),
        ({"best_of": 3}, openai.BadRequestError, "best_of"),
        ({"suffix": "end"}, openai.BadRequestError, "suffix"),
        ({"prompt": [1, 2]}, openai.UnprocessableEntityError, "prompt"),
        ({"stop": ""}, openai.UnprocessableEntityError, "stop"),
        ({"extra_body": {"label": "x"}}, openai.BadRequestError, "label"),
    ],
)
def test_what_a_run_of_text_cannot_be_asked_for_is_refused(
    client: OpenAI, more: dict[str, Any], error: type[openai.APIStatusError], param: str
) -> None:
    with pytest.raises(error) as found:
        client.completions.create(**{"model": "lines", "prompt": "a", "max_tokens": 3, **more})
    assert found.value.param is not None and found.value.param.split(".")[0] == param


def test_text_that_was_made_is_no_line_that_was_learned_unless_asked_so(client: OpenAI) -> None:
    answer = client.completions.create(model="lines", prompt="", n=5, max_tokens=200)
    assert not {choice.text for choice in answer.choices} & set(LINES)


# Provenance, and the client's other manners ------------------------------------------------------------------------------


def test_a_picture_that_was_made_is_known_again_and_one_that_was_edited_is_not(client: OpenAI) -> None:
    answer = client.images.generate(model="digits", prompt="4", extra_body={"seed": 77})
    assert answer.data is not None
    blob = base64.b64decode(answer.data[0].b64_json or "")
    found = client.content_provenance_checks.create(file=("mine.png", blob))
    states = {result.type: result for result in found.results}
    assert found.object == "content_provenance_check" and states["label"].outcome == "detected"  # type: ignore[index]
    assert states["record"].validation_state == "trusted"  # type: ignore[index, union-attr]
    out = io.BytesIO()
    Image.fromarray(255 - picture(blob)).save(out, "PNG")
    bare = {
        result.type: result
        for result in client.content_provenance_checks.create(file=("x.png", out.getvalue())).results
    }
    assert bare["label"].outcome == bare["record"].outcome == "not_detected"  # type: ignore[index]


def test_clients_that_do_not_wait_for_each_other_get_what_each_would_get_alone(address: str) -> None:
    async def all_of_it() -> tuple[list[str], list[str]]:
        async with AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:

            async def made(seed: int) -> str:
                answer = await client.images.generate(model="digits", prompt="", extra_body={"seed": seed})
                return (answer.data or [])[0].b64_json or ""

            return await asyncio.gather(*map(made, range(8))), [await made(seed) for seed in range(8)]

    together, alone = ended(all_of_it())
    assert together == alone and len(set(alone)) == 8


def test_an_asynchronous_client_streams_too(address: str) -> None:
    async def texts() -> tuple[str, list[str]]:
        async with AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
            stream = await client.completions.create(model="lines", prompt="Line ", max_tokens=30, stream=True)
            text = "".join([choice.text async for chunk in stream for choice in chunk.choices])
            pictures = await client.images.generate(model="steps", prompt="1", stream=True, partial_images=1)
            return text, [event.type async for event in pictures]

    text, events = ended(texts())
    assert 0 < len(text) <= 30 and events[-1] == "image_generation.completed"


def test_errors_have_the_number_of_the_request(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as found:
        client.images.generate(model="nothing", prompt="1")
    assert found.value.request_id and found.value.code == "model_not_found"
    assert found.value.body == {
        "message": "no run is served as 'nothing'; /v1/models lists those that are.",
        "type": "not_found_error",
        "param": None,
        "code": "model_not_found",
    }


def test_what_the_client_has_and_this_server_has_not_is_a_404_in_the_same_shape(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as found:
        client.embeddings.create(model="lines", input="a")
    assert found.value.type == "not_found_error"
