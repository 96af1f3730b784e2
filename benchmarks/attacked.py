"""What the attack on membership finds of a generator that copies, of four kinds of real data, and of one with epsilon 1.

    python benchmarks/attacked.py --seeds 0 1 2

The copier draws 1,000 records from 500 training ones (each comes back twice in the mean, and one in seven does not); the private
one is `marginals` fitted to Adult with epsilon 1. Printed is the share of training records found at 1% of false alarms, with its
exact interval, beside unseen records as many as there are.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from calibrated import SETS

import karat
from karat.assays import Finding
from karat.assays.details.records import Membership
from karat.training import pace
from karat.workflow.calibrating import exams

KINDS = ("MNIST", "Adult", "tinyshakespeare", "spoken digits")
ROWS = 12_000  # of Adult, that the private generator is given


def copier(name: str, seed: int) -> Finding:
    data = SETS[name](1_000)
    (exam,) = exams(data, [seed], train=500, unseen=1_000, made=1_000, names=["bootstrap"], graded=False)
    return next(f for f in exam.findings if f.key == "membership")


def private(seed: int) -> Finding:
    lines = (Path(os.environ["KARAT_DATA"]) / "tables" / "adult-train.csv").read_text().splitlines()
    order = np.random.default_rng(seed).permutation(np.arange(1, len(lines)))[:ROWS]
    with tempfile.TemporaryDirectory() as place:
        part = Path(place) / "adult.csv"
        part.write_text("\n".join([lines[0], *(lines[i] for i in order)]) + "\n")
        asked = {"recipe": "marginals", "epsilon": 1.0, "public_schema": True, "seed": seed, "threads": 1}
        karat.train(part, out=Path(place) / "run", set=["data.holdout=0.3"], **asked)
        found = karat.assay(Path(place) / "run", n=5_000, seed=seed, threads=1)
    return found["membership"]


def row(what: str, seed: int, f: Finding, seconds: float) -> str:
    assert isinstance(f.detail, Membership)
    rates = f.detail.found_at_false_alarm_rate or {}
    share, low, high = rates.get("1.0%", (float("nan"),) * 3)
    least = [f"{100 * x:.2f}%" for x in rates.get("0.1%", ())]
    told = f"{least[0]} ({least[1]} to {least[2]})" if least else "too few unseen"
    return f"| {what} | {seed} | {f.value:.3f} | {share:.1%} ({low:.1%} to {high:.1%}) | {told} | {f.state} | {seconds:.0f} |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(f"{pace.processor()}\n\n| generator | seed | area | found at 1% | at 0.1% | state | CPU s |\n{'|---' * 7}|")
    for seed in args.seeds:
        for name in KINDS:
            start = time.process_time()
            print(row(f"copier, {name}", seed, copier(name, seed), time.process_time() - start), flush=True)
        start = time.process_time()
        print(row("epsilon 1, Adult", seed, private(seed), time.process_time() - start), flush=True)


if __name__ == "__main__":
    main()
