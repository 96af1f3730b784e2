"""What the columns of a table are: inferred from the data, printed for a person, corrected by him in TOML."""

from __future__ import annotations

import datetime
import difflib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.relational import ancestry, naming
from karat.content.relational.database import joined
from karat.content.table.personal import protected, sensitive
from karat.content.table.schema import datetimes as moments
from karat.content.table.schema import inference as kinds
from karat.content.table.schema import number_formats as numerals
from karat.content.table.schema.columns import KINDS as KINDS
from karat.content.table.schema.columns import LOGICAL as LOGICAL
from karat.content.table.schema.columns import MADE as MADE
from karat.content.table.schema.columns import SENSITIVE as SENSITIVE
from karat.content.table.schema.columns import Column as Column
from karat.content.table.schema.columns import Kind as Kind
from karat.content.table.schema.columns import Schema as Schema
from karat.content.table.schema.columns import alike as alike
from karat.content.table.schema.columns import as_key as as_key
from karat.content.table.schema.values import chunk, native, texts
from karat.content.table.table import Raw
from karat.errors import FitError

_DECLARED = tuple("kind places least format zone values missing low high unique keep learn refers".split())
_TOP = ("target", "protected", "series", "entity", "columns", "constraint")
RESOLVED = 0.98  # share of the values of a column that must be among the keys that it refers to
_MOMENTS = ("date", "datetime", "time")
_HEAD = """\
# What Karat found in the columns. Correct what is wrong and give this file back with --set data.schema=<this file>.
# kind: {kinds}
# Also, where they apply: places (decimals), format, zone, values (true and false), missing (spellings), low, high,
# unique = true, keep = true (learn a sensitive or text column as it is), learn = true (write text
# that goes with the other columns), refers = "id" (a key of this table).
# Rules: [[constraint]] with rule = "start < end".
"""


def infer(raw: Raw) -> Schema:
    """What each column holds, from all rows of `raw` and the headers; DataError for a type that cannot be learned."""
    comma = raw.dialect is not None and raw.dialect.decimal_comma
    typed = raw.source != "csv"
    found = []
    for name, cells in zip(raw.cells.column_names, raw.cells.columns, strict=True):
        column = kinds.column(name, cells, raw.place, typed, comma)
        if raw.total is not None and column.kind == "identifier":
            column = replace(column, learned=_of_sample(column, raw, raw.total))
        found.append(column)
    return Schema(_related(found, raw))


def _of_sample(column: Column, raw: Raw, total: int) -> Mapping[str, Any]:
    """What is learned of identifiers of which a part was read: numbers run on in the source though they have gaps here."""
    if column.learned.get("way") not in ("range", "sequence"):
        return column.learned
    words = texts(chunk(raw.cells[column.name]), raw.place, column.name)
    return sensitive.learn(column, *_counted(words), times=total / len(raw.cells))


def bare(raw: Raw) -> Schema:
    """The schema of which only the header and the types of the source are known: nothing is looked up in the cells.

    Columns of text are categories until they are declared, and any cell may be missing.
    """
    out = []
    for name, kind in zip(raw.cells.column_names, raw.cells.schema.types, strict=True):
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        known = (*native(plain), "category")[0]
        places = max(plain.scale, 0) if pa.types.is_decimal(plain) else 17 if known == "decimal" else 0
        least = 0 if known == "decimal" and not pa.types.is_decimal(plain) else None
        zone = plain.tz if pa.types.is_timestamp(plain) and plain.tz is not None else ""
        arrow = "" if raw.source == "csv" else str(plain)
        out.append(Column(name, known, places, least, zone=zone, missing=("",), arrow=arrow))
    return Schema(tuple(out))


def undeclared(path: Path, found: Schema) -> list[str]:
    """The columns of text of `bare` whose kind the TOML at `path` does not say."""
    declared, _ = load(path)
    columns = declared.get("columns", {})
    named = {name for name, value in columns.items() if isinstance(value, dict) and "kind" in value}
    typed = {column.name for column in found.columns if column.kind != "category"}
    return [column.name for column in found.columns if column.name not in named | typed]


