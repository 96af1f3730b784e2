"""What one may take where others want it too: memory, whose lack is said before anything is allocated; and time.

Callers estimate in bytes what a step is about to hold at once and ask `need`; an estimate is an upper bound that is cheap to
have (cells times bytes, parameters times copies), not a measurement.
"""

from __future__ import annotations

import math
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from karat.errors import FitError, TooLarge

EXHAUSTED = re.compile(  # how torch, numpy and the system say that there is no memory
    r"can.t allocate memory|not enough memory|out of memory|unable to allocate|numel.* overflow|overflow.* numel|"
    r"storage size|too many elements|Overflow when|exceeds the maximum|array is too big|maximum supported dimension",
    re.IGNORECASE,
)
WANTED = re.compile(r"(?:allocate|size)\D{0,12}?(\d[\d.]*)\s*(bytes|[KMGTPE]i?B)\b", re.IGNORECASE)
UNITS = {"bytes": 1.0} | {f"{u}{i}b": 1024.0**k for k, u in enumerate("kmgtpe", 1) for i in ("", "i")}
LITTLE = 100_000  # bytes, of which none asks the system
SPARE = 0.9  # fraction of the available memory that one step may plan to use
CGROUPS = (  # limit, usage, statistics, and what the latter calls the pages that can be given back
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat", "inactive_file"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
        "total_inactive_file",
    ),
)


class _Held(threading.local):
    up: Callable[[], None] | None = None


_held = _Held()


def pause() -> None:
    """A place where long work may be held up, or ended, as a server does that draws for others meanwhile; else nothing happens.

    To be called often, where no lock is held and nothing is changed for a while that other threads see.
    """
    if _held.up is not None:
        _held.up()


@contextmanager
def pausing(up: Callable[[], None]) -> Iterator[None]:
    """Within it, `pause` calls `up` in this thread."""
    before, _held.up = _held.up, up
    try:
        yield
    finally:
        _held.up = before


def available() -> float:
    """Bytes that this process may still allocate; infinite where the system does not say.

    The least of: what the machine has left, what the control group has left (https://docs.kernel.org/admin-guide/cgroup-v2.html),
    what RLIMIT_AS leaves of the address space, and KARAT_MEMORY_GB where that is set; FitError where that is no size.
    """
    return min(_machine(), _group(), _address_space(), _asked())


def need(size: float, what: str, lower: str) -> None:
    """TooLarge when `size` bytes do not fit into what is available; `what` needs them, and `lower` says what to lower."""
    if size <= LITTLE:
        return
    room = available()
    if size > SPARE * room:
        raise TooLarge(
            f"{what} would need about {words(size)} of memory, and {words(max(0.0, room))} are available. {lower}"
        )


def exhausted(error: BaseException) -> str | None:
    """What to tell a person of an `error` that says that memory is used up, torch's, numpy's, pyarrow's or Python's: how much
    was wanted where it says so, and what to lower. None for any other error.
    """
    text = str(error)
    out = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # pyarrow's is a MemoryError
    if not out and not (isinstance(error, RuntimeError) and EXHAUSTED.search(text)):
        return None
    found = WANTED.search(text)
    wanted = f" for {words(float(found[1]) * UNITS[found[2].lower()])} more" if found else ""
    return (
        f"there is not enough memory{wanted}. Give fewer or smaller records (--set data.size), a smaller batch or model "
        "(--set train.batch, --set model.width), or a smaller -n."
    )


def words(size: float) -> str:
    """Bytes as a person says them: 3.4 GB."""
    if not math.isfinite(size):
        return "more than can be counted"
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}" if size < 1e15 else f"{size / scale:.1e} {unit}"
    return f"{size:,.0f} bytes"


def _machine() -> float:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024.0
    except OSError:
        pass
    try:  # no /proc: macOS; what there is in all, since it does not say portably what is left
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError):
        return math.inf


def _group() -> float:
    for limit, usage, stat, page in CGROUPS:
        try:
            most, used = Path(limit).read_text().strip(), int(Path(usage).read_text())
            if most == "max" or int(most) > 2**60:
                return math.inf
            given_back = next(
                (int(line.split()[1]) for line in Path(stat).read_text().splitlines() if line.split()[0] == page), 0
            )
            return float(max(0, int(most) - used + given_back))
        except (OSError, ValueError):
            continue
    return math.inf


def _address_space() -> float:
    try:
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft == resource.RLIM_INFINITY:
            return math.inf
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return float(max(0, soft - pages * os.sysconf("SC_PAGE_SIZE")))
    except (ImportError, OSError, ValueError):
        return math.inf


def _asked() -> float:
    text = os.environ.get("KARAT_MEMORY_GB", "")
    try:
        size = float(text) if text.strip() else math.inf
    except ValueError:
        size = math.nan
    if not size > 0:  # nor nan
        raise FitError(f"KARAT_MEMORY_GB={text!r}: wanted a number of gigabytes above 0.")
    return size * 1e9
