"""Tables in JSON (RFC 8259): a list of records, one record on each line, or columns; read into strings and printed again."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from karat import limits
from karat.content import encodings
from karat.content.table.io import packed
from karat.content.table.io.plain import COLUMNS
from karat.content.table.io.sampling import Sampler
from karat.content.table.io.scanning import LONGEST, Feed, Foreign, Packing, packing
from karat.content.table.table import Dialect, Raw
from karat.errors import DataError, UnsafeFile

LINES = (".jsonl", ".ndjson")
COST = 20  # bytes of memory that each byte of a JSON document may come to
BATCH = 10_000  # records
LOOKED = 200  # lines, by which text and tables are told apart
PROSE = 200  # characters from which on a named text is a document and not a cell
TEXT_FIELDS = (
    "text",
    "content",
    "body",
    "article",
    "document",
    "passage",
    "story",
    "completion",
    "output",
    "message",
    "review",
    "comment",
    "sentence",
    "description",
)
_BESIDE = ("label", "class", "category", "id", "_id", "index", "source", "lang", "language", "meta")


class _Number(str):
    """A number as the file spells it."""


def kind_of(path: Path) -> str:
    """ "text" or "table": what the first lines of JSON at `path` look like; "" where they are no JSON objects.

    Text: strings alone, chats (`messages`), and objects whose one field that is no label holds text, or holds documents.
    """
    rows: list[Any] = []
    try:
        form = packed.form_of(path)
        with packed.opened(path, form) as file:
            blob = file.read(2**20)
    except (OSError, DataError):
        return ""
    lines = blob.decode("utf-8-sig", "replace").replace("\r", "\n").split("\n")
    for line in islice((line for line in lines if line.strip()), LOOKED):
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError):
            break
    if not rows:
        return ""
    objects = [row for row in rows if isinstance(row, dict)]
    if len(objects) < len(rows):
        return "text"
    if any(
        isinstance(row.get(name), list)
        for row in objects
        for name in ("messages", "conversations", "conversation", "turns")
    ):
        return "text"
    fields = list(dict.fromkeys(key for row in objects for key in row))
    worded = [name for name in fields if any(isinstance(row.get(name), str) for row in objects)]
    sizes = {name: sum(len(str(row.get(name, ""))) for row in objects) / len(objects) for name in worded}
    named = next((name for name in TEXT_FIELDS if name in sizes or (name in fields and not sizes)), None)
    rest = [name for name in fields if name.lower() not in _BESIDE and name != named]
    if named is not None and (not rest or sizes.get(named, 0) >= PROSE):
        return "text"
    alone = [name for name in fields if name.lower() not in _BESIDE]
    return "text" if named is None and len(alone) == 1 and alone[0] in sizes and sizes[alone[0]] > 20 else "table"


def read(path: Path, rows: int | None, encoding: str | None, room: float | None = None) -> Raw:
    """The table at `path`; every column string, null where a field is missing or null; fields of objects in a record are
    columns of their own, named with a point.

    Raises DataError naming the line, the record or the field that cannot be read, TooLarge where it would not fit.
    """
    found = packing(path, json=True)
    known = found.encoding if encoding is None or found.mark else encodings.named(encoding)
    try:
        return _read(path, rows, found, known if known else "utf-8", room)
    except Foreign as foreign:
        judged = encodings.judge(foreign.sample) if encoding is None else encodings.Judgement(None)
        if judged.encoding is None:
            raise DataError(
                f"{path} line {foreign.line} holds bytes that are not UTF-8 (byte offset {foreign.offset}), as JSON is. Mend it, "
                "or name its encoding: --set data.encoding=..."
            ) from None
        question = judged.question(foreign.sample, str(path))
        note = (
            question
            if question
            else f"Read as {judged.encoding}, judged from its bytes; name the encoding if letters look wrong."
        )
    raw = _read(path, rows, found, judged.encoding, room)
    return Raw(raw.cells, raw.source, raw.place, raw.dialect, raw.total, (*raw.notes, note), question)


def _read(path: Path, rows: int | None, found: Packing, encoding: str, room: float | None) -> Raw:
    gathered = _Gathered(path, Sampler(rows, room))
    feed = Feed(path, found, encoding, LONGEST)
    wrap = ""
    lined = packed.bare(path.name)[0].endswith(LINES)
    if not lined:
        lined = _lines_at_heart(path, found, encoding)
    if lined:
        for batch in _batches(_lines(path, feed)):
            gathered.add(batch)
    else:
        records, wrap = _document(path, found, encoding)
        for batch in _batches(enumerate(records, 1)):
            gathered.add(batch)
    raw = gathered.table()
    dialect = Dialect(
        encoding=encoding,
        bom=bool(found.mark),
        packed=found.packed,
        form="jsonl" if lined else "json",
        wrap=wrap,
        bare=tuple(name for name in gathered.names if not gathered.worded[name] and gathered.filled[name]),
        nested=tuple(sorted(gathered.nested)),
    )
    notes = list(gathered.sampler.note(raw.num_rows))
    if gathered.nested:
        listed = ", ".join(sorted(gathered.nested)[:3]) + (", ..." if len(gathered.nested) > 3 else "")
        notes.append(
            f"Objects within records are columns named with a point ({listed}); what is made has them as objects again."
        )
    mixed = [name for name in gathered.names if gathered.worded[name] and gathered.counted[name]]
    if mixed:
        notes.append(f"{', '.join(map(repr, mixed[:3]))} hold text and numbers; what is made is text there.")
    total = gathered.sampler.total if raw.num_rows < gathered.sampler.total else None
    return Raw(raw, "csv", str(path), dialect, total, tuple(notes))


def _lines_at_heart(path: Path, found: Packing, encoding: str) -> bool:
    """Whether what is called .json has an object on each of its first lines."""
    with packed.opened(path, found.packed) as file:
        head = file.read(2**16).decode(encoding, "replace").lstrip("\ufeff")
    first, _, rest = head.lstrip().partition("\n")
    return first.startswith("{") and first.rstrip().endswith("}") and rest.lstrip().startswith("{")


def _lines(path: Path, feed: Feed) -> Iterator[tuple[int, Any]]:
    number = 0
    for chunk in feed:
        for line in chunk.replace(b"\r\n", b"\n").split(b"\n"):
            number += 1
            if line.strip():
                yield number, _parsed(line.decode().removeprefix("\ufeff"), f"{path} line {number:,}")
        number -= chunk.endswith(b"\n")


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text, parse_float=_Number, parse_int=_Number, parse_constant=_Number)
    except RecursionError:
        raise UnsafeFile(f"{where} is nested too deeply to be a record. It is refused.") from None
    except json.JSONDecodeError as error:
        line = f" line {error.lineno:,}," if error.lineno > 1 else ""
        raise DataError(
            f"{where} is no JSON:{line} character {error.colno:,}: {error.msg}. Mend it or leave it out."
        ) from None


def _document(path: Path, found: Packing, encoding: str) -> tuple[list[Any], str]:
    """The records of one JSON document, and the key of the object that holds them or ""."""
    size = path.stat().st_size
    blob = bytearray()
    with packed.opened(path, found.packed) as file:
        while part := file.read(2**22):
            blob += part
            limits.need(
                COST * max(len(blob), size),
                f"{path} (one JSON document)",
                "Write it with a record on each line, as .jsonl, which is read in parts.",
            )
    if encoding == "utf-8":
        try:
            text = blob.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = blob.count(b"\n", 0, error.start) + 1
            raise Foreign(bytes(blob[max(0, error.start - 2**16) :]), line, error.start) from None
    else:
        try:
            text = blob.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path} cannot be read as {encoding}: byte offset {error.start}. Save it as UTF-8, or name another: "
                "--set data.encoding=..."
            ) from None
    return _records(path, _parsed(text, str(path)))


def _records(path: Path, value: Any) -> tuple[list[Any], str]:
    if isinstance(value, list):
        return value, ""
    if isinstance(value, dict):
        lists = [name for name, held in value.items() if isinstance(held, list) and held and isinstance(held[0], dict)]
        if len(lists) == 1:
            return value[lists[0]], lists[0]
        if len(lists) > 1:
            listed = ", ".join(map(repr, lists[:5]))
            raise DataError(f"{path} holds several lists of records ({listed}); save each as a file of its own.")
        names, rows = value.get("columns"), value.get("data")
        if (
            isinstance(names, list)
            and isinstance(rows, list)
            and all(isinstance(r, list) and len(r) == len(names) for r in rows)
        ):
            return [dict(zip(map(str, names), row, strict=True)) for row in rows], ""
        columns = list(value.values())
        if columns and all(isinstance(c, list) for c in columns) and len({len(c) for c in columns}) == 1:
            return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)], ""
        if columns and all(isinstance(c, dict) for c in columns) and len({tuple(c) for c in columns}) == 1:
            return [{name: column[key] for name, column in value.items()} for key in columns[0]], ""
    raise DataError(f"{path} holds no list of records; [{{...}}, {{...}}], or one such list in an object, was wanted.")


def _batches(rows: Iterable[tuple[int, Any]]) -> Iterator[list[tuple[int, Any]]]:
    rows = iter(rows)
    while batch := list(islice(rows, BATCH)):
        yield batch


class _Gathered:
    """Records as columns of strings, names in the order in which they come."""

    def __init__(self, path: Path, sampler: Sampler) -> None:
        self.path, self.sampler = path, sampler
        self.names: dict[str, None] = {}
        self.nested: set[str] = set()
        self.worded: dict[str, int] = {}
        self.counted: dict[str, int] = {}
        self.filled: dict[str, int] = {}

    def add(self, batch: Sequence[tuple[int, Any]]) -> None:
        """Takes records, each with its number."""
        flats = [self._flat(record, number) for number, record in batch]
        for flat in flats:
            for name in flat:
                if name not in self.names:
                    self.names[name] = None
                    self.worded[name] = self.counted[name] = self.filled[name] = 0
        if len(self.names) > COLUMNS:
            raise DataError(
                f"{self.path} has {len(self.names):,} fields; at most {COLUMNS:,} are read. Keep those that matter."
            )
        limits.need(
            60.0 * len(flats) * len(self.names),
            f"{self.path} ({len(self.names):,} fields)",
            "Keep the fields that matter.",
        )
        columns = []
        for name in self.names:
            values = [flat.get(name) for flat in flats]
            there = [value for value in values if value is not None]
            numbers = sum(type(value) is not str for value in there)
            self.filled[name] += len(there)
            self.counted[name] += numbers
            self.worded[name] += len(there) - numbers
            words = [
                None if value is None else "true" if value is True else "false" if value is False else str(value)
                for value in values
            ]
            columns.append(pa.array(words, pa.string()))
        self.sampler.add(pa.table(columns, names=list(self.names)))

    def _flat(self, record: Any, number: int) -> dict[str, Any]:
        if not isinstance(record, dict):
            kind = "a list" if isinstance(record, list) else "text" if type(record) is str else "a single value"
            raise DataError(
                f"{self.path}: record {number:,} is {kind}; an object with a field for each column was wanted."
            )
        out: dict[str, Any] = {}
        self._lay(out, "", record, number, 0)
        return out

    def _lay(self, out: dict[str, Any], before: str, record: Mapping[str, Any], number: int, depth: int) -> None:
        for key, value in record.items():
            name = before + _paired(key)
            if isinstance(value, dict) and value and depth < 8:
                self._lay(out, name + ".", value, number, depth + 1)
            elif isinstance(value, list | dict):
                if value:
                    kind = "a list" if isinstance(value, list) else "objects in objects"
                    raise DataError(
                        f"{self.path}: field {name!r} of record {number:,} holds {kind}; one value was wanted. "
                        "Leave the field out, or write it as columns or rows of their own."
                    )
                out.setdefault(name, None)
            else:
                if before:
                    self.nested.add(name)
                out[name] = _paired(value) if type(value) is str else value

    def table(self) -> pa.Table:
        """All rows, or those that were taken; columns that came late are empty before."""
        if not self.sampler.total:
            raise DataError(f"{self.path} holds no records; rows to learn from were wanted.")
        return self.sampler.table()


def _paired(text: str) -> str:
    """The text without halves of characters (lone surrogates), which no file can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def write(cells: pa.Table, dialect: Dialect) -> bytes:
    """Records as the dialect says: on lines of their own, or as one list, perhaps in an object; the same rows, the same bytes."""
    out = io.BytesIO()
    stream(iter([cells]), dialect, out)
    return out.getvalue()


