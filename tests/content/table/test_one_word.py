"""One word among numbers, as a sensor writes it that measured nothing, is a missing number, and numbers stay numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from karat.content.table.tables import Tables


def read(cells: list[str]) -> Tables:
    return Tables.read(pd.DataFrame({"x": cells, "y": "a b".split() * (len(cells) // 2)}), {}).records


@pytest.mark.parametrize(
    ("word", "kind"), [("ERR", "decimal"), ("défaut", "decimal"), ("", "decimal"), ("1ERR", "category")]
)
def test_one_word_among_many_numbers_is_a_missing_one(word: str, kind: str) -> None:
    numbers = [f"{x:.1f}" for x in np.random.default_rng(0).normal(20, 3, 400)]
    numbers[7] = numbers[70] = word
    table = read(numbers)
    column = table.facts.schema.columns[0]
    assert column.kind == kind and (column.missing == (word,)) == (kind == "decimal")
    assert table.cells["x"].null_count == (2 if kind == "decimal" else 0)
    assert any("taken for missing" in note for note in column.notes) == (bool(word) and kind == "decimal")


def test_words_of_a_few_numbers_or_of_several_kinds_stay_words() -> None:
    rng = np.random.default_rng(1)
    for cells in (
        [str(x) for x in rng.integers(10, size=398)] + ["ten", "ten"],
        [f"{x:.1f}" for x in rng.normal(20, 3, 398)] + ["low", "high"],
        [f"{x:.1f}" for x in rng.normal(20, 3, 300)] + ["none at all"] * 100,
    ):
        assert read(cells).facts.schema.columns[0].kind == "category"
