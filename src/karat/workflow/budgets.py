"""What a training may take: the plan for a budget, and what a killed process had used of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from karat.errors import FitError
from karat.recipe import Recipe
from karat.run import Run
from karat.training import loop as training
from karat.worth.ledger import Entry, Ledger


def with_budget(
    recipe: Recipe, minutes: float | None, steps: int | None, samples: int | None, seed: int
) -> training.Plan:
    """The recipe's plan with the budget that was asked for, or its own."""
    own = recipe.train
    if minutes is None and steps is None and samples is None:
        minutes = own.minutes
    if own.precision not in ("auto", "quick", *training.PRECISIONS):
        raise FitError(f"train.precision={own.precision!r}: there are auto, quick, {', '.join(training.PRECISIONS)}.")
    if own.clock not in ("wall", "cpu"):
        raise FitError(f"train.clock={own.clock!r}: there are wall and cpu.")
    plan = training.Plan(minutes, steps, samples, own.batch, own.average, seed)
    return replace(plan, clock="cpu" if own.clock == "cpu" else "wall")


def book_lost_time(run: Run, seconds: float) -> None:
    """Enters what a killed process had computed by its last save, which its own ledger entry never told."""
    ledger = Ledger(run.path / "ledger.jsonl")
    lost = seconds - sum(e.wall_seconds for e in ledger.entries() if e.verb == "train")
    if lost > 1:
        device = str(run.spec.get("device", "cpu"))
        on_gpu = lost if device in ("cuda", "mps") else 0.0
        started = datetime.now(UTC).isoformat(timespec="seconds")
        note = "killed; counted up to its last save, on one core"
        ledger.append(Entry("train", started, "failed", lost, lost, on_gpu, device=device, note=note))
