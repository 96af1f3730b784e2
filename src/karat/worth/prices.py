"""What things cost, as the person declared it: a short TOML file, nothing in it required or filled in silently."""

from __future__ import annotations

import datetime
import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from karat.errors import FitError

TEMPLATE = Path(__file__).with_name("prices.toml")
FILE_NAME = "prices.toml"
MOST = 1e15  # of any amount: sums of what is above lose their cents, and products overflow
LEAST_SHARE = 1e-6
MOST_YEARS = 100  # which are summed one by one
Amount = float | tuple[float, float]  # one number, or two ends between which any number is as likely
RANGES = (  # what may be declared as two ends
    *(
        "alternative_cost_per_item",
        "items_wanted",
        "review_seconds_per_item",
        "review_hour",
        "gate_share",
        "fixed_cost",
    ),
    *("escape_loss", "extra_value_per_item", "value_horizon_years", "discount_rate", "persistence"),
)
WORDS = {"personal": ("none", "some", "unknown"), "labels": ("added", "none", "unknown")}


@dataclass(frozen=True)
class Stage:
    """A step that has to be paid before the next one, and the chance that it is passed."""

    name: str
    costs: float
    passes: float


@dataclass(frozen=True)
class Source:
    """Where a part of the data comes from.   licence: "owned", "none", "unknown", or which.   purpose: what the owner gave
    it for, "" for anything; expires: the last day on which it may be used, None for no end."""

    name: str
    licence: str
    owner: str = ""
    purpose: str = ""
    expires: datetime.date | None = None


@dataclass(frozen=True)
class Prices:
    """Declared prices; None is undeclared. Amounts are in `currency`; an `Amount` may be two ends.

    cpu_core_hour, gpu_hour: rent of one core, one GPU for an hour.   kwh: price of energy on owned hardware.
    watts_per_core, watts_gpu: draw of owned hardware that does not measure itself.
    generation_cost_per_item: what a supplier asks per item; it takes the place of what the ledger measured.
    review_seconds_per_item, review_hour: a person's time per item, and his price.   acceptance: (accepted, reviewed).
    gate_share: of made items, those that pass automatic gates.
    computing_cost: what all runs cost; it takes the place of what the ledger measured.   fixed_cost: spent once besides.
    escape_loss: expected loss per accepted item from bad ones that slip by.
    extra_value_per_item: what an accepted item brings beyond the one it replaces.
    persistence: the share of items still in use after a year.   stages: to be passed, in turn, before anything is earned.
    shown_per_item, margin, value_per_conversion, value_per_click: what an A/B result is worth, see `trial`.
    alternative_cost_per_item: what an item costs today.   items_wanted: accepted items over the whole life.
    label_cost_per_item: what one more real, labelled item costs.   rights: "owned", "licensed: ...", "none", "unknown".
    sources: the same for each source of the data by itself.
    personal: "none" where no record is about a person, else "some" or "unknown".   labels: "added" where a label of origin is
    put on all that is shipped, else "none" or "unknown".
    note: what whoever declares them says of them, shown on the first page.   source: the file this was read from.
    """

    currency: str | None = None
    cpu_core_hour: float | None = None
    gpu_hour: float | None = None
    kwh: float | None = None
    watts_per_core: float | None = None
    watts_gpu: float | None = None
    generation_cost_per_item: float | None = None
    review_seconds_per_item: Amount | None = None
    review_hour: Amount | None = None
    acceptance: tuple[int, int] | None = None
    gate_share: Amount | None = None
    computing_cost: float | None = None
    fixed_cost: Amount | None = None
    alternative_cost_per_item: Amount | None = None
    items_wanted: Amount | None = None
    label_cost_per_item: float | None = None
    escape_loss: Amount | None = None
    value_horizon_years: Amount | None = None
    extra_value_per_item: Amount | None = None
    discount_rate: Amount | None = None
    persistence: Amount | None = None
    shown_per_item: float | None = None
    margin: float | None = None
    value_per_conversion: float | None = None
    value_per_click: float | None = None
    stages: tuple[Stage, ...] = ()
    sources: tuple[Source, ...] = ()
    rights: str | None = None
    personal: str | None = None
    labels: str | None = None
    note: str | None = None
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
            return cls.from_mapping(tomllib.loads(Path(path).read_text(encoding="utf-8-sig")), str(path))
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

    @property
    def most_accepted(self) -> float:
        """The same, at most: the upper bound of 95%; 1 where undeclared."""
        if self.acceptance is None or self.acceptance[0] == self.acceptance[1]:
            return 1.0
        from scipy.special import betaincinv

        accepted, reviewed = self.acceptance
        return float(betaincinv(accepted + 1, reviewed - accepted, 0.95))

    def declared(self) -> dict[str, Any]:
        """What was declared, by key."""
        pairs = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: value for name, value in pairs if value not in (None, ()) and name != "source"}


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
    if key in ("currency", "rights", "note"):
        if not isinstance(value, str) or not value.strip():
            raise FitError(f"{source}: {key} is {value!r}; it must be a word in quotes.")
        if key == "rights" and value.split(":")[0].strip().lower() not in ("owned", "licensed", "none", "unknown"):
            raise FitError(f'{source}: rights is {value!r}; say "owned", "licensed: <which>", "none" or "unknown".')
        return value.strip()
    if key == "acceptance":
        whole = isinstance(value, list | tuple) and len(value) == 2 and all(type(v) is int for v in value)
        if not whole or not 0 <= value[0] <= value[1] <= MOST:
            raise FitError(f"{source}: acceptance is {value!r}; say [accepted, reviewed], such as [41, 50].")
        return (value[0], value[1])
    if key == "stages":
        return _stages(value, source)
    if key == "sources":
        return _sources(value, source)
    if key in RANGES and isinstance(value, list | tuple):
        if len(value) != 2 or not _number(key, value[0], source) < _number(key, value[1], source):
            raise FitError(f"{source}: {key} is {value!r}; say one number, or [lowest, highest].")
        return (float(value[0]), float(value[1]))
    return _number(key, value, source)


