"""Trains karat and its peers on a table, scores what each makes with an evaluator that is nobody's own, and prints the ratios.

    python benchmarks/tables.py --train adult-train.csv --test adult-test.csv --target income --evaluator evaluate.py \\
        --recipes trees --peers ctgan tvae gaussiancopula tabularargn --seeds 0 1 2 3 4 --budget default equal \\
        --env ctgan=PYTHON gaussiancopula=PYTHON tabularargn=PYTHON evaluator=PYTHON

Each peer runs in an environment of its own, of which --env names the Python (`pip install ctgan pyarrow`, `sdv pyarrow`,
`mostlyai-engine`; for the evaluator `sdmetrics "pandas<3" pyarrow`). One process at a time, one thread each, CPU seconds
throughout. Karat is timed from outside, by `karat train` and `karat make` as a person calls them: importing, reading and
writing are counted. Peers' fits are timed from inside, imports, reading and writing left out, which favours them; only
`whole job` counts all of it for everybody, from the file read to the file written. Rows per CPU second are without
start-up: from the difference between a making of 400,000 rows and the one that is scored. Missing cells stay
empty for karat; peers get them as the word "?". As many rows are scored as were learned from.

--rows 1000 takes a sample of the training file, another for each seed. --rows above what the file holds takes a table
drawn from a law of our own (tables_known.py): it shows time and memory, and its scores say only how well that law is
learned. A budget of SECONDS buys CTGAN, TVAE and TabularARGN as many whole epochs as fit, at least one; `equal` is the
median of what the first recipe took. A recipe is `trees`, or `vae:60` for 60 CPU seconds, or
`trees+model.leaf=100` for a setting, or `default` for no --recipe. What is learned once is drawn twice: together, and with
--independent, which has a row of its own.

Every row is appended to --out as JSON as soon as it is there, and rows that are there already are not made again.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tables_figures import CEILING, FLOOR, Row, figures, groups, ratios

from karat.training import pace

HERE = Path(__file__).parent
PACKAGES = {"ctgan": "ctgan", "tvae": "ctgan", "gaussiancopula": "sdv", "tabularargn": "mostlyai-engine"}
WITHOUT_EPOCHS = {"gaussiancopula"}
MISSING = "?"
LONG = 400_000  # rows of the making that tells the speed
SCORED_ROWS = 100_000  # of larger tables the evaluator sees this many
KNOWN_TEST_ROWS, KNOWN_COLUMNS, KNOWN_TARGET = 20_000, 15, "answer"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "LOKY_MAX_CPU_COUNT")


class Failed(Exception):
    """A process that ended badly; the message is the end of what it said."""


@dataclass(frozen=True)
class Spent:
    """What a finished process used: CPU seconds, and its largest resident set in MB. Children it waited for are counted."""

    cpu: float
    peak: float
    said: str


def run(command: list[str]) -> Spent:
    """Runs a command on one thread, without a GPU. Raises Failed."""
    env = os.environ | dict.fromkeys(THREADS, "1") | {"CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env)
        _, status, used = os.wait4(
            process.pid, 0
        )  # unlike RUSAGE_CHILDREN this is one child's peak, not the largest so far
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        said, complained = out.read(), err.read()
    if process.returncode:
        raise Failed(
            f"{' '.join(command[:4])} ... ended with {process.returncode}: {(complained or said)[-600:].strip()}"
        )
    return Spent(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, said)


def apart(function: Callable[..., Any], *given: Any) -> Any:
    """The function's answer from a process of its own: on Linux a child's peak memory begins at its parent's."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *given).result()


@dataclass(frozen=True)
class Task:
    """A table to learn, in the forms its readers want, and what it is scored with."""

    label: str
    csv: Path  # karat reads this, missing cells empty
    train: Path  # peers read this, missing words as "?"
    seen: Path  # the evaluator's training rows
    test: Path
    floor_seen: Path
    floor: Path
    target: str
    make: int  # rows to make


# Tables. These run in processes of their own.


