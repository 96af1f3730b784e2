"""The ledger: what ran is written however it ended, and nothing unknown becomes a number."""

import time
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karat.errors import FitError, RunError
from karat.words import chance, duration, money, number
from karat.worth.ledger import Entry, Ledger, price, total
from karat.worth.meters import CpuMeter
from karat.worth.prices import TEMPLATE, Prices, find


def entry(**changed: object) -> Entry:
    values: dict[str, object] = {"verb": "train", "started": "2026-01-01T00:00:00+00:00", "status": "ok"}
    return Entry(**(values | {"wall_seconds": 2.0, "cpu_seconds": 3600.0, "gpu_seconds": 0.0} | changed))  # type: ignore[arg-type]


def test_a_run_is_measured_and_survives_reading(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run" / "ledger.jsonl", Prices(cpu_core_hour=1.0, watts_per_core=10.0))
    with ledger.entry("make") as running:
        busy = time.process_time() + 0.05
        while time.process_time() < busy:
            pass
        running.items = 7
    (written,) = ledger.entries()
    assert written.status == "ok" and written.items == 7 and written.verb == "make"
    assert 0.045 < written.cpu_seconds < 2 and written.wall_seconds >= 0.045 and written.gpu_seconds == 0
    assert written.money == pytest.approx(written.cpu_seconds / 3600)
    assert written.kwh is not None and written.kwh > 0 and written.energy_from is not None


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, "interrupted"), (ValueError, "failed")])
def test_a_run_that_ends_badly_is_in_the_ledger(tmp_path: Path, error: type[BaseException], status: str) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with pytest.raises(error), ledger.entry("train", "cuda:0"):
        raise error
    (written,) = ledger.entries()
    assert written.status == status and written.gpu_seconds == written.wall_seconds
    assert written.money is None and "gpu_hour" in written.missing and "cpu_core_hour" in written.missing
    assert total([written]).failed == 1


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_torn_last_line_costs_that_line_only(tmp_path: Path, cut: int) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for verb in ("look", "train"):
        ledger.append(entry(verb=verb))
    ledger.path.write_bytes(ledger.path.read_bytes()[:-cut])
    kept = ["look", "train"] if cut == 1 else ["look"]  # one byte short: only the line's end is missing
    assert [e.verb for e in ledger.entries()] == kept
    ledger.append(entry(verb="make"))
    assert [e.verb for e in ledger.entries()] == [*kept, "make"]


GARBAGE = {
    "words": b"nonsense",
    "bytes": bytes(range(256)).replace(b"\n", b""),
    "another record": b'{"fraction": 0.5}',
    "a list": b"[1, 2]",
    "no number": b'{"verb": "make", "started": "", "status": "ok", "wall_seconds": NaN, "cpu_seconds": 1, "gpu_seconds": 0}',
    "text for a number": b'{"verb": "make", "started": "", "status": "ok", "wall_seconds": "1", "cpu_seconds": 1, '
    b'"gpu_seconds": 0}',
    "an absurd number": b'{"verb": "make", "started": "", "status": "ok", "wall_seconds": 1e300, "cpu_seconds": 1, '
    b'"gpu_seconds": 0}',
    "an unknown status": b'{"verb": "make", "started": "", "status": "x", "wall_seconds": 1, "cpu_seconds": 1, "gpu_seconds": 0}',
    "a list of numbers": b'{"verb": "make", "started": "", "status": "ok", "wall_seconds": 1, "cpu_seconds": 1, '
    b'"gpu_seconds": 0, "missing": [1]}',
    "nested too deeply": b"[" * 100_000,
    "a line without an end": b"x" * 300_000,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=list(GARBAGE))
def test_a_damaged_line_costs_that_line_only(tmp_path: Path, garbage: bytes) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append(entry(verb="train"))
    with ledger.path.open("ab") as file:
        file.write(garbage + b"\n")
    ledger.append(entry(verb="make"))
    assert [e.verb for e in ledger.entries()] == ["train", "make"] and ledger.damaged() > 0
    assert total(ledger.entries(), Prices(cpu_core_hour=1.0)).money == pytest.approx(2.0)


@settings(deadline=None, max_examples=50)  # it waits for the disk
@given(place=st.integers(0, 10_000), value=st.integers(0, 255))
def test_one_wrong_byte_never_costs_more_than_a_line(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.jsonl")
    for verb in ("look", "train", "make"):
        ledger.append(entry(verb=verb))
    blob = bytearray(ledger.path.read_bytes())
    blob[place % len(blob)] = value
    ledger.path.write_bytes(blob)
    ledger.append(entry(verb="assay"))
    found = ledger.entries()
    assert found[-1].verb == "assay" and len(found) >= 2  # a line break lost joins two lines
    total(found)


def test_a_ledger_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "ledger.jsonl").symlink_to(victim)
    with pytest.raises(RunError, match="cannot be entered"):
        Ledger(tmp_path / "ledger.jsonl").append(entry())
    assert victim.read_text() == "mine"


