"""Faults planted into real records of every kind that nobody learned from: each is named by the finding that should speak.

Where the records are too few for a fault to be seen, it is listed as such: its finding may keep silent, and says from which
share on it would have spoken.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from spoilt import BENCHES, Bench

from karat.assays import Finding
from karat.data import Data, load
from karat.workflow import office

pytestmark = pytest.mark.exam
Judged = Callable[[str, str], list[Finding]]

# by kind and attack, a finding that speaks and words of what it says
NAMED: dict[str, dict[str, tuple[str, str]]] = {
    "pictures": {
        "every three moved by 4 pixels into a corner": ("outliers", "middle along width"),
        "a third of the fours labelled nine": ("mislabelled", "made ones labelled 9"),
        "half of the twos with grey inverted": ("outliers", "brightness"),
        "half of the sevens with a white border": ("outliers", "edges across"),
        "a quarter of the picture black in 5%": ("outliers", "middle along"),
        "one picture forty times, with other noise": ("repeats", "One and the same record is made 41 times"),
        "10% are another made picture with noise": ("repeats", "Such as numbers"),
        "of the ones only those that lean": ("class balance", "Class 1"),
        "strokes of the eights lighter by a third": ("outliers", "the brightest point is at least"),
    },
    "texts": {
        "5% of the passages are other made ones again": ("repeats", "10.20% of the made passages"),
        "one passage thirty times": ("repeats", "One and the same passage is made 30 times"),
        "5% in another language": ("outliers", "bits per character"),
        "the words of a line in disorder in 10%": ("outliers", "bits per character is at most"),
        "10% in small letters": ("outliers", "share of capitals is at least"),
        "every 'not' left out": ("word balance", "as not: in"),
        "'he' and 'she', 'his' and 'her' exchanged": ("word balance", "as she: in"),
        "half of the passages end with another's lines": ("coherence", "takes up"),
        "names of the speakers dealt out anew": ("coherence", "takes up"),
        "a date in figures in 3%": ("outliers", "share of figures"),
    },
    "sequences": {
        "time turned round": ("real forecast", ""),
        "the temperature six hours late": ("real cross-correlation", "DEWP and TEMP"),
        "changes of the temperature in another order": ("real autocorrelation", "TEMP"),
        "each stretch begins at another hour of the day": ("stretch + real out of range", "furthest step of real.PRES"),
        "a sensor stuck for a day in a third of the stretches": (
            "stretch + real out of range",
            "most rows in which real.TEMP stays as it is",
        ),
        "the temperature 8 degrees off in 1% of the hours": ("stretch + real out of range", "real.TEMP"),
        "a jump of 10 hPa in the middle of a tenth of the stretches": (
            "stretch + real out of range",
            "furthest step of real.PRES is at most 6",
        ),
        "no winter": ("real column shapes", "TEMP"),
        "5% of the stretches again": ("stretch + real combinations", "another row over again"),
    },
    "related": {
        "orders given to any customer": ("orders rules", "customers.signup <= orders.order_date"),
        "10% of the totals half as high again": ("orders rules", "orders.total = sum(items.price * items.quantity)"),
        "tickets dealt out evenly": ("tickets customer_id cardinality", "0 to 1 but for one in a hundred"),
        "5% of the orders before their customer signed up": ("orders rules", "customers.signup <= orders.order_date"),
        "customers of one segment without tickets": (
            "customers + orders + tickets combinations",
            "made rows with segment = silver",
        ),
        "orders of one segment without payments": ("payments order_id cardinality pairs", ""),
        "5% of the customers twice": ("customers + orders + tickets combinations", "another row over again"),
        "payments above the order in 5%": ("payments rules", "orders.total >= payments.amount"),
        "a third of the orders of one product only": ("orders rules", "orders.total"),
        "orders of web and shop exchanged for one segment": ("customers + orders + tickets combinations", "silver"),
    },
}
TOO_FEW = {"pictures": ("10% of the fours labelled nine",), "sequences": ("pressure of another stretch",)}


@pytest.fixture(scope="module", params=sorted(NAMED))
def bench(
    request: pytest.FixtureRequest, data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Bench, Data, Path]:
    torch.set_num_threads(1)
    place, one = tmp_path_factory.mktemp(request.param), BENCHES[request.param](data_dir)
    data = load(one.write(one.real, place / "real"), options=dict(one.options), holdout=one.holdout)
    return request.param, one, data, place


def test_what_is_spoilt_is_named_and_what_is_not_accuses_nobody(bench: tuple[str, Bench, Data, Path]) -> None:
    kind, one, data, place = bench
    assert set(NAMED[kind]) | set(TOO_FEW.get(kind, ())) == set(one.attacks)
    wrong = []
    for i, (name, change) in enumerate({"nothing": lambda x, _: x, **one.attacks}.items()):
        records = change(one.fresh, np.random.default_rng(5))
        made = office.read_made(data, one.write(records, place / f"made{i}"))
        found = office.judge_records(data, made, seed=0).findings
        raised = {f.name: f.summary for f in found if f.raised}
        if name == "nothing":
            wrong += [(name, raised)] if raised else []
        elif name in NAMED[kind]:
            key, words = NAMED[kind][name]
            wrong += [] if words in raised.get(key, "no such finding") else [(name, raised)]
    assert not wrong
