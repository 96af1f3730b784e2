"""A save is wholly there or wholly absent, damage is found, and a run that was stopped in any way goes on as if it had not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pty
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from processes import Forked, karat_process
from records import spec

import karat
from karat import cli, trackers
from karat.errors import RunError
from karat.output import write_whole
from karat.run import LAYOUT, Run, safe_header
from karat.workflow.stopping import signals
from karat.worth.ledger import Ledger

TINY = [
    "train.precision=fp32",
    "train.save_seconds=0.05",
    "model.latent=6",
    "model.width=8",
    "model.hidden=16",
    "model.components=10",
    "model.iterations=3",
]


def weights(run: Path) -> str:
    """The name of the finished model, which holds the digest of its bytes."""
    (file,) = run.glob("model-*.safetensors")
    return file.name


def test_a_write_replaces_the_old_whole(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write_whole(file, b"old")
    write_whole(file, b"new and longer")
    assert file.read_bytes() == b"new and longer"
    assert list(tmp_path.iterdir()) == [file], "nothing is left beside it"


def test_a_full_disk_leaves_the_old_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write_whole(file, b"old")

    def fill() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with pytest.raises(RunError, match="cannot write.*5,000 bytes were needed"):
            write_whole(file, b"n" * 5000)

    full = Forked(fill)
    assert full.wait() == 0, full.said()
    assert file.read_bytes() == b"old" and list(tmp_path.iterdir()) == [file]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


def test_a_folder_that_is_gone_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot write"):
        write_whole(tmp_path / "gone" / "x.json", b"new")


def test_a_run_is_begun_once_and_opened_again(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "a" / "r", spec())
    assert Run.is_run(run.path) and Run.open(run.path).id == "abc"
    assert Run.open(run.path).spec["status"] == "started"
    with pytest.raises(RunError, match="already holds a run"):
        Run.create(run.path, spec())
    with pytest.raises(RunError, match="holds no run"):
        Run.open(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="is a file"):
        Run.create(tmp_path / "file", spec())
    with pytest.raises(RunError, match="cannot write to"):
        Run.create(tmp_path / "file" / "r", spec())


@pytest.mark.parametrize("layout", [LAYOUT - 1, LAYOUT + 1])
def test_a_run_of_another_version_is_not_called_damaged_and_it_is_said_what_to_do(layout: int, tmp_path: Path) -> None:
    Run.create(tmp_path / "r", spec(version="99.1")).update({"layout": layout})
    with pytest.raises(
        RunError, match=r"another version of karat \(99\.1.*not damaged.*`karat train 'digits' --out NEW`"
    ):
        Run.open(tmp_path / "r")


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b"[1]", b"null", b'{"id": 1}'])
def test_a_damaged_karat_json_is_named(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "karat.json").write_bytes(damage)
    with pytest.raises(RunError, match=r"karat\.json"):
        Run.open(tmp_path)


def test_a_missing_or_damaged_part_is_named(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "r", spec())
    with pytest.raises(RunError, match=r"no diagnostics\.json"):
        run.get("diagnostics.json")
    (run.path / "diagnostics.json").write_text("{")
    with pytest.raises(RunError, match=r"diagnostics\.json is damaged"):
        run.get("diagnostics.json")
    run = Run.create(tmp_path / "s", spec(), {"codec.json": b'{"name": "images"}'})
    assert run.get("codec.json") == {"name": "images"}
    (run.path / "codec.json").write_bytes(b'{"name": "sounds"}')
    with pytest.raises(RunError, match=r"codec\.json is damaged: its bytes do not match"):
        run.get("codec.json")
    (run.path / "codec.json").unlink()
    with pytest.raises(RunError, match=r"has no codec\.json"):
        run.get("codec.json")


def test_a_torn_last_line_of_the_history_is_left_out(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "r", spec())
    for fraction in (0.1, 0.2, 0.3):
        run.append("history.jsonl", {"fraction": fraction})
    with open(run.path / "history.jsonl", "a") as file:
        file.write('{"fraction": 0.')
    assert [r["fraction"] for r in run.lines("history.jsonl")] == [0.1, 0.2, 0.3]
    run.truncate("history.jsonl", 0.2)
    run.append("history.jsonl", {"fraction": 0.25})
    assert [r["fraction"] for r in run.lines("history.jsonl")] == [0.1, 0.2, 0.25]


def blob(value: float) -> bytes:
    return safetensors.torch.save({"x": torch.full((40,), value)})


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "r", spec())
    assert run.load_checkpoint() is None
    for step in range(1, 5):
        run.save_checkpoint(step, blob(step))
    files = sorted((run.path / "checkpoints").iterdir())
    assert len(files) == 2, "the newest two are kept"
    assert run.load_checkpoint() == blob(4)
    flipped = bytearray(blob(4))
    flipped[-3] ^= 1
    for damaged in (bytes(flipped), blob(4)[:-10], b"", blob(4) + b"x"):
        files[1].write_bytes(damaged)
        assert run.load_checkpoint() == blob(3)
    files[0].write_bytes(blob(3)[:50])
    with pytest.raises(RunError, match="all 2 checkpoints .* are missing or damaged"):
        run.load_checkpoint()


def test_what_a_killed_save_left_behind_is_not_a_checkpoint(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "r", spec())
    run.save_checkpoint(1, blob(1))
    folder = run.path / "checkpoints"
    (folder / "0000000002-abc.safetensors.77.part").write_bytes(blob(2)[:30])
    (folder / "notes.safetensors").write_bytes(b"a person's own file")
    assert run.load_checkpoint() == blob(1)
    run.save_checkpoint(2, blob(2))
    (run.path / "karat.json.77.part").write_bytes(b"{")
    with run.lock():
        pass
    assert not list(run.path.rglob("*.part")), "who trains next removes it"
    assert run.load_checkpoint() == blob(2) and (folder / "notes.safetensors").exists()


def test_a_damaged_or_missing_model_is_named(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "r", spec())
    with pytest.raises(RunError, match="has not finished training. Continue it with"):
        run.load_model()
    run.save_model(blob(1))
    run.save_model(blob(2))
    assert run.load_model() == blob(2) and len(list(run.path.glob("model-*"))) == 1
    (file,) = run.path.glob("model-*")
    file.write_bytes(blob(2)[:-1])
    with pytest.raises(RunError, match="is damaged"):
        run.load_model()


def test_a_model_that_the_record_does_not_name_is_not_loaded(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "r", spec())
    stray = f"model-{hashlib.sha256(blob(9)).hexdigest()[:16]}.safetensors"
    (run.path / stray).write_bytes(blob(9))
    with pytest.raises(RunError, match="has not finished training"):
        Run.open(run.path).load_model()
    run.save_model(blob(1))
    (run.path / stray).write_bytes(blob(9))  # as a kill between write and record leaves it
    assert Run.open(run.path).load_model() == blob(1)
    checkpoint = f"checkpoints/9999999999-{hashlib.sha256(blob(9)).hexdigest()[:16]}.safetensors"
    run.save_checkpoint(1, blob(2))
    (run.path / checkpoint).write_bytes(blob(9))
    assert Run.open(run.path).load_checkpoint() == blob(2)


def test_the_newest_model_is_loaded_whatever_its_name_and_the_one_before_where_it_is_whole(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "r", spec())
    for value in range(6):  # digests in any order
        run.save_model(blob(value))
        assert Run.open(run.path).load_model() == blob(value)
    old, new = run.spec["models"][1], run.spec["models"][0]
    (run.path / old).write_bytes(blob(4))  # as a kill between record and removal leaves it
    assert Run.open(run.path).load_model() == blob(5)
    (run.path / new).unlink()
    opened = Run.open(run.path)
    assert opened.load_model() == blob(4)
    assert len(opened.notes) == 1 and "the model before it is used" in opened.notes[0]
    (run.path / old).write_bytes(b"damaged")
    with pytest.raises(RunError, match="is missing. Restore it") as said:
        Run.open(run.path).load_model()
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("lie", [b"", b"1234", struct.pack("<Q", 2**62), struct.pack("<Q", 100) + b"{}"])
def test_a_weights_file_whose_header_lies_is_refused(lie: bytes) -> None:
    with pytest.raises(RunError, match="damaged header"):
        safe_header(lie)
    safe_header(blob(1))


def test_a_second_process_is_refused_while_the_first_lives_and_not_after(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "r", spec())

    def hold() -> None:
        with Run.open(run.path).lock():
            print("held", flush=True)
            time.sleep(60)

    with Forked(hold) as first:
        first.until(lambda: first.said()[0])
        assert first.said() == ("held\n", "")
        with pytest.raises(RunError, match="being trained by another process"), run.lock():
            pass
        first.send_signal(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
        with run.lock():
            pass


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    karat.train("digits", steps=100, out=folder, threads=1, set=TINY)
    return folder


@pytest.mark.parametrize(
    "number, code", [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.exam)]
)
def test_a_signal_saves_and_the_run_continues_bit_for_bit(
    number: signal.Signals, code: int, unbroken: Path, tmp_path: Path
) -> None:
    changes = [part for change in TINY for part in ("--set", change)]
    asked = karat_process("train", "digits", "--steps", "100", "--out", "r", "--threads", "1", *changes, cwd=tmp_path)
    asked.until(lambda: list(tmp_path.glob("r/checkpoints/*.safetensors")))
    asked.send_signal(number)
    out, err = asked.communicate(timeout=60)
    assert asked.returncode == code, (out, err)
    assert "all is saved. Continue with `karat train r`" in err and "Traceback" not in err
    assert len(err.strip().splitlines()) <= 2
    assert Run.open(tmp_path / "r").spec["status"] == "interrupted"
    karat.train(str(tmp_path / "r"), threads=1)
    assert Run.open(tmp_path / "r").spec["status"] == "trained"
    assert weights(tmp_path / "r") == weights(unbroken)
    steps = [line["step"] for line in Run.open(tmp_path / "r").lines("history.jsonl")]
    assert steps == sorted(set(steps)) and steps[-1] == 100


@pytest.mark.parametrize(
    ("source", "recipe", "said"),
    [("digits", "vae", "all is saved"), ("rows.csv", "trees", "a fit cannot be continued")],
)
def test_a_signal_that_comes_before_the_first_round_says_so_too(
    source: str, recipe: str, said: str, tmp_path: Path
) -> None:
    """A tracker sends it when it is begun: the run is there, and its loop is not yet under way."""
    (tmp_path / "rows.csv").write_text("a,b\n" + "".join(f"{i % 7},{i * i % 11}\n" for i in range(200)))
    (tmp_path / "early.py").write_text(
        "import contextlib, os, signal\n"
        "NEEDS = ()\n"
        "@contextlib.contextmanager\n"
        "def track(job):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    yield lambda event: None\n"
    )
    small = [part for change in TINY for part in ("--set", change)] if recipe == "vae" else []
    budget = ["--steps", "100"] if recipe == "vae" else []
    order = ["train", source, "--recipe", recipe, "--out", "r", "--threads", "1", "--track", "early", *budget, *small]

    def act() -> None:
        trackers.__path__.append(str(tmp_path))
        cli.main(order)

    with Forked(act, tmp_path) as asked:
        assert asked.wait() == 143
        err = asked.said()[1]
    assert err.startswith("karat: stopped at") and said in err and len(err.splitlines()) <= 2, err
    assert Run.open(tmp_path / "r").spec["status"] == "interrupted"


def test_a_terminal_that_goes_away_saves_and_nohup_goes_on(tmp_path: Path) -> None:
    """SIGHUP, with every write to the terminal failing from then on."""
    changes = [part for change in TINY for part in ("--set", change)]
    order = ["train", "digits", "--steps", "9000", "--out", "r", "--threads", "1", *changes]
    ours, theirs = pty.openpty()
    asked = Forked(lambda: (os.close(ours), os.setsid(), cli.main(order)), tmp_path, theirs, TERM="xterm")
    os.close(theirs)
    os.set_blocking(ours, False)

    def under_way() -> bool:
        with contextlib.suppress(OSError):
            os.read(ours, 65536)
        return any(tmp_path.glob("r/checkpoints/*.safetensors"))

    asked.until(under_way)
    os.close(ours)
    asked.send_signal(signal.SIGHUP)
    assert asked.wait(timeout=60) == 129
    run = Run.open(tmp_path / "r")
    assert run.spec["status"] == "interrupted" and run.load_checkpoint() is not None
    assert [e.status for e in Ledger(run.path / "ledger.jsonl").entries()] == ["interrupted"]
    kept = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with signals() as got:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not got
    finally:
        signal.signal(signal.SIGHUP, kept)


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    changes = [part for change in TINY for part in ("--set", change)]
    asked = karat_process("train", "digits", "--minutes", "5", "--out", "r", "--threads", "1", *changes, cwd=tmp_path)
    asked.until(lambda: list(tmp_path.glob("r/checkpoints/*.safetensors")))
    asked.send_signal(signal.SIGTERM)
    asked.send_signal(signal.SIGTERM)
    asked.communicate(timeout=60)
    assert asked.returncode == 143
    assert Run.open(tmp_path / "r").load_checkpoint() is not None


@pytest.mark.exam
def test_a_run_killed_at_any_moment_continues_and_ends_with_the_same_weights() -> None:
    """Three kills; twenty are `python benchmarks/kill.py`."""
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "kill.py"
    done = subprocess.run(
        [sys.executable, str(script), "--kills", "3", "--seed", "1"],
        capture_output=True,
        text=True,
        timeout=400,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills of" in done.stdout and "; 0 runs that" in done.stdout


def test_a_run_killed_before_the_first_step_towards_a_larger_budget_still_goes_on_to_it(
    unbroken: Path, tmp_path: Path
) -> None:
    shutil.copytree(unbroken, tmp_path / "r")
    record = tmp_path / "r" / "karat.json"
    asked = karat_process("train", "r", "--steps", "103", "--threads", "1", cwd=tmp_path)
    asked.until(lambda: json.loads(record.read_bytes())["steps"] == 103)
    asked.send_signal(signal.SIGKILL)
    assert asked.wait() == -signal.SIGKILL
    assert karat.train(str(tmp_path / "r"), threads=1).spec["step"] == 103


def test_a_run_whose_newest_checkpoint_is_damaged_continues_from_the_one_before(unbroken: Path, tmp_path: Path) -> None:
    run = karat.train("digits", steps=40, out=tmp_path / "r", threads=1, set=TINY)
    old, newest = sorted((run.path / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:1000])
    torch.set_num_threads(2)
    karat.train(str(run.path), steps=60)
    assert torch.get_num_threads() == 1, "it continues with the threads that it began with"
    assert Run.open(run.path).spec["step"] == 60 and Run.open(run.path).spec["status"] == "trained"
    assert json.loads((run.path / "karat.json").read_text())["steps"] == 60
