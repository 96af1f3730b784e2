"""What made rows teach, beside what the real rows teach that they were learned from, over a folder of small tables.

    python benchmarks/use.py --tables FOLDER --recipes default autoregressive --seeds 0 1 2 --out use.jsonl

Every CSV of the folder is a table whose last column is to be predicted, a class where it holds words and a number where not.
A seed splits it, seven rows of ten to learn from, evenly over the classes. Each recipe learns these at its own budget, of CPU
time, and draws as many, each for itself. Three learners (boosted trees, a random forest, logistic or ridge regression) are
taught by the made rows and by the real ones, the same settings for both, and examined on the three of ten: AUC, of more than
two classes the mean of each against the rest, or R2. A table's loss is the real score less the made one, over learners and
seeds. `resampled` in place of a recipe draws from the real rows with replacement: what chance costs who makes no error;
`smote` draws between a real row and one of the nearest of its class (Chawla et al., 2002), nominal cells from either.

`same` is the share of made rows that equal a training row, beside that of test rows that do; `nearer` that of made rows that
lie nearer to one of the training rows than to one of as many test rows, 0.5 for rows that lean on neither. A recipe is
`default`, or a name with settings: `trees+model.leaf=40`; `default+together` draws its rows together, as `make` does by default,
and not each for itself, and `default+4x` four times as many rows as were learned from. A recipe that --env names is a peer
in an environment of its own, by its script in `peers/` (`--recipes default smote arf --env arf=PYTHON`; what to install says
published.py). One that has a size gets the CPU seconds that `default` took on the table, learning and drawing together, or with
`tabularargn+defaults` its own; the rest run as they are. A peer that fails has a row that says so, and is behind there.

Rows are appended to --out as they come, the smallest tables first, and those that are there are not made again. Last come the
losses of each recipe and, where peers are among them, on how many tables the first recipe lost less than all of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from published import peer
from tables import Failed, Row

import karat
from karat.training import pace

PART = 0.7  # of the rows, to learn from
MOST = 5_000  # rows of a table, of which more are left out
WORDS = 40  # values of a column of words that learners are told apart
LEARNERS = ("boosted", "forest", "linear")
FLOOR = "resampled"
LEANING = 0.6  # the share `nearer` above which a peer's rows lean on those learned from


class Course:
    """The columns of one table as learners see them, and the unseen rows that they are examined on."""

    def __init__(self, train: pd.DataFrame, test: pd.DataFrame) -> None:
        self.target = train.columns[-1]
        self.sorted = not pd.api.types.is_numeric_dtype(train[self.target])  # into classes
        self.words = {
            name: train[name].value_counts().index[:WORDS].tolist()
            for name in train.columns[:-1]
            if not pd.api.types.is_numeric_dtype(train[name])
        }
        self.middle = {n: train[n].median() for n in train.columns[:-1] if n not in self.words}
        self.test, self.truth = self.seen(test), test[self.target].to_numpy()

    def seen(self, rows: pd.DataFrame) -> np.ndarray:
        """float64 [n, features]: numbers, the missing ones as the median; a column for each of the commonest words."""
        columns = []
        for name in rows.columns[:-1]:
            if name in self.words:
                columns += [(rows[name] == word).to_numpy(float) for word in self.words[name]]
            else:
                columns.append(rows[name].astype(float).fillna(self.middle[name]).to_numpy())
        return np.stack(columns, 1)

    def nearer(self, rows: pd.DataFrame, train: pd.DataFrame, seed: int) -> float:
        """The share of `rows` that lie nearer to `train` than to the test rows, as many of both, ties by halves."""
        from scipy.spatial.distance import cdist

        known, mine = self.seen(train), self.seen(rows)
        scale = known.std(0) + 1e-9
        many = min(len(known), len(self.test))
        some = np.random.default_rng([seed, 3]).permutation(len(known))[:many]
        own, other = (cdist(mine / scale, side / scale, "cityblock").min(1) for side in (known[some], self.test[:many]))
        return float(np.mean((own < other) + 0.5 * (own == other)))

    def score(self, rows: pd.DataFrame, learner: str, seed: int) -> float:
        """AUC or R2 on the test rows of a learner that `rows` taught; a guess's where they hold one class only."""
        rows = rows[rows[self.target].notna()]
        y = rows[self.target].to_numpy()
        if len(np.unique(y)) < 2:
            return 0.5 if self.sorted else 0.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = _learner(learner, self.sorted, seed).fit(self.seen(rows), y)
            if not self.sorted:
                error = ((model.predict(self.test) - self.truth) ** 2).mean()
                return float(1 - error / self.truth.var())
            told = model.predict_proba(self.test)
        known = list(model.classes_)
        areas = []
        for kind in np.unique(self.truth):
            is_it = self.truth == kind
            if 0 < is_it.sum() < len(is_it):
                areas.append(_area(is_it, told[:, known.index(kind)] if kind in known else np.zeros(len(told))))
        return float(np.mean(areas))


