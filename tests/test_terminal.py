"""What reaches a terminal: text from data and from strangers is shown as it is, whatever it would mean to one."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.table import Table

from karat import cli
from karat.terminal import Terminal, shown

HOSTILE = (
    "[b]",
    "[/INST]",
    "[/]",
    "[link=x]",
    ":smile:",
    "{x}",
    "\\[b]",
    "a\x1b[31mb",
    "\x9b31m",
    "\u202ereversed",
    "\udc80",
    "[",
)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_text_is_shown_as_it_is_wherever_it_stands(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    console = Terminal()
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    console.print(text)
    console.print(table)
    console.rule(text)
    lines = out.getvalue()
    assert lines.count(shown(text)) == 5
    assert not set(lines) & {chr(c) for c in range(32) if c != 10} and "\u202e" not in lines


def test_what_is_harmless_is_left_alone() -> None:
    text = "Zoë 日本語 😀\ta\nb עברית"
    assert shown(text) == text


def test_names_with_brackets_are_listed_by_look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for label in ("[b]", "[INST]"):
        folder = tmp_path / "photos [a]" / label
        folder.mkdir(parents=True)
        for i in range(24):
            Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(folder / f"{i}[c].png")
    cli.main(["look", str(tmp_path / "photos [a]"), "--no-probe"])
    assert "classes: 2: [INST] 24, [b] 24" in capsys.readouterr().out


def test_the_help_shows_what_the_docstrings_say(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["train", "--help"])
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "runs/<data>-<recipe> by default" in words and '"{label}_{speaker}_{n}", or their folders' in words


@pytest.mark.parametrize(
    "arguments", [["[/b]"], ["look", "a", "--size", "[/b]"], ["look", "--[/b]", "3"], ["look"]], ids=str
)
def test_a_misused_command_line_is_named_in_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    told = capsys.readouterr()
    assert stop.value.code == 2 and told.out == ""
    assert told.err.startswith("karat: ") and told.err.count("\n") == 1 and "--help`" in told.err
    assert all(a in told.err for a in arguments if "[" in a)


def test_a_terminal_without_the_characters_gets_escapes_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "данные.csv").write_text(
        "имя,б\n" + "\n".join(f"{i},{'яю'[i % 2]}" for i in range(80)), encoding="utf-8"
    )
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    command = [sys.executable, "-m", "karat.cli", "look", str(tmp_path / "данные.csv"), "--no-probe"]
    ended = subprocess.run(command, env=env, capture_output=True, timeout=120)
    assert ended.returncode == 0, ended.stderr.decode()
    assert rb"\u0438\u043c\u044f" in ended.stdout and b"Traceback" not in ended.stderr


# The last catch ---------------------------------------------------------------------------------------------------

BROKEN = """
import sys
from karat import cli, learning
def fail(*given, **named):
    raise ZeroDivisionError("nobody foresaw [/this]")
learning.data_options = fail
cli.main(["look", "postgresql://me:secret@host/x", "--set", "a=b"])
"""


@pytest.mark.parametrize("writable", [True, False])
def test_an_exception_nobody_foresaw_leaves_a_line_and_a_report(tmp_path: Path, writable: bool) -> None:
    cache = tmp_path / "cache"
    if not writable:
        cache.write_text("a file where a folder is wanted")
    env = {**os.environ, "KARAT_CACHE": str(cache), "TMPDIR": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", BROKEN], env=env, capture_output=True, text=True, timeout=120)
    assert ended.returncode == cli.FAULT
    assert "Traceback" not in ended.stderr and "ZeroDivisionError: nobody foresaw [/this]" in ended.stderr
    assert "open an issue" in ended.stderr
    report = next((cache / "faults" if writable else tmp_path).glob("karat-fault-*.txt"))
    assert str(report) in ended.stderr and report.stat().st_mode & 0o777 == 0o600
    text = report.read_text()
    assert "Traceback" in text and "ZeroDivisionError" in text and "torch" in text
    assert "secret" not in text and "postgresql://...@host/x" in text


# Signals ----------------------------------------------------------------------------------------------------------

WAITING = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever began the tests may have these ignored
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from karat import cli, learning
from karat.worth.ledger import Ledger
from pathlib import Path
def wait(*given, **named):
    with Ledger(Path(sys.argv[1])).entry("make"):
        print("ready", flush=True)
        time.sleep(60)
learning.data_options = wait
cli.main(["look", "digits"])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_closes_the_books_and_says_its_number(tmp_path: Path, number: signal.Signals) -> None:
    ledger = tmp_path / "ledger.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, str(ledger)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        began = time.monotonic()
        process.send_signal(number)
        assert process.wait(timeout=30) == 128 + number and time.monotonic() - began < 30
        assert "Traceback" not in process.stderr.read()
    assert '"status": "interrupted"' in ledger.read_text()
