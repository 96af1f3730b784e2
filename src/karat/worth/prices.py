"""What things cost, as the person declared it: a short TOML file, nothing in it required or filled in silently."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from karat.errors import FitError

TEMPLATE = Path(__file__).with_name("prices.toml")
FILE_NAME = "prices.toml"
WORDS = {"personal": ("none", "some", "unknown"), "labels": ("added", "none", "unknown")}


@dataclass(frozen=True)
class Prices:
    """Declared prices; None is undeclared. Amounts are in `currency`.

    cpu_core_hour, gpu_hour: rent of one core, one GPU for an hour.   kwh: price of energy on owned hardware.
    watts_per_core, watts_gpu: draw of owned hardware that does not measure itself.
    generation_cost_per_item: what a supplier asks per item; it takes the place of what the ledger measured.
    review_seconds_per_item, review_hour: a person's time per item, and his price.   acceptance: (accepted, reviewed).
    fixed_cost: spent once besides computing.   escape_loss: expected loss per accepted item from bad ones that slip by.
    alternative_cost_per_item: what an item costs today.   items_wanted: accepted items over the whole life.
    label_cost_per_item: what labelling one more real item costs.   rights: "owned", "licensed: ...", "none", "unknown".
    personal: "none" where no record is about a person, else "some" or "unknown".   labels: "added" where a label of origin is
    put on all that is shipped, else "none" or "unknown".
    source: the file this was read from.
    """

    currency: str | None = None
    cpu_core_hour: float | None = None
    gpu_hour: float | None = None
    kwh: float | None = None
    watts_per_core: float | None = None
    watts_gpu: float | None = None
    generation_cost_per_item: float | None = None
    review_seconds_per_item: float | None = None
    review_hour: float | None = None
    acceptance: tuple[int, int] | None = None
    fixed_cost: float | None = None
    alternative_cost_per_item: float | None = None
    items_wanted: float | None = None
    label_cost_per_item: float | None = None
    escape_loss: float | None = None
    value_horizon_years: float | None = None
    discount_rate: float | None = None
    rights: str | None = None
    personal: str | None = None
    labels: str | None = None
    source: str | None = None

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any], source: str = "prices") -> Prices:
        """Prices from a table of keys; raises FitError naming the key that is unknown or the value that cannot be."""
        known = [f.name for f in fields(cls) if f.name != "source"]
        values: dict[str, Any] = {}
        for key, value in given.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, 1, 0.0)[0]
                raise FitError(f"{source} has a key {key!r} that is not known; the nearest known one is {near!r}.")
            values[key] = _valid(key, value, source)
        return cls(**values, source=source)

    @classmethod
    def load(cls, path: Path) -> Prices:
        """Prices from a TOML file; raises FitError if it is missing, is not TOML, or says what cannot be."""
        try:
            with open(path, "rb") as file:
                return cls.from_mapping(tomllib.load(file), str(path))
        except OSError as error:
            raise FitError(
                f"{path} cannot be read ({error.strerror}); name another file, or leave --prices away."
            ) from error
        except FitError:
            raise
        except (ValueError, RecursionError) as error:
            raise FitError(f"{path} is not TOML: {error}. Compare it with the template {TEMPLATE}.") from error

    @property
    def least_accepted(self) -> float:
        """The share of items that people accept, at least: Clopper and Pearson's lower bound of 95%; 0 where undeclared."""
        if self.acceptance is None or self.acceptance[0] == 0:
            return 0.0
        from scipy.special import betaincinv

        accepted, reviewed = self.acceptance
        return float(betaincinv(accepted, reviewed - accepted + 1, 0.05))

    def declared(self) -> dict[str, Any]:
        """What was declared, by key."""
        pairs = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: value for name, value in pairs if value is not None and name != "source"}


def find(named: Path | None, folders: Sequence[Path]) -> Prices:
    """The prices of the file `named`, else of the first `prices.toml` in `folders`, else none declared."""
    if named is not None:
        return Prices.load(named)
    for folder in folders:
        if (folder / FILE_NAME).is_file():
            return Prices.load(folder / FILE_NAME)
    return Prices()


def _valid(key: str, value: Any, source: str) -> Any:
    if key in WORDS and value not in WORDS[key]:
        raise FitError(f"{source}: {key} is {value!r}; say one of {', '.join(map(repr, WORDS[key]))}.")
    if key in WORDS:
        return value
    if key in ("currency", "rights"):
        if not isinstance(value, str) or not value.strip():
            raise FitError(f"{source}: {key} is {value!r}; it must be a word in quotes.")
        if key == "rights" and value.split(":")[0].strip().lower() not in ("owned", "licensed", "none", "unknown"):
            raise FitError(f'{source}: rights is {value!r}; say "owned", "licensed: <which>", "none" or "unknown".')
        return value.strip()
    if key == "acceptance":
        whole = isinstance(value, list | tuple) and len(value) == 2 and all(type(v) is int for v in value)
        if not whole or not 0 <= value[0] <= value[1]:
            raise FitError(f"{source}: acceptance is {value!r}; say [accepted, reviewed], such as [41, 50].")
        return (value[0], value[1])
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise FitError(f"{source}: {key} is {value!r}; it must be a number.")
    if value < 0:
        raise FitError(f"{source}: {key} is {value!r}; it cannot be below 0.")
    if key in ("items_wanted", "value_horizon_years") and value == 0:
        raise FitError(f"{source}: {key} is 0; it must be above 0, or leave the line away.")
    return float(value)
