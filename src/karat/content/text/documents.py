"""What was found: documents with their labels, out of the columns of any file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.table.io import sources
from karat.content.table.io.sampling import laid_out, spread
from karat.content.table.rules.expressions import unknown
from karat.content.text.budget import afford
from karat.content.text.decoding import How, lined
from karat.errors import DataError

PLAIN = (".txt", ".text", ".md", ".log", ".rst")
CODE = tuple(
    """
    .py .pyi .js .jsx .mjs .ts .tsx .java .kt .kts .scala .groovy .c .h .cc .cpp .cxx .hpp .hh .cs .go .rs .swift
    .m .mm .rb .php .pl .pm .lua .r .jl .hs .ml .mli .clj .ex .exs .erl .lisp .el .scm .f90 .f95 .pas .vb .asm .sh
    .bash .zsh .ps1 .bat .sql .tex .bib .css .scss .vue .svelte .proto .cmake .gradle .lean .v .sv .vhd .zig .nim
    .dart .sol
    """.split()
)
LINES = (".jsonl", ".ndjson")
LABEL = ("label", "class", "category")
SHORT, FACETS = 40, 16  # characters of a facet, and how many are kept


@dataclass(frozen=True)
class Found:
    """Documents [n] as they were found, line ends as \\n, none of them empty.

    names: where each came from.   labels: of each, or None.   facets: what else is known of each, by its name.
    columns: what the text and its label are called.   whole: whether this is all there is; else a part spread over it.
    pieces: of one text of which only stretches were taken, these in place of documents.   chat: see `chat_of`.
    question: what a person must say before anything learns from it, "" where nothing is open.
    """

    documents: list[str]
    names: list[str]
    labels: list[str] | None = None
    facets: Mapping[str, np.ndarray] = field(default_factory=dict)
    newline: str = "\n"
    suffix: str = ".txt"
    columns: tuple[str, str] = ("text", "label")
    encodings: Mapping[str, int] = field(default_factory=dict)
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    pieces: bool = False
    question: str = ""
    chat: bool = False


def suffix_of(path: Path) -> str:
    """The suffix in small letters, without .gz."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def read_column(path: Path, how: How) -> Found:
    """A column of a table, and perhaps another as its class."""
    if not sources.recognises(path):
        raise DataError(
            f"{path} is no table; data.text={how.text} names a column of .csv, .tsv or .parquet, or a field of .jsonl."
        )
    options = {} if how.encoding is None else {"encoding": how.encoding}
    raw = sources.open_table(path, options)
    fields = list(raw.cells.column_names)
    text = field_named(path, str(how.text), fields)
    label = None if how.label is None else field_named(path, how.label, fields)
    afford(path, laid_out(raw.cells[text]), len(raw.cells))
    texts = _words(raw.cells[text])
    labels = None if label is None else _words(raw.cells[label])
    beside = [name for name in fields if name not in (text, label) and _short(raw.cells[name])][:FACETS]
    held = {name: _words(raw.cells[name]) for name in beside}
    size = sum(len(value) for value in texts if value is not None)
    notes = list(raw.notes)
    if size > how.limit:
        kept = spread(len(texts), int(len(texts) * how.limit / size)).tolist()
        notes.append(f"{len(kept):,} of {len(texts):,} rows, spread evenly, were taken (--set data.limit=...).")
        texts = [texts[i] for i in kept]
        labels = None if labels is None else [labels[i] for i in kept]
        held = {name: [values[i] for i in kept] for name, values in held.items()}
    names = [f"{path.name}: row {k + 1}" for k in range(len(texts))]
    written = {} if raw.dialect is None else {raw.dialect.encoding: 1}
    return rows_found(texts, labels, held, names, (text, label), ".csv", written, tuple(notes), raw.question)


def rows_found(
    texts: Sequence[str | None],
    labels: Sequence[Any] | None,
    columns: Mapping[str, Sequence[Any]],
    names: Sequence[str],
    called: tuple[str, str | None],
    suffix: str,
    written: Mapping[str, int],
    notes: tuple[str, ...],
    question: str,
) -> Found:
    """Documents of rows that hold text and, where there are labels, one; what is plain beside them as facets."""
    kept, broken = [], 0
    documents = []
    for i, value in enumerate(texts):
        if value is None or not value.strip() or (labels is not None and labels[i] in (None, "")):
            continue
        clean = lined(value)[0]
        if not clean.isascii():
            whole = clean.encode("utf-8", "replace" if _paired(clean) else "strict").decode()
            broken += whole != clean
            clean = whole
        kept.append(i)
        documents.append(clean)
    if len(kept) < len(texts):
        without = "text" if labels is None else "text or label"
        notes += (f"{len(texts) - len(kept):,} of {len(texts):,} rows have no {without} and were left out.",)
    if broken:
        notes += (f"{broken:,} rows hold half of a character (a lone surrogate); it is written as ? in them.",)
    plain = list(islice((name for name, values in columns.items() if _facet(values)), FACETS))
    afford(names[0].rpartition(":")[0] if names else "", sum(map(len, documents)), len(texts), len(kept) * len(plain))
    facets = {name: np.array([str(columns[name][i]) for i in kept]) for name in plain}
    classes = None if labels is None else [str(labels[i]) for i in kept]
    return Found(
        documents,
        [names[i] for i in kept],
        classes,
        facets,
        suffix=suffix,
        encodings=written,
        notes=notes,
        question=question,
        columns=(called[0], called[1] if called[1] is not None else "label"),
    )


def _paired(text: str) -> bool:
    """Whether it has half of a surrogate pair, which no UTF-8 can hold."""
    return any("\ud800" <= c <= "\udfff" for c in text)


def _words(column: pa.ChunkedArray) -> list[str | None]:
    values = column.to_pylist()
    return [None if value is None else value if isinstance(value, str) else str(value) for value in values]


def _short(column: pa.ChunkedArray) -> bool:
    """As `_facet`, before the column is taken out of the table."""
    if column.null_count or pa.types.is_integer(column.type):
        return not column.null_count
    words = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return words and (pc.max(pc.utf8_length(column)).as_py() or 0) <= SHORT


def _facet(values: Sequence[Any]) -> bool:
    """Whether they are short words or numbers, there in every row."""
    return all(isinstance(v, str | int | float) and len(str(v)) <= SHORT for v in values)


def few_values(values: Sequence[Any]) -> bool:
    """Whether they are classes: short, and few of them for their number."""
    if not all(isinstance(v, str | int) and len(str(v)) <= 60 for v in values):
        return False
    return 2 <= len(set(values)) <= min(1000, len(values) / 5)


def field_named(path: Path, name: str, fields: Sequence[str]) -> str:
    if name not in fields:
        raise DataError(f"{path}: {name!r} was asked for, {unknown(name, list(fields))}")
    return name
