"""The server answers whether it lives, and names runs by their folders."""

from __future__ import annotations

from pathlib import Path

from clients import client_of

from karat.options import ServeOptions


def test_a_server_of_no_runs_says_that_it_lives(tmp_path: Path) -> None:
    with client_of(ServeOptions([tmp_path])) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
