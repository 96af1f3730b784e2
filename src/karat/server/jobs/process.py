"""The worker as its server has it: a process that is started for the first job and kept warm for the next ones."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

LOOK = 0.2  # seconds between two looks whether the job is to be given up
LEAVE = 30.0  # seconds that a worker has to save its job when the server ends


class Process:
    """`karat.server.jobs.worker`, in a session of its own: Ctrl-C in a terminal is the server's alone.

    A byte on its standard input is an order to do the first job of the queue; a line on its output says with what exit code
    that ended. When its input ends, so does it, as after Ctrl-C: also where the server was killed.
    """

    def __init__(self, root: Path) -> None:
        # -P: what lies in the served folder is never imported
        python = [sys.executable, "-P", "-m", "karat.server.jobs.worker", str(root)]
        self._process = subprocess.Popen(
            python, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, bufsize=0
        )

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def do(self, ends: Callable[[], bool], killed: Callable[[], bool]) -> int:
        """Lets it do one job; the exit code, negative where a signal ended it.

        ends: asked again and again, whether the server ends, and the worker with it.   killed: whether the job is given up.
        """
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has died, and its output says so
            os.write(process.stdin.fileno(), b"\n")
        while not ends():
            if killed():
                self.kill()
            if select.select([process.stdout], [], [], LOOK)[0]:
                answer = os.read(process.stdout.fileno(), 64)
                return int(answer) if answer else process.wait()
        return self.close()

    def close(self) -> int:
        """Lets it save what it is at, and end; its exit code."""
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(LEAVE)
            self.kill()
            return process.wait()

    def kill(self) -> None:
        """Ends it at once, with whatever it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
