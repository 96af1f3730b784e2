"""What every recipe of tables makes is drawn through one kernel, as wide as keeps it from copying the rows learned from.

How often unseen rows would equal training rows is told by these themselves: each is set aside and compared with the others
(leave-one-out; its complement is the missing mass of Good, 1953). Few of them are equal, so that their share is hardly known;
what lies close to each of them is as likely, and there is much more of it, so rows moved a little are compared as well.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from karat.content.codec import Codec
from karat.content.table.encoding.kernel import Kernel
from karat.content.table.encoding.parts import Number
from karat.content.table.table import Table
from karat.content.table.tables import Tables
from karat.data import Data
from karat.errors import RunError
from karat.families.generator import Generator, Stratified
from karat.views import row_digests

LOOKED = 4_000  # made rows that tell
MOST = 100_000  # training rows, beyond which no recipe knows them by heart
CLOSE = 0.12  # width at which what lies close to a training row is as likely as that
WIDTHS = (0.02, 0.03, 0.045, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0)
SLACK = 0.005  # share of made rows that may be copies beyond what is expected
SURE = 2.0  # standard deviations by which training rows equal each other oftener than what lies close to them


def alone(model: Generator, n: int, y: Tensor | None, rng: torch.Generator) -> Tensor:
    """Points [n, *shape] that are independent of each other, as the model draws them without a kernel."""
    return model.sample(n, y, rng, independent=True) if isinstance(model, Stratified) else model.sample(n, y, rng)


def drawn(
    model: Generator, codec: Codec, points: Tensor, chance: np.random.Generator, given: Tensor | None = None
) -> Tensor:
    """`points` [n, *shape] as the kernel of `model` moves them, where `given` [n, columns] is not at least 0."""
    table = table_of(codec)
    if model.kernel is None or table is None:
        return points
    width, factor = model.kernel
    free = None if given is None else given.cpu().numpy() < 0
    return table.moved(points, model.space, Kernel(width, factor.double().numpy()), chance, free)


def table_of(codec: Codec) -> Tables | None:
    """The codec where it has a kernel: that of one table."""
    return codec if isinstance(codec, Tables) else None


def kernel_of(width: Tensor, factor: Tensor, codec: Codec) -> tuple[float, Tensor]:
    """The kernel of saved weights; RunError where it is of another table."""
    table = table_of(codec)
    numbers = 0 if table is None else sum(isinstance(part, Number) for part in table.coded_parts)
    if width.numel() != 1 or not 0 < float(width) <= 1 or factor.shape != (numbers, numbers):
        raise RunError("the saved weights are damaged: their kernel is of another table; train anew.")
    return float(width), factor.double()


def widen(model: Generator, data: Data, seed: int) -> float:
    """Gives `model` the narrowest kernel by which made rows equal training rows no oftener than unseen ones; its width.

    0 and none for content that is no table, for very many rows, and where a budget of privacy allows no further look at them.
    """
    codec, n = table_of(data.codec), len(data.train)
    model.kernel = None
    if codec is None or data.budget is not None or n > MOST or not codec.layout.coded:
        return 0.0
    points = alone(model, LOOKED, None, torch.Generator(model.device).manual_seed(seed)).cpu()
    records = data.records("train")
    real, factor = _keys(codec, records), codec.correlated(records)
    # what must differ in each row may not reach for more rows than there were
    at_once = n if codec.layout.rules.unique else LOOKED

    def found(width: float) -> float:
        """Of made rows, those that equal a training row."""
        model.kernel = (width, torch.from_numpy(factor)) if width else None
        chance = np.random.default_rng(seed)
        parts = drawn(model, codec, points, chance).split(at_once)
        made = [_keys(codec, codec.decode(part, model.space, chance)) for part in parts]
        return float(np.isin(np.concatenate(made), real).mean())

    share = found(0.0)
    if share <= SLACK or model.fair:
        return 0.0
    usual = expected(codec, records, seed)
    allowed = usual + SLACK
    if share <= allowed:
        return 0.0
    allowed = max(allowed, found(WIDTHS[-1]) + SLACK)  # where the cells leave no choice, it copies whatever its width
    return next((width for width in WIDTHS if found(width) <= allowed), WIDTHS[-1])


def expected(codec: Tables, records: Table, seed: int) -> float:
    """How often an unseen row equals one of the training rows `records`."""
    real, space, chance = _keys(codec, records), codec.spaces[0], np.random.default_rng(seed)
    known, which, often = np.unique(real, return_inverse=True, return_counts=True)
    n, alike, points = len(real), float((often[which] > 1).mean()), codec.encode(records, space)
    near_by = Kernel(CLOSE, codec.correlated(records))
    hits = []
    for _ in range(-(-LOOKED // n)):
        near = _keys(codec, codec.decode(codec.moved(points, space, near_by, chance), space, chance))
        at = np.minimum(np.searchsorted(known, near), len(known) - 1)
        hits.append(np.where(known[at] == near, often[at], 0) > (near == real))
    close = float(np.mean(hits))
    # equal rows come two at a time, so that their share varies as one of half the rows
    spread = np.sqrt(2 * max(close, 1 / n) * (1 - close) / n)
    return alike if alike > close + SURE * spread else close


def _keys(codec: Tables, records: Table) -> np.ndarray:
    """uint64 [n]: equal where rows are equal as the judge sees them."""
    return row_digests(codec.view_values(records))
