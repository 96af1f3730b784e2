"""The real records with which the judge is examined: a person's own data, parted anew for each seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from karat.assays.references import Drawn
from karat.assays.references.calibration import Exam, Sides, calibrate
from karat.data import Data
from karat.errors import DataError
from karat.space import JUDGED
from karat.views import Known, View
from karat.workflow import office


def exams(
    data: Data,
    seeds: Sequence[int],
    *,
    train: int | None = None,
    unseen: int | None = None,
    made: int | None = None,
    names: Sequence[str] | None = None,
    graded: bool = True,
    target: str | None = None,
) -> Iterator[Exam]:
    """Exams of the judge on these data, as they are done (see `calibrate`), each the way that `karat assay` goes.

    train, unseen, made: records of each kind at most; all there are by default, a half of those set aside for the judge and
    a half for the reference generators.
    Raises DataError where fewer than 20 are left for any of the three.
    """

    def sides(seed: int) -> Sides:
        return _sides(data, seed, train, unseen, target)

    return calibrate(sides, seeds, len(data.holdout) if made is None else made, names, graded)


def without_labels(data: Data) -> Data:
    """The same data, of whose classes the judge knows nothing."""
    return replace(data, contents=replace(data.contents, labels=None, classes=()))


def _sides(data: Data, seed: int, train: int | None, unseen: int | None, target: str | None) -> Sides:
    rng = np.random.default_rng(seed)
    first, second = _parted(data, rng)
    first, second = rng.permutation(first), rng.permutation(second)
    learned = np.sort(first[:train])
    most = len(second) // 2 if unseen is None else min(unseen, len(second) // 2)
    kept, source = np.sort(second[:most]), second[most:]
    if min(len(learned), len(kept), len(source)) < JUDGED:
        raise DataError(
            f"{len(learned)} records to learn from, {len(kept)} unseen and {len(source)} for the references are too few; "
            f"wanted at least {JUDGED} of each. Set more aside with --holdout."
        )
    data = replace(data, codec=data.codec.judging(data.contents.records[learned]))
    parts = replace(data, train=learned, holdout=kept)
    most_seen, codec = data.codec.judged_most, data.codec

    def view(drawn: Drawn) -> View:
        made = office.records_of(data, drawn, np.concatenate([learned, source]))
        return codec.view(made.records if most_seen is None else made.records[:most_seen]).known(
            Known(None if made.labels is None else made.labels.numpy(), data.classes)
        )

    finest = [codec.finest(data.contents.records[rows]).known(data.known(rows)) for rows in (learned, source)]
    return Sides(
        train=parts.view("train"),
        unseen=parts.view("holdout", most_seen),
        learned=finest[0],
        source=finest[1],
        view=view,
        fingerprint=f"{data.fingerprint}-{seed}-{len(learned)}-{len(data.classes)}",
        target=data.target if target is None else target,
    )


def _parted(data: Data, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows set aside, as many of each as there are, by chance; whole groups where there are any."""
    if data.contents.holdout is not None:
        return data.train, data.holdout
    rows = np.concatenate([data.train, data.holdout])
    groups = np.arange(len(rows)) if data.contents.groups is None else data.contents.groups[rows]
    _, group = np.unique(groups, return_inverse=True)
    rank = rng.permutation(group.max() + 1)[group]
    order = np.argsort(rank, kind="stable")
    cut = order[len(data.train) - 1]  # the last to learn from, and with it all of its group
    return rows[rank <= rank[cut]], rows[rank > rank[cut]]
