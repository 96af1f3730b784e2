"""Steps that can be held up in the middle, wherever what computes them calls `limits.pause`."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from typing import Any

from karat import limits

SLICE = 0.02  # seconds after which work gives way


class Apart(Generator[Any, None, Any]):
    """The same steps, and None in between as often as they have computed for SLICE.

    They run in a thread of their own, which never runs but while its next step is waited for: so what torch keeps for each
    thread (gradients, precision, modes) is theirs alone, which it would not be were they a generator that others interrupt.
    """

    def __init__(self, steps: Generator[Any, None, Any]) -> None:
        self._steps = steps
        self._thread = threading.Thread(target=self._run, name="apart", daemon=True)
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._began = 0.0
        self._given: Any = None
        self._end: BaseException | None = None
        self._left = False

    def send(self, value: None) -> Any:
        if self._end is None:
            self._resume()
        if self._end is not None:
            raise self._end
        return self._given

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """For `close`: what is under way ends where it was held up."""
        if self._thread.ident is not None and self._end is None:
            self._left = True
            self._resume()
        self._end = StopIteration()
        raise kind if value is None else value

    def _resume(self) -> None:
        self._began = time.perf_counter()
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._go.release()
        self._back.acquire()

    def _run(self) -> None:
        try:
            with limits.pausing(self._pause):
                while True:
                    self._give(next(self._steps))
        except BaseException as end:
            self._end = end
        finally:
            self._steps.close()
            self._back.release()

    def _pause(self) -> None:
        if time.perf_counter() - self._began >= SLICE:
            self._give(None)

    def _give(self, given: Any) -> None:
        self._given = given
        self._back.release()
        self._go.acquire()
        if self._left:
            raise GeneratorExit
