"""The server answers whether it lives, and names runs by their folders."""

from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient

from karat.options import ServeOptions
from karat.server.app import application


def test_a_server_of_no_runs_says_that_it_lives(tmp_path: Path) -> None:
    with TestClient(application(ServeOptions([tmp_path]))) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
