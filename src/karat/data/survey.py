"""What a person should know of the data before training."""

from __future__ import annotations

from typing import Any

import numpy as np

from karat.data.dataset import WANTED, Data
from karat.data.duplicates import near_duplicates
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
    told = {
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
        "near_duplicates": near_duplicates(data) if data.codec.compared else None,
        "skipped": [list(row) for row in contents.skipped],
        **facts,
    }
    between = data.codec.between(contents.records)
    told |= {"between": between} if between else {}
    return {**told, "warnings": [*data.notes, *_warnings(told, data.codec.thing)]}


def _warnings(told: dict[str, Any], thing: str) -> list[str]:
    said = []
    different = told["train"] + told["holdout"]
    if different < WANTED:
        what = thing if told["near_duplicates"] is None else f"different {thing}"
        said.append(f"There are only {several(different, what)}; a generator needs about {WANTED}.")
    if told["skipped"]:
        names = ", ".join(name for name, _ in told["skipped"][:3])
        said.append(
            f"Skipped, for they could not be read: {several(len(told['skipped']), 'file')}: {names}{_more(told['skipped'])}."
        )
    if told.get("ignored"):
        kinds = ", ".join(f"{count} {kind}" for kind, count in list(told["ignored_kinds"].items())[:4])
        said.append(f"Left alone: {several(told['ignored'], 'other file')} ({kinds}).")
    if told["exact_duplicates"]:
        said.append(f"Dropped: {several(told['exact_duplicates'], 'exact duplicate')}.")
    near = told["near_duplicates"]
    if near is not None and near["records"] > 0.01 * near["examined"]:
        said.append(f"{near['records']:,} of {near['examined']:,} {thing}s compared have a near duplicate.")
    if near is not None and near["across"] > 0.001 * near["examined"]:
        said.append(
            f"Near duplicates on different sides of the split: {several(near['across'], 'pair')}; copying will look common."
        )
    if told["imbalance"] is not None and told["imbalance"] > 3:
        least, most = min(told["classes"], key=told["classes"].get), max(told["classes"], key=told["classes"].get)
        ratio = f"{told['imbalance']:.3g} times as many"
        said.append(f"{most!r} has {ratio} {thing}s as {least!r}; a generator will learn the small class worse.")
    scarce = [name for name, count in told["classes"].items() if count < 50]
    if scarce:
        listed = ", ".join(repr(name) for name in scarce[:5])
        said.append(
            f"Fewer than 50 {thing}s in {several(len(scarce), 'class', 'classes')}: {listed}{_more(scarce, 5)}."
        )
    return said


def _more(things: list[Any], shown: int = 3) -> str:
    return f" and {len(things) - shown} more" if len(things) > shown else ""
