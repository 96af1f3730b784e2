"""Keys of the server: a file of hashes, read anew when it changes, so that a key that is revoked is refused from then on.

A key is 256 random bits. A plain SHA-256 of it is kept: a slow hash with salt protects passwords, which people choose and which
can be guessed; nobody guesses 256 bits, however fast the hash. Digests are compared in constant time.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import math
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from karat.errors import FitError, RunError
from karat.output import make_folder, to_json, write_whole
from karat.output.files import flock, private

PROBE = "probe"
SCOPES = ("make", "read", "train", "review", "admin", PROBE)
GIVEN = ("make", "read")  # where a key names none
PREFIX = "karat-"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
LOCAL = "local"  # who calls without a key, on loopback
MOST = 2**20  # bytes of the file
LOOKED = 0.02  # seconds for which the file is taken to be as it was: each look lets another thread run first
DAY = 86_400.0


@dataclass(frozen=True)
class Key:
    """A key as it is kept.

    id: of this key alone; a later one of the same name has another, so that it inherits no spending.   sha256: of its text.
    items, money: what may be made with it in all.   rate: requests a minute.   expires: seconds since 1970.   None without limit.
    """

    id: str
    name: str
    sha256: str
    scopes: tuple[str, ...]
    items: int | None = None
    money: float | None = None
    expires: float | None = None
    rate: float | None = None

    @property
    def expired(self) -> bool:
        return self.expires is not None and time.time() >= self.expires


class Keys:
    """The keys in the file at `path`, which need not be there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: tuple[tuple[int, ...], tuple[Key, ...]] | None = None
        self._looked = -math.inf
        self._seen: tuple[Key, ...] | None = None

    def there(self, lately: bool = False) -> bool:
        """Whether a key was ever made.   lately: as of LOOKED ago or later, which is cheaper."""
        return (self._lately() if lately else self._found()) is not None

    def all(self, lately: bool = False) -> tuple[Key, ...]:
        """Every key, as the file holds them now, or lately; RunError where it is damaged or others may read it."""
        return (self._lately() if lately else self._found()) or ()

    def _lately(self) -> tuple[Key, ...] | None:
        now = time.monotonic()
        if now - self._looked > LOOKED:
            self._seen = self._found()
            self._looked = now
        return self._seen

    def _found(self) -> tuple[Key, ...] | None:
        """Every key; None where there is no file."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        state = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode)
        if self._read is None or self._read[0] != state:
            if found.st_mode & 0o077:
                raise RunError(f"{self.path} can be read by other users; close it with: chmod 600 {self.path}")
            self._read = (state, _parsed(self.path))
        return self._read[1]

    def find(self, text: str, lately: bool = False) -> Key | None:
        """The key with this text, None where there is none or it has expired. Every kept digest is compared."""
        digest, found = _digest(text), None
        for key in self.all(lately):
            if hmac.compare_digest(digest, key.sha256):
                found = key
        return None if found is None or found.expired else found

    def of(self, id: str) -> Key | None:
        """The key with this id, None where there is none or it has expired."""
        return next((key for key in self.all() if key.id == id and not key.expired), None)

    def named(self, name: str) -> Key | None:
        """The key of this name, None where there is none; of a caller without a key there never is."""
        return next((key for key in self.all() if key.name == name), None)

    def add(
        self,
        asked: str,
        items: int | None = None,
        money: float | None = None,
        days: float | None = None,
        rate: float | None = None,
    ) -> str:
        """Makes a key of "NAME" or "NAME=scope,scope" and returns its text, which is nowhere kept.

        items, money: the most it may make in all.   days: after which it expires.   rate: requests a minute.
        FitError for a name that is taken or odd, or an unknown scope.
        """
        name, _, listed = asked.partition("=")
        scopes = tuple(part.strip() for part in listed.split(",")) if listed else GIVEN
        if not NAME.fullmatch(name) or name == LOCAL:
            raise FitError(
                f"{name!r} names no key; give up to 64 letters, digits and ._@- such as: --add-key ann=make,read"
            )
        if unknown := [scope for scope in scopes if scope not in SCOPES]:
            raise FitError(f"{unknown[0]!r} is no scope of a key; there are {', '.join(SCOPES)}.")
        for value, flag in ((items, "--items"), (money, "--money"), (days, "--days"), (rate, "--rate")):
            if value is not None and not 0 < value < 1e15:
                raise FitError(f"{flag} {value} is no limit; give a number above 0.")
        text = PREFIX + secrets.token_urlsafe(32)
        expires = None if days is None else time.time() + days * DAY
        with self._changing() as keys:
            if any(key.name == name for key in keys):
                raise FitError(f"there is a key named {name} already; revoke it first with --revoke-key {name}")
            keys.append(Key(secrets.token_hex(8), name, _digest(text), scopes, items, money, expires, rate))
        return text

    def revoke(self, name: str) -> None:
        """Takes the key out of the file; FitError where there is none of this name."""
        with self._changing() as keys:
            left = [key for key in keys if key.name != name]
            if len(left) == len(keys):
                names = ", ".join(key.name for key in keys) or "none"
                raise FitError(f"there is no key named {name!r}; there are: {names}.")
            keys[:] = left

    @contextlib.contextmanager
    def _changing(self) -> Iterator[list[Key]]:
        """The keys as a list that is written back, by one process at a time."""
        make_folder(self.path.parent, private=True)
        with open(self.path.with_suffix(".lock"), "ab", opener=private) as lock:
            while not flock(lock.fileno()):
                time.sleep(0.01)
            keys = list(self._found() or ())
            yield keys
            write_whole(self.path, to_json({"keys": [asdict(key) for key in keys]}))
            self._looked = -math.inf


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _parsed(path: Path) -> tuple[Key, ...]:
    try:
        if os.path.getsize(path) > MOST:
            raise ValueError("too long")
        return tuple(_key(entry) for entry in json.loads(path.read_bytes())["keys"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RunError(
            f"{path} is damaged, and no key is accepted. Restore it, or remove it and add keys anew."
        ) from None


def _key(entry: Mapping[str, Any]) -> Key:
    key = Key(**{**entry, "scopes": tuple(entry["scopes"])})
    texts: Sequence[object] = (key.id, key.name, key.sha256, *key.scopes)
    numbers = (key.items, key.money, key.expires, key.rate)
    if not all(isinstance(text, str) for text in texts) or not set(key.scopes) <= set(SCOPES):
        raise ValueError("texts")
    if not all(value is None or isinstance(value, int | float) for value in numbers):
        raise ValueError("numbers")
    return key