def test_totals_are_unknown_as_soon_as_a_part_is() -> None:
    known, unknown = entry(money=1.0, kwh=2.0), entry(status="failed", missing=("cpu_core_hour",))
    assert total([known, known]).money == 2.0 and total([known, known]).kwh == 4.0
    both = total([known, unknown])
    assert both.money is None and both.kwh is None and both.missing == ("cpu_core_hour",) and both.failed == 1
    assert total([known, unknown], Prices(cpu_core_hour=0.5)).money == pytest.approx(1.0)
    assert total([]).money == 0 and total([]).made == 0


def test_an_item_costs_what_making_took_and_else_an_upper_bound() -> None:
    assay, make = entry(verb="assay", items=10, cpu_seconds=100.0), entry(verb="make", items=100, cpu_seconds=50.0)
    both = total([assay, make])
    assert both.item_cpu_seconds == 0.5 and both.made == 100 and not both.making_is_upper
    assert total([assay]).item_cpu_seconds == 10 and total([assay]).making_is_upper


def test_rent_and_own_are_priced_apart() -> None:
    assert price(3600, 0, None, Prices(cpu_core_hour=0.05)) == (pytest.approx(0.05), ())
    assert price(3600, 7200, None, Prices(gpu_hour=2.5)) == (5.0, ())
    assert price(3600, 0, 2.0, Prices(kwh=0.25)) == (0.5, ())
    assert price(3600, 0, None, Prices(kwh=0.25)) == (None, ("watts_per_core",))
    assert price(3600, 60, None, Prices(cpu_core_hour=0.05)) == (None, ("gpu_hour",))


def test_package_energy_is_summed_once_and_wraps(tmp_path: Path) -> None:
    for name, start in (("intel-rapl:0", 900_000), ("intel-rapl:1", 0), ("intel-rapl:0:0", 5)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{start}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("1000000\n")
    meter = CpuMeter(tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("400000\n")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("250000\n")
    assert meter.joules() == pytest.approx(0.75)
    assert CpuMeter(tmp_path / "none").joules() is None


def test_the_template_loads_and_each_of_its_lines_is_a_known_key(tmp_path: Path) -> None:
    assert Prices.load(TEMPLATE).declared() == {}
    text = TEMPLATE.read_text().splitlines()
    lines = [line[2:] for line in text if line.startswith("# ") and (" = " in line or "[[" in line)]
    path = tmp_path / "prices.toml"
    path.write_text("\n".join(lines))
    declared = Prices.load(path).declared()
    assert len(declared) == len(lines) - 3 - 5 >= 25, "a stage is three lines under its head, a source five"
    assert set(declared) == {f.name for f in fields(Prices)} - {"source"}
    assert find(None, [tmp_path / "no", tmp_path]).acceptance == (41, 50)
    assert find(None, [tmp_path / "no"]) == Prices()


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("gpu_hours = 2", "nearest known one is 'gpu_hour'"),
        ("kwh = -1", "below 0"),
        ("kwh = nan", "must be a number"),
        ("kwh = true", "must be a number"),
        ("acceptance = [9, 5]", "accepted, reviewed"),
        ('rights = "sure"', "owned"),
        ("items_wanted = 0", "above 0"),
        ("kwh = ", "not TOML"),
    ],
)
def test_a_wrong_price_is_refused_by_name(tmp_path: Path, text: str, summary: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(FitError, match=summary):
        Prices.load(path)
    with pytest.raises(FitError, match="cannot be read"):
        Prices.load(tmp_path / "absent.toml")


def test_numbers_read_as_a_person_writes_them() -> None:
    shown = [number(v) for v in (0.0, 0.01234, 1.234, 12.0, 123.4, 280.0, 999.6, 12345.6, -0.5, float("nan"), 2e-6)]
    assert shown == ["0", "0.0123", "1.23", "12", "123", "280", "1,000", "12,300", "\u22120.5", "—", "2.00e-6"]
    assert duration(0.42) == "420 ms" and money(200, "USD") == "$200.00"
    assert [duration(s) for s in (0.042, 3.21, 59, 59.7, 3725, 190000)] == [
        "42 ms",
        "3.2 s",
        "59 s",
        "1 min",
        "1 h 2 min",
        "2 d 4 h",
    ]
    assert money(0.2813, "USD") == "$0.281" and money(1234.5, "CHF") == "CHF\u00a01,230" and money(None, "USD") == "—"
    assert money(-12.5, "EUR") == "\u2212€12.50"
    assert money(0.8, "USD") == "$0.80" and money(0.25, None) == "0.25" and money(0.04, "EUR") == "€0.04"
    assert money(4e-14, "USD") == "<$0.0001" and money(0.0, "USD") == "$0" and money(-1e-9, None) == ">\u22120.0001"
    assert chance(1.0) == "over 99%" and chance(0.0) == "under 1%" and chance(0.5) == "50%"


@given(st.floats(1e-4, 1e11) | st.integers(1, 2000).map(float))
def test_a_number_keeps_three_digits(x: float) -> None:
    assert float(number(x).replace(",", "")) == pytest.approx(x, rel=0.006)
