"""The row below a table that holds the sums of its columns, as spreadsheets have it: it is no record of anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.table.encoding.coding import flat
from karat.content.table.schema.columns import Schema

FEWEST = 10  # numbers other than 0 that a sum must be of


def summed(known: Schema, cells: pa.Table) -> list[str]:
    """The columns whose last cell is the sum of all above it, to the last place that is printed, and greater than each."""
    out = []
    for column in known.columns:
        if column.kind not in ("integer", "decimal"):
            continue
        x = pc.fill_null(flat(cells[column.name]), 0).to_numpy(zero_copy_only=False).astype(np.float64)
        above, last = x[:-1], float(x[-1]) if len(x) else 0.0
        if np.count_nonzero(above) < FEWEST or not np.isfinite(x).all() or abs(last) <= np.abs(above).max():
            continue
        if abs(above.sum() - last) <= max(0.6 * 10.0 ** -min(column.places, 12), 1e-12 * abs(last)):
            out.append(column.name)
    return out


def note(names: Sequence[str], spelled: Mapping[str, str | None]) -> str:
    """What to say of it; `spelled` are its cells."""
    shown = ", ".join(f"{name} {spelled[name]}" for name in names[:3]) + (", ..." if len(names) > 3 else "")
    return f"The last row holds the sums of those above it ({shown}) and is left out: it is no record."
