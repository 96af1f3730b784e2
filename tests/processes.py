"""Processes of their own for tests, forked from the one that runs them: no second import of torch is paid for."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

from karat import cli


class Forked:
    """A call in a process of its own; its signals, exit code and output are those of any process.

    call: what it does, in the folder `cwd` and with `environment` added.   terminal: a descriptor for input and all output,
    output: one for standard output; else input is empty and the outputs go to two files. As a context it is killed at the end
    if it still lives.
    """

    def __init__(
        self,
        call: Callable[[], object],
        cwd: Path | None = None,
        terminal: int | None = None,
        output: int | None = None,
        **environment: str,
    ) -> None:
        self.returncode: int | None = None
        self._said = ("", "")
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads: none is needed here
            self.pid = os.fork()
        if self.pid:
            return
        code = 1
        try:
            given = os.open(os.devnull, os.O_RDONLY) if terminal is None else terminal
            out, err = (self._out.fileno(), self._err.fileno()) if terminal is None else (terminal, terminal)
            for number, descriptor in enumerate((given, out if output is None else output, err)):
                os.dup2(descriptor, number)
            sys.stdin, sys.stdout, sys.stderr = (
                open(number, mode, buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
                for number, mode in enumerate(("r", "w", "w"))
            )
            signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever began the tests may ignore them
            for kind in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(kind, signal.SIG_DFL)
            os.environ.update(environment)
            if cwd is not None:
                os.chdir(cwd)
            call()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            try:
                sys.stdout.flush()
            except OSError:
                code = code or 120  # as Python ends where its output takes nothing more
            os._exit(code)

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: object) -> None:
        if self.poll() is None:
            self.send_signal(signal.SIGKILL)
            self.wait()

    def poll(self) -> int | None:
        """The exit code, the negative number of the signal that killed it, or None while it lives."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self._said = self.said()
                self.returncode = os.waitstatus_to_exitcode(status)
                self._out.close()
                self._err.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout: float = 60) -> int:
        """Its exit code; TimeoutError when it lives on."""
        self.until(lambda: False, timeout)
        if self.returncode is None:
            raise TimeoutError(f"the process lives after {timeout} s: {self.said()}")
        return self.returncode

    def until(self, fact: Callable[[], object], timeout: float = 60) -> None:
        """Waits for a fact, for the end of the process or of the time."""
        end = time.monotonic() + timeout
        while time.monotonic() < end and self.poll() is None and not fact():
            time.sleep(0.01)

    def said(self) -> tuple[str, str]:
        """Its standard output and error so far."""
        if self.returncode is not None:
            return self._said
        return tuple(os.pread(f.fileno(), 1 << 24, 0).decode("utf-8", "replace") for f in (self._out, self._err))  # type: ignore[return-value]

    def communicate(self, timeout: float = 60) -> tuple[str, str]:
        """Its standard output and error when it has ended."""
        self.wait(timeout)
        return self.said()


def karat_process(*arguments: str, cwd: Path, **environment: str) -> Forked:
    """The command line in a process of its own."""
    return Forked(lambda: cli.main(arguments), cwd, **environment)
