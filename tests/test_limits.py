"""What is refused before it is allocated."""

from __future__ import annotations

import pytest

from karat import limits
from karat.errors import TooLarge


def test_what_fits_is_let_through_and_what_does_not_is_refused_with_the_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KARAT_MEMORY_GB", "1")
    limits.need(5e8, "a table", "Give fewer rows.")
    with pytest.raises(TooLarge, match=r"a table would need about 2\.0 GB of memory, and 1\.0 GB are available\. Give"):
        limits.need(2e9, "a table", "Give fewer rows.")


def test_the_machine_says_how_much_memory_it_has() -> None:
    assert 2**26 < limits.available() < 2**50
    assert limits.words(limits.available())[-2:] in ("MB", "GB", "TB")
