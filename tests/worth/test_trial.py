"""An A/B result is an input with its interval: what the made arm brings beyond the other, in money where that is declared."""

from pathlib import Path

import numpy as np
import pytest

from karat.assays.details.records import Trial
from karat.errors import FitError
from karat.worth.inputs import inputs_of
from karat.worth.ledger import Cost
from karat.worth.prices import Prices
from karat.worth.trial import read_trial


def written(folder: Path, text: str) -> Path:
    path = folder / "results.csv"
    path.write_text(text)
    return path


def test_more_conversions_are_worth_what_one_is_declared_to_be(tmp_path: Path) -> None:
    path = written(tmp_path, "arm,shown,clicks,conversions\nmade,10000,900,260\nphotos,10000,950,200\n")
    found = read_trial(path)
    assert (
        isinstance(found.detail, Trial)
        and found.detail.measure == "conversions"
        and found.detail.today.name == "photos"
    )
    assert (
        found.value == pytest.approx(0.006) and 0 < found.low < 0.003 < 0.009 < found.high < 0.012 and not found.raised
    )
    prices = Prices(shown_per_item=500, value_per_conversion=4.0, value_per_click=9.0)
    extra = next(i for i in inputs_of([found], Cost(), prices)[0] if i.name == "extra value")
    assert extra.tag == "measured" and extra.a == pytest.approx(0.006 * 500 * 4)
    assert extra.b == pytest.approx((found.high - found.low) / 3.92 * 2000)
    undeclared = next(i for i in inputs_of([found], Cost(), Prices())[0] if i.name == "extra value")
    assert undeclared.tag == "assumed" and undeclared.a == 0


def test_what_surely_brings_less_is_raised(tmp_path: Path) -> None:
    assert read_trial(written(tmp_path, "arm,shown,clicks\nmade,5000,100\nB,5000,200\n")).raised
    assert not read_trial(written(tmp_path, "arm,shown,clicks\nmade,50,1\nB,50,2\n")).raised


def test_the_interval_of_sales_by_days_holds_what_was_put_there(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(60):
        lines = ["arm,shown,sales"]
        for arm, mean in (("made", 0.30), ("today", 0.25)):
            for _ in range(20):
                bought = rng.poisson(40)
                lines.append(f"{arm},1000,{rng.exponential(mean * 1000 / 40, bought).sum():.2f}")
        found = read_trial(written(tmp_path, "\n".join(lines)))
        held += found.low <= 0.05 <= found.high
    assert held >= 52  # 57 are expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("arm,shown,clicks\nA,10,1\nB,10,2\n", "called 'made'"),
        ("arm,shown\nmade,10\nB,10\n", "counts nothing"),
        ("arm,shown,clicks\nmade,10,11\nB,10,2\n", "whole counts"),
        ("arm,shown,clicks\nmade,ten,1\nB,10,2\n", "no CSV"),
        ("arm,shown,sales\nmade,10,5\nB,10,2\n", "spread"),
        ("arm,clicks\nmade,5\n", "no column shown"),
        ("arm;shown;clicks\nmade;10;1\nB;10;2\n", "between commas"),
        ("arm,shown,clicks\nmade,,1\n", "line 2"),
        ("arm,shown,clicks\nmade,1e308,1\nB,10,2\n", "whole counts"),
        ("arm,shown,sales,conversions\nmade,1e-320,1,1\nB,10,2,1\n", "whole counts"),
        ("arm,shown,sales,conversions\nmade,1,1e308,1\nB,10,2,1\n", "line 2"),
    ],
)
def test_a_result_that_says_too_little_is_told_what_is_missing(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(FitError, match=says):
        read_trial(written(tmp_path, text))
