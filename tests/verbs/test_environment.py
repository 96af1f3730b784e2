"""What the machine, the shell and absurd arguments do to the command line: a line and an exit code, nothing else."""

from __future__ import annotations

import os
import shlex
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from processes import Forked

import karat
from karat import cli
from karat.data import load
from karat.errors import FitError, RunError
from karat.limits import available
from karat.output import Output, to_json
from karat.run import Draft
from karat.terminal import tolerant
from karat.workflow.learning import data_options

ROWS = "n,c\n" + "".join(f"{i % 7},{'ab'[i % 2]}\n" for i in range(60))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "data.csv").write_text(ROWS)
    return tmp_path / "data.csv"


def shell(command: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    line = command.replace("karat", f"{shlex.quote(sys.executable)} -m karat.cli", 1)
    return subprocess.run(["sh", "-c", line], capture_output=True, timeout=120, env={**os.environ, **env})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_behind_standard_output_is_said_in_a_line_and_is_no_fault_of_ours() -> None:
    ended = shell("karat --help >/dev/full")
    assert ended.returncode == 2
    said = ended.stderr.decode()
    assert len(said.splitlines()) == 1 and "No space left on device" in said and "fault" not in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_an_error_that_nobody_can_be_told_keeps_its_exit_code() -> None:
    ended = shell("karat --nothing 2>/dev/full")
    assert (ended.returncode, ended.stdout) == (2, b"")


def test_streams_that_are_closed_lead_nowhere_and_their_numbers_are_given_to_no_file() -> None:
    assert shell("karat --help >&-").returncode == 0
    ended = shell("karat --nothing 0>&- 2>&-")
    assert (ended.returncode, ended.stdout) == (2, b""), "what is wrong is not said among results"


@pytest.mark.parametrize("width", ["0", "7", "999999999", "9" * 400])
def test_a_width_that_no_terminal_has_is_not_believed(
    width: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    cli.main(["--help"])
    out = capsys.readouterr().out
    assert "Commands" in out and max(map(len, out.splitlines())) <= 1000
    monkeypatch.setenv("COLUMNS", "120")
    tolerant()
    assert os.environ["COLUMNS"] == "120"


@pytest.mark.parametrize("size", ["0", "-5", "nan", "much"])
def test_a_limit_of_memory_that_is_no_size_is_said(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KARAT_MEMORY_GB", size)
    with pytest.raises(FitError, match="KARAT_MEMORY_GB"):
        available()
    monkeypatch.setenv("KARAT_MEMORY_GB", "")
    assert available() > 0


@pytest.mark.parametrize("threads", ["0", "4097", str(2**63), "9" * 60])
def test_threads_that_no_machine_has_are_refused(threads: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["look", "digits", "--threads", threads])
    assert stop.value.code == 2 and "threads=" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["2024", "true", "1e9", "nan", "[1]", " 5"])
def test_a_name_that_looks_like_a_number_is_a_name(
    name: str, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(table.parent)
    Path(name).write_text('[columns.n]\nkind = "category"\n')
    karat.train("data.csv", schema=Path(name), out=Path("r"), threads=1)
    assert Path("r/schema.toml").read_text() == Path(name).read_text()
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "data.csv", "--schema", "7", "--out", "s", "--threads", "1"])
    assert stop.value.code == 2 and "7" in capsys.readouterr().err and not Path("s").exists()


def test_a_table_of_a_database_may_be_called_as_a_year(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.db") as base:
        base.execute('create table "2024"(a, b)')
        base.executemany('insert into "2024" values (?, ?)', [(i % 7, i * i % 11) for i in range(60)])
    base.close()
    options = data_options(["data.table=2024", "data.rows=50"])
    assert options == {"table": "2024", "rows": 50}
    assert load(tmp_path / "x.db", options=options).contents.records is not None


def test_a_setting_that_must_be_text_and_is_not_is_refused(table: Path) -> None:
    for name in ("schema", "table", "encoding"):
        with pytest.raises(FitError, match=f"data.{name}=5: a text"):
            load(table, options={name: 5})


def test_a_label_names_a_file_whose_name_is_in_no_encoding() -> None:
    assert to_json({"file": "b\udcff.csv"}) == b'{\n "file": "b\\udcff.csv"\n}'
    assert "é".encode() in to_json({"file": "é"})


def test_a_name_with_a_zero_byte_is_refused_in_a_line() -> None:
    for name in ("\0", "a\0.csv", "a/\0/b"):
        with pytest.raises(RunError, match="no name that a file can have"):
            Output(True).check(Path(name))


def test_a_persons_folder_that_is_refused_for_a_run_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(RunError, match="holds mine"), Draft(tmp_path):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("module", ["karat.terminal", "karat.workflow.making"])
def test_an_interruption_while_modules_are_imported_ends_as_any_other(module: str, tmp_path: Path) -> None:
    class Interrupts:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == module:
                os.kill(os.getpid(), signal.SIGINT)

    def act() -> None:
        sys.modules.pop(module, None)  # whatever other tests have imported
        package, _, name = module.rpartition(".")
        vars(sys.modules[package]).pop(name, None)
        sys.meta_path.insert(0, Interrupts)  # type: ignore[arg-type]
        cli.main(["make", str(tmp_path), "-n", "3"])

    with Forked(act, tmp_path) as one:
        assert one.wait() == 130
        assert "Traceback" not in one.said()[1]
