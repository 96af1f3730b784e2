"""What is written is whole and labelled or not there, replaces nothing that was there, and lies where it was asked to."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from processes import Forked

import karat
from karat.cache import cache_folder, shelf
from karat.errors import FitError, KaratError, RunError
from karat.output import (
    BESIDE,
    INSIDE,
    STAGE,
    Folder,
    Output,
    digest,
    digest_of,
    file_name,
    file_names,
    goes_on,
    write_whole,
)
from karat.provenance.label import Label
from karat.provenance.png import read_label
from karat.run import Run
from karat.worth.ledger import Ledger

LABEL = Label("karat", "0123456789ab", "seed0", "1")


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table and a run that learned it, side by side."""
    home = tmp_path_factory.mktemp("table")
    r = np.random.default_rng(0)
    rows = [f"{a},{b:.2f},{'xyz'[a % 3]}" for a, b in zip(r.integers(0, 90, 300), r.normal(0, 1, 300), strict=True)]
    (home / "mine.csv").write_text("\n".join(["a,b,c", *rows]) + "\n")
    karat.train(home / "mine.csv", out=home / "run", threads=1, set=["model.rounds=2"])
    return home


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = [
        "train.precision=fp32",
        "model.latent=6",
        "model.width=8",
        "model.hidden=16",
        "model.components=4",
        "model.iterations=3",
    ]
    return karat.train("digits", steps=20, out=tmp_path_factory.mktemp("runs") / "r", threads=1, set=settings)


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
    assert {k: v for k, v in after.items() if k != "ledger.jsonl"} == {
        k: v for k, v in before.items() if k != "ledger.jsonl"
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


# Names ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "../../victim/x",
        "/etc/passwd",
        "a/b\\c",
        "..",
        ".",
        "",
        " ",
        ".hidden",
        "-rf",
        "--",
        "CON",
        "nul.csv",
        "com1.tar.gz",
        "a\0b",
        "a\nb",
        "\u202egnp.exe",
        "\u200bx",
        "x" * 300,
        "\u6f22" * 200,
        "a:b",
        "a|b?*<>",
        "trailing. . ",
        "\ud800",
        "\u2028",
        "e\u0301",
        "C:\\x",
        "~root",
        "\ufeff",
        "x\u0085y",
        "aux .txt",
    ],
)
def test_a_name_from_data_is_one_plain_file_name(text: str, tmp_path: Path) -> None:
    name = file_name(text)
    assert name and name not in (".", "..") and len(name.encode()) <= 200
    assert not set(name) & set('/\\\0:*?"<>|') and name[0] not in ".-~ " and name[-1] not in ". "
    assert not any(unicodedata.category(c).startswith(("Cc", "Cf", "Cs")) for c in name)
    assert name.split(".")[0].strip().upper() not in ("CON", "NUL", "COM1", "AUX")
    (tmp_path / f"{name}{BESIDE}").write_text("x")
    assert [p.name for p in tmp_path.iterdir()] == [f"{name}{BESIDE}"]
    assert file_name(name) == name, "a good name stays"


def test_ordinary_names_stay_as_they_are() -> None:
    for text in (
        "orders",
        "Orders 2024 (new)",
        "caf\u00e9",
        "\u8ba2\u5355",
        "a.b",
        "x_y-z",
        "S\u00e3o Paulo",
        "\U0001f600",
    ):
        assert file_name(text) == text


def test_names_that_a_file_system_may_take_for_one_are_told_apart() -> None:
    texts = [
        "Orders",
        "orders",
        "ORDERS",
        "caf\u00e9",
        "cafe\u0301",
        "a/b",
        "a:b",
        "\ufb01x",
        "fix",
        "label.json",
        "x" * 300,
        "x" * 301,
    ]
    names = file_names(texts)
    folded = [unicodedata.normalize("NFKC", n).casefold() for n in names.values()]
    assert len(set(folded)) == len(texts) and "label.json" not in folded
    assert names["Orders"] == "Orders" and file_names(texts) == names


# Folders ----------------------------------------------------------------------------------------------------------------

REQUEST = {"n": 3, "seed": 0}


def filled(
    goal: Path, count: int, request: dict[str, int] = REQUEST, overwrite: bool = False, fail: int | None = None
) -> None:
    with Folder(Output(overwrite), goal, LABEL, request) as folder:
        for i in range(count):
            if i == fail:
                raise OSError(28, "No space left on device")
            folder.write(f"{i:06d}.txt", f"{request['seed']}:{i}".encode())