def stream(blocks: Iterable[pa.Table], dialect: Dialect, file: IO[bytes]) -> None:
    """The same, of blocks of rows, into `file` as they come."""
    lined = dialect.form == "jsonl"
    before, behind = ("", "") if lined else ("[\n", "\n]\n")
    if dialect.wrap and not lined:
        before, behind = f"{{{json.dumps(dialect.wrap, ensure_ascii=False)}: [\n", "\n]}\n"
    with packed.packer(file, dialect.packed, "made.jsonl" if lined else "made.json") as write:
        write((("\ufeff" if dialect.bom else "") + before).encode(dialect.encoding))
        begun = False
        for cells in blocks:
            lines = _lines_of(cells, dialect)
            more = ",\n" if begun and lines else ""
            text = "".join(line + "\n" for line in lines) if lined else more + ",\n".join(lines)
            begun = begun or bool(lines)
            write(text.encode(dialect.encoding))
        write(behind.encode(dialect.encoding))


def _lines_of(cells: pa.Table, dialect: Dialect) -> list[str]:
    columns = [column.cast(pa.string()).to_pylist() for column in cells.columns]
    spelled: list[Callable[[str], str]] = [
        (lambda text: text) if name in dialect.bare else (lambda text: json.dumps(text, ensure_ascii=False))
        for name in cells.column_names
    ]
    lines = []
    for row in zip(*columns, strict=True):
        record: dict[str, Any] = {}
        for name, value, spell in zip(cells.column_names, row, spelled, strict=True):
            keys = name.split(".") if name in dialect.nested else [name]
            inner = record
            for key in keys[:-1]:
                held = inner.setdefault(key, {})
                inner = held if isinstance(held, dict) else inner
            inner[keys[-1]] = "null" if value is None else spell(value)
        lines.append(_spelled(record))
    return lines


def _spelled(record: Mapping[str, Any]) -> str:
    inside = (
        f"{json.dumps(key, ensure_ascii=False)}: {_spelled(value) if isinstance(value, dict) else value}"
        for key, value in record.items()
    )
    return "{" + ", ".join(inside) + "}"
