"""Sound files as libsndfile is shown them, and what its decoders print."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

MPG123 = re.compile(rb"(Note|Warning): |\[.*libmpg123.*\] (error|warning): ")
_one = threading.Lock()  # the standard error is the whole process's


@contextlib.contextmanager
def without_notes(name: str) -> Iterator[None]:
    """While a file of this `name` is decoded, what libmpg123 prints of an MP3 is kept off the standard error; all else is printed.

    libsndfile does not let it be told to be quiet. Nothing is lost for it: what cannot be decoded is an error of libsndfile's, or
    leaves a file shorter than its header says.
    """
    if not name.lower().endswith(".mp3"):
        yield
        return
    with _one, tempfile.TemporaryFile() as printed:
        sys.stderr.flush()
        try:
            own = os.dup(2)
        except OSError:  # there is none
            yield
            return
        os.dup2(printed.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(own, 2)
            os.close(own)
            printed.seek(0)
            for line in printed:
                if not MPG123.match(line):
                    os.write(2, line)


def opened(file: BinaryIO, size: int, name: str) -> Any:
    """soundfile's SoundFile of the `size` bytes of a file of this `name`; LibsndfileError where it is no sound."""
    import soundfile

    with without_notes(name):
        return soundfile.SoundFile(_Steady(file, size))


class _Steady:
    """A file for libsndfile, which calls through C, where an exception is printed and lost: none is raised, and what cannot be
    read is not there.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size, self.place = file, size, 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        place = offset + (0, self.place, self.size)[whence]
        self.place = min(max(0, place), self.size)  # a header may send it anywhere
        return self.place

    def tell(self) -> int:
        return self.place

    def read(self, count: int) -> bytes:
        try:
            self.file.seek(self.place)
            blob = self.file.read(min(count, self.size - self.place))
        except (OSError, ValueError):
            return b""
        self.place += len(blob)
        return blob
