"""What a verb found or made, as JSON has it."""

from __future__ import annotations

import json
import math
from typing import Any

from karat.run import Run

TOLD = ("status", "step", "seconds", "trained_samples", "device")  # of a run


def result_of(result: Any) -> dict[str, Any]:
    """The result of a verb as a table of plain values, as `karat --json` writes it; a number that is not finite is None."""
    if isinstance(result, Run):
        out = {"run": str(result.path), "id": result.id, **{key: result.spec.get(key) for key in TOLD}}
    elif isinstance(result, list):
        out = {"files": [str(path) for path in result]}
    elif isinstance(result, dict):
        out = result
    elif result is None:
        out = {}
    else:
        out = {**result.to_dict(), "report": None if result.report is None else str(result.report)}
    plain: dict[str, Any] = json.loads(json.dumps(_finite(out), default=str))
    return plain


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
