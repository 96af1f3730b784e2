"""Whatever holds a table, opened: delimited files, Parquet, Arrow, data frames in memory, SQLite, DuckDB, PostgreSQL."""

from __future__ import annotations

import datetime
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc as ipc
import pyarrow.orc as orc
import pyarrow.parquet as pq

from karat.content import signatures
from karat.content.table.io import columnar, delimited, jsontables, packed, workbook
from karat.content.table.io.engines import without_password
from karat.content.table.io.plain import check, is_binary
from karat.content.table.io.sampling import Sampler
from karat.content.table.io.sql import is_url, read_database
from karat.content.table.table import Dialect, Raw
from karat.errors import DataError, FitError, UnsafeFile
from karat.output import Output

__all__ = ["DATABASES", "SUFFIXES", "open_table", "recognises", "without_password", "write"]

TEXT = (".csv", ".tsv", ".tab", ".psv", ".txt")
ARROW = (".feather", ".arrow", ".ipc")
DATABASES = (".db", ".sqlite", ".sqlite3", ".duckdb")
JSON = (".json", ".jsonl", ".ndjson")
SUFFIXES = (
    *TEXT,
    *JSON,
    *(f"{suffix}{packing}" for suffix in (*TEXT, *JSON) for packing in packed.SUFFIXES),
    ".parquet",
    *ARROW,
    ".orc",
    ".xlsx",
    ".xlsm",
    *DATABASES,
)
WANTED = ".csv, .tsv, .json or .jsonl (each also .gz, .bz2, .xz, .zst, .zip), .parquet, .feather, .orc, .xlsx, .sqlite, .duckdb"
_DELIMITERS = {".tsv": "\t", ".tab": "\t", ".psv": "|"}
_PICTURES = re.compile(r"(^|_)(image|img|picture|photo|pixel|jpe?g|png)s?($|_|\d)", re.I)


def suffix_of(path: Path) -> str:
    """The suffix in small letters, with what is before that of a packing; of a zip named so, that of the one file in it."""
    name, packing = packed.bare(path.name)
    suffix = Path(name).suffix
    if packing == ".zip" and suffix not in (*TEXT, *JSON):
        inside = packed.entries(path)
        suffix = Path(inside[0].lower()).suffix if len(inside) == 1 else ""
    return suffix + packing


def bare(suffix: str) -> str:
    """A suffix without that of a packing."""
    return packed.bare(suffix)[0]


def form(suffix: str) -> str:
    """What `Dialect.form` calls files that end so: "delimited", "json", "jsonl", "xlsx", or "" where columns keep their types."""
    text = bare(suffix)
    if text in jsontables.LINES:
        return "jsonl"
    return "delimited" if text in TEXT else {".json": "json", ".xlsx": "xlsx"}.get(text, "")


def own_suffix(place: Any, raw: Raw) -> str:
    """The form in which a table came, which a made one has by default."""
    if raw.dialect is not None:
        packing = next((ending for ending, form in packed.SUFFIXES.items() if form == raw.dialect.packed), "")
        delimited_by = ".tsv" if raw.dialect.delimiter == "\t" else ".csv"
        return (delimited_by if raw.dialect.form == "delimited" else f".{raw.dialect.form}") + packing
    suffix = Path(place).suffix.lower() if isinstance(place, Path | str) else ""
    return ".feather" if suffix in ARROW else ".orc" if suffix == ".orc" else ".parquet"


def recognises(source: Any) -> bool:
    """Whether `source` looks like a table: by its type, its suffix or its first bytes; a table of pictures is none."""
    if is_url(source) or _is_frame(source):
        return True
    if not isinstance(source, str | Path):
        return False
    path = Path(source)
    suffix = suffix_of(path)
    if suffix not in SUFFIXES or not path.is_file():
        return False
    if suffix in DATABASES:
        with path.open("rb") as file:
            start = file.read(16)
        return start[:15] == b"SQLite format 3" or start[8:12] == b"DUCK"
    if suffix == ".parquet":
        try:
            return not _pictures(pq.read_schema(path))
        except (OSError, pa.ArrowException):
            return True  # damaged: opening it says so
    if suffix.startswith(".txt"):
        return delimited.separated(path)
    if bare(suffix) in jsontables.LINES:
        return jsontables.told(path) == "table"
    return True


