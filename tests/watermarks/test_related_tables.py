"""Related tables carry a mark each, where enough of their columns are drawn as they stand, and a check finds it in any of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from shops import shop, written

import karat
from karat import watermarks
from karat.run import Run

KEY = (
    b"k" * 32
)  # of a key that is drawn anew each time, one make in some dozens of this one small table shows too little


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("shop")
    run = karat.train(written(shop(400, np.random.default_rng(0)), folder / "data"), out=folder / "run", threads=1)
    (run.path / "watermark.key").write_bytes(KEY)
    return run


@pytest.fixture(scope="module")
def made(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    for name, watermark in (("plain", False), ("marked", True), ("again", True)):
        karat.make(run.path, n=600, out=folder / name, watermark=watermark, threads=1)
    karat.make(run.path, n=600, out=folder / "one.db", watermark=True, threads=1)
    return folder


def test_each_table_shows_its_mark_and_none_without(run: Run, made: Path) -> None:
    tables = sorted(path.name for path in (made / "marked").glob("*.csv"))
    assert len(tables) > 2
    for name in tables:
        assert (made / "marked" / name).read_bytes() == (made / "again" / name).read_bytes()
    assert watermarks.detect(made / "marked", run)[0].found and watermarks.detect(made / "one.db", run)[0].found
    assert not watermarks.detect(made / "plain", run)[0].found
    shutil.copy(made / "marked/customers.csv", made / "renamed.csv")
    assert watermarks.detect(made / "renamed.csv", run)[0].found


def test_a_folder_is_found_without_its_label_and_with_rows_and_a_column_lost(
    run: Run, made: Path, tmp_path: Path
) -> None:
    for path in (made / "marked").glob("*.csv"):
        frame = pd.read_csv(path, dtype=str).iloc[:, :-1]
        frame.sample(frac=0.9, random_state=0).to_csv(tmp_path / path.name, index=False)
    found = karat.check(tmp_path, run=run.path)
    assert found.together and found.together[0][1].model == run.id


def test_keys_still_lead_to_rows_of_a_marked_database(made: Path) -> None:
    orders, items = (pd.read_csv(made / "marked" / f"{name}.csv", dtype=str) for name in ("orders", "items"))
    assert set(items["order_id"]) <= set(orders["order_id"])


def test_which_tables_carry_none_is_said_before_anything_is_made(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    karat.make(run.path, n=20, out=tmp_path / "few", watermark=True, threads=1)
    lines = capsys.readouterr().out.splitlines()
    bare = [i for i, line in enumerate(lines) if line.startswith("no watermark is in")]
    assert bare and bare[0] < next(i for i, line in enumerate(lines) if line.startswith("made "))