def _related(columns: list[Column], raw: Raw) -> tuple[Column, ...]:
    """The columns, those that refer to a key of the same table marked, by their names and values: a manager_id to an id."""
    keys = [c for c in columns if c.unique and c.kind in ("identifier", "integer") and not naming.relative(c.name)]
    out = {c.name: c for c in columns}
    for column in columns if keys else ():
        fits = [k for k in keys if k.name != column.name and naming.alike(column.name, "", k.name, True)]
        if column.kind not in ("identifier", "integer", "category", "constant") or len(fits) != 1:
            continue
        mine, theirs = _words(column, raw), _words(fits[0], raw)
        there = len(mine) - mine.null_count
        if there and int((joined([mine], [theirs]) >= 0).sum()) >= RESOLVED * there:
            note = f"refers to {fits[0].name}: made rows refer to made rows"
            out[column.name] = replace(
                as_key(column, fits[0].name),
                notes=(note,),
                learned={**sensitive.learn(as_key(column, ""), *_counted(mine)), "links": ancestry.learn(mine, theirs)},
            )
            if fits[0].kind == "integer":
                out[fits[0].name] = replace(
                    as_key(fits[0], ""), unique=True, learned=sensitive.learn(as_key(fits[0], ""), *_counted(theirs))
                )
    return tuple(alike(out, [(c.name, c.refers) for c in out.values() if c.refers]).values())


def _words(column: Column, raw: Raw) -> pa.Array:
    """The cells of a column as strings, null where missing."""
    words = texts(chunk(raw.cells[column.name]), raw.place, column.name)
    return pc.if_else(
        pc.is_in(words, value_set=pa.array(column.missing, pa.string())), pa.scalar(None, pa.string()), words
    )


def _counted(words: pa.Array) -> tuple[pa.Array, np.ndarray]:
    coded = words.drop_null().dictionary_encode()
    return coded.dictionary, np.bincount(coded.indices.to_numpy(zero_copy_only=False), minlength=len(coded.dictionary))


def learn(schema: Schema, cells: pa.Table) -> Schema:
    """The schema with what `sensitive.fakes` needs learned from these logical cells, where it is not learned yet."""
    out = []
    for column in schema.columns:
        if column.made and not column.learned:
            coded = chunk(cells.column(column.name)).cast(pa.string()).drop_null().dictionary_encode()
            if len(coded):
                counts = np.bincount(coded.indices.to_numpy(zero_copy_only=False), minlength=len(coded.dictionary))
                column = replace(column, learned=sensitive.learn(column, coded.dictionary, counts))
        out.append(column)
    return replace(schema, columns=tuple(out))


def linked(schema: Schema, cells: pa.Table) -> Schema:
    """The schema with what all rows `cells` show of the columns that refer to a key of the same table."""
    out = list(schema.columns)
    for i, column in enumerate(out):
        if column.refers and column.made and "links" not in column.learned:
            mine, theirs = (chunk(cells.column(name)).cast(pa.string()) for name in (column.name, column.refers))
            learned = sensitive.learn(column, *_counted(mine)) if mine.null_count < len(mine) else {}
            out[i] = replace(column, learned={**learned, "links": ancestry.learn(mine, theirs)})
    return replace(schema, columns=tuple(out))


def read(path: Path, found: Schema) -> Schema:
    """The TOML at `path` laid over what was inferred; FitError, with the line, for what it cannot mean.

    A table `[columns]` holds, by header, what is to be corrected: any of kind, places, least, format, zone, values,
    missing, low, high, unique, keep, learn. `target` names a column and `protected` lists some; each
    `[[constraint]]` is kept as it stands.
    """
    table, text = load(path)
    return lay(path, text, table, found)