def _number(key: str, value: Any, source: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise FitError(f"{source}: {key} is {value!r}; it must be a number.")
    most = MOST_YEARS if key == "value_horizon_years" else MOST
    if not -MOST <= value <= most:
        raise FitError(f"{source}: {key} is beyond what can be reckoned with; it must be a number up to {most:,.0f}.")
    if value < 0 and key != "extra_value_per_item":
        raise FitError(f"{source}: {key} is {value!r}; it cannot be below 0.")
    if key in ("items_wanted", "value_horizon_years", "gate_share", "persistence") and value == 0:
        raise FitError(f"{source}: {key} is 0; it must be above 0, or leave the line away.")
    if key in ("gate_share", "persistence", "passes", "margin") and value > 1:
        raise FitError(f"{source}: {key} is {value!r}; it is a share, between 0 and 1.")
    if key in ("gate_share", "persistence") and value < LEAST_SHARE:
        raise FitError(f"{source}: {key} is {value!r}; say {LEAST_SHARE:.6f} or more.")
    return float(value)


def _sources(value: Any, source: str) -> tuple[Source, ...]:
    known = {f.name: f.type for f in fields(Source)}
    rows = value if isinstance(value, list) else [value]  # [sources] is one of them
    for one in rows:
        dated = not isinstance(one, dict) or type(one.get("expires")) in (datetime.date, type(None))
        texts = isinstance(one, dict) and all(isinstance(v, str) for k, v in one.items() if k != "expires")
        if not isinstance(one, dict) or not {"name", "licence"} <= set(one) <= set(known) or not texts or not dated:
            raise FitError(
                f"{source}: a source is {one!r}; say each as [[sources]] with name and licence, and if you like owner, "
                "purpose (in quotes) and expires (a date, as 2027-01-31, without quotes)."
            )
    return tuple(Source(**one) for one in rows)


def _stages(value: Any, source: str) -> tuple[Stage, ...]:
    wanted = {"name", "costs", "passes"}
    if not isinstance(value, list) or not all(isinstance(x, dict) and set(x) == wanted for x in value):
        raise FitError(
            f"{source}: stages are {value!r}; say each as [[stages]] with name, costs, and passes (the chance that it is passed)."
        )
    return tuple(
        Stage(str(x["name"]), _number("costs", x["costs"], source), _number("passes", x["passes"], source))
        for x in value
    )
