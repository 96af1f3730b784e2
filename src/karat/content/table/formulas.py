"""Cells that a spreadsheet would run: found, and on request quoted so that it shows them.

https://owasp.org/www-community/attacks/CSV_Injection: text that begins with =, +, -, @, a tab or a carriage return. What is
made of digits and the marks of numbers and telephones alone does nothing, and stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

RUN = r"^[=+\-@\t\r]"
HARMLESS = r"^[+\-]?[0-9\s.,()/%eE\-]*$"


@dataclass
class Guard:
    """What looks at the cells of delimited files as they are written.   safe: whether formulas get a quote before them.

    found: how many there were.
    """

    safe: bool = False
    found: int = 0

    def look(self, rows: pa.Table) -> pa.Table:
        """The printed rows, formulas quoted where they are to be; names of columns too."""
        for i, column in enumerate(rows.columns):
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                runs = pc.and_(
                    pc.match_substring_regex(column, RUN), pc.invert(pc.match_substring_regex(column, HARMLESS))
                )
                count = pc.sum(runs).as_py()
                self.found += count if count else 0
                if self.safe and count:
                    quoted = pc.binary_join_element_wise(
                        pa.scalar("'", column.type), column, pa.scalar("", column.type)
                    )
                    rows = rows.set_column(i, rows.column_names[i], pc.if_else(runs, quoted, column))
        names = [
            f"'{name}" if self.safe and name[:1] in ("=", "+", "-", "@", "\t", "\r") else name
            for name in rows.column_names
        ]
        return rows.rename_columns(names)

    def note(self) -> str | None:
        """What a person should know, if anything."""
        if not self.found:
            return None
        cells = f"{self.found:,} cell{'s' if self.found > 1 else ''}"
        begin = "begins" if self.found == 1 else "begin"
        if self.safe:
            return f"{cells} that {begin} as a formula stand behind a quote, so that a spreadsheet shows and does not run them"
        return (
            f"{cells} {begin} with =, +, - or @, and a spreadsheet may run them as formulas: --safe-cells quotes them"
        )
