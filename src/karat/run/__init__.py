"""A run is a folder; `folder` is the only file that knows its layout on disk."""

from karat.run.folder import BEGUN, Draft, Run
from karat.run.record import LAYOUT
from karat.run.weights import safe_header

__all__ = ["BEGUN", "Draft", "LAYOUT", "Run", "safe_header"]