def test_a_folder_is_whole_and_each_file_is_in_its_label(tmp_path: Path) -> None:
    filled(tmp_path / "new", 3)
    record = json.loads((tmp_path / "new" / INSIDE).read_text())
    assert set(tree(tmp_path / "new")) == {INSIDE, "000000.txt", "000001.txt", "000002.txt"}
    assert (
        record["sha256"] == {f"{i:06d}.txt": digest(f"0:{i}".encode()) for i in range(3)} and "unfinished" not in record
    )


def test_a_folder_that_fails_leaves_the_older_and_no_litter(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        filled(tmp_path / "new", 500, fail=400)
    assert not (tmp_path / "new").exists()
    filled(tmp_path / "new", 3)
    before = tree(tmp_path / "new")
    with pytest.raises(OSError):
        filled(tmp_path / "new", 500, {"n": 500, "seed": 1}, overwrite=True, fail=400)
    assert tree(tmp_path / "new") == before


def test_made_files_are_replaced_when_asked_and_a_persons_never(tmp_path: Path) -> None:
    goal = tmp_path / "new"
    filled(goal, 5)
    with pytest.raises(RunError, match="holds 5 made files already"):
        filled(goal, 3, {"n": 3, "seed": 1})
    filled(goal, 3, {"n": 3, "seed": 1}, overwrite=True)
    assert set(tree(goal)) == {INSIDE, "000000.txt", "000001.txt", "000002.txt"}
    (goal / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match=r"letter\.txt, which karat did not make"):
        filled(goal, 3, overwrite=True)
    (goal / "letter.txt").unlink()
    (goal / "000001.txt").write_text("better")
    with pytest.raises(RunError, match=r"000001\.txt was changed"):
        filled(goal, 3, overwrite=True)
    (goal / "000001.txt").unlink()
    (tmp_path / "victim").write_text("mine")
    (goal / "000001.txt").symlink_to(tmp_path / "victim")
    with pytest.raises(RunError, match="changed"):
        filled(goal, 3, overwrite=True)
    assert (tmp_path / "victim").read_text() == "mine"


def test_a_folder_goes_on_where_it_stopped(tmp_path: Path) -> None:
    goal = tmp_path / "new"
    with pytest.raises(KeyboardInterrupt), Folder(Output(), goal, LABEL, REQUEST) as folder:
        for i in range(2):
            folder.write(f"{i:06d}.txt", f"0:{i}".encode())
        folder.flush()
        folder.write("000002.txt", b"torn")
        raise KeyboardInterrupt
    assert goes_on(goal, REQUEST) and not goes_on(goal, {"n": 3, "seed": 1})
    kept = (goal / STAGE / "000000.txt").stat().st_ino
    (goal / STAGE / "000001.txt").write_bytes(b"damaged since")
    filled(goal, 3)
    assert (goal / "000000.txt").stat().st_ino == kept, "it was not made again"
    assert set(tree(goal)) == {INSIDE, "000000.txt", "000001.txt", "000002.txt"}
    assert [(goal / f"{i:06d}.txt").read_bytes() for i in range(3)] == [f"0:{i}".encode() for i in range(3)]


def test_another_request_does_not_go_on_with_what_was_begun(tmp_path: Path) -> None:
    goal = tmp_path / "new"
    with pytest.raises(KeyboardInterrupt), Folder(Output(), goal, LABEL, REQUEST) as folder:
        folder.write("000009.txt", b"of another seed")
        folder.flush()
        raise KeyboardInterrupt
    filled(goal, 3, {"n": 3, "seed": 1})
    assert set(tree(goal)) == {INSIDE, "000000.txt", "000001.txt", "000002.txt"}


def test_two_makes_of_one_folder_are_not_mixed(tmp_path: Path) -> None:
    with Folder(Output(), tmp_path / "new", LABEL, REQUEST) as folder:
        folder.write("000000.txt", b"x")
        with pytest.raises(RunError, match="another process"):
            filled(tmp_path / "new", 3)
    assert set(tree(tmp_path / "new")) == {INSIDE, "000000.txt"}


KILLED = """
import sys
from pathlib import Path
from karat.output import Folder, Output
from karat.provenance.label import Label
with Folder(Output(True), Path(sys.argv[1]), Label("karat", "0123456789ab", "seed1", "1"), {"seed": 1}) as folder:
    print("begun", flush=True)
    for i in range(900):
        folder.write(f"{i:06d}.txt", f"1:{i}".encode() * 50)
"""


def test_a_kill_at_any_moment_leaves_whole_labelled_files_and_the_next_make_finishes(tmp_path: Path) -> None:
    goal, chance = tmp_path / "new", random.Random(0)
    filled(goal, 30)
    before = tree(goal)
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", KILLED, str(goal)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.random() * 0.3)
            process.send_signal(signal.SIGKILL)
        for place in (goal, goal / STAGE):
            files = [p for p in place.glob("*.txt")]
            known = json.loads((place / INSIDE).read_text())["sha256"] if files else {}
            whole = [
                known.get(p.name) == digest_of(p) or (place == goal and before.get(p.name) == p.read_bytes())
                for p in files
            ]
            assert all(whole), "each is as the label says, or as it was before"
        assert len(list(goal.glob("*.txt"))) >= 30, "what was there is there, or what took its place"
    subprocess.run([sys.executable, "-c", KILLED, str(goal)], check=True, capture_output=True)
    assert tree(goal) == {
        INSIDE: (goal / INSIDE).read_bytes(),
        **{f"{i:06d}.txt": f"1:{i}".encode() * 50 for i in range(900)},
    }


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB; only the superuser can make one."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_costs_nothing_that_was_there(small_disk: Path, digits: Run, table: Path) -> None:
    karat.make(digits, n=10, out=small_disk / "pictures", threads=1)
    karat.make(table / "run", n=50, out=small_disk / "x.csv", threads=1)
    before = tree(small_disk)
    for goal, n in (("pictures", 900), ("x.npy", 9000), ("x.zip", 3000), ("x.npz", 30_000), ("new", 900)):
        with pytest.raises(RunError, match="No space left on device.*Nothing was lost"):
            karat.make(digits, n=n, out=small_disk / goal, overwrite=True, seed=1, threads=1)
        assert tree(small_disk) == before, goal
    for goal in ("x.csv", "x.tsv"):
        with pytest.raises(RunError, match="No space left on device"):
            karat.make(table / "run", n=60_000, out=small_disk / goal, overwrite=True, seed=1, threads=1)
        assert tree(small_disk) == before
    assert not (small_disk / "new").exists()


def test_pictures_are_made_again_to_the_same_bytes_after_a_stop(digits: Run, tmp_path: Path) -> None:
    karat.make(digits, n=300, out=tmp_path / "whole", threads=1)

    def stop_after_the_first() -> None:
        real = Folder.flush

        def flush(self: Folder) -> None:
            real(self)
            if self.digests:
                os._exit(9)

        Folder.flush = flush  # type: ignore[method-assign]
        karat.make(digits, n=300, out=tmp_path / "new", threads=1)

    assert Forked(stop_after_the_first).wait() == 9
    found = list((tmp_path / "new").rglob("*.png"))
    assert len(found) == 256 and all(digits.id in str(read_label(p.read_bytes())) for p in found)
    kept = {p.name: p.stat().st_ino for p in found}
    karat.make(digits, n=300, out=tmp_path / "new", threads=1)
    assert tree(tmp_path / "new") == tree(tmp_path / "whole")
    assert all((tmp_path / "new" / name).stat().st_ino == inode for name, inode in kept.items())


def test_a_second_make_by_default_goes_beside_the_first(table: Path) -> None:
    first = karat.make(table / "run", n=5, threads=1)[0]
    before = first.read_bytes()
    second = karat.make(table / "run", n=7, seed=1, threads=1)[0]
    assert first == table / "run" / "made" / "made.csv" and second == table / "run" / "made-2" / "made.csv"
    assert first.read_bytes() == before
    karat.make(table / "run", n=3, overwrite=True, threads=1)
    assert len(first.read_text().splitlines()) == 4


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
    place = shelf(folder, key)
    array = place.allot((size,), np.dtype(np.uint8), keep=True)
    array[:] = 7
    return place.keep(array, {}, size)


def test_the_cache_lets_go_what_was_not_used_for_longest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KARAT_CACHE_GB", "0.003")
    (tmp_path / "somebody's.npy").write_bytes(b"x" * 9_000_000)
    for i, key in enumerate("abc"):
        if key == "c":
            assert shelf(tmp_path, "a").find() is not None, "it is used again"
        kept(tmp_path, key, 1_400_000)
        for path in tmp_path.glob("*.npy"):
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 10 + i))
    assert [shelf(tmp_path, key).find() is not None for key in "abc"] == [True, False, True]
    assert (tmp_path / "somebody's.npy").exists(), "it is none of ours"
    assert all(mode(p) == 0o600 for p in tmp_path.iterdir() if p.name != "somebody's.npy")
    big = kept(tmp_path, "d", 5_000_000)
    assert int(big[-1]) == 7 and shelf(tmp_path, "d").find() is None, "it is used, and takes no room afterwards"
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
