"""A run of a table, shared by the tests of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import karat


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table and a run that learned it, side by side."""
    home = tmp_path_factory.mktemp("table")
    r = np.random.default_rng(0)
    rows = [f"{a},{b:.2f},{'xyz'[a % 3]}" for a, b in zip(r.integers(0, 90, 300), r.normal(0, 1, 300), strict=True)]
    (home / "mine.csv").write_text("\n".join(["a,b,c", *rows]) + "\n")
    karat.train(home / "mine.csv", out=home / "run", threads=1, set=["model.rounds=2"])
    return home
