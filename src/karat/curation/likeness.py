"""A gate against the likeness of people: who is in a folder of faces or voices is not to be met in what is made.

The people are the sub-folders, or what the names of files begin with. Without a model of somebody else's, a record is described
by how loud each band of it is and how much that moves (sounds) or by its leading components (pictures), and directions in which
files of one person differ count for little: Fisher's discriminant, as for faces by https://doi.org/10.1109/34.598228. Such
features were never taught who is who but by the folder; an encoder in an ONNX file that was may be given in their place. How
likely it is to find the same people in files that it did not learn from is measured, and said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from karat.assays.chance import wilson
from karat.assays.neighbours import components
from karat.content.codec import Codec
from karat.curation.copies.bars import RECALL, REJECTED, bar_of
from karat.curation.foreign import answer_of, session_of
from karat.curation.gate import Candidates, Gate, Reasons, flagged
from karat.errors import DataError, FitError
from karat.views import Points

NAME = "likeness"
COMPONENTS = 64
WITHIN = (
    0.5  # of what files of one person differ by, that is taken to be alike in all directions: there are few such files
)
LOUD = 0.25  # of the range of a sound's loudness above its least, from which on a frame is heard
FOLDS = 5  # of the files, and of the people, one of which is judged by what was fitted to the others
FEWEST = 20  # records that are nobody in the folder; fewer say nothing of how like strangers are
COPIES = 32
BASIS = 2000  # training records that the components are those of, at most


class Encoder(Protocol):
    """What it is in a record that tells people apart: points [n, ...] to features [n, d]."""

    learns: bool  # whether the folder must tell it which features do

    def __call__(self, points: Tensor) -> np.ndarray: ...


class Own:
    """Features without a model of somebody else's.   basis: points that the components are those of."""

    learns = True

    def __init__(self, basis: Points) -> None:
        self.sound = bool(basis.axes)
        flat = self._flat(basis.points)
        self.basis = components(flat, min(COMPONENTS, len(flat) - 1))
        self.spread = self.basis.of(flat).std(0).clamp_min(1e-6)

    def __call__(self, points: Tensor) -> np.ndarray:
        return np.asarray((self.basis.of(self._flat(points)) / self.spread).numpy(), np.float64)

    def _flat(self, points: Tensor) -> Tensor:
        return _bands(points.float()) if self.sound else _level(points.float())


class Onnx:
    """Somebody else's encoder, which takes float32 [n, c, h, w] from 0 to 1 in the size that it has, and gives [n, d]."""

    learns = False

    def __init__(self, path: Path) -> None:
        self.session, self.called = session_of(path), path.name
        self.given = next(iter(self.session.get_inputs()), None)

    def __call__(self, points: Tensor) -> np.ndarray:
        x = ((points + 1) / 2).float()
        shape = () if self.given is None or not isinstance(self.given.shape, list) else self.given.shape
        wanted = [size if isinstance(size, int) else None for size in (*shape, None, None, None, None)][1:4]
        if wanted[0] is not None and wanted[0] != x.shape[1] == 1:
            x = x.expand(-1, wanted[0], -1, -1)
        if wanted[1] is not None and wanted[2] is not None and tuple(x.shape[2:]) != (wanted[1], wanted[2]):
            x = F.interpolate(x, (wanted[1], wanted[2]), mode="bilinear", antialias=True, align_corners=False)
        found = answer_of(self.session, self.called, x.contiguous().numpy())
        if found.ndim != 2 or len(found) != len(points) or not np.isfinite(found).all():
            raise FitError(f"{self.called} gave {list(found.shape)} that are no features of {len(points)} records.")
        return found


