"""Somebody else's samples that are a copy of the real data are found out, whatever the content: the judge knows of no run."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from karat.options import AssayOptions
from karat.workflow import office


def shop(place: Path) -> tuple[Path, Path]:
    rng, n = np.random.default_rng(0), 120
    keys, who = [f"{i:05d}" for i in rng.permutation(n)], np.repeat(np.arange(n), rng.poisson(2, n))
    customers = pd.DataFrame({"id": keys, "age": rng.integers(18, 80, n), "income": rng.lognormal(10, 0.5, n).round()})
    orders = pd.DataFrame({"id": np.arange(len(who)), "customer_id": np.take(keys, who)})
    orders["amount"], orders["weight"] = rng.lognormal(3, 1, (2, len(who))).round(2)
    for folder, first in (("real", "C"), ("made", "D")):
        (place / folder).mkdir()
        customers.assign(id=first + customers.id).to_csv(place / folder / "customers.csv", index=False)
        orders.assign(customer_id=first + orders.customer_id).to_csv(place / folder / "orders.csv", index=False)
    return place / "real", place / "made"


def prices(place: Path, first: int = 0) -> tuple[Path, Path]:
    rng, n = np.random.default_rng(0), 700
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
    days = pd.bdate_range("2015-01-01", periods=n).strftime("%Y-%m-%d")
    rows = pd.DataFrame({"day": days, "close": close.round(2), "sold": rng.integers(100, 9_000, n)})
    rows.to_csv(place / "real.csv", index=False)
    rows[first:].to_csv(place / "made.csv", index=False)
    return place / "real.csv", place / "made.csv"


def prices_from_the_eighth_on(place: Path) -> tuple[Path, Path]:
    return prices(place, 7)


def shops_at_other_times(place: Path) -> tuple[Path, Path]:
    """Each shop is a record, and none of its windows; the copy is of 500 days later."""
    rng, shops, days = np.random.default_rng(0), 60, 30
    price = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (shops, days)), 1))
    first = rng.integers(0, 300, shops)[:, None] + np.arange(days)
    for name, later in (("real", 0), ("made", 500)):
        day = (pd.Timestamp("2020-01-01") + pd.to_timedelta((first + later).ravel(), unit="D")).strftime("%Y-%m-%d")
        rows = {"day": day, "shop": np.repeat([f"{name}{i:03d}" for i in range(shops)], days)}
        pd.DataFrame({**rows, "price": price.ravel().round(2)}).to_csv(place / f"{name}.csv", index=False)
    return place / "real.csv", place / "made.csv"


def text(place: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghij"), rng.integers(2, 8))) for _ in range(400)]
    whole = " ".join(rng.permutation(words * 20))
    for name in ("real.txt", "made.txt"):
        (place / name).write_text(whole)
    return place / "real.txt", place / "made.txt"


def pictures(place: Path) -> tuple[Path, Path]:
    rng, (y, x) = np.random.default_rng(0), np.mgrid[:12, :12]
    for name in ("real", "made"):
        (place / name).mkdir()
    for i in range(240):
        a, b, r = rng.uniform(2, 10, 3)
        shade = (255 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / r**2) * rng.uniform(0.7, 1, x.shape)).astype(np.uint8)
        for name in ("real", "made"):
            Image.fromarray(shade).save(place / name / f"{i:03d}.png")
    return place / "real", place / "made"


def sounds(place: Path) -> tuple[Path, Path]:
    rng, t = np.random.default_rng(0), np.arange(4000) / 8000
    for name in ("real", "made"):
        (place / name).mkdir()
    for i in range(150):
        tones = sum(np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) for f in rng.uniform(100, 3000, 3))
        heard = (6000 * tones * np.exp(-t * rng.uniform(1, 12))).astype("<i2").tobytes()
        for name in ("real", "made"):
            with wave.open(str(place / name / f"{i:03d}.wav"), "wb") as file:
                file.setparams((1, 2, 8000, 0, "NONE", ""))
                file.writeframes(heard)
    return place / "real", place / "made"


SETTINGS = {shops_at_other_times: ("data.entity=shop", "data.series=day")}


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (shop, {"customers copy rate", "orders copy rate"}),
        pytest.param(prices, {"windows copy rate", "runs of real copy rate"}, marks=pytest.mark.exam),
        (prices_from_the_eighth_on, {"runs of real copy rate"}),
        pytest.param(shops_at_other_times, {"runs of real copy rate"}, marks=pytest.mark.exam),
        (text, {"copy rate", "near copies", "verbatim run"}),
        pytest.param(pictures, {"copy rate"}, marks=pytest.mark.exam),
        pytest.param(sounds, {"copy rate"}, marks=pytest.mark.exam),
    ],
)
def test_samples_that_are_a_whole_copy_are_raised_as_copies(
    content: Callable[[Path], tuple[Path, Path]], names: set[str], tmp_path: Path
) -> None:
    real, made = content(tmp_path)
    found = office.of_files(AssayOptions(real=real, made=made, set=SETTINGS.get(content, ()))).findings
    assert names <= {f.name for f in found if f.raised}, [f.summary for f in found if f.assay == "memory"]
