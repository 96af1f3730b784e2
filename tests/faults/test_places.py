"""Places that fill up, are read-only or go away: the cache, the temporary folder, a report's, a demo's (R3, R16)."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from clients import client_of
from processes import Forked
from shim import Shim, faults
from sounds import save_tones

import karat
from karat import cache, cli
from karat.assays import encoder
from karat.errors import RunError
from karat.options import ServeOptions
from karat.output import Output, scratch
from karat.run import Run
from karat.workflow.office import read_back

TINY = [
    "train.precision=fp32",
    *("model.latent=4", "model.width=4", "model.hidden=4", "model.components=2", "model.iterations=1"),
]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("places")
    (folder / "t.csv").write_text("n,c\n" + "".join(f"{i % 7},{'ab'[i % 2]}\n" for i in range(60)))
    karat.train(folder / "t.csv", out=folder / "r", threads=1)
    return folder


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    save_tones(folder / "tones", 40)
    karat.train(folder / "tones", steps=1, set=TINY, out=folder / "r", threads=1)
    return folder


def test_a_judge_whose_cache_is_full_is_fitted_all_the_same(tmp_path: Path) -> None:
    points = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with faults(Shim(tmp_path, "write", 1, errno.ENOSPC, lasting=True)) as shim:
        one = encoder.open_extractor(points, None, 0, fingerprint="ab", cache=tmp_path)
    assert shim.count and not list(tmp_path.iterdir()), "nothing half written stays"
    again = encoder.open_extractor(points, None, 0, fingerprint="ab", cache=tmp_path)
    assert torch.equal(one.features(points), again.features(points)) and list(tmp_path.glob("extractor-*"))


@pytest.mark.parametrize("kind", ["write", "fsync", "rename"])
def test_pictures_whose_cache_fills_up_while_they_are_kept_are_read_all_the_same(kind: str, tmp_path: Path) -> None:
    place = cache.cache_entry(tmp_path, "x")
    array = place.allot((100, 8, 8, 1), np.dtype(np.uint8), keep=True)
    array[:] = np.arange(100)[:, None, None, None]
    with faults(Shim(tmp_path, kind, 1, errno.ENOSPC, lasting=True)) as shim:
        kept = place.keep(array, {}, 90)
    assert shim.count and np.array_equal(kept[:, 0, 0, 0], np.arange(90))
    assert place.find() is None and not list(tmp_path.iterdir())


def test_an_array_that_the_disk_cannot_hold_is_known_before_it_is_filled(tmp_path: Path) -> None:
    """A file that is as long as it should be may have no room behind it: writing into its mapping would kill the process."""

    def act() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))
        place = cache.cache_entry(tmp_path, "x")
        array = place.allot((2**20,), np.dtype(np.uint8), keep=True)
        assert not isinstance(array, np.memmap), "what does not fit there is held in memory"
        array[:] = 1

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python has it
    with Forked(act) as one:
        assert one.wait() == 0, one.said()
    assert not list(tmp_path.iterdir())


def test_an_extractor_in_the_cache_that_is_not_as_it_was_written_is_passed_over(tmp_path: Path) -> None:
    one, file = encoder.OwnEncoder((1, 8, 8), 0), tmp_path / "x"
    encoder._save(file, one, 0.5)
    whole = file.read_bytes()
    assert encoder._load(file, one) == 0.5
    for old, new in (
        (b"sha256", b"sha255"),
        (b"accuracy", b"accurate"),
        (b"{\\", b"[\\"),
        (b"0.5", b'"x"'),
        (b"karat", b"carat"),
    ):
        assert old in whole
        file.write_bytes(whole.replace(old, new, 1))
        assert encoder._load(file, one) is None


def test_a_temporary_folder_that_is_full_is_named_by_what_needs_it(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    with (
        faults(Shim(tmp_path / "t", "write", 1, errno.ENOSPC, lasting=True)),
        pytest.raises(RunError, match=r"TMPDIR"),
    ):
        read_back(Run.open(tones / "r"))
    assert not list((tmp_path / "t").iterdir())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(RunError, match="TMPDIR"), scratch():
        pass


@pytest.mark.parametrize("verb", ["look", "train", "make", "assay"])
def test_a_machine_on_which_nothing_can_be_written_answers_or_says_so_in_a_line(
    verb: str, tones: Path, table: Path, tmp_path: Path
) -> None:
    """A container that is only read: no cache, no temporary folder, no key."""
    arguments = {
        "look": ["look", str(tones / "tones"), "--no-probe"],
        "train": ["train", str(table / "t.csv"), "--out", str(tmp_path / "r")],
        "make": ["make", str(tones / "r"), "-n", "3"],
        "assay": ["assay", str(table / "r"), "-n", "40"],
    }[verb]

    def act() -> None:
        tempfile.tempdir = None
        cache._passing.cache_clear()
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no file may grow; Python ignores the signal of it
        cli.main(arguments)

    there, here = os.pipe()
    os.set_blocking(there, False)
    with Forked(act, tmp_path, terminal=here, TMPDIR="/proc", KARAT_CACHE="/proc/karat", XDG_STATE_HOME="/proc") as one:
        code = one.wait()
    said = os.read(there, 2**16).decode()
    for end in (there, here):
        os.close(end)
    assert code == (0 if verb == "look" else 2) and "Traceback" not in said and "fault" not in said, said
    assert code == 0 or said.count("\n") == 1 and said.startswith("karat: "), said


@pytest.mark.exam
def test_torch_makes_no_folder_of_its_own_among_the_temporary_ones(tones: Path, tmp_path: Path) -> None:
    """It does when it makes its first optimiser, and fails where it cannot: a process of its own, as that happens once."""
    begin = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); from karat import cli; cli.main()"
    environment = {key: value for key, value in os.environ.items() if key != "TORCHINDUCTOR_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-B", "-c", begin, "look", str(tones / "tones")],
        capture_output=True,
        text=True,
        env={**environment, "TMPDIR": str(tmp_path), "KARAT_CACHE": "/proc/karat", "XDG_STATE_HOME": "/proc"},
    )
    assert done.returncode == 0 and "measured is the recipe" in done.stdout, (done.stdout, done.stderr)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["write", "fsync", "rename"])
def test_results_that_belong_together_are_all_there_or_none(kind: str, tmp_path: Path) -> None:
    def write(folder: Path, word: bytes) -> None:
        Output(overwrite=True).write_all({folder / "a.json": word, folder / "b.html": word * 9000})

    with faults(Shim(tmp_path / "count", kind)) as shim:
        write(tmp_path / "count", b"new")
    for old in (False, True):
        for at in range(1, shim.count + 1):
            goal = tmp_path / f"{old}-{at}"
            if old:
                write(goal, b"old")
            with faults(Shim(goal, kind, at, errno.ENOSPC, True)), pytest.raises(RunError, match="No space left"):
                write(goal, b"new")
            begun = (
                kind == "rename" and at > 1 or kind == "fsync" and at > 2
            )  # both were whole when the first got its name
            found = {path.read_bytes()[:3] for path in goal.iterdir()}
            assert begun or found == ({b"old"} if old else set())


def test_a_report_that_would_stand_beside_half_of_another_is_refused_before_the_work(
    table: Path, tmp_path: Path
) -> None:
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(RunError, match=r"report\.json is there already"):
        karat.assay(table / "r", n=10**12, threads=1, out=tmp_path)


def test_a_demo_that_was_stopped_says_how_it_goes_on(table: Path, tmp_path: Path) -> None:
    shutil.copytree(table / "r", tmp_path / "demo")
    with pytest.raises(RunError, match=r"karat train .*demo"):
        karat.demo(on="table", out=tmp_path / "demo")
    with (
        faults(Shim(tmp_path / "new", "write", 4, errno.ENOSPC, lasting=True)),
        pytest.raises(RunError, match=r"cannot write .*new.*No space left"),
    ):
        karat.demo(on="table", out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_upload_that_the_disk_cannot_hold_leaves_nothing_and_says_so(tmp_path: Path) -> None:
    with (
        client_of(ServeOptions([tmp_path], root=tmp_path)) as client,
        faults(Shim(tmp_path / "uploads", "write", 1, errno.ENOSPC, lasting=True)),
    ):
        full = client.post("/data/upload", files={"files": ("half.csv", b"a,b\n1,2\n" * 10_000)})
    assert full.status_code == 507 and "disk is full" in full.text
    assert not list((tmp_path / "uploads").iterdir())
