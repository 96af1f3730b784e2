"""What is found between the columns of tables, what of it is true, and whether made rows and judges keep to it.

    python benchmarks/relations.py --tables FOLDER... --seeds 0 1 2 --out relations.jsonl

Every CSV of the folders is a table in which nobody knows what holds. So there are put to it eight columns that hang on random
ones, one for each form, at several rates of exceptions: `planted` counts those that are found. `false` counts what is
found once each column is shuffled by itself. What is found in the table as it is, is looked for in one half and counted in the
other: `lasting` are the relations that at most 1 % more of the rows there break, beyond what chance allows.

Tables of businesses (tests/business.py) have relations that are known: `planted` and `false` count what is found of them and
what else. From these `trees` learns as well: `always` is the greatest share of made rows that break what always holds, `nearly`
has the real and the made rate of exceptions of what nearly does. And each relation is broken in one of twenty unseen real rows,
one relation at a time: `judged` counts those of which the finding `rules` says so.

Rows are appended to --out as they come; the table is printed as Markdown.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

import karat
from karat.assays.chance import draw, wilson
from karat.assays.details.rows import Rules
from karat.assays.table import rules
from karat.assays.table.tables import Case
from karat.content.table.mining.discovery import discover
from karat.content.table.mining.judging import Judged
from karat.content.table.mining.relation import Relation
from karat.content.table.rules.expressions import cells_of
from karat.content.table.table import Table
from karat.content.table.tables import Tables
from karat.data import load

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import business

RATES = (0.0, 0.005, 0.02, 0.05)  # of exceptions
FAULTS = 0.05  # of unseen rows that are broken for a judge
ROWS, MADE = 3000, 12_000  # of a table of a business, and made after it
MORE = 0.01  # of unseen rows that may break what lasts, beside as many as of those it was found in
PLANTED = {  # what is found of the columns that are put to a table
    "order": r"^p_low <=? p_high$",
    "sum": r"^(p_sum|p_u|p_v) = ",
    "share": r"^p_share = round\(0\.19 \* p_u, 2\)$",
    "product": r"^p_product = (round\()?(p_count \* p_u|p_u \* p_count)(, 2\))?$",
    "mixture": r"^p_mixture in \(round\(0\.07 \* p_v, 2\), round\(0\.19 \* p_v, 2\)\)$",
    "extreme": r"^p_most = max\(p_w, p_x\)$",
    "dependency": r"^p_key -> p_label$",
    "two columns": r"^(p_key, p_kind|p_kind, p_key) -> p_price$",
}


def forms(n: int, rng: np.random.Generator, rate: float) -> pa.Table:
    """Columns of which each hangs on others in all but so many of the rows."""
    u, v, w, x = (np.round(rng.lognormal(4, 0.8, n), 2) for _ in range(4))
    low, count = rng.integers(0, 1000, n), rng.integers(1, 9, n)
    key, kind = rng.integers(0, max(4, min(12, n // 40)), n), rng.integers(0, 3, n)
    odd = lambda: rng.random(n) < rate  # noqa: E731
    money = lambda y: np.round(np.where(odd(), y + rng.uniform(1, 50, n), y), 2)  # noqa: E731
    other = lambda y: np.where(odd(), rng.permutation(y), y)  # noqa: E731
    columns: dict[str, Any] = {
        "p_u": u,
        "p_v": v,
        "p_w": w,
        "p_x": x,
        "p_low": low,
        "p_high": np.where(odd(), low - rng.integers(1, 300, n), low + rng.integers(0, 300, n)),
        "p_sum": money(u + v),
        "p_share": money(np.round(0.19 * u, 2)),
        "p_count": count,
        "p_product": money(count * u),
        "p_mixture": money(np.round(v * rng.choice([0.07, 0.19], n), 2)),
        "p_most": money(np.maximum(w, x)),
        "p_key": [f"k{i}" for i in key],
        "p_kind": [f"s{i}" for i in kind],
        "p_label": [f"l{i}" for i in other(key // 2)],
        "p_price": other(np.round(rng.uniform(1, 90, (12, 3)), 2)[key, kind]),
    }
    return pa.table({name: pa.array(values) for name, values in columns.items()})


KNOWN = {**business.PLANTED, "forms": (forms, tuple(PLANTED.values()))}


def found(table: Any, seed: int) -> tuple[list[Relation], Table, float]:
    """What is found, the rows that it is found in, and CPU seconds."""
    read = Tables.read(table, {}).records
    begin = time.process_time()
    return discover(read.cells, read.facts.schema, seed), read, time.process_time() - begin


def unknown(path: Path, seed: int) -> dict[str, Any]:
    """The figures of a table in which nobody knows what holds."""
    rng = np.random.default_rng(seed)
    every, rows, seconds = found(path, seed)
    table, order = rows.cells, rng.permutation(len(rows))
    half = rows[np.sort(order[: len(rows) // 2])], rows[np.sort(order[len(rows) // 2 :])]
    first = discover(half[0].cells, rows.facts.schema, seed)
    judged = Judged.fit(first, rows.facts.schema, half[0].cells).broken(cells_of(half[1].cells))
    lasting = [r for r in first if r.text in judged and lasts(r, judged[r.text])]
    shuffled = pa.table({name: table[name].take(pa.array(rng.permutation(len(table)))) for name in table.column_names})
    false = discover(shuffled, rows.facts.schema, seed)
    out = {"rows": len(table), "columns": table.num_columns, "found": len(every), "seconds": seconds}
    out |= {"first": len(first), "lasting": len(lasting), "false": len(false)}
    out["planted"] = {}
    for rate in RATES:
        more = forms(len(table), rng, rate)
        more = pa.table([*more.columns, *table.columns], names=[*more.column_names, *table.column_names])
        texts = [r.text for r in found(more, seed)[0]]
        out["planted"][str(rate)] = [k for k, word in PLANTED.items() if any(re.search(word, t) for t in texts)]
    return out


def lasts(relation: Relation, broken: np.ndarray) -> bool:
    """Whether other rows keep a relation about as well as those that it was found in."""
    low, _ = wilson(int(broken.sum()), len(broken))
    return low <= relation.interval[1] + MORE


def known(name: str, rate: float, seed: int) -> dict[str, Any]:
    """The figures of a table whose relations are known."""
    make, wanted = KNOWN[name]
    table = make(ROWS, np.random.default_rng(seed), rate)
    every, rows, seconds = found(table, seed)
    hit = [word for word in wanted if any(re.search(word, r.text) for r in every)]
    false = [r.text for r in every if not any(re.search(word, r.text) for word in wanted)]
    out = {"rows": len(table), "columns": table.num_columns, "found": len(every), "seconds": seconds}
    out |= {"planted": len(hit), "of": len(wanted), "false": len(false)}
    with tempfile.TemporaryDirectory() as folder:
        pa.csv.write_csv(table, f"{folder}/{name}.csv")
        run = karat.train(f"{folder}/{name}.csv", out=f"{folder}/run", seed=seed, threads=1, set=["data.as=table"])
        made = run.make(MADE, seed=seed + 1)
        codec = Tables.fit(Tables.read(table, {}), np.arange(len(table)))
        cells = codec.conform(Tables.read(made, {}).records).cells
    judged = Judged.fit(every, rows.facts.schema, rows.cells)
    real, made_rates = (
        {k: float(v.mean()) for k, v in judged.broken(cells_of(c)).items()} for c in (rows.cells, cells)
    )
    out["always"] = max((made_rates[r.text] for r in every if r.always), default=0.0)
    out["nearly"] = {r.text: [real[r.text], made_rates[r.text]] for r in every if not r.always}
    return out | judging(table, seed)


def judging(table: pa.Table, seed: int) -> dict[str, Any]:
    """Which relations a judge says are broken, each in one of twenty unseen rows; and whether he says so of rows as they are."""
    data = load(table.to_pandas(), options={"discover": False, "as": "table"}, holdout=0.5, seed=seed)
    records, rng = data.contents.records, np.random.default_rng(seed)
    judge = data.codec.judging(records[data.train])
    train, unseen = (judge.view(records[rows]) for rows in (data.train, data.holdout))
    real = judge.conform(records[data.holdout])
    raised, missed = [], []
    for text in sorted(unseen.found):
        spoilt = broken(judge.judged, text, real, rng)
        if spoilt is None:
            continue
        off = _off(train, unseen, judge.view(Table(spoilt, real.facts)))
        (raised if text in off else missed).append(text)
    return {"judged": len(raised), "unjudged": missed, "accused": sorted(_off(train, unseen, unseen))}


def _off(train: Any, unseen: Any, made: Any) -> set[str]:
    draws = draw(len(unseen), len(made), np.random.default_rng(0), 2000)
    (finding,) = rules.findings(Case(train, unseen, made, draws, draws, None, 0))
    assert isinstance(finding.detail, Rules)
    return {kept.rule for kept in finding.detail.rules if kept.off and finding.raised}


def broken(judged: Judged, text: str, rows: Table, rng: np.random.Generator) -> pa.Table | None:
    """The rows with one column's cells of other rows in one of twenty, so that these break a relation that they kept."""
    before = judged.broken(cells_of(rows.cells))[text]
    for name in rows.cells.column_names:
        mixed = rows.cells[name].combine_chunks().take(pa.array(rng.permutation(len(rows))))
        at = rows.cells.column_names.index(name)
        bad = judged.broken(cells_of(rows.cells.set_column(at, name, mixed)))[text] & ~before
        if bad.sum() >= FAULTS * len(rows):
            some = rng.choice(np.flatnonzero(bad), int(FAULTS * len(rows)), replace=False)
            here = pa.array(np.isin(np.arange(len(rows)), some))
            cells = pa.compute.if_else(here, mixed, rows.cells[name].combine_chunks())
            return rows.cells.set_column(at, name, cells)
    return None


def figures(
    folders: list[Path], names: list[str], seeds: list[int], done: set[tuple[Any, ...]]
) -> Iterator[dict[str, Any]]:
    """A row of figures for each table, seed and rate that are not `done`."""
    for seed in seeds:
        for path in sorted(p for folder in folders for p in folder.glob("*.csv")):
            if (path.stem, seed, None) not in done:
                yield {"table": path.stem, "seed": seed, "rate": None, **unknown(path, seed)}
        for name in names:
            for rate in RATES:
                if (name, seed, rate) not in done:
                    yield {"table": name, "seed": seed, "rate": rate, **known(name, rate, seed)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="*", type=Path, default=[], help="folders of CSV files")
    parser.add_argument("--business", nargs="*", default=list(KNOWN))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    lines = asked.out.read_text(encoding="utf-8").splitlines() if asked.out.exists() else []
    done = {(row["table"], row["seed"], row["rate"]) for row in map(json.loads, lines)}
    with asked.out.open("a", encoding="utf-8") as out:
        for row in figures(asked.tables, asked.business, asked.seeds, done):
            out.write(json.dumps(row) + "\n")
            out.flush()
            print(row, flush=True)


if __name__ == "__main__":
    main()
