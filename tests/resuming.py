"""Trainings that are stopped half-way: run as a script, it takes each to its stop and saves a checkpoint of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from small import LEAST, points, serving

from karat.events import Progress
from karat.families.generator import Batches, Learned
from karat.recipe import Recipe, Training
from karat.space import Grid
from karat.synthesizer import building
from karat.training.loop import PRECISIONS, Plan, Precision, State, train
from karat.workflow import checkpoints

SPACE, STEPS, SIZE = Grid(2, (8, 8)), 12, 16
FAMILIES: dict[str, tuple[str, dict[str, Any], int, tuple[int, ...]]] = {  # family, settings, classes, stops
    "gan": ("gan", {"critics": 2, "every": 3, "cells": 4, "augment": 0.5}, 0, (5,)),
    "gan, classes, r1r2": ("gan", {"conditional": True, "penalty": "r1r2", "loss": "relativistic"}, 3, (7,)),
    "vae": ("vae", {}, 3, (5,)),
    "vae, critic": ("vae", {"critic": 0.5, "critic_width": 4}, 3, (4, 9)),
    "diffusion": ("diffusion", {"cells": 3}, 0, (5,)),
    "diffusion in latents": ("diffusion", {"latent": True, "share": 0.5, "vae": LEAST["vae"]}, 3, (4, 6, 9)),
}
CASES = [
    (name, precision, stop) for name, (*_, stops) in FAMILIES.items() for precision in PRECISIONS for stop in stops
]
# Every stop in fp32 and every precision with one family at one stop; the others belong to the exam.
SOON = [
    (name, precision, stop)
    for name, precision, stop in CASES
    if precision == "fp32" or (name, stop) == ("vae, critic", 9)
]


def begin(name: str) -> tuple[Learned, Batches]:
    family, settings, classes, _ = FAMILIES[name]
    x, y = points(SPACE, 96)
    least = {**LEAST[family], **settings}
    model = building.build(Recipe(family, family, "", least, Training()), SPACE, classes, seed=0)
    return model, serving(x, y if classes else None, SIZE)


def go(model: Learned, batch: Batches, precision: Precision, state: State) -> Iterator[Progress]:
    return train(model, batch, Plan(steps=STEPS, batch=SIZE, seed=3, precision=precision), state)


def file_of(folder: Path, name: str, precision: str, stop: int) -> Path:
    return folder / f"{name.replace(' ', '_').replace(',', '')}-{precision}-{stop}.safetensors"


def leave(folder: Path, cases: list[tuple[str, Precision, int]]) -> None:
    """A checkpoint of each case in `folder`, where there is none yet."""
    for name, precision, stop in cases:
        if file_of(folder, name, precision, stop).exists():
            continue
        model, batch = begin(name)
        state = State()
        for progress in go(model, batch, precision, state):
            if progress.step == stop:
                break
        file_of(folder, name, precision, stop).write_bytes(checkpoints.checkpoint(model, state))


if __name__ == "__main__":
    torch.set_num_threads(1)
    leave(Path(sys.argv[1]), CASES if sys.argv[2:] == ["all"] else SOON)
