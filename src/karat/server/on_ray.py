"""`karat serve --on ray`: the same application, in several processes of a cluster, by Ray Serve (https://docs.ray.io/en/latest/serve).

Each replica holds the whole application, guard included, over the same folders: on several machines these are on a file system
that all share. Ray's proxy listens in place of our own server: it has no limit on the time that headers may take, so that on
an open network something in front of it should.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastapi import FastAPI

from karat.errors import FitError
from karat.options import ServeOptions
from karat.server.app import catalogue_of
from karat.server.guard import Guard
from karat.server.guard.hosts import bound, url_of
from karat.server.logs import to_stderr

NAME = "karat"
MOST = 10_000  # requests that a replica may hold: its own queue is bounded, and says 429


def run(options: ServeOptions, make: Callable[[ServeOptions], FastAPI], say: Callable[[str], None]) -> None:
    """Serves on the cluster that RAY_ADDRESS names, else on one of this machine, until it is stopped.

    FitError as of `running.run`, and where Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
    own = "RAY_ADDRESS" not in os.environ
    if own:
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # Ray listens on all addresses, and runs what it is sent
    try:
        import ray
        from ray import serve
    except ImportError as error:
        raise FitError("--on ray needs an extra: pip install 'karat[serve,ray]'.") from error
    with bound(options.host, options.port) as listener:  # that it can be had; Ray takes it itself
        address, port = listener.getsockname()[:2]
    catalogue = catalogue_of(options)
    folders, root = [folder.resolve() for folder in catalogue.folders], catalogue.root.resolve()
    options = replace(options, runs=folders, root=root, host=address, port=port)
    guard = Guard(options, root)  # what it refuses is said here, and not in a replica's log
    guard.close()
    local = {"include_dashboard": False} if own else {}  # which would let anybody run anything
    ends = signal.getsignal(signal.SIGTERM)
    ray.init(configure_logging=False, log_to_driver=False, **local)
    try:
        serve.start(http_options={"host": address, "port": port})
        serve.run(_deployment(serve, options, make), name=NAME, route_prefix="/")
        where = f"by {options.replicas} replicas at {url_of(address, port)}"
        say(f"serving {len(catalogue.paths())} runs {where}, until Ctrl-C\n{guard.warning}")
        with contextlib.suppress(ValueError):  # not in the main thread, which alone gets signals
            signal.signal(signal.SIGTERM, ends)  # in place of Ray's own, which aborts
        threading.Event().wait()
    finally:
        serve.shutdown()  # when every replica has answered what it began
        ray.shutdown()


def _deployment(serve: Any, options: ServeOptions, make: Callable[[ServeOptions], FastAPI]) -> Any:
    def app() -> FastAPI:  # called where a replica runs
        to_stderr()
        return make(options)

    how: dict[str, Any] = {
        "name": NAME,
        "num_replicas": options.replicas,
        "max_ongoing_requests": MOST,
        "graceful_shutdown_timeout_s": 2 * options.deadline,
        "ray_actor_options": {"num_cpus": 1},
    }
    return serve.deployment(**how)(serve.ingress(app)()).bind()
