"""How a person or the system stops a training: signals are collected, and what they ask for is done after the next round."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from karat.errors import KaratError


class Interrupted(KaratError):
    """A person or the system asked the training to stop; all is saved. `code` is the exit code owed."""

    def __init__(self, message: str, code: int) -> None:
        self.args = (message,)
        self.code = code


@contextmanager
def signals() -> Iterator[list[int]]:
    """Collects SIGINT, SIGTERM and SIGHUP instead of dying of them; the second one kills at once."""
    got: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        if got:
            os._exit(128 + number)
        got.append(number)

    try:
        kept = {
            s: signal.signal(s, on_signal)
            for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            if s != signal.SIGHUP or signal.getsignal(s) != signal.SIG_IGN  # nohup ignores it: it stays so
        }
    except ValueError:  # not in the main thread: the caller's signals are not ours to take
        kept = {}
    try:
        yield got
    finally:
        for s, handler in kept.items():
            signal.signal(s, handler)
