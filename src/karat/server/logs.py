"""One line of JSON for each request, and for what the server does: never a body, a key, a query, or an exception's message."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

LOG = logging.getLogger("karat.server")


class Lines(logging.Formatter):
    """A record as a line of JSON.

    What others log (uvicorn) is named by its logger and its text before values are put in, which may be what a client sent.
    """

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] | None = getattr(record, "fields", None)
        if fields is None:
            text = record.getMessage() if record.name == LOG.name else str(record.msg)
            fields = {"logger": record.name, "text": text}
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        failure = {} if record.exc_info is None or record.exc_info[1] is None else where(record.exc_info[1])
        return json.dumps({"time": when, "level": record.levelname.lower(), **fields, **failure})


class Gathered(logging.StreamHandler[TextIO]):
    """Writes the lines of one turn of an event loop at once: while a line is written another thread may run first."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a thread of another kind
            super().emit(record)
            return
        self._lines.append(self.format(record))
        if len(self._lines) == 1:
            loop.call_soon(self.flush)

    def flush(self) -> None:
        with self.lock or contextlib.nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                with contextlib.suppress(OSError, ValueError):  # nobody reads on
                    self.stream.write("\n".join(lines) + "\n")
            super().flush()


def where(error: BaseException) -> dict[str, Any]:
    """What kind an exception is and which lines it passed, without its message, which may hold content."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return {"exception": type(error).__name__, "lines": lines[-12:]}


def event(level: int, what: str, **fields: Any) -> None:
    """Logs that something happened."""
    known = {"event": what, **fields}
    LOG.log(level, known, extra={"fields": known})


def to_stderr() -> None:
    """Sends the server's lines, and uvicorn's warnings, to standard error."""
    handler = Gathered(sys.stderr)
    handler.setFormatter(Lines())
    for name, level in (("karat.server", logging.INFO), ("uvicorn", logging.WARNING), ("asyncio", logging.ERROR)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