def load(path: Path) -> tuple[dict[str, Any], str]:
    """The TOML at `path` and its text; FitError where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        return tomllib.loads(text), text
    except OSError as error:
        raise FitError(f"the schema {path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise FitError(f"the schema {path} is not valid TOML: {error}.") from None


def lay(path: Path, text: str, table: Mapping[str, Any], found: Schema) -> Schema:
    """`table`, of the TOML `text` at `path`, laid over what was inferred."""
    for key in table:
        if key not in _TOP:
            raise _refused(path, text, key, "key", key, _TOP)
    names = [c.name for c in found.columns]
    columns = _declared(path, text, table, found)
    target = table.get("target", found.target)
    if target is not None and target not in columns:
        raise _refused(path, text, "target", "target column", str(target), names)
    rules = table.get("constraint", list(found.constraints))
    if not isinstance(rules, list) or not all(isinstance(r, dict) for r in rules):
        raise FitError(
            f'{path}: constraint is no list of tables. Write [[constraint]] and under it rule = "start < end".'
        )
    guarded = protected.declared(table.get("protected", list(found.protected)), names, str(path))
    return Schema(tuple(columns[name] for name in names), tuple(rules), target, guarded)


def _declared(path: Path, text: str, table: Mapping[str, Any], found: Schema) -> dict[str, Column]:
    """The columns by name, with what the TOML says of them; FitError where it cannot be so."""
    columns = {c.name: c for c in found.columns}
    names = list(columns)
    declared = table.get("columns", {})
    if not isinstance(declared, dict):
        raise FitError(
            f'{path}: columns is no table. Write [columns] and under it lines such as age = {{ kind = "integer" }}.'
        )
    for name, settings in declared.items():
        if name not in columns:
            raise _refused(path, text, name, "column", name, names)
        if not isinstance(settings, dict):
            raise FitError(
                f'{_at(path, text, name)}: {name!r} = {settings!r}; wanted for example {{ kind = "integer" }}.'
            )
        for key in settings:
            if key not in _DECLARED:
                raise _refused(path, text, name, f"key of column {name!r}", key, _DECLARED)
        if settings.get("kind", "integer") not in KINDS:
            raise _refused(path, text, name, f"kind of column {name!r}", str(settings["kind"]), KINDS)
        try:
            columns[name] = _corrected(columns[name], settings)
        except ValueError as error:
            raise FitError(f"{_at(path, text, name)}: column {name!r}: {error}.") from None
    for name, column in list(columns.items()):
        if not column.refers:
            continue
        if column.refers not in columns or column.refers == name:
            raise _refused(path, text, name, f"column that {name!r} refers to", column.refers, names)
        if not column.made:
            columns[name] = as_key(column, column.refers)
        if not columns[column.refers].made and "kind" not in declared.get(column.refers, {}):
            columns[column.refers] = replace(as_key(columns[column.refers], ""), unique=True)
    return alike(columns, [(column.name, column.refers) for column in columns.values() if column.refers])


def to_toml(schema: Schema, comments: Mapping[int, str] = MappingProxyType({})) -> str:
    """TOML that `read` reads and a person edits: a line per column with what matters, its notes behind it.

    comments: what stands above a rule, by its number.
    """
    lines = [_HEAD.format(kinds=", ".join(KINDS))]
    if schema.target is not None:
        lines.append(f"target = {_value(schema.target)}\n")
    lines += [f"protected = {_value(schema.protected)}\n"] if schema.protected else []
    lines.append("[columns]")
    keys = [_key(c.name) for c in schema.columns]
    width = min(max((len(k) for k in keys), default=0), 32)
    for key, column in zip(keys, schema.columns, strict=True):
        settings = ", ".join(f"{k} = {_value(v)}" for k, v in _editable(column).items())
        notes = "  # " + _line("; ".join(column.notes)) if column.notes else ""
        lines.append(f"{key:<{width}} = {{ {settings} }}{notes}")
    for i, rule in enumerate(schema.constraints):
        lines += [
            "",
            *([f"# {_line(comments[i])}"] if i in comments else []),
            "[[constraint]]",
            *(f"{_key(k)} = {_value(v)}" for k, v in rule.items()),
        ]
    return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    """The text in one line."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)


def to_dict(schema: Schema) -> dict[str, Any]:
    """The schema as JSON, without what is as by default."""
    columns = []
    for column in schema.columns:
        entry: dict[str, Any] = {}
        for f in fields(Column):
            value = getattr(column, f.name)
            if f.name in ("name", "kind") or value != f.default and value != {}:
                entry[f.name] = list(value) if isinstance(value, tuple) else value
        columns.append(entry)
    out = {"columns": columns, "constraints": [dict(c) for c in schema.constraints], "target": schema.target}
    return out | ({"protected": list(schema.protected)} if schema.protected else {})


