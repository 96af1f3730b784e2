"""Proves the assay of tables on generators of known worth: which findings speak of which fault, over many seeds.

    python benchmarks/references_tables.py --real $KARAT_DATA/tables/adult-train.csv --target income --seeds 20

Each seed splits the rows anew into training rows, rows that the references may emit and the judge's unseen rows. The
last line of the table emits the judge's own unseen rows.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from karat.assays import Finding, find
from karat.assays.references.tables import REFERENCES
from karat.assays.table.tables import examine
from karat.training import pace
from karat.views import Columns, TableView

HELD_OUT = "held-out rows"
ACCUSING = ("copy rate", "near copies", "nearest record share", "membership")


def sheet_of(path: Path) -> TableView:
    """The numbers and choices of a CSV."""
    frame = pd.read_csv(path, keep_default_na=False)
    choices, values = [], []
    for name in frame:
        if pd.api.types.is_numeric_dtype(frame[name]):
            choices.append(())
            values.append(frame[name].to_numpy(float))
        else:
            codes, levels = pd.factorize(frame[name], sort=True)
            choices.append(tuple(str(x) for x in levels))
            values.append(codes.astype(float))
    return TableView(Columns(tuple(map(str, frame.columns)), tuple(choices)), np.stack(values, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True, help="a CSV of real rows")
    parser.add_argument("--target", default=None)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--train", type=int, default=12_000)
    parser.add_argument("--made", type=int, default=6_000, help="rows that each reference makes")
    parser.add_argument("--unseen", type=int, default=4_000)
    parser.add_argument("--only", action="append", help="one reference; may be given again")
    args = parser.parse_args()
    print(f"processor: {pace.processor()}", flush=True)
    torch.set_num_threads(1)
    whole = sheet_of(args.real)
    names = args.only or [*REFERENCES, HELD_OUT]
    spoke: dict[str, Counter[str]] = {name: Counter() for name in names}
    passed: Counter[str] = Counter()
    seconds: list[float] = []
    columns: list[str] = []
    for seed in range(args.first, args.first + args.seeds):
        order = np.random.default_rng(seed).permutation(len(whole))
        train, unseen, source = (
            whole.take(rows) for rows in np.split(order, [args.train, args.train + args.unseen])[:3]
        )
        for name in names:
            rng = np.random.default_rng([seed, 1])
            made = unseen if name == HELD_OUT else REFERENCES[name][0](train, source, args.made, rng, args.target)
            start = time.process_time()
            findings: list[Finding] = examine(train, unseen, made, target=args.target, seed=seed)
            seconds.append(time.process_time() - start)
            columns = list(dict.fromkeys([*columns, *(f.name for f in findings)]))
            raised = {f.name for f in findings if f.raised}
            must = set(() if name == HELD_OUT else REFERENCES[name][1])
            good = must <= raised
            if name in ("oracle", HELD_OUT):
                good = not raised
            if name == "bootstrap":
                good = good and not find(findings, "lift").detail["found"]
            spoke[name].update(raised)
            passed[name] += good
            silent = f"; SILENT: {', '.join(sorted(must - raised))}" if must - raised else ""
            note = f"{seconds[-1]:.1f} CPU s; raised: {', '.join(sorted(raised)) or 'nothing'}{silent}"
            print(f"seed {seed:2d} {name}: {note}", file=sys.stderr, flush=True)
    print(f"| reference | passed | {' | '.join(columns)} |")
    print(f"|---|---|{'---|' * len(columns)}")
    for name in names:
        must = set(() if name == HELD_OUT else REFERENCES[name][1])
        told = [f"**{spoke[name][c]}**" if c in must else str(spoke[name][c] or "") for c in columns]
        print(f"| {name} | {passed[name]}/{args.seeds} | {' | '.join(told)} |")
    print(
        "\nSeeds in which each finding was raised; bold: findings that must speak. Passed: all of those spoke (oracle and "
        f"held-out rows: nothing was raised; bootstrap: and no lift was found). An assay took {np.mean(seconds):.1f} CPU s."
    )


if __name__ == "__main__":
    main()
