"""The ledger: what every run of every verb cost in seconds, energy and money, also of the runs that failed.

Nothing is estimated silently: energy and money that were neither measured nor declared are null, and what is missing is
named. One JSON line per run, so that two verbs can write one ledger and a crash costs at most the last line; the lines are a
chain (`chain.py`), so that one which was changed or taken out shows.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from karat.chain import Chain
from karat.errors import RunError
from karat.worth.meters import CpuMeter, GpuMeter
from karat.worth.prices import Prices

JOULES_PER_KWH = 3.6e6
Status = Literal["ok", "failed", "interrupted"]


@dataclass(frozen=True)
class Entry:
    """One run of one verb.

    wall_seconds, cpu_seconds (this process and the children it waited for), gpu_seconds: measured.
    kwh: energy, with `energy_from` saying how it is known; None where it is not.
    money: at the declared prices; None where they do not cover it, and `missing` names what would.
    items: how many things were made, 0 where the verb makes none.   candidates: how many were drawn for them, as far as gates
    looked at these; dropped: why others than the items were not kept, and how many; gate_seconds: of CPU that this took.
    """

    verb: str
    started: str
    status: Status
    wall_seconds: float
    cpu_seconds: float
    gpu_seconds: float
    kwh: float | None = None
    energy_from: str | None = None
    money: float | None = None
    currency: str | None = None
    missing: tuple[str, ...] = ()
    items: int = 0
    device: str = "cpu"
    note: str = ""
    candidates: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    gate_seconds: float = 0.0


@dataclass
class Open:
    """An entry under way; the verb fills in what only it knows. `gpu_seconds` None: the wall time, if on a GPU;
    `status` None: ok, or failed when an error went through. `elsewhere`: CPU seconds of processes that are no children."""

    verb: str
    device: str
    gpu_seconds: float | None = None
    items: int = 0
    note: str = ""
    status: Status | None = None
    elsewhere: float = 0.0
    candidates: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    gate_seconds: float = 0.0


@dataclass(frozen=True)
class Cost:
    """What several entries cost together; a total of money or energy is None as soon as one part of it is unknown.

    made: items of the `make` entries, with the seconds and kWh that one of them took (None where nothing was made); one that
    a gate dropped took as much, and counts with them.   gated: of the candidates that gates looked at, those kept and all.
    making_is_upper: the seconds include more than making, since no entry only made things.
    """

    runs: int = 0
    failed: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    kwh: float | None = 0.0
    money: float | None = 0.0
    currency: str | None = None
    missing: tuple[str, ...] = ()
    made: int = 0
    item_cpu_seconds: float | None = None
    item_gpu_seconds: float | None = None
    item_kwh: float | None = None
    making_is_upper: bool = False
    gated: tuple[int, int] = (0, 0)
    by_verb: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Ledger:
    """A file of entries, one JSON line each, priced with what was declared when each was written."""

    def __init__(self, path: Path, prices: Prices | None = None) -> None:
        self.path = path
        self.prices = Prices() if prices is None else prices

    @contextmanager
    def entry(self, verb: str, device: str = "cpu") -> Iterator[Open]:
        """Measures its body and writes one entry when it ends, however it ends; what the body raised goes on up."""
        running = Open(verb, device)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        cpu, gpu = CpuMeter(), GpuMeter()
        wall, busy = time.perf_counter(), _cpu_seconds()
        status: Status = "failed"
        try:
            yield running
            status = "ok"
        except (KeyboardInterrupt, SystemExit):
            status = "interrupted"
            raise
        finally:
            wall, busy = time.perf_counter() - wall, _cpu_seconds() - busy + running.elsewhere
            running.status = status if running.status is None else running.status
            try:
                self.enter(running, started, wall, busy, cpu.joules(), gpu.joules())
            except RunError:
                if status == "ok":  # else what went wrong before says more
                    raise

    def enter(
        self,
        done: Open,
        started: str,
        wall: float,
        busy: float,
        cpu_joules: float | None = None,
        gpu_joules: float | None = None,
    ) -> None:
        """Writes the entry of what was measured elsewhere.

        started: ISO 8601.   wall, busy: seconds, of the clock and of the CPU.   joules: where a meter counted them.
        """
        on_gpu = wall if done.device.startswith(("cuda", "mps")) else 0.0
        gpu_seconds = on_gpu if done.gpu_seconds is None else done.gpu_seconds
        kwh, energy_from, no_energy = _energy(cpu_joules, gpu_joules, busy, gpu_seconds, self.prices)
        money, missing = price(busy, gpu_seconds, kwh, self.prices)
        self.append(
            Entry(
                verb=done.verb,
                started=started,
                status="ok" if done.status is None else done.status,
                wall_seconds=wall,
                cpu_seconds=busy,
                gpu_seconds=gpu_seconds,
                kwh=kwh,
                energy_from=energy_from,
                money=money,
                currency=self.prices.currency,
                missing=tuple(dict.fromkeys(missing + no_energy)),
                items=done.items,
                device=done.device,
                note=done.note,
                candidates=done.candidates,
                dropped=done.dropped,
                gate_seconds=done.gate_seconds,
            )
        )

    def append(self, entry: Entry) -> None:
        """The entry is on disk when this returns. A line torn by an earlier crash is completed or cut off first."""
        try:
            Chain(self.path).append(asdict(entry))
        except OSError as error:
            if isinstance(error, PermissionError) and self.path.parent.stat().st_uid != os.geteuid():
                return  # somebody else's book, of which `Run.open` makes a note
            raise RunError(
                f"what this cost cannot be entered in {self.path}: {error.strerror}. Nothing else was lost."
            ) from None

    def entries(self) -> list[Entry]:
        """All entries, oldest first; what is no entry, such as a line torn by a crash, is left out (see `damaged`)."""
        return [entry for entry in map(_parse, Chain(self.path).lines()) if entry is not None]

    def damaged(self) -> int:
        """How many lines are no entries."""
        return sum(_parse(line) is None for line in Chain(self.path).lines())


def price(cpu: float, gpu: float, kwh: float | None, prices: Prices) -> tuple[float | None, tuple[str, ...]]:
    """Money for CPU and GPU seconds, and the keys of prices.toml that are missing where it is None.

    Rented hardware is paid by the hour, and energy is in that price; owned hardware is paid by its energy.
    """
    rented = prices.cpu_core_hour is not None or prices.gpu_hour is not None
    if not rented and prices.kwh is not None:
        return (None, ("watts_per_core",)) if kwh is None else (kwh * prices.kwh, ())
    missing: list[str] = []
    money = 0.0
    if gpu > 0:
        if prices.gpu_hour is None:
            missing.append("gpu_hour")
        else:
            money += gpu / 3600 * prices.gpu_hour
    if prices.cpu_core_hour is not None:
        money += cpu / 3600 * prices.cpu_core_hour
    elif not (gpu > 0 and prices.gpu_hour is not None):  # a rented GPU comes with the cores that feed it
        missing.append("cpu_core_hour")
    return (None if missing else money), tuple(missing)


def total(entries: Sequence[Entry], prices: Prices | None = None) -> Cost:
    """The sum of the entries, priced as they were written, or again at `prices`."""
    paid = [e.money if prices is None else price(e.cpu_seconds, e.gpu_seconds, e.kwh, prices)[0] for e in entries]
    missing = [
        m
        for e in entries
        for m in (e.missing if prices is None else price(e.cpu_seconds, e.gpu_seconds, e.kwh, prices)[1])
    ]
    makers = [e for e in entries if e.verb == "make" and e.items > 0 and e.status == "ok"]
    upper, gated = not makers, [e for e in makers if e.candidates >= e.items]
    makers = makers or [e for e in entries if e.items > 0 and e.status == "ok"]
    made, drawn = sum(e.items for e in makers), sum(max(e.items, e.candidates) for e in makers)
    energy = _sum_known([e.kwh for e in makers])
    return Cost(
        runs=len(entries),
        failed=sum(e.status != "ok" for e in entries),
        wall_seconds=sum(e.wall_seconds for e in entries),
        cpu_seconds=sum(e.cpu_seconds for e in entries),
        gpu_seconds=sum(e.gpu_seconds for e in entries),
        kwh=_sum_known([e.kwh for e in entries]),
        money=_sum_known(paid),
        currency=next((e.currency for e in reversed(entries) if e.currency), None)
        if prices is None
        else prices.currency,
        missing=tuple(dict.fromkeys(missing)),
        made=made,
        item_cpu_seconds=sum(e.cpu_seconds for e in makers) / drawn if made else None,
        item_gpu_seconds=sum(e.gpu_seconds for e in makers) / drawn if made else None,
        item_kwh=energy / drawn if made and energy is not None else None,
        making_is_upper=bool(made) and upper,
        gated=(sum(e.items for e in gated), sum(e.candidates for e in gated)),
        by_verb={v: sum(e.verb == v for e in entries) for v in dict.fromkeys(e.verb for e in entries)},
    )


def _energy(
    cpu_joules: float | None, gpu_joules: float | None, cpu: float, gpu: float, prices: Prices
) -> tuple[float | None, str | None, tuple[str, ...]]:
    """kWh, how they are known, and what is missing. A meter counts the whole chip, so others' work is in it."""
    missing: list[str] = []
    parts: list[str] = []
    joules = 0.0
    if cpu_joules is not None:
        joules += cpu_joules
        parts.append("CPU measured (RAPL, whole package)")
    elif prices.watts_per_core is not None:
        joules += prices.watts_per_core * cpu
        parts.append("CPU at declared watts_per_core")
    else:
        missing.append("watts_per_core")
    if gpu > 0:
        if gpu_joules is not None:
            joules += gpu_joules
            parts.append("GPU measured (NVML, whole card)")
        elif prices.watts_gpu is not None:
            joules += prices.watts_gpu * gpu
            parts.append("GPU at declared watts_gpu")
        else:
            missing.append("watts_gpu")
    return (None, None, tuple(missing)) if missing else (joules / JOULES_PER_KWH, "; ".join(parts), ())


