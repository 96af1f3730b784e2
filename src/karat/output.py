"""The only writer of results: whole or absent, never over what is there, never into the data a run learned from.

What is written gets its name only when all of it is on disk: it is written aside, fsynced, renamed, and its folder fsynced
(https://danluu.com/file-consistency/ says why each step is needed). Files of a folder are named in its label before that.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from karat import limits
from karat.errors import RunError, TooLarge
from karat.provenance.files import digest_of as digest_of
from karat.provenance.files import digest_read, read_record
from karat.provenance.files import read_json as read_json
from karat.provenance.label import Label, label_record

BESIDE = ".label.json"  # behind the name of a file whose label lies beside it
INSIDE = "label.json"  # in a folder of made files
STAGE = ".unfinished"  # in a folder: what is made for it, until all is there
LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")  # what file browsers leave
LONGEST = 200  # bytes of a name, so that what is put behind it still fits into 255
DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|clock\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\.|$)", re.IGNORECASE)
AT_ONCE, BYTES_AT_ONCE = 256, 2**26  # files and bytes of a folder that are brought to disk together
FSYNCS = 16  # side by side: a file system writes many in one go


def write_whole(path: Path, blob: bytes, private: bool = True) -> None:
    """`path` holds `blob`, or what it held before: never a mixture, also not after a power cut. A link there is replaced."""
    with _aside(path, private, len(blob)) as part:
        part.file.write(blob)
        part.settle(replace=True)


def make_folder(path: Path, private: bool) -> None:
    """The folder and those above it; a new one only its owner can look into, where it is private."""
    if path.is_dir():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700 if private else 0o777, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write to {path}: {error.strerror}. Give a folder that can be made.") from None


def file_name(text: str, most: int = LONGEST) -> str:
    """A file's name from text that a stranger may have chosen: no path, nothing hidden, valid everywhere.

    Separators, control and bidirectional characters and what Windows forbids become "_"; a name that is too long is cut, with
    a hash of all of it behind.   most: bytes of UTF-8.
    """
    plain = unicodedata.normalize("NFC", text)
    plain = "".join("_" if c in '/\\:*?"<>|' or unicodedata.category(c) in UNSAFE else c for c in plain)
    plain = plain.strip(" ").rstrip(". ")
    plain = re.sub(r"^[.\-~\s]+", lambda found: "_" * len(found[0]), plain)
    if not plain:
        plain = "_"
    if DEVICES.match(plain):
        plain = f"_{plain}"
    if len(plain.encode()) > most:
        mark = "-" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        plain = plain.encode()[: most - len(mark)].decode("utf-8", "ignore").rstrip(". ") + mark
    return plain


UNSAFE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # of Unicode's categories


def file_names(texts: Sequence[str], reserved: Sequence[str] = (INSIDE, STAGE)) -> dict[str, str]:
    """A name for each text, no two alike where a file system looks at neither case nor composition."""
    taken = {_folded(name) for name in reserved}
    out: dict[str, str] = {}
    for text in dict.fromkeys(texts):
        name, k = file_name(text), 1
        while _folded(name) in taken:
            k += 1
            name = f"{file_name(text, LONGEST - 8)}-{k}"
        taken.add(_folded(name))
        out[text] = name
    return out


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def private(path: str, flags: int) -> int:
    """An `opener` for a file that grows: of its owner only, and no link."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)


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
        with _said(goal):
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
        with _aside(goal, self.private(goal)) as part:
            yield part.file
            self._finish(part)

    def write(self, goal: Path, blob: bytes) -> None:
        """`goal` holds `blob`."""
        with self.open(goal) as file:
            file.write(blob)

    @contextlib.contextmanager
    def labelled(self, goal: Path, label: Label) -> Iterator[IO[bytes]]:
        """The same as `open`, with the label of origin beside, which is there first."""
        self._begin(goal)
        beside = goal.with_name(goal.name + BESIDE)
        if not _orphan(beside, goal):
            self._begin(beside)
        private = self.private(goal)
        with _aside(goal, private) as part:
            yield part.file
            record = label_record(label, {goal.name: part.digest()})
            with _aside(beside, private) as said:
                said.file.write(to_json(record))
                said.sync()
                self.check(goal)
                said.settle(replace=self.overwrite or _orphan(beside, goal))
            self._finish(part)

    def _begin(self, goal: Path) -> None:
        self.check(goal)
        if goal.is_dir():
            raise RunError(f"{goal} is a folder; a file was to be written there. Choose another --out.")
        make_folder(goal.parent, self.private(goal.parent))

    def _finish(self, part: _Part) -> None:
        if self.overwrite and part.goal.is_file():
            with contextlib.suppress(OSError):
                os.fchmod(part.file.fileno(), stat.S_IMODE(part.goal.stat().st_mode))
        part.settle(replace=self.overwrite)

    def folder(self, goal: Path, label: Label, request: Mapping[str, Any]) -> Folder:
        """A folder of made files at `goal`; the same `request` goes on where an interrupted one stopped."""
        return Folder(self, goal, label, request)


