"""Trains recipes on MNIST through the command line and scores 10,000 pictures of each with the evaluator beside the data.

    python benchmarks/image.py --recipes vae diffusion gan --minutes 5 --seeds 0 1 2

One process at a time, one thread each. Every row is appended to --out as JSON as soon as it is there, and rows that are
there already are not made again; the Markdown table (median, and smallest to largest over the seeds) is printed at the
end. `sharp` is the Laplacian energy relative to the test pictures (1 = as sharp). The floor is what 10,000 real training
pictures score. KARAT_DATA names the data folder; its sibling `bench` holds the evaluator.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from karat.training import pace

DATA = Path(os.environ.get("KARAT_DATA", Path(__file__).parents[2] / "shared" / "data"))
EVALUATOR = DATA.parent / "bench" / "image" / "evaluate.py"
COLUMNS = ("fid", "pixfd", "sharp", "precision", "recall", "density", "coverage", "mem", "mem_copy", "kl")


def pictures(name: str) -> np.ndarray:
    """uint8 [n, 28, 28] of an IDX file."""
    with gzip.open(DATA / "images" / "mnist" / name) as file:
        return np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)


def laplacian(x: np.ndarray) -> float:
    """Mean squared Laplacian of pictures [n, h, w]."""
    x = x.astype(np.float64) / 255
    inner = x[:, 1:-1, 1:-1] * 4 - x[:, :-2, 1:-1] - x[:, 2:, 1:-1] - x[:, 1:-1, :-2] - x[:, 1:-1, 2:]
    return float((inner**2).mean())


def score(samples: Path) -> dict[str, Any]:
    """The evaluator's figures for a file of pictures, and their sharpness."""
    done = subprocess.run(
        [sys.executable, str(EVALUATOR), str(samples)],
        env={**os.environ, "MNIST_DIR": str(DATA / "images" / "mnist")},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    found["sharp"] = laplacian(np.load(samples)) / laplacian(pictures("t10k-images-idx3-ubyte.gz"))
    return found


def row(recipe: str, minutes: float, seed: int, folder: Path, settings: list[str]) -> dict[str, Any]:
    """Trains, makes and scores once."""
    run = folder / f"{recipe}-{minutes:g}-{seed}"
    subprocess.run(["rm", "-rf", str(run)], check=True)
    karat = [sys.executable, "-m", "karat.cli"]
    extra = [part for s in settings for part in ("--set", s)]
    train = [
        "train",
        str(DATA / "images" / "mnist"),
        "--recipe",
        recipe,
        "--minutes",
        str(minutes),
        "--seed",
        str(seed),
    ]
    began = time.monotonic()
    subprocess.run([*karat, *train, "--threads", "1", "--out", str(run), *extra], check=True, stdout=subprocess.DEVNULL)
    trained = time.monotonic() - began
    samples = folder / f"{run.name}.npy"
    make = [
        "make",
        str(run),
        "-n",
        "10000",
        "--out",
        str(samples),
        "--seed",
        str(seed + 1),
        "--threads",
        "1",
        "--overwrite",
    ]
    subprocess.run([*karat, *make], check=True, stdout=subprocess.DEVNULL)
    ledger = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
    spec = json.loads((run / "karat.json").read_text())
    return {
        "recipe": recipe,
        "minutes": minutes,
        "seed": seed,
        "settings": settings,
        "train_wall": trained,
        "train_cpu": ledger[0]["cpu_seconds"],
        "loop_seconds": spec["seconds"],
        "samples": spec["trained_samples"],
        "make_cpu": ledger[1]["cpu_seconds"],
        **score(samples),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Median (smallest to largest) per recipe and budget."""
    lines = ["| recipe | minutes | seeds | " + " | ".join(COLUMNS) + " |", "|---" * (3 + len(COLUMNS)) + "|"]
    keys = sorted({(r["recipe"], r["minutes"]) for r in rows}, key=lambda k: (-k[1], k[0]))
    for recipe, minutes in keys:
        mine = [r for r in rows if (r["recipe"], r["minutes"]) == (recipe, minutes)]
        cells = []
        for column in COLUMNS:
            values = [r[column] for r in mine]
            middle = f"{statistics.median(values):.3g}"
            spread = f" ({min(values):.3g} to {max(values):.3g})" if len(values) > 1 else ""
            cells.append(middle + spread)
        lines.append(f"| {recipe} | {minutes:g} | {len(mine)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def floor(folder: Path) -> dict[str, Any]:
    """What 10,000 real training pictures score."""
    samples = folder / "real.npy"
    rows = np.sort(np.random.default_rng(0).choice(60_000, 10_000, replace=False))
    np.save(samples, pictures("train-images-idx3-ubyte.gz")[rows])
    return {"recipe": "real training pictures", "minutes": 0.0, "seed": 0, "settings": [], **score(samples)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["vae", "diffusion", "gan", "dcgan"])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/bench/image.jsonl"))
    parser.add_argument("--set", nargs="*", default=[], dest="settings")
    given = parser.parse_args()
    print(f"processor: {pace.processor()}", flush=True)
    if not EVALUATOR.is_file():
        sys.exit(f"{EVALUATOR} is not there; set KARAT_DATA to the data folder beside the evaluators.")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []

    def keep(found: dict[str, Any]) -> None:
        rows.append(found)
        with open(given.out, "a") as file:
            file.write(json.dumps(found) + "\n")
        print(json.dumps({k: found[k] for k in ("recipe", "minutes", "seed", *COLUMNS)}), flush=True)

    if not any(r["minutes"] == 0 for r in rows):
        keep(floor(given.out.parent))
    for recipe in given.recipes:
        for seed in given.seeds:
            if not any((r["recipe"], r["minutes"], r["seed"]) == (recipe, given.minutes, seed) for r in rows):
                keep(row(recipe, given.minutes, seed, given.out.parent, given.settings))
    print(table(rows))


if __name__ == "__main__":
    main()
