"""Data that callers send: where they are kept, whose they are, and how much that may be."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import UploadFile

from karat.output import file_name
from karat.server.guard import Caller
from karat.server.guard.base import Base
from karat.server.problems import Problem, short

TABLES = """
CREATE TABLE IF NOT EXISTS uploads (
    name TEXT PRIMARY KEY, owner TEXT NOT NULL, bytes INTEGER NOT NULL, since REAL NOT NULL
) WITHOUT ROWID;
"""
SHARE = 4  # of all that may be kept, one key's part is so much smaller
BLOCK = 1 << 20  # bytes
LONGEST = 3600.0  # seconds that an upload may be under way: after them, one that is not there was deleted by hand


@dataclass(frozen=True)
class Upload:
    """What was sent.   name: of the folder or file below ROOT/uploads.   owner: the caller's id.   since: seconds since 1970."""

    name: str
    owner: str
    bytes: int
    since: float


class Uploads(Base):
    """Files and folders in `folder`.   path: of the file that says whose they are.   most: bytes of all together.

    What is sent is counted before it is kept, so that callers at once never have more together than may be.
    """

    def __init__(self, folder: Path, path: Path, most: int) -> None:
        super().__init__(path, TABLES)
        self.folder, self.most = folder, most

    async def keep(self, sent: Sequence[UploadFile], into: str | None, caller: Caller, many: bool = False) -> Path:
        """Keeps the files in a new folder, or in `into`, which an earlier upload of the caller's made; one alone as a file.

        many: more files will come, so that one alone gets a folder too. Problem (400, 403, 409, 413, 507); what was not there
        before is counted no more then.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        size = sum(each.size or 0 for each in sent)
        with self._counted(sent, into, caller, size, many) as goal:
            for each in sent:
                try:
                    await _write(each, goal)
                except (FileExistsError, NotADirectoryError):
                    name = str(each.filename)[:80]
                    raise Problem(409, "exists", f"{name!r} is there already; send each file once.", "files") from None
        return goal

    def of(self, caller: Caller) -> list[Upload]:
        """Those of the caller, to an admin all, the newest first."""
        if not self.path.exists():
            return []
        with self._reading() as base:
            rows = base.execute("SELECT name, owner, bytes, since FROM uploads ORDER BY since DESC").fetchall()
        found = [Upload(*row) for row in rows if (self.folder / row[0]).exists()]
        return [each for each in found if caller.owns(each.owner)]

    def delete(self, name: str, caller: Caller) -> None:
        """Deletes what the caller sent; Problem (404) where nothing of that name is his."""
        if name not in {each.name for each in self.of(caller)}:
            raise Problem(404, "no_such_upload", f"{short(name)} is no upload of yours; GET /v1/uploads lists those.")
        goal = self.folder / name
        if goal.is_dir():
            shutil.rmtree(goal)
        else:
            goal.unlink()
        with self._changing() as base:
            base.execute("DELETE FROM uploads WHERE name = ?", (name,))

    @contextmanager
    def _counted(
        self, sent: Sequence[UploadFile], into: str | None, caller: Caller, size: int, many: bool
    ) -> Iterator[Path]:
        """Where it is to be kept; counted, unless what is done with it fails."""
        with self._changing() as base:
            name = self._new(base, sent, many) if into is None else self._own(base, into, caller)
            self._require_room(base, caller, size)
            entered = "INSERT INTO uploads VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes"
            base.execute(entered, (name, caller.id, size, time.time()))
        goal = self.folder / name
        try:
            if into is None and (many or len(sent) > 1 or len(parts(sent[0])) > 1):
                goal.mkdir(mode=0o700)
            yield goal
        except BaseException:
            kept = sum(each.stat().st_size for each in (goal, *goal.rglob("*")) if each.is_file())
            with self._changing() as base:
                base.execute("UPDATE uploads SET bytes = ? WHERE name = ?", (kept, name))
                if not goal.exists():
                    base.execute("DELETE FROM uploads WHERE name = ?", (name,))
            raise

    def _new(self, base: sqlite3.Connection, sent: Sequence[UploadFile], many: bool) -> str:
        """The first name like that of what is sent that neither lies there nor is promised."""
        names = parts(sent[0])
        alone = len(sent) == 1 and len(names) == 1 and not many
        name, i = names[0], 1
        stem, suffix = (Path(name).stem, Path(name).suffix) if alone else (name, "")
        taken = {row[0] for row in base.execute("SELECT name FROM uploads")}
        while name in taken or (self.folder / name).exists():
            i += 1
            name = f"{stem}-{i}{suffix}"
        return name

    def _own(self, base: sqlite3.Connection, into: str, caller: Caller) -> str:
        name = file_name(into)
        if not (self.folder / name).is_dir():
            raise Problem(400, "no_such_place", f"there is no upload {short(into)}; send its first files anew.", "into")
        found = base.execute("SELECT owner FROM uploads WHERE name = ?", (name,)).fetchone()
        if not caller.owns("" if found is None else found[0]):
            raise Problem(
                403, "not_yours", f"{short(into)} is another caller's upload; send yours without into.", "into"
            )
        return name

    def _require_room(self, base: sqlite3.Connection, caller: Caller, size: int) -> None:
        """Problem where the caller would have too much (413), or all together (507)."""
        for name, since in base.execute("SELECT name, since FROM uploads").fetchall():
            if time.time() - since > LONGEST and not (self.folder / name).exists():
                base.execute("DELETE FROM uploads WHERE name = ?", (name,))
        total = "SELECT coalesce(sum(bytes), 0), coalesce(sum(bytes * (owner = ?)), 0) FROM uploads"
        every, own = base.execute(total, (caller.id,)).fetchone()
        most = self.most // SHARE
        if caller.key is not None and own + size > most:
            message = (
                f"your uploads have {_mb(own)} MB of {_mb(most)}, and this {_mb(size)}; delete some, or send less."
            )
            raise Problem(413, "uploads_full", message, "files")
        if every + size > self.most:
            message = (
                f"all uploads have {_mb(every)} MB of {_mb(self.most)}, and this {_mb(size)}; who keeps the server can "
                "delete some, or start it with more --uploads."
            )
            raise Problem(507, "uploads_full", message, "files")


def parts(sent: UploadFile) -> list[str]:
    """The parts of a file's path as a client sends it, each made safe."""
    split = str(sent.filename).replace("\\", "/").split("/")
    return [file_name(part) for part in split if part not in ("", ".", "..")][-8:] or ["_"]


async def _write(sent: UploadFile, goal: Path) -> None:
    """The file in the folder `goal`, or as it, whole or not at all; FileExistsError where one is there."""
    path = goal
    if goal.is_dir():
        names = parts(sent)
        path = goal.joinpath(*(names[1:] if len(names) > 1 else names))
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f".{secrets.token_hex(8)}.part")  # so that no half file has the name of a whole one
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            while block := await sent.read(BLOCK):
                file.write(block)
        os.link(aside, path)  # which replaces nothing
    finally:
        aside.unlink(missing_ok=True)


def _mb(size: int) -> str:
    return f"{size / 2**20:,.1f}"
