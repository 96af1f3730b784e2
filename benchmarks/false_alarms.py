"""Counts reports that accuse real rows: fresh rows of a table in the place of made ones, the whole assay, tables of any kind.

    python benchmarks/false_alarms.py FOLDER table.csv sklearn:wine --sizes 50 200 1000 4000 --seeds 3 --out alarms.jsonl

A seed draws `size` rows of a table, of which karat sets some aside as it does with anybody's, and up to 5,000 of the others as
the made ones, so that nothing is wrong with these; at most half of the others, as the rest of a table that lists every case
once is just what was not set aside, and no sample. Each report goes the way of `karat assay --real A --made B`; whatever it raises
is a false alarm. Reports are appended to --out as they come, and those that are there are not made again; the table printed at
the end has the exact interval of the share of reports with any alarm (Clopper and Pearson).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from karat.assays.references.calibration import exact
from karat.data import load
from karat.errors import DataError
from karat.space import JUDGED
from karat.training import pace
from karat.workflow import office

MADE = 5_000  # rows in the place of made ones, at most: as many as an assay of a run draws
SKLEARN = "sklearn:"


def lines_of(source: str) -> tuple[list[str], list[str]]:
    """The line of names, none where a table has none, and the lines of its rows."""
    if source.startswith(SKLEARN):
        import sklearn.datasets

        frame = getattr(sklearn.datasets, f"load_{source.removeprefix(SKLEARN)}")(as_frame=True).frame
        lines = frame.to_csv(index=False).splitlines()
    else:
        lines = [line for line in Path(source).read_text().splitlines() if line]
    return (lines[:1], lines[1:]) if not source.endswith(".data") else ([], lines)


def sources(given: Sequence[str]) -> list[str]:
    """Every table that is given, those of a folder by name."""
    out: list[str] = []
    for source in given:
        folder = not source.startswith(SKLEARN) and Path(source).is_dir()
        out += sorted(map(str, Path(source).glob("*.csv"))) if folder else [source]
    return out


def report(names: list[str], rows: list[str], size: int, seed: int, holdout: str) -> dict[str, Any]:
    """What the assay of fresh rows beside `size` others raises, with its sentences, and the states of all its findings."""
    order = np.random.default_rng([seed, size]).permutation(len(rows))
    order = order[: size + min(MADE, max(JUDGED, (len(rows) - size) // 2))]
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        real, fresh = (Path(folder) / f"{name}.csv" for name in ("real", "fresh"))
        for place, part in ((real, order[:size]), (fresh, order[size:])):
            place.write_text("\n".join([*names, *(rows[i] for i in part)]) + "\n")
        data = load(str(real), seed=seed, holdout=holdout)
        try:
            made = office.read_made(data, fresh)
        except DataError as error:  # so few rows that a column seems to be of another type
            return {"refused": str(error)}
        found = office.judge_records(data, made, seed=seed).findings
    return {
        "train": len(data.train),
        "unseen": len(data.holdout),
        "made": len(made.records),
        "raised": {f.name: f.summary for f in found if f.raised},
        "states": Counter(f.state for f in found),
        "seconds": time.process_time() - start,
    }


def reports(
    tables: Sequence[str], sizes: Sequence[int], seeds: range, out: Path, holdout: str
) -> Iterator[dict[str, Any]]:
    """Every report that can be, of each table and size where JUDGED rows are left to be the made ones."""
    known = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    done = {(r["table"], r["size"], r["seed"]): r for r in known}
    for source in tables:
        names, rows = lines_of(source)
        table = Path(source.removeprefix(SKLEARN)).stem
        for size in (size for size in sizes if size + JUDGED <= len(rows)):
            for seed in seeds:
                if (table, size, seed) not in done:
                    row = {"table": table, "size": size, "seed": seed, **report(names, rows, size, seed, holdout)}
                    with out.open("a") as file:
                        file.write(json.dumps(row) + "\n")
                    done[table, size, seed] = row
                    said = ", ".join(row.get("raised", ["refused"])) or "nothing"
                    print(f"{table} {size} {seed}: {said}", file=sys.stderr, flush=True)
                yield done[table, size, seed]


def share(some: Sequence[dict[str, Any]]) -> str:
    """Reports with any alarm of how many, the exact interval, what raised them, and how many were refused."""
    judged = [r for r in some if "refused" not in r]
    wrong = [r for r in judged if r["raised"]]
    low, high = exact(len(wrong), len(judged)) if judged else (0.0, 1.0)
    names = Counter(name for r in wrong for name in r["raised"])
    raised = ", ".join(f"{name} {count}" for name, count in names.most_common())
    return f"{len(wrong)}/{len(judged)} | {low:.3f} to {high:.3f} | {raised} | {len(some) - len(judged)}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "tables", nargs="+", help="CSV files, folders of these, sklearn:NAME; .data has no line of names"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 200, 1000, 4000], help="rows of the real data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--holdout", default="0.1", help="the share that karat sets aside of the real data")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, a report each")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    seeds = range(args.first, args.first + args.seeds)
    done = list(reports(sources(args.tables), args.sizes, seeds, args.out, args.holdout))
    tables = len({r["table"] for r in done})
    print(f"{pace.processor()}; {tables} tables; seeds {seeds[0]} to {seeds[-1]}\n")
    print("| rows | reports with an alarm | 95% interval | raised | refused |\n|---|---|---|---|---|")
    for size in args.sizes:
        if some := [r for r in done if r["size"] == size]:
            print(f"| {size:,} | {share(some)} |")
    print(f"| all | {share(done)} |")


if __name__ == "__main__":
    main()
