"""Rows of a table as fragments of a page, for a person to look at: escaped, shortened, what is sensitive masked."""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa

LONGEST = 60  # characters of a cell
WIDEST = 80  # columns
MASK = "\u2022\u2022\u2022"


def sheet(rows: pa.Table, hidden: Collection[str]) -> bytes:
    """The printed `rows` as one HTML table; cells of `hidden` columns are masked."""
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in _rows(rows, hidden))
    return f'<table class="sheet"><thead><tr>{_head(rows)}</tr></thead><tbody>{body}</tbody></table>'.encode()


def beside(made: pa.Table, real: pa.Table, hidden: Collection[str], captions: Sequence[str]) -> bytes:
    """Row i of `made` over row i of `real` (both printed), under the line `captions[i]`; cells that differ are marked.

    Columns in `hidden` are masked and not compared.
    """
    compared = [name not in hidden for name in made.column_names[:WIDEST]]
    compared += [False] * (len(made.column_names) > WIDEST)
    blocks = []
    for ours, theirs, caption in zip(_rows(made, hidden), _rows(real, hidden), captions, strict=True):
        differs = [c and a != b for c, a, b in zip(compared, ours, theirs, strict=True)]
        rows = "".join(
            f'<tr><th scope="row"><span class="ours">{who}</span></th>'
            + "".join(_cell(c, "differs" if d else "") for c, d in zip(row, differs, strict=True))
            + "</tr>"
            for who, row in (("made", ours), ("real", theirs))
        )
        said = html.escape(caption), f"{sum(differs)} of {sum(compared)} cells differ"
        line = " \u00b7 ".join(f'<span class="ours">{text}</span>' for text in said)
        blocks.append(f'<tbody><tr class="caption"><th colspan="{len(compared) + 1}">{line}</th></tr>{rows}</tbody>')
    head = f"<thead><tr><th></th>{_head(made)}</tr></thead>"
    return f'<table class="sheet beside">{head}{"".join(blocks)}</table>'.encode()


def _rows(rows: pa.Table, hidden: Collection[str]) -> list[tuple[Any, ...]]:
    """Cells to show, row by row; of a wide table the first columns and how many more there are."""
    names = rows.column_names
    shown = [[MASK] * len(rows) if name in hidden else rows[name].to_pylist() for name in names[:WIDEST]]
    shown += [[f"{len(names) - WIDEST} more"] * len(rows)] if len(names) > WIDEST else []
    return list(zip(*shown, strict=True))


def _head(rows: pa.Table) -> str:
    names = rows.column_names
    more = "<th>\u2026</th>" if len(names) > WIDEST else ""
    return "".join(f"<th>{escaped(name)}</th>" for name in names[:WIDEST]) + more


def _cell(value: Any, mark: str = "") -> str:
    return f'<td class="{mark}">{escaped(value)}</td>' if mark else f"<td>{escaped(value)}</td>"


def escaped(value: Any) -> str:
    """The cell as text of a page; nothing where it is missing."""
    text = "" if value is None else str(value)
    return html.escape(text if len(text) <= LONGEST else text[: LONGEST - 1] + "\u2026")
