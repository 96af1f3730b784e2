"""Nets that learned for a few steps are finished in a few rounds: what the last ones change is nothing that these tests see."""

from __future__ import annotations

import pytest

from karat import nets


@pytest.fixture(autouse=True)
def _few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nets, "ROUNDS", 4)
