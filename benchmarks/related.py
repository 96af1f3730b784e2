"""What related tables are worth: whether a made child with its parent is told from a real one, and what holds between them.

    python benchmarks/related.py shop/ flights/ --seeds 0 1 2 --out related.jsonl

A folder is a database. A seed splits its records, three of ten unseen; the recipe learns the others and makes as many records
as there are unseen ones, drawn together as `karat make` draws them, and drawn independently. For each relation that makes its
children it prints the area under the curve of the two-sample test over joined rows (the child's columns, its parent's, its
place and how many siblings it has; one child of each parent) beside that of unseen rows against training rows, and the shares of
made and real rows that break what holds across tables. `--planted N` adds a shop of N customers with known rules.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from karat import recipe as recipes
from karat.assays.relational.case import Case
from karat.assays.relational.relating import findings
from karat.content import Related
from karat.content.codec import Codec
from karat.data import load
from karat.request import Request
from karat.synthesizer import new

KEYS = ("parent-child auc", "cardinality", "cardinality pairs", "parent-child pairs", "dangling keys")


def measured(
    folder: Path, seed: int, settings: list[str], name: str, independent: bool, discover: bool
) -> dict[str, Any]:
    """The figures of one database and one seed."""
    data = load(folder, holdout=0.3, seed=seed, options={"discover": discover})
    assert isinstance(data.codec, Related), f"{folder} holds no related tables"
    recipe = recipes.load(name, settings, spaces=data.codec.spaces)
    began = time.process_time()
    model = new(data.codec, recipe, (), seed)
    for _ in model.fit(data, seed, None):
        pass
    fitted = time.process_time() - began
    records = data.contents.records
    n = data.codec.count(records[data.holdout])
    made = model.draw(Request(n, seed + 1, independent=independent)).records
    codec: Codec = data.codec.judging(records[data.train])
    assert isinstance(codec, Related)
    sides = codec.view(records, data.train), codec.view(records, data.holdout), codec.view(made)
    told: dict[str, Any] = {"fit": round(fitted, 1), "make": round(time.process_time() - began - fitted, 1)}
    for i in range(len(sides[2].ties)):
        for f in findings(Case(*sides, i, seed)):
            if f.key in KEYS:
                told[f"{f.of}: {f.key}"] = [round(f.value, 3), round(f.real, 3), bool(f.raised)]
                if f.key == "parent-child auc" and f.raised:
                    told[f"{f.of}: by"] = f.summary.partition("Given away most by ")[2]
    for one in codec.across:
        told[one.text] = [round(float(v.tables[one.table].broken[one.text].mean()), 4) for v in (sides[2], sides[1])]
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recipe", default="trees")
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--planted", type=int, default=0)
    parser.add_argument("--independent", action="store_true")
    parser.add_argument("--no-discover", dest="discover", action="store_false")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folders = list(asked.folders)
        if asked.planted:
            sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
            import shops

            rng = np.random.default_rng(7)
            folders.append(shops.written(shops.shop(asked.planted, rng, 0.01), Path(place) / "shop"))
        for folder in folders:
            every = [
                measured(folder, s, asked.set, asked.recipe, asked.independent, asked.discover) for s in asked.seeds
            ]
            for key in dict.fromkeys(k for one in every for k in one):
                print(f"{folder.name}  {key}  " + "  ".join(str(one.get(key, "")) for one in every))
            if asked.out is not None:
                with asked.out.open("a", encoding="utf-8") as file:
                    rows = (
                        {"database": folder.name, "seed": s, **one} for s, one in zip(asked.seeds, every, strict=True)
                    )
                    file.writelines(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    main()
