"""A review at a real terminal: keys, a kill, a screen that shows what is there, and the terminal as it was."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from termios import ECHO, TIOCSWINSZ, tcgetattr

import numpy as np
import pytest
from test_review import pictures

import karat.cli
from karat.chain import Chain
from karat.content.showing import Passage, Pixels, Row, Sound
from karat.errors import FitError
from karat.review.decisions import Decisions, standing
from karat.review.drawing import COLOUR, HALF, Room, drawn, page, wrapped
from karat.review.screen import require_terminal


@contextmanager
def terminal(*tokens: str) -> Iterator[tuple[int, int]]:
    """`karat` in a terminal of 80 x 24: its process and our end. Forked, so that nothing is imported again."""
    child, ours = pty.fork()
    if child == 0:  # pragma: no cover
        code = 70
        try:
            os.environ["COLORTERM"] = "truecolor"
            sys.stdin = open(0)  # noqa: SIM115 (pytest's own is no terminal)
            sys.stdout = open(1, "w", encoding="utf-8")  # noqa: SIM115
            sys.stderr = sys.stdout
            karat.cli.main(list(tokens))
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    ioctl(ours, TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    try:
        yield child, ours
    finally:
        os.close(ours)
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def until(ours: int, pattern: str, seconds: float = 60.0) -> str:
    """What the terminal was sent, up to what matches."""
    out, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                out += os.read(ours, 65536)
            except OSError:
                break
        if re.search(pattern, COLOUR.sub("", out.decode("utf-8", "replace"))):
            return out.decode("utf-8", "replace")
    raise AssertionError(f"no {pattern!r} in {out[-2000:]!r}")


def press(ours: int, *keys: str) -> None:
    for key in keys:
        os.write(ours, key.encode())


def test_one_key_an_answer_and_a_kill_loses_none(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", 12)
    kept = Decisions(tmp_path / "p.review.jsonl")
    command = ("review", str(folder), "--plan", "all", "--reviewer", "mei")
    with terminal(*command) as (child, ours):
        first = until(ours, "help")
        assert HALF in first and "1 of 18" in first and "a accept" in first
        for keys, then in (("a", "2 of"), ("r2", "3 of"), ("a", "4 of"), ("u", "3 of"), ("a", "4 of")):
            press(ours, keys)
            until(ours, f"{then} 18")
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert [(d.verdict, d.reason) for d in standing(kept.all())] == [
        ("accept", ""),
        ("reject", "damaged"),
        ("accept", ""),
    ]
    with terminal(*command) as (child, ours):
        until(ours, "4 of 18")
        for k in range(5, 19):
            press(ours, "a")
            until(ours, f"{k} of 18")
        press(ours, "a")
        last = until(ours, "accepted: .*\n|unknown: .*\n")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert "rubber stamp" in last and "'mei'" in last, "14 answers in no time at all"
    assert "\x1b[?1049l" in last and "\x1b[?25h" in last, "the terminal is as it was"
    assert len(standing(kept.all())) == 18 and Chain(kept.path).audit().holds


def test_quitting_gives_the_terminal_back(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", 6)
    with terminal("review", str(folder), "--plan", "all") as (child, ours):
        before = until(ours, "1 of 12")
        assert "\x1b[?1049h" in before
        press(ours, "q")
        assert "12 are left" in until(ours, "are left")
        assert tcgetattr(ours)[3] & ECHO
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_an_editor_changed_comes_back_with_its_minutes_and_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.csv").write_text("name,age\nAnn,39\n")
    monkeypatch.setenv("VISUAL", "sed -i s/39/40/")
    with terminal("review", str(tmp_path / "t.csv"), "--plan", "all") as (child, ours):
        for k in range(1, 4):
            until(ours, f"{k} of 3")
            press(ours, "e" if k < 3 else "a")
        until(ours, "accepted: 1 of 1|unknown")
        os.waitpid(child, 0)
    said = standing(Decisions(tmp_path / "t.csv.review.jsonl").all())
    own = [d for d in said if d.role in ("made", "again")]
    assert [d.verdict for d in said] == ["edit", "edit", "accept"]
    assert own[0].mending > 0 and own[0].seconds < own[0].mending + 60
    kept = tmp_path / "t.csv.edited" / own[0].mended
    assert json.loads(kept.read_text()) == {"name": "Ann", "age": "40"} and kept.stat().st_mode & 0o077 == 0


def test_two_folders_are_compared_blind_with_an_interval(tmp_path: Path) -> None:
    one, two = pictures(tmp_path / "one", 8), pictures(tmp_path / "two", 8)
    with terminal("review", str(one), str(two), "-n", "8") as (child, ours):
        until(ours, "1 of 8")
        for k in range(2, 9):
            press(ours, "1")
            until(ours, f"{k} of 8")
        press(ours, "=")
        said = until(ours, "p = .*\n")
        os.waitpid(child, 0)
    found = re.search(r"one was liked better (\d) times, two (\d), neither 1", said)
    assert found is not None and int(found[1]) + int(found[2]) == 7 and "95% interval" in said
    assert 0 < int(found[1]) < 7, "always the left one: sides are drawn by chance"


def test_without_a_terminal_there_is_no_review(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nothing, pytest.raises(FitError, match="wants a terminal"):
        monkeypatch.setattr("sys.stdin", nothing)
        require_terminal()


def test_a_digit_of_28_pixels_is_drawn_whole_in_its_colours() -> None:
    pixels = np.zeros((28, 28, 3), np.uint8)
    pixels[3, 5], pixels[4, 5] = (255, 0, 0), (0, 255, 0)
    lines = drawn(Pixels(pixels), Room(80, 21))
    assert len(lines) == 14 and {line.count(HALF) for line in lines} == {28}
    assert "38;2;0;0;0;48;2;255;0;0m" in lines[1] and "38;2;0;255;0;48;2;0;0;0m" in lines[2]
    assert "38;5;16;48;5;196m" in drawn(Pixels(pixels), Room(80, 21, fine=False))[1]
    large = drawn(Pixels(np.zeros((300, 600, 3), np.uint8)), Room(80, 21))
    assert len(large) <= 21 and max(line.count(HALF) for line in large) <= 80
    small = drawn(Pixels(pixels[:7, :7]), Room(80, 21))
    assert len(small) == 21 and small[0].count(HALF) == 42, "six times as large"


def test_wide_characters_keep_their_columns_and_nothing_in_a_cell_is_obeyed() -> None:
    from rich.cells import cell_len

    lines = wrapped("她在海边走了很久，直到太阳落下去。Then she went home.", 21)
    assert max(map(cell_len, lines)) <= 21 and "".join(lines).replace(" ", "").startswith("她在海边走了很久，直到")
    row = drawn(Row((("年龄", "39"), ("workclass", "\x1b[2J"), ("note", None))), Room(60, 10))
    assert [cell_len(line[: line.index(value)]) for line, value in zip(row, ("39", "\\x1b", "–"), strict=True)] == [
        11
    ] * 3
    assert "\x1b" not in "".join(row)
    many = drawn(Row(tuple((f"c{i}", str(i)) for i in range(50))), Room(80, 20))
    assert len(many) == 20 and all(str(i) in " ".join(many) for i in range(50))
    long = drawn(Passage("\n".join(map(str, range(50)))), Room(80, 10))
    pages = [page(long, k, 10) for k in range(7)]
    assert [line for each in pages[:6] for line in each[:-1]] == long and pages[6] == pages[0]
    assert pages[5][-1] == "… lines 46 to 50 of 50 (space: on)"


def test_a_sound_is_drawn_as_loud_as_it_is() -> None:
    wave = np.zeros((8000, 1), np.float32)
    wave[:4000] = 0.5
    lines = drawn(Sound(wave, 8000), Room(40, 12))
    assert set(lines[0][:20]) == {"▁"} and set(lines[1][:20]) == {"█"}, "6 dB below the loudest there could be"
    assert lines[-3][20:].strip() == ""
    assert lines[-1].startswith("1.00 s, 8,000 Hz, 1 channel, loudest sample 0.50")
