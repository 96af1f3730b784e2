"""Descriptors, detail along axes, copies at any shift, and the balance of what else is known, each on a case of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from karat.assays.points import bias
from karat.assays.points.descriptors import described, kolmogorov_smirnov
from karat.assays.points.detail import detail
from karat.assays.points.embedded import Described, Embedded

CLASSES = ("a", "b")


def gauged(
    n: int, seed: int, mean: float = 0.5, spread: float = 0.1, later: float = 0.0, without: float = 0.1
) -> Described:
    """Lengths round `mean`, those of class b by `later` longer; pitches that a share `without` does not have."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=n)
    length = mean + spread * rng.standard_normal(n) + later * labels
    pitch = np.where(rng.random(n) < without, np.nan, 150 + 20 * rng.standard_normal(n))
    return Described({"length (s)": length, "pitch (Hz)": pitch}, labels)


def raised(made: Described, seed: int = 0) -> dict[str, str]:
    found = described(gauged(2700, 10 * seed), gauged(300, 10 * seed + 1), made, CLASSES)
    assert [f.name for f in found] == ["length", "pitch"]
    assert all(f.low <= f.value <= f.high or np.isnan(f.value) for f in found)
    return {f.name: f.summary for f in found if f.raised}


@pytest.mark.parametrize("seed", range(20))
def test_real_data_are_never_accused(seed: int) -> None:
    assert raised(gauged(3000 if seed % 2 else 300, 1000 + seed), seed) == {}


@pytest.mark.parametrize(
    ("made", "name", "summary"),
    [
        (gauged(3000, 5, mean=0.56), "length", "too high on average"),
        (gauged(3000, 5, mean=0.44), "length", "too low on average"),
        (gauged(3000, 5, spread=0.02), "length", "spread otherwise"),
        (gauged(3000, 5, mean=0.475, later=0.06), "length", "class b"),
        (gauged(3000, 5, without=0.5), "pitch", "of what was made have one, 9"),
    ],
)
def test_each_fault_is_told(made: Described, name: str, summary: str) -> None:
    found = raised(made)
    assert set(found) == {name} and summary in found[name]


def test_a_gauge_that_nothing_made_has_is_told() -> None:
    bare = gauged(300, 3)
    bare.descriptors["pitch (Hz)"][:] = np.nan  # type: ignore[index]
    assert "0 made records have one" in raised(bare)["pitch"]


def test_a_hold_out_that_differs_of_itself_accuses_nobody() -> None:
    train, aside = gauged(2700, 1), gauged(300, 2, mean=0.7)
    assert not any(f.raised for f in described(train, aside, gauged(3000, 3), CLASSES))
    assert described(train, aside, gauged(3000, 3, mean=0.3), CLASSES)[0].raised


def test_the_distance_of_distributions_is_that_of_their_functions() -> None:
    assert kolmogorov_smirnov(np.arange(4.0), np.arange(4.0)) == 0
    assert kolmogorov_smirnov(np.array([0.0, 1.0]), np.array([1.0, 2.0, 3.0, 4.0])) == pytest.approx(0.75)


def test_detail_is_measured_along_one_axis_where_there_is_content() -> None:
    points = torch.full((2, 1, 8, 8), -1.0)
    points[1, :, :, :] = 0.0
    points[1, :, ::2, :] = 0.5  # stripes across the first axis
    assert detail(points, 2).tolist() == pytest.approx([0.0, 1.0])
    assert detail(points, 3).tolist() == [0.0, 0.0]


def spoken(n: int, seed: int, shares: tuple[float, float, float]) -> tuple[Embedded, np.ndarray]:
    rng = np.random.default_rng(seed)
    of = rng.choice(3, n, p=shares)
    points = torch.from_numpy(np.eye(3)[of].repeat(4, 1) + 0.2 * rng.standard_normal((n, 12))).float()
    return Embedded(points, points, None, None), np.array(["ann", "bob", "cy"])[of]


def test_an_overdrawn_speaker_is_named_and_what_cannot_be_read_is_left_out() -> None:
    even = (0.3, 0.4, 0.3)
    (train, who), (unseen, aside), (made, _) = (
        spoken(600, 0, even),
        spoken(200, 1, even),
        spoken(200, 2, (0.8, 0.1, 0.1)),
    )
    rng = np.random.default_rng(0)
    takes = [np.array([f"{i}" for i in rng.integers(5, size=n)]) for n in (600, 200)]
    known = {"speaker": (who, aside), "take": (takes[0], takes[1])}
    (found,) = bias.facets(train, unseen, made, known)
    assert found.raised and found.name == "speaker balance" and found.detail.worst == "ann"
    (fair,) = bias.facets(train, unseen, spoken(200, 3, even)[0], known)
    assert not fair.raised
    assert bias.facets(train, unseen, made, {"speaker": (who, np.full(200, "ann"))}) == []
