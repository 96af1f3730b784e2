"""Kills a server and its worker with SIGKILL at random moments of a training, and looks whether anything is lost.

    python benchmarks/kill_jobs.py [--kills 20] [--seed 0]

First the server is killed so often, each time when its worker has used a random part of the CPU seconds that a job takes, and
started again; then, below another root, the worker of a server that lives on. After each kill the job and all events that a
client had read must be there as they were; at the end each run must have the weights and the curve of one that nobody killed.
Where workers died so often without their job getting further that it was given up, that must be its error, and it is resumed.
Prints a line a kill and ends with exit code 1 when anything was lost. Beside this process there are a server and a worker.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from karat.run import Run

STEPS = 60
TINY = ("latent=8", "width=16", "hidden=32", "components=20", "iterations=10")
ASKED = {
    "source": "digits",
    "recipe": "vae",
    "steps": STEPS,
    "set": ["train.precision=fp32", "train.save_seconds=0.1", *(f"model.{change}" for change in TINY)],
}
LONGEST = 8.0  # CPU seconds of a worker before a kill; the whole job takes about seven, three of them to import torch
ENV = {**os.environ, "OMP_NUM_THREADS": "1"}


class Server:
    """`karat serve` over `root`, started and answering."""

    def __init__(self, root: Path) -> None:
        command = [sys.executable, "-m", "karat", "serve", str(root), "--port", "0"]
        self.log = (root / "server.log").open("a")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=ENV)
        assert self.process.stdout is not None
        found = re.search(r"http://\S+?(?=,)", self.process.stdout.readline())
        assert found is not None, "the server did not start; see server.log"
        self.url = found[0]

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())  # type: ignore[no-any-return]

    def events(self, job: str) -> list[dict[str, Any]]:
        """All events of the job, without the numbers of the curve, which are the run's."""
        told: list[dict[str, Any]] = []
        while new := self.ask(f"/v1/jobs/{job}/events?after={len(told)}")["data"]:
            told += new
        return [{key: e[key] for key in ("number", "type", "text", "state", "step", "name") if key in e} for e in told]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


def worker_of(server: Server) -> int | None:
    """The process id of its worker, if one lives."""
    children = Path(f"/proc/{server.process.pid}/task").glob("*/children")
    found = [int(pid) for file in children for pid in file.read_text().split()]
    return next((p for p in found if b"jobs.worker" in Path(f"/proc/{p}/cmdline").read_bytes()), None)


def used(process: int) -> float:
    """CPU seconds."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait(server: Server, job: str, seconds: float) -> int | None:
    """The worker, when it has used so many CPU seconds; None where the job was over before."""
    while server.ask(f"/v1/jobs/{job}")["state"] in ("queued", "running"):
        try:
            worker = worker_of(server)
            if worker is not None and used(worker) >= seconds:
                return worker
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            pass
        time.sleep(0.02)
    return None


def kept(before: list[dict[str, Any]], now: list[dict[str, Any]], what: str) -> bool:
    """Whether all that was told is there as it was, in numbers without gaps."""
    whole = now[: len(before)] == before and [e["number"] for e in now] == list(range(1, len(now) + 1))
    print(
        f"{what}: {len(before)} events were read, {len(now)} are there{'' if whole else ', NOT THE SAME'}", flush=True
    )
    return whole


def whole(run: Run, unbroken: Run) -> bool:
    """Whether the run has the weights of the unbroken one, and its curve the steps in order and to the end."""
    steps = [row["step"] for row in run.lines("history.jsonl")]
    same = run.load_model() == unbroken.load_model()
    curve = steps == sorted(set(steps)) and steps[-1] == STEPS
    what = f"weights {'the same' if same else 'OTHER'}, curve {'whole' if curve else 'NOT WHOLE'}"
    print(f"{run.path.name} ended: {what}", flush=True)
    return same and curve


def goes_on(server: Server, job: str) -> bool:
    """Whether the job goes on or has succeeded; one that was given up after deaths of its workers is resumed."""
    found = server.ask(f"/v1/jobs/{job}")
    if found["state"] != "failed":
        return True
    print(f"failed: {found['error']['message']}", flush=True)
    if "was killed" in found["error"]["message"]:
        server.ask(f"/v1/jobs/{job}/resume", {})
        return True
    return False


def killed(what: str, root: Path, kills: int, moments: random.Random) -> bool:
    """Whether nothing is lost where the server, or its worker, is killed so often; jobs are submitted as others end."""
    right, server, jobs, kill = True, Server(root), list[str](), 0
    while right and kill < kills:
        if not jobs or server.ask(f"/v1/jobs/{jobs[-1]}")["state"] == "succeeded":
            jobs.append(server.ask("/v1/train", ASKED | {"out": f"r{len(jobs)}"})["id"])
        moment = moments.uniform(0, LONGEST)
        worker = wait(server, jobs[-1], moment)
        if worker is not None:
            kill += 1
            before = server.events(jobs[-1])
            if what == "server":
                server.kill()
                server = Server(root)
            else:
                os.kill(worker, signal.SIGKILL)
            right &= kept(before, server.events(jobs[-1]), f"{what} {kill} after {moment:.1f} CPU s of job {len(jobs)}")
        right &= goes_on(server, jobs[-1])
    while right and server.ask(f"/v1/jobs/{jobs[-1]}")["state"] != "succeeded":
        right &= goes_on(server, jobs[-1])
        time.sleep(0.3)
    server.stop()
    return right


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    moments, right = random.Random(asked.seed), True
    with tempfile.TemporaryDirectory() as folder:
        unbroken = Path(folder) / "unbroken"
        settings = [part for change in ASKED["set"] for part in ("--set", change)]
        command = ["train", "digits", "--recipe", "vae", "--steps", str(STEPS), "--out", str(unbroken), *settings]
        subprocess.run([sys.executable, "-m", "karat", "--quiet", *command], check=True, env=ENV)
        for what in ("server", "worker"):
            root = Path(folder) / what
            root.mkdir()
            right &= killed(what, root, asked.kills, moments)
            right &= all([whole(Run.open(path), Run.open(unbroken)) for path in sorted(root.glob("r[0-9]*"))])
    print(f"{asked.kills} kills of each: {'nothing lost' if right else 'SOMETHING WAS LOST'}")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