def _sum_known(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) if len(known) == len(values) else None


def _cpu_seconds() -> float:
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def _parse(line: bytes) -> Entry | None:
    """The entry on a line; None where it is none, or holds what no verb writes."""
    try:
        given = json.loads(line)
        known = {f.name for f in fields(Entry)}
        values: dict[str, Any] = {k: tuple(v) if k == "missing" else v for k, v in given.items() if k in known}
        entry = Entry(**values)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    seconds = (entry.wall_seconds, entry.cpu_seconds, entry.gpu_seconds, entry.gate_seconds)
    if not isinstance(entry.dropped, dict):
        return None
    counts = (entry.items, entry.candidates, *entry.dropped.values())
    texts = (
        entry.verb,
        *entry.dropped,
        entry.started,
        entry.device,
        entry.note,
        *entry.missing,
        entry.energy_from,
        entry.currency,
    )
    fits = (
        all(map(_counts, seconds))
        and all(x is None or _counts(x) for x in (entry.kwh, entry.money))
        and all(type(x) is int and 0 <= x < 2**62 for x in counts)
        and all(isinstance(x, str) for x in texts[:-2])
        and all(x is None or isinstance(x, str) for x in texts[-2:])
        and entry.status in get_args(Status)
    )
    return entry if fits else None


def _counts(value: object) -> bool:
    """Whether it is a number that a meter can show."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15