@dataclass(frozen=True)
class Faces:
    """Directions [people, k] of people in a space where files of one person lie close.   middle [d], whitening [d, k]."""

    middle: np.ndarray
    whitening: np.ndarray
    people: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, who: np.ndarray, middle: np.ndarray, learns: bool) -> Faces:
        """features: [n, d] of the people `who` [n].   middle: features of those who are nobody in particular [d]."""
        everybody = np.unique(who)
        means = np.stack([features[who == person].mean(0) for person in everybody])
        whitening = np.eye(features.shape[1])
        within = features - means[np.searchsorted(everybody, who)]
        if learns and len(within) > len(everybody):
            cov = within.T @ within / (len(within) - len(everybody))
            cov = (1 - WITHIN) * cov + (WITHIN * np.trace(cov) / len(cov) + 1e-9) * np.eye(len(cov))
            whitening = np.linalg.cholesky(np.linalg.inv(cov))
        else:
            middle = np.zeros_like(middle) if not learns else middle
        near = _long_one((features - middle) @ whitening)
        return cls(middle, whitening, _long_one(np.stack([near[who == person].mean(0) for person in everybody])))

    def scores(self, features: np.ndarray) -> np.ndarray:
        """How like each [n] is to the person it is likest to: the cosine of the angle between them."""
        return np.asarray((_long_one((features - self.middle) @ self.whitening) @ self.people.T).max(1))


