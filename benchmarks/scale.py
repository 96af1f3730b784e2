"""A table of trips of any size with what is rare planted in it, and what one verb costs on it.

    python benchmarks/scale.py write BIG.parquet --rows 1e8       # trips, by row groups, in flat memory
    python benchmarks/scale.py cost karat look BIG.parquet        # CPU seconds and the peak of memory, of it and its children

Planted in all rows, however many: a zone, a kind and a fare that are each in ten rows, one fare far above all others, an end
before the start in a hundred rows. The key runs on, and the total is fare and tip.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GROUP = 1_000_000
RARE, BROKEN = 10, 100  # rows
GREATEST = 1_664_089.0


def trips(first: int, n: int, planted: dict[int, str]) -> pa.Table:
    """Rows `first` to `first + n`."""
    r = np.random.default_rng(first)
    zones = np.array([f"zone {k:03d}" for k in range(260)])
    zone = zones[np.minimum(r.zipf(1.3, n) - 1, 259)].astype(object)
    kind = r.choice([0, 1, 2, 5], n, p=[0.6, 0.3, 0.09, 0.01])
    start = 1_700_000_000 + (first + np.arange(n)) // 3 + r.integers(0, 3600, n)
    seconds = np.maximum(1, r.lognormal(6.6 + 0.1 * kind, 0.6, n)).astype(np.int64)
    cents = np.maximum(250, 250 + seconds * r.choice([3, 4], n) // 10 * 10)
    tip = np.where(kind == 1, (cents * r.choice([0, 15, 20], n) + 50) // 100, 0)
    for row, what in planted.items():
        at = row - first
        if 0 <= at < n:
            if what == "zone":
                zone[at] = "zone rare"
            elif what == "kind":
                kind[at] = 99
            elif what == "fare":
                cents[at] = 77
            elif what == "greatest":
                cents[at] = round(100 * GREATEST)
            else:
                seconds[at] = -60
    when = start.astype("datetime64[s]").astype("datetime64[ms]")
    return pa.table(
        {
            "trip_id": first + np.arange(n) + 1,
            "zone": pa.array(zone, pa.string()),
            "kind": kind.astype(np.int32),
            "start": when,
            "end": (start + seconds).astype("datetime64[s]").astype("datetime64[ms]"),
            "fare": cents / 100,
            "tip": tip / 100,
            "total": (cents + tip) / 100,
        }
    )


def write(path: str, rows: int) -> None:
    r = np.random.default_rng(1)
    what = [*["zone"] * RARE, *["kind"] * RARE, *["fare"] * RARE, "greatest", *["end"] * BROKEN]
    planted = dict(zip(r.choice(rows, len(what), replace=False).tolist(), what, strict=True))
    writer = None
    for first in range(0, rows, GROUP):
        table = trips(first, min(GROUP, rows - first), planted)
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer is not None:
        writer.close()


def cost(command: list[str]) -> None:
    begun = time.monotonic()
    code = subprocess.run(command).returncode
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu, wall = used.ru_utime + used.ru_stime, time.monotonic() - begun
    print(f"cost: {cpu:.1f} CPU s, {wall:.0f} s, peak {used.ru_maxrss / 1e6:.2f} GB, exit {code}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    asked = verbs.add_parser("write")
    asked.add_argument("path")
    asked.add_argument("--rows", type=float, default=1e8)
    verbs.add_parser("cost").add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if options.verb == "write":
        write(options.path, int(options.rows))
    else:
        cost(options.command)
