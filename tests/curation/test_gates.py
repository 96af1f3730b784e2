"""What is drawn leaves only through the gates; where one fails nothing leaves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawings import save_pictures

import karat
from karat.curation.copies import PLANTED, Copies, planting
from karat.curation.copies.rows import Rows
from karat.curation.repeats import Seen
from karat.data import load
from karat.errors import FitError, GateError, RunError
from karat.run import Run
from karat.views import Columns, TableView, row_digests
from karat.workflow.curating import _searched
from karat.worth.ledger import Ledger, total

ROWS = 400


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Rows with a key, a category and two numbers."""
    home, rng = tmp_path_factory.mktemp("shop"), np.random.default_rng(0)
    rows = {
        "key": np.arange(1, ROWS + 1),
        "kind": rng.choice(["tea", "rice", "salt"], ROWS),
        "weight": np.round(rng.normal(50, 9, ROWS), 2),
        "price": np.round(rng.gamma(3, 4, ROWS), 2),
    }
    pd.DataFrame(rows).to_csv(home / "shop.csv", index=False)
    return karat.train(home / "shop.csv", out=home / "run", threads=1, set=["model.rounds=2"])


def own_gate(folder: Path, body: str) -> str:
    (folder / "gate.py").write_text(f"import numpy as np\n{body}")
    return f"{folder / 'gate.py'}:keep"


@pytest.mark.parametrize("fault", ["KeyError('price')", "SystemExit(0)"])
def test_a_gate_that_crashes_or_ends_the_program_exports_nothing(shop: Run, tmp_path: Path, fault: str) -> None:
    gate = own_gate(tmp_path, f"def keep(rows):\n    raise {fault}\n")
    with pytest.raises(GateError, match=rf"gate\.py:keep failed \({fault[:8]}.*nothing was exported"):
        karat.make(shop, n=10, out=tmp_path / "x.csv", gate=[gate], threads=1)
    assert not list(tmp_path.glob("x.csv*"))


@pytest.mark.parametrize("answer", ["np.ones(3, bool)", "rows.price", "None"])
def test_a_gate_whose_answer_is_none_exports_nothing(shop: Run, tmp_path: Path, answer: str) -> None:
    gate = own_gate(tmp_path, f"def keep(rows):\n    return {answer}\n")
    with pytest.raises(GateError, match="nothing was exported"):
        karat.make(shop, n=10, out=tmp_path / "x.csv", gate=[gate], threads=1)
    assert not list(tmp_path.glob("x.csv*"))


def test_a_gate_may_answer_true_for_some_and_a_reason_for_others(shop: Run, tmp_path: Path) -> None:
    gate = own_gate(tmp_path, "def keep(rows):\n    return [kind != 'tea' or 'tea' for kind in rows.kind]\n")
    (file,) = karat.make(shop, n=50, out=tmp_path / "x.csv", gate=[gate], threads=1)
    assert set(pd.read_csv(file).kind) == {"rice", "salt"}
    assert Ledger(shop.path / "ledger.jsonl").entries()[-1].dropped["tea"] > 5


def test_what_a_gate_drops_is_drawn_anew_and_is_in_the_ledger(shop: Run, tmp_path: Path) -> None:
    gate = own_gate(tmp_path, "def keep(rows):\n    return np.where(rows.kind == 'tea', 'tea', '')\n")
    (file,) = karat.make(shop, n=200, out=tmp_path / "x.csv", gate=[gate], threads=1)
    made = pd.read_csv(file)
    assert len(made) == 200 and set(made.kind) == {"rice", "salt"}
    assert made.key.is_unique and made.key.min() > ROWS, "keys differ over all draws, and none is a real one"
    entry = Ledger(shop.path / "ledger.jsonl").entries()[-1]
    assert entry.items == 200 and entry.candidates == 200 + sum(entry.dropped.values()) and entry.dropped["tea"] > 50
    kept, drawn = total([entry]).gated
    assert (kept, drawn) == (200, entry.candidates)


def test_where_nothing_is_dropped_gates_change_no_byte(shop: Run, tmp_path: Path) -> None:
    for seed in range(20):
        karat.make(shop, n=10, out=tmp_path / "with.csv", seed=seed, threads=1, overwrite=True)
        if not Ledger(shop.path / "ledger.jsonl").entries()[-1].dropped:
            break
    else:
        pytest.fail("in each of 20 makes of ten rows a row was dropped")
    karat.make(shop, n=10, out=tmp_path / "without.csv", seed=seed, gate=["none"], threads=1)
    assert (tmp_path / "with.csv").read_bytes() == (tmp_path / "without.csv").read_bytes()


def test_a_gate_that_nothing_passes_ends_and_exports_nothing(shop: Run, tmp_path: Path) -> None:
    gate = own_gate(tmp_path, "def keep(rows):\n    return np.zeros(len(rows), bool)\n")
    with pytest.raises(GateError, match="0 passed"):
        karat.make(shop, n=5, out=tmp_path / "x.csv", gate=[gate], threads=1)
    assert not list(tmp_path.glob("x.csv*"))


