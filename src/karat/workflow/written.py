"""Text before its judge: passages as strings, reference generators, and what a model says of held-out text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from karat.assays import Finding
from karat.assays.references.texts import REFERENCES
from karat.assays.text import bits
from karat.assays.text.texts import examine
from karat.assays.text.writing import Writing, points_of, texts_of
from karat.content import Codec
from karat.data import Data
from karat.errors import FitError
from karat.families.generator import Generator
from karat.space import Tokens

BLOCK = 4096  # passages turned into strings at once
HELD = 400_000  # held-out characters that a model weighs, at most


def _strings(codec: Codec, records: Any) -> list[str]:
    return [
        text
        for start in range(0, len(records), BLOCK)
        for text in texts_of(codec.view(records[np.arange(start, min(start + BLOCK, len(records)))]))
    ]


def _writing(data: Data, rows: np.ndarray) -> Writing:
    contents = data.contents
    return Writing(
        tuple(_strings(data.codec, contents.records[rows])),
        None if contents.labels is None else contents.labels[rows],
        None if contents.groups is None else contents.groups[rows],
    )


def judge(data: Data, records: Any, labels: Tensor | None, seed: int) -> list[Finding]:
    """Findings about made passages beside the training and the unseen ones of `data`."""
    made = Writing(tuple(_strings(data.codec, records)), None if labels is None else labels.numpy())
    train, unseen = _writing(data, data.train), _writing(data, data.holdout)
    return examine(train, unseen, made, classes=data.classes, seed=seed)


def reference(data: Data, name: str, source: np.ndarray, n: int, rng: np.random.Generator) -> tuple[Any, Tensor | None]:
    """What the reference generator `name` makes of the unseen passages at the rows `source`, and their labels."""
    if name not in REFERENCES:
        raise FitError(f"no reference {name!r} of text; there are: {', '.join(REFERENCES)}.")
    drawn = REFERENCES[name][0](_writing(data, data.train), _writing(data, source), min(n, len(source)), rng)
    labels = None if drawn.labels is None else torch.from_numpy(drawn.labels)
    return data.codec.unview(points_of(drawn.texts)), labels


def weighed(data: Data, model: Generator) -> list[Finding]:
    """Bits per character and per byte of held-out text under `model`; none where it cannot say."""
    if not (model.weighs and isinstance(model.space, Tokens)):
        return []
    nats, held, room = [], list[str](), HELD
    for text, stream in _on_end(data, data.holdout):
        if room <= 0 or len(stream) < 2:
            break
        nats.append(model.weigh(stream.to(model.device)).cpu().double().numpy())
        held.append(text)
        room -= len(text)
    return bits.findings(nats, held, [text for text, _ in _on_end(data, data.train)])


def _on_end(data: Data, rows: np.ndarray) -> Sequence[tuple[str, Tensor]]:
    """What stands on end at the sorted `rows`, as text and as codes."""
    text = "".join(_strings(data.codec, data.contents.records[rows]))
    out, start = [], 0
    for codes, characters, _ in data.codec.streams(data.contents, rows):
        out.append((text[start : start + characters], codes))
        start += characters
    return out