class Folder:
    """A folder of made files, gathered in a hidden part of it and given their names when all are there.

    A context: when its body ends the folder is whole; when it fails nothing has changed; when the process is killed, what
    was made is found by the next one of the same request.   Every file is in a `label.json` before it has its name.
    """

    def __init__(self, output: Output, goal: Path, label: Label, request: Mapping[str, Any]) -> None:
        self.output, self.goal, self.label, self.request = output, goal, label, dict(request)
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
            elif issubclass(kind, Exception):  # and not the wish to stop, after which one may go on
                self._clear_stage()
                if self._made:
                    with contextlib.suppress(OSError):
                        self.goal.rmdir()
        finally:
            os.close(self._lock)

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
        goal = self.stage / name
        make_folder(goal.parent, True)
        part = goal.with_name(f".{hashlib.sha256(goal.name.encode()).hexdigest()[:16]}.part")
        mode = 0o600 if self.output.private(self.goal) else 0o666
        with _said(goal), os.fdopen(os.open(part, FLAGS | os.O_TRUNC, mode), "w+b") as file:
            yield file
            file.flush()
            self._bytes += file.tell()
            file.seek(0)
            self._waiting[name] = part, digest_read(file)
        if len(self._waiting) >= max(AT_ONCE, len(self.digests) // 8) or self._bytes > BYTES_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """What was written so far is on disk, and is found by the next make of the same request."""
        if not self._waiting:
            return
        with _said(self.goal):
            with ThreadPoolExecutor(FSYNCS) as pool:
                list(pool.map(_fsync, [part for part, _ in self._waiting.values()]))
            self.digests |= {name: digest for name, (_, digest) in self._waiting.items()}
            self._journal()
            for name, (part, _) in self._waiting.items():
                os.rename(part, self.stage / name)
            for folder in {(self.stage / name).parent for name in self._waiting}:
                _fsync(folder)
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
        known = {} if former is None else former["sha256"]
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
        for name in there:
            path = self.goal / name
            if path.is_symlink() or (name != INSIDE and known[name] != digest_of(path)):
                raise RunError(f"{path} was changed after karat made it; move it away, or choose another --out.")

    def _check_stage(self) -> None:
        """RunError where the hidden part of the folder holds what no make has begun."""
        if self.stage.is_symlink() or read_record(self.stage / INSIDE) is not None:
            return
        strange = next(iter(_files(self.stage)), None)  # unfinished files aside
        if strange is not None:
            raise RunError(
                f"{self.stage} holds {strange}, which karat did not make; move it away, or choose another --out."
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
        with _said(self.goal):
            record = label_record(self.label, self.digests)
            private = self.output.private(self.goal)
            write_whole(self.goal / INSIDE, to_json(record), private)
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
                _fsync(folder)
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


def need_room(goal: Path, size: float, what: str) -> None:
    """TooLarge where `size` bytes, which `what` will take, are clearly more than is free where `goal` is to be."""
    place = goal.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if size > 1.1 * free:  # an estimate is no more exact
        raise TooLarge(
            f"{what} would take about {limits.words(size)} on disk, and {limits.words(free)} are free where {goal} is to be. "
            "Lower -n, or choose another --out."
        )


def digest(blob: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(blob).hexdigest()


FLAGS = os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class _Part:
    """An open file beside the one that it will be."""

    file: IO[bytes]
    path: Path
    goal: Path

    def sync(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())

    def digest(self) -> str:
        """SHA-256 of all that was written."""
        self.sync()
        self.file.seek(0)
        return digest_read(self.file)

    def settle(self, replace: bool) -> None:
        """Gives the file its name, for good."""
        self.sync()
        if replace:
            os.replace(self.path, self.goal)
        else:
            try:
                os.link(self.path, self.goal, follow_symlinks=False)  # a rename that replaces nothing
            except FileExistsError:
                raise
            except (OSError, NotImplementedError):  # a file system without hard links
                if os.path.lexists(self.goal):
                    raise FileExistsError(errno.EEXIST, "is there already") from None
                os.rename(self.path, self.goal)
        _fsync(self.goal.parent)


@contextlib.contextmanager
def _aside(goal: Path, private: bool, size: int | None = None) -> Iterator[_Part]:
    """A new file beside `goal`, gone when the body ends unless it was settled; those of killed processes are swept away."""
    mark = hashlib.sha256(goal.name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    path = goal.with_name(f".{mark}.{secrets.token_hex(4)}.part")
    with _said(goal, size):
        for litter in goal.parent.glob(f".{mark}.*.part"):
            if _abandoned(litter):
                litter.unlink(missing_ok=True)
        handle = os.open(path, FLAGS | os.O_EXCL, 0o600 if private else 0o666)
        try:
            with os.fdopen(handle, "w+b") as file:
                _flock(handle)
                yield _Part(file, path, goal)
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def _said(goal: Path, size: int | None = None) -> Iterator[None]:
    """What the system says of a failure, as a person should hear it."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FileExistsError):
            raise RunError(
                f"{goal} is there already; choose another --out, or give --overwrite to replace it."
            ) from None
        cure = {
            errno.ENOSPC: " Free some room, or write elsewhere.", errno.EDQUOT: " Free some room, or write elsewhere.",
            errno.ENAMETOOLONG: " Choose a shorter name.",
        }.get(error.errno or 0, "")  # fmt: skip
        needed = "" if size is None else f"; {size:,} bytes were needed"
        raise RunError(f"cannot write {goal}: {error.strerror}{needed}.{cure} Nothing was lost.") from None


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _flock(handle: int) -> bool:
    """Whether the lock could be had; True where there are none."""
    try:
        import fcntl
    except ImportError:  # pragma: no cover
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system that cannot
        return True
    return True


def _abandoned(part: Path) -> bool:
    """Whether nobody writes the file any more."""
    try:
        handle = os.open(part, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return False
    try:
        return _flock(handle)
    finally:
        os.close(handle)


def _lock_folder(goal: Path) -> int:
    handle = os.open(goal, os.O_RDONLY)
    if not _flock(handle):
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


def to_json(value: Any) -> bytes:
    """`value` as JSON for people to read; what UTF-8 has no bytes for (a name of a file in no encoding) is escaped."""
    try:
        return json.dumps(value, indent=1, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=1).encode()