def is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def read(path: str, like: Any = None) -> Any:
    """A CSV as Arrow: numbers stay numbers, all else is text; only an empty cell is missing. Types follow `like`."""
    import pyarrow as pa
    from pyarrow import csv

    options = csv.ConvertOptions(strings_can_be_null=True, null_values=[""])
    table = csv.read_csv(path, convert_options=options)
    fields = [pa.field(f.name, f.type if is_number(f.type) else pa.string()) for f in table.schema]
    return table.cast(pa.schema(fields) if like is None else like.schema)


def filled(table: Any) -> Any:
    """The table with missing words as "?", words as plain strings, and no metadata of the library that wrote it."""
    import pyarrow as pa
    from pyarrow import compute

    columns = {}
    for name in table.column_names:
        column = table[name]
        if not is_number(column.type):
            column = compute.fill_null(column.cast(pa.string()), MISSING)
        columns[name] = column
    return pa.table(columns)


def prepare(folder: Path, train: str, test: str, target: str, rows: int | None, seed: int) -> Task:
    """Writes what a seed needs. Fresh real rows are rows left out of a sample, else one half of the file against the other."""
    import numpy as np
    from pyarrow import csv, parquet

    whole = read(train)
    known = rows is not None and rows > whole.num_rows
    label = "whole" if rows is None else f"{'known-' if known else ''}{rows}"
    place = folder / "data" / f"{label}-{seed}"
    place.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    if known:
        from tables_known import draw

        assert rows is not None
        learned, tested, fresh = (
            draw(n, KNOWN_COLUMNS, KNOWN_TARGET, 3 * seed + k)
            for k, n in enumerate((rows, KNOWN_TEST_ROWS, min(rows, SCORED_ROWS)))
        )
        floor_seen, target = learned, KNOWN_TARGET
    else:
        tested = read(test, whole)
        order = rng.permutation(whole.num_rows)
        if rows is None:
            learned, half = whole, whole.num_rows // 2
            floor_seen, fresh = whole.take(order[:half]), whole.take(order[half:])
        else:
            learned = floor_seen = whole.take(order[:rows])
            fresh = whole.take(order[rows : 2 * rows])
    source = place / "train.csv"
    if rows is None:
        source = Path(train).resolve()
    else:
        csv.write_csv(learned, source)
    forms = {"train": learned, "seen": cut(learned), "test": tested, "floor_seen": cut(floor_seen), "floor": fresh}
    for name, table in forms.items():
        parquet.write_table(filled(table), place / f"{name}.parquet")
    paths = {name: place / f"{name}.parquet" for name in forms}
    return Task(label, source, **paths, target=target, make=learned.num_rows)


def cut(table: Any) -> Any:
    return table.slice(0, SCORED_ROWS)


def settle(made: Path, out: Path, like: Path) -> int:
    """Writes a made table as the evaluator reads it, columns in the real order; returns how many rows were made."""
    from pyarrow import parquet

    table = parquet.read_table(made)
    parquet.write_table(filled(cut(table.select(parquet.read_schema(like).names))), out)
    return int(table.num_rows)


# Rows.


def score(evaluator: list[str], task: Task, seen: Path, made: Path, seed: int) -> Row:
    """The evaluator's figures; None for one that is not a number, as where all made rows are of one class."""
    files = ["--real-train", str(seen), "--real-test", str(task.test), "--synth", str(made)]
    scores: Row = json.loads(run([*evaluator, *files, "--target", task.target, "--seed", str(seed)]).said)
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in scores.items()}


