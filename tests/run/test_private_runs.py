"""What a private run tells without noise does not depend on any one row: paid for, declared public, or absent."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import case

import karat
from karat import privacy, trust
from karat.assays.table import membership
from karat.content.table.encoding.private import private_bins
from karat.data import load
from karat.errors import DataError, FitError
from karat.privacy import Budget, Source
from karat.workflow.office import read_made

HEADER = "id,age,pay,town,day"
SCHEMA = """
[columns]
id = { kind = "identifier" }
age = { kind = "integer", low = 0, high = 120 }
pay = { kind = "decimal", places = 2 }
town = { kind = "category" }
day = { kind = "date", format = "%Y-%m-%d" }
"""
NOISED = ("fine", "coarse", "values", "counts", "value")  # of a part of codec.json
OWN = (
    "id",
    "fingerprint",
    "seal",
    "signature",
    "seconds",
    "ended",
    "models",
    "data",
    "parts",
    "device",
)  # of karat.json: other in every run


def rows(n: int = 1_200) -> list[str]:
    rng = np.random.default_rng(0)
    return [
        f"u{i:05d},{rng.integers(18, 90)},{rng.gamma(2, 1_000):.2f},{rng.choice(['Bonn', 'Ulm', 'Jena'])},"
        f"2024-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}"
        for i in range(n)
    ]


NEIGHBOURS = {
    "one decimal more": "x,40,17.12345,Bonn,2024-05-05",
    "another category": "x,40,17.12,Atlantis,2024-05-05",
    "an extreme value": "x,40,999999999.99,Bonn,2024-05-05",
    "a missing cell": "x,40,,Bonn,2024-05-05",
    "a longer text": f"{'x' * 300},40,17.12,{'B' * 200},2024-05-05",
}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def fitted(place: Path, name: str, lines: list[str], *settings: str, inferred: bool = False) -> Path:
    (place / name).mkdir()
    (place / name / "t.csv").write_text("\n".join([HEADER, *lines, ""]))
    (place / "schema.toml").write_text(SCHEMA)
    run = karat.train(
        place / name / "t.csv",
        epsilon=1.0,
        schema=None if inferred else place / "schema.toml",
        out=place / name / "run",
        set=["model.noise=seeded", *settings],
        threads=1,
        public_schema=inferred,
    )
    return run.path


def told(run: Path) -> dict[str, Any]:
    """All that a run tells but what was noised, and what differs between any two runs."""
    record = json.loads((run / "karat.json").read_text())
    codec = json.loads((run / "codec.json").read_text())
    for part in codec["layout"]["parts"]:
        for name in NOISED:
            part.pop(name, None)
    spent = json.loads((run / "privacy.json").read_text())
    ledger = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
    kept = {name: value for name, value in record.items() if name not in OWN}
    costs = [sorted({(c["rho"], c["delta"]) for c in spent[side]["spent"]}) for side in ("codec",)]
    rest = {name: value for name, value in spent.items() if name not in ("codec", "family", "epsilon")}
    items = [(entry["verb"], entry["items"], entry["note"]) for entry in ledger]
    names = sorted(p.name for p in run.rglob("*") if p.is_file() and not p.name.startswith(("model-", ".")))
    return {"record": kept, "codec": codec, "costs": costs, "privacy": rest, "ledger": items, "files": names}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    place = tmp_path_factory.mktemp("private")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(place / "state"))
        return place, told(fitted(place, "base", rows()))


@pytest.mark.parametrize("name", list(NEIGHBOURS))
def test_what_a_run_tells_without_noise_is_the_same_with_one_row_more(
    base: tuple[Path, dict[str, Any]], name: str, state: Path
) -> None:
    place, mine = base
    theirs = told(fitted(state, name.replace(" ", "-"), [*rows(), NEIGHBOURS[name]]))
    assert json.dumps(theirs, sort_keys=True) == json.dumps(mine, sort_keys=True)


def test_what_is_inferred_does_follow_one_row_and_so_is_declared_public(state: Path) -> None:
    one = fitted(state, "one", rows(300), inferred=True)
    two = fitted(state, "two", [*rows(300), NEIGHBOURS["one decimal more"]], inferred=True)
    assert told(one)["codec"] != told(two)["codec"], "the comparison sees what it is to see"
    assert privacy.INFERRED in json.loads((two / "privacy.json").read_text())["public"]


def test_neither_a_hash_that_others_can_check_nor_the_number_of_rows_is_in_a_run(state: Path) -> None:
    run = fitted(state, "one", rows(1_234))
    plain = load(state / "one" / "t.csv").fingerprint
    texts = [p.read_bytes() for p in run.rglob("*") if p.is_file()]
    assert not any(plain.encode() in text or plain[:16].encode() in text for text in texts)
    count = len(load(state / "one" / "t.csv").train)
    for name in ("karat.json", "codec.json", "privacy.json", "ledger.jsonl"):
        numbers = re.sub(r"[0-9a-f]{12,}", "", (run / name).read_text())  # digests, in which any digits may come
        assert f"{count}" not in numbers.replace("_", "")
        assert "1234" not in (run / name).read_text()


def test_the_fingerprint_is_another_in_each_run_and_knows_the_data_again(state: Path) -> None:
    one, two = (trust.keyed(name, "ab") for name in ("r1", "r2"))
    assert one is not None and one != two and one == trust.keyed("r1", "ab") and one != trust.keyed("r1", "ac")


def test_epsilon_wants_a_schema_or_that_what_is_inferred_is_public(state: Path) -> None:
    (state / "t.csv").write_text("\n".join([HEADER, *rows(300), ""]))
    with pytest.raises(FitError, match="--public-schema"):
        karat.train(state / "t.csv", epsilon=1.0, out=state / "r")
    (state / "half.toml").write_text('[columns]\nage = { kind = "integer" }\n')
    with pytest.raises(DataError, match="does not say the kind of 'id', 'pay', 'town'"):
        karat.train(state / "t.csv", epsilon=1.0, schema=state / "half.toml", out=state / "r")
    with pytest.raises(FitError, match="goes with --epsilon"):
        karat.train(state / "t.csv", public_schema=True, out=state / "r")


def test_what_is_public_is_said_in_the_run_and_on_the_terminal(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (state / "t.csv").write_text("\n".join([HEADER, *rows(300), ""]))
    run = karat.train(state / "t.csv", epsilon=1.0, public_schema=True, out=state / "r", threads=1)
    spent = json.loads((run.path / "privacy.json").read_text())
    out = capsys.readouterr().out
    assert spent["private"] and privacy.INFERRED in spent["public"] and set(privacy.PUBLIC) < set(spent["public"])
    assert "differentially private" in out and all(" ".join(s.split()[:6]) in out for s in spent["public"])


def test_noise_that_can_be_repeated_is_called_private_nowhere(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fitted(state, "seeded", rows(300))
    out = capsys.readouterr().out
    assert "NOT private" in out and "differentially private:" not in out
    assert json.loads((run / "privacy.json").read_text())["private"] is False


def test_delta_is_what_was_asked_for_in_the_codec_and_in_the_family(state: Path) -> None:
    run = fitted(state, "delta", rows(300), "model.delta=1e-9")
    spent = json.loads((run / "privacy.json").read_text())
    assert spent["delta"] == pytest.approx(1e-9) and spent["epsilon"] <= 1.0
    with pytest.raises(FitError, match="giving rows away whole"):
        fitted(state, "large", rows(300), "model.delta=0.5")
    with pytest.raises(FitError, match="model.share cannot be set"):
        fitted(state, "share", rows(300), "model.share=1.0")


@pytest.mark.exam
def test_what_only_one_row_has_is_never_made_and_nobody_is_told_from_others(state: Path) -> None:
    """Twenty rows with a town and a pay of their own, some of which are learned from; the attack is that of the report."""
    planted = [f"p{i},4{i % 10},{7e8 + i:.2f},Atlantis{i},2031-05-{i + 1:02d}" for i in range(20)]
    (state / "t.csv").write_text("\n".join([HEADER, *rows(800), *planted, ""]))
    (state / "schema.toml").write_text(SCHEMA)
    how = {"schema": state / "schema.toml", "out": state / "r", "holdout": "0.5", "threads": 1}
    run = karat.train(state / "t.csv", epsilon=1.0, **how)
    data = load(state / "t.csv", holdout="0.5")
    text = run.make(n=800).to_csv(index=False)
    (state / "made.csv").write_text(text)
    learned = data.view("train")
    town, pay = learned.names.index("town"), learned.names.index("pay")
    assert sum("Atlantis" in c for c in np.array(learned.columns.choices[town])[np.unique(learned.codes(town))]) > 4
    assert (learned.values[:, pay] > 7e8).sum() > 4
    assert "Atlantis" not in text and not any(f"{7e8 + i:.2f}" in text for i in range(20))
    made = data.codec.view(read_made(data, state / "made.csv").records)
    (found,) = membership.findings(case(learned, data.view("holdout"), made))
    share, low, high = found.detail.found_at_false_alarm_rate["1.0%"]
    assert low <= 0.01 <= high and not found.raised, found.summary


def edges(n: int, seed: int) -> int:
    values = np.random.default_rng(0).normal(0, 1_000, n)
    return len(private_bins(values, 2, Budget(0.5), Source(seed)))


@pytest.mark.parametrize("n", [999, 9_999])
def test_the_number_of_bins_does_not_follow_the_exact_number_of_values(n: int) -> None:
    near = [np.bincount([edges(n + more, seed) for seed in range(16)], minlength=300) for more in (0, 1)]
    assert np.abs(near[0] - near[1]).sum() <= 8  # a step at a power of ten would give 32