def test_what_is_no_gate_is_said_before_anything_is_drawn(shop: Run, tmp_path: Path) -> None:
    with pytest.raises(FitError, match="wanted en, zh, personal"):
        karat.make(shop, n=5, out=tmp_path / "x.csv", gate=["nothing"], threads=1)


def test_what_a_run_keeps_for_its_gates_is_refused_when_it_was_changed(shop: Run, tmp_path: Path) -> None:
    place = shop.path / "gates.safetensors"
    kept = place.read_bytes()
    try:
        place.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        with pytest.raises(karat.KaratError, match="missing or damaged"):
            karat.make(shop, n=5, out=tmp_path / "x.csv", threads=1)
    finally:
        place.write_bytes(kept)


def table(rng: np.random.Generator, n: int, numbers: int) -> TableView:
    names = (*(f"n{j}" for j in range(numbers)), "kind", "place")
    values = np.column_stack(
        [rng.normal(0, 10, (n, numbers)).round(1), rng.integers(3, size=n), rng.integers(9, size=n)]
    )
    return TableView(Columns(names, (*[()] * numbers, tuple("abc"), tuple("abcdefghi"))), values)


def test_copies_of_rows_are_found_and_unseen_rows_are_not() -> None:
    rng = np.random.default_rng(1)
    train, unseen = table(rng, 2000, 4), table(rng, 2000, 4)
    gate = Rows.restore(Rows.fit(train, 0).arrays())
    changed = train.values.copy()
    changed[:, 4] = (changed[:, 4] + 1) % 3
    assert gate.copied(train).mean() > 0.95 and gate.copied(TableView(train.columns, changed)).mean() > 0.95
    assert gate.copied(unseen).mean() <= 0.01


def people(rng: np.random.Generator, n: int, repeated: float = 0.0) -> TableView:
    """Five categories that hang together, an age, and a weight that tells people apart.   repeated: of the weights are one."""
    job = rng.choice(12, n, p=np.arange(1, 13) / 78)
    age = np.clip(rng.gamma(9, 4.5, n).round(), 17, 90)
    cells = [
        job,
        job // 2,
        (age > 30).astype(int) + rng.integers(2, size=n),
        rng.integers(2, size=n),
        rng.integers(3, size=n),
    ]
    weight = np.where(rng.random(n) < repeated, 1000, np.exp(rng.normal(12, 0.6, n)).round())
    columns = Columns((*"abcde", "age", "weight"), (*(tuple("abcdefghijkl"[:k]) for k in (12, 6, 3, 2, 3)), (), ()))
    return TableView(columns, np.column_stack([*cells, age, weight]))


def test_of_people_whose_one_telling_number_moved_most_are_found() -> None:
    rng = np.random.default_rng(6)
    train, unseen = people(rng, 4000), people(rng, 4000)
    gate = Rows.fit(train, 0)
    for how, view in PLANTED[TableView](train.take(np.arange(500)), rng).items():
        assert gate.copied(view).mean() > (0.95 if how == planting.ROWS[0] else 0.5), how
    assert gate.copied(unseen).mean() < 0.015


def test_a_person_is_told_which_copies_of_rows_are_missed() -> None:
    gate = Copies(Rows.fit(people(np.random.default_rng(6), 4000), 0))
    note = gate.note()
    assert (
        note is not None
        and re.search(r"finds \d\d% of rows with a cell changed", note)
        and planting.ROWS[0] not in note
    )


def test_rows_whose_numbers_are_drawn_from_training_rows_are_no_copies() -> None:
    rng = np.random.default_rng(9)
    train = table(rng, 400, 2)
    mixed = TableView(train.columns, np.stack([rng.permutation(column) for column in train.values.T], 1))
    assert Rows.fit(train, 0).copied(mixed).mean() <= 0.02


def test_rows_that_were_recorded_twice_do_not_hide_copies() -> None:
    rng = np.random.default_rng(7)
    once, unseen = table(rng, 3000, 6), table(rng, 1000, 6)
    train = once.take(np.concatenate([np.arange(3000), np.arange(90)]))
    gate = Rows.fit(train, 0)
    assert gate.copied(once).mean() > 0.95 and gate.copied(unseen).mean() <= 0.01


def test_rows_that_come_again_by_chance_pass_and_copies_of_others_do_not() -> None:
    rng = np.random.default_rng(8)
    train, unseen = people(rng, 4000, 0.5), people(rng, 4000, 0.5)
    gate, common = Rows.fit(train, 0), unseen.values[:, -1] == 1000
    equal = np.isin(row_digests(unseen.values), row_digests(train.values))
    assert equal.mean() > 0.1 and not equal[~common].any()
    assert gate.copied(unseen).mean() <= 0.015, "of rows that equal a training row nearly all pass"
    assert gate.copied(train.take(np.flatnonzero(train.values[:, -1] != 1000))).mean() > 0.95


