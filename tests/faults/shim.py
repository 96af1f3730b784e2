"""Faults of a disk, put under the real code: the i-th write, fsync, rename or unlink fails, kills, or is lost in a power cut.

Python's own functions are wrapped, files that are opened for writing among them, so that what runs is the code as it is and
no compiler is needed. What native libraries write by themselves is not seen.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KINDS = ("write", "fsync", "rename", "unlink")


@dataclass
class Event:
    """kind: of `KINDS`, or "dirsync".   path: what was written, made durable, named or removed.   blob: of a name that is
    given, what of its file was durable."""

    kind: str
    path: Path
    blob: bytes = b""


@dataclass
class Shim:
    """Counts what is done below `root`, and lets the `at`-th of `kind` (all kinds, where None) fail with `number`; with
    `lasting` every later one too. `kill`: the process dies there, as by SIGKILL."""

    root: Path
    kind: str | None = None
    at: int = 0
    number: int = errno.EIO
    lasting: bool = False
    kill: bool = False
    count: int = 0
    events: list[Event] = field(default_factory=list)
    durable: dict[Path, bytes] = field(default_factory=dict)

    def inside(self, path: Path) -> bool:
        return path == self.root or self.root in path.parents

    def happens(self, kind: str, path: Path) -> None:
        """Called before the thing is done."""
        if not self.inside(path) or (self.kind is not None and kind != self.kind):
            return
        self.count += 1
        if self.at and (self.count == self.at or (self.lasting and self.count > self.at)):
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(self.number, os.strerror(self.number), str(path))


def _place(fd: int) -> Path:
    return Path(os.readlink(f"/proc/self/fd/{fd}").removesuffix(" (deleted)"))


@contextlib.contextmanager
def faults(shim: Shim) -> Iterator[Shim]:
    """The shim is under all that the body does."""
    real: dict[str, Any] = {
        n: getattr(os, n) for n in ("write", "fsync", "replace", "rename", "link", "unlink", "remove", "fdopen")
    }
    opened = builtins.open

    class Raw(io.FileIO):
        def write(self, blob: Any, /) -> int:
            shim.happens("write", _place(self.fileno()))
            return super().write(blob)

    def wrapped(raw: Raw, mode: str, buffering: int, **text: Any) -> Any:
        if buffering == 0:
            return raw
        whole: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return whole if "b" in mode else io.TextIOWrapper(whole, **text)

    def fdopen(fd: int, mode: str = "r", buffering: int = -1, *rest: Any, **text: Any) -> Any:
        if not set(mode) & set("wax+"):
            return real["fdopen"](fd, mode, buffering, *rest, **text)
        return wrapped(Raw(fd, mode.replace("b", "").replace("t", "")), mode, buffering, **text)

    def open_(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **text: Any) -> Any:
        if not set(mode) & set("wax+") or text.get("opener") or isinstance(file, int):
            return opened(file, mode, buffering, *rest, **text)
        text |= dict(zip(("encoding", "errors", "newline"), rest, strict=False))  # as pathlib calls it
        text = {name: value for name, value in text.items() if name != "closefd"}
        return wrapped(Raw(file, mode.replace("b", "").replace("t", "")), mode, buffering, **text)

    def write(fd: int, blob: Any) -> int:
        shim.happens("write", _place(fd))
        return int(real["write"](fd, blob))

    def fsync(fd: int) -> None:
        place = _place(fd)
        shim.happens("fsync", place)
        real["fsync"](fd)
        if place.is_dir():
            shim.events.append(Event("dirsync", place))
        elif place.is_file():
            shim.durable[place] = place.read_bytes()
            shim.events.append(Event("fsync", place, shim.durable[place]))

    def named(name: str) -> Callable[..., None]:
        def call(src: Any, dst: Any, **how: Any) -> None:
            old, new = Path(os.fspath(src)).absolute(), Path(os.fspath(dst)).absolute()
            shim.happens("rename", new)
            real[name](src, dst, **how)
            shim.events.append(Event("rename", new, shim.durable.get(old, b"")))
            shim.durable[new] = shim.durable.get(old, b"")

        return call

    def gone(name: str) -> Callable[..., None]:
        def call(path: Any, **how: Any) -> None:
            there = Path(os.fspath(path)).absolute()
            if os.path.lexists(there):
                shim.happens("unlink", there)
            real[name](path, **how)
            shim.events.append(Event("unlink", there))

        return call

    patched: dict[str, Any] = {"write": write, "fsync": fsync, "fdopen": fdopen}
    patched |= {name: named(name) for name in ("replace", "rename", "link")}
    patched |= {name: gone(name) for name in ("unlink", "remove")}
    kept_io = io.open
    try:
        for name, value in patched.items():
            setattr(os, name, value)
        builtins.open = io.open = open_  # type: ignore[assignment]
        yield shim
    finally:
        for name, value in real.items():
            setattr(os, name, value)
        builtins.open, io.open = opened, kept_io  # type: ignore[assignment]


def cuts(events: list[Event], before: dict[Path, bytes]) -> Iterator[dict[Path, bytes]]:
    """What a disk may hold after a power cut at any moment of `events`, from what it held before.

    A name that was given, or taken away, is sure once its folder is synced; until then it may be there or not, each by itself
    and in any order. What of a file was not synced is lost.
    """
    for end in range(len(events) + 1):
        sure, open_ = dict(before), list[Event]()
        for event in events[:end]:
            if event.kind == "dirsync":
                for one in open_:
                    if one.path.parent == event.path:
                        _apply(sure, one)
                open_ = [one for one in open_ if one.path.parent != event.path]
            elif event.kind in ("rename", "unlink"):
                open_.append(event)
            elif event.path in sure:  # appended in place
                sure[event.path] = event.blob
        for chosen in range(1 << min(len(open_), 4)):
            held = dict(sure)
            for i, one in enumerate(open_):
                if chosen >> min(i, 3) & 1:
                    _apply(held, one)
            yield held


def _apply(held: dict[Path, bytes], event: Event) -> None:
    if event.kind == "rename":
        held[event.path] = event.blob
    else:
        held.pop(event.path, None)


def killed(action: Callable[[Path], object], path: Path, at: int) -> bool:
    """Whether a process that did it was killed before its `at`-th step."""
    child = os.fork()
    if not child:
        try:
            with faults(Shim(path, None, at, kill=True)):
                action(path)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
