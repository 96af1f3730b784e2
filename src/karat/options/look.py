"""What can be asked of `karat look`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from karat.options.kinds import Source


@dataclass(frozen=True)
class LookOptions:
    """Say what is in the data, what is wrong with it, which recipes fit, and what each would cost.

    Parameters
    ----------
    data
        A folder of pictures (one sub-folder per class, or flat), a zip of one, IDX, .npy, .npz, .parquet, or `digits`;
        or a table: .csv, .tsv, .json, .jsonl (also packed), .xlsx, .parquet, .feather, .orc, SQLite, DuckDB, postgresql://..., in
        Python a data frame;
        or related tables: a folder of such files, a database without data.table, one file with data.entity=COLUMN; or a
        series: one file with a row for each day, hour or month, found by itself or by data.series=COLUMN; or text:
        .txt, .md, .jsonl, a folder of them, or the column of a table that data.text=COLUMN names.
    size
        Side in pixels that the pictures are brought to.
    schema
        A TOML that corrects what is inferred of a table's columns, and declares the rules that hold among them; of related
        tables also how they refer to each other.
    labels
        How the names of files of pictures or sounds are to be read, such as `{label}_{speaker}_{n}`, or their folders:
        `{alphabet}/{character}`; or the column of a text's class.
    write_schema
        Write what is inferred of a table there, to be corrected and given back as --schema.
    overwrite
        Replace a file that is there already.
    discover
        Look for what holds between the columns of a table: orders, sums, products, one price per article. --no-discover
        looks for nothing.
    probe
        Measure minutes and memory of each recipe on this machine, a few seconds each; by default those of the recipe that is
        used unless another is asked for, with --no-probe none.
    threads
        CPU threads to use.
    set
        Settings of the data, such as data.query="select * from orders", data.table=orders, data.rows=100000.
    prices
        A prices.toml; without it no money is named.
    """

    data: Source
    _: KW_ONLY
    size: int | None = None
    schema: Path | None = None
    labels: str | None = None
    write_schema: Path | None = None
    overwrite: bool = False
    discover: Annotated[bool, Parameter(negative="--no-discover")] = True
    probe: Annotated[bool | None, Parameter(negative="--no-probe")] = None
    threads: int | None = None
    set: Sequence[str] = ()
    prices: Path | None = None
