"""What is written is whole and labelled or not there, replaces nothing that was there, and lies where it was asked to."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from files import LABEL, tree

import karat
from karat.cache import cache_entry, cache_folder
from karat.errors import FitError, KaratError, RunError
from karat.output import (
    BESIDE,
    Output,
    digest,
    write_whole,
)
from karat.run import Run
from karat.worth.ledger import Ledger


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# One file ---------------------------------------------------------------------------------------------------------------


def test_a_file_that_is_there_is_refused_and_stays(table: Path, tmp_path: Path) -> None:
    goal = tmp_path / "x.csv"
    goal.write_text("mine")
    with pytest.raises(RunError, match=r"x\.csv is there already.*--overwrite"):
        karat.make(table / "run", n=5, out=goal, threads=1)
    assert tree(tmp_path) == {"x.csv": b"mine"}
    karat.make(table / "run", n=5, out=goal, overwrite=True, threads=1)
    assert len(goal.read_text().splitlines()) == 6


def test_a_label_that_is_there_is_refused_as_the_file_is(table: Path, tmp_path: Path) -> None:
    (tmp_path / f"x.csv{BESIDE}").write_text("{}")
    with pytest.raises(RunError, match=r"label\.json is there already"):
        karat.make(table / "run", n=5, out=tmp_path / "x.csv", threads=1)
    assert tree(tmp_path) == {f"x.csv{BESIDE}": b"{}"}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("way", ["itself", "another name", "hard link", "link", "link to the folder"])
def test_what_a_run_learned_from_is_never_replaced_by_any_name(
    table: Path, tmp_path: Path, overwrite: bool, way: str
) -> None:
    data = table / "mine.csv"
    before = data.read_bytes()
    goal = tmp_path / "x.csv"
    if way == "itself":
        goal = data
    elif way == "another name":
        goal = table / "run" / ".." / "mine.csv"
    elif way == "hard link":
        os.link(data, goal)
    elif way == "link":
        goal.symlink_to(data)
    else:
        (tmp_path / "there").symlink_to(table)
        goal = tmp_path / "there" / "mine.csv"
    with pytest.raises(RunError, match="learned from|is a link"):
        karat.make(table / "run", n=5, out=goal, overwrite=overwrite, threads=1)
    assert data.read_bytes() == before and not list(table.glob("*.label.json"))


def test_nothing_is_made_among_the_files_of_a_folder_that_was_learned(tmp_path: Path) -> None:
    (tmp_path / "photos" / "cats").mkdir(parents=True)
    (tmp_path / "photos" / "cats" / "a.png").write_bytes(b"x")
    output = Output(True, [tmp_path / "photos"])
    for goal in (tmp_path / "photos", tmp_path / "photos" / "new", tmp_path / "photos" / "cats" / "a.png"):
        with pytest.raises(RunError, match="learned from"):
            output.check(goal)
    os.link(tmp_path / "photos" / "cats" / "a.png", tmp_path / "b.png")
    with pytest.raises(RunError, match="same file"):
        output.check(tmp_path / "b.png")
    output.check(tmp_path / "photos-new")


def test_a_link_is_never_written_through(table: Path, tmp_path: Path) -> None:
    (tmp_path / "victim.csv").write_text("mine")
    (tmp_path / "link.csv").symlink_to(tmp_path / "victim.csv")
    (tmp_path / "loose.csv").symlink_to(tmp_path / "new.csv")
    for name in ("link.csv", "loose.csv"):
        with pytest.raises(RunError, match=f"{name} is a link"):
            karat.make(table / "run", n=5, out=tmp_path / name, overwrite=True, threads=1)
    assert (tmp_path / "victim.csv").read_text() == "mine" and not (tmp_path / "new.csv").exists()
    (tmp_path / "folder").mkdir()
    (tmp_path / "short").symlink_to(tmp_path / "folder")
    karat.make(table / "run", n=5, out=tmp_path / "short" / "x.csv", threads=1)
    assert (tmp_path / "folder" / "x.csv").is_file(), "a folder by another name is a folder"


def test_a_link_in_a_run_leads_nothing_out_of_it(table: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    home = tmp_path / "run"
    home.mkdir()
    (home / "made").symlink_to(outside)
    output = Output(home=home)
    for goal in (home / "made", home / "made" / "x.csv"):
        with pytest.raises(RunError, match="link out of the run"):
            output.check(goal)
    assert not any(outside.iterdir())


def test_no_part_of_a_run_is_a_place_for_results(table: Path) -> None:
    before = tree(table / "run")
    for goal in ("", "karat.json", "codec.json", "ledger.jsonl"):
        with pytest.raises(RunError, match="part of the run"):
            karat.make(table / "run", n=5, out=table / "run" / goal, overwrite=True, threads=1)
    after = tree(table / "run")
    assert {k: v for k, v in after.items() if not k.startswith("ledger.jsonl")} == {
        k: v for k, v in before.items() if not k.startswith("ledger.jsonl")
    }


def test_rows_to_complete_are_not_replaced_by_the_completed(table: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.csv"
    part.write_text("a,c\n1,x\n2,\n")
    with pytest.raises(RunError, match="stays as it is"):
        karat.make(table / "run", given=str(part), out=part, overwrite=True, threads=1)
    assert part.read_text() == "a,c\n1,x\n2,\n"


def test_a_written_schema_replaces_neither_a_file_nor_the_data(table: Path, tmp_path: Path) -> None:
    goal = tmp_path / "schema.toml"
    goal.write_text("mine")
    with pytest.raises(RunError, match="is there already"):
        karat.look(table / "mine.csv", write_schema=goal, probe=False)
    with pytest.raises(RunError, match="holds no schema"):
        karat.look(table / "mine.csv", write_schema=goal, overwrite=True, probe=False)
    assert goal.read_text() == "mine", "another file of a person's is no schema, whatever --overwrite says"
    goal.write_text("[columns]\n")
    karat.look(table / "mine.csv", write_schema=goal, overwrite=True, probe=False)
    assert "[columns]" in goal.read_text()
    with pytest.raises(RunError, match="learned from"):
        karat.look(table / "mine.csv", write_schema=table / "mine.csv", overwrite=True, probe=False)
    with pytest.raises(RunError, match="learned from"):
        karat.look(table / "mine.csv", schema=goal, write_schema=goal, overwrite=True, probe=False)


def test_a_file_that_appears_while_it_is_made_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is there already"), Output().open(tmp_path / "x.csv") as file:
        file.write(b"ours")
        (tmp_path / "x.csv").write_text("theirs")
    assert tree(tmp_path) == {"x.csv": b"theirs"}


def test_a_failed_write_leaves_nothing_and_the_old(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("old")
    with pytest.raises(ZeroDivisionError), Output(True).labelled(tmp_path / "x.csv", LABEL) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert tree(tmp_path) == {"x.csv": b"old"}


def test_a_label_whose_file_never_came_is_no_hindrance(tmp_path: Path) -> None:
    goal = tmp_path / "x.csv"
    with Output().labelled(goal, LABEL) as file:
        file.write(b"whole")
    assert json.loads((tmp_path / f"x.csv{BESIDE}").read_text())["sha256"] == {"x.csv": digest(b"whole")}
    goal.unlink()  # as if it had been killed between the two
    with Output().labelled(goal, LABEL) as file:
        file.write(b"again")
    assert goal.read_bytes() == b"again"


def test_what_killed_writers_left_is_swept_and_what_living_ones_hold_is_not(tmp_path: Path) -> None:
    with Output().open(tmp_path / "x.csv") as file:
        file.write(b"first")
        (part,) = tmp_path.glob(".*.part")
        with Output(True).open(tmp_path / "x.csv") as other:
            other.write(b"second")
        assert part.exists(), "it is being written"
        (tmp_path / "x.csv").unlink()
    left = tmp_path / f"{part.name.rsplit('.', 2)[0]}.12345678.part"
    left.write_bytes(b"torn")
    Output(True).write(tmp_path / "x.csv", b"third")
    assert tree(tmp_path) == {"x.csv": b"third"}


def test_what_is_private_stays_so_and_a_replaced_file_keeps_its_mode(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"x")
    Output(private=True).write(tmp_path / "new" / "b", b"x")
    assert mode(tmp_path / "a") == mode(tmp_path / "new" / "b") == 0o600 and mode(tmp_path / "new") == 0o700
    (tmp_path / "c").write_bytes(b"x")
    (tmp_path / "c").chmod(0o640)
    Output(True).write(tmp_path / "c", b"y")
    assert mode(tmp_path / "c") == 0o640


# Reports ----------------------------------------------------------------------------------------------------------------


def test_a_report_replaces_no_file_but_the_last_report_of_its_run(table: Path, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(RunError, match="is there already"):
        karat.assay(table / "run", n=100, out=tmp_path, threads=1)
    assert tree(tmp_path) == {"report.html": b"mine"}
    found = karat.assay(table / "run", n=100, threads=1)
    again = karat.assay(table / "run", n=120, threads=1)
    assert found.report == again.report and found.report is not None
    assert mode(found.report) == 0o600 and mode(found.report.parent) == 0o700
    with pytest.raises(RunError, match="is there already"):
        again.save(tmp_path / "report.html")
    with pytest.raises(RunError, match="learned from"):
        again.save(table / "mine.csv", overwrite=True)
    assert again.save(tmp_path / "copy.html").is_file()
    found.report.with_suffix(".json").write_text('{"mine": 1}')
    with pytest.raises(RunError, match="is there already"):
        karat.assay(table / "run", n=100, threads=1)


def test_a_report_names_no_place_of_this_machine_and_says_whether_it_holds_real_rows(
    table: Path, tmp_path: Path
) -> None:
    rows = [line.split(",") for line in (table / "mine.csv").read_text().splitlines()[1:]]
    shown = karat.assay(table / "run", n=100, out=tmp_path / "a", threads=1).report
    hidden = karat.assay(table / "run", n=100, out=tmp_path / "b", no_real=True, threads=1).report
    assert shown is not None and hidden is not None
    for report in (shown, hidden):
        for file in (report, report.with_suffix(".json")):
            assert str(table) not in file.read_text() and str(Path.home()) + "/" not in file.read_text()

    def held(page: str) -> int:
        return sum(all(f"<td>{cell}</td>" in page for cell in row) and f"<td>{row[1]}</td>" in page for row in rows)

    assert "--no-real leaves them out" in shown.read_text() and "left out" in hidden.read_text()
    assert held(shown.read_text()) > held(hidden.read_text())


def test_errors_of_the_writer_are_for_a_person(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for goal in (tmp_path / "file" / "x.csv", tmp_path / ("n" * 300)):
        with pytest.raises(KaratError, match="cannot write"):
            Output().write(goal, b"x")
    with pytest.raises(RunError, match="is a folder"):
        Output(True).write(tmp_path, b"x")


# Runs and the cache -----------------------------------------------------------------------------------------------------


def test_a_run_and_all_that_is_in_it_are_for_its_owner_only(table: Path) -> None:
    run = table / "run"
    assert mode(run) == 0o700
    assert {mode(p) for p in run.rglob("*") if p.is_file() and p.parent == run} == {0o600}


def test_a_run_writes_nothing_through_links(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "r", {"id": "0123456789ab"})
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "victim").write_text("mine")
    for name in ("history.jsonl", "ledger.jsonl", "diagnostics.json"):
        (run.path / name).symlink_to(tmp_path / "victim")
    for name in ("samples", "checkpoints"):
        (run.path / name).symlink_to(outside)
    writes: list[Callable[[], object]] = [
        lambda: run.append("history.jsonl", {"fraction": 0}),
        lambda: run.save_checkpoint(1, b"x"),
        lambda: run.file("samples/100.png"),
        lambda: run.put("diagnostics.json", []),
    ]
    for write in writes:
        with pytest.raises(RunError, match="is a link"):
            write()
    with pytest.raises(RunError, match="cannot be entered"), Ledger(run.path / "ledger.jsonl").entry("make"):
        pass
    assert (tmp_path / "victim").read_text() == "mine" and not any(outside.iterdir())


def test_a_frame_takes_no_files_place(tmp_path: Path) -> None:
    (tmp_path / "data.parquet").write_text("mine")
    with pytest.raises(RunError, match=r"holds data\.parquet"):
        karat.train(pd.DataFrame({"a": range(300)}), out=tmp_path, threads=1)
    assert (tmp_path / "data.parquet").read_text() == "mine"


def kept(folder: Path, key: str, size: int) -> np.ndarray:
    place = cache_entry(folder, key)
    array = place.allot((size,), np.dtype(np.uint8), keep=True)
    array[:] = 7
    return place.keep(array, {}, size)


def test_the_cache_lets_go_what_was_not_used_for_longest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KARAT_CACHE_GB", "0.003")
    (tmp_path / "somebody's.npy").write_bytes(b"x" * 9_000_000)
    for i, key in enumerate("abc"):
        if key == "c":
            assert cache_entry(tmp_path, "a").find() is not None, "it is used again"
        kept(tmp_path, key, 1_400_000)
        for path in tmp_path.glob("*.npy"):
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 10 + i))
    assert [cache_entry(tmp_path, key).find() is not None for key in "abc"] == [True, False, True]
    assert (tmp_path / "somebody's.npy").exists(), "it is none of ours"
    assert all(mode(p) == 0o600 for p in tmp_path.iterdir() if p.name != "somebody's.npy")
    big = kept(tmp_path, "d", 5_000_000)
    assert int(big[-1]) == 7 and cache_entry(tmp_path, "d").find() is None, "it is used, and takes no room afterwards"
    assert sum(p.stat().st_size for p in tmp_path.iterdir() if p.name != "somebody's.npy") <= 3_000_000


@pytest.mark.parametrize("chosen", ["", "relative", "file", "read only"])
def test_a_cache_that_cannot_be_written_is_no_hindrance(
    chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/proc/nobody")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("KARAT_CACHE", {"file": str(tmp_path / "file"), "read only": "/proc/karat"}.get(chosen, chosen))
    folder = cache_folder(None)
    assert folder.is_absolute() and tmp_path not in folder.parents and mode(folder) == 0o700
    assert int(kept(folder, "a", 100)[0]) == 7
    assert [p.name for p in tmp_path.iterdir()] == ["file"], "nothing is written where one happens to be"


def test_a_limit_of_the_cache_that_is_no_number_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KARAT_CACHE_GB", "much")
    with pytest.raises(FitError, match="KARAT_CACHE_GB is 'much'"):
        kept(tmp_path, "a", 10)
