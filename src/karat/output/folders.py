"""A folder of made files, gathered in a hidden part of it; all are named in its label before they get their names."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from karat.errors import RunError
from karat.output.files import FLAGS, digest, explained, flock, fsync, make_folder, to_json, write_whole
from karat.output.names import INSIDE, STAGE
from karat.output.results import Output
from karat.provenance.files import digest_of, digest_read, read_record, vouched
from karat.provenance.label import Label, label_record

LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")  # what file browsers leave
AT_ONCE, BYTES_AT_ONCE = 256, 2**26  # files and bytes of a folder that are brought to disk together
FSYNCS = 16  # side by side: a file system writes many in one go


class Folder:
    """A folder of made files, gathered in a hidden part of it and given their names when all are there.

    A context: when its body ends the folder is whole; when it fails nothing has changed; when the process is killed, what
    was made is found by the next one of the same request, and with `keep` also when it fails.   Every file is in a
    `label.json` before it has its name.
    """

    def __init__(
        self, output: Output, goal: Path, label: Label, request: Mapping[str, Any], keep: bool = False
    ) -> None:
        self.output, self.goal, self.label, self.request, self.keep = output, goal, label, dict(request), keep
        self.stage = goal / STAGE
        self.digests: dict[str, str] = {}
        self._waiting: dict[str, tuple[Path, str]] = {}
        self._bytes = 0
        self._leaving: list[str] = []
        self._made = False  # whether the folder is of our making

    def __enter__(self) -> Folder:
        self.output.check(self.goal)
        if self.goal.exists() and not self.goal.is_dir():
            raise RunError(f"{self.goal} is a file; --out wants a folder here. Choose another --out.")
        going_on = goes_on(self.goal, self.request)
        if not going_on:
            self._check_former()
        self._made = not self.goal.exists()
        private = self.output.private(self.goal)
        make_folder(self.goal, private)
        self._lock = _lock_folder(self.goal)
        try:
            if going_on:
                self._take_up()
            else:
                self._check_stage()
                self._clear_stage()
                make_folder(self.stage, True)
                self._journal()
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._close()
            elif not self._kept() and issubclass(
                kind, Exception
            ):  # and not the wish to stop, after which one may go on
                self._clear_stage()
                if self._made:
                    with contextlib.suppress(OSError):
                        self.goal.rmdir()
        finally:
            os.close(self._lock)

    def _kept(self) -> bool:
        """Whether what was made stays for the next make though this one failed."""
        if self.keep:
            with contextlib.suppress(RunError):  # a full disk
                self.flush()
        return self.keep and bool(self.digests)

    def has(self, name: str) -> bool:
        """Whether an interrupted make has left this file whole."""
        return name in self.digests

    def write(self, name: str, blob: bytes) -> None:
        """A file of the folder; `name` may hold one sub-folder."""
        if self.has(name):
            return
        with self.open(name) as file:
            file.write(blob)

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A file of the folder, to write, read and seek in."""
        with explained(self.goal / name), os.fdopen(self._opened(name), "w+b") as file:
            yield file
            file.flush()
            size = file.tell()
            file.seek(0)
            found = digest_read(file)
        self.took(name, found, size)

    def begin(self, name: str) -> Path:
        """An empty file, for another process to write what will be `name` once the folder `took` it."""
        with explained(self.goal / name):
            os.close(self._opened(name))
        return self._part(name)

    def took(self, name: str, found: str, size: int) -> None:
        """What was begun as `name` is whole: `size` bytes of the SHA-256 `found`."""
        self._waiting[name] = self._part(name), found
        self._bytes += size
        if len(self._waiting) >= max(AT_ONCE, len(self.digests) // 8) or self._bytes > BYTES_AT_ONCE:
            self.flush()

    def _opened(self, name: str) -> int:
        part = self._part(name)
        make_folder(part.parent, True)
        return os.open(part, FLAGS | os.O_TRUNC, 0o600 if self.output.private(self.goal) else 0o666)

    def _part(self, name: str) -> Path:
        """Where a file is written before it has its name."""
        goal = self.stage / name
        return goal.with_name(f".{hashlib.sha256(goal.name.encode()).hexdigest()[:16]}.part")

    def flush(self) -> None:
        """What was written so far is on disk, and is found by the next make of the same request."""
        if not self._waiting:
            return
        with explained(self.goal):
            with ThreadPoolExecutor(FSYNCS) as pool:
                list(pool.map(fsync, [part for part, _ in self._waiting.values()]))
            self.digests |= {name: digest for name, (_, digest) in self._waiting.items()}
            self._journal()
            for name, (part, _) in self._waiting.items():
                os.rename(part, self.stage / name)
            for folder in {(self.stage / name).parent for name in self._waiting}:
                fsync(folder)
        self._waiting, self._bytes = {}, 0

    def _journal(self, leaving: Sequence[str] | None = None) -> None:
        """What is there of the files; once all are, also those of before that go."""
        record = {**label_record(self.label, self.digests), "unfinished": digest(to_json(self.request))}
        write_whole(self.stage / INSIDE, to_json(record if leaving is None else {**record, "leaving": list(leaving)}))

    def _check_former(self) -> None:
        """RunError where the folder holds what is no result of ours, or a result that may not be replaced."""
        if not self.goal.is_dir():
            return
        former, there = read_record(self.goal / INSIDE), list(_files(self.goal))
        if not there:
            return
        known = {} if former is None else {**former["sha256"], **former.get("former", {})}
        for name in there:
            if name == INSIDE and former is not None:
                continue
            if name not in known:
                raise RunError(f"{self.goal} holds {name}, which karat did not make; choose another --out.")
        if not self.output.overwrite:
            raise RunError(
                f"{self.goal} holds {len(there) - 1:,} made files already; choose another --out, or give --overwrite to "
                "replace them."
            )
        whole = vouched(former, self.goal)
        for name in there:
            path = self.goal / name
            if path.is_symlink() or name not in (INSIDE, *whole):
                raise RunError(f"{path} was changed after karat made it; move it away, or choose another --out.")

    def _check_stage(self) -> None:
        """RunError where the hidden part of the folder holds what no make has begun."""
        if self.stage.is_symlink() or read_record(self.stage / INSIDE) is not None:
            return
        foreign = next(iter(_files(self.stage)), None)  # unfinished files aside
        if foreign is not None:
            raise RunError(
                f"{self.stage} holds {foreign}, which karat did not make; move it away, or choose another --out."
            )

    def _take_up(self) -> None:
        """What an interrupted make left whole; the rest of it goes."""
        for folder in (self.goal, self.stage):
            for name in _files(folder, hidden=True):
                if (folder / name).is_symlink():  # files would be written and removed through it
                    raise RunError(f"{folder / name} is a link; take it away, or choose another --out.")
        record = read_record(self.stage / INSIDE)
        assert record is not None
        known = record["sha256"]
        for name in list(_files(self.stage, hidden=True)):
            if name != INSIDE and known.get(name) != digest_of(self.stage / name):
                (self.stage / name).unlink()
        self._leaving = record.get("leaving", [])
        there = {*_files(self.stage)}
        if "leaving" in record:  # it was stopped while the files were given their names
            there |= {name for name in _files(self.goal) if known.get(name) == digest_of(self.goal / name)}
        self.digests = {name: found for name, found in known.items() if name in there}

    def _close(self) -> None:
        """Gives all files their names: first the label that names them, then they, then what is no longer theirs goes."""
        self.flush()
        former = read_record(self.goal / INSIDE)
        old = {*self._leaving, *({} if former is None else former["sha256"])} - set(self.digests)
        self._journal(sorted(old))
        with explained(self.goal):
            record = label_record(self.label, self.digests)
            private = self.output.private(self.goal)
            still = vouched(former, self.goal)
            write_whole(self.goal / INSIDE, to_json({**record, "former": still} if still else record), private)
            for name in list(_files(self.stage)):
                if name != INSIDE:
                    make_folder((self.goal / name).parent, private)
                    os.replace(self.stage / name, self.goal / name)
            for name in sorted(old):
                (self.goal / name).unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # a sub-folder that is not empty stays
                    if (self.goal / name).parent != self.goal:
                        (self.goal / name).parent.rmdir()
            for folder in {self.goal, *((self.goal / name).parent for name in self.digests)}:
                fsync(folder)
            if still:  # they are gone
                write_whole(self.goal / INSIDE, to_json(record), private)
        self._clear_stage()

    def _clear_stage(self) -> None:
        if self.stage.is_symlink():
            raise RunError(f"{self.stage} is a link; take it away, or choose another --out.")
        if self.stage.is_dir():
            shutil.rmtree(self.stage)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, in the order in which they were made, and the label."""
        return (*(self.goal / name for name in self.digests), self.goal / INSIDE)


def goes_on(goal: Path, request: Mapping[str, Any]) -> bool:
    """Whether `goal` holds an interrupted make of the same request."""
    record = None if (goal / STAGE).is_symlink() else read_record(goal / STAGE / INSIDE)
    return record is not None and record.get("unfinished") == digest(to_json(dict(request)))


def _lock_folder(goal: Path) -> int:
    handle = os.open(goal, os.O_RDONLY)
    if not flock(handle):
        os.close(handle)
        raise RunError(f"{goal} is being written by another process; wait for it, or choose another --out.")
    return handle


def _files(folder: Path, hidden: bool = False) -> Iterator[str]:
    """Names of all that is no folder below `folder`, what is being made and litter aside; links are not followed."""
    for here, folders, files in os.walk(folder):
        if Path(here) == folder and STAGE in folders:
            folders.remove(STAGE)
        links = [name for name in folders if (Path(here) / name).is_symlink()]
        for name in sorted([*files, *links]):
            if name not in LITTER and (hidden or not name.endswith(".part")):
                yield (Path(here) / name).relative_to(folder).as_posix()