def _pictures(schema: pa.Schema) -> list[str]:
    """The columns that hold encoded pictures, as Hugging Face writes them."""
    found = []
    for column in schema:
        kind = column.type
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            kind = kind.field("bytes").type
        if is_binary(kind) and _PICTURES.search(column.name):
            found.append(column.name)
    return found


def _is_frame(source: object) -> bool:
    if isinstance(source, type | str | Path):
        return False
    if isinstance(source, pa.Table | pa.RecordBatch) or hasattr(source, "__arrow_c_stream__"):
        return (
            not isinstance(source, pa.Array | pa.ChunkedArray)
            and _module(source) + type(source).__name__ != "pandasSeries"
        )
    return _module(source) in ("pandas", "polars") and type(source).__name__ in ("DataFrame", "LazyFrame")


def _module(source: object) -> str:
    for kind in type(source).__mro__:
        root = kind.__module__.partition(".")[0]
        if root in ("pandas", "polars"):
            return root
    return ""


def open_table(source: Any, options: Mapping[str, Any]) -> Raw:
    """The table that `source` holds: a path, a postgresql:// URL, a data frame (pandas, polars, Arrow).

    options: "query" (one SELECT) or "table" for databases; "sheet" of a workbook; "rows", at most so many, spread evenly;
    "encoding" of a delimited file where it should not be judged; others are not looked at. A table that would come to take
    more than half of the free memory is sampled, and `Raw.total` and a note say so.
    Raises DataError naming the file and line, row or column that cannot be read; FitError for options that do not fit.
    """
    rows = options.get("rows")
    if rows is not None and (isinstance(rows, bool) or not isinstance(rows, int) or rows < 1):
        raise FitError(f"rows = {rows!r}; a whole number of at least 1 was wanted.")
    if is_url(source):
        return read_database(source, options.get("query"), options.get("table"), rows)
    if isinstance(source, str | Path):
        return _open_path(Path(source), options, rows)
    if _is_frame(source):
        return _open_frame(source, options, rows)
    raise DataError(
        f"a {type(source).__name__} was given; a path, a postgresql:// URL or a data frame (pandas, polars, Arrow) was wanted."
    )


def _open_path(path: Path, options: Mapping[str, Any], rows: int | None) -> Raw:
    if path.is_dir():
        raise DataError(f"{path} is a folder; one file that holds a table was wanted.")
    if not path.is_file():
        raise DataError(f"{path}: there is no such file.")
    suffix = suffix_of(path)
    with path.open("rb") as file:
        start = file.read(16)
    if suffix in DATABASES or start[:15] == b"SQLite format 3" or start[8:12] == b"DUCK":
        return read_database(path, options.get("query"), options.get("table"), rows)
    _unasked(options, str(path))
    if suffix in (".parquet", ".orc", *ARROW):
        schema, batches = columnar.batches(path)
        return _gathered(batches, schema, "parquet", str(path), rows)
    if packed.bare(suffix)[0] in (*TEXT, ""):
        return delimited.read(path, rows, encoding=options.get("encoding"))
    if bare(suffix) in JSON:
        return jsontables.read(path, rows, options.get("encoding"))
    if suffix in (".xlsx", ".xlsm"):
        return workbook.read(path, rows, options.get("sheet"))
    kind = signatures.of_file(path)
    if kind is not None and kind.what != "a zip archive":
        raise (UnsafeFile if kind.unsafe else DataError)(
            f"{path} is {kind.what}, no table that can be read; {kind.cure}."
        )
    raise DataError(f"{path} ends in {suffix}; tables end in {WANTED}.")


def _unasked(options: Mapping[str, Any], place: str) -> None:
    for name in ("query", "table"):
        if options.get(name) is not None:
            raise FitError(f"a {name} was given, and {place} is not a database. Leave it out.")
    if options.get("sheet") is not None and not place.lower().endswith((".xlsx", ".xlsm")):
        raise FitError(f"a sheet was given, and {place} is not a workbook. Leave it out.")


