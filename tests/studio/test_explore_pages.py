"""What lies between made things: the middle is the middle, the ends are the items, and conditions are kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient

from karat.content.askable import Askable
from karat.content.showing import Row
from karat.errors import FitError
from karat.languages import language
from karat.provenance.containers import CONTAINERS
from karat.provenance.label import parse
from karat.run import Run
from karat.studio import spread
from karat.synthesizer import Synthesizer, load
from karat.synthesizer.latent import Latent, has_latents

HERE = "/runs/digits/explore"


def loaded(root: Path, name: str) -> Synthesizer:
    return load(Run.open(root / "runs" / name), torch.device("cpu"))


def test_a_grid_has_the_mean_in_its_middle_and_goes_as_far_as_said(picture_root: Path) -> None:
    latent = Latent.of(loaded(picture_root, "digits"), "3")
    spreads = latent.axes.norm(dim=1)
    assert bool((spreads[:-1] >= spreads[1:] - 1e-5).all()), "the widest first"
    grid = latent.grid(0, 1, 7, 2.0)
    assert torch.allclose(grid[24], latent.centre, atol=1e-5)
    assert torch.allclose(grid[0], latent.centre - 2 * latent.axes[0] - 2 * latent.axes[1], atol=1e-5)
    assert torch.allclose(grid[48] - grid[42], 4 * latent.axes[0], atol=1e-5)
    items = latent.items(3, 5)
    way = latent.between(items[0], items[2], 9)
    assert torch.allclose(way[0], items[0], atol=1e-5) and torch.allclose(way[-1], items[2], atol=1e-5)
    far = (way - latent.centre).norm(dim=1)
    assert bool((far >= min(far[0], far[-1]) - 1e-4).all()), (
        "the way does not lead through the middle, where nothing is"
    )
    assert torch.equal(latent.items(3, 5), items) and not torch.equal(latent.items(3, 6), items)
    with pytest.raises(FitError, match="no class"):
        Latent.of(latent.synth, "cat")


def test_each_cell_of_a_grid_is_a_labelled_picture_and_its_nearest_real_ones_are_named(pictures: TestClient) -> None:
    page = pictures.get(f"{HERE}?way=directions&label=3&reach=1.0")
    assert page.status_code == 200 and parse(page.headers["x-karat-label"])
    addresses = re.findall(r'src="(/runs/digits/explore/thing/[^"]+)"', page.text)
    assert len(addresses) == 49 + 12
    one = pictures.get(addresses[10].replace("&amp;", "&"))
    assert one.headers["content-type"] == "image/png" and parse(one.headers["x-karat-label"])
    assert CONTAINERS[".png"].words(one.content)
    assert pictures.get(addresses[10].replace("&amp;", "&")).content == one.content
    near = pictures.get(f"{HERE}/near/10?label=3")
    distances = [float(x) for x in re.findall(r'<span class="hint">([\d.]+)</span>', near.text)]
    assert len(distances) == 5 and distances == sorted(distances)
    assert near.text.count('src="/runs/digits/record/') == 5
    assert pictures.get(f"{HERE}/near/49?label=3").status_code == 404
    assert pictures.get(f"{HERE}?way=between&one=1&other=5").text.count("explore/thing/") == 9 + 12


def test_what_an_address_says_wrongly_is_as_usual(pictures: TestClient) -> None:
    for odd in ["way=up", "across=99", "seed=-1", "seed=x", "reach=1e9", "label=nobody", "one=0", "across=²"]:
        assert pictures.get(f"{HERE}?{odd}").text.count("explore/thing/") == 49 + 12


def test_sliders_hold_what_they_say_and_the_other_columns_are_drawn(visitor: TestClient, root: Path) -> None:
    assert not has_latents(loaded(root, "orders"))
    page = visitor.get("/runs/orders/explore")
    assert page.text.count('<figure class="card">') == 2 and language("en").say("studio.explore.free") in page.text
    part = visitor.get("/runs/orders/explore/rows?c0=50&c0.on=on&c1=a")
    assert parse(part.headers["x-karat-label"])
    assert "&#34;kind&#34;=&#34;a&#34;" in part.text
    low, high = map(int, re.findall(r"age&#34;=(\d+)\.\.(\d+)", part.text)[0])
    rows = re.findall(r"<tr><td>(\d+)</td><td>(\w+)</td></tr>", part.text)
    assert len(rows) == 10 and all(low <= int(age) <= high and kind == "a" for age, kind in rows)
    assert '<figure class="card">' not in part.text, "nothing is left free"
    one = visitor.get("/runs/orders/explore/rows?c1=b").text
    assert one.count('<figure class="card">') == 1 and 'aria-label="' in one


@pytest.mark.parametrize(
    ("column", "place", "ends"),
    [
        (Askable("n", "integer", (), "0", "100"), "50", ("47", "53")),
        (Askable("x", "decimal", (), "0.00", "10.00"), "0", ("0.00", "0.25")),
        (Askable("d", "date", (), "2024-01-01", "2024-12-31"), "100", ("2024-12-21", "2024-12-31")),
        (Askable("t", "time", (), "00:00:00", "20:00:00"), "50", ("09:30:00", "10:30:00")),
        (
            Askable("m", "datetime", (), "2024-01-01", "2024-01-03"),
            "50",
            ("2024-01-01 22:48:00", "2024-01-02 01:12:00"),
        ),
    ],
)
def test_a_slider_holds_a_part_of_its_column_round_its_place(
    column: Askable, place: str, ends: tuple[str, str]
) -> None:
    found = spread.conditions([column], {"c0": place, "c0.on": "on"})
    assert found == {"given.0.low": ends[0], "given.0.high": ends[1]}
    assert spread.conditions([column], {"c0": place}) == {}, "only where it holds"
    assert spread.slider(column, {"c0": "nonsense"}, 0).place == 50


def test_a_column_that_follows_from_others_has_the_ends_that_it_has_among_rows() -> None:
    rows = [Row((("amount", str(i)), ("end", f"2024-05-{i:02}"), ("odd", "1/5/24"))) for i in (9, 30, 10)]
    amount, end, odd = (Askable(name, kind) for name, kind in (("amount", "integer"), ("end", "date"), ("odd", "date")))
    assert spread.bounded(amount, rows) == Askable("amount", "integer", (), "9", "30")
    assert spread.bounded(end, rows) == Askable("end", "date", (), "2024-05-09", "2024-05-30")
    assert spread.bounded(odd, rows) == odd and spread.bounded(amount, []) == amount
    assert spread.conditions([odd], {"c0": "50", "c0.on": "on"}) == {}
    ended = Askable("n", "integer", (), "0", "5")
    assert spread.bounded(ended, rows) == ended


def test_the_bars_of_a_column_are_its_shares() -> None:
    rows = [Row((("kind", "<b>"), ("size", str(i)))) for i in range(8)] + [Row((("kind", "tea"), ("size", "9")))] * 2
    (kind, bars), (size, _) = spread.charts(rows, rows[8:], {"kind", "size"})
    assert (kind, size) == ("kind", "size")
    assert "<b>" not in bars and "&lt;b&gt; 0% (80%), tea 100% (20%)" in bars
    assert spread.charts([], [], {"kind"}) == []


@pytest.mark.parametrize("most", [11, 40, 100])
def test_bars_of_whole_numbers_that_are_equally_frequent_are_equally_high(most: int) -> None:
    rows = [Row((("size", str(i)),)) for i in range(1, most + 1)]
    ((_, chart),) = spread.charts(rows, [], {"size"})
    heights = [float(found) for found in re.findall(r'class="ground"[^>]* height="([0-9.]+)"', str(chart))]
    assert len(heights) <= spread.BINS and min(heights[:-1]) == max(heights)
