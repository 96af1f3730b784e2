"""The one place where a view decides who judges it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from karat.assays.classifier import Learner, boosted, discriminant, logistic
from karat.assays.encoder import open_extractor
from karat.assays.exchange import teaching
from karat.assays.exchange.teaching import Taught
from karat.assays.finding import Finding
from karat.assays.leaks import Group
from karat.assays.points import points
from karat.assays.points.embedded import Kept
from karat.assays.power import corrected
from karat.assays.relational import databases
from karat.assays.table import tables
from karat.assays.table.learning import features
from karat.assays.text import texts
from karat.assays.text.counts import Counts
from karat.errors import FitError
from karat.views import DatabaseView, Points, TableView, TextView, View
from karat.words import said, term

CHOICES = 20  # of a column by which groups are told


def seen(train: View, *, fingerprint: str = "", seed: int = 0) -> tuple[Callable[[Any], Any], Learner]:
    """What a classifier sees of records of this kind, as a matrix [n, d], and how it learns to tell two sets of them apart.

    Raises FitError for related tables.
    """
    match train:
        case Points():
            few = None if train.labels is None else train.labels[: points.LEARNED]
            extractor = open_extractor(
                train.points[: points.LEARNED], few, len(train.classes), fingerprint=fingerprint, seed=seed
            )
            return lambda view: extractor.embed(view.points)[0].double().numpy(), discriminant
        case TableView():
            columns = features([train])
            return columns.of, boosted(columns.flags(), seed)
        case TextView():
            return Counts(train).of, logistic(seed)
    raise FitError("related tables are compared as a whole; check one table of a run that learned one.")


def examination(train: View, apart: View, target: str | None, seed: int) -> Callable[[Any], Taught]:
    """What is asked of rows that were made from `train`, beside rows kept `apart` (`exchange.teaching`); FitError for no table."""
    if isinstance(train, TableView) and isinstance(apart, TableView):
        return teaching.examination(train, apart, target, seed)
    raise FitError("a recipe is chosen by what made rows of one table teach; name a recipe with --recipe.")


@dataclass(frozen=True)
class Evaluation:
    """What was found, and by what the judge sees, in words."""

    findings: list[Finding]
    judge: str


def evaluate(
    train: View,
    unseen: View,
    made: View,
    *,
    fingerprint: str = "",
    target: str | None = None,
    pretrained: Path | None = None,
    seed: int = 0,
    apart: bool = True,
    exchange: bool = False,
    attacks: bool = False,
    kept: Kept | None = None,
) -> Evaluation:
    """All findings about `made` beside the records that were learned from and those that were not, the same for a seed.

    fingerprint: of the real data, by which what the judge has learned from them is kept.   target: the column of a table
    that a model would predict; of related tables "table.column".   pretrained: a folder with an encoder for points.
    apart: whether whatever made `made` is known not to have seen the unseen records. If not, it may have copied these as
    well, and that training records are met no oftener is no excuse.   exchange: whether to measure how many real records one
    made one stands for, where there is something to predict; learners are taught some hundred times.
    attacks: whether further attacks on privacy are tried, of a table.   kept: one for all made points that are judged beside
    the same two views by the same seed: what is searched for among real ones is searched for once.
    Raises DataError for fewer than 20 records on a side, or records that cannot be compared; FitError for a target or an
    encoder where there is no use for it.
    """
    if pretrained is not None and not isinstance(made, Points):
        raise FitError("--encoder are for pictures and sounds; rows are judged by their columns, text by its words.")
    if target is not None and not isinstance(made, TableView | DatabaseView):
        raise FitError("--target is for tables; this content has no columns. Leave it out.")
    match train, unseen, made:
        case Points(), Points(), Points():
            found, extractor = points.judge(
                train,
                unseen,
                made,
                fingerprint=fingerprint,
                seed=seed,
                pretrained=pretrained,
                apart=apart,
                exchange=exchange,
                kept=kept,
            )
            return Evaluation(corrected(found), _eyes(extractor.accuracy, pretrained))
        case TableView(), TableView(), TableView():
            found = tables.examine(
                train, unseen, made, target=target, seed=seed, apart=apart, exchange=exchange, attacks=attacks
            )
            return Evaluation(corrected(found), term("columns"))
        case DatabaseView(), DatabaseView(), DatabaseView():
            found = databases.examine(train, unseen, made, target=target, seed=seed, apart=apart)
            return Evaluation(corrected(found), term("columns"))
        case TextView(), TextView(), TextView():
            found = texts.examine(train, unseen, made, classes=train.classes, seed=seed, apart=apart)
            return Evaluation(corrected(found), term("letters and words"))
    raise TypeError(f"views of different kinds: {type(train).__name__}, {type(unseen).__name__}, {type(made).__name__}")


def _eyes(accuracy: float | None, pretrained: Path | None) -> str:
    """By what points are judged, in words."""
    if pretrained is not None:
        return said("pretrained, {name}", name=pretrained.name)
    return said("own encoder, self-supervised") if accuracy is None else said("own encoder, {x:.1%} right", x=accuracy)


def groups(members: View, others: View, target: str | None) -> list[Group]:
    """The groups that records of both sides are of: classes, or values of a table's target and protected columns."""
    match members, others:
        case TableView(), TableView():
            told = {*members.columns.protected, target}
            columns = [j for j, name in enumerate(members.names) if name in told]
            return [
                Group(f"{members.names[j]} = {value}", members.codes(j) == i, others.codes(j) == i)
                for j in columns
                for i, value in enumerate(members.columns.choices[j][:CHOICES])
            ]
        case Points(labels=a), Points(labels=b) if a is not None and b is not None:
            return _classes(members.classes, a.numpy(), b.numpy())
        case TextView(labels=a), TextView(labels=b) if a is not None and b is not None:
            return _classes(members.classes, a, b)
    return []


def _classes(names: tuple[str, ...], members: np.ndarray, others: np.ndarray) -> list[Group]:
    return [Group(name, members == i, others == i) for i, name in enumerate(names)]