def karat_row(recipe: str, task: Task, seed: int, runs: Path, independent: bool, place: Path) -> Row:
    """Trains and makes with karat's own command line.   runs: folder of what was trained, for who draws from it again."""
    name, _, seconds = recipe.partition(":")
    cli = [sys.executable, "-m", "karat.cli"]
    common = ["--seed", str(seed), "--threads", "1"]
    trained, made, spent = runs / "run", place / "made.parquet", runs / "spent.json"
    train = [*cli, "train", str(task.csv), "--out", str(trained), *common]
    name, *settings = name.split("+")
    if name != "default":
        train += ["--recipe", name]
    for setting in settings:
        train += ["--set", setting]
    if seconds:
        train += ["--minutes", f"{float(seconds) / 60:.6g}", "--set", "train.clock=cpu"]
    if not spent.exists():
        shutil.rmtree(runs, ignore_errors=True)
        runs.mkdir(parents=True)
        fit = run(train)
        spent.write_text(json.dumps([fit.cpu, fit.peak, ""]))
    fit = Spent(*json.loads(spent.read_text()))
    make = [*cli, "make", str(trained), *common, "--overwrite", *(["--independent"] if independent else [])]
    one = run([*make, "-n", "1", "--out", str(place / "one.parquet")])
    full = run([*make, "-n", str(task.make), "--out", str(made)])
    rows = apart(settle, made, place / "settled.parquet", task.test)
    if rows < LONG:  # start-up is most of a short making: a long one tells the speed
        long = run([*make, "-n", str(LONG), "--out", str(place / "long.parquet")])
        speed = (LONG - rows) / max(long.cpu - full.cpu, 1e-3)
    else:
        speed = (rows - 1) / max(full.cpu - one.cpu, 1e-3)
    size = sum(file.stat().st_size for file in trained.rglob("*") if file.is_file()) / 2**20
    used = {"fit": fit.cpu, "make": full.cpu, "start": one.cpu, "whole": fit.cpu + full.cpu, "speed": speed}
    used |= {"peak": max(fit.peak, full.peak), "fit_peak": fit.peak, "make_peak": full.peak}
    return used | {"rows": rows, "run_mb": size}


def peer_row(python: str, peer: str, task: Task, seed: int, seconds: float | None, limit: float, place: Path) -> Row:
    """Fits and makes with a peer in its own environment. Raises Failed, also when its defaults would pass the limit."""
    made = place / "made.parquet"
    command = [python, str(HERE / "peers" / f"peer_{peer}.py"), "--train", str(task.train), "--out", str(made)]
    command += ["-n", str(task.make), "--long", str(LONG), "--seed", str(seed)]
    command += ["--limit", str(limit)] if seconds is None else ["--seconds", str(seconds)]
    spent = run(command)
    answer: Row = json.loads(spent.said.splitlines()[-1])
    if "foreseen" in answer:
        raise Failed(f"its defaults may take {answer['foreseen']:,.0f} CPU seconds, over the limit of {limit:,.0f}.")
    apart(settle, made, place / "settled.parquet", task.test)
    rows, took = answer["rows"], answer["make"]
    if "long" in answer:
        rows, took = LONG - rows, answer["long"] - took
    return answer | {"whole": spent.cpu - answer["aside"], "speed": rows / max(took, 1e-3)}


class Bench:
    """The rows made so far, and the way to one more."""

    def __init__(self, out: Path, folder: Path, evaluator: list[str], keep: bool) -> None:
        self.out, self.folder, self.evaluator, self.keep = out, folder, evaluator, keep
        kept = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
        self.rows: list[Row] = [row for row in kept if "table" in row]  # not the points of --growth

    def add(self, task: Task, who: str, budget: str, seed: int, build: Callable[[Path], Row], seen: Path) -> None:
        """Builds, scores and keeps a row, unless it is there. Tells what failed and goes on."""
        key: Row = {"table": task.label, "who": who, "budget": budget, "seed": seed}
        if any(all(row[k] == v for k, v in key.items()) for row in self.rows):
            return
        place = self.folder / f"{task.label}-{who}-{budget}-{seed}".replace(" ", "-").replace(":", "-")
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        try:
            row = key | build(place)
            row["scores"] = score(self.evaluator, task, seen, place / "settled.parquet", seed)
        except Failed as failure:
            print(f"{who} ({budget}, seed {seed}) has no row: {failure}", flush=True)
            return
        finally:
            if not self.keep:
                shutil.rmtree(place, ignore_errors=True)
        self.rows.append(row)
        with self.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{who} ({budget}, seed {seed}): {row['scores']['c2st_auc']:.3f}", file=sys.stderr, flush=True)


# The whole.


def reference(source: Path) -> Callable[[Path], Row]:
    """A row that is real data."""

    def build(place: Path) -> Row:
        return {"rows": apart(settle, source, place / "settled.parquet", source)}

    return build


