"""Attacks on a run of our own by its losses: which records were learned from, with and without shadow models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from rich.console import Console

from karat import synthesizer
from karat.assays import Finding
from karat.assays.evaluation import groups
from karat.assays.leaks import Group, attacked, exposed
from karat.data import Data
from karat.errors import FitError
from karat.families.generator import Fitted, Generator
from karat.recipe import Recipe
from karat.run import Run
from karat.synthesizer import Single, Synthesizer
from karat.worth.ledger import Ledger

MOST = 2000  # records of each side that are attacked
LEARNED = 300  # where each of them takes a pass of a net


def by_loss(data: Data, synth: Synthesizer, seed: int) -> list[Finding]:
    """The attack by loss; none where the family says nothing of single records, as of related tables."""
    if not isinstance(synth, Single) or not synth.model.weighs:
        return []
    sides = _sides(data, MOST if isinstance(synth.model, Fitted) else LEARNED, seed)
    members, others = (-_losses(synth.model, data, rows, seed) for rows in sides)
    return [attacked("loss attack", members, others, groups=_groups(data, *sides))]


def by_shadows(run: Run, data: Data, synth: Synthesizer, count: int, seed: int, console: Console) -> list[Finding]:
    """The attack by `count` shadow models, each trained on a random half of all records; says before what that will cost.

    FitError where a model takes a budget of its own to learn, or says nothing of single records.
    """
    if count < 4:
        raise FitError(f"--shadows {count}: at least 4 are wanted, usually 16.")
    if not isinstance(synth, Single) or not isinstance(synth.model, Fitted) or not synth.model.weighs:
        raise FitError(
            "--shadows trains the recipe again many times, which is for those that are fitted in seconds and say how well a "
            "record fits: trees, cart, marginals, ngram. Leave it out."
        )
    took = [e.cpu_seconds for e in Ledger(run.path / "ledger.jsonl").entries() if e.verb == "train"]
    cost = f"about {count * took[-1]:,.0f} CPU s" if took else "as long as so many trainings"
    console.print(f"--shadows {count}: trains {count} models of half of the records each; {cost} at most.")
    sides = _sides(data, MOST, seed)
    whole = np.concatenate(sides)
    pool, recipe = np.sort(np.concatenate([data.train, data.holdout])), Recipe.from_dict(run.spec["recipe"])
    shadows, seen = [], []
    for k in range(count):
        rows = pool[np.random.default_rng([seed, k, 16]).permutation(len(pool))[: len(pool) // 2]]
        half = replace(data, train=np.sort(rows))
        other = synthesizer.new(data.codec, recipe, data.classes, seed + k)
        assert isinstance(other, Single)
        for _ in other.fit(half, seed + k, None):
            pass
        shadows.append(_losses(other.model, data, whole, seed))
        seen.append(np.isin(whole, rows))
    scores, hard = exposed(_losses(synth.model, data, whole, seed), np.stack(shadows), np.stack(seen))
    known, n = np.isfinite(scores), len(sides[0])
    ours, theirs = known[:n], known[n:]
    some = [replace(g, members=g.members[ours], others=g.others[theirs]) for g in _groups(data, *sides)]
    parts = [x for side, at in ((slice(n), ours), (slice(n, None), theirs)) for x in (scores[side][at], hard[side][at])]
    return [attacked("shadow attack", parts[0], parts[2], (parts[1], parts[3]), some, count)]


def _sides(data: Data, most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    return data.rows("train", most, seed), data.rows("holdout", most, seed)


def _losses(model: Generator, data: Data, rows: np.ndarray, seed: int) -> np.ndarray:
    labels = None if data.contents.labels is None else torch.from_numpy(data.contents.labels[rows])
    points = data.codec.encode(data.contents.records[rows], model.space)
    return np.asarray(model.losses(points, labels, seed).numpy(), np.float64)


def _groups(data: Data, members: np.ndarray, others: np.ndarray) -> list[Group]:
    views = [data.codec.view(data.contents.records[rows]).known(data.known(rows)) for rows in (members, others)]
    return groups(views[0], views[1], data.target)
