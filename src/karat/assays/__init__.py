"""What a generator makes, measured: every finding with its interval and the score of unseen real data in its place."""

from __future__ import annotations

from karat.assays.finding import UNSEEN, Finding, find

__all__ = ["UNSEEN", "Finding", "find"]
