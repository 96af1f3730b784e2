"""Proves the assay of text on generators of known worth: which findings speak of which fault, over many seeds.

    python benchmarks/references_texts.py --real $KARAT_DATA/text/tinyshakespeare.txt --seeds 20

Each seed splits the passages anew into training passages (half), the judge's unseen ones and those that references may
emit. With --parts the class of a passage is the part of the file it is from. The last line of the table emits the judge's
own unseen passages.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from karat.assays import Finding, find
from karat.assays.references.texts import LABELLED, REFERENCES
from karat.assays.text.texts import examine
from karat.content.text.passages import Passages
from karat.data import load
from karat.training import pace
from karat.views import TextView

HELD_OUT = "held-out text"


def passages(path: Path, length: int, parts: int) -> tuple[TextView, tuple[str, ...]]:
    """The passages of the text at `path`; the class of each is which of so many parts of the file it is from."""
    records = load(path, options={"length": length}).contents.records
    assert isinstance(records, Passages)
    texts = tuple(t.strip("\n") for t in records.strings() if t.strip())
    if not parts:
        return TextView(texts), ()
    return TextView(texts, np.arange(len(texts)) * parts // len(texts)), tuple(f"part {i + 1}" for i in range(parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True, help="a text file")
    parser.add_argument("--length", type=int, default=400, help="characters of a passage at most")
    parser.add_argument("--parts", type=int, default=0, help="so many parts of the file are classes")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", action="append", help="one reference; may be given again")
    args = parser.parse_args()
    print(f"processor: {pace.processor()}", flush=True)
    torch.set_num_threads(1)
    whole, classes = passages(args.real, args.length, args.parts)
    names = args.only or [*REFERENCES, HELD_OUT]
    spoke: dict[str, Counter[str]] = {name: Counter() for name in names}
    passed: Counter[str] = Counter()
    seconds: list[float] = []
    columns: list[str] = []
    for seed in range(args.first, args.first + args.seeds):
        order = np.random.default_rng(seed).permutation(len(whole))
        train, unseen, source = (whole.take(rows) for rows in np.split(order, [len(whole) // 2, len(whole) * 3 // 4]))
        for name in names:
            rng = np.random.default_rng([seed, 1])
            made = unseen if name == HELD_OUT else REFERENCES[name][0](train, source, len(source), rng)
            start = time.process_time()
            findings: list[Finding] = examine(train, unseen, made, classes=classes, seed=seed)
            seconds.append(time.process_time() - start)
            columns = list(dict.fromkeys([*columns, *(f.name for f in findings)]))
            raised = {f.name for f in findings if f.raised}
            wanted = LABELLED.get(name) if classes else None
            must = set(wanted if wanted is not None else () if name == HELD_OUT else REFERENCES[name][1])
            good = must <= raised
            if name in ("oracle", HELD_OUT):
                good = not raised
            passed[name] += good
            spoke[name].update(raised)
            if not good:
                told = [f"{f}: {find(findings, f).says}" for f in sorted(must - raised or raised)]
                print(f"seed {seed}, {name}: {told}", file=sys.stderr, flush=True)
    print("| reference | passed | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 2) + "|")
    for name in names:
        cells = [str(spoke[name][c] or "") for c in columns]
        print(f"| {name} | {passed[name]}/{args.seeds} | " + " | ".join(cells) + " |")
    print(f"\n{np.mean(seconds):.1f} CPU seconds an exam", file=sys.stderr)


if __name__ == "__main__":
    main()
