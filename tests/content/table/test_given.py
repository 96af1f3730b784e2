"""Conditions as people type them: each is met to the letter or refused in a line, whatever it holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from karat.content.table.given import GivenCells
from karat.content.table.rules.conditions import names_file
from karat.content.table.tables import Tables
from karat.errors import DataError

VAST = "1" + "0" * 23  # of which there is a float and no integer


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> GivenCells:
    file = tmp_path_factory.mktemp("given") / "t.csv"
    rows = "".join(
        f"{i % 9},{i * 0.37:.2f},{'ab'[i % 2]},2024-01-{i % 28 + 1:02},user{i}@example.org\n" for i in range(90)
    )
    file.write_text("qty,price,kind,day,mail\n" + rows)
    contents = Tables.read(file, {})
    codec = Tables.fit(contents, np.arange(90))
    return codec.conditions


@pytest.mark.parametrize("value", [VAST, "9" * 400, "-1e400", "1e400..", "..1e400", "\ud800", "\udcff1"])
@pytest.mark.parametrize("column", ["qty", "price", "kind", "day", "mail"])
def test_a_value_that_no_cell_can_hold_is_refused_in_a_line(cells: GivenCells, column: str, value: str) -> None:
    if column == "price" and value == VAST:
        value = f"-{10**400}"
    elif column == "mail":
        value = f"{value}\ud800"  # else any text may be an address
    with pytest.raises(DataError) as caught:
        cells.given(f"{column}={value}")
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["qty==5", "qty = 5", 'qty=="5"', "qty=+5"])
def test_two_signs_of_equality_are_one_and_a_plus_is_no_fault(cells: GivenCells, text: str) -> None:
    found = cells.given(text)["qty"].cell
    assert found is not None and found.to_pylist() == [5]
    quoted = cells.given('mail="=x"')["mail"].cell
    assert quoted is not None and quoted.to_pylist() == ["=x"], "in quotes a value is as it stands"


@pytest.mark.parametrize(
    ("text", "file"),
    [('"city, now"=Bern', False), ('a="x, y"', False), ("a.csv", True), ("a, b=2", True), ('"x', True), ("", True)],
)
def test_a_name_in_quotes_that_holds_a_comma_makes_a_condition_and_no_file(text: str, file: bool) -> None:
    assert names_file(text) == file


def test_a_condition_too_long_to_be_the_name_of_a_file_is_read_as_one_and_shown_in_part(
    cells: GivenCells, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for text in ("kind" + "a" * 9_000, "qty=" + "5," * 5_000, '"' + "a" * 9_000, "a" * 9_000 + "=3"):
        with pytest.raises(DataError) as caught:
            list(cells.conditioning_blocks(text, None, 3, rng, 9))
        assert len(str(caught.value)) < 900