def compare(args: argparse.Namespace) -> None:
    envs = dict(pair.split("=", 1) for pair in args.env)
    evaluator = [envs.get("evaluator", sys.executable), args.evaluator]
    if "evaluator" not in envs:
        print("No environment for the evaluator (--env evaluator=PYTHON): this one is used, without SDMetrics' report.")
        evaluator.append("--no-report")
    pythons = {peer: envs.get(peer, envs.get(PACKAGES[peer])) for peer in args.peers}
    for peer, python in pythons.items():
        if python is None:
            print(f"{peer} is left out: no environment given (--env {PACKAGES[peer]}=PYTHON).")
    folder = Path(args.folder)
    bench = Bench(Path(args.out), folder, evaluator, args.keep)
    tasks = {seed: apart(prepare, folder, args.train, args.test, args.target, args.rows, seed) for seed in args.seeds}
    label = tasks[args.seeds[0]].label
    if label.startswith("known"):
        print("More rows than the file holds: the table is drawn from a law of our own; read its times and memory.")
    for seed, task in tasks.items():
        bench.add(task, FLOOR, "", seed, reference(task.floor), task.floor_seen)
        bench.add(task, CEILING, "", seed, reference(task.seen), task.seen)
        for recipe in args.recipes:
            name, _, seconds = recipe.partition(":")
            runs = folder / f"{label}-{name}-{seconds}-{seed}-run"
            for who, independent in ((f"karat {name}", False), (f"karat {name}, independent", True)):
                build = partial(karat_row, recipe, task, seed, runs, independent)
                bench.add(task, who, seconds if seconds else "default", seed, build, task.seen)
            if not args.keep:
                shutil.rmtree(runs, ignore_errors=True)
    for budget in args.budget:
        seconds = None
        if budget != "default":
            seconds = equal(bench, label, args.recipes) if budget == "equal" else float(budget)
        for seed, task in tasks.items():
            for peer, python in pythons.items():
                if python is None or (budget != "default" and peer in WITHOUT_EPOCHS):
                    continue
                build = partial(peer_row, python, peer, task, seed, seconds, args.limit)
                bench.add(task, peer, budget, seed, build, task.seen)
    print(f"\n{figures(bench.rows, label)}\n\n{ratios(bench.rows, label)}")


def titled(recipe: str) -> tuple[str, str]:
    """What a recipe's rows are called, and its budget."""
    name, _, seconds = recipe.partition(":")
    return f"karat {name}", seconds if seconds else "default"


def equal(bench: Bench, label: str, recipes: list[str]) -> float:
    """CPU seconds that the first recipe took, start-up and all."""
    for who, budget, rows in groups(bench.rows, label):
        if recipes and (who, budget) == titled(recipes[0]):
            return float(statistics.median(row["fit"] for row in rows))
    raise SystemExit("--budget equal needs a recipe that was trained: name one with --recipes, or give SECONDS.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", help="CSV with a header")
    parser.add_argument("--test", help="CSV with the same header, seen by the evaluator only")
    parser.add_argument("--target", help="the column that a classifier or regressor is trained for")
    parser.add_argument("--evaluator", help="a script that scores --synth against --real-train and --real-test")
    parser.add_argument("--recipes", nargs="*", default=[], help="karat's, such as trees or vae:60")
    parser.add_argument("--peers", nargs="*", default=[], choices=sorted(PACKAGES))
    parser.add_argument("--env", nargs="*", default=[], help="NAME=PYTHON of each peer and of the evaluator")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--budget", nargs="+", default=["default"], help="of the peers: default, equal, or CPU seconds")
    parser.add_argument("--limit", type=float, default=3600, help="CPU seconds that a peer's defaults may take")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--out", default="tables.jsonl")
    parser.add_argument("--folder", default="runs/tables", help="what is made on the way; removed but for the data")
    parser.add_argument("--keep", action="store_true", help="keep runs and made tables")
    parser.add_argument("--growth", metavar="SVG", help="only plot how karat's time and memory grow, into this file")
    args = parser.parse_args()
    print(f"processor: {pace.processor()}", flush=True)
    if args.growth is not None:
        from tables_growth import grow

        grow(Path(args.growth), args.recipes, args.seeds[0], Path(args.folder), Path(args.out))
    elif None in (args.train, args.test, args.target, args.evaluator):
        parser.error("--train, --test, --target and --evaluator are needed (all but with --growth)")
    else:
        compare(args)


if __name__ == "__main__":
    main()
