"""With a watermark the judge finds nothing that he does not find without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from karat.content.text.passages import Passages
from karat.data import Data, load
from karat.recipe import load as recipe_named
from karat.request import Request
from karat.synthesizer import Single, new
from karat.watermarks import scheme
from karat.workflow import office

KEY = b"k" * 32


def raised(data: Data, records: Any) -> set[str]:
    found = office.judge_records(data, office.Made(records, None), seed=0).findings
    assert len(found) > 10
    return {finding.key for finding in found if finding.raised}


def marked_real(source: Path, limit: int) -> tuple[set[str], set[str]]:
    """What is found in half of the unseen records in the place of made ones, as they are and with a mark."""
    data = load(source, options={"limit": limit}, holdout=0.5, seed=0)
    order = np.random.default_rng(0).permutation(data.holdout)
    mine = np.sort(order[: len(order) // 2])
    judged = replace(data, holdout=np.sort(order[len(order) // 2 :]))
    records = np.asarray(data.contents.records[mine])
    made = scheme(data.codec, KEY).embedded(records, np.random.default_rng(1))
    assert (made != records).any()
    return raised(judged, records), raised(judged, made)


def joined(blocks: list[Passages]) -> Passages:
    texts = [text for block in blocks for text in block]
    begins, ends = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("begins", "ends"))
    return Passages.of(texts, blocks[0].origin, begins, ends)


@pytest.mark.exam
@pytest.mark.parametrize(
    ("kind", "limit"), [("images/cifar10-test.zip", 6000), ("images/mnist", 6000), ("audio/fsdd", 3000)]
)
def test_real_pictures_and_sounds_with_a_mark_look_as_real_as_without(kind: str, limit: int, data_dir: Path) -> None:
    without, marked = marked_real(data_dir / kind, limit)
    assert marked <= without


@pytest.mark.exam
@pytest.mark.parametrize(
    ("kind", "recipe", "options"),
    [("text/tinyshakespeare.txt", "ngram", {}), ("tables/adult-train.csv", "trees", {"rows": 6000})],
)
def test_made_text_and_tables_with_a_mark_are_as_good_as_without(
    kind: str, recipe: str, options: dict[str, Any], data_dir: Path
) -> None:
    data = load(data_dir / kind, options=options, seed=0)
    synth = new(data.codec, recipe_named(recipe), data.classes, 0)
    assert isinstance(synth, Single)
    list(synth.fit(data, 0, None))
    synth.widen(data, 0)
    request = Request(1500, 1, independent=kind.startswith("tables"))
    found = []
    for asked in (request, scheme(data.codec, KEY).asked(request)):
        blocks = [block.records for block in synth.stream(asked)]
        found.append(raised(data, blocks[0] if len(blocks) == 1 else joined(blocks)))
    assert found[1] <= found[0], found
