"""What a person reads in a terminal. Every text is shown as it is: nothing in it is markup, an emoji code or an escape sequence.

Names, cells and messages come from data and from strangers. rich would parse `[b]` in them as a style and `:smile:` as a
picture, and a terminal would obey the escape sequences in them; both are shown here as the characters that they are.
"""

from __future__ import annotations

import errno
import os
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Any

from rich.console import Console
from rich.text import Text

# C0 but tab and newline, DEL, C1, and what reorders or hides the text around it (Unicode TR36, 2.10; UAX 9)
ACTIVE = (
    *(c for c in range(0x20) if c not in (0x09, 0x0A)),
    *range(0x7F, 0xA0),
    *(0x061C, 0x200E, 0x200F, 0x2028, 0x2029, 0xFEFF),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
)
NARROWEST, WIDEST = 20, 1000  # columns of a terminal
ESCAPES = {code: (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}") for code in ACTIVE}


def shown(text: str) -> str:
    """`text` with the characters that a terminal would obey as escapes, such as \\x1b, and lone surrogates as \\udc80."""
    return text.translate(ESCAPES).encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True)
class OutputMode:
    """What goes to the terminal.   quiet: errors only.   aside: all text goes to standard error, as results go to output."""

    quiet: bool = False
    aside: bool = False


OUTPUT_MODE: ContextVar[OutputMode] = ContextVar("manner", default=OutputMode())  # noqa: B039 (frozen)


class Terminal(Console):
    """rich's console for plain text: tables, rules and progress bars are drawn, and no string is parsed."""

    def __init__(self, aside: bool = False) -> None:
        """aside: to standard error, where what is made goes to standard output, or where `OUTPUT_MODE` says so."""
        mode = OUTPUT_MODE.get()
        file = sys.stderr if aside or mode.aside else sys.stdout
        super().__init__(file=file, markup=False, emoji=False, highlight=False, quiet=mode.quiet)

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(shown(text), **{**how, "markup": False, "emoji": False})

    def print(self, *objects: Any, **how: Any) -> None:
        """Sentences are one line each, which a terminal wraps by itself and a file or a pipe gets whole."""
        whole = all(isinstance(x, str) for x in objects)
        super().print(*objects, **{"soft_wrap": whole, **how})

    def on_broken_pipe(self) -> None:
        """Whoever read has gone: the caller's to end, as a shell expects, and not rich's with an exit code of 1."""
        raise BrokenPipeError


def tolerant() -> None:
    """Lets the standard streams write what their encoding has no characters for as escapes, in place of raising, and lets
    work go on to its save when their terminal is closed.

    Streams that were closed before the start lead nowhere: else the next file that is opened takes their number, and what a
    library says to standard error is written into it. A width that no terminal has is not believed.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    width = os.environ.get("COLUMNS", "")
    if width.strip().isdecimal() and not NARROWEST <= int(width[:9]) <= WIDEST:
        del os.environ["COLUMNS"]
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        if isinstance(stream, TextIOWrapper) and stream.isatty():
            setattr(sys, name, _Closing(stream))


class _Closing:
    """A terminal that may be closed while it is written to (EIO): from then on nobody reads."""

    def __init__(self, stream: TextIOWrapper) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            return self._unread(error, len(text))

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._unread(error, 0)

    def _unread(self, error: OSError, written: int) -> int:
        if error.errno != errno.EIO:
            raise error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        return written
