"""The events of a job as a server streams them: to several, to who comes again, over the end of a server."""

from __future__ import annotations

import http.client
import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import karat_process

from karat.server import running  # noqa: F401  # before the forks, which then need not import it
from karat.studio import ROUTERS  # noqa: F401

TINY = ["model.latent=8", "model.width=16", "model.hidden=32", "model.components=20", "model.iterations=10"]
ASKED = {"source": "noise.npy", "recipe": "vae", "steps": 100_000, "set": ["train.precision=fp32", *TINY]}


class Served:
    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            sent = None if body is None else json.dumps(body)
            connection.request("GET" if body is None else "POST", path, sent, {"content-type": "application/json"})
            blob = connection.getresponse().read()
        return blob.decode() if path == "/metrics" else json.loads(blob)

    @contextmanager
    def tab(self, job: str, last: int | None = None) -> Iterator[http.client.HTTPResponse]:
        """The stream that a browser opens."""
        headers = {"accept": "text/event-stream"} | ({} if last is None else {"last-event-id": str(last)})
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", f"/v1/jobs/{job}/events", headers=headers)
            with closing(connection.getresponse()) as answer:
                yield answer

    def running(self) -> int:
        """Requests under way, that for this number aside."""
        return int(re.findall(r"^karat_http_requests_running (\d+)", self.ask("/metrics"), re.M)[0]) - 1


@contextmanager
def serving(root: Path) -> Iterator[Served]:
    with karat_process("serve", str(root), "--port", "0", "--no-studio", cwd=root) as process:
        process.until(lambda: "until Ctrl-C" in process.said()[0])
        found = re.search(r":(\d+), until", process.said()[0])
        assert found, process.said()
        yield Served(int(found[1]))
        process.send_signal(signal.SIGTERM)
        process.wait()


def told(stream: http.client.HTTPResponse, enough: Callable[[dict[str, Any]], object]) -> list[dict[str, Any]]:
    """Events up to the first that is enough, or the end of the stream."""
    found: list[dict[str, Any]] = []
    while (line := stream.readline()) and not (found and enough(found[-1])):
        if line.startswith(b"data: "):
            found.append(json.loads(line[6:]))
    return found


@pytest.mark.exam
def test_tabs_see_the_same_come_again_without_loss_and_leave_nothing_behind(tmp_path: Path) -> None:
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).integers(0, 256, (300, 8, 8), np.uint8))
    with serving(tmp_path) as server:
        job = server.ask("/v1/train", {**ASKED, "out": "a"})["id"]
        with server.tab(job) as one, server.tab(job) as other:
            seen = told(one, lambda event: event["type"] == "point")
            assert told(other, lambda event: event["type"] == "point") == seen
            assert server.running() == 2
        until = time.monotonic() + 20
        while server.running() and time.monotonic() < until:
            time.sleep(0.1)
        assert server.running() == 0, "who leaves frees all that was his"
        with server.tab(job, seen[-1]["number"]) as again:
            later = told(again, lambda event: event["type"] == "point")
            assert later[0]["number"] == seen[-1]["number"] + 1
    with serving(tmp_path) as server:  # the job waited for it
        number = later[-1]["number"]
        with server.tab(job, number) as again:
            rest = told(again, lambda event: "continuing at step" in event.get("text", ""))
            assert [event["number"] for event in rest] == list(range(number + 1, number + 1 + len(rest)))
            assert {"queued", "running"} <= {event["state"] for event in rest if event["type"] == "state"}
            server.ask(f"/v1/jobs/{job}/cancel", {})
            last = told(again, lambda event: False)[-1]  # the stream ends with the job
            assert last["state"] == "cancelled"
        with server.tab(job, last["number"]) as again:
            assert again.status == 204
