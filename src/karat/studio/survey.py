"""What is in data that somebody chose: the survey, some records to look at, and what each recipe would take and cost."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from karat.data import Data, load, survey
from karat.data.dataset import WANTED
from karat.data.split import FEWEST
from karat.recipe import load as load_recipe
from karat.studio.page import Viewer
from karat.words import count, number
from karat.workflow.probing import estimates
from karat.worth.inputs import CPU_CORE_HOUR_USD
from karat.worth.prices import Prices, find

KEPT, SHOWN = 6, 48  # surveys, and records on a sheet
SCARCE, UNEVEN = 50, 3  # records of a class, and times that the largest is larger than the smallest, of which to speak
DIGITS = "digits"  # handwritten digits that the install brings


@dataclass(frozen=True)
class Survey:
    """info: as `karat look` has it.   sheet: some training records side by side, in the format `suffix`.

    recipes: those that there are for such data, the usual one first; none where there are too few records. Once `measured`,
    what the usual one would take.   hour: the price of an hour of a core, and whether it was declared.
    """

    info: dict[str, Any]
    sheet: bytes
    suffix: str
    recipes: tuple[dict[str, Any], ...]
    hour: float
    currency: str
    declared: bool
    digest: str
    thing: str  # what one record is called
    notes: tuple[str, ...]

    @property
    def budget(self) -> float:
        """Minutes that the usual recipe asks for by itself."""
        return load_recipe(self.fitting[0]["recipe"]).train.minutes if self.fitting else 1.0

    @property
    def fitting(self) -> list[dict[str, Any]]:
        return [r for r in self.recipes if r["fits"]]


def sentences(found: Survey, viewer: Viewer) -> list[str]:
    """What a person should know of the data before training, by the counts of the survey."""
    info, called = found.info, viewer.language.thing(found.thing)
    near, n = info["near_duplicates"], info["train"] + info["holdout"]
    scarce = [name for name, count in info["classes"].items() if count < SCARCE]
    told: list[tuple[bool, str, dict[str, Any]]] = [
        (n < WANTED, "few", {"n": count(n), "wanted": WANTED}),
        (
            bool(info["skipped"]),
            "skipped",
            {
                "n": count(len(info["skipped"])),
                "names": viewer.language.listed([name for name, _ in info["skipped"]], 3),
            },
        ),
        (bool(info.get("ignored")), "ignored", {"n": count(info.get("ignored", 0))}),
        (bool(info["exact_duplicates"]), "exact", {"n": count(info["exact_duplicates"])}),
        (
            near is not None and near["records"] > 0.01 * near["examined"],
            "near",
            {} if near is None else {"n": count(near["records"]), "all": count(near["examined"])},
        ),
        (
            (info["imbalance"] or 0) > UNEVEN,
            "uneven",
            {"times": number(info["imbalance"]), "name": min(info["classes"], key=info["classes"].get, default="")},
        ),
        (
            bool(scarce),
            "scarce",
            {"n": count(len(scarce)), "least": SCARCE, "names": viewer.language.listed(scarce)},
        ),
    ]
    return [viewer.t(f"look.{key}", **called, **values) for holds, key, values in told if holds]


class Surveys:
    """Surveys of late, so that a page that is loaded again need not look again; one is made at a time."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], Survey] = OrderedDict()
        self._turn = threading.Lock()

    def of(self, source: Path | str, root: Path, measured: bool = False) -> Survey:
        """The survey of what lies there, made anew where that has changed; DataError where it cannot be learned from.

        measured: with the minutes and the memory of the usual recipe on this machine, which takes some seconds more.
        """
        key = (str(source), *_stamp(source), _stamp(root / "prices.toml"), measured)
        with self._turn:
            found = self._kept.get(key)
            if found is None:
                found = self._kept[key] = looked(source, root, measured)
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found


def looked(source: Path | str, root: Path, measured: bool) -> Survey:
    data = load(source, options={}, glance=True, fewest=1)
    info = survey(data)
    prices = find(None, [root])
    enough = len(data.train) + len(data.holdout) >= FEWEST
    recipes = estimates(data, prices, measure=None if measured else False) if enough else []
    return Survey(
        info,
        _sheet(data),
        data.codec.sheets,
        tuple(recipes),
        prices.cpu_core_hour if prices.cpu_core_hour is not None else _usual(prices),
        prices.currency or "USD",
        prices.cpu_core_hour is not None,
        data.fingerprint[:12],
        data.codec.thing,
        data.notes,
    )


def _usual(prices: Prices) -> float:
    return CPU_CORE_HOUR_USD if prices.currency in (None, "USD") else float("nan")


def _sheet(data: Data) -> bytes:
    """Records of all classes, where there are any: the training ones at even distances."""
    rows = data.train
    if data.contents.labels is not None:
        rows = rows[np.argsort(data.contents.labels[rows], kind="stable")]
    rows = rows[np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int)] if len(rows) else rows
    return data.codec.sheet(data.contents.records[rows], 12 if data.codec.sheets == ".png" else 8)


def _stamp(path: Path | str) -> tuple[int, int]:
    """When a file, or anything in the first two levels of a folder, was changed, and how much there is."""
    if not isinstance(path, Path) or not path.exists():
        return 0, 0
    found = [path, *(path.glob("*") if path.is_dir() else ()), *(path.glob("*/") if path.is_dir() else ())]
    stats = [p.stat() for p in found if p.exists()]
    return max(s.st_mtime_ns for s in stats), sum(s.st_size for s in stats) + len(stats)
