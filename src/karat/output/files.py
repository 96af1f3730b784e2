"""A file that is whole or absent: written aside, fsynced, renamed, and its folder fsynced.

https://danluu.com/file-consistency/ says why each step is needed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from karat import limits
from karat.errors import RunError, TooLarge
from karat.provenance.files import digest_of as digest_of
from karat.provenance.files import digest_read
from karat.provenance.files import read_json as read_json


def write_whole(path: Path, blob: bytes, private: bool = True) -> None:
    """`path` holds `blob`, or what it held before: never a mixture, also not after a power cut. A link there is replaced."""
    with aside(path, private, len(blob)) as part:
        part.file.write(blob)
        part.settle(replace=True)


def make_folder(path: Path, private: bool) -> None:
    """The folder and those above it; a new one only its owner can look into, where it is private."""
    if path.is_dir():
        return
    try:
        mode = 0o700 if private else 0o777
        for above in (*reversed(path.parents), path):  # whose modes `parents` would leave to the umask
            if not above.is_dir():
                above.mkdir(mode=mode, exist_ok=True)
                hand_over(above, above.parent)
    except OSError as error:
        raise RunError(f"cannot write to {path}: {error.strerror}. Give a folder that can be made.") from None


def hand_over(made: Path | int, folder: Path) -> None:
    """Gives what root has made in a person's own folder, a path or a handle, to that person, who could not read it otherwise."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        owner = folder.stat()
        if owner.st_uid != 0 and not owner.st_mode & OTHERS:
            os.chown(made, owner.st_uid, owner.st_gid, **({} if isinstance(made, int) else {"follow_symlinks": False}))


def foreign(path: Path) -> bool:
    """Whether what is there, or a link that leads to it, belongs to somebody else than who runs this process."""
    mine = os.geteuid() if hasattr(os, "geteuid") else 0
    return {path.stat().st_uid, path.lstat().st_uid} != {mine}


def private(path: str, flags: int) -> int:
    """An `opener` for a file that grows: of its owner only, and no link."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)


def require_disk(goal: Path, size: float, what: str) -> None:
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


OTHERS = 0o022  # that others may write
FLAGS = os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class Part:
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
        fsync(self.goal.parent)


@contextlib.contextmanager
def aside(goal: Path, private: bool, size: int | None = None) -> Iterator[Part]:
    """A new file beside `goal`, gone when the body ends unless it was settled; those of killed processes are swept away."""
    mark = hashlib.sha256(goal.name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    path = goal.with_name(f".{mark}.{secrets.token_hex(4)}.part")
    with explained(goal, size):
        for litter in goal.parent.glob(f".{mark}.*.part"):
            if _abandoned(litter):
                litter.unlink(missing_ok=True)
        handle = os.open(path, FLAGS | os.O_EXCL, 0o600 if private else 0o666)
        try:
            with os.fdopen(handle, "w+b") as file:
                hand_over(handle, goal.parent)
                flock(handle)
                yield Part(file, path, goal)
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def explained(goal: Path, size: int | None = None) -> Iterator[None]:
    """What the system says of a failure, as a person should hear it."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FileExistsError):
            raise RunError(
                f"{goal} is there already; choose another --out, or give --overwrite to replace it."
            ) from None
        cure = {
            errno.ENOSPC: " Free some room, or write elsewhere.",
            errno.EDQUOT: " Free some room, or write elsewhere.",
            errno.ENAMETOOLONG: " Choose a shorter name.",
        }.get(error.errno or 0, "")
        needed = "" if size is None else f"; {size:,} bytes were needed"
        raise RunError(f"cannot write {goal}: {error.strerror}{needed}.{cure} Nothing was lost.") from None


@contextlib.contextmanager
def temporary() -> Iterator[None]:
    """What the system says of the temporary folder, where the body writes nowhere else: a RunError that names TMPDIR."""
    try:
        yield
    except OSError as error:
        try:
            place = f"the temporary folder {tempfile.gettempdir()} cannot be written to"
        except OSError:
            place = "there is no temporary folder"
        raise RunError(f"{place} ({error.strerror}). Free some room, or let TMPDIR name another folder.") from None


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder, which goes with the body; RunError, naming TMPDIR, where there is none or it takes no more."""
    with temporary(), tempfile.TemporaryDirectory(prefix="karat-", ignore_cleanup_errors=True) as name:
        try:
            yield Path(name)
        except RunError as error:
            if name not in str(error):
                raise
            raise RunError(f"{error} It is a temporary file; let TMPDIR name a folder with room.") from None


def fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flock(handle: int) -> bool:
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
        return flock(handle)
    finally:
        os.close(handle)


def to_json(value: Any) -> bytes:
    """`value` as JSON for people to read; what UTF-8 has no bytes for (a name of a file in no encoding) is escaped."""
    try:
        return json.dumps(value, indent=1, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=1).encode()
