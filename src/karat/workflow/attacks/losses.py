"""Attacks on a run of our own by its losses: which records were learned from, with and without shadow models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from rich.console import Console

from karat import synthesizer
from karat.assays import Finding
from karat.assays.evaluation import groups
from karat.assays.leaks import Group, attacked, audited, exposed
from karat.data import Data, batches
from karat.errors import FitError
from karat.families.generator import Fitted, Generator
from karat.privacy import default_delta
from karat.privacy.audit import FEWEST, lower_bound
from karat.recipe import Recipe
from karat.run import Run
from karat.synthesizer import Single, Synthesizer
from karat.training import loop
from karat.worth.ledger import Ledger

MOST = 2000  # records of each side that are attacked
LEARNED = 300  # where each of them takes a pass of a net


def by_loss(data: Data, synth: Synthesizer, seed: int) -> list[Finding]:
    """The attack by loss; none where the family says nothing of single records, as of related tables."""
    if not isinstance(synth, Single) or not synth.model.weighs:
        return []
    sides = _sides(data, synth.model, seed)
    members, others = (-_losses(synth.model, data, rows, seed) for rows in sides)
    return [attacked("loss attack", members, others, groups=_groups(data, *sides))]


def by_shadows(run: Run, data: Data, synth: Synthesizer, count: int, seed: int, console: Console) -> list[Finding]:
    """The attack by `count` shadow models, each trained on a random half of all records as the run was; says before what that
    will cost.

    FitError where several models make a record together, or they say nothing of single records.
    """
    if count < 4:
        raise FitError(f"--shadows {count}: at least 4 are wanted, usually 16.")
    if not isinstance(synth, Single) or not synth.model.weighs:
        raise FitError(
            "--shadows asks a model how well single records fit it, which those of related tables, one for each table, "
            "do not say. Leave it out; what was made is attacked anyway."
        )
    model = synth.model
    console.print(f"--shadows {count}: trains {count} models of half of the records each; {_cost(run, count)} at most.")
    sides = _sides(data, model, seed)
    whole = np.concatenate(sides)
    pool, recipe = np.sort(np.concatenate([data.train, data.holdout])), Recipe.from_dict(run.spec["recipe"])
    shadows, seen = [], []
    for k in range(count):
        rows = pool[np.random.default_rng([seed, k, 16]).permutation(len(pool))[: len(pool) // 2]]
        other = synthesizer.new(data.codec, recipe, data.classes, seed + k)
        assert isinstance(other, Single)
        other.model.to(model.device)
        _teach(other, replace(data, train=np.sort(rows)), run, seed + k, len(data.train))
        shadows.append(_losses(other.model, data, whole, seed))
        seen.append(np.isin(whole, rows))
    scores, hard = exposed(_losses(model, data, whole, seed), np.stack(shadows), np.stack(seen))
    known, n = np.isfinite(scores), len(sides[0])
    ours, theirs = known[:n], known[n:]
    some = [replace(g, members=g.members[ours], others=g.others[theirs]) for g in _groups(data, *sides)]
    parts = [x for side, at in ((slice(n), ours), (slice(n, None), theirs)) for x in (scores[side][at], hard[side][at])]
    return [attacked("shadow attack", parts[0], parts[2], (parts[1], parts[3]), some, count)]


def _teach(synth: Single, half: Data, run: Run, seed: int, whole: int) -> None:
    """Learns `half` as the run learned `whole` records: by gradient, each record is seen as often."""
    model = synth.gradient
    if model is None:
        for _ in synth.fit(half, seed, None):
            pass
        return
    seen = max(1, round(run.spec["trained_samples"] * len(half.train) / whole))
    average = Recipe.from_dict(run.spec["recipe"]).train.average
    plan = loop.Plan(samples=seen, batch=run.spec["batch"], average=average, seed=seed)
    for _ in loop.train(model, batches(half, plan.batch, seed, model.device, model.space), plan, loop.State()):
        pass
    model.eval()


def by_canaries(run: Run, data: Data, synth: Synthesizer, count: int, seed: int, console: Console) -> list[Finding]:
    """The least epsilon that a fit like the run's has, by `count` rows of chance of which a random half is learned from besides.

    FitError for a recipe that learns by gradient, for fewer than `privacy.audit.FEWEST` of them, and for what is no table.
    """
    if not isinstance(synth, Single) or not isinstance(synth.model, Fitted) or not synth.model.weighs:
        raise FitError(
            "--canaries bounds the epsilon of recipes that are fitted at once (marginals, trees, cart); one that learns by "
            "gradient promises none, and --shadows 16 attacks it more strongly. Leave it out."
        )
    model = synth.model
    sizes: tuple[int, ...] | None = getattr(model.space, "sizes", None)  # of the codes of a table's columns
    if sizes is None or count < FEWEST:
        raise FitError(f"--canaries {count}: at least {FEWEST} are wanted, usually 500, and of a table.")
    console.print(f"--canaries {count}: trains the recipe once more; {_cost(run, 1)}.")
    rng = np.random.default_rng([seed, 31])
    planted = torch.from_numpy(np.stack([rng.integers(k, size=count) for k in sizes], 1))
    kinds = torch.from_numpy(rng.integers(len(data.classes), size=count)) if data.classes else None
    included = rng.random(count) < 0.5
    points, labels = data.points("train", None, seed, model.space), data.labels("train", None, seed)
    chosen = torch.from_numpy(np.flatnonzero(included))
    other = synthesizer.new(data.codec, Recipe.from_dict(run.spec["recipe"]), data.classes, seed)
    assert isinstance(other, Single) and isinstance(other.model, Fitted)
    y = None if labels is None or kinds is None else torch.cat([labels, kinds[chosen]])
    for _ in other.model.fit(torch.cat([points, planted[chosen]]), y, seed, None):
        pass
    # what the run, which saw none of them, finds hard of itself says nothing
    better = (model.losses(planted, kinds, seed) - other.model.losses(planted, kinds, seed)).numpy()
    delta = default_delta(len(points) + len(chosen))
    return [audited(lower_bound(included, better, delta), run.spec.get("epsilon"), delta, count)]


def _cost(run: Run, times: int) -> str:
    """How long so many trainings take, in words."""
    took = [e.cpu_seconds for e in Ledger(run.path / "ledger.jsonl").entries() if e.verb == "train"]
    return f"about {times * took[-1]:,.0f} CPU s" if took else "as long as so many trainings"


def _sides(data: Data, model: Generator, seed: int) -> tuple[np.ndarray, np.ndarray]:
    most = MOST if isinstance(model, Fitted) else LEARNED
    return data.rows("train", most, seed), data.rows("holdout", most, seed)


def _losses(model: Generator, data: Data, rows: np.ndarray, seed: int) -> np.ndarray:
    labels = None if data.contents.labels is None else torch.from_numpy(data.contents.labels[rows])
    points = data.codec.encode(data.contents.records[rows], model.space)
    return np.asarray(model.losses(points, labels, seed).numpy(), np.float64)


def _groups(data: Data, members: np.ndarray, others: np.ndarray) -> list[Group]:
    views = [data.codec.view(data.contents.records[rows]).known(data.known(rows)) for rows in (members, others)]
    return groups(views[0], views[1], data.target)
