"""Runs one peer once in its own environment and prints CPU seconds of fitting and of making as one line of JSON.

Each peer is a file beside this one that hands `drive` two functions; imports are done by then and are not counted.
Neither is the search for the number of epochs that a budget pays for: one and three epochs on at most 20,000 rows are
timed, and the cost of an epoch and of what comes before the first one are taken to grow with the rows.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import random
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

PROBE_ROWS = 20_000

Fit = Callable[[pd.DataFrame, int, int | None], Any]  # table, seed, epochs (None: the peer's own default) -> model
Make = Callable[[Any, int], pd.DataFrame]


def cpu() -> float:
    """CPU seconds of this process and of its finished children so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def peak() -> float:
    """Largest resident set of this program in MB; the kernel starts this count anew with each program."""
    status = Path("/proc/self/status").read_text()
    own = int(status.split("VmHWM:")[1].split()[0]) / 1024
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)


def seeded(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)
    torch.manual_seed(seed)


def text_columns(table: pd.DataFrame) -> list[str]:
    """The columns that are not numbers."""
    return [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]


def probed(fit: Fit, table: pd.DataFrame, seed: int) -> tuple[float, float]:
    """CPU seconds before the first epoch, and of one epoch, on the whole table."""
    part = table.sample(min(len(table), PROBE_ROWS), random_state=seed).reset_index(drop=True)
    spent = []
    for epochs in (1, 1, 3):  # the first warms up
        spent.append(timed(fit, part, seed, epochs)[1])
    scale = len(table) / len(part)
    epoch = max(spent[2] - spent[1], 1e-6) / 2
    return max(spent[1] - epoch, 0.0) * scale, epoch * scale


def timed(fit: Fit, table: pd.DataFrame, seed: int, epochs: int | None) -> tuple[Any, float]:
    """The model, and the CPU seconds it took."""
    seeded(seed)
    began = cpu()
    model = fit(table, seed, epochs)
    return model, cpu() - began


def drive(package: str, fit: Fit, make: Make, default_epochs: int | None) -> None:
    """Fits and makes as the command line says. A peer without epochs gives None for them and knows no budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, help="Parquet")
    parser.add_argument("--out", help="the made table as Parquet")
    parser.add_argument("-n", type=int, default=0, help="rows to make")
    parser.add_argument("--long", type=int, default=0, help="rows of a second making, for the speed; not written")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, help="CPU seconds to fit for; without it the peer's defaults")
    parser.add_argument("--limit", type=float, help="do not begin a default fit that would take more CPU seconds")
    args = parser.parse_args()
    table = pd.read_parquet(args.train)
    answer: dict[str, Any] = {"version": importlib.metadata.version(package), "epochs": default_epochs}
    epochs, start, aside = None, 0.0, cpu()
    if default_epochs is not None and (args.seconds is not None or args.limit is not None):
        start, epoch = probed(fit, table, args.seed)
        answer |= {"probed_start": start, "probed_epoch": epoch}
        if args.seconds is not None:
            epochs = answer["epochs"] = max(1, int((args.seconds - start) / epoch))
        elif (foreseen := start + default_epochs * epoch) > args.limit:
            print(json.dumps(answer | {"foreseen": foreseen}))
            return
    answer["aside"] = cpu() - aside  # spent on finding the epochs, not on the job
    model, answer["fit"] = timed(fit, table, args.seed, epochs)
    if args.seconds is not None and epochs is not None and answer["fit"] < 0.8 * args.seconds:
        # The probe was dear: a busy machine inflates CPU seconds too. Once more, by what the fit itself took.
        more = int((args.seconds - start) / max((answer["fit"] - start) / epochs, 1e-6))
        if more > epochs:
            epochs = answer["epochs"] = more
            answer["aside"] += answer["fit"]
            model, answer["fit"] = timed(fit, table, args.seed, epochs)
    answer["fit_peak"] = peak()
    began = cpu()
    made = make(model, args.n)
    answer["make"] = cpu() - began
    answer["peak"] = peak()
    answer["rows"] = len(made)
    made.to_parquet(args.out, index=False)
    if args.long > args.n:
        began = cpu()
        make(model, args.long)
        answer["long"] = cpu() - began
        answer["aside"] += answer["long"]
    print(json.dumps(answer))