class Likeness(Gate):
    """people: in the folder.   found: of files of these people that it had not learned from, how many it finds, of how many.

    passing: how many it was told are nobody in the folder, which its bar lies upon.
    """

    name = NAME

    def __init__(
        self,
        codec: Codec,
        folder: Path,
        encoder: Path | None = None,
        others: Callable[[], tuple[Points, Points] | None] = lambda: None,
        seed: int = 0,
    ) -> None:
        """others: training records, and real ones that nothing learned from; None where they are not at hand."""
        points, who = _people(codec, folder)
        self.called, self.people = folder.name, len(np.unique(who))
        both = others()
        train, unseen = (points, None) if both is None else both
        train = train.take(np.arange(k := min(BASIS, len(train))) * len(train) // k)
        self.encoder: Encoder = Onnx(encoder) if encoder is not None else Own(train)
        x, middle = self.encoder(points.points), self.encoder(train.points).mean(0)
        known = None if unseen is None else unseen.take(np.flatnonzero(~_named(unseen, np.unique(who))))
        strangers = [] if known is None or not len(known) else [self.encoder(known.points)]
        rng = np.random.default_rng([seed, 19])
        self.faces = Faces.fit(x, who, middle, self.encoder.learns)
        innocent = np.concatenate(
            [np.zeros(0), *map(self.faces.scores, strangers), *self._as_strangers(x, who, middle, rng)]
        )
        if (n := len(innocent)) < FEWEST:
            raise DataError(
                f"--gate {NAME}={folder}: {n} real {codec.thing}s are nobody in it, and fewer than {FEWEST} say nothing of "
                "how like others are. Have the training data at hand, or give files of more people."
            )
        self.passing, self.bar = n, bar_of(innocent, REJECTED) if n >= 1 / REJECTED else float(innocent.max())
        apart = self._apart(x, who, middle, rng)
        self.found = int((apart > self.bar).sum()), len(apart)

    def _as_strangers(
        self, x: np.ndarray, who: np.ndarray, middle: np.ndarray, rng: np.random.Generator
    ) -> list[np.ndarray]:
        """How like others each person is, who was left out of them."""
        everybody = np.unique(who)
        part = dict(zip(everybody, rng.permutation(len(everybody)) % FOLDS, strict=True))
        fold = np.array([part[person] for person in who])
        some = [k for k in range(FOLDS) if 0 < (fold == k).sum() < len(who)]
        return [Faces.fit(x[fold != k], who[fold != k], middle, self.encoder.learns).scores(x[fold == k]) for k in some]

    def _apart(self, x: np.ndarray, who: np.ndarray, middle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Scores of files of people of whom other files are known."""
        fold, out = np.zeros(len(who), int), []
        for person in np.unique(who):
            rows = np.flatnonzero(who == person)
            fold[rows] = rng.permutation(len(rows)) % FOLDS if len(rows) > 1 else -1
        for k in range(FOLDS):
            if (fold == k).any():
                faces = Faces.fit(x[fold != k], who[fold != k], middle, self.encoder.learns)
                out.append(faces.scores(x[fold == k]))
        return np.concatenate(out) if out else np.zeros(0)

    def reasons(self, some: Candidates) -> Reasons:
        points: Tensor = some.view.points  # type: ignore[union-attr]  # the folder holds what the codec reads
        return flagged(self.faces.scores(self.encoder(points)) > self.bar, f"like a person of {self.called}")

    def note(self) -> str:
        k, n = self.found
        low, high = wilson(k, n)
        who = f"likeness to {self.people} people of {self.called}"
        if not n:
            return f"{who}: one file of each says nothing of how often they are found in others"
        told = (
            f"{who}: of their files that it had not learned from the gate finds {k} of {n} ({low:.1%} to {high:.1%}), "
            f"with a bar that lets {1 - REJECTED:.1%} of {self.passing} pass who are nobody there"
        )
        return told if k >= RECALL * n else f"{told}; missed: {RECALL:.0%} of them found"


def _people(codec: Codec, folder: Path) -> tuple[Points, np.ndarray]:
    """The records in the folder, and the name of the person of each [n].

    Pictures and sounds are data in folders of many only, so that each file is read `COPIES` times and counts once.
    """
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and not file.name.startswith(".")]
    with TemporaryDirectory() as place:
        for i, file in enumerate(files):
            for k in range(COPIES):
                Path(place, f"{i}-{k}{file.suffix}").symlink_to(file.resolve())
        contents = type(codec).read(Path(place), codec.alike())
    rows = {int(i): row for row, (i, k) in enumerate(Path(name).stem.split("-") for name in contents.names) if k == "0"}
    view: Any = codec.view(codec.conform(contents.records))
    if not hasattr(view, "points") or not rows:
        raise FitError(
            f"--gate {NAME}={folder} is for pictures and sounds; for {codec.name} give a function of your own."
        )
    who = [_who(files[i].relative_to(folder)) for i in rows]
    if not all(who):
        raise FitError(
            f"--gate {NAME}={folder}: who is who is not told. Give each person a sub-folder, or names of files that begin "
            "with the person."
        )
    people: Points = view.take(np.array(list(rows.values())))
    return people, np.array(who)


def _who(file: Path) -> str:
    """The person whose file that is, "" where neither a folder nor its name says it."""
    return file.parts[0] if len(file.parts) > 1 else file.stem.rstrip("0123456789").rstrip("_- .")


def _named(view: Points, people: np.ndarray) -> np.ndarray:
    """bool [n]: whether what is known of a record names one of the people."""
    names = [np.array(view.classes)[view.labels.numpy()]] if view.labels is not None and view.classes else []
    low = {str(person).casefold() for person in people}
    found = [np.array([str(one).casefold() in low for one in column]) for column in (*names, *view.facets.values())]
    return np.asarray(np.any([np.zeros(len(view), bool), *found], axis=0))


def _bands(x: Tensor) -> Tensor:
    """Of spectrograms [n, c, bands, frames] where something is heard: each band's level, how it moves and how it differs from
    the next."""
    loud = x.mean((1, 2))
    least, most = loud.amin(1, keepdim=True), loud.amax(1, keepdim=True)
    heard = (loud >= least + LOUD * (most - least)).float()
    weight = (heard / heard.sum(1, keepdim=True))[:, None, None]
    mean = (x * weight).sum(3)
    moves = ((x - mean[..., None]).square() * weight).sum(3).sqrt()
    steps = ((x[:, :, 1:] - x[:, :, :-1]).abs() * weight).sum(3)
    return torch.cat([mean - mean.mean(2, keepdim=True), moves, steps], 2).flatten(1)


def _level(x: Tensor) -> Tensor:
    """Pictures flat [n, d], without what light does to all of one."""
    flat = x.flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    out: Tensor = flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-6)
    return out


def _long_one(x: np.ndarray) -> np.ndarray:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))
