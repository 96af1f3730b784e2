"""A run is a folder; this is the only file that knows its layout on disk.

    run/
      karat.json                        the record: what was asked, which of the files below count, and the status
      codec.json                        the codec and what it learned from the training rows
      schema.toml                       the schema that was given, if one was
      checkpoints/<step>-<digest>.safetensors   everything to continue from; the digest is of the file's own bytes
      model-<digest>.safetensors        the settled model, with averaged weights
      gates.safetensors                 what tells copies of training records among made ones
      history.jsonl                     losses and signals, about two hundred records
      samples/<percent>.png             the same noise at each tenth of the budget
      ledger.jsonl                      what every verb cost, a chain (`chain.py`) with its head in ledger.jsonl.head
      watermark.key, noise.key          32 secret bytes, from the first `make --watermark` or `--keyed-noise` on; only for
                                        its owner
      notes.json                        tags and a note that a person gave it in the studio
      report/                           report.html, report.json and card.md
      review/                           what people said of what was made: decisions.jsonl, a chain; edited/

A finished save is wholly there or wholly absent: written aside, fsynced, renamed, and its folder fsynced. A file that the
record does not name is not loaded, and none is followed out of the folder. The record may come from a stranger: what it
holds is checked when it is opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from karat.errors import RunError
from karat.output import foreign, make_folder, to_json, write_whole
from karat.output.files import aside
from karat.run.reading import RECORD_MOST, open_beside, parse, read_json, read_lines
from karat.run.record import CHECKPOINT, KNOWN, LAYOUT, MODEL, WANTED, number, short

BEGUN = ".new"  # names what has been put into a folder that is to become a run
FIRST = {"codec.json", "schema.toml", "data.feather", "data", "prices.toml"}  # all that `.new` may name
LOCK = ".lock"
WATERMARK, NOISE, KEY_BYTES = "watermark.key", "noise.key", 32
GATES = "gates.safetensors"


class Run:
    """A run folder. `spec` is what karat.json holds; `notes`, what a person should know of how it was read.

    `sign` makes the signature of a record, anew with each change of it; without one the signature stays as it was.
    """

    def __init__(self, path: Path, spec: dict[str, Any]) -> None:
        self.path, self.spec = path, spec
        self.sign: Callable[[Mapping[str, Any]], str | None] | None = None
        self.locked = False
        self.notes: list[str] = []

    @staticmethod
    def is_run(path: Path) -> bool:
        try:
            return (path / "karat.json").is_file()
        except (OSError, ValueError):  # no name that a file can have
            return False

    @classmethod
    def create(cls, path: Path, spec: dict[str, Any], parts: Mapping[str, bytes] | None = None) -> Run:
        """A new run at `path` whose files `parts` never change; RunError when one is there already."""
        with Draft(path) as draft:
            return draft.finish(spec, {} if parts is None else parts)

    @classmethod
    def open(cls, path: Path) -> Self:
        """The run at `path`; RunError when there is none, it is damaged, holds links, or another version wrote it."""
        file = path / "karat.json"
        if not file.is_file():
            if (path / BEGUN).is_file():
                raise RunError(
                    f"{path} was stopped while it was being created; train it again with `karat train DATA --out {path}`."
                )
            raise RunError(f"{path} holds no run (no karat.json). Train one with `karat train DATA --out {path}`.")
        _refuse_links(path)
        spec = read_json(file, RECORD_MOST)
        if not isinstance(spec, dict) or not isinstance(spec.get("layout"), int):
            raise RunError(f"{file} is not what karat writes (no layout); restore it from a copy, or train anew.")
        if spec["layout"] != LAYOUT:
            raise RunError(
                f"{path} was made by another version of karat ({str(spec.get('version'))[:40]}, layout {spec['layout']}; this "
                f"one reads layout {LAYOUT}). It is not damaged: use that version, or train anew with "
                f"`karat train {short(spec.get('data'))} --out NEW`."
            )
        for key in WANTED:
            if key not in spec:
                raise RunError(f"{file} is damaged: it has no {key}. Restore it from a copy, or train anew.")
        for key, (fits, wanted) in KNOWN.items():
            if key in spec and not fits(spec[key]):
                raise RunError(
                    f"{file} is damaged: {key} is {short(spec[key])}, and {wanted} was wanted. "
                    "Restore it from a copy, or train anew."
                )
        if all(spec[key] is None for key in ("minutes", "steps", "samples")):
            raise RunError(f"{file} is damaged: it names no budget. Restore it from a copy, or train anew.")
        run = cls(path, spec)
        if foreign(path) and not os.access(path, os.W_OK):
            run.notes.append(f"{path} belongs to another user: what is done with it is not entered in its ledger.")
        return run

    @property
    def kept(self) -> tuple[Path, ...]:
        """What the run learned from, as far as it lies on this machine: nothing that is made may take its place."""
        return () if "://" in str(self.source) else (Path(self.source),)

    @property
    def id(self) -> str:
        return str(self.spec["id"])

    @property
    def source(self) -> str | Path:
        """Where the data are: a path, an address, or a file that is kept in the run."""
        return self.path / self.spec["data"] if self.spec["inside"] else str(self.spec["data"])

    def update(self, changes: Mapping[str, Any]) -> None:
        """Changes keys of karat.json; for who holds the lock."""
        self.spec = {**self.spec, **changes}
        if self.sign is not None:
            self.spec["signature"] = self.sign(self.spec)
        write_whole(self.path / "karat.json", to_json(self.spec))

    def file(self, name: str) -> Path:
        """A path inside the run whose folder exists; RunError where a link stands in its way."""
        path = self.path / name
        make_folder(path.parent, True)
        for part in (path, *path.parents):
            if part == self.path:
                break
            if part.is_symlink():
                raise RunError(f"{part} is a link, and nothing in a run is followed. Remove it.")
        return path

    def put(self, name: str, value: Any) -> None:
        """JSON at `name`, whole or absent."""
        write_whole(self.file(name), to_json(value))

    def part(self, name: str) -> bytes:
        """The bytes of a file that was there from the beginning; RunError when it is missing or not as it was written."""
        try:
            blob = (self.path / name).read_bytes()
        except FileNotFoundError:
            raise RunError(f"{self.path} has no {name}; restore it from a copy, or train anew.") from None
        except OSError as error:
            raise RunError(f"{self.path / name} cannot be read: {error.strerror}.") from None
        if hashlib.sha256(blob).hexdigest() != self.spec["parts"].get(name):
            raise RunError(
                f"{self.path / name} is damaged: its bytes do not match the digest in karat.json. "
                "Restore it from a copy, or train anew."
            )
        return blob

    def get(self, name: str) -> Any:
        """The JSON at `name`; RunError when it is missing or damaged."""
        if name in self.spec["parts"]:
            return parse(self.part(name), self.path / name)
        if not (self.path / name).exists():
            raise RunError(f"{self.path} has no {name}: it was stopped before that was written.")
        return read_json(self.path / name, RECORD_MOST)

    def append(self, name: str, record: dict[str, Any]) -> None:
        try:
            with open_beside(self.file(name), os.O_WRONLY | os.O_APPEND | os.O_CREAT) as file:
                file.write((json.dumps(record) + "\n").encode())
        except OSError as error:
            raise RunError(f"cannot write {self.path / name}: {error.strerror}. Nothing was lost.") from None

    def lines(self, name: str) -> list[dict[str, float]]:
        """The records of a JSON-lines file, of numbers with a "fraction"; what is no such line is left out."""
        out = []
        for line in read_lines(self.path / name):
            with contextlib.suppress(ValueError, RecursionError):
                record = json.loads(line)
                if isinstance(record, dict) and "fraction" in record and all(map(number(-1e308), record.values())):
                    out.append(record)
        return out

    def truncate(self, name: str, fraction: float) -> None:
        """Drops the records past `fraction`: what a run that goes back to its last save will write again."""
        kept = [r for r in self.lines(name) if r["fraction"] <= fraction]
        write_whole(self.file(name), "".join(json.dumps(r) + "\n" for r in kept).encode())

    @property
    def kept_watermark_key(self) -> bytes | None:
        """The secret of this run's watermarks, None where it has made none; RunError where the file is damaged."""
        return self._kept_key(WATERMARK)

    @property
    def kept_noise_key(self) -> bytes | None:
        """The same of the noise that its pictures begin with."""
        return self._kept_key(NOISE)

    def watermark_key(self) -> bytes:
        """The secret, made where there is none yet."""
        return self._key(WATERMARK)

    def noise_key(self) -> bytes:
        """The same of the noise that its pictures begin with."""
        return self._key(NOISE)

    def _kept_key(self, name: str) -> bytes | None:
        path = self.file(name)
        try:
            with path.open("rb") as file:
                key = file.read(KEY_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RunError(f"{path} cannot be read: {error.strerror}.") from None
        if len(key) != KEY_BYTES:
            raise RunError(
                f"{path} holds {len(key)} bytes or more, and {KEY_BYTES} were wanted: restore it from a copy. Without it, no "
                "watermark that it made is found again."
            )
        return key

    def _key(self, name: str) -> bytes:
        key = self._kept_key(name)
        if key is None:
            path = self.file(name)
            try:
                with aside(path, private=True) as part:
                    part.file.write(secrets.token_bytes(KEY_BYTES))
                    part.settle(replace=False)
            except RunError:
                if not path.exists():  # else another process was first
                    raise
            key = self._kept_key(name)
            assert key is not None
        return key

    # Checkpoints --------------------------------------------------------------------------------------------------

    def save_checkpoint(self, step: int, blob: bytes) -> None:
        """Saves `blob`, a safetensors file, names it in the record, and then removes all but the newest two."""
        name = f"{step:010d}-{_digest(blob)}.safetensors"
        write_whole(self.file(f"checkpoints/{name}"), blob)
        before = [old for old in self.spec.get("checkpoints", []) if old != name]
        self.update({"checkpoints": [name, *before][:2]})
        for old in (self.path / "checkpoints").iterdir():
            if old.name not in self.spec["checkpoints"] and CHECKPOINT.fullmatch(old.name):
                _remove(old)

    def load_checkpoint(self) -> bytes | None:
        """The newest checkpoint whose bytes match its digest, or None when none was ever saved."""
        names = self.spec.get("checkpoints", [])
        for name in names:
            blob = self._whole(f"checkpoints/{name}", name[11:27])
            if blob is not None:
                return blob
        if names:
            raise RunError(
                f"all {len(names)} checkpoints of {self.path} are missing or damaged ({names[0]} first); train anew."
            )
        return None

    def save_model(self, blob: bytes) -> None:
        """Saves the settled model, names it in the record with the one before it, and then removes that one."""
        name = f"model-{_digest(blob)}.safetensors"
        write_whole(self.path / name, blob)
        before = [old for old in self.spec.get("models", []) if old != name]
        self.update({"models": [name, *before][:2]})
        for old in self.path.iterdir():
            if old.name != name and MODEL.fullmatch(old.name):
                _remove(old)

    def load_model(self) -> bytes:
        """The settled model that the record names; RunError when the run has not finished or the file is damaged."""
        names = self.spec.get("models", [])
        if not names:
            raise RunError(f"{self.path} has not finished training. Continue it with `karat train {self.path}`.")
        for name in names:
            blob = self._whole(name, name[6:22])
            if blob is not None:
                if name != names[0]:
                    self.notes.append(f"{self.path / names[0]} is missing or damaged; the model before it is used.")
                return blob
        found = (
            "damaged: its bytes do not match the digest in its name" if (self.path / names[0]).exists() else "missing"
        )
        raise RunError(
            f"{self.path / names[0]} is {found}. Restore it from a copy, or continue with `karat train {self.path}`."
        )

    def save_gates(self, blob: bytes) -> None:
        """Saves what the gates of a make need to know of the training records."""
        write_whole(self.path / GATES, blob)
        self.update({"gates": hashlib.sha256(blob).hexdigest()})

    def load_gates(self) -> bytes | None:
        """What `save_gates` saved, None where nothing was; RunError where it is missing or damaged."""
        if "gates" not in self.spec:
            return None
        if (blob := self._whole(GATES, self.spec["gates"][:16])) is None:
            raise RunError(
                f"{self.path / GATES}, by which copies are told, is missing or damaged. Restore it from a copy, or train anew."
            )
        return blob

    def _whole(self, name: str, digest: str) -> bytes | None:
        """The bytes at `name`, None where they are missing or other ones."""
        try:
            blob = (self.path / name).read_bytes()
        except OSError:
            return None
        return blob if _digest(blob) == digest else None

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for this process; RunError when a living one has it. The record is read again, litter removed."""
        with _locked(self.path):
            self.spec = Run.open(self.path).spec
            _remove(self.path / BEGUN)
            for folder in (self.path, self.path / "checkpoints", self.path / "samples"):
                for litter in folder.glob("*.part") if folder.is_dir() else ():
                    _remove(litter)
            self.locked = True
            try:
                yield
            finally:
                self.locked = False


class Draft:
    """A folder that is to become a run: it is one as soon as karat.json is there, which is written last.

    Until then the file `.new` names what was put into it, so that whoever comes after a kill may remove just that. RunError
    when the folder holds a run already, or things that are not ours.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stack = contextlib.ExitStack()
        self._names: list[str] = []
        self._done = False
        if Run.is_run(path):
            raise RunError(
                f"{path} already holds a run. Continue it with `karat train {path}`, or choose another --out."
            )

    def __enter__(self) -> Draft:
        path = self.path
        try:
            if path.exists() and not path.is_dir():
                raise RunError(f"{path} is a file; --out wants a folder that is new or empty.")
            if path.exists() and foreign(path):
                raise RunError(
                    f"{path} belongs to another user; --out wants a folder that is new or your own, and empty."
                )
            make_folder(path, private=True)
            self._stack.enter_context(_locked(path))
            self._clear()
            others = sorted(name for name in os.listdir(path) if name != LOCK)
            if others:
                if BEGUN not in others:  # a person's folder stays as it was
                    (path / LOCK).unlink(missing_ok=True)
                listed = ", ".join(others[:3]) + (" and others" if len(others) > 3 else "")
                raise RunError(f"{path} holds {listed}, which is no run; --out wants a folder that is new or empty.")
            write_whole(path / BEGUN, b"[]")
        except RunError:
            self._stack.close()
            raise
        except (OSError, ValueError) as error:
            self._stack.close()
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise RunError(f"cannot create {path}: {reason}. Choose another --out.") from None
        return self

    def claim(self, name: str) -> Path:
        """The path of a file or folder in the run that the caller is about to write."""
        assert name in FIRST, name
        self._names.append(name)
        write_whole(self.path / BEGUN, to_json(self._names))
        return self.path / name

    def finish(
        self,
        spec: Mapping[str, Any],
        parts: Mapping[str, bytes],
        seal: Callable[[Mapping[str, Any]], str | None] | None = None,
        sign: Callable[[Mapping[str, Any]], str | None] | None = None,
    ) -> Run:
        """The run, with `parts` in it; `seal` and `sign` make the seal and the signatures of its record."""
        for name, blob in parts.items():
            write_whole(self.claim(name), blob)
        digests = {name: hashlib.sha256(blob).hexdigest() for name, blob in parts.items()}
        run = Run(self.path, {"layout": LAYOUT, **spec, "parts": digests, "status": "started"})
        run.sign = sign
        run.update({} if seal is None else {"seal": seal(run.spec)})
        self._done = True
        _remove(self.path / BEGUN)
        _sync(self.path.absolute().parent)
        self._stack.close()  # who trains it takes the lock anew
        return run

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if not self._done and not Run.is_run(self.path):
                with contextlib.suppress(OSError):  # what is left, the next creation removes
                    self._clear()
                    (self.path / LOCK).unlink(missing_ok=True)
                    self.path.rmdir()
        finally:
            self._stack.close()

    def _clear(self) -> None:
        """Removes what a creation that was stopped has left."""
        marker = self.path / BEGUN
        mark = hashlib.sha256(BEGUN.encode()).hexdigest()[:16]  # of what is written aside of `BEGUN`
        for litter in self.path.glob(".*.part"):
            if marker.is_file() or litter.name.startswith(f".{mark}."):
                litter.unlink(missing_ok=True)
        if not marker.is_file() or marker.is_symlink():
            return
        try:
            names = json.loads(marker.read_bytes())
        except (ValueError, RecursionError):
            names = []
        for name in FIRST & {name for name in names if isinstance(name, str)} if isinstance(names, list) else ():
            there = self.path / name
            if there.is_symlink():
                continue  # not what we wrote
            if there.is_dir():
                shutil.rmtree(there)
            else:
                there.unlink(missing_ok=True)
        marker.unlink()  # last: it names the others


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    import fcntl

    try:
        handle = os.open(path / LOCK, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise RunError(f"{path} cannot be written to ({error.strerror}); a folder of your own was wanted.") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(f"{path} is being trained by another process; wait for it, or stop it.") from None
        yield
    finally:
        os.close(handle)


def _refuse_links(path: Path) -> None:
    """RunError naming the first thing in a run that leads out of it, or is neither a file nor a folder."""
    root = path.resolve()
    for folder, folders, files in os.walk(path):
        for name in sorted((*folders, *files)):
            there = Path(folder) / name
            try:
                mode = there.lstat().st_mode
            except FileNotFoundError:  # another process has just renamed it
                continue
            if stat.S_ISLNK(mode):
                if not there.resolve().is_relative_to(root):
                    raise RunError(
                        f"{there} is a link out of the run, to {os.readlink(there)!r}. Nothing in a run is followed: "
                        "remove it, or copy what it leads to in its place."
                    )
            elif not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise RunError(f"{there} is neither a file nor a folder (a pipe, a socket, a device). Remove it.")


def _sync(folder: Path) -> None:
    """Makes the names in a folder durable; RunError where that fails."""
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror}. Nothing was lost.") from None


def _remove(path: Path) -> None:
    """Takes away what nothing names any more; where that fails it is tried again by whoever trains next."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()[:16]
