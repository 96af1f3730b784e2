"""Documents out of JSON lines, conversations among them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from karat.content.table.io.jsontables import TEXT_FIELDS
from karat.content.text.budget import afford
from karat.content.text.decoding import How, decoded_blocks
from karat.content.text.documents import LABEL, Found, few_values, field_named, rows_found
from karat.errors import DataError

CHATS = ("messages", "conversations", "conversation", "chat", "dialog", "dialogue")
ROLE = re.compile(r"(?m)^<\|([^|\n]{1,40})\|>\n")


def read_json_lines(path: Path, how: How) -> Found:
    blocks, encoding, notes, question = decoded_blocks(path, how)
    rows, places = _objects(path, blocks)
    if not rows:
        raise DataError(f"{path} holds no lines of JSON; some hundreds were wanted.")
    fields = list(dict.fromkeys(key for row in rows[:1000] for key in row))
    chat = next(
        (name for name in CHATS if name in fields and (how.text in (None, name)) and _is_chat(rows[0].get(name))), None
    )
    if chat is not None:
        for row, number in zip(rows, places, strict=True):
            row[chat] = _chat_text(row.get(chat), f"{path}, line {number:,}")
        how = replace(how, text=chat)
        note = f'Each conversation in "{chat}" is a document, its messages behind lines of <|role|>.'
        notes = (*notes, note)
    text = _text_field(path, rows, fields) if how.text is None else field_named(path, how.text, fields)
    label = how.label if how.label is None else field_named(path, how.label, fields)
    if label is None:
        label = next((name for name in LABEL if name in fields and few_values([row.get(name) for row in rows])), None)
    texts: list[str | None] = []
    for row, number in zip(rows, places, strict=True):
        value = row.get(text)
        if value is not None and not isinstance(value, str):
            raise DataError(
                f"{path}, line {number:,}: {text!r} is of type {type(value).__name__}; text was wanted (--set data.text=FIELD)."
            )
        texts.append(value)
    columns = {name: [row.get(name) for row in rows] for name in fields if name not in (text, label)}
    names = [f"{path.name}:{number}" for number in places]
    found = rows_found(
        texts,
        [row.get(label) for row in rows] if label else None,
        columns,
        names,
        (text, label),
        ".jsonl",
        {encoding: 1},
        notes,
        question,
    )
    return replace(found, chat=chat is not None)


def _objects(path: Path, blocks: Sequence[tuple[int, str]]) -> tuple[list[dict[str, Any]], list[int]]:
    """The object of each line that is not blank, and its number; DataError naming the line that holds none."""
    rows: list[dict[str, Any]] = []
    places: list[int] = []
    afford(path, sum(len(text) for _, text in blocks), sum(text.count("\n") for _, text in blocks))
    for offset, text in blocks:
        for number, line in enumerate(text.split("\n"), 1):
            if not line or line.isspace():
                continue
            where = f"{path}, line {number:,}" if offset <= 4 else f"{path}, behind byte offset {offset:,}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                message = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                at = f" at its character {error.pos + 1:,}" if isinstance(error, json.JSONDecodeError) else ""
                raise DataError(f"{where} is no JSON{at}: {message}. One object to a line was wanted.") from None
            if isinstance(row, str):
                row = {"text": row}
            if not isinstance(row, dict):
                kind = type(row).__name__
                raise DataError(
                    f'{where} holds JSON of type {kind}; one JSON object to a line was wanted, as {{"text": "..."}}.'
                )
            rows.append(row)
            places.append(number)
    return rows, places


def _is_chat(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(m, dict) and _role(m) is not None for m in value)


def _role(message: Mapping[str, Any]) -> str | None:
    """Who speaks, as OpenAI's or ShareGPT's files call it."""
    for who, what in (("role", "content"), ("from", "value")):
        if isinstance(message.get(who), str) and what in message:
            return str(message[who])
    return None


def _chat_text(value: object, where: str) -> str | None:
    """A conversation as one text; None for one without messages, DataError for what is none."""
    if value is None or value == []:
        return None
    if not _is_chat(value):
        raise DataError(
            f'{where} holds no conversation; a list of {{"role": "...", "content": "..."}} was wanted, as in the first.'
        )
    assert isinstance(value, list)
    parts = []
    for message in value:
        content = message["content"] if "content" in message else message["value"]
        if isinstance(content, list):  # of parts, of which the texts are text
            content = "\n".join(
                str(p["text"]) for p in content if isinstance(p, dict) and isinstance(p.get("text"), str)
            )
        if content is not None and not isinstance(content, str):
            raise DataError(
                f"{where} holds a message whose content is of type {type(content).__name__}; text was wanted."
            )
        if content:
            parts.append(f"<|{_role(message)}|>\n{content.strip(chr(10))}\n")
    return "".join(parts)


def chat_of(text: str) -> list[dict[str, str]]:
    """The messages of a conversation that was drawn as text: what stands behind a line of <|role|> is of that role."""
    pieces = ROLE.split(text)
    first = [{"role": "user", "content": pieces[0].strip("\n")}] if pieces[0].strip() else []
    return first + [
        {"role": role, "content": content.strip("\n")} for role, content in zip(pieces[1::2], pieces[2::2], strict=True)
    ]


def _text_field(path: Path, rows: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> str:
    """The field that holds the text: by its name, or the only one of strings that are long."""
    worded = [name for name in fields if any(isinstance(row.get(name), str) for row in rows[:100])]
    for name in TEXT_FIELDS:
        if name in worded or (name in fields and not worded):
            return name
    if len(worded) == 1:
        return worded[0]
    sizes = {name: np.mean([len(str(row.get(name, ""))) for row in rows[:1000]]) for name in worded}
    long = [
        name
        for name in worded
        if sizes[name] > 20
        and sizes[name] > 3 * max((size for other, size in sizes.items() if other != name), default=0)
    ]
    if len(long) == 1:
        return long[0]
    listed = ", ".join(map(repr, fields[:8]))
    raise DataError(f"{path} has the fields {listed}; say which holds the text with --set data.text=FIELD.")
