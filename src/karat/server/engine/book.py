"""What serving made and cost, in the ledger of each run: one entry for all requests of ten minutes, whatever their number."""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from karat.errors import RunError
from karat.server.engine.drawn import Drawn
from karat.server.engine.shelf import Loaded
from karat.worth.ledger import Ledger, Open, price

LOG = logging.getLogger("karat.server")
EVERY = 600.0  # seconds


@dataclass
class Account:
    """Of one run since the last entry.   busy: seconds of drawing."""

    loaded: Loaded
    started: str
    since: float
    busy: float = 0.0
    requests: int = 0
    items: int = 0
    candidates: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    gate_seconds: float = 0.0


class Book:
    """Accounts by run; used by one thread.

    The CPU seconds of an entry are those of the whole server since the entries before, its answering and waiting included,
    shared among runs by how long each was drawn from.
    """

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._settled, self._cpu = time.monotonic(), time.process_time()

    def busy(self, loaded: Loaded, seconds: float) -> None:
        """So long was drawn from the run, whatever came of it."""
        self._of(loaded).busy += seconds

    def made(self, loaded: Loaded, drawn: Drawn) -> None:
        account = self._of(loaded)
        account.requests += 1
        account.items += drawn.count
        account.candidates += drawn.tally.candidates
        account.dropped.update(drawn.tally.dropped)
        account.gate_seconds += drawn.tally.seconds

    @staticmethod
    def money(loaded: Loaded, seconds: float) -> float | None:
        """What so many seconds of drawing from the run cost; None where prices do not say."""
        on_gpu = seconds if loaded.device != "cpu" else 0.0
        watts = loaded.prices.watts_per_core
        kwh = None if watts is None else watts * seconds / 3.6e6
        return price(seconds, on_gpu, kwh, loaded.prices)[0]

    def settle(self, now: bool = False) -> None:
        """Writes the entries, where ten minutes have passed since the last ones or it is to be `now`."""
        if not now and time.monotonic() - self._settled < EVERY:
            return
        cpu, total = time.process_time(), sum(account.busy for account in self._accounts.values())
        for name, account in list(self._accounts.items()):
            share = account.busy / total if total else 0.0
            try:
                self._enter(account, share * (cpu - self._cpu))
                del self._accounts[name]
            except RunError as error:  # a folder that may only be read: its account goes on
                LOG.warning("what serving %s cost was not entered: %s", name, error)
        self._settled, self._cpu = time.monotonic(), cpu

    def _of(self, loaded: Loaded) -> Account:
        if loaded.name not in self._accounts:
            started = datetime.now(UTC).isoformat(timespec="seconds")
            self._accounts[loaded.name] = Account(loaded, started, time.perf_counter())
        return self._accounts[loaded.name]

    @staticmethod
    def _enter(account: Account, cpu: float) -> None:
        loaded, wall = account.loaded, time.perf_counter() - account.since
        if not loaded.run.path.is_dir():
            return  # deleted since
        Ledger(loaded.run.path / "ledger.jsonl", loaded.prices).enter(
            Open(
                "make",
                loaded.device,
                account.busy if loaded.device != "cpu" else 0.0,
                account.items,
                f"served {account.requests:,} requests",
                "ok",
                0.0,
                account.candidates,
                dict(account.dropped),
                account.gate_seconds,
            ),
            account.started,
            wall,
            cpu,
        )