def _open_frame(source: Any, options: Mapping[str, Any], rows: int | None) -> Raw:
    place = f"the {_module(source)} data frame".replace("  ", " ")
    _unasked(options, place)
    try:
        if _module(source) == "pandas":
            table = _from_pandas(source)
        elif _module(source) == "polars":
            table = (source.collect() if type(source).__name__ == "LazyFrame" else source).to_arrow()
        else:
            table = source if isinstance(source, pa.Table) else pa.table(source)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(f"{place} cannot be read: {_first(error)}. Give each column values of one type.") from error
    check(table.schema, place)
    return _gathered(table.to_batches(), table.schema, "frame", place, rows, room=2**62)  # it is in memory already


def _from_pandas(frame: Any) -> pa.Table:
    """A pandas frame with its named index levels as the first columns and the others dropped."""
    for name in [c for c in frame.columns if frame.columns.is_unique and frame[c].dtype == object]:
        cells = frame[name]
        there = [x for x in cells if isinstance(x, datetime.datetime) and x.tzinfo is not None]
        if len({x.utcoffset() for x in there}) > 1 and len({str(x.tzinfo) for x in there}) > 1:
            size = "microseconds" if any(x.microsecond for x in there) else "seconds"
            spelled = [x.isoformat(timespec=size) if isinstance(x, datetime.datetime) else x for x in cells]
            frame = (
                frame.assign(**{name: spelled}) if isinstance(name, str) else frame
            )  # Arrow has one zone for a column
    named = [str(name) for name in frame.index.names if name is not None]
    table = pa.Table.from_pandas(
        frame, preserve_index=True if named else None
    )  # None: what the columns are called is kept too
    first = [name for name in named if name in table.column_names]
    return table.select([*first, *(name for name in table.column_names if name not in first)])


def _first(error: Exception) -> str:
    said = str(error).strip()
    return said.splitlines()[0].rstrip(".") if said else type(error).__name__


def _gathered(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    source: str,
    place: str,
    rows: int | None,
    room: float | None = None,
) -> Raw:
    """All rows, or as many as fit, without the index columns that pandas made up."""
    sampler = Sampler(rows, room)
    for batch in batches:
        sampler.add(pa.Table.from_batches([batch], schema=schema))
    if not sampler.total:
        raise DataError(
            f"{place} has the columns {', '.join(schema.names[:5])} and no rows; rows to learn from were wanted."
        )
    cells = _flat(sampler.table())
    unnamed = [name for name in cells.column_names if re.fullmatch(r"__index_level_\d+__", name)]
    if unnamed and len(unnamed) < cells.num_columns:
        cells = cells.drop_columns(unnamed)
    cells = cells.replace_schema_metadata(_metadata(cells))
    total = sampler.total if cells.num_rows < sampler.total else None
    return Raw(cells, source, place, None, total, sampler.note(cells.num_rows))


def _flat(table: pa.Table) -> pa.Table:
    """Views of strings become strings: few of Arrow's functions know views."""
    fields = [
        column.with_type(pa.large_string()) if pa.types.is_string_view(column.type) else column
        for column in table.schema
    ]
    return table.cast(pa.schema(fields, table.schema.metadata))


def _metadata(table: pa.Table) -> dict[bytes, bytes] | None:
    """The table's metadata, with pandas' notes on columns and index cut to what any number of these rows may have."""
    if not table.schema.metadata:
        return None
    kept = dict(table.schema.metadata)
    try:
        notes = json.loads(kept[b"pandas"])
        notes["index_columns"] = [name for name in notes["index_columns"] if name in table.column_names]
        notes["columns"] = [note for note in notes["columns"] if note["field_name"] in table.column_names]
    except (KeyError, TypeError, ValueError):  # not written by pandas
        kept.pop(b"pandas", None)
    else:
        kept[b"pandas"] = json.dumps(notes, sort_keys=True).encode()
    return kept


def notes(schema: pa.Schema) -> str:
    """What pandas and polars wrote into the schema of their columns, as JSON; "" where they wrote nothing."""
    whole = {k.decode("latin-1"): v.decode("latin-1") for k, v in (schema.metadata or {}).items() if k == b"pandas"}
    each = {
        field.name: {
            k.decode("latin-1"): v.decode("latin-1") for k, v in (field.metadata or {}).items() if k.startswith(b"_PL_")
        }
        for field in schema
    }
    each = {name: found for name, found in each.items() if found}
    return json.dumps({"schema": whole, "fields": each}, sort_keys=True) if whole or each else ""