def _learner(name: str, classes: bool, seed: int) -> Any:
    from sklearn import ensemble, linear_model
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if name == "boosted":
        kind = ensemble.HistGradientBoostingClassifier if classes else ensemble.HistGradientBoostingRegressor
        return kind(max_iter=60, early_stopping=False, random_state=seed)
    if name == "forest":
        kind = ensemble.RandomForestClassifier if classes else ensemble.RandomForestRegressor
        return kind(100, min_samples_leaf=2, random_state=seed)
    plain = linear_model.LogisticRegression(max_iter=300) if classes else linear_model.Ridge()
    return make_pipeline(StandardScaler(), plain)


def _area(is_it: np.ndarray, told: np.ndarray) -> float:
    """The area under the curve, of equal chances half (Mann & Whitney, 1947)."""
    rank = pd.Series(told).rank().to_numpy()
    yes = int(is_it.sum())
    return float((rank[is_it].sum() - yes * (yes + 1) / 2) / (yes * (len(is_it) - yes)))


def parted(table: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows to learn from and those that examine, by chance, of every class alike."""
    rng = np.random.default_rng([seed, len(table)])
    table = table.iloc[rng.permutation(len(table))[:MOST]].reset_index(drop=True)
    target = table.iloc[:, -1]
    place = np.arange(len(table)) / len(table)
    if not pd.api.types.is_numeric_dtype(target):
        place = ((target.groupby(target).cumcount() + 0.5) / target.map(target.value_counts())).to_numpy(float)
    first = place < PART
    return table[first].reset_index(drop=True), table[~first].reset_index(drop=True)


def made(recipe: str, train: pd.DataFrame, test: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, float]:
    """As many rows as `train` holds, drawn each for itself, if not asked otherwise; the CPU seconds of learning and drawing."""
    began = time.process_time()
    name, *changes = recipe.split("+")
    times = next((int(change[:-1]) for change in changes if change[:-1].isdigit() and change.endswith("x")), 1)
    if name in OTHERS:
        drawn = [OTHERS[name](train, seed + 1_000 * i) for i in range(times)]
        return pd.concat(drawn, ignore_index=True), time.process_time() - began
    whole = pd.concat([train, test], ignore_index=True)  # learned from are only the first; the rest is set aside
    with tempfile.TemporaryDirectory() as folder:
        run = karat.train(
            whole,
            recipe=None if name == "default" else name,
            holdout=f"last:{1 - len(train) / len(whole)}",
            seed=seed,
            threads=1,
            out=Path(folder) / "run",
            set=["train.clock=cpu", *(change for change in changes if "=" in change)],
        )
        rows = run.make(times * len(train), independent="together" not in changes, seed=seed, gate=["none"])
    return rows[list(train.columns)], time.process_time() - began


def resampled(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    return train.iloc[np.random.default_rng([seed, 7]).integers(len(train), size=len(train))]


def smote(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    """As many rows as `train` holds, each between one of them and one of its five nearest neighbours of the same class."""
    from scipy.spatial.distance import cdist

    rng, course, target = np.random.default_rng([seed, 11]), Course(train, train), train.iloc[:, -1].to_numpy()
    seen = course.seen(train)
    apart = cdist(seen / (seen.std(0) + 1e-9), seen / (seen.std(0) + 1e-9), "cityblock")
    np.fill_diagonal(apart, np.inf)
    if course.sorted:
        apart[target[:, None] != target] = np.inf
    first = rng.integers(len(train), size=len(train))
    near = np.argsort(apart[first], axis=1)[np.arange(len(train)), rng.integers(5, size=len(train))]
    one, other = train.iloc[first].reset_index(drop=True), train.iloc[near].reset_index(drop=True)
    share, out = rng.random(len(train)), one.copy()
    for name in train.columns:
        if pd.api.types.is_numeric_dtype(train[name]):
            between = one[name] + share * (other[name] - one[name])
            out[name] = between.round() if pd.api.types.is_integer_dtype(train[name]) else between
        else:
            out[name] = one[name].where(rng.random(len(train)) < 0.5, other[name])
    return out


OTHERS = {FLOOR: resampled, "smote": smote}


def foreign(
    recipe: str, python: str, train: pd.DataFrame, seed: int, seconds: float | None
) -> tuple[pd.DataFrame, float]:
    """A peer's rows, as many as it learned from, and its CPU seconds, imports left out. Raises Failed."""
    name = recipe.split("+")[0]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        train.to_csv(place / "train.csv", index=False)
        file, spent = peer(name, python, place / "train.csv", seed, place, len(train), seconds)[name]
        rows = pd.read_parquet(file)
    if short := set(train.columns) - set(rows.columns):
        raise Failed(f"its rows have no {sorted(short)}")
    return rows[list(train.columns)], spent["fit"] + spent["make"]


def same(rows: pd.DataFrame, train: pd.DataFrame) -> float:
    """The share of `rows` that equal one of `train`, numbers as numbers."""

    def keys(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
        plain = frame.astype(object).where(frame.notna(), None)
        return [tuple(float(v) if isinstance(v, int | float) else v for v in row) for row in plain.itertuples(False)]

    held = set(keys(train))
    return float(np.mean([row in held for row in keys(rows)]))


def examined(args: argparse.Namespace, rows: list[Row]) -> Iterator[Row]:
    """A row for each table, seed and recipe that is not among `rows`, to which they are added."""
    envs = dict(pair.split("=", 1) for pair in args.env)
    for file in sorted(args.tables.glob("*.csv"), key=lambda file: (file.stat().st_size, file.name)):
        table = pd.read_csv(file)
        for seed in args.seeds:
            done = {r["recipe"] for r in rows if (r["table"], r["seed"]) == (file.stem, seed)}
            wanted = [r for r in args.recipes if r not in done]
            if not wanted:
                continue
            train, test = parted(table, seed)
            course = Course(train, test)
            real = {name: course.score(train, name, seed) for name in LEARNERS}
            start = {
                "table": file.stem,
                "seed": seed,
                "rows": len(train),
                "real": real,
                "unseen same": same(test, train),
            }
            for recipe in wanted:
                row = start | {"recipe": recipe, "processor": pace.processor()}
                try:
                    if (python := envs.get(recipe.split("+")[0])) is not None:
                        took = [r["cpu"] for r in rows if (r["table"], r["recipe"]) == (file.stem, "default")]
                        own = recipe.endswith("+defaults") or not took
                        drawn, row["cpu"] = foreign(
                            recipe, python, train, seed, None if own else statistics.median(took)
                        )
                    else:
                        drawn, row["cpu"] = made(recipe, train, test, seed)
                except Failed as failure:
                    row["failed"] = str(failure)
                else:
                    row["made"] = {name: course.score(drawn, name, seed) for name in LEARNERS}
                    row |= {"same": same(drawn, train), "nearer": course.nearer(drawn, train, seed)}
                rows.append(row)
                yield row


def lost(row: Row) -> float:
    """The loss over learners, without end where there was nothing to teach."""
    return statistics.mean(row["real"][x] - row["made"][x] for x in LEARNERS) if "made" in row else float("inf")


def ranked(rows: list[Row], recipes: list[str], seeds: list[int], peers: list[str]) -> list[str]:
    """The losses of the first recipe and of its peers on each table, over the seeds that all of them have, and on how many
    tables it lost less."""
    first = recipes[0]
    every = {(r["table"], r["recipe"], r["seed"]): r for r in rows}
    tables = {
        name: [seed for seed in seeds if all((name, recipe, seed) in every for recipe in [first, *peers])]
        for name in dict.fromkeys(r["table"] for r in rows)
    }
    tables = {name: of for name, of in tables.items() if of}

    def mean(table: str, recipe: str, of: list[int]) -> float:
        return statistics.mean(lost(every[table, recipe, seed]) for seed in of)

    def better(others: list[str], of: dict[str, list[int]]) -> str:
        ahead = [all(mean(name, first, at) < mean(name, other, at) for other in others) for name, at in of.items()]
        return f"{sum(ahead)} of {len(ahead)}"

    near = {}
    for recipe in [first, *peers]:
        shares = [every[name, recipe, seed].get("nearer") for name, of in tables.items() for seed in of]
        near[recipe] = statistics.mean([share for share in shares if share is not None] or [0.0])
    out = [f"\n| table | seeds | {first} | rank | {' | '.join(peers)} |", "|---" * (4 + len(peers)) + "|"]
    for name, of in tables.items():
        losses = [mean(name, recipe, of) for recipe in [first, *peers]]
        cells = [f"{loss:+.3f}" if loss < float("inf") else "failed" for loss in losses]
        rank = f"{1 + sum(loss <= losses[0] for loss in losses[1:])} of {len(losses)}"
        out.append("| " + " | ".join([name, str(len(of)), cells[0], rank, *cells[1:]]) + " |")
    out.append("")
    free = [recipe for recipe in peers if near[recipe] <= LEANING]
    groups = {"every peer": peers}
    if free != peers:
        groups[f"every peer that leans little (nearer {LEANING} at most)"] = free
    for who, others in (groups | {recipe: [recipe] for recipe in peers}).items():
        by_seed = [better(others, {name: [seed] for name, of in tables.items() if seed in of}) for seed in seeds]
        line = f"- {first} lost less than {who} on {better(others, tables)} tables (by seed {', '.join(by_seed)})"
        if len(others) == 1:
            line += f"; nearer {near[others[0]]:.3f}, {first} {near[first]:.3f}"
        out.append(line)
    return out


def told(rows: list[Row], recipes: list[str]) -> list[str]:
    """The lines of a table in Markdown for each recipe, the worst first, and one of all."""
    out = []
    for recipe in recipes:
        mine = [r for r in rows if r["recipe"] == recipe and "made" in r]
        out += [
            f"{r['table']} {recipe} {r['seed']}: {r['failed']}" for r in rows if r["recipe"] == recipe and "failed" in r
        ]
        if not mine:
            continue
        lines, losses, shares, nearer, spent = [], [], [], [], []
        for name in sorted({r["table"] for r in mine}):
            of = [r for r in mine if r["table"] == name]
            by_seed = [lost(r) for r in of]
            by_learner = [statistics.mean(r["real"][x] - r["made"][x] for r in of) for x in LEARNERS]
            real = statistics.mean(r["real"][x] for r in of for x in LEARNERS)
            equal, unseen, near = (statistics.mean(r[key] for r in of) for key in ("same", "unseen same", "nearer"))
            loss, cpu = statistics.mean(by_seed), statistics.mean(r["cpu"] for r in of)
            cells = [
                name,
                str(of[0]["rows"]),
                f"{real:.3f}",
                f"{loss:+.3f} ({min(by_seed):+.3f} to {max(by_seed):+.3f})",
            ]
            cells += [f"{x:+.3f}" for x in by_learner] + [f"{equal:.3f}", f"{unseen:.3f}", f"{near:.3f}", f"{cpu:.1f}"]
            lines.append((loss, "| " + " | ".join(cells) + " |"))
            losses.append(loss)
            shares.append(abs(equal - unseen))
            nearer.append(near)
            spent.append(cpu)
        seeds = sorted({r["seed"] for r in mine})
        out += [
            f"\n{recipe}, seeds {seeds}\n",
            f"| table | rows | real | loss | {' | '.join(LEARNERS)} | same | unseen | nearer | CPU s |",
        ]
        out += ["|---" * 11 + "|", *(line for _, line in sorted(lines, reverse=True))]
        out.append(
            f"\n{recipe}: {len(losses)} tables: median loss {statistics.median(losses):+.4f}, worst {max(losses):+.4f}, mean "
            f"{statistics.mean(losses):+.4f}; same apart from unseen by {statistics.mean(shares):.3f}, at most {max(shares):.3f}; "
            f"nearer {statistics.mean(nearer):.3f}, at most {max(nearer):.3f}; "
            f"median CPU {statistics.median(spent):.1f} s"
        )
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", default=["default"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--env", nargs="*", default=[], help="NAME=PYTHON of each peer")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    lines = args.out.read_text(encoding="utf-8").splitlines() if args.out.is_file() else []
    rows = [json.loads(line) for line in lines]
    for row in examined(args, rows):
        with args.out.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")
    print(f"processor: {pace.processor()}", *told(rows, args.recipes), sep="\n")
    peers = [r for r in args.recipes[1:] if r.split("+")[0] in {"smote", *(pair.split("=")[0] for pair in args.env)}]
    if peers:
        print(*ranked(rows, args.recipes, args.seeds, peers), sep="\n")


if __name__ == "__main__":
    main()
