"""Whatever holds a table, opened: delimited files, Parquet, Arrow, data frames in memory, SQLite, DuckDB, PostgreSQL."""

from __future__ import annotations

import datetime
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from karat.content import signatures
from karat.content.table.io import packed
from karat.content.table.io.columnar import columns_of, first_line, gathered, read_parts
from karat.content.table.io.engines import without_password
from karat.content.table.io.formats import formats, listed, of_suffix
from karat.content.table.io.plain import check
from karat.content.table.io.sql import is_url, read_database
from karat.content.table.table import Dialect, Raw
from karat.content.visible import column_of
from karat.errors import DataError, FitError, UnsafeFile
from karat.output import INSIDE, Output

__all__ = ["open_table", "recognises", "without_password", "write"]

_OPTIONS = {"query": "a database", "table": "a database", "sheet": "a workbook"}  # and what they are for


def suffix_of(path: Path) -> str:
    """The suffix in small letters, with what is before that of a packing; of a zip named so, that of the one file in it."""
    name, packing = packed.bare(path.name)
    suffix = Path(name).suffix
    if packing == ".zip" and of_suffix(suffix + packing) is None:
        inside = packed.entries(path)
        suffix = Path(inside[0].lower()).suffix if len(inside) == 1 else ""
    return suffix + packing


def bare(suffix: str) -> str:
    """A suffix without that of a packing."""
    return packed.bare(suffix)[0]


def form(suffix: str) -> str:
    """What `Dialect.form` calls files that end so: "delimited", "json", "jsonl", "xlsx", or "" where columns keep their types."""
    found = of_suffix(suffix)
    return "" if found is None else found.form(bare(suffix))


def own_suffix(place: Any, raw: Raw) -> str:
    """The form in which a table came, which a made one has by default."""
    if raw.dialect is not None:
        packing = next((ending for ending, form in packed.SUFFIXES.items() if form == raw.dialect.packed), "")
        delimited_by = ".tsv" if raw.dialect.delimiter == "\t" else ".csv"
        return (delimited_by if raw.dialect.form == "delimited" else f".{raw.dialect.form}") + packing
    found = of_suffix(Path(place).suffix.lower()) if isinstance(place, Path | str) else None
    return ".parquet" if found is None or not found.made or "table" in found.options else found.made[0]


def recognises(source: Any) -> bool:
    """Whether `source` looks like a table: by its type, its suffix or its first bytes; a table of pictures is none."""
    if is_url(source) or _is_frame(source):
        return True
    if not isinstance(source, str | Path):
        return False
    path = Path(source)
    if path.is_dir():
        return bool(parts(path))
    suffix = suffix_of(path)
    found = of_suffix(suffix)
    return found is not None and path.is_file() and found.holds(path, suffix)


def parts(folder: Path) -> list[Path]:
    """The files of a folder that are one table together, in order; none where it holds something else.

    They are Parquet with the same columns, and their names differ in numbers alone, or the folder's own ends in .parquet. What
    begins with a point or an underscore, and labels, are passed over, as Spark and Hive do.
    """
    there = [p for p in folder.iterdir() if p.is_file() and p.name[0] not in "._" and p.name != INSIDE]
    there.sort(key=lambda path: ([int(k) for k in re.findall(r"\d+", path.name)], path.name))
    alike = folder.suffix.lower() == ".parquet" or len({re.sub(r"\d+", "0", path.name) for path in there}) == 1
    if len(there) < 2 or not alike or any(path.suffix.lower() != ".parquet" for path in there):
        return []
    parquet = of_suffix(".parquet")
    assert parquet is not None
    some = [path for path in (there[0], there[-1]) if parquet.holds(path, ".parquet")]
    return there if len(some) == 2 and len({tuple(columns_of(path)) for path in some}) == 1 else []


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
        several = parts(path)
        if not several:
            raise DataError(
                f"{path} is a folder; one file that holds a table, or parts of one as Parquet, were wanted."
            )
        _refuse(options, str(path), ())
        return read_parts(several, str(path), rows)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file.")
    suffix = suffix_of(path)
    with path.open("rb") as file:
        start = file.read(16)
    found = next((each for each in formats() if each.starts(start)), of_suffix(suffix if bare(suffix) else ".csv"))
    if found is not None:
        _refuse(options, str(path), found.options)
        return found.read(path, rows, options)
    kind = signatures.of_file(path)
    if kind is not None and kind.what != "a zip archive":
        raise (UnsafeFile if kind.unsafe else DataError)(
            f"{path} is {kind.what}, no table that can be read; {kind.cure}."
        )
    raise DataError(f"{path} ends in {suffix}; tables end in {listed()}.")


def _refuse(options: Mapping[str, Any], place: str, known: tuple[str, ...]) -> None:
    for name, what in _OPTIONS.items():
        if options.get(name) is not None and name not in known:
            raise FitError(f"a {name} was given, and {place} is not {what}. Leave it out.")


def _open_frame(source: Any, options: Mapping[str, Any], rows: int | None) -> Raw:
    place = f"the {_module(source)} data frame".replace("  ", " ")
    _refuse(options, place, ())
    try:
        if _module(source) == "pandas":
            table = _from_pandas(source)
        elif _module(source) == "polars":
            table = (source.collect() if type(source).__name__ == "LazyFrame" else source).to_arrow()
        else:
            table = source if isinstance(source, pa.Table) else pa.table(source)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(f"{place} cannot be read: {first_line(error)}. Give each column values of one type.") from error
    check(table.schema, place)
    return gathered(table.to_batches(), table.schema, "frame", place, rows, room=2**62)  # it is in memory already


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


def noted(table: pa.Table, note: str, header: Mapping[bytes, bytes]) -> pa.Table:
    """The table with `notes` beside its columns again, and with `header`, which says of it what it is."""
    if header:
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), **header})
    if not note:
        return table
    known = json.loads(note)
    fields = [
        field.with_metadata({k.encode("latin-1"): v.encode("latin-1") for k, v in known["fields"][field.name].items()})
        if field.name in known["fields"]
        else field
        for field in table.schema
    ]
    whole = {k.encode("latin-1"): v.encode("latin-1") for k, v in known["schema"].items()} | dict(header)
    return table.cast(pa.schema(fields, whole))


def shown(table: pa.Table, words: str) -> pa.Table:
    """The table with a last column that says of each row what it is."""
    cells = pa.array([words] * table.num_rows, pa.string())
    return table.append_column(column_of(words), cells)


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
    found = of_suffix(suffix)
    if found is None or found.write is None:
        raise FitError(f"tables are not written as {suffix}; {listed(written=True)} are.")
    found.write(printed, suffix, file, dialect)


def keep_frame(frame: Any, path: Path) -> Path:
    """`path`, a new Feather file, which has all types, with the data frame in it; RunError where there is one."""
    Output(private=True).write(path, write(open_table(frame, {}).cells, ".feather"))
    return path
