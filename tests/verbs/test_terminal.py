"""What reaches a terminal: text from data and from strangers is shown as it is, whatever it would mean to one."""

from __future__ import annotations

import io
import os
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import Forked
from rich.table import Table

from karat import cli
from karat.terminal import Terminal, shown
from karat.workflow import learning
from karat.worth.ledger import Ledger

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
    assert "runs/DATA-RECIPE by default" in words and "{label}_{speaker}_{n}" in words


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

    def look() -> None:
        sys.stdout.reconfigure(encoding="ascii", errors="strict")  # type: ignore[union-attr]
        cli.main(["look", str(tmp_path / "данные.csv"), "--no-probe"])

    with Forked(look) as ended:
        out, err = ended.communicate()
    assert ended.returncode == 0, err
    assert r"\u0438\u043c\u044f" in out and "Traceback" not in err


# The last catch ---------------------------------------------------------------------------------------------------


def broken() -> None:
    def fail(*given: object, **named: object) -> None:
        raise ZeroDivisionError("nobody foresaw [/this]")

    learning.data_options = fail  # type: ignore[assignment]
    cli.main(["look", "postgresql://me:secret@host/x", "--set", "a=b"])


@pytest.mark.parametrize("writable", [True, False])
def test_an_exception_nobody_foresaw_leaves_a_line_and_a_report(
    tmp_path: Path, writable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    if not writable:
        cache.write_text("a file where a folder is wanted")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Forked(broken, KARAT_CACHE=str(cache)) as ended:
        _, err = ended.communicate()
    assert ended.returncode == cli.FAULT
    assert "Traceback" not in err and "ZeroDivisionError: nobody foresaw [/this]" in err
    assert "open an issue" in err
    report = next((cache / "faults" if writable else tmp_path).glob("karat-fault-*.txt"))
    assert str(report) in err and report.stat().st_mode & 0o777 == 0o600
    text = report.read_text()
    assert "Traceback" in text and "ZeroDivisionError" in text and "torch" in text
    assert "secret" not in text and "postgresql://...@host/x" in text


# Signals ----------------------------------------------------------------------------------------------------------


def waiting(ledger: Path) -> None:
    def wait(*given: object, **named: object) -> None:
        with Ledger(ledger).entry("make"):
            print("ready", flush=True)
            time.sleep(60)

    learning.data_options = wait  # type: ignore[assignment]
    cli.main(["look", "digits"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_closes_the_books_and_says_its_number(tmp_path: Path, number: signal.Signals) -> None:
    ledger = tmp_path / "ledger.jsonl"
    with Forked(lambda: waiting(ledger)) as process:
        process.until(lambda: process.said()[0])
        assert process.said()[0] == "ready\n"
        process.send_signal(number)
        assert process.wait(timeout=30) == 128 + number
        assert "Traceback" not in process.said()[1]
    assert '"status": "interrupted"' in ledger.read_text()


@pytest.mark.parametrize("value", ["x", "", "-1", "9" * 20])
def test_a_date_of_the_build_that_is_none_is_not_read(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
    with pytest.raises(SystemExit):
        cli.main(["make", "no such run"])
    assert "SOURCE_DATE_EPOCH" not in os.environ


def test_what_a_library_warns_its_programmers_of_is_not_said_to_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["karat", "look", "nothing"])

    def act() -> None:
        warnings.resetwarnings()
        try:
            cli.main()
        finally:
            warnings.warn("for programmers", RuntimeWarning, stacklevel=1)

    with Forked(act, tmp_path) as one:
        assert one.wait() == 2
    assert one.said()[1].count("\n") == 1, one.said()


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "t.csv", "--set", "data.rows=" + "[" * 5000],
        ["train", "t.csv", "--set", "model.leaf=" + "[" * 5000],
        ["look", "t.csv", "--set", "data.rows=" + "9" * 5000],
        ["look", "t.csv", "--set", "data.schema=a\0b"],
        ["look", "t.csv", "--schema", "deep.toml"],
        ["train", "t.csv", "--recipe", "deep.toml"],
        ["train", "t.csv", "--prices", "deep.toml"],
        ["assay", "--real", "t.csv", "--made", "t.csv", "-n", str(2**63)],
    ],
    ids=lambda arguments: " ".join(arguments)[:24],
)
def test_settings_beyond_all_measure_end_in_a_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("n,c\n" + "".join(f"{i % 7},{'ab'[i % 2]}\n" for i in range(60)))
    Path("deep.toml").write_text("a = " + "[" * 5000)
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.startswith("karat: ") and said.count("\n") <= 2, said
