"""What relates tables: where they lie, which column refers to which, found in the data or declared in TOML."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.image.picture import SUFFIXES as PICTURES
from karat.content.relational import naming
from karat.content.relational.database import Database, Family, Relation, amounts, joined, sortable, together
from karat.content.table.encoding.coding import present
from karat.content.table.io import formats, sources, sql
from karat.content.table.schema import schema, values
from karat.content.table.schema.columns import Column, Schema
from karat.content.table.table import Raw
from karat.errors import DataError, FitError

FEWEST = 32  # rows of a parent whose children are drawn one after another
YEARS = 1500, 2200  # what whole numbers may be years
LONGEST = 200  # children of each, on average
SORTED = 0.95  # share of neighbouring rows of one parent that must be in order
_TABLE = ("name", "file", "key", "target", "columns", "constraint")
_RELATION = ("child", "column", "parent", "key", "order", "rules")
SOME = 20  # values of a column that only they can relate
LONG = 6  # characters of values that are no other column's by chance
_KEYS = ("integer", "category", "identifier", "text", "email", "constant", "person id", "phone", "name")


@dataclass(frozen=True)
class Found:
    """One table as its source holds it, what its columns are, and the form it is written in again."""

    raw: Raw
    schema: Schema
    suffix: str


def files(folder: Path) -> list[Path]:
    """The tables that lie in a folder, by name; none where it holds pictures too."""
    if any(
        Path(name).suffix.lower() in PICTURES for _, _, names in os.walk(folder, followlinks=True) for name in names
    ):
        return []
    wanted = [s for s in formats.suffixes() if not formats.is_database(s) and not s.startswith(".txt")]
    there = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    found = [path for path in there if sources.suffix_of(path) in wanted and sources.recognises(path)]
    return [path for path in found if path.suffix.lower() != ".json" or _listed(path)]


def several(source: Any, options: Mapping[str, Any]) -> bool:
    """Whether `source` holds several tables: a folder of them, or a database of which neither query nor table is asked."""
    asked = options.get("query") is not None or options.get("table") is not None
    if isinstance(source, str) and sql.is_url(source):
        return not asked and len(sql.table_names(source)) > 1
    if not isinstance(source, Path):
        return False
    if source.is_dir():
        return len(files(source)) > 1 and not sources.parts(source)
    if asked or not formats.is_database(sources.suffix_of(source)) or not sources.recognises(source):
        return False
    return len(sql.table_names(source)) > 1


def alone(source: Any) -> Any:
    """The one table that lies in a folder without pictures; else `source` itself."""
    if isinstance(source, Path) and source.is_dir():
        found = files(source)
        return found[0] if len(found) == 1 else source
    return source


def declared(path: Path | None) -> tuple[dict[str, Any], str]:
    """The TOML at `path` and its text; FitError for what it cannot mean."""
    if path is None:
        return {}, ""
    table, text = schema.load(path)
    for key in table:
        if key not in ("table", "relation"):
            raise FitError(f"{path}: unknown key {key!r}; tables that are related have [[table]] and [[relation]].")
    known: tuple[str, ...]
    for what, known in (("table", _TABLE), ("relation", _RELATION)):
        entries = table.get(what, [])
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise FitError(f"{path}: {what} is no list of tables. Write [[{what}]] and under it {known[0]} = ...")
        for entry in entries:
            for key, value in entry.items():
                if key not in known:
                    near = get_close_matches(key, known, 1, 0.5)
                    meant = f"; did you mean {near[0]!r}?" if near else f". There are: {', '.join(known)}."
                    raise FitError(f"{path}: unknown key of [[{what}]]: {key!r}{meant}")
                listed = what == "relation" and key in ("column", "key", "rules") and isinstance(value, list)
                if listed and (value or key == "rules") and all(isinstance(name, str) for name in value):
                    continue
                if key not in ("columns", "constraint") and not isinstance(value, str):
                    raise FitError(f"{path}: {key} = {value!r} in [[{what}]]; a text was wanted.")
    return table, text


def read(
    path: Path | str, declared: Mapping[str, Any], text: str, where: Path | None, options: Mapping[str, Any]
) -> dict[str, Found]:
    """The tables in a folder or a database, by name, as inferred and corrected."""
    mine = {key: value for key, value in options.items() if key in ("rows", "encoding")}
    raws: dict[str, tuple[Raw, str]] = {}
    if isinstance(path, Path) and path.is_dir():
        entries = {e["file"]: e for e in declared.get("table", []) if "file" in e}
        for file in files(path):
            name = entries.get(file.name, {}).get("name", file.name.split(".")[0])
            if name in raws:
                raise DataError(f"{path} holds two tables named {name!r}; rename one of the files.")
            raw = sources.open_table(file, mine)
            raws[name] = raw, sources.own_suffix(file, raw)
        lost = [name for name in entries if not (path / name).is_file()]
        if lost:
            raise FitError(f"{where}: there is no file {lost[0]!r} in {path}.")
    else:
        for name in sql.table_names(path):
            raws[name] = sources.open_table(path, {**mine, "table": name}), ".parquet"
    out = {}
    corrections = {e.get("name", str(e.get("file", "")).split(".")[0]): e for e in declared.get("table", [])}
    for name in corrections:
        if name not in raws:
            raise FitError(f"{where}: there is no table {name!r}; there are: {', '.join(raws)}.")
    for name, (raw, suffix) in raws.items():
        found = schema.infer(raw)
        found = replace(found, columns=tuple(replace(c, refers="") for c in found.columns))  # it is a relation here
        entry = corrections.get(name, {})
        own = {key: value for key, value in entry.items() if key in ("target", "columns", "constraint")}
        if own and where is not None:
            found = schema.lay(where, text, own, found)
        out[name] = Found(raw, found, suffix)
    return out


def _listed(path: Path) -> bool:
    """Whether JSON in a folder is a list: an object there is more often a label or a setting than a table."""
    with path.open("rb") as file:
        return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def foreign(path: Path | str, tables: Mapping[str, Found]) -> list[Relation]:
    """The keys that a database declares; none of a folder."""
    if isinstance(path, Path) and path.is_dir():
        return []
    out = []
    named = {name.lower(): name for name in tables}  # a database may name them in any case
    heads = {name: {c.name.lower(): c.name for c in found.schema.columns} for name, found in tables.items()}
    for key in sql.foreign_keys(path):
        child, parent = (name if name in tables else named.get(name.lower()) for name in (key.child, key.parent))
        if child is None or parent is None:
            continue
        columns = tuple(c if c in heads[child].values() else heads[child].get(c.lower(), "") for c in key.columns)
        keys = tuple(k if k in heads[parent].values() else heads[parent].get(k.lower(), "") for k in key.keys)
        if all(columns) and all(keys):
            out.append(Relation(child, columns, parent, keys))
    return list(dict.fromkeys(out))


class Words:
    """The columns of tables as words, each read once, missing cells null."""

    def __init__(self, tables: Mapping[str, Found]) -> None:
        self.tables = tables
        self.known: dict[tuple[str, str], pa.Array] = {}
        self.counted: dict[tuple[str, str], int] = {}

    def of(self, table: str, column: str) -> pa.Array:
        if (table, column) not in self.known:
            raw = self.tables[table].raw
            mine = next(c for c in self.tables[table].schema.columns if c.name == column)
            if mine.kind == "integer" and mine.format:  # 12.0 and 1,200 are 12 and 1200 elsewhere
                one = replace(raw, cells=raw.cells.select([column]))
                spelled = values.chunk(values.parse(one, Schema((mine,)))[column]).cast(pa.string())
            else:
                spelled = values.texts(values.chunk(raw.cells[column]), raw.place, column)
            if mine.missing:
                spelled = pc.if_else(
                    pc.is_in(spelled, value_set=pa.array(mine.missing, pa.string())),
                    pa.scalar(None, pa.string()),
                    spelled,
                )
            self.known[table, column] = spelled
        return self.known[table, column]

    def key(self, table: str, columns: Sequence[str]) -> bool:
        """Whether every row has values of its own in these columns."""
        if len(columns) == 1:
            return self.unique(table, columns[0])
        words = together([self.of(table, column) for column in columns])
        return bool(words.null_count == 0 and pc.count_distinct(words).as_py() == len(words))

    def unique(self, table: str, column: str) -> bool:
        """Whether every row has a value of its own."""
        if (table, column) not in self.counted:
            self.counted[table, column] = pc.count_distinct(self.of(table, column)).as_py()
        words = self.of(table, column)
        return bool(words.null_count == 0 and self.counted[table, column] == len(words))

    def resolved(self, relation: Relation) -> float:
        """The share of the values that are among the keys; 0 where there are no values."""
        columns = [self.of(relation.child, c) for c in relation.columns]
        link = joined(columns, [self.of(relation.parent, k) for k in relation.keys])
        there = int(np.logical_and.reduce([present(c) for c in columns]).sum())
        return float((link >= 0).sum()) / there if there else 0.0


def infer(tables: Mapping[str, Found], words: Words, known: Sequence[Relation]) -> tuple[list[Relation], list[str]]:
    """Relations that can be told without doubt, and sentences about those that cannot; none of the columns of `known` ones.

    A column refers to a column of a table that has every value once and holds nearly all of its values, if its name says so:
    it is the same, or that of the table and its key (customer_id or customer for the id of customers), with the part that
    the row plays there before or behind it (home_team_id), or such a part alone in one table (manager_id). Values that no
    other column would have by chance (long words, UUIDs) are enough without a name. Where only whole numbers fit, a
    sentence proposes it.
    """
    keys = {
        name: [c.name for c in found.schema.columns if c.kind in _KEYS and words.unique(name, c.name)]
        for name, found in tables.items()
    }
    taken = {(r.child, *r.columns) for r in known}
    out: list[Relation] = []
    notes: list[str] = []
    for child, found in tables.items():
        for column in (c.name for c in found.schema.columns if c.kind in _KEYS):
            if (child, column) in taken:
                continue
            rated: list[tuple[int, Relation]] = []
            for parent in tables:
                for key in keys[parent]:
                    score = naming.alike(column, parent, key, parent == child)
                    relation = Relation(child, (column,), parent, (key,))
                    if score and (parent != child or key != column) and words.resolved(relation) >= schema.RESOLVED:
                        rated.append((score, relation))
            best = max((score for score, _ in rated), default=0)
            first = [relation for score, relation in rated if score == best]
            if not rated:
                first, note = _by_values(child, column, keys, words)
                notes += note
            if len(first) > 1:
                listed = " or ".join(f"{r.parent}.{r.key}" for r in first)
                notes.append(f"{child}.{column} may refer to {listed}; declare which in a [[relation]] of --schema.")
            elif first:
                out.append(first[0])
    for relation in list(out):  # one row here for one row there: the parent is the one with the column's name
        back = Relation(relation.parent, relation.keys, relation.child, relation.columns)
        if back in out and relation in out:
            mine, theirs = (naming.alike(r.column, r.parent, r.key, r.own) for r in (relation, back))
            if mine == theirs:
                out.remove(relation)
                notes.append(
                    f"{relation.text}, and either may be the parent; declare it in a [[relation]] of --schema."
                )
            else:
                out.remove(back if mine > theirs else relation)
    return out, notes


def _by_values(
    child: str, column: str, keys: Mapping[str, Sequence[str]], words: Words
) -> tuple[list[Relation], list[str]]:
    """The relations that only the values of a column speak for; a sentence where they say too little."""
    if column in keys[child] or naming.generic(column):
        return [], []
    mine = words.of(child, column)
    few = mine.drop_null().unique()
    if len(few) < SOME:
        return [], []
    telling = pc.min(pc.utf8_length(few)).as_py() >= LONG and not naming.numbers(few)
    if not telling and not naming.referring(column):
        return [], []
    fits = []
    for parent, names in keys.items():
        for key in names:
            relation = Relation(child, (column,), parent, (key,))
            if (parent, key) != (child, column) and words.resolved(relation) >= schema.RESOLVED:
                fits.append(relation)
    if telling or not fits:
        return fits, []
    listed = " or ".join(f"{r.parent}.{r.key}" for r in fits)
    text = f"{child}.{column} may refer to {listed}, which has all of its values; declare it in a [[relation]] of --schema."
    return [], [text]


def relations(
    tables: Mapping[str, Found], stated: Mapping[str, Any], where: Path | None, foreign: Sequence[Relation] = ()
) -> tuple[list[Relation], list[str], set[tuple[str, str]]]:
    """Declared, `foreign` (what a database declares) and inferred relations, in this order; what a person should know, and
    the (child, column) whose order was declared.
    """
    words = Words(tables)
    notes: list[str] = []
    kept: list[Relation] = []
    for r in dict.fromkeys(foreign):  # SQL may say one twice
        first = next((k for k in kept if (k.child, set(k.columns)) == (r.child, set(r.columns))), None)
        if first is not None:
            notes.append(f"{r.text} is declared beside {first.text}; what is made follows the first.")
        elif not words.key(r.parent, r.keys):
            notes.append(
                f"{r.text} is declared, and values of {r.parent}.{r.key} repeat or are missing; it is not kept."
            )
        elif words.resolved(r):
            kept.append(r)
    more, proposed = infer(tables, words, kept)
    found, notes = [*kept, *more], [*notes, *proposed]
    ordered: set[tuple[str, str]] = set()
    declared: list[Relation] = []
    for entry in stated.get("relation", []):
        for name in ("child", "column", "parent"):
            if name not in entry:
                raise FitError(f"{where}: a [[relation]] lacks {name}; wanted child, column and parent.")
        child = entry["child"]
        columns = (entry["column"],) if isinstance(entry["column"], str) else tuple(entry["column"])
        column = ", ".join(columns)
        if any((r.child, set(r.columns)) == (child, set(columns)) for r in declared):
            raise FitError(f"{where}: two [[relation]] say what {child}.{column} refers to; wanted one.")
        found = [r for r in found if (r.child, r.columns) != (child, columns)]
        notes = [n for n in notes if not n.startswith(f"{child}.{column} ")]
        if not entry["parent"]:  # there is none
            continue
        declared.append(_declared(entry, columns, tables, stated, where, words))
        if "order" in entry:
            ordered.add((child, column))
    return [*declared, *found], notes, ordered


def _declared(
    entry: Mapping[str, Any],
    columns: tuple[str, ...],
    tables: Mapping[str, Found],
    declared: Mapping[str, Any],
    where: Path | None,
    words: Words,
) -> Relation:
    """The relation that a person declares of `columns`; FitError or DataError where there is none such."""
    child, parent, column = entry["child"], entry["parent"], ", ".join(columns)
    for name in (child, parent):
        if name not in tables:
            raise FitError(f"{where}: a [[relation]] names the table {name!r}; there are: {', '.join(tables)}.")
    named = entry.get("key", columns if len(columns) > 1 else _key(parent, declared, tables, words, column))
    keys = (named,) if isinstance(named, str) else tuple(named)
    if len(keys) != len(columns):
        raise FitError(f"{where}: a [[relation]] has {len(columns)} columns and {len(keys)} keys; as many were wanted.")
    order = entry.get("order", "")
    for table, wanted in (*((child, c) for c in columns), *((parent, k) for k in keys), (child, order)):
        if wanted and wanted not in [c.name for c in tables[table].schema.columns]:
            raise FitError(f"{where}: a [[relation]] names the column {wanted!r}, which {table} does not have.")
    if not words.key(parent, keys):
        raise DataError(
            f"{parent}.{', '.join(keys)} is to be a key, and values of it repeat or are missing; name another key."
        )
    rules = entry.get("rules", [])
    if isinstance(rules, str):
        raise FitError(f"{where}: rules = {rules!r} in [[relation]]; a list of texts was wanted.")
    relation = Relation(child, columns, parent, keys, order if order else None, rules=tuple(rules))
    if not words.resolved(relation):
        raise DataError(f"{relation.text} is declared, and not one value is found there.")
    return relation


def _key(parent: str, declared: Mapping[str, Any], tables: Mapping[str, Found], words: Words, column: str) -> str:
    """The key of a table: declared, or the one unique column that a column's name or the table's says."""
    for entry in declared.get("table", []):
        if entry.get("name", str(entry.get("file", "")).split(".")[0]) == parent and "key" in entry:
            return str(entry["key"])
    unique = [c.name for c in tables[parent].schema.columns if c.kind in _KEYS and words.unique(parent, c.name)]
    if not unique:
        raise FitError(f"{parent} has no column of which every row has a value of its own; a parent needs a key.")
    return max(unique, key=lambda name: (naming.alike(column, parent, name, False), -unique.index(name)))


def arranged(
    rows: Mapping[str, int], found: Sequence[Relation], declared: int
) -> tuple[tuple[str, ...], tuple[Relation, ...]]:
    """Tables, parents first, and the relations with the one that makes each child marked.

    rows: of each table.   declared: how many of `found` a person declared; the first of a child makes it, and of inferred
    ones that to the parent with most rows, so that sequences are short. A list of few values, of which each is named very
    often (shops, countries), makes nothing unless a person says so. A circle is broken at one relation.
    """
    out: list[Relation] = []
    for child in rows:
        mine = [(i, r) for i, r in enumerate(found) if r.child == child]
        best = sorted(
            (i for i, r in mine if r.parent != child and (i < declared or _makes(rows, r))),
            key=lambda i: (i >= declared, i if i < declared else -rows[found[i].parent]),
        )
        out += [replace(r, makes=bool(best) and i == best[0]) for i, r in mine]
    maker = {r.child: r for r in out if r.makes}
    for child in rows:
        seen, at = [child], child
        while at in maker and maker[at].parent not in seen:
            at = maker[at].parent
            seen.append(at)
        if at in maker:
            out[out.index(maker[at])] = replace(maker[at], makes=False)
            del maker[at]
    top = {name: name for name in rows}
    depth = dict.fromkeys(rows, 0)
    for child in rows:
        while top[child] in maker:
            top[child] = maker[top[child]].parent
            depth[child] += 1
    size = {name: sum(rows[t] for t in rows if top[t] == name) for name in rows}
    names = tuple(sorted(rows, key=lambda t: (-size[top[t]], top[t], depth[t], t)))
    return names, tuple(sorted(out, key=lambda r: (names.index(r.child), not r.makes)))


def _makes(rows: Mapping[str, int], relation: Relation) -> bool:
    many = rows[relation.parent]
    return many >= FEWEST and rows[relation.child] <= LONGEST * many


def keyed(known: Mapping[str, Schema], found: Sequence[Relation]) -> dict[tuple[str, str], Column]:
    """Every column of the tables, those that hold keys as such: keys by themselves are made anew, so that all of them resolve.

    Columns that are a key only together stay what they are (a year, a country, a line), of one kind on both sides.
    """
    out = {(name, c.name): c for name, s in known.items() for c in s.columns}
    alone = {(r.child, r.columns[0]) for r in found if len(r.columns) == 1}
    keys = {(r.parent, r.keys[0]) for r in found if len(r.keys) == 1}
    pairs = [((r.child, c), (r.parent, k)) for r in found for c, k in zip(r.columns, r.keys, strict=True)]
    for _ in pairs:  # part of a key there, that is a key of its own
        alone |= {mine for mine, theirs in pairs if theirs in alone | keys}
    for at in alone | keys:
        column = out[at]
        if at in keys or column.kind != "integer" or not column.format:  # 12.0 stays so
            out[at] = as_key(column, at in keys)
    for mine, theirs in pairs:
        if mine not in alone and (out[mine].kind != out[theirs].kind or out[mine].made):
            for at in (mine, theirs):
                old = out[at]
                out[at] = Column(old.name, "category", missing=old.missing, arrow=old.arrow, whole=old.whole)
    return schema.alike(out, pairs)


def as_key(column: Column, unique: bool) -> Column:
    """A column that holds keys: made anew, so that all of them resolve."""
    return replace(schema.as_key(column, ""), unique=unique)


def ordered(database: Database, relation: Relation, columns: Sequence[Column]) -> str | None:
    """The one column that sorts the rows of a parent: a moment, rising in the file, or the only moment there is; where there is
    none, years that rise.
    """
    moments = [c.name for c in columns if c.kind in ("date", "datetime") and sortable(c.kind)]
    link = database.links[relation]
    family = Family.of(link, len(database.tables[relation.parent]), None)
    later = np.flatnonzero((family.before >= 0) & (link >= 0))
    if not len(later):
        return None
    rising = []
    for name in moments or _years(database, relation, columns):
        at = amounts(database.cells(relation.child, name))
        step = at[later] - at[family.before[later]]
        step = step[~np.isnan(step)]
        if len(step) > len(later) / 2 and (step >= 0).mean() >= SORTED and (step > 0).any():
            rising.append(name)
    if len(rising) == 1 or len(rising) > 1 and len(moments) > 1:
        return rising[0]
    return moments[0] if len(moments) == 1 else None


def _years(database: Database, relation: Relation, columns: Sequence[Column]) -> list[str]:
    """Columns of whole numbers that may be years."""
    out = []
    for name in [c.name for c in columns if c.kind == "integer"]:
        at = amounts(database.cells(relation.child, name))
        if len(at) and not np.isnan(at).any() and YEARS[0] <= at.min() and at.max() <= YEARS[1]:
            out.append(name)
    return out


def sentences(database: Database) -> list[str]:
    """A plain sentence for each relation."""
    out = []
    for r in database.relations:
        link = database.links[r]
        size = np.bincount(link[link >= 0], minlength=len(database.tables[r.parent]))
        many = f"{size.min():,} to {size.max():,} rows for each, {size.mean():.3g} on average"
        gone = int((link < 0).sum())
        tail = f", sorted by {r.order}" if r.order else ""
        loose = f"; {gone:,} rows have none" if gone else ""
        how = "" if r.makes else ", chosen among made rows when all are made"
        out.append(f"{r.child}.{r.column} refers to {r.parent}.{r.key}: {many}{tail}{loose}{how}.")
    return out
