"""Which classes are read in made text, in which proportions, and what made text teaches: none where there are no classes.

Ridge regression on counts of strings reads them. TSTR: https://arxiv.org/abs/1706.02633.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from karat.assays.details.records import MissingClasses
from karat.assays.finding import Finding, exact
from karat.assays.points import bias
from karat.assays.points.diversity import NONE, absent, missed, needed
from karat.assays.points.embedded import Embedded
from karat.assays.points.usefulness import usefulness_and_lift
from karat.assays.text.texts import Case
from karat.words import said

FINDS = ("missing classes", "usefulness", "lift", "class balance")


@dataclass(frozen=True)
class Labels:
    """The labels of training and unseen passages, those read in unseen and made ones, and made ones' own, where given."""

    train: Tensor
    unseen: Tensor
    read: Tensor
    made_read: Tensor
    given: Tensor | None


def findings(case: Case) -> list[Finding]:
    """Missing classes, usefulness, lift and class balance."""
    train, unseen, made = (side.labels for side in case.few)
    if train is None or unseen is None or len(case.classes) < 2 or len(np.unique(train)) < 2:
        return []
    from sklearn.linear_model import RidgeClassifier

    reader = RidgeClassifier(alpha=0.3).fit(case.counts[0], train)
    read, made_read = (torch.from_numpy(reader.predict(x).astype(np.int64)) for x in case.counts[1:])
    given = None if made is None else torch.from_numpy(made)
    labels = Labels(torch.from_numpy(train), torch.from_numpy(unseen), read, made_read, given)
    return [_missing(case, labels), *_usefulness(case, labels), *_balance(case, labels)]


def _missing(case: Case, labels: Labels) -> Finding:
    k = len(case.classes)
    sure, likely, shares, share = absent(labels.made_read, labels.read, labels.unseen, labels.train, k)
    if labels.given is not None:  # also what was never asked for is missing
        asked = absent(labels.given, labels.unseen, labels.unseen, labels.train, k)
        sure, likely = sorted({*sure, *asked[0]}), sorted({*likely, *asked[1]})
    gone = tuple(case.classes[i] for i in sure)
    summary = (
        said("Missing from what was made, or nearly: {listed}.", listed=missed(sure, case.classes, shares, share))
        if gone
        else said("Every class that real text shows is made.")
    )
    detail = MissingClasses(
        missing=gone,
        names=case.classes,
        made=tuple(shares.tolist()),
        real=tuple(share.tolist()),
        kind="class",
        read_rightly=float((labels.read == labels.unseen).double().mean()),
    )
    high, samples = float(max(len(likely), len(sure))), needed(len(labels.made_read), len(labels.read), k)
    return exact("missing classes", float(len(gone)), NONE, summary, high=high, detail=detail, samples=samples)


def _usefulness(case: Case, labels: Labels) -> list[Finding]:
    t, u, m = (torch.nn.functional.pad(x, (0, 1), value=0.1).double() for x in case.features)
    whose = said(" (its labels were read by the judge)") if labels.given is None else ""
    own = labels.made_read if labels.given is None else labels.given
    rng = torch.Generator().manual_seed(case.seed)
    return usefulness_and_lift(t, labels.train, u, labels.unseen, m, own, len(case.classes), whose, rng)


def _balance(case: Case, labels: Labels) -> list[Finding]:
    _, unseen, made = case.features
    shown = (labels.read, labels.made_read) if labels.given is None else (labels.unseen, labels.given)
    there, here = (
        Embedded(x, x, None, torch.nn.functional.one_hot(y, len(case.classes)))
        for x, y in zip((unseen, made), shown, strict=True)
    )
    return bias.class_balance(there, here, case.classes)