def from_dict(d: Mapping[str, Any]) -> Schema:
    """The schema that gave `d`."""
    columns = []
    for entry in d["columns"]:
        kept: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
        columns.append(Column(**kept))
    return Schema(tuple(columns), tuple(dict(c) for c in d["constraints"]), d["target"], tuple(d.get("protected", ())))


def describe(schema: Schema, cells: pa.Table) -> list[dict[str, Any]]:
    """A row for each column of these logical `cells`, for a person: name, kind, missing, distinct, holds, notes.

    missing is a share and distinct a count of what is not missing; holds is the range, the commonest values with
    their shares, or, where real values are nobody's business, a made one.
    """
    out = []
    rng = np.random.default_rng(0)
    for column in schema.columns:
        values = chunk(cells.column(column.name))
        there = values.drop_null() if values.null_count else values
        out.append(
            {
                "name": column.name,
                "kind": column.kind,
                "missing": values.null_count / len(values) if len(values) else 0.0,
                "distinct": int(pc.count_distinct(there).as_py()),
                "holds": _holds(column, there, rng) if len(there) else "",
                "notes": list(column.notes),
            }
        )
    return out


def _holds(column: Column, there: pa.Array, rng: np.random.Generator) -> str:
    if column.kind in MADE:
        if column.learn:
            return "written anew, as it goes with the other columns"
        made = sensitive.fakes(column, 1, rng, there)[0].as_py()
        return f"made anew, like {made[:60]}" if not column.keep else "kept as it is"
    if column.kind in ("integer", "decimal", *_MOMENTS):
        ends = pc.min_max(there)
        low, high = ends["min"], ends["max"]
        if column.kind == "decimal":
            places = column.places if column.places <= 6 else 6
            texts = [f"{v.as_py():.{places}f}" if column.least is None else f"{v.as_py():g}" for v in (low, high)]
        elif column.kind == "datetime":
            texts = [str(v.cast(pa.timestamp("s"), safe=False).as_py()) for v in (low, high)]
        else:
            texts = [str(v.as_py()) for v in (low, high)]
        return f"{texts[0]} to {texts[1]}" + (f" ({column.zone})" if column.zone else "")
    counts = pc.value_counts(there)
    number = counts.field("counts").to_numpy(zero_copy_only=False)
    top = np.argsort(-number, kind="stable")[:3]
    shown = []
    for k in top:
        value = counts.field("values")[int(k)].as_py()
        text = column.values[0 if value else 1] if column.kind == "boolean" and column.values else str(value)
        shown.append(f"{text[:30]} {number[k] / len(there):.0%}")
    return ", ".join(shown) if column.kind != "constant" else str(counts.field("values")[0].as_py())[:60]


def _corrected(found: Column, settings: Mapping[str, Any]) -> Column:
    """The column with what a person said of it; ValueError with what was wanted."""
    new = {key: _setting(key, value) for key, value in settings.items()}
    if "places" in new and "least" not in new:
        new["least"] = None
    column = replace(_of_kind(found, settings.get("kind", found.kind)), **new)
    _check_print(column)
    if column.learn and (column.kind != "text" or column.keep):
        raise ValueError('learn = true is for columns of kind = "text" without keep = true')
    if column.kind == "boolean" and column.values and len(set(column.values)) != 2:
        raise ValueError(
            f'values = {list(column.values)}; wanted how true and false are spelled, such as ["yes", "no"]'
        )
    if column.least is not None and column.least > column.places:
        raise ValueError(f"least = {column.least} is more than places = {column.places}")
    if column.low is not None and column.high is not None and column.low > column.high:
        raise ValueError(f"low = {column.low:g} is above high = {column.high:g}")
    return column


def _of_kind(found: Column, kind: Kind) -> Column:
    """The column as one of another kind, with what of it that kind has too."""
    if kind == found.kind:
        return found
    numeric = {kind, found.kind} <= {"integer", "decimal"}
    column = Column(
        found.name,
        kind,
        found.places if numeric else 17 if kind == "decimal" else 0,
        found.least if numeric else 0 if kind == "decimal" else None,
        found.format if numeric or {kind, found.kind} <= {"date", "datetime"} else "",
        missing=found.missing,
        arrow=found.arrow,
        unique=found.unique and kind in MADE,
        whole=found.whole,
    )
    if found.arrow.startswith("dictionary") and kind not in ("boolean", "constant"):
        column = replace(column, values=found.values)
    return column


