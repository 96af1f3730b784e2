"""Trains recipes on any data through the command line and prints what karat's own assay found, as one table.

    python benchmarks/assayed.py $KARAT_DATA/images/cifar10-train.zip --recipes vae gan --minutes 5

One process at a time, one thread each. The last row is the score of unseen real data; runs, with their pictures and
reports, stay in --out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from karat.training import pace

COLUMNS = (
    "frechet distance",
    "kernel distance",
    "precision",
    "recall",
    "coverage",
    "sharpness",
    "two-sample auc",
    "copy rate",
    "usefulness",
    "lift",
)


def assayed(data: str, recipe: str, minutes: float, seed: int, folder: Path, settings: list[str]) -> dict[str, Any]:
    """The findings by name for one recipe, trained anew unless its report is there."""
    run = folder / recipe
    report = run / "report" / "report.json"
    karat = [sys.executable, "-m", "karat.cli"]
    if not report.is_file():
        extra = [part for s in settings for part in ("--set", s)]
        budget = ["--minutes", str(minutes), "--seed", str(seed), "--threads", "1"]
        subprocess.run([*karat, "train", data, "--recipe", recipe, *budget, "--out", str(run), *extra], check=True)
        subprocess.run([*karat, "assay", str(run), "-n", "2000", "--seed", str(seed), "--threads", "1"], check=True)
    found = json.loads(report.read_text())
    spec = json.loads((run / "karat.json").read_text())
    return {
        "recipe": recipe,
        "samples": spec["trained_samples"],
        "verdict": found["verdict"]["word"],
        "findings": {f["name"]: f for f in found["findings"]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--recipes", nargs="+", required=True)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/assayed"))
    parser.add_argument("--set", nargs="*", default=[], dest="settings")
    given = parser.parse_args()
    print(f"processor: {pace.processor()}", flush=True)
    rows = [assayed(given.data, r, given.minutes, given.seed, given.out, given.settings) for r in given.recipes]
    print("| recipe | samples seen | " + " | ".join(COLUMNS) + " | verdict |")
    print("|---" * (3 + len(COLUMNS)) + "|")
    for row in rows:
        cells = " | ".join(f"{row['findings'][c]['value']:.3g}" if c in row["findings"] else "" for c in COLUMNS)
        print(f"| {row['recipe']} | {row['samples']:,} | {cells} | {row['verdict']} |")
    cells = " | ".join(f"{rows[-1]['findings'][c]['real']:.3g}" if c in rows[-1]["findings"] else "" for c in COLUMNS)
    print(f"| unseen real data | | {cells} | |")


if __name__ == "__main__":
    main()
