"""What a person should know of the data before training."""

from __future__ import annotations

from typing import Any

import numpy as np

from karat.content.roles import Declared
from karat.data.dataset import WANTED, Data
from karat.data.duplicates import near_duplicates
from karat.data.split import FEWEST
from karat.words import several


def survey(data: Data) -> dict[str, Any]:
    """What a person should know of his data before training, as JSON; `warnings` are plain sentences."""
    contents = data.contents
    used = np.concatenate([data.train, data.holdout])
    counts: dict[str, int] = {}
    if contents.labels is not None:
        found = np.bincount(contents.labels[used], minlength=len(data.classes))
        counts = {name: int(n) for name, n in zip(data.classes, found, strict=True)}
    imbalance = max(counts.values()) / max(1, min(counts.values())) if counts else None
    facts = {key: value for key, value in contents.facts.items() if key not in ("notes", "doubt")}
    info = {
        "path": data.path,
        "kind": data.codec.name,
        "what": data.codec.phrase(),
        "fingerprint": data.fingerprint,
        "count": len(contents.records),
        "train": len(data.train),
        "holdout": len(data.holdout),
        "split": "the publisher's" if contents.holdout is not None else "by content",
        "classes": counts,
        "imbalance": imbalance,
        **data.codec.traits(),
        "exact_duplicates": data.duplicates,
        "near_duplicates": near_duplicates(data),
        "skipped": [list(row) for row in contents.skipped],
        **facts,
    }
    between = data.codec.between(contents.records) if isinstance(data.codec, Declared) else []
    info |= {"between": between} if between else {}
    return {**info, "warnings": [*data.notes, *_warnings(info, data.codec.thing)]}


def _warnings(info: dict[str, Any], thing: str) -> list[str]:
    warnings = []
    different = info["train"] + info["holdout"]
    if different < WANTED:
        what = thing if info["near_duplicates"] is None else f"different {thing}"
        never = "" if different >= FEWEST else f", and `train` wants {FEWEST} at least"
        warnings.append(f"There are only {several(different, what)}; a generator needs about {WANTED}{never}.")
    if info["skipped"]:
        names = ", ".join(name for name, _ in info["skipped"][:3])
        warnings.append(
            f"Skipped, for they could not be read: {several(len(info['skipped']), 'file')}: {names}{_more(info['skipped'])}."
        )
    if info.get("ignored"):
        kinds = ", ".join(f"{count} {kind}" for kind, count in list(info["ignored_kinds"].items())[:4])
        warnings.append(f"Left alone: {several(info['ignored'], 'other file')} ({kinds}).")
    if info["exact_duplicates"]:
        warnings.append(f"Dropped: {several(info['exact_duplicates'], 'exact duplicate')}.")
    near = info["near_duplicates"]
    if near is not None and near["records"] > 0.01 * near["examined"]:
        warnings.append(f"{near['records']:,} of {near['examined']:,} {thing}s compared have a near duplicate.")
    if near is not None and near["across"] > 0.001 * near["examined"]:
        warnings.append(
            f"Near duplicates on different sides of the split: {several(near['across'], 'pair')}; copying will look common."
        )
    if info["imbalance"] is not None and info["imbalance"] > 3:
        least, most = min(info["classes"], key=info["classes"].get), max(info["classes"], key=info["classes"].get)
        ratio = f"{info['imbalance']:.3g} times as many"
        warnings.append(f"{most!r} has {ratio} {thing}s as {least!r}; a generator will learn the small class worse.")
    scarce = [name for name, count in info["classes"].items() if count < 50]
    if scarce:
        listed = ", ".join(repr(name) for name in scarce[:5])
        warnings.append(
            f"Fewer than 50 {thing}s in {several(len(scarce), 'class', 'classes')}: {listed}{_more(scarce, 5)}."
        )
    return warnings


def _more(things: list[Any], shown: int = 3) -> str:
    return f" and {len(things) - shown} more" if len(things) > shown else ""
