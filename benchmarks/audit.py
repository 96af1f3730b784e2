"""Audits the private fit on Adult: random canaries in one fit, and the epsilon that they prove.

    python benchmarks/audit.py --table $KARAT_DATA/tables/adult-train.csv [--epsilon 1] [--canaries 1000] [--seeds 3]

Prints, for each seed, the lower bound at 95% confidence of an honest fit (it must be below --epsilon) and of one whose
accountant is broken, drawing a twentieth of the noise it says (it must be above). Ends with exit code 1 where not.

A canary has a code of its own in every column, so its presence moves one released count in each; whoever attacks adds them
up, each weighed by its noise. Stronger than any real row, as an audit of the accounting should be.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import pyarrow.compute as pc
import pyarrow.csv
import torch
from torch import Tensor

from karat.families.marginals import Config, Model
from karat.privacy import Budget, Source, default_delta
from karat.privacy.audit import lower_bound
from karat.space import Codes
from karat.training import pace

BROKEN = 0.05


def rows_of(path: str) -> tuple[Tensor, Codes]:
    """Every column by the rank of its values; whole numbers of more than 64 in 64 equal widths."""
    table = pyarrow.csv.read_csv(path)
    codes, sizes, ordered = [], [], []
    for column in table.columns:
        values = column.to_numpy()
        kinds = np.unique(values)
        number = pyarrow.types.is_integer(column.type)
        if number and len(kinds) > 64:
            low, high = pc.min_max(column).as_py().values()
            values = (values - low) * 64 // (high - low + 1)
            kinds = np.arange(64)
        codes.append(np.searchsorted(kinds, values))
        sizes.append(len(kinds))
        ordered.append(number)
    return torch.from_numpy(np.stack(codes, 1).astype(np.int64)), Codes(tuple(sizes), tuple(ordered))


def audit(rows: Tensor, space: Codes, epsilon: float, canaries: int, seed: int, noise_scale: float) -> float:
    """The epsilon proved against one fit of `rows` [n, columns] and a random half of the canaries."""
    included = np.random.default_rng(seed).random(canaries) < 0.5
    sizes = torch.tensor(space.sizes)
    planted = sizes[None] + torch.arange(canaries)[:, None]
    wider = Codes(tuple(k + canaries for k in space.sizes), space.ordered)
    points = torch.cat([rows, planted[torch.from_numpy(included)]])
    delta = default_delta(len(points))
    model = Model(wider, 0, Config(epsilon=epsilon, delta=delta, noise="seeded"))
    budget = Budget.of(epsilon, delta, noise_scale=noise_scale).part(model.config.share)
    for _ in model.learn(points, None, budget, Source(seed), seed):
        pass
    released = model.weights()
    scores = sum(released[f"noisy.{j}"][k:].double().numpy() for j, k in enumerate(space.sizes))
    return lower_bound(included, np.asarray(scores), delta)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", required=True)
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--canaries", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    print(f"processor: {pace.processor()}", flush=True)
    torch.set_num_threads(1)
    rows, space = rows_of(asked.table)
    passed = True
    print("| seed | promised | honest fit proves | broken accountant proves |\n|---|---|---|---|")
    for seed in range(asked.seeds):
        honest, broken = (audit(rows, space, asked.epsilon, asked.canaries, seed, s) for s in (1.0, BROKEN))
        passed &= honest < asked.epsilon < broken
        print(f"| {seed} | {asked.epsilon:g} | {honest:.2f} | {broken:.2f} |", flush=True)
    sys.exit(not passed)


if __name__ == "__main__":
    main()
