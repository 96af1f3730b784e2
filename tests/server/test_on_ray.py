"""The same API by Ray Serve."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from karat.errors import FitError
from karat.options import ServeOptions
from karat.server import on_ray
from karat.server.app import application
from karat.server.guard.guard import keys_of


def status(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(FitError, match=r"pip install 'karat\[serve,ray\]'"):
        on_ray.run(ServeOptions([tmp_path]), application, print)


@pytest.mark.exam
def test_a_server_on_ray_answers_as_any_other_and_ends_on_sigterm(tmp_path: Path) -> None:
    pytest.importorskip("ray.serve", reason="needs karat[ray]")
    key = keys_of(tmp_path).add("ann=read")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "karat", "serve", str(tmp_path), "--on", "ray", "--port", str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ
    ) as process:
        try:
            assert process.stdout is not None
            assert f"serving 0 runs by 1 replicas at http://127.0.0.1:{port}" in process.stdout.readline()
            url = f"http://127.0.0.1:{port}"
            assert status(f"{url}/healthz") == 200
            assert status(f"{url}/metrics", Authorization=f"Bearer {key}") == 200
            assert status(f"{url}/metrics", Authorization=f"Bearer {key}x") == 401
            assert status(f"{url}/healthz", Host="evil.example") == 421
            with urllib.request.urlopen(f"{url}/openapi.json", timeout=60) as answer:
                assert json.load(answer)["paths"] == application(ServeOptions([tmp_path])).openapi()["paths"]
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 143
