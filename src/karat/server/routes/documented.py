"""What /openapi.json says of answers: errors by their status, each with an example, and content that carries a label."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from karat.server.answers import HEADER
from karat.server.problems import Problem


class ErrorBody(BaseModel):
    """What went wrong.

    message: what was found, what was wanted, what to do.   type: OpenAI's word for its kind.   param: the field that it is about.
    code: a word that programs can tell it by.
    """

    message: str
    type: str
    param: str | None
    code: str


class Error(BaseModel):
    """The answer to every request that fails."""

    error: ErrorBody


EXAMPLES = {  # by status: when it occurs, and one as it is sent
    400: (
        "JSON that cannot be read; a field that this request has not; what the run or the data cannot be asked for.",
        Problem(
            400,
            "unknown_field",
            "'tempreature' is no field of this request: did you mean 'temperature'?",
            "tempreature",
        ),
    ),
    401: (
        "No valid key was sent, where one is needed.",
        Problem(
            401, "invalid_api_key", "no valid key was sent; send one, once, as the header Authorization: Bearer KEY."
        ),
    ),
    403: (
        "The key has not the scope that this takes.",
        Problem(403, "missing_scope", "the key ann may not do this; it takes one with the scope make."),
    ),
    404: (
        "No run of that name is served.",
        Problem(404, "model_not_found", "no run is served as 'digts'; /v1/models lists those that are."),
    ),
    409: (
        "What is asked does not go with what is there: a name that is taken, a job that is over.",
        Problem(409, "job_is_over", "job_5f0c2a is over (succeeded), and cannot be cancelled."),
    ),
    413: (
        "The body is longer than this route takes.",
        Problem(413, "body_too_large", "the body is longer than 1,048,576 bytes, the most this route takes."),
    ),
    415: (
        "The body is not JSON.",
        Problem(
            415, "wrong_media_type", "the body must be JSON; send it with the header content-type: application/json."
        ),
    ),
    422: (
        "A field has a value of a wrong type, or outside of its limits.",
        Problem(422, "invalid_value", "n is 11: should be less than or equal to 10.", "n"),
    ),
    429: (
        "Too many requests wait, or the key's quota is used up; Retry-After says when to come again.",
        Problem(429, "queue_full", "256 requests wait already; come again in a second."),
    ),
    500: (
        "A fault of the server's own, of which its log has more.",
        Problem(500, "internal_error", "a fault of the server's own; its log has more under req_5f0c2a."),
    ),
    503: ("The server is being stopped.", Problem(503, "closing", "the server is being stopped.")),
    507: (
        "The disk is full, or uploads have all that they may.",
        Problem(507, "disk_full", "the server's disk is full. Free some room; nothing that was finished is lost."),
    ),
    504: (
        "The request waited longer than its deadline.",
        Problem(504, "deadline", "it waited for 60 s, which is its deadline; ask for less, or later."),
    ),
}
MAKING = (404, 429, 503, 504)  # of what makes content, beside those that follow from its body


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, beside those that follow from what it takes: see `karat.server.openapi`."""
    return {status: {"model": Error, "description": EXAMPLES[status][0]} for status in statuses}


def made(*kinds: str, example: Any = None) -> dict[int | str, dict[str, Any]]:
    """How made content is documented, of these media types: with its label in the headers."""
    file = {"schema": {"type": "string", "format": "binary"}}
    content: dict[str, Any] = {kind: {} if kind.endswith(("/json", "/event-stream")) else file for kind in kinds}
    if example is not None:
        content["application/json"] = {"example": example}
    label = {"description": "The label of origin, as one line of JSON.", "schema": {"type": "string"}, "required": True}
    return {200: {"description": "Made content, labelled.", "content": content, "headers": {HEADER: label}}}


class Counted(BaseModel):
    """What was drawn, in the numbers or tokens of which the model makes it."""

    input_tokens: int = 0
    output_tokens: int
    total_tokens: int
    input_tokens_details: dict[str, int] = Field(default={"image_tokens": 0, "text_tokens": 0})