def noted(table: pa.Table, said: str) -> pa.Table:
    """The table with `notes` beside its columns again."""
    if not said:
        return table
    known = json.loads(said)
    fields = [
        field.with_metadata({k.encode("latin-1"): v.encode("latin-1") for k, v in known["fields"][field.name].items()})
        if field.name in known["fields"]
        else field
        for field in table.schema
    ]
    whole = {k.encode("latin-1"): v.encode("latin-1") for k, v in known["schema"].items()}
    return table.cast(pa.schema(fields, whole))


def write(printed: pa.Table, suffix: str, dialect: Dialect | None = None) -> bytes:
    """`printed` as the bytes of a file whose name ends in `suffix`; the same rows give the same bytes.

    dialect: how a delimited file is written, its own packing aside: that follows the suffix; by default commas (tabs
    for .tsv, bars for .psv). Parquet and Arrow keep the types, and the metadata that pandas reads.
    Raises FitError for a suffix that is not written.
    """
    out = io.BytesIO()
    stream(iter([printed]), suffix, out, dialect)
    return out.getvalue()


def stream(printed: Iterator[pa.Table], suffix: str, file: IO[bytes], dialect: Dialect | None = None) -> None:
    """The same, of at least one block of rows, into `file` as they come; in Parquet each is a row group."""
    suffix = suffix.lower()
    packing = next((ending for ending in packed.SUFFIXES if suffix.endswith(ending)), "")
    text = suffix.removesuffix(packing)
    if text in TEXT:
        if dialect is None:
            dialect = Dialect(delimiter=_DELIMITERS.get(text, ","))
        delimited.stream(printed, replace(dialect, packed=packed.SUFFIXES.get(packing, "")), file)
        return
    if text not in JSON and suffix not in (".parquet", ".orc", ".xlsx", *ARROW):
        raise FitError(f"tables are not written as {suffix}; {WANTED.partition(', .sqlite')[0]} are.")
    first = next(printed)
    if text in JSON:
        blocks: Iterator[pa.Table] = chain([first], printed)
        if dialect is None:
            plain = tuple(c.name for c in first.schema if _number(c.type) or pa.types.is_boolean(c.type))
            dialect = Dialect(form=form(text), bare=plain)
            blocks = map(_finite, blocks)
        jsontables.stream(blocks, replace(dialect, packed=packed.SUFFIXES.get(packing, "")), file)
        return
    if suffix == ".xlsx":
        if dialect is None:
            plain = tuple(c.name for c in first.schema if _number(c.type) or pa.types.is_boolean(c.type))
            dated = tuple(c.name for c in first.schema if pa.types.is_date(c.type) or pa.types.is_timestamp(c.type))
            dialect = Dialect(form="xlsx", bare=plain, dated=dated)
        file.write(workbook.write(pa.concat_tables([first, *printed]), dialect))  # a sheet has a million rows at most
        return
    first = first.replace_schema_metadata(None if suffix == ".orc" else _metadata(first))
    blocks = chain([first], (block.cast(first.schema) for block in printed))
    if suffix == ".parquet":
        with pq.ParquetWriter(file, first.schema) as writer:
            for block in blocks:
                writer.write_table(block)
    elif suffix == ".orc":
        try:
            with orc.ORCWriter(file) as rows:
                for block in blocks:
                    rows.write(block)
        except pa.ArrowException as error:
            raise FitError(f"ORC has no place for these columns ({_first(error)}); write .parquet.") from error
    else:
        if any(pa.types.is_dictionary(kind) for kind in first.schema.types):  # all blocks share one, in an Arrow file
            blocks = iter([pa.concat_tables(blocks).unify_dictionaries()])
        with ipc.new_file(file, first.schema) as arrow:
            for block in blocks:
                arrow.write_table(block)


def _number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _finite(table: pa.Table) -> pa.Table:
    """The table with numbers that JSON does not know as missing."""
    for i, column in enumerate(table.schema):
        if pa.types.is_floating(column.type):
            cells = table.column(i)
            table = table.set_column(
                i, column.name, pc.if_else(pc.is_finite(cells), cells, pa.scalar(None, column.type))
            )
    return table


def keep_frame(frame: Any, path: Path) -> Path:
    """`path`, a new Feather file, which has all types, with the data frame in it; RunError where there is one."""
    Output(private=True).write(path, write(open_table(frame, {}).cells, ".feather"))
    return path
