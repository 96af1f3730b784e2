"""Saves, runs and results under a disk that fails, fills or loses power, and a process that is killed (R1 to R5, R16, R17)."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
from processes import Forked
from records import spec
from shim import KINDS, Shim, cuts, faults, killed
from small import TINY

import karat
from karat import cli
from karat.errors import KaratError, RunError
from karat.run import Run
from karat.worth.ledger import Entry, Ledger

HASTY = [*TINY, "train.save_seconds=0"]
SPEC = spec()


def blob(value: float) -> bytes:
    return safetensors.torch.save({"x": torch.full((40,), value)})


def begun(folder: Path) -> Run:
    run = Run.create(folder, dict(SPEC), {"codec.json": b'{"name": "images"}'})
    for value in (1, 2):
        run.save_checkpoint(value, blob(value))
    run.save_model(blob(5))
    for fraction in (0.25, 0.75):
        run.append("history.jsonl", {"fraction": fraction})
    return run


def entry() -> Entry:
    return Entry("make", "2026-01-01", "ok", 1.0, 1.0, 0.0)


Action = Callable[[Path], object]
# What is done to a run that was begun, and what must hold of it after the process ended in the midst of it.
SAVES: dict[str, Action] = {
    "checkpoint": lambda path: Run.open(path).save_checkpoint(3, blob(3)),
    "model": lambda path: Run.open(path).save_model(blob(6)),
    "record": lambda path: Run.open(path).update({"status": "trained"}),
    "history": lambda path: Run.open(path).truncate("history.jsonl", 0.5),
}


def holds(path: Path) -> None:
    """Old or new, never a mixture; and who trains next finds it in order."""
    run = Run.open(path)
    assert run.load_checkpoint() in (blob(2), blob(3)) and run.load_model() in (blob(5), blob(6))
    assert run.spec["status"] in ("started", "trained") and run.get("codec.json") == {"name": "images"}
    with run.lock():
        run.save_checkpoint(4, blob(4))
        run.save_model(blob(7))
    assert Run.open(path).load_checkpoint() == blob(4) and Run.open(path).load_model() == blob(7)
    assert not list(path.rglob("*.part")), "no litter after the next start"
    assert len(list(path.glob("model-*"))) == 1 and len(list((path / "checkpoints").iterdir())) == 2


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begun(tmp_path_factory.mktemp("whole") / "r").path


def copied(whole: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(whole, folder))


def told(act: Callable[[Path], None], path: Path) -> None:
    """`act`, which may end in an error of one line."""
    try:
        act(path)
    except KaratError as error:
        assert "\n" not in str(error)


def finished(train: Callable[[Path], None], path: Path) -> None:
    """What a person does next: trains again where no run came about, continues one that did not end."""
    if not Run.is_run(path):
        train(path)
    elif Run.open(path).spec["status"] != "trained":
        karat.train(str(path), threads=1)


def counted(action: Action, path: Path, kind: str | None) -> int:
    with faults(Shim(path, kind)) as shim:
        action(path)
    assert shim.count, "the shim sees what is done"
    return shim.count


@pytest.mark.parametrize("save", SAVES)
def test_a_save_that_fails_at_any_step_says_so_and_leaves_the_old_or_the_new(
    save: str, whole: Path, tmp_path: Path
) -> None:
    for kind in KINDS:
        if kind == "unlink" and save in ("record", "history"):
            continue
        for i in range(1, counted(SAVES[save], copied(whole, tmp_path / "r"), kind) + 1):
            for number, lasting in ((errno.EIO, False), (errno.ENOSPC, True)):
                path = copied(whole, tmp_path / "r")
                failed = ""
                with faults(Shim(path, kind, i, number, lasting)):
                    try:
                        SAVES[save](path)
                    except RunError as error:
                        failed = str(error)
                if kind != "unlink":  # what is not removed is removed the next time
                    assert os.strerror(number) in failed and "\n" not in failed
                if number == errno.ENOSPC and kind in ("write", "rename"):
                    assert "bytes were needed" in failed
                holds(path)


@pytest.mark.parametrize("save", SAVES)
def test_a_save_that_is_killed_at_any_step_leaves_the_old_or_the_new(save: str, whole: Path, tmp_path: Path) -> None:
    for i in range(1, counted(SAVES[save], copied(whole, tmp_path / "r"), None) + 1):
        path = copied(whole, tmp_path / "r")
        assert killed(SAVES[save], path, i), f"step {i}"
        holds(path)


@pytest.mark.parametrize("save", SAVES)
def test_a_power_cut_at_any_moment_of_a_save_leaves_the_old_or_the_new(save: str, whole: Path, tmp_path: Path) -> None:
    path = copied(whole, tmp_path / "r")
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with faults(Shim(path)) as shim:
        SAVES[save](path)
    for i, event in enumerate(shim.events):
        if event.kind == "rename":
            assert (
                event.blob == event.path.read_bytes() or not event.path.exists() or event.path.name == "karat.json"
            ), "a file is durable before it is named"
            assert any(e.kind == "dirsync" and e.path == event.path.parent for e in shim.events[i:]), (
                "and its name after"
            )
    seen = 0
    for held in cuts(shim.events, before):
        shutil.rmtree(path)
        for file, content in held.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        holds(path)
        seen += 1
    assert seen > 3


def test_an_fsync_that_fails_once_is_not_taken_for_done(whole: Path, tmp_path: Path) -> None:
    path = copied(whole, tmp_path / "r")
    with faults(Shim(path, "fsync", 1)) as shim, pytest.raises(RunError, match="Input/output error"):
        Run.open(path).save_model(blob(6))
    assert shim.count == 1, "it is not tried again on the same file"
    assert Run.open(path).load_model() == blob(5)


# Creation -----------------------------------------------------------------------------------------------------------


def create(path: Path) -> object:
    return Run.create(path, dict(SPEC), {"codec.json": b'{"name": "images"}', "schema.toml": b"x = 1"})


def absent_or_whole(path: Path) -> None:
    """Whatever happened: it can be trained again there, or it is a run that is whole."""
    if not Run.is_run(path):
        with pytest.raises(RunError):
            Run.open(path)
        create(path)
    run = Run.open(path)
    assert run.part("codec.json") == b'{"name": "images"}' and run.part("schema.toml") == b"x = 1"
    with run.lock():
        pass
    assert {p.name for p in path.iterdir()} == {"karat.json", "codec.json", "schema.toml", ".lock"}


@pytest.mark.parametrize("there", [False, True])
def test_a_creation_that_is_killed_at_any_step_leaves_no_run_or_a_whole_one(there: bool, tmp_path: Path) -> None:
    steps = counted(create, tmp_path / "r", None)
    for i in range(1, steps + 1):
        path = tmp_path / f"{i}" / "r"
        if there:
            path.mkdir(parents=True)
        assert killed(create, path, i)
        absent_or_whole(path)


def test_a_creation_that_fails_at_any_step_leaves_nothing_behind(tmp_path: Path) -> None:
    for kind in KINDS:
        for i in range(1, counted(create, tmp_path / f"{kind}", kind) + 1):
            path = tmp_path / f"{kind}-{i}"
            with faults(Shim(path, kind, i, errno.ENOSPC, lasting=i % 2 == 0)):
                try:
                    create(path)
                except RunError as error:
                    assert "\n" not in str(error)
            absent_or_whole(path)


def test_a_folder_that_holds_other_things_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match=r"letter\.txt, which is no run"):
        create(folder)
    (folder / ".new").write_text('["letter.txt/../letter.txt", "../mine/letter.txt", "/etc/hostname"]')
    with pytest.raises(RunError, match="letter"):  # what names things that a creation does not is not believed
        create(folder)
    assert (folder / "letter.txt").read_text() == "dear"


def test_a_run_that_was_stopped_while_it_was_created_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("n,c\n" + "".join(f"{i % 7},{'ab'[i % 2]}\n" for i in range(60)))

    for i in (3, 11):
        assert killed(create, Path(f"r{i}").absolute(), i)
        with pytest.raises(SystemExit):
            cli.main(["assay", f"r{i}"])
        assert "karat train" in capsys.readouterr().err
        assert karat.train("t.csv", out=Path(f"r{i}"), threads=1).spec["status"] == "trained"


# The verbs ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verbs")
    (folder / "t.csv").write_text("n,c\n" + "".join(f"{i % 7},{'ab'[i % 2]}\n" for i in range(60)))
    karat.train(folder / "t.csv", out=folder / "r", threads=1)
    (folder / "old.csv").write_text("mine")
    return folder


def spread(steps: int, most: int) -> list[int]:
    return sorted({1 + i * (steps - 1) // max(1, most - 1) for i in range(min(most, steps))})


@pytest.mark.parametrize("kind", KINDS)
def test_a_train_on_a_disk_that_fails_ends_in_a_line_and_can_be_done_again(
    kind: str, table: Path, tmp_path: Path
) -> None:
    def train(path: Path) -> None:
        karat.train(table / "t.csv", out=path, threads=1)

    for i in spread(counted(train, tmp_path / "count", kind), 4):
        for number, lasting in ((errno.EIO, False), (errno.ENOSPC, True)):
            path = tmp_path / f"{i}-{number}"
            with faults(Shim(path, kind, i, number, lasting)):
                told(train, path)
            finished(train, path)
            assert Run.open(path).load_model() and not [p for p in path.rglob("*.part") if p.parent == path]


@pytest.mark.parametrize("kind", ["write", "unlink"])
def test_a_training_on_a_disk_that_fails_continues_with_the_same_weights(kind: str, tmp_path: Path) -> None:
    def train(path: Path) -> None:
        karat.train("digits", steps=4, out=path, threads=1, set=HASTY)

    steps = counted(train, tmp_path / "count", kind)
    wanted = {p.name for p in (tmp_path / "count").glob("model-*")}
    for i in spread(steps, 3)[1:2]:
        path = tmp_path / f"{i}"
        with faults(Shim(path, kind, i, errno.ENOSPC, True)):
            told(train, path)
        finished(train, path)
        assert {p.name for p in path.glob("model-*")} == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_a_make_on_a_disk_that_fails_leaves_no_half_of_a_file(kind: str, table: Path, tmp_path: Path) -> None:
    def make(path: Path) -> None:
        karat.make(str(table / "r"), n=5, out=path / "made.csv", overwrite=True, threads=1)

    (tmp_path / "count").mkdir()
    steps = counted(make, tmp_path / "count", kind) if kind != "unlink" else 1
    good = (tmp_path / "count" / "made.csv").read_bytes() if kind != "unlink" else b""
    for i in range(1, steps + 1):
        path = tmp_path / f"{i}"
        path.mkdir()
        with faults(Shim(path, kind, i, errno.ENOSPC, True)):
            try:
                make(path)
            except KaratError as error:
                assert "\n" not in str(error) and "No space left" in str(error)
        there = path / "made.csv"
        assert not there.exists() or (there.read_bytes() == good or kind == "unlink")
        make(path)
        assert {p.name for p in path.iterdir()} == {"made.csv", "made.csv.label.json"}


def test_a_report_on_a_disk_that_fails_is_the_old_or_the_new(table: Path, tmp_path: Path) -> None:
    run = copied(table / "r", tmp_path / "r")
    karat.assay(str(run), n=40, threads=1)
    old = (run / "report" / "report.html").read_bytes()
    for kind in ("write", "rename"):
        with (
            faults(Shim(run / "report", kind, 1, errno.ENOSPC, True)),
            pytest.raises(KaratError, match="No space left"),
        ):
            karat.assay(str(run), n=40, seed=1, threads=1)
        assert (run / "report" / "report.html").read_bytes() == old
    assert karat.assay(str(run), n=40, seed=1, threads=1).findings


@pytest.mark.parametrize("kind", ["write", "fsync"])
def test_a_ledger_on_a_disk_that_fails_keeps_its_entries(kind: str, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append(entry())
    with faults(Shim(tmp_path, kind, 1, errno.ENOSPC, True)), pytest.raises(RunError, match="No space left"):
        ledger.append(entry())
    assert len(ledger.entries()) >= 1
    ledger.append(entry())
    assert len(ledger.entries()) >= 2 and not ledger.damaged()


# Places, clocks, signals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["with spaces", "数据 表", "emoji 🙂", "x" * 255, "[b]name[/b]", "-leading", "quote'\"s", "a\nb"]
)
def test_a_run_may_lie_in_a_folder_of_any_name(name: str, table: Path, tmp_path: Path) -> None:
    run = karat.train(table / "t.csv", out=tmp_path / name, threads=1)
    assert karat.make(str(run.path), n=3, threads=1) and Run.open(tmp_path / name).spec["status"] == "trained"


def test_a_run_may_be_reached_by_a_link_and_a_name_too_long_is_refused(table: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    run = karat.train(table / "t.csv", out=tmp_path / "link", threads=1)
    assert Run.open(tmp_path / "there").id == run.id
    with pytest.raises(RunError, match="cannot create"):
        karat.train(table / "t.csv", out=tmp_path / ("x" * 256), threads=1)


NOBODY = 65534


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that any user may write to, below none that only one may enter."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o777)
        yield Path(place)


@pytest.mark.parametrize("verb", ["train", "make", "assay", "look"])
def test_a_folder_that_may_only_be_read_is_refused_in_a_line(verb: str, table: Path, open_place: Path) -> None:
    shutil.copy(table / "t.csv", open_place)
    karat.train(open_place / "t.csv", out=open_place / "r", threads=1)
    karat.look(open_place / "t.csv", probe=False, threads=1)  # imports what another user may not be able to
    shutil.rmtree(open_place / "r" / "samples", ignore_errors=True)
    closed = open_place / "closed"
    closed.mkdir()
    for path in [open_place / "r", *(open_place / "r").rglob("*"), closed]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    arguments = {
        "train": ["t.csv", "--out", "closed/r"],
        "make": ["r", "-n", "3", "--out", "closed/m.csv"],
        "assay": ["r", "-n", "40", "--trust-data", "--out", "closed/r.html"],
        "look": ["t.csv", "--no-probe", "--write-schema", "closed/s.toml"],
    }[verb]
    closed.chmod(0o555)

    def act() -> None:
        if os.geteuid() == 0:  # the superuser may write anywhere
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        cli.main([verb, *arguments])

    home = {"HOME": str(closed), "KARAT_CACHE": str(closed / "c"), "XDG_STATE_HOME": str(closed / "s")}
    with Forked(act, open_place, **home) as one:
        code = one.wait()
    err = one.said()[1]
    assert code == 2 and err.startswith("karat: ") and "Traceback" not in err, (code, err)
    assert "Permission denied" in err, err
    assert not list(closed.iterdir())


def test_a_clock_that_jumps_loses_no_checkpoint(whole: Path, tmp_path: Path) -> None:
    path = copied(whole, tmp_path / "r")
    newest, older = sorted((path / "checkpoints").iterdir(), reverse=True)
    os.utime(newest, (0, 0))
    os.utime(older, (2**32, 2**32))
    assert Run.open(path).load_checkpoint() == blob(2)
    Run.open(path).save_checkpoint(3, blob(3))
    assert Run.open(path).load_checkpoint() == blob(3)
