"""Tables: each row is the one of several draws whose cells a keyed function likes best.

After MUSE (https://arxiv.org/abs/2505.24267), with what makes its test exact: of several sets of columns, each row's codes there
give a bit by the key. A bit counts where no other row of the table has the same codes there: that of a common combination
would be the same in many rows, and a choice by it would be seen. A row's score is where its sum of bits stands among sums of
as many fair coins, so that rare rows are chosen no oftener than others. The test is of the sum of all bits that count, binomial
where the table knows nothing of the key. Rows may come in any order; a lost column, or a changed cell, costs only the sets that
it is in.

Over all keys what is chosen has the distribution of one draw; of one key it differs only in combinations as rare as one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from karat.content.table.convert import logical
from karat.content.table.table import Table
from karat.content.table.tables import Tables
from karat.request import Pick, Request
from karat.watermarks.detection import Detection, detection
from karat.watermarks.keyed import mix, words
from karat.watermarks.scheme import Watermark

DRAWS = 4  # of which one is taken
SETS, FEWEST, MOST = 32, 2, 5  # sets of columns, and how many are in one


@dataclass(frozen=True)
class TableWatermark(Watermark):
    """among: which columns of `Codes` are looked at; None for all."""

    technique = "rows by a keyed choice"
    codec: Tables
    among: tuple[int, ...] | None = None

    def asked(self, request: Request) -> Request:
        return replace(request, pick=Pick(DRAWS, self.score))

    @cached_property
    def sets(self) -> list[np.ndarray]:
        """Columns of `Codes` that are looked at together."""
        chance = np.random.default_rng(words(self.key, "table sets", 4))
        own = np.array(range(len(self.codec.layout.coded)) if self.among is None else self.among)
        d = len(own)
        sizes = np.minimum(chance.integers(FEWEST, MOST + 1, SETS), d)
        every = {tuple(own[np.sort(chance.choice(d, size, replace=False))].tolist()) for size in sizes.tolist() if size}
        return [np.array(one) for one in sorted(every)]

    def bits(self, codes: np.ndarray, absent: Sequence[int] = ()) -> np.ndarray:
        """float32 [n, sets] of -1 and 1, 0 where it does not count, of codes int64 [n, columns] of which some are `absent`."""
        salts = words(self.key, "table salts", len(self.sets) * (codes.shape[1] + 1)).reshape(len(self.sets), -1)
        out = np.zeros((len(codes), len(self.sets)), np.float32)
        for i, (columns, salt) in enumerate(zip(self.sets, salts, strict=True)):
            if np.isin(columns, absent).any():
                continue
            hashed = np.full(len(codes), salt[-1])
            for j in columns.tolist():
                hashed = mix(hashed ^ (codes[:, j].astype(np.uint64) + salt[j]))
            _, which, often = np.unique(hashed, return_inverse=True, return_counts=True)
            out[:, i] = np.where(often[which] == 1, (hashed >> np.uint64(63)).astype(np.float32) * 2 - 1, 0)
        return out

    def score(self, codes: np.ndarray, chance: np.random.Generator) -> np.ndarray:
        """float64 [n], uniform in [0, 1] over all keys whatever the row."""
        from scipy.stats import binom

        bits = self.bits(codes)
        count, ones = np.abs(bits).sum(1), (bits > 0).sum(1)
        lower = binom.cdf(ones - 1, count, 0.5)
        return np.asarray(lower + chance.random(len(codes)) * (binom.cdf(ones, count, 0.5) - lower))

    def detect(self, records: Any) -> Detection:
        """records: a `Table` that has some of the columns by their names."""
        codes, absent = self.coded(records)
        return detection(self.technique, np.array([self.p_value(self.bits(codes, absent))]))

    @staticmethod
    def p_value(bits: np.ndarray) -> float:
        """The p value of bits [n, sets]."""
        from scipy.stats import binom

        return float(binom.sf((bits > 0).sum() - 1, np.abs(bits).sum(), 0.5))

    def coded(self, records: Table) -> tuple[np.ndarray, list[int]]:
        """Codes int64 [n, columns], and which of the columns are not there."""
        theirs = {column.name: column for column in records.facts.schema.columns}
        ours, there = self.codec.schema.columns, records.cells
        lost = {column.name for column in ours if column.name not in there.column_names}
        cells = {c.name: pa.nulls(len(there), logical(c)) if c.name in lost else there[c.name] for c in ours}
        known = replace(self.codec.schema, columns=tuple(c if c.name in lost else theirs.get(c.name, c) for c in ours))
        mine = self.codec.conform(Table(pa.table(cells), replace(records.facts, schema=known)))
        parts = self.codec.coded_parts
        return self.codec.encode(mine).numpy(), [j for j, part in enumerate(parts) if lost.intersection(part.names)]
