"""Who calls, and whether the server takes requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request, Response
from prometheus_client import CollectorRegistry

from karat.errors import FitError
from karat.options import ServeOptions
from karat.server.guard.access import ADMIN
from karat.server.guard.hosts import loopback
from karat.server.guard.keys import LOCAL as NAME
from karat.server.guard.keys import SCOPES, Key, Keys
from karat.server.guard.meters import Meters
from karat.server.guard.rates import Rates
from karat.server.guard.spending import Spending
from karat.server.problems import Problem

COOKIE, LOGIN = "karat_session", "/login"
FOLDER = ".karat"  # below the root, of all that the server itself keeps


@dataclass(frozen=True)
class Caller:
    """Who sent a request.

    name: of the key, "local" without one on loopback.   scopes: what the key may do.   key: None without one.
    session: the token of who logged in with the key, in the studio.
    account, connection: among which, and within an account among which, drawing is shared alike: a key, or without keys
    whatever word a client sends as one; and where its bytes come from.
    """

    name: str
    scopes: frozenset[str]
    key: Key | None = None
    session: str | None = None
    account: str = ""
    connection: str = ""

    @property
    def id(self) -> str:
        """Whose that is which this caller makes: of the key, and of no later one of its name."""
        return self.name if self.key is None else self.key.id

    def owns(self, owner: str) -> bool:
        """Whether what `owner` made is this caller's to see and change."""
        return owner == self.id or ADMIN in self.scopes

    @staticmethod
    def of(key: Key, session: str | None = None, connection: str = "") -> Caller:
        return Caller(key.name, frozenset(key.scopes), key, session, key.id, connection)


LOCAL = Caller(NAME, frozenset(SCOPES))  # on loopback no key is needed


class Guard:
    """What the middleware and the routes share: keys, what they spent, their rates, meters; whether the server is being stopped.

    admit: raises the Problem of what is made for none, or not for this caller, before a request costs more than that.
    full: whether it would, of an account of which some, and of all some, are about to wait.
    failure: a problem as a page, where there are pages.   making: requests to make something that are not yet answered.
    options: its `host` says whether keys are needed.   root: of the served folders; keys lie in `root/.karat`.
    FitError where a key is needed and there is none.
    """

    def __init__(self, options: ServeOptions, root: Path) -> None:
        self.keys = keys_of(root)
        self.spending = Spending(root / FOLDER / "spending.db", self.keys)
        self.local = loopback(options.host)
        self.rates = Rates()
        self.upload = options.upload * 2**20
        self.registry = CollectorRegistry()
        self.meters = Meters(self.registry)
        self.draining, self.making = False, 0
        self.admit: Callable[..., None] = _all_come
        self.full: Callable[[str, int, int], bool] = _never_full
        self.failure: Callable[[Request, Problem], Response] | None = None
        if not self.local and not self.keys.all():
            raise FitError(
                f"--host {options.host} can be reached by other machines, and there is no key. Make one first: "
                "karat serve --add-key NAME (with the same folders), or serve this machine alone with --host 127.0.0.1."
            )

    @property
    def keyless(self) -> bool:
        """Whether who sends no key may do all: on loopback, as long as nobody ever made a key. The last one's being revoked opens
        nothing."""
        return self.local and not self.keys.there()

    @property
    def warning(self) -> str:
        """What a person should know when the server starts, in a line."""
        if self.keyless:
            return (
                "no key is asked for: whoever reaches this port, through a proxy too, may do all; "
                "keys are made with --add-key"
            )
        if self.local:
            return f"a key is asked for, since {self.keys.path} is there"
        return "keys and content pass the network unencrypted: put a proxy with TLS in front"

    def close(self) -> None:
        self.spending.close()


def _all_come(caller: Caller, mine: int = 0, all_of: int = 0) -> None:
    return None


def _never_full(account: str, mine: int, all_of: int) -> bool:
    return False


def keys_of(root: Path) -> Keys:
    """The keys of the server whose root this is."""
    return Keys(root / FOLDER / "keys.json")


def caller_of(request: Request) -> Caller:
    """Who sent the request; for `fastapi.Depends`. The middleware has found it allowed to use the route."""
    found: Caller = request.state.caller
    return found
