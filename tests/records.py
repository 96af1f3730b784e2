"""What a run keeps of itself, as little as it may."""

from __future__ import annotations


def spec(**changed: object) -> dict[str, object]:
    """What karat.json holds of a run, as little as it may."""
    least: dict[str, object] = {
        "id": "abc",
        "version": "1",
        "data": "digits",
        "inside": False,
        "options": {},
        "holdout": 0.1,
        "fingerprint": "00",
        "seed": 0,
        "recipe": {},
        "minutes": None,
        "steps": 3,
        "samples": None,
        "epsilon": None,
        "precision": None,
        "track": [],
        "classes": [],
        "threads": None,
    }
    return {**least, **changed}
