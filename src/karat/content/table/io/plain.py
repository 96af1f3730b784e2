"""What a table may hold: columns of plain values, each with a name of its own, and not too many of them."""

from __future__ import annotations

import pyarrow as pa

from karat.errors import DataError

COLUMNS = 10_000


def is_binary(kind: pa.DataType) -> bool:
    """Whether cells of this type are bytes."""
    types = pa.types
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
    )


def check(schema: pa.Schema, place: str) -> None:
    """Raises DataError unless every column has a name of its own and plain values."""
    if not len(schema):
        raise DataError(f"{place} has no columns; a table was wanted.")
    if len(schema) > COLUMNS:
        raise DataError(f"{place} has {len(schema):,} columns; at most {COLUMNS:,} are read. Keep those that matter.")
    seen: set[str] = set()
    for name in schema.names:
        if name in seen:
            raise DataError(f"{place} has the column {name!r} twice; each needs a name of its own. Rename one.")
        seen.add(name)
    odd = [f"{column.name} ({column.type})" for column in schema if not _plain(column.type)]
    if odd:
        listed = ", ".join(odd[:5]) + (f" and {len(odd) - 5} more" if len(odd) > 5 else "")
        raise DataError(
            f"{place}: {listed} cannot be learned; columns of plain values were wanted. Unnest lists and structs into "
            "columns or rows of their own, write other types as text, or drop the columns."
        )


def _plain(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return False
    return not (pa.types.is_nested(kind) or is_binary(kind) or pa.types.is_interval(kind))


def bare_columns(schema: pa.Schema) -> tuple[str, ...]:
    """The columns of numbers and of truths."""
    of = pa.types
    kinds = (of.is_integer, of.is_floating, of.is_decimal, of.is_boolean)
    return tuple(column.name for column in schema if any(holds(column.type) for holds in kinds))