def test_of_few_categories_no_row_is_refused_as_a_copy() -> None:
    rng = np.random.default_rng(2)
    gate = Rows.fit(table(rng, 2000, 0), 0)
    assert gate.blind and not gate.copied(table(rng, 2000, 0)).any()


def test_of_few_rows_each_part_says_of_the_same_numbers_that_noise_would_move_them() -> None:
    rng = np.random.default_rng(3)
    names = Columns(("pressure", "kind"), ((), ("a", "b")))
    for spread in (14.5, 15.0, 15.5):  # a hundredth of it is about what moves a whole number
        number = rng.normal(size=40)
        number = (spread * (number - number.mean()) / number.std()).round()
        gate = Rows.fit(TableView(names, np.column_stack([number, rng.integers(2, size=40)])), 0)
        assert gate.found.min() >= 0 and gate.found.max() <= 1


def test_that_copies_of_pictures_cannot_be_told_is_known_at_the_second_make_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KARAT_CACHE", str(tmp_path / "cache"))
    save_pictures(tmp_path / "few", 40)
    data = load(tmp_path / "few")
    assert [_searched(data).blind for _ in range(2)] == [True, True]


def test_a_private_run_keeps_nothing_for_its_gates(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pd.DataFrame({"a": rng.choice(["x", "y"], 300), "b": rng.choice(["u", "v", "w"], 300)}).to_csv(
        tmp_path / "d.csv", index=False
    )
    run = karat.train(
        tmp_path / "d.csv", out=tmp_path / "r", epsilon=1.0, public_schema=True, threads=1, set=["model.noise=seeded"]
    )
    assert "gates" not in json.loads((run.path / "karat.json").read_text()) and not list(run.path.glob("gates*"))
    karat.make(run, n=50, out=tmp_path / "x.csv", threads=1)


def test_where_each_case_is_listed_once_no_draw_is_refused_for_being_one_of_them() -> None:
    rng = np.random.default_rng(3)
    cases = np.stack(np.meshgrid(*[np.arange(3.0)] * 7), -1).reshape(-1, 7)
    columns = Columns(tuple("abcdefg"), (tuple("xyz"),) * 7)
    order = rng.permutation(len(cases))
    train, unseen = (TableView(columns, cases[rows]) for rows in (order[:1900], order[1900:]))
    gate = Rows.fit(train, 0)
    drawn = TableView(columns, cases[rng.integers(len(cases), size=2000)])
    assert gate.copied(drawn).mean() > 0.5, "without a look at unseen cases all of them are copies"
    assert gate.settle(drawn, train, unseen) == pytest.approx(1 / len(cases), rel=0.3)
    assert not gate.copied(drawn).any()


def test_a_generator_that_gives_its_rows_back_does_not_lift_the_bar() -> None:
    rng = np.random.default_rng(4)
    train, unseen, fresh = (table(rng, n, 4) for n in (2000, 300, 1000))
    gate = Rows.fit(train, 0)
    gate.settle(TableView(train.columns, np.concatenate([train.values[:1000], fresh.values])), train, unseen)
    assert gate.copied(train).mean() > 0.95


def test_what_was_met_is_known_again_however_it_came_and_few_runs_hold_it() -> None:
    rng, seen, all_ = np.random.default_rng(5), Seen(), []
    for n in (300, 0, 1, 7, 300, 300, 50, 1000, 3):
        new = rng.integers(0, 2**63, n).astype(np.uint64)
        assert not seen.has(new).any()
        seen.add(new)
        all_ += new.tolist()
    assert seen.has(np.array(all_, np.uint64)).all() and len(seen) == len(all_) and len(seen.runs) <= 11


def test_a_training_that_did_not_end_is_made_from_only_where_nobody_wants_copies_to_be_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{i % 7},{i % 5}\n" for i in range(60)))
    run = karat.train(tmp_path / "t.csv", recipe="cart", out=tmp_path / "run", threads=1)
    record = json.loads((run.path / "karat.json").read_text())
    del record["gates"]
    (run.path / "karat.json").write_text(json.dumps(record | {"status": "failed"}))
    with pytest.raises(RunError, match=r"did not end.*karat train .*--gate none") as refused:
        karat.make(run.path, n=5, out=tmp_path / "made.csv", threads=1)
    assert str(run.path) in str(refused.value) and not list(tmp_path.glob("made*"))
    karat.make(run.path, n=5, out=tmp_path / "made.csv", threads=1, gate="none")
    assert (tmp_path / "made.csv").exists()
    (run.path / "karat.json").write_text(json.dumps(record))  # one that ended, before anything was kept for gates
    karat.make(run.path, n=5, out=tmp_path / "other.csv", threads=1)
    assert "copies of training records were not looked for" in " ".join(capsys.readouterr().out.split())
