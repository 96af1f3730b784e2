"""What docs/reliability.md promises is tested by tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
ROWS = [line for line in (TESTS.parent / "docs" / "reliability.md").read_text().splitlines() if line.startswith("| ")][
    1:
]
NAMES = {path: set(re.findall(r"^def test_(\w+)", path.read_text(), re.M)) for path in TESTS.rglob("test_*.py")}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip() + row.split("|")[2][:40])
def test_every_row_names_tests_that_exist(row: str) -> None:
    told = re.findall(r"`([^`]+)`", row.split("|")[4])
    files = [name for name in told if name.endswith(".py")]
    assert all((TESTS / name).is_file() or (TESTS.parent / name).is_file() for name in files), files
    for name in told:
        if name.endswith(".py") or name.startswith("make "):
            continue
        if name.startswith("KARAT_"):  # a variable that the tests read
            assert any(f'"{name}"' in path.read_text(encoding="utf-8") for path in NAMES), name
            continue
        begin = name.rstrip("…")
        assert any(test.startswith(begin) for tests in NAMES.values() for test in tests), name
    assert told
