"""The same API by Ray Serve."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from clients import client_of

from karat.errors import FitError
from karat.options import ServeOptions
from karat.server import on_ray
from karat.server.app import application
from karat.server.guard.guard import keys_of


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(FitError, match=r"pip install 'karat\[serve,ray\]'"):
        on_ray.run(ServeOptions([tmp_path]), application, print)


@pytest.mark.exam
def test_replicas_on_ray_draw_the_same_bytes_share_quotas_and_may_be_killed(runs: Path) -> None:
    pytest.importorskip("ray.serve", reason="needs karat[ray]")
    with client_of(ServeOptions([runs], studio=False)) as alone:
        described = alone.get("/openapi.json").json()["paths"]
        wanted = [picture(alone, {}, seed) for seed in range(3)]
    ann, bob = (keys_of(runs).add(f"{name}=make,read", items=items) for name, items in (("ann", None), ("bob", 10)))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "karat", "serve", str(runs), "--on", "ray", "--replicas", "2", "--port", str(port)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client,
        ThreadPoolExecutor(8) as many,
    ):
        try:
            assert process.stdout is not None
            assert f"by 2 replicas at http://127.0.0.1:{port}, until" in process.stdout.readline()
            by = {"authorization": f"Bearer {ann}"}
            assert list(many.map(lambda i: picture(client, by, i % 3), range(24))) == wanted * 8
            os.kill(replicas(process.pid)[0], signal.SIGKILL)
            assert list(many.map(lambda i: picture(client, by, i % 3), range(24))) == wanted * 8
            by_bob = {"authorization": f"Bearer {bob}"}
            codes = Counter(many.map(lambda i: asked(client, by_bob, i).status_code, range(20)))
            assert codes == {200: 10, 429: 10}
            keys_of(runs).revoke("bob")
            assert {asked(client, by_bob, i).status_code for i in range(8)} == {401}
            assert client.get("/openapi.json", headers=by).json()["paths"] == described
            assert client.get("/v1/models").status_code == 401 and client.get("/healthz").status_code == 200
            assert client.get("/healthz", headers={"host": "evil.example"}).status_code == 421
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 143


def asked(client: httpx.Client, headers: dict[str, str], seed: int) -> httpx.Response:
    return client.post("/v1/images/generations", json={"model": "digits", "seed": seed}, headers=headers)


def picture(client: httpx.Client, headers: dict[str, str], seed: int) -> str:
    return str(asked(client, headers, seed).json()["data"][0]["b64_json"])


def replicas(driver: int) -> list[int]:
    """The processes of the replicas that descend from the process `driver`."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if place.joinpath("cmdline").read_bytes().startswith(b"ray::ServeReplica"):
                over = int(place.name)
                while over not in (0, driver):
                    over = int(Path(f"/proc/{over}/stat").read_text().rpartition(")")[2].split()[1])
                found += [int(place.name)] if over == driver else []
    return sorted(found)
