"""POST /v1/rows: rows of a table."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
import pyarrow.ipc as ipc
from fastapi import APIRouter, Response
from fastapi import Request as Http
from pydantic import Field

from karat.content.table.rules.conditions import names_file
from karat.options import MakeOptions
from karat.server.answers import Labelled
from karat.server.bodies import Route
from karat.server.engine import File
from karat.server.forms import Form, form, options_of, takes
from karat.server.problems import Problem, short
from karat.server.routes.documented import MAKING, errors, made
from karat.server.routes.drawing import OWN, check_cost, class_of, codec_for, draw, note, options_for, request_for
from karat.server.served import served

ROUTER = APIRouter(tags=["rows"], route_class=Route)
MOST = 1_000_000
KINDS = {  # by format: the file that is made, and what HTTP calls it
    "jsonl": (".jsonl", "application/x-ndjson"),
    "csv": (".csv", "text/csv"),
    "parquet": (".parquet", "application/vnd.apache.parquet"),
    "arrow": (".feather", "application/vnd.apache.arrow.stream"),
}
Value = str | float | bool | None


@dataclass(frozen=True, kw_only=True)
class RowsAsked:
    """Make rows of a table.

    Parameters
    ----------
    model
        The name of a run of a table.
    n
        How many rows.
    given
        What every row must hold: as text, such as "income=>50K, age=30..40", or by column, such as {"income": ">50K"}.
    format
        jsonl, a row on each line; csv, as the data were written; parquet; or arrow, a stream of Arrow's.
    """

    model: str
    n: Annotated[int, Field(ge=1, le=MOST)] = 100
    given: Annotated[str, Field(max_length=4096)] | dict[str, Value] | None = None
    format: Literal["jsonl", "csv", "parquet", "arrow"] = "jsonl"


Asked = form(
    "RowsRequest",
    RowsAsked,
    MakeOptions,
    only=(*OWN, "balance", "independent", "safe_cells"),
    examples=[{"model": "adult", "n": 1000, "given": {"income": ">50K", "age": "30..40"}, "format": "parquet"}],
)


@ROUTER.post(
    "/v1/rows",
    responses={**made(*(kind for _, kind in KINDS.values())), **errors(*MAKING)},
    response_class=Labelled,
)
@takes(Asked)
async def rows(asked: Form, http: Http) -> Response:
    """Rows of a table, in a form that programs read."""
    here = served(http)
    one = options_of(asked, RowsAsked, here.catalogue, ("model", "n", "format"), given=_condition(asked.given))  # type: ignore[attr-defined]
    codec = await codec_for(here, one.model, "table")
    check_cost(codec, one.n)
    run = (await here.engine.open(one.model)).run
    options = options_for(here, run, asked, "balance", "independent", "safe_cells")
    class_of(run, ("label", options.label))
    request = request_for(options, one.n, given=one.given)
    drawn = await draw(http, one.model, request, options)
    suffix, kind = KINDS[one.format]
    (file,) = await here.engine.answer(drawn, suffix)
    if one.format == "arrow":
        file = replace(file, name="rows.arrows", content=await asyncio.to_thread(_streamed, file))
    await note(here, drawn, [file])
    named = {"content-disposition": f'attachment; filename="rows{Path(file.name).suffix}"'}
    return Labelled(file.content, file.label, kind, headers=named)


def _condition(given: str | dict[str, Value] | None) -> str | None:
    """The text of conditions; Problem (400) for one that is none."""
    if isinstance(given, dict):
        given = ", ".join(f"{_quoted(name)}={_cell(value)}" for name, value in given.items()) or None
    if given is not None and names_file(given):
        raise Problem(400, "unfit", f"given is {short(given)}: wanted column=value, such as age=30..40.", "given")
    return given


def _cell(value: Value) -> str:
    """A value as a condition spells it, empty for a missing cell."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else _quoted(value) if isinstance(value, str) else f"{value:.17g}"


def _quoted(text: str) -> str:
    """In quotes where it holds what ends a name or a value."""
    return '"' + text.replace('"', '""') + '"' if set(',"=!') & set(text) or text != text.strip() else text


def _streamed(file: File) -> bytes:
    """The table of an Arrow file as a stream, with its label among the metadata of the schema."""
    out = io.BytesIO()
    table = ipc.open_file(pa.BufferReader(file.content)).read_all()
    with ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    return out.getvalue()
