"""Related tables: the rows of each are chosen among several draws, as `tables` has it, where enough of its columns are drawn
as they stand; keys, counts of children, moments told from others and numbers drawn as changes are not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from karat.content.relational.related import Related
from karat.content.table.io import lite
from karat.content.table.table import Table
from karat.errors import DataError, FitError, KaratError
from karat.request import Pick, Request
from karat.watermarks.detection import Detection, detection
from karat.watermarks.scheme import Watermark
from karat.watermarks.tables import DRAWS, TableWatermark

FEWEST = 3  # columns that are drawn as they stand


@dataclass(frozen=True)
class RelatedWatermark(Watermark):
    technique = "rows of related tables by a keyed choice"
    codec: Related

    @cached_property
    def marks(self) -> dict[str, TableWatermark]:
        """The watermark of each table that can carry one."""
        out = {}
        for name, steps in self.codec.steps.items():
            ours = {c.name: replace(c, unique=False) for c in self.codec.tables[name].schema.columns if not c.made}
            same = {c.name for c in steps.what.schema.columns if ours.get(c.name) == replace(c, unique=False)}
            parts = steps.what.coded_parts if steps.calendar is None else []
            among = tuple(j for j, part in enumerate(parts) if same.issuperset(part.names))
            if len(among) >= FEWEST:
                key = hashlib.sha256(self.key + name.encode()).digest()
                out[name] = TableWatermark(steps.what, key, among)
        return out

    def asked(self, request: Request) -> Request:
        if not self.marks:
            raise FitError(
                "--watermark: no table here can carry one, as too few of their columns are drawn as they stand."
            )
        picks = {f"{name}/what": Pick(DRAWS, mark.score) for name, mark in self.marks.items()}
        return replace(request, picks=picks)

    def note(self) -> str | None:
        bare = [name for name in self.codec.tables if name not in self.marks]
        if not bare or not self.marks:
            return None
        return f"no watermark is in {', '.join(bare)}: too few of the columns are drawn as they stand"

    def read(self, path: Path) -> dict[str, Table]:
        """Tables by their names, of those that can carry a mark; DataError where there is none of them."""
        if path.suffix in lite.SUFFIXES:
            found = type(self.codec).read(path, {}).records.tables
            return {name: table for name, table in found.items() if name in self.marks}
        out = {}
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            name = file.name.split(".")[0]
            if file.name.endswith(".json") or (path.is_dir() and name not in self.marks):  # a label, or not ours
                continue
            whole = self.codec.tables[name] if name in self.marks else next(iter(self.codec.tables.values()))
            try:
                table = type(whole).read(file, whole.alike()).records
            except KaratError:
                if not path.is_dir():
                    raise
                continue
            out[name if name in self.marks else self._likest(table)] = table
        if not out:
            raise DataError(f"{path} holds none of the tables {', '.join(self.marks)}.")
        return out

    def _likest(self, table: Table) -> str:
        """The table that has most of the columns of one under another name."""
        names = set(table.cells.column_names)
        return max(self.marks, key=lambda name: len(names & {c.name for c in self.codec.tables[name].schema.columns}))

    def detect(self, records: Any) -> Detection:
        """records: `Table`s by name, or a `Database`."""
        tables: Mapping[str, Table] = getattr(records, "tables", records)
        p = [mark.p_value(mark.bits(*mark.coded(tables[name]))) for name, mark in self.marks.items() if name in tables]
        return detection(self.technique, np.array(p))
