"""A terminal in which one key is an answer: a full screen while the body runs, and the terminal as it was behind it."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence

from karat.errors import FitError
from karat.review.drawing import Room, fine_colours, wrapped

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
OPENERS = ("xdg-open", "open")
PLAYERS = (
    ("aplay", "-q", "-"),
    ("ffplay", "-loglevel", "quiet", "-nodisp", "-autoexit", "-i", "-"),
    ("play", "-q", "-"),
)
QUIET = subprocess.DEVNULL
CTRL_D, BLINK = "\x04", 0.3  # seconds, after which is asked how large the terminal is


class Screen:
    """A terminal's screen.   fine: whether it has 24 bits of colour."""

    def __init__(self) -> None:
        self.fine = fine_colours()
        self._sounding: subprocess.Popen[bytes] | None = None

    @property
    def room(self) -> Room:
        """What there is for a thing, between a line above and two below."""
        size = shutil.get_terminal_size()
        return Room(max(10, size.columns), max(3, size.lines - 3), self.fine)

    def put(self, above: str, lines: Sequence[str], below: str) -> None:
        """The screen anew: a line, the thing, and a line at the foot."""
        size = shutil.get_terminal_size()
        head = wrapped(above, size.columns)[:1]
        foot = wrapped(below, size.columns)[-2:]
        body = [*head, *lines[: size.lines - len(foot) - 1]]
        body += [""] * (size.lines - len(foot) - len(body)) + foot
        sys.stdout.write("\x1b[H" + "\r\n".join(f"{line}\x1b[K" for line in body) + "\x1b[J")
        sys.stdout.flush()

    def key(self) -> str:
        """The next key: a character, or left and right for the arrows, or resized where the terminal was."""
        size = shutil.get_terminal_size()
        while True:
            try:
                if not select.select([sys.stdin], [], [], BLINK)[0]:
                    if shutil.get_terminal_size() != size:
                        return "resized"
                    continue
                pressed = os.read(sys.stdin.fileno(), 1)
            except OSError:
                return CTRL_D
            if not pressed:
                return CTRL_D  # the terminal is gone
            if pressed == b"\x1b":
                return {b"[D": "left", b"[C": "right", b"OD": "left", b"OC": "right"}.get(self._rest(), "escape")
            if pressed[0] < 0x80:
                return pressed.decode()
            self._rest()  # of a character that is no key of ours

    def _rest(self) -> bytes:
        out = b""
        while len(out) < 8 and select.select([sys.stdin], [], [], 0.02)[0]:
            out += os.read(sys.stdin.fileno(), 1)
            if out[-1:].isalpha() and out != b"O":
                break
        return out

    def play(self, sound: bytes) -> bool:
        """Plays the bytes of a WAV file; False where there is no player."""
        self.hush()
        for command in PLAYERS:
            if shutil.which(command[0]):
                self._sounding = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=QUIET, stderr=QUIET)
                assert self._sounding.stdin is not None
                with contextlib.suppress(OSError):
                    self._sounding.stdin.write(sound)
                    self._sounding.stdin.close()
                return True
        return False

    def hush(self) -> None:
        """Ends what is played."""
        if self._sounding is not None:
            with contextlib.suppress(OSError):
                self._sounding.terminate()
            self._sounding.wait()
            self._sounding = None


def require_terminal() -> None:
    """FitError where there is no terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise FitError(
            "a review wants a terminal to show things in and to read keys from, and there is none: run it without a pipe."
        )


@contextlib.contextmanager
def screen() -> Iterator[Screen]:
    """The terminal's screen; FitError where there is no terminal."""
    require_terminal()
    import termios
    import tty

    kept = termios.tcgetattr(sys.stdin)
    found = Screen()
    try:
        tty.setcbreak(sys.stdin)
        now = termios.tcgetattr(sys.stdin)
        now[6][termios.VSUSP] = b"\0"  # else the screen would stay behind
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, now)
        sys.stdout.write(ENTER)
        yield found
    finally:
        found.hush()
        sys.stdout.write(LEAVE)
        sys.stdout.flush()
        with contextlib.suppress(termios.error):  # it was closed
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, kept)


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """The terminal as other programs expect it, while the body runs one of them."""
    import termios
    import tty

    now = termios.tcgetattr(sys.stdin)
    sys.stdout.write(LEAVE)
    sys.stdout.flush()
    usual = termios.tcgetattr(sys.stdin)
    usual[3] |= termios.ECHO | termios.ICANON
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, usual)
    try:
        yield
    finally:
        tty.setcbreak(sys.stdin)
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, now)
        sys.stdout.write(ENTER)


def opener() -> str | None:
    """The program that opens a file in whatever shows it, None where there is none."""
    return next((name for name in OPENERS if shutil.which(name)), None)


def open_file(path: str | os.PathLike[str]) -> bool:
    """Opens a file beside the terminal; False where no program does that."""
    program = opener()
    if program is None:
        return False
    subprocess.Popen([program, os.fspath(path)], stdin=QUIET, stdout=QUIET, stderr=QUIET, start_new_session=True)
    return True
