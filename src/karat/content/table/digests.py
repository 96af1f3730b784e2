"""What tells the rows of a table apart: 128 bits of each, the same for equal rows and whatever stands around them.

Words are hashed by BLAKE2b and numbers by their bits; columns are mixed by splitmix64's finaliser
(https://doi.org/10.1145/2714064.2660195). It tells rows apart, and is no seal against a forger.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

from karat.content.table.encoding.coding import flat, present, whole_units

LANES = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)
NOTHING = (0x165667B19E3779F9, 0x27D4EB2F165667C5)  # what a missing cell hashes to


def row_digests(cells: pa.Table) -> np.ndarray:
    """uint64 `[n, 2]`."""
    out = np.empty((len(cells), 2), "<u8")
    out[:] = LANES
    for column in cells.columns:  # one after the other: the bits of all of them at once would be larger than the table
        mine, gone = _bits(flat(column))
        for lane in range(len(LANES)):
            cell = np.where(gone, np.uint64(NOTHING[lane]), mine[:, lane])
            out[:, lane] = mixed(out[:, lane] * np.uint64(0xFF51AFD7ED558CCD) + cell)
    return out


def mixed(x: np.ndarray) -> np.ndarray:
    """uint64 [n], each bit of which hangs on all bits of `x` [n]."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def _bits(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """uint64 [n, 2] of each cell, and bool [n] where it is missing."""
    gone = ~present(column)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        coded = column.dictionary_encode()
        words = coded.dictionary.to_pylist()
        each = b"".join(hashlib.blake2b(word.encode(), digest_size=16).digest() for word in words)
        table = np.frombuffer(each, "<u8").reshape(-1, 2) if words else np.zeros((1, 2), "<u8")
        index = coded.indices.fill_null(0).to_numpy(zero_copy_only=False)
        return table[index].astype(np.uint64), gone
    if pa.types.is_floating(column.type):
        plain = column.fill_null(0.0).to_numpy(zero_copy_only=False).astype(np.float64) + 0.0  # -0.0 is 0.0
        one = plain.view(np.uint64)
    elif pa.types.is_boolean(column.type):
        one = column.fill_null(False).to_numpy(zero_copy_only=False).astype(np.uint64)
    else:
        one = whole_units(column).view(np.uint64)
    return np.stack([mixed(one + np.uint64(salt)) for salt in LANES], 1), gone
