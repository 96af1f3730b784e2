"""What can be asked of `karat serve`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

if TYPE_CHECKING:
    Folders: TypeAlias = Sequence[str | Path]
else:  # as the command line reads it
    Folders = list[Path]


@dataclass(frozen=True)
class ServeOptions:
    """Serve runs over HTTP, to programs (the API, with what clients of OpenAI's know) and to people (the studio).

    Parameters
    ----------
    runs
        Folders of runs, or folders that hold such; the folder runs by default.
    root
        The folder under which data is chosen, and new runs and uploads are kept. All runs in it are served. By default it is
        the folder that holds all runs given, and only those and new ones are served. Nothing outside it and the runs is read.
    host
        The address to listen on. Only this machine can reach the default; any other needs a key (`--add-key`).
    port
        The port, 8321 by default; 0 takes a free one.
    add_key
        Make a key of this name, print it once, and end: "ann" or "ann=make,read"; of the scopes make, read, train, review,
        admin and probe, by default make and read.
    items
        With --add-key: the most records that the key may make in all.
    money
        With --add-key: the most that what it makes may cost in all, in the currency of the price list.
    rate
        With --add-key: how many requests a minute the key may send.
    days
        With --add-key: days after which the key expires.
    revoke_key
        Revoke the key of this name, and end; a server that runs refuses it from then on.
    memory
        Megabytes that loaded runs may take together; those not used for longest are let go.
    waiting
        Requests that may wait; more are refused with 429. One caller may hold as many places as are free.
    deadline
        Seconds after which a request that still waits is refused.
    jobs
        Jobs of one caller that may wait, and a tenth of those that may wait in all; more are refused with 429.
    history
        Jobs that are over and kept; the oldest go first, with their events and logs. What they made stays.
    upload
        Megabytes that one upload may have.
    uploads
        Megabytes that all uploads together may have; those of one key a quarter of it.
    studio
        Leave the pages for people out with --no-studio.
    on
        ray: serve by Ray Serve, on the cluster that RAY_ADDRESS names, or of one on this machine.
    replicas
        With --on ray: how many processes answer, each with its own loaded runs.
    """

    runs: Folders = ()
    _: KW_ONLY
    root: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8321
    add_key: str | None = None
    items: int | None = None
    money: float | None = None
    rate: float | None = None
    days: float | None = None
    revoke_key: str | None = None
    memory: int = 2000
    waiting: int = 256
    deadline: float = 60.0
    jobs: int = 100
    history: int = 1000
    upload: int = 512
    uploads: int = 20_000
    studio: Annotated[bool, Parameter(negative="--no-studio")] = True
    on: str | None = None
    replicas: int = 1
