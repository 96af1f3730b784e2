"""A run is a folder; this is the only file that knows its layout on disk.

    run/
      karat.json                        what was asked: data, recipe, plan, seed, versions; and the status
      codec.json                        the codec and what it learned from the training rows
      checkpoints/<step>-<digest>.safetensors   everything to continue from; the digest is of the file's own bytes
      model-<digest>.safetensors        the settled model, with averaged weights
      history.jsonl                     losses and signals, about two hundred records
      samples/<percent>.png             the same noise at each tenth of the budget
      ledger.jsonl                      what every verb cost
      report/                           report.html and report.json

A finished save is wholly there or wholly absent: written aside, fsynced, renamed, and its folder fsynced.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from karat.errors import RunError
from karat.output import write_whole

LAYOUT = 1
CHECKPOINT = "[0-9]*-*.safetensors"


class Run:
    """A run folder. `spec` is what karat.json holds."""

    def __init__(self, path: Path, spec: dict[str, Any]) -> None:
        self.path, self.spec = path, spec

    @staticmethod
    def is_run(path: Path) -> bool:
        return (path / "karat.json").is_file()

    @classmethod
    def create(cls, path: Path, spec: dict[str, Any]) -> Run:
        """A new run at `path`; RunError when one is there already."""
        if cls.is_run(path):
            raise RunError(
                f"{path} already holds a run. Continue it with `karat train {path}`, or choose another --out."
            )
        if path.exists() and not path.is_dir():
            raise RunError(f"{path} is a file; --out wants a folder that is new or empty.")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot create {path}: {error.strerror}. Choose another --out.") from None
        run = cls(path, {"layout": LAYOUT, **spec})
        run.update({"status": "started"})
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """The run at `path`; RunError when there is none, or it was written by a newer version."""
        file = path / "karat.json"
        if not file.is_file():
            raise RunError(f"{path} holds no run (no karat.json). Train one with `karat train DATA --out {path}`.")
        try:
            spec = json.loads(file.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise RunError(f"{file} is damaged ({error}); restore it from a copy, or train anew.") from None
        if not isinstance(spec, dict) or not isinstance(spec.get("layout"), int):
            raise RunError(f"{file} is not what karat writes (no layout); restore it from a copy, or train anew.")
        if spec["layout"] > LAYOUT:
            raise RunError(
                f"{path} was written by karat {spec.get('version')}; this version reads layouts up to {LAYOUT}."
            )
        return cls(path, spec)

    @property
    def kept(self) -> tuple[Path, ...]:
        """What the run learned from, as far as it lies on this machine: nothing that is made may take its place."""
        told = (self.spec.get("data"), (self.spec.get("options") or {}).get("schema"))
        return tuple(Path(place) for place in told if isinstance(place, str) and "://" not in place)

    @property
    def id(self) -> str:
        return str(self.spec["id"])

    def update(self, changes: Mapping[str, Any]) -> None:
        """Changes keys of karat.json."""
        self.spec = {**self.spec, **changes}
        write_whole(self.path / "karat.json", _json(self.spec))

    def file(self, name: str) -> Path:
        """A path inside the run whose folder exists."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def put(self, name: str, value: Any) -> None:
        """JSON at `name`, whole or absent."""
        write_whole(self.file(name), _json(value))

    def get(self, name: str) -> Any:
        """The JSON at `name`; RunError when it is missing or damaged."""
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(
                f"{self.path} has no {name}: it was stopped before its first save. Train it again."
            ) from None
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise RunError(f"{self.path / name} is damaged ({error}).") from None

    def append(self, name: str, record: dict[str, Any]) -> None:
        with open(self.file(name), "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The records of a JSON-lines file; a torn last line is left out."""
        path = self.path / name
        out = []
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            with contextlib.suppress(json.JSONDecodeError):
                out.append(json.loads(line))
        return out

    def truncate(self, name: str, fraction: float) -> None:
        """Drops the records past `fraction`: what a run that goes back to its last save will write again."""
        kept = [r for r in self.lines(name) if r["fraction"] <= fraction]
        write_whole(self.file(name), "".join(json.dumps(r) + "\n" for r in kept).encode())

    # Checkpoints --------------------------------------------------------------------------------------------------

    def save_checkpoint(self, step: int, blob: bytes) -> None:
        """Saves `blob`, a safetensors file, and then removes all but the newest two."""
        folder = self.path / "checkpoints"
        folder.mkdir(exist_ok=True)
        write_whole(folder / f"{step:010d}-{_digest(blob)}.safetensors", blob)
        for old in sorted(folder.glob(CHECKPOINT))[:-2]:
            old.unlink(missing_ok=True)
        for litter in folder.glob("*.part"):
            litter.unlink(missing_ok=True)

    def load_checkpoint(self) -> bytes | None:
        """The newest checkpoint whose bytes match its digest, or None when none was ever saved."""
        files = sorted((self.path / "checkpoints").glob(CHECKPOINT), reverse=True)
        for file in files:
            blob = file.read_bytes()
            if _digest(blob) == file.stem.split("-")[1]:
                return blob
        if files:
            raise RunError(
                f"all {len(files)} checkpoints of {self.path} are damaged ({files[0].name} first); train anew."
            )
        return None

    def save_model(self, blob: bytes) -> None:
        name = f"model-{_digest(blob)}.safetensors"
        write_whole(self.path / name, blob)
        for old in self.path.glob("model-*.safetensors"):
            if old.name != name:
                old.unlink(missing_ok=True)

    def load_model(self) -> bytes:
        """The settled model; RunError when the run has not finished or the file is damaged."""
        files = sorted(self.path.glob("model-*.safetensors"))
        if not files:
            raise RunError(f"{self.path} has not finished training. Continue it with `karat train {self.path}`.")
        blob = files[-1].read_bytes()
        if _digest(blob) != files[-1].stem.split("-")[1]:
            raise RunError(f"{files[-1]} is damaged: its bytes do not match the digest in its name.")
        return blob

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for this process; RunError when a living one has it."""
        import fcntl

        handle = os.open(self.path / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunError(f"{self.path} is being trained by another process; wait for it, or stop it.") from None
            yield
        finally:
            os.close(handle)


def safe_header(blob: bytes, most: int = 1 << 24) -> None:
    """Refuses a safetensors file whose header lies, before anything is allocated for it."""
    if len(blob) < 8 or struct.unpack("<Q", blob[:8])[0] > min(most, len(blob) - 8):
        raise RunError("a weights file has a damaged header; it is not a safetensors file written by karat.")


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()[:16]


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode()
