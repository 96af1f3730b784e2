"""A folder of results is whole and labelled, goes on where it stopped, and replaces only what it made."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from files import LABEL, tree
from processes import Forked

import karat
from karat.errors import RunError
from karat.output import (
    INSIDE,
    STAGE,
    Folder,
    Output,
    digest,
    digest_of,
    goes_on,
)
from karat.provenance.containers import CONTAINERS
from karat.run import Run


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
    karat.make(digits, n=10, out=small_disk / "pictures", gate=["none"], threads=1)
    karat.make(table / "run", n=50, out=small_disk / "x.csv", gate=["none"], threads=1)
    before = tree(small_disk)
    for goal, n in (("pictures", 900), ("x.npy", 9000), ("x.zip", 3000), ("x.npz", 30_000), ("new", 900)):
        with pytest.raises(RunError, match="No space left on device.*Nothing was lost"):
            karat.make(digits, n=n, out=small_disk / goal, overwrite=True, seed=1, gate=["none"], threads=1)
        assert tree(small_disk) == before, goal
    for goal in ("x.csv", "x.tsv"):
        with pytest.raises(RunError, match="No space left on device"):
            karat.make(table / "run", n=60_000, out=small_disk / goal, overwrite=True, seed=1, gate=["none"], threads=1)
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
    assert len(found) == 256 and all(digits.id in str(CONTAINERS[".png"].words(p.read_bytes())) for p in found)
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
