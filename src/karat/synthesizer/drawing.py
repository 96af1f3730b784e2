"""Points of a model as they were asked for: together, or independent of each other.

Together they keep to what was learned as a whole, each by itself comes as it would alone, and their order is random, so that
the first of them are a fair sample of all. Trees and nets over codes draw so by themselves (`karat.stats.stratified`). Of other
models of tables several candidates for each row are drawn, moved by the kernel and halved, always keeping one of two, until one
is left. Pictures, sounds and texts are always independent.

Where a row is to be picked from several draws of all rows, those of one place are alike, so that what keeps the rows of each
draw together keeps together what is picked.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from karat.content.codec import Codec
from karat.content.roles import Conditioning
from karat.content.table.tables import Tables
from karat.families.generator import Generator, Start, Stratified
from karat.request import Pick
from karat.stats.stratified import alike, balanced, coarse
from karat.synthesizer.widening import alone, drawn, table_of


def points(
    model: Generator,
    codec: Codec,
    n: int,
    y: Tensor | None,
    rng: torch.Generator,
    chance: np.random.Generator,
    independent: bool,
    pick: Pick | None = None,
    start: Start | None = None,
) -> Tensor:
    """`n` points on the CPU as the kernel moves them, of classes `y` [n] where given.   start: as of `Request`."""
    if pick is not None:
        draws = [points(model, codec, n, y, rng, chance, independent) for _ in range(pick.draws)]
        return _picked(draws, codec, model, chance, pick, sort=y is None and not independent)
    there = None if y is None else y.to(model.device)
    if start is not None:
        return model.started(n, there, rng, start).cpu()

    def once() -> Tensor:
        return drawn(model, codec, model.sample(n, there, rng).cpu(), chance)

    if independent:
        return drawn(model, codec, alone(model, n, there, rng).cpu(), chance)
    table = _open(model, codec)
    if table is None:
        return once()
    kept = _chosen([once() for _ in range(times(model, codec, independent))], table, model, chance)
    return kept if y is not None else kept[torch.from_numpy(chance.permutation(n))]


def times(model: Generator, codec: Codec, independent: bool) -> int:
    """How often `points` has the model draw all rows, of which one of each is taken."""
    return 1 if independent or _open(model, codec) is None else _candidates(model)


def completed(
    model: Generator,
    codec: Codec,
    asked: Conditioning,
    rng: torch.Generator,
    chance: np.random.Generator,
    independent: bool,
    at_once: int,
    pick: Pick | None = None,
) -> Tensor:
    """Points on the CPU around the cells that are `asked` for, row by row.   at_once: rows of one draw."""
    if pick is not None:
        draws = [completed(model, codec, asked, rng, chance, independent, at_once) for _ in range(pick.draws)]
        return _picked(draws, codec, model, chance, pick, sort=False)

    def around(given: Tensor) -> Tensor:
        return _around(model, codec, given, rng, chance, independent, at_once)

    return asked.drawn(around, chance)


def _around(
    model: Generator,
    codec: Codec,
    given: Tensor,
    rng: torch.Generator,
    chance: np.random.Generator,
    independent: bool,
    at_once: int,
) -> Tensor:
    """Points on the CPU around the codes of `given` [n, columns] that are at least 0."""
    parts = given.to(model.device).split(at_once)

    def once() -> Tensor:
        if independent and isinstance(model, Stratified):
            made = [model.impute(part, rng, independent=True) for part in parts]
        else:
            made = [model.impute(part, rng) for part in parts]
        return drawn(model, codec, torch.cat(made).cpu(), chance, given)

    table = None if independent else _open(model, codec)
    if table is None:
        return once()
    return _chosen([once() for _ in range(_candidates(model))], table, model, chance)


def _open(model: Generator, codec: Codec) -> Tables | None:
    """The codec of a table whose rows are still to be chosen so that they keep together."""
    table = None if isinstance(model, Stratified) else table_of(codec)
    return table if table is not None and table.layout.coded else None


def _candidates(model: Generator) -> int:
    """For each row; fewer where one takes many passes through a net."""
    return 4 if model.passes == 1 else 2


def _chosen(candidates: list[Tensor], codec: Tables, model: Generator, chance: np.random.Generator) -> Tensor:
    """One of the candidates [n, ...] of each row."""
    n = len(candidates[0])
    cells = codec.cells(torch.cat(candidates), model.space)
    binned = np.split(coarse(cells, np.array(codec.spaces[0].ordered)), len(candidates))
    while len(candidates) > 1:
        left, few = [], []
        for k in range(0, len(candidates), 2):
            keep = balanced(binned[k], binned[k + 1], chance)
            some = torch.from_numpy(keep).reshape(n, *[1] * (candidates[k].dim() - 1))
            left.append(torch.where(some, candidates[k], candidates[k + 1]))
            few.append(np.where(keep[:, None], binned[k], binned[k + 1]))
        candidates, binned = left, few
    return candidates[0]


def _picked(
    draws: list[Tensor], codec: Codec, model: Generator, chance: np.random.Generator, pick: Pick, sort: bool
) -> Tensor:
    """Of each row that of the draws [n, ...] whose score is highest.   sort: rows that are alike are brought to one place."""
    table = table_of(codec)
    assert table is not None, "only of one table"
    cells = [table.cells(draw, model.space) for draw in draws]
    if sort:
        places = side_by_side(cells, [np.arange(len(one)) for one in cells], np.array(table.spaces[0].ordered), chance)
        draws = [draw[torch.from_numpy(place)] for draw, place in zip(draws, places, strict=True)]
        cells = [one[place] for one, place in zip(cells, places, strict=True)]
    best = np.stack([pick.score(one.astype(np.int64), chance) for one in cells]).argmax(0)
    return torch.stack(draws)[torch.from_numpy(best), torch.arange(len(best))]


def side_by_side(
    cells: list[np.ndarray], rows: list[np.ndarray], ordered: np.ndarray, chance: np.random.Generator
) -> list[np.ndarray]:
    """The `rows` [n, ...] of each of several draws, whose `cells` [n, columns] are alike in one and the same place."""
    seed = int(chance.integers(1 << 62))
    binned = np.split(coarse(np.concatenate(cells), ordered), len(cells))
    places = [alike(one, np.random.default_rng(seed)) for one in binned]
    shuffled = chance.permutation(len(cells[0]))
    return [one[place[shuffled]] for one, place in zip(rows, places, strict=True)]
