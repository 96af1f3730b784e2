"""How far made tables are from unseen real rows, drawn together or each row for itself, beside as many real rows.

    python benchmarks/even.py --train adult-train.csv --test adult-test.csv --recipe trees --seeds 0 1 2

A distance is total variation, over all single columns, all pairs and every seventh triple of them; numbers are cut at eighths of
the training rows. Real rows are a sample without replacement of those that the recipe learned from or its judge kept.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tables import is_number, read

from karat.training import pace

COUNTS = (1_000, 10_000, 30_000)


def coded(table: Any, like: Any) -> list[np.ndarray]:
    """A column's part of its range, or its word's number, int64 [n], for each column."""
    out = []
    for name in like.column_names:
        column, known = table[name], like[name].to_numpy(zero_copy_only=False)
        if is_number(like[name].type):
            edges = np.unique(np.quantile(known, np.arange(1, 8) / 8))
            out.append(np.searchsorted(edges, column.to_numpy(), "right"))
        else:
            words = np.unique(known.astype(str))
            out.append(np.searchsorted(words, column.to_numpy(zero_copy_only=False).astype(str)))
    return out


def apart(a: list[np.ndarray], b: list[np.ndarray], wide: int) -> float:
    """Total variation between two tables over sets of `wide` columns, on average."""
    found = []
    for columns in list(itertools.combinations(range(len(a)), wide))[:: 7 if wide == 3 else 1]:
        keys = []
        for codes in (a, b):
            key = np.zeros(len(codes[0]), np.int64)
            for j in columns:
                key = key * (max(a[j].max(), b[j].max()) + 1) + codes[j]
            keys.append(key)
        _, which = np.unique(np.concatenate(keys), return_inverse=True)
        many = which.max() + 1
        shares = [np.bincount(w, minlength=many) / len(w) for w in (which[: len(keys[0])], which[len(keys[0]) :])]
        found.append(np.abs(shares[0] - shares[1]).sum() / 2)
    return float(np.mean(found))


def made(args: argparse.Namespace, seed: int) -> dict[str, dict[int, Any]]:
    """Tables of COUNTS rows from one run, drawn together and independently."""
    run = args.folder / f"{args.recipe}-{seed}"
    shutil.rmtree(run, ignore_errors=True)
    cli = [sys.executable, "-m", "karat.cli"]
    common = ["--seed", str(seed), "--threads", "1"]
    train = [*cli, "train", args.train, *common, "--recipe", args.recipe, "--out", run]
    subprocess.run(train, check=True, capture_output=True)
    out: dict[str, dict[int, Any]] = {}
    for who, how in (("made together", []), ("made one by one", ["--independent"])):
        for n in COUNTS:
            file = run / f"made-{n}-{len(how)}.csv"
            make = [*cli, "make", run, "-n", str(n), *common, *how, "--out", file, "--overwrite"]
            subprocess.run(make, check=True, capture_output=True)
            out.setdefault(who, {})[n] = read(str(file), args.real)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--recipe", default="trees")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/even"))
    args = parser.parse_args()
    print(f"processor: {pace.processor()}", flush=True)
    args.folder.mkdir(parents=True, exist_ok=True)
    args.real = read(str(args.train))
    unseen = coded(read(args.test, args.real), args.real)
    found: dict[tuple[int, str], list[list[float]]] = {}
    for seed in args.seeds:
        order = np.random.default_rng(seed).permutation(args.real.num_rows)
        sides = {"real rows": {n: args.real.take(order[:n]) for n in COUNTS}}
        sides |= made(args, seed)
        for who, tables in sides.items():
            for n, table in tables.items():
                codes = coded(table, args.real)
                found.setdefault((n, who), []).append([apart(codes, unseen, wide) for wide in (1, 2, 3)])
    print("| rows | | single columns | pairs | triples |\n|---|---|---|---|---|")
    for (n, who), rows in sorted(found.items()):
        cells = (f"{np.median(v):.3f} ({min(v):.3f} to {max(v):.3f})" for v in zip(*rows, strict=True))
        print(f"| {n:,} | {who} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
