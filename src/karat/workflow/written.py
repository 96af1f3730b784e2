"""Text before its judge: passages as strings, reference generators, and what a model says of held-out text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from karat.assays import Finding
from karat.assays.text import bits
from karat.content.roles import Continued
from karat.data import Data
from karat.synthesizer import Single, Synthesizer
from karat.views import TextView

HELD = 400_000  # held-out characters that a model weighs, at most


def weighed(data: Data, synth: Synthesizer) -> list[Finding]:
    """Bits per character and per byte of held-out text under a model; none where it cannot say."""
    if not isinstance(synth, Single) or not synth.model.has_nll:
        return []
    model = synth.model
    nats, held, room = [], list[str](), HELD
    for text, stream in _on_end(data, data.holdout):
        if room <= 0 or len(stream) < 2:
            break
        nats.append(model.nll(stream.to(model.device)).cpu().double().numpy())
        held.append(text)
        room -= len(text)
    return bits.findings(nats, held, [text for text, _ in _on_end(data, data.train)])


def _on_end(data: Data, rows: np.ndarray) -> Sequence[tuple[str, Tensor]]:
    """What stands on end at the sorted `rows`, as text and as codes."""
    view = data.codec.view(data.contents.records, rows)
    assert isinstance(view, TextView) and isinstance(data.codec, Continued)
    text = "".join(view.texts)
    out, start = [], 0
    for codes, characters, _ in data.codec.streams(data.contents, rows):
        out.append((text[start : start + characters], codes))
        start += characters
    return out
