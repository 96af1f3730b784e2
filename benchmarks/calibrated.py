"""The judge on five sets of real data: reports that accuse real records, and planted faults that are found.

    python benchmarks/calibrated.py --sizes 50 200 1000 --seeds 40 --only oracle --out exams.jsonl
    python benchmarks/calibrated.py --sizes 1000 --seeds 20 --usual --out exams.jsonl

MNIST, Adult, tinyshakespeare and spoken digits of $KARAT_DATA and a shop of related tables that is made here. Each seed parts
the records anew; as many are unseen as are made, and four times as many are learned from, where there are so many. Exams are
appended to --out, seed by seed, and those that are there are not done again; then the tables of all that are there are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from karat.assays.chance import exact
from karat.assays.references.calibration import FINE, Exam
from karat.data import Data, load
from karat.training import pace
from karat.workflow.calibrating import exams

Row = dict[str, Any]
MANY = 4_000  # records made, from which on data are read that have so many


@dataclass(frozen=True)
class Source:
    """Data below $KARAT_DATA, how they are read, and how where thousands of records are made of them."""

    path: str
    options: dict[str, Any]
    holdout: str = "0.5"
    many: dict[str, Any] | None = None
    many_holdout: str = "last:0.65"  # a share alone sets 10,000 aside at most

    def read(self, size: int) -> Data:
        large = size >= MANY and self.many is not None
        path = Path(os.environ["KARAT_DATA"]) / self.path
        options, holdout = (self.many, self.many_holdout) if large else (self.options, self.holdout)
        return load(path, options=options, holdout=holdout)


def shop(size: int) -> Data:
    """Customers, orders, items, payments and tickets, of whom one customer is a record (`tests/shops.py`)."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import shops

    with tempfile.TemporaryDirectory() as place:
        made = shops.shop(max(1_500, 3 * size), np.random.default_rng(7), 0.01)
        return load(shops.written(made, Path(place) / "shop"), holdout="0.7")


SETS: dict[str, Callable[[int], Data]] = {
    "MNIST": Source("images/mnist", {}, "last:0.5").read,
    "Adult": Source("tables/adult-train.csv", {"target": "income"}, "0.65", many={"target": "income"}).read,
    "tinyshakespeare": Source(
        "text/tinyshakespeare.txt", {"length": 200}, many={"length": 40}, many_holdout="last:0.8"
    ).read,
    "spoken digits": Source("audio/fsdd", {"labels": "{label}_{speaker}_{n}"}, "0.67").read,
    "shop": shop,
}


def told(name: str, size: int, exam: Exam) -> Row:
    """An exam as a line of the file: what each finding of its plant said, and what else was raised, with its sentence."""
    plant = exam.plant
    return {
        "set": name,
        "size": size,
        "seed": exam.seed,
        "reference": plant.reference,
        "fault": plant.phrase,
        "due": plant.due,
        "made": exam.made,
        "states": {key: exam.state(key) for key in plant.findings},
        "raised": {f.name: str(f.summary) for f in exam.findings if f.raised},
        "able": sum(f.state != "cannot tell" for f in exam.findings) / max(1, len(exam.findings)),
        "seconds": round(exam.seconds, 2),
        "processor": pace.processor(),
    }


def rows_of(name: str, size: int, seeds: Sequence[int], names: list[str] | None, graded: bool) -> Iterator[list[Row]]:
    """The exams of each seed."""
    data = SETS[name](size)
    for seed in seeds:
        sizes = {"train": 4 * size, "unseen": size, "made": size}
        yield [told(name, size, exam) for exam in exams(data, [seed], **sizes, names=names, graded=graded)]


def alarms(rows: Sequence[Row]) -> Iterator[str]:
    """By size and set, the reports on real records in which anything was raised, of how many."""
    fine = [r for r in rows if r["reference"] == "oracle"]
    names = list(dict.fromkeys(r["set"] for r in fine))
    yield f"| made | {' | '.join(names)} | all | exact 95% interval | raised |"
    yield "|---" * (len(names) + 4) + "|"
    for size in sorted({r["size"] for r in fine}):
        some = [r for r in fine if r["size"] == size]
        cells = []
        for name in names:
            mine = [r for r in some if r["set"] == name]
            less = f" ({mine[0]['made']:,} made)" if mine and mine[0]["made"] < size else ""
            cells.append(f"{sum(bool(r['raised']) for r in mine)}/{len(mine)}{less}" if mine else "")
        wrong = sum(bool(r["raised"]) for r in some)
        low, high = exact(wrong, len(some))
        which = Counter(f"{r['set']}: {name}" for r in some for name in r["raised"])
        said = ", ".join(f"{name} {n}" for name, n in which.most_common())
        yield f"| {size:,} | {' | '.join(cells)} | {wrong}/{len(some)} | {low:.3f} to {high:.3f} | {said} |"


def found(rows: Sequence[Row]) -> Iterator[str]:
    """Of each fault that has to be seen: in how many exams each of its findings was raised, could not tell, and read ok."""
    yield "| data | made | planted | finding | found | 95% interval | cannot tell | reads ok |"
    yield "|---" * 8 + "|"
    due = [r for r in rows if r["due"] and r["reference"] not in FINE]
    for name, size, reference, fault in dict.fromkeys((r["set"], r["size"], r["reference"], r["fault"]) for r in due):
        mine = [r for r in due if (r["set"], r["size"], r["reference"], r["fault"]) == (name, size, reference, fault)]
        for key in dict.fromkeys(key for r in mine for key in r["states"]):
            states = Counter(r["states"].get(key, "cannot tell") for r in mine)
            low, high = exact(states["raised"], len(mine))
            planted = f"{reference}: {fault}" if fault else reference
            cells = (name, f"{size:,}", planted, key, f"{states['raised']}/{len(mine)}", f"{low:.2f} to {high:.2f}")
            yield f"| {' | '.join(cells)} | {states['cannot tell'] or ''} | {states['ok'] or ''} |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 200, 1000], help="records made")
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", nargs="+", help="reference generators, by name")
    parser.add_argument("--usual", action="store_true", help="each reference at its usual strength alone")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="of CPU, after which no seed is begun")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, an exam each")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.exists() else []
    asked = ",".join(args.only or ["all"]) + ("" if args.usual else ", graded")
    known = {(r["set"], r["size"], r["seed"], r["asked"]) for r in rows}
    for size in args.sizes:
        for name in args.sets:
            seeds = [s for s in range(args.first, args.first + args.seeds) if (name, size, s, asked) not in known]
            for done in rows_of(name, size, seeds, args.only, not args.usual) if seeds else ():
                rows += [row | {"asked": asked} for row in done]
                with args.out.open("a") as file:
                    file.writelines(json.dumps(row | {"asked": asked}) + "\n" for row in done)
                wrong = {r["reference"]: r["raised"] for r in done if r["reference"] in FINE and r["raised"]}
                missed = {(r["reference"], k) for r in done for k, state in r["states"].items() if state == "ok"}
                spent = sum(r["seconds"] for r in done)
                print(
                    f"{name} {size} seed {done[0]['seed']}: {wrong} {missed}, {spent:.0f} CPU s",
                    file=sys.stderr,
                    flush=True,
                )
                if time.process_time() > 60 * args.minutes:
                    break
    print(f"{', '.join(sorted({r['processor'] for r in rows}))}; {sum(r['seconds'] for r in rows) / 60:,.0f} CPU min\n")
    print("\n".join([*alarms(rows), "", *found(rows)]))


if __name__ == "__main__":
    main()
