"""Folders and runs of other users: nothing of theirs is trusted, what is ours stays ours, and nobody is locked out of his own."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Forked
from records import spec

from karat import cache
from karat.errors import RunError
from karat.output import make_folder, write_whole
from karat.run import Run
from karat.worth.ledger import Entry, Ledger

NOBODY = 65534
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that everybody may look into, as those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def modes(*paths: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in paths}


@ROOT
def test_a_cache_that_another_user_has_prepared_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("theirs", "link"):
        monkeypatch.setenv("KARAT_CACHE", str(tmp_path / name))
        (tmp_path / name).mkdir() if name == "theirs" else (tmp_path / name).symlink_to(tmp_path)
        os.chown(tmp_path / name, NOBODY, NOBODY, follow_symlinks=False)
        assert cache.cache_folder(None) not in (tmp_path / name, tmp_path)
    assert not list((tmp_path / "theirs").iterdir())


def test_a_cache_that_others_can_write_to_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KARAT_CACHE", str(tmp_path / "cache"))
    assert cache.cache_folder(None) == tmp_path / "cache"
    for mode in (0o777, 0o770, 0o1777):
        (tmp_path / "cache").chmod(mode)
        assert cache.cache_folder(None) != tmp_path / "cache"


def test_folders_that_are_made_on_the_way_are_private_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_folder(tmp_path / "a" / "b" / "c", private=True)
        assert modes(tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c") == {0o700}
    finally:
        os.umask(before)


@ROOT
def test_a_folder_of_another_user_does_not_become_a_run(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    os.chown(tmp_path / "run", NOBODY, NOBODY)
    with pytest.raises(RunError, match="belongs to another user"):
        Run.create(tmp_path / "run", spec())
    assert not list((tmp_path / "run").iterdir())


@ROOT
@pytest.mark.parametrize(("mode", "owner"), [(0o700, NOBODY), (0o755, NOBODY), (0o777, 0), (0o1777, 0)])
def test_what_root_writes_in_the_folder_of_a_user_is_his_unless_others_can_write_there(
    tmp_path: Path, mode: int, owner: int
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    theirs.chmod(mode)
    write_whole(theirs / "karat.json", b"{}")
    make_folder(theirs / "report", private=True)
    write_whole(theirs / "report" / "report.json", b"{}")
    made = theirs / "karat.json", theirs / "report", theirs / "report" / "report.json"
    assert {path.stat().st_uid for path in made} == {owner} and modes(*made) == {0o600, 0o700}


@ROOT
def test_a_run_of_another_user_that_may_only_be_read_can_be_made_from_without_an_entry(open_place: Path) -> None:
    run = Run.create(open_place / "run", spec())
    entry = Entry("make", "2026-01-01", "ok", 1.0, 1.0, 0.0)
    Ledger(run.path / "ledger.jsonl").append(entry)
    for path in (run.path, *run.path.iterdir()):
        path.chmod(0o755)
    before = (run.path / "ledger.jsonl").read_bytes()

    def act() -> None:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        assert "not entered in its ledger" in "".join(Run.open(run.path).notes)
        Ledger(run.path / "ledger.jsonl").append(entry)

    with Forked(act) as one:
        assert one.wait() == 0, one.said()
    assert (run.path / "ledger.jsonl").read_bytes() == before and not run.notes
