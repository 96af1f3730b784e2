"""Proves the judge on generators of known worth: which findings speak of which fault, over many seeds, as a table.

    python benchmarks/references.py --real $KARAT_DATA/images/mnist --seeds 20

Each seed draws its own real and made records and fits its own feature extractor. What the oracle and the other references emit is
disjoint from the unseen records that the judge compares with; the last row emits those very records.
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
from karat.assays.encoder import FeatureExtractor, open_extractor
from karat.assays.points.points import examine
from karat.assays.points.seen import Seen, look_at
from karat.assays.references.points import LABELLED, REFERENCES
from karat.data import Data, load
from karat.training import pace

HELD_OUT = "held-out images"
MEMORY = ("copy rate", "authenticity", "ct")


def rows(data: Data, args: argparse.Namespace, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training rows, the judge's unseen rows, and the rows that references may emit: disjoint."""
    rng = np.random.default_rng(seed)
    train = rng.permutation(data.train)
    if args.within_train:
        kept = min(args.train, len(train) // 2)
        rest = train[kept:]
        most = min(10_000, len(rest) // 2)
        return train[:kept], rest[:most], rest[most : 2 * most]
    held = rng.permutation(data.holdout)
    return train[: args.train], held[: len(held) // 2], held[len(held) // 2 :]


def look(data: Data, extractor: FeatureExtractor, which: np.ndarray, labelled: bool) -> Seen:
    return look_at(extractor, *content(data, which, labelled))


def content(data: Data, which: np.ndarray, labelled: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
    labels = data.contents.labels
    told = torch.from_numpy(labels[which]).long() if labelled and labels is not None else None
    return data.codec.view(data.contents.records, which).points, told


def due(name: str, labelled: bool) -> tuple[str, ...]:
    """The findings that must speak of a reference."""
    must = () if name == HELD_OUT else REFERENCES[name][1]
    return must if labelled else tuple(finding for finding in must if finding not in LABELLED)


def examined(
    data: Data, args: argparse.Namespace, names: list[str], seed: int, labelled: bool
) -> dict[str, list[Finding]]:
    train_rows, unseen_rows, other_rows = rows(data, args, seed)
    classes = data.classes if labelled else ()
    points, labels = content(data, train_rows, labelled)
    fingerprint = f"{data.fingerprint}-{args.within_train}"
    extractor = open_extractor(points, labels, len(classes), fingerprint=fingerprint, seed=seed, cache=args.cache)
    train, unseen = look_at(extractor, points, labels), look(data, extractor, unseen_rows, labelled)
    other, other_labels = content(data, other_rows, labelled)
    out = {}
    for name in names:
        if name == HELD_OUT:
            made = unseen.take(torch.arange(min(args.made, len(unseen) // 2)))
        else:
            rng = np.random.default_rng([seed, 1])
            given = REFERENCES[name][0](points, labels, other, other_labels, args.made, rng)
            made = look_at(extractor, *given)
        start = time.process_time()
        out[name] = examine(train, unseen, made, classes=classes, seed=seed)
        raised = [finding.name for finding in out[name] if finding.raised]
        silent = [wanted for wanted in due(name, labelled) if wanted not in raised]
        note = f"{time.process_time() - start:.1f} CPU s; raised: {', '.join(raised) or 'nothing'}"
        print(f"seed {seed:2d} {name}: {note}" + (f"; SILENT: {silent}" if silent else ""), file=sys.stderr, flush=True)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True, help="real data, anything that karat reads")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--train", type=int, default=10_000, help="training records")
    parser.add_argument("--made", type=int, default=2_000, help="records that each reference makes")
    parser.add_argument("--only", action="append", help="one reference; may be given again")
    parser.add_argument("--unlabelled", action="store_true", help="hide the labels from the judge")
    parser.add_argument("--within-train", action="store_true", help="carve the unseen records out of the training part")
    parser.add_argument("--cache", type=Path, default=None, help="where fitted extractor are kept")
    args = parser.parse_args()
    print(f"processor: {pace.processor()}", flush=True)
    torch.set_num_threads(1)
    data = load(args.real)
    labelled = not args.unlabelled and data.contents.labels is not None
    names = args.only or [*REFERENCES, HELD_OUT]
    spoke: dict[str, Counter[str]] = {name: Counter() for name in names}
    passed: Counter[str] = Counter()
    columns: list[str] = []
    for seed in range(args.seeds):
        for name, findings in examined(data, args, names, seed, labelled).items():
            columns = [finding.name for finding in findings]
            raised = {finding.name for finding in findings if finding.raised}
            spoke[name].update(raised)
            good = not raised if name == "oracle" else set(due(name, labelled)) <= raised
            if name == HELD_OUT:
                good = not raised.intersection(MEMORY)
            if name == "bootstrap" and labelled:
                good = good and not find(findings, "lift").detail["found"]
            passed[name] += good
    print(f"| reference | passed | {' | '.join(columns)} |")
    print(f"|---|---|{'---|' * len(columns)}")
    for name in names:
        must = due(name, labelled)
        cells = [f"**{spoke[name][c]}**" if c in must else str(spoke[name][c] or "") for c in columns]
        print(f"| {name} | {passed[name]}/{args.seeds} | {' | '.join(cells)} |")
    print(
        "\nSeeds in which each finding was raised; bold: findings that must speak. Passed: all of those spoke (oracle: "
        "nothing was raised; bootstrap: and no lift was found; held-out images: not accused of copying)."
    )


if __name__ == "__main__":
    main()