def _setting(key: str, value: Any) -> Any:
    """The value of a column's key as `Column` has it; ValueError with what was wanted."""
    if key in ("places", "least"):
        if type(value) is not int or not 0 <= value <= 17:
            raise ValueError(f"{key} = {value!r}; wanted a whole number from 0 to 17")
    elif key in ("low", "high"):
        return _bound(key, value)
    elif key in ("unique", "keep", "learn"):
        if type(value) is not bool:
            raise ValueError(f"{key} = {value!r}; wanted true or false")
    elif key in ("values", "missing"):
        value = (value,) if isinstance(value, str) else value
        if not all(isinstance(v, str) for v in value):
            raise ValueError(f'{key} = {value!r}; wanted a list of texts such as ["?", "NA"]')
        return tuple(value)
    elif not isinstance(value, str):
        raise ValueError(f"{key} = {value!r}; wanted a text")
    return value


def _check_print(column: Column) -> None:
    """ValueError where a date, a time or a number cannot be printed as its format and zone say."""
    if column.kind in _MOMENTS:
        unread = moments.unread(column.format)
        if unread is not None:
            raise ValueError(
                f"format = {column.format!r}: {unread} is no part of a date; wanted for example %Y-%m-%d %H:%M:%S"
            )
        if not moments.known(column.zone):
            raise ValueError(
                f'zone = {column.zone!r}; wanted "UTC", an offset such as "+08:00", a name such as "Europe/Berlin", or "mixed"'
            )
    elif column.kind in ("integer", "decimal"):
        numerals.Print.of(column.format)


def _bound(key: str, value: Any) -> float:
    """A number; a date in days, a moment or a time in seconds."""
    if isinstance(value, datetime.datetime):
        zoned = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        return zoned.timestamp()
    if isinstance(value, datetime.date):
        return float((value - datetime.date(1970, 1, 1)).days)
    if isinstance(value, datetime.time):
        return value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 1e6
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key} = {value!r}; wanted a number, a date or a time")
    return float(value)


def _editable(column: Column) -> dict[str, Any]:
    """What a person may want to correct."""
    out: dict[str, Any] = {"kind": column.kind}
    if column.kind == "decimal" and (column.places or column.least is None):
        out["places"] = column.places
    if column.least is not None:
        out["least"] = column.least
    for key in ("format", "zone", "refers"):
        if value := getattr(column, key):
            out[key] = value
    if column.kind == "boolean" and column.values:
        out["values"] = column.values
    if set(column.missing) - {""}:
        out["missing"] = column.missing
    for key in ("low", "high"):
        if getattr(column, key) is not None:
            out[key] = getattr(column, key)
    out.update({key: True for key in ("unique", "keep", "learn") if getattr(column, key)})
    return out


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: Any) -> str:
    """TOML of a text, number, truth value, list or table."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else repr(value)


def _refused(path: Path, text: str, anchor: str, what: str, given: str, there: Sequence[str]) -> FitError:
    near = difflib.get_close_matches(given, there, 1, 0.5)
    hint = (
        f"; did you mean {near[0]!r}?"
        if near
        else f". There are: {', '.join(there[:20])}{', ...' * (len(there) > 20)}."
    )
    return FitError(f"{_at(path, text, anchor, given)}: unknown {what}: {given!r}{hint}")


def _at(path: Path, text: str, anchor: str, given: str = "") -> str:
    """`path, line k` where the line that begins with the anchor, or after it one that holds `given`, can be told."""
    spelled = (anchor, _value(anchor))
    begun = 0
    for k, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        here = any(re.match(rf"(?:\[+\s*(?:columns\s*\.\s*)?)?{re.escape(s)}\s*[=.\]]", bare) for s in spelled)
        begun = begun if begun else k if here else 0
        if begun and (not given or given in bare):
            return f"{path}, line {k}"
    return f"{path}, line {begun}" if begun else str(path)
