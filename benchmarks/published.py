"""Scores karat and its peers on the benchmark that papers on tables use, at independent draws and together.

    python benchmarks/published.py --bench published.py --data $KARAT_DATA/tables --env bench=PYTHON \\
        --sets adult default shoppers magic beijing --methods default marginals smote arf --seeds 0 1 2 3 4

`--bench` is a script with the benchmark's splits and scores: `prepare SET --data D --out FOLDER` writes SET-train.csv and
SET-test.csv, `score SET --data D MADE` prints a line of JSON with the scores of MADE, and published figures after it. It runs
in an environment of its own (pandas, scikit-learn, xgboost, sdmetrics 0.24, pyarrow; --env bench=PYTHON), and so does each peer
(--env arf=PYTHON: `pip install arfpy pyarrow "numpy<2.4" "pandas<3"`, smote `imbalanced-learn pandas pyarrow`, and
forestdiffusion `forestdiffusion catboost xgboost pyarrow "pandas<3"`).

A method is a recipe of karat, `default` for none named, or a peer. A peer that has a size gets the CPU seconds that the
first recipe took (`equal` budget); one that has none is run as it is. As many rows are made as were learned from. Karat is
drawn from twice: together, and with --independent. With --ends the independent rows are scored once more, the least and the
greatest number of each column put where those of the training rows are, since the trend score lays as many bins of equal width
between the ends of each table. With --times 4 four times as many independent rows are scored too, of which only what they teach
compares with the rest. `fresh` scores the unseen rows as if they were made, beside training rows
only. One process at a time, one thread each; nothing of the test part is read by a generator.

Each row is appended to --out as JSON at once; rows that are there are not made again; medians and ranges are printed last.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

from tables import HERE, Failed, Row, run

from karat.training import pace

PEERS = ("smote", "arf", "forestdiffusion")
FRESH = "fresh"
COLUMNS = (
    "c2st_xgboost",
    "auc_vs_unseen",
    "shape_error_pct",
    "trend_error_pct",
    "predict_on_made",
    "predict_on_real",
    "nearest_share_train",
    "fit",
)


def karat(recipe: str, train: Path, seed: int, place: Path, rows: int, times: list[int]) -> dict[str, tuple[Path, Row]]:
    """The made files of a recipe by name of the draw, each with the CPU seconds of the fit and the making."""
    cli, common = [sys.executable, "-m", "karat.cli"], ["--seed", str(seed), "--threads", "1"]
    named = [] if recipe == "default" else ["--recipe", recipe]
    fit = run([*cli, "train", str(train), "--out", str(place / "run"), *named, *common])
    made = {}
    draws = [("together", rows, []), ("independent", rows, ["--independent"])]
    draws += [(f"independent, {n} times as many", n * rows, ["--independent"]) for n in times]
    for draw, many, flags in draws:
        out = place / f"{draw}.csv"
        spent = run([*cli, "make", str(place / "run"), "-n", str(many), "--out", str(out), *common, *flags])
        made[f"karat {recipe}, {draw}"] = (out, {"fit": fit.cpu, "make": spent.cpu})
    return made


def with_ends(made: Path, train: Path) -> Path:
    """A copy of the made rows, no number of which lies beyond those of the training rows, and one at either end."""
    import pandas as pd

    rows, real = pd.read_csv(made), pd.read_csv(train)
    for name in real.select_dtypes("number"):
        low, high = real[name].min(), real[name].max()
        column = rows[name].clip(low, high)
        column[column.idxmin()], column[column.idxmax()] = low, high
        rows[name] = column
    out = made.with_name(f"{made.stem}-ends.csv")
    rows.to_csv(out, index=False)
    return out


def peer(
    name: str, python: str, train: Path, seed: int, place: Path, rows: int, seconds: float | None
) -> dict[str, Any]:
    """The made file of a peer; its driver reads and writes Parquet."""
    import pandas as pd

    pd.read_csv(train).to_parquet(place / "train.parquet", index=False)
    command = [python, str(HERE / "peers" / f"peer_{name}.py"), "--train", str(place / "train.parquet")]
    command += ["--out", str(place / "made.parquet"), "-n", str(rows), "--seed", str(seed)]
    if seconds is not None:
        command += ["--seconds", str(seconds)]
    answer = json.loads(run(command).said.splitlines()[-1])
    return {name: (place / "made.parquet", {"fit": answer["fit"], "make": answer["make"], "size": answer["epochs"]})}


class Bench:
    """The rows made so far, and the way to more."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.out, self.folder = args, Path(args.out), Path(args.folder)
        self.envs = dict(pair.split("=", 1) for pair in args.env)
        self.rows: list[Row] = (
            [json.loads(line) for line in self.out.read_text().splitlines()] if self.out.exists() else []
        )

    def script(self, *given: str) -> str:
        data = ["--data", self.args.data]
        return run([self.envs.get("bench", sys.executable), self.args.bench, *given, *data]).said

    def there(self, name: str, method: str, seed: int) -> bool:
        kept = [row["method"] for row in self.rows if (row["set"], row["seed"]) == (name, seed)]
        return any(m == method or m.startswith(f"karat {method}, ") for m in kept)

    def keep(self, name: str, method: str, seed: int, made: Path, spent: Row) -> None:
        scores = json.loads(self.script("score", name, str(made)).splitlines()[0])["made"]
        if method == FRESH:  # the scores against unseen rows would compare these with themselves
            scores = {
                key: scores[key] for key in ("c2st_xgboost", "shape_error_pct", "trend_error_pct", "predict_on_real")
            }
        row = {"set": name, "method": method, "seed": seed, **spent, **scores}
        self.rows.append(row)
        with self.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{name} {method} {seed}: {scores['c2st_xgboost']:.3f}", file=sys.stderr, flush=True)

    def add(self, name: str, method: str, seed: int) -> None:
        """Makes and scores the rows of a method unless they are there; prints what failed and goes on."""
        if self.there(name, method, seed):
            return
        train, test = self.folder / f"{name}-train.csv", self.folder / f"{name}-test.csv"
        place = self.folder / f"{name}-{method}-{seed}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        with train.open() as file:
            rows = sum(1 for _ in file) - 1
        try:
            if method == FRESH:
                made = {FRESH: (test, {"fit": 0.0, "make": 0.0})}
            elif method in PEERS:
                made = peer(method, self.envs[method], train, seed, place, rows, self.seconds(name))
            else:
                made = karat(method, train, seed, place, rows, self.args.times)
                if self.args.ends:
                    who = f"karat {method}, independent"
                    made[f"{who}, ends"] = with_ends(made[who][0], train), made[who][1]
            for who, (path, spent) in made.items():
                self.keep(name, who, seed, path, spent)
        except Failed as failure:
            print(f"{name} {method} {seed} has no row: {failure}", flush=True)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def seconds(self, name: str) -> float | None:
        """CPU seconds of karat's first recipe on the set: the budget of a peer that has a size."""
        took = [row["fit"] for row in self.rows if row["set"] == name and row["method"].startswith("karat ")]
        return statistics.median(took) if took else None

    def table(self) -> str:
        """Medians over seeds, with the range where there is more than one, in Markdown."""
        lines = [f"| set | method | seeds | {' | '.join(COLUMNS)} |", "|---" * (3 + len(COLUMNS)) + "|"]
        for name in self.args.sets:
            rows = [row for row in self.rows if row["set"] == name]
            for method in dict.fromkeys(row["method"] for row in rows):
                mine = [row for row in rows if row["method"] == method]
                cells = [spread([row[column] for row in mine if column in row]) for column in COLUMNS]
                lines.append(f"| {name} | {method} | {len(mine)} | {' | '.join(cells)} |")
        return "\n".join(lines)


def spread(values: list[float]) -> str:
    if not values:
        return ""
    middle = f"{statistics.median(values):.3f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.3f}-{max(values):.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True, help="the script of splits and scores")
    parser.add_argument("--data", required=True, help="the folder that it reads")
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--methods", nargs="+", default=["default"], help=f"recipes, {FRESH}, {', '.join(PEERS)}")
    parser.add_argument("--env", nargs="*", default=[], help="NAME=PYTHON of each peer, and bench=PYTHON")
    parser.add_argument(
        "--ends", action="store_true", help="score independent rows with the training rows' ends as well"
    )
    parser.add_argument("--times", nargs="*", type=int, default=[], help="independent rows, so many times as many")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", default="published.jsonl")
    parser.add_argument("--folder", default="runs/published", help="the splits stay there, what is made does not")
    args = parser.parse_args()
    print(f"processor: {pace.processor()}", flush=True)
    bench = Bench(args)
    for name in args.sets:
        bench.script("prepare", name, "--out", os.path.abspath(args.folder))
        for method in args.methods:
            for seed in args.seeds if method != FRESH else args.seeds[:1]:
                bench.add(name, method, seed)
    print(f"\n{bench.table()}")


if __name__ == "__main__":
    main()
