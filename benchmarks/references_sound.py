"""Proves the judge of sounds on generators of known worth: which findings speak of which fault, over many seeds, as a table.

    python benchmarks/references_sound.py --real $KARAT_DATA/audio/fsdd --labels "{label}_{speaker}_{n}" --holdout "n<20" --seeds 20

Each seed parts the recordings set aside anew, into those that references may emit and those that the judge compares with;
the last row emits the judge's own. It goes the way that `karat assay --real DATA --made reference:NAME` goes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import torch

from karat.assays.references.points import SLIDING
from karat.data import load
from karat.training import pace
from karat.workflow.office import Made, judge_records, reference

HELD_OUT = "held-out sounds"
MEMORY = ("copy rate", "authenticity", "ct")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True)
    parser.add_argument("--labels", default="{label}_{speaker}_{n}")
    parser.add_argument("--holdout", default="n<20")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", action="append", help="one reference; may be given again")
    args = parser.parse_args()
    print(f"processor: {pace.processor()}", flush=True)
    torch.set_num_threads(1)
    data = load(args.real, options={"labels": args.labels}, holdout=args.holdout)
    print(f"{len(data.train):,} to learn from, {len(data.holdout):,} set aside ({args.holdout})\n", flush=True)
    print("| reference | must speak | found | also raised |\n|---|---|---|---|", flush=True)
    failed = 0
    for name in args.only or [*SLIDING, HELD_OUT]:
        must = set(SLIDING[name][1]) if name in SLIDING else set()
        found, others = 0, Counter[str]()
        for seed in range(args.first, args.first + args.seeds):
            start = time.process_time()
            made, kept = reference(data, "oracle" if name == HELD_OUT else name, len(data.holdout), seed)
            if name == HELD_OUT:
                some = kept.holdout[::2]
                labels = None if data.contents.labels is None else torch.from_numpy(data.contents.labels[some])
                made = Made(data.contents.records[some], labels, None)
            findings = judge_records(kept, made, seed=seed).findings
            raised = {f.name for f in findings if f.raised}
            wrong = raised & set(MEMORY) if name == HELD_OUT else raised if name == "oracle" else must - raised
            found += not wrong
            others.update(raised - must)
            took = time.process_time() - start
            said = f"wrong: {', '.join(sorted(wrong))}" if wrong else "right"
            print(f"{name}, seed {seed}: {said}; {took:.1f} CPU s", file=sys.stderr, flush=True)
        failed += found < args.seeds
        listed = ", ".join(f"{what} {count}" for what, count in others.most_common(8))
        print(f"| {name} | {', '.join(sorted(must)) or 'nothing'} | {found}/{args.seeds} | {listed} |", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
