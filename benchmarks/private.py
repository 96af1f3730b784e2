"""Fits tables with differential privacy, codec and family, and scores what is made on rows that were kept apart.

    python benchmarks/private.py --table $KARAT_DATA/tables/adult-train.csv --target income --evaluator evaluate.py \\
        [--epsilons 1 3 10] [--seeds 0 1 2]

A third of the rows, drawn with a fixed seed, is kept apart; as many rows are made as were learned from. The evaluator is a
program of its own that takes --real-train, --real-test, --synth (Parquet) and --target, and prints one line of JSON.
The noise is seeded, so that the figures can be made again: no fit to publish.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import torch

from karat import privacy
from karat.content.table.tables import Tables
from karat.families.marginals import Config, Model
from karat.privacy import Budget, Source
from karat.training import pace

SHOWN = ("c2st_auc", "tstr", "trtr", "tv_cat", "w1_num", "coverage", "dcr_share")


def make(part: Path, made: Path, epsilon: float, seed: int) -> tuple[float, float]:
    """Learns the CSV `part`, writes as many rows to `made`; CPU seconds of the fit, and rows a CPU second of the making."""
    contents = Tables.read(part, {})
    train = np.arange(len(contents.records))
    begun = time.process_time()
    delta = privacy.default_delta(len(train))
    budget = Budget.of(epsilon, delta).part(privacy.CODEC)
    codec = Tables.fit_discreetly(contents, train, budget, Source(seed))
    space = codec.spaces[0]
    model = Model(space, 0, Config(epsilon=epsilon, delta=delta, noise="seeded"))
    for _ in model.fit(codec.encode(contents.records, space), None, seed, None):
        pass
    fitted = time.process_time()
    points = model.sample(len(train), None, torch.Generator().manual_seed(seed))
    records = codec.decode(points, space, np.random.default_rng(seed))
    ended = time.process_time()
    made.write_bytes(codec.pack(records, ".csv"))
    return fitted - begun, len(train) / (ended - fitted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--evaluator", type=Path, required=True)
    parser.add_argument("--epsilons", type=float, nargs="+", default=[1.0, 3.0, 10.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    print(f"processor: {pace.processor()}", flush=True)
    torch.set_num_threads(1)
    table = pyarrow.csv.read_csv(asked.table)
    order = np.random.default_rng(0).permutation(len(table))
    cut = len(table) * 2 // 3
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, rows in (("train", order[:cut]), ("test", order[cut:])):
            pyarrow.csv.write_csv(table.take(rows), folder / f"{part}.csv")
            pyarrow.parquet.write_table(table.take(rows), folder / f"{part}.parquet")
        print(f"| epsilon | seed | fit, CPU s | rows / CPU s | {' | '.join(SHOWN)} |\n|{'---|' * (4 + len(SHOWN))}")
        for epsilon in asked.epsilons:
            for seed in asked.seeds:
                seconds, speed = make(folder / "train.csv", folder / "made.csv", epsilon, seed)
                pyarrow.parquet.write_table(pyarrow.csv.read_csv(folder / "made.csv"), folder / "made.parquet")
                files = [f"--real-train={folder}/train.parquet", f"--real-test={folder}/test.parquet"]
                told = subprocess.run(
                    [
                        sys.executable,
                        asked.evaluator,
                        *files,
                        f"--synth={folder}/made.parquet",
                        "--target",
                        asked.target,
                        "--no-report",
                    ],
                    capture_output=True,
                    text=True,
                    check=True,
                )
                scores = json.loads(told.stdout.splitlines()[-1])
                figures = " | ".join(f"{scores[key]:.3f}" for key in SHOWN)
                print(f"| {epsilon:g} | {seed} | {seconds:.1f} | {speed:,.0f} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
