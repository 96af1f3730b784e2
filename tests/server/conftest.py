"""Runs that a server has, trained once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from served import runs_in


@pytest.fixture(scope="session")
def served_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `served.runs_in`; tests leave it as it is, but for what a server notes of what it made."""
    return runs_in(tmp_path_factory.mktemp("served"))


@pytest.fixture
def runs(served_runs: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(served_runs, tmp_path / "runs", symlinks=True))
