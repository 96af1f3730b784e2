"""Whether a run was made by this user on this machine, shown by a seal that nobody else can make.

A run says where its data lie and with which settings they are read; opening what a stranger wrote there may read a file of
yours, ask a server of his for your password, or run his SQL. The seal is HMAC-SHA256 (RFC 2104) over what the run says, under
a random key that is kept in the user's state folder ($XDG_STATE_HOME/karat/key, by default ~/.local/state/karat/key, mode
0600) and is never written into a run. The signature is made likewise, over what the run learned: its recipe and the digests of its
codec, models and checkpoints. It is apart from the seal because a person may come to own the data of a run that others trained.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from karat.errors import KaratError, RunError
from karat.limits import exhausted
from karat.output import make_folder
from karat.run import Run

SEALED = ("id", "data", "inside", "options", "holdout", "fingerprint", "parts")
LEARNED = ("id", "recipe", "classes", "parts", "models", "checkpoints")
BYTES = 32


def seal(spec: Mapping[str, Any]) -> str | None:
    """The seal of what a run says of its data; None where no key can be kept."""
    key = _key(make=True)
    return None if key is None else _mac(key, b"karat run", spec, SEALED)


def sealed(spec: Mapping[str, Any]) -> bool:
    """Whether the run carries the seal of this user for what it says of its data."""
    key, mine = _key(make=False), spec.get("seal")
    return (
        key is not None and isinstance(mine, str) and hmac.compare_digest(mine, _mac(key, b"karat run", spec, SEALED))
    )


def sign(spec: Mapping[str, Any]) -> str | None:
    """The signature of what a run learned; None where no key can be kept."""
    key = _key(make=True)
    return None if key is None else _mac(key, b"karat model", spec, LEARNED)


def signed(spec: Mapping[str, Any]) -> bool:
    """Whether the run carries the signature of this user for what it learned."""
    key, mine = _key(make=False), spec.get("signature")
    if key is None or not isinstance(mine, str):
        return False
    return hmac.compare_digest(mine, _mac(key, b"karat model", spec, LEARNED))


def keyed(run: str, fingerprint: str) -> str | None:
    """What a run that is private says of its data: a fingerprint that only this user can check; None where no key can be kept.

    Another one in each run `run`, so that two of them do not tell whether their data are the same.
    """
    return keyed_text(f"karat data\0{run}", fingerprint)


def keyed_text(purpose: str, text: str) -> str | None:
    """A seal of any text, for one purpose; None where no key can be kept."""
    key = _key(make=True)
    return None if key is None else hmac.new(key, f"{purpose}\0{text}".encode(), hashlib.sha256).hexdigest()


def knows_text(purpose: str, text: str, seal: object) -> bool:
    """Whether it is this user's seal of the text for that purpose."""
    key = _key(make=False)
    if key is None or not isinstance(seal, str):
        return False
    return hmac.compare_digest(seal, hmac.new(key, f"{purpose}\0{text}".encode(), hashlib.sha256).hexdigest())


@contextlib.contextmanager
def answered_for(run: Run) -> Iterator[None]:
    """Within it, whatever the files of a run that this user did not make let go wrong is a RunError, and no fault of karat's.

    Digests show damage, not malice: who mends them can write a codec and weights that contradict each other in more ways than
    can be checked beforehand.
    """
    try:
        yield
    except (KaratError, OSError):
        raise
    except Exception as error:
        if exhausted(error) is not None or (sealed(run.spec) and signed(run.spec)):
            raise
        message = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise RunError(
            f"{run.path} was not made by you on this machine, or was changed since, and what it holds does not fit together "
            f"({message}). It is damaged or forged: get it anew, or train your own. If it works where it was made, please open "
            "an issue."
        ) from error


def _mac(key: bytes, purpose: bytes, spec: Mapping[str, Any], names: Sequence[str]) -> str:
    content = json.dumps([spec.get(name) for name in names], sort_keys=True).encode()
    return hmac.new(key, purpose + b"\0" + content, hashlib.sha256).hexdigest()


def _key(make: bool) -> bytes | None:
    """This user's key; a new one where there is none and `make` says so."""
    try:
        state = os.environ.get("XDG_STATE_HOME", "")
        folder = (Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state") / "karat"
        path = folder / "key"
        if make and not path.exists():
            make_folder(folder, private=True)
            aside = path.with_name(f"key.{os.getpid()}.{secrets.token_hex(4)}")
            handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            try:
                os.write(handle, secrets.token_bytes(BYTES))
                os.fsync(handle)
                with contextlib.suppress(FileExistsError):  # another process was first, and its key is the one
                    os.link(aside, path)
            finally:
                os.close(handle)
                aside.unlink()
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            found = os.fstat(handle)
            mine = stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
            key = os.read(handle, BYTES + 1)
        finally:
            os.close(handle)
    except (OSError, RuntimeError, RunError):  # no home, a disk that is full or only read
        return None
    return key if mine and len(key) == BYTES else None
