"""Whether fine detail is as strong along each axis as in real data: what blur takes away and grain adds.

A classifier of features reads a blurred or grainy record as well as a clean one; second differences do not. Measured
only where there is content, so that silence or an empty ground neither helps nor hurts.
"""

from __future__ import annotations

from torch import Tensor

from karat.assays import power
from karat.assays.chance import averaged, limit_of, outside
from karat.assays.details.records import AlongAxis
from karat.assays.finding import Finding, scored
from karat.assays.points.points import Case
from karat.words import said, term

FINDS = ("detail",)
EMPTY = -0.8  # points up to here hold no content: a tenth of the range above its lowest
LEAST = 0.1  # of the detail of the training data; the way from a spectrogram to a wave and back takes up to 0.08


def detail(points: Tensor, axis: int) -> Tensor:
    """Per record [n], the mean |second difference| of `points` [n, c, *size] along `axis` where they hold content."""
    size = points.shape[axis]
    middle = points.narrow(axis, 1, size - 2)
    second = points.narrow(axis, 0, size - 2) + points.narrow(axis, 2, size - 2) - 2 * middle
    full = middle > EMPTY
    return (second.abs() * full).flatten(1).sum(1) / full.flatten(1).sum(1).clamp_min(1)


def findings(case: Case) -> list[Finding]:
    """One finding for each of the named axes of the points behind their channels."""
    train, unseen, made = case.train, case.unseen, case.made
    out = []
    for axis, name in enumerate(case.axes, 2):
        if made.points.shape[axis] < 3:
            continue
        learned = detail(train.points[:5000], axis)
        by = float(learned.mean().clamp_min(1e-12))
        mine = detail(made.points, axis) / by
        s = averaged(mine, detail(unseen.points, axis) / by)
        # unseen records set aside by name (another speaker) may themselves differ from what there was to learn
        limit = outside(*(limit_of("detail", x, LEAST) for x in (s, averaged(mine, learned / by))))
        fault = "" if not limit.broken(s.value) else said(": blurred") if s.z < 0 else said(": grainy")
        summary = said(
            "Fine detail along {name} is {value:.2f} times that of the training data (unseen real data: "
            "{real:.2f}){fault}.",
            name=term(name),
            value=s.value,
            real=s.real,
            fault=fault,
        )
        shown = AlongAxis(z=s.z, of_the_real=s.value / max(s.real, 1e-12))
        samples = power.scored("detail", s.error, len(made), len(unseen), beyond=LEAST)
        out.append(scored("detail", s, limit, summary, detail=shown, samples=samples, of=name))
    return out
