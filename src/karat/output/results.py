"""Where results may go: never over what is there unless that was asked for, and never into the data a run learned from."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from karat.errors import RunError
from karat.output.files import Part, aside, explained, make_folder, to_json
from karat.output.names import BESIDE
from karat.provenance.containers import container_of
from karat.provenance.files import read_record, vouched
from karat.provenance.label import Label, label_record


class Output:
    """Where results may go. `check` refuses before work begins; the writers refuse again when they give a file its name.

    overwrite: whether results of before may be replaced.   kept: data and settings that never are, by any name or link.
    home: a run's folder, in which only `made...` and `report...` are results.   private: whether what is made is readable
    for its owner only; it always is in `home`.
    """

    def __init__(
        self, overwrite: bool = False, kept: Sequence[Path] = (), home: Path | None = None, private: bool = False
    ) -> None:
        self.overwrite, self.home = overwrite, home
        self.kept = tuple(path for path in kept if _there(path))
        self._private = private

    def private(self, goal: Path) -> bool:
        """Whether what is written there is for its owner only."""
        return self._private or (self.home is not None and _within(goal, self.home))

    def check(self, goal: Path) -> None:
        """RunError where `goal` must not be written: it is there, a link, or among what a run learned from."""
        if "\0" in str(goal):
            raise RunError(f"{str(goal)!r} is no name that a file can have. Choose another --out.")
        if ".." in goal.parts and not _there(
            goal.parent
        ):  # making its parents would leave folders that nobody asked for
            raise RunError(f"{goal} goes back through a folder that is not there. Choose another --out.")
        with explained(goal):
            self._check(goal)

    def _check(self, goal: Path) -> None:
        if goal.is_symlink() and not goal.is_dir():
            raise RunError(
                f"{goal} is a link to {os.readlink(goal)}; results are not written through links. Choose another --out."
            )
        for path in self.kept:
            if _within(goal, path) and not (self.home is not None and _within(goal, self.home)):
                where = "is" if path.is_file() else "lies in"
                raise RunError(
                    f"{goal} {where} what the run learned from ({path}), and stays as it is. Choose another --out."
                )
            if _linked(goal, path):
                raise RunError(
                    f"{goal} is the same file as one of {path}, which the run learned from. Choose another --out."
                )
        if self.home is not None and self.home in goal.parents:
            for path in (goal, *goal.parents):
                if path == self.home:
                    break
                if path.is_symlink():
                    raise RunError(
                        f"{path} is a link out of the run; nothing is written through it. Choose another --out."
                    )
        there = os.path.lexists(goal)
        if there and self.home is not None and _within(goal, self.home):
            first = Path(os.path.relpath(goal.resolve(), self.home.resolve())).parts
            if not first or not first[0].startswith(("made", "report")):
                raise RunError(f"{goal} is a part of the run in {self.home}. Choose another --out.")
        if there and not goal.is_dir() and not stat.S_ISREG(goal.lstat().st_mode):
            raise RunError(f"{goal} is no ordinary file; --out wants a new file, or a folder.")
        if there and not goal.is_dir() and not self.overwrite:
            raise RunError(f"{goal} is there already; choose another --out, or give --overwrite to replace it.")

    @contextlib.contextmanager
    def open(self, goal: Path) -> Iterator[IO[bytes]]:
        """A new file to write, read and seek in, which is called `goal` once the body has ended, or never was."""
        self._begin(goal)
        with aside(goal, self.private(goal)) as part:
            yield part.file
            self._finish(part)

    def write(self, goal: Path, blob: bytes) -> None:
        """`goal` holds `blob`."""
        with self.open(goal) as file:
            file.write(blob)

    def write_all(self, blobs: Mapping[Path, bytes]) -> None:
        """Each path holds its bytes; they get their names, in this order, when all of them are whole on the disk."""
        for goal in blobs:
            self._begin(goal)
        with contextlib.ExitStack() as stack:
            parts = []
            for goal, blob in blobs.items():
                part = stack.enter_context(aside(goal, self.private(goal), len(blob)))
                part.file.write(blob)
                part.sync()
                parts.append(part)
            for part in parts:
                self._finish(part)

    @contextlib.contextmanager
    def labelled(self, goal: Path, label: Label) -> Iterator[IO[bytes]]:
        """The same as `open`, with the label of origin: inside where the form has a place for it, else beside, and there first."""
        self._begin(goal)
        container = container_of(goal.name)
        if container is not None:
            with aside(goal, self.private(goal)) as part:
                yield part.file
                container.write_in(part.file, label)
                self._finish(part)
            return
        beside = goal.with_name(goal.name + BESIDE)
        if not _orphan(beside, goal):
            self._begin(beside)
        former = vouched(read_record(beside), goal.parent)
        with aside(goal, self.private(goal)) as part:
            yield part.file
            record = label_record(label, {goal.name: part.digest()})
            self._lay(beside, {**record, "former": former} if former else record, goal)
            self._finish(part)
            if former:  # which is gone
                self._lay(beside, record, goal)

    def _lay(self, beside: Path, record: Mapping[str, Any], goal: Path) -> None:
        """Puts the label of `goal` beside it."""
        with aside(beside, self.private(goal)) as part:
            part.file.write(to_json(record))
            part.sync()
            self.check(goal)
            part.settle(replace=self.overwrite or _orphan(beside, goal))

    def _begin(self, goal: Path) -> None:
        self.check(goal)
        if goal.is_dir():
            raise RunError(f"{goal} is a folder; a file was to be written there. Choose another --out.")
        make_folder(goal.parent, self.private(goal.parent))

    def _finish(self, part: Part) -> None:
        if self.overwrite and part.goal.is_file():
            with contextlib.suppress(OSError):
                os.fchmod(part.file.fileno(), stat.S_IMODE(part.goal.stat().st_mode))
        part.settle(replace=self.overwrite)


def _orphan(beside: Path, goal: Path) -> bool:
    """Whether `beside` is a label whose file never came: its make was killed between the two."""
    if os.path.lexists(goal):
        return False
    record = read_record(beside)
    return record is not None and set(record["sha256"]) == {goal.name}


def _within(goal: Path, folder: Path) -> bool:
    """Whether `goal` is `folder` or lies in it, by whatever names."""
    try:
        there, held = goal.resolve(), folder.resolve()
    except OSError:
        return False
    if there == held or held in there.parents:
        return True
    for path in (there, *there.parents):
        with contextlib.suppress(OSError):
            if path.samefile(held):
                return True
    return False


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # text that was taken for a path: too long for one, or with a NUL
        return False


def _linked(goal: Path, folder: Path) -> bool:
    """Whether `goal` is another name of a file in `folder`."""
    try:
        mine = goal.stat()
    except OSError:
        return False
    if mine.st_nlink < 2 or not stat.S_ISREG(mine.st_mode) or not folder.is_dir():
        return False
    for here, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                found = os.lstat(os.path.join(here, name))
                if (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino):
                    return True
    return False
