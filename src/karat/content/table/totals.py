"""The row below a table that holds the sums of its columns, as spreadsheets have it: it is no record of anything."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.table.encoding.coding import flat
from karat.content.table.schema.columns import Schema

FEWEST = 10  # numbers other than 0 that a sum must be of
EMPTY = 0.05  # of the rows above may leave empty all that a row of sums does
ALIKE = 0.999  # correlation of columns whose sums say the same twice
WORD = re.compile(
    r"(sub|grand|over-?all )?\s*("
    r"totals?|totale[ns]?|totaal|totalt|toplam|sums?|sum[ae]|summen?|somme|gesamt(summe|betrag)?|insgesamt|razem|celkem|ogółem"
    r"|összesen|yhteensä|итого|всего|σύνολο|(本页|本月|本年)?(合计|总计|总和|小计)|合計|総計|小計|總計|합계|총계|소계|총합"
    r")(?!\w)",
    re.IGNORECASE,
)


def summed(known: Schema, cells: pa.Table, spelled: Mapping[str, object]) -> tuple[list[str], bool]:
    """The columns whose last cell is the sum of all above it, to the last place that is printed, and greater than each; and
    whether the row is one of sums, as its other cells, `spelled`, say. What doubles from row to row is at each the sum of those
    before it and one more, so that a single column alone says nothing.

    They do if one of them is a word such as total or 合计, if they are empty where hardly a row above is, or if two columns that
    say different things are summed.
    """
    out, values = list[str](), list[np.ndarray]()
    for column in known.columns:
        if column.kind not in ("integer", "decimal"):
            continue
        x = pc.fill_null(flat(cells[column.name]), 0).to_numpy(zero_copy_only=False).astype(np.float64)
        above, last = x[:-1], float(x[-1]) if len(x) else 0.0
        if np.count_nonzero(above) < FEWEST or not np.isfinite(x).all() or abs(last) <= np.abs(above).max():
            continue
        if abs(above.sum() - last) <= max(0.6 * 10.0 ** -min(column.places, 12), 1e-12 * abs(last)):
            out.append(column.name)
            values.append(above)
    others = [name for name in spelled if name not in out]
    if any(WORD.match(str(spelled[name] or "").strip()) for name in others):
        return out, bool(out)
    empty = [name for name in others if spelled[name] in (None, "")]
    if out and empty and len(empty) == len(others):
        gone = np.logical_and.reduce([flat(cells[name]).is_null().to_numpy(zero_copy_only=False) for name in empty])
        return out, bool(gone[:-1].mean() <= EMPTY)
    return out, any(_different(a, b) for a, b in combinations(values, 2))


def _different(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether one of two columns [n] tells something that the other does not."""
    return bool(a.std() > 0 and b.std() > 0 and abs(np.corrcoef(a, b)[0, 1]) < ALIKE)


def note(names: Sequence[str], spelled: Mapping[str, object], left_out: bool) -> str:
    """What to say of it; `spelled` are its cells."""
    shown = ", ".join(f"{name} {spelled[name]}" for name in names[:3]) + (", ..." if len(names) > 3 else "")
    if left_out:
        return (
            f"The last row holds the sums of those above it ({shown}) and is left out: it is no record. "
            "--set data.totals=keep keeps it."
        )
    return (
        f"The last row holds the sums of those above it ({shown}), which nothing else in it says; it is kept as a record. "
        "--set data.totals=drop leaves it out."
    )
