"""Kills a server and its worker with SIGKILL at moments of a training, and looks whether a job, event or decision is lost.

    python benchmarks/kill_jobs.py [--kills 20] [--seed 0]

First the server is killed so often and started again; then, below another root, the process that does the job, or where the
job waits the one that was to do it, of a server that lives on. When is told by what is seen of the job: it waits, it was taken,
it printed a line, has a new point of its curve, the third, a sample, nears its end, was asked to stop, is over; and a random
part of 0.15 s later. All the while a reviewer presses keys in the studio, and sends again what was not answered, as its page
does. After each kill the job and all events that were read must be there as they were, and each decision that was answered
exactly once. At the end each run must have the weights and the curve of one that nobody killed. Where workers died so often without
their job getting further that it was given up, that must be its error, and it is resumed. Prints a line a kill and ends with exit
code 1 when anything was lost. Beside this process there are a server and two workers.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from karat.chain import Chain
from karat.run import Run

STEPS = 60
TINY = ("latent=8", "width=16", "hidden=32", "components=20", "iterations=10")
ASKED = {
    "source": "digits",
    "recipe": "vae",
    "steps": STEPS,
    "set": ["train.precision=fp32", "train.save_seconds=0.1", *(f"model.{change}" for change in TINY)],
}
MOMENTS = ("waits", "taken", "message", "point", "third point", "sample", "nears its end", "stopping", "over")
LATER = 0.15  # seconds at most between a moment and its kill
PRESSING = 0.05  # seconds between two presses of a key
REVIEW = "/runs/kept/review/presses?of=made&by=ann&plan=all"
ENV = {**os.environ, "OMP_NUM_THREADS": "1"}
Told = list[dict[str, Any]]


class Server:
    """`karat serve` over `root`, started and answering."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "karat", "serve", str(self.root), "--port", "0"]
        with (self.root / "server.log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=ENV)
        assert self.process.stdout is not None
        found = re.search(r"http://\S+?(?=,)", self.process.stdout.readline())
        assert found is not None, "the server did not start; see server.log"
        self.url = found[0]

    def ask(self, path: str, body: Any = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())  # type: ignore[no-any-return]

    def events(self, job: str, after: int = 0) -> Told:
        """The events of the job beyond `after`, without the numbers of the curve, which are the run's."""
        told: Told = []
        while new := self.ask(f"/v1/jobs/{job}/events?after={after + len(told)}")["data"]:
            told += new
        names = ("number", "type", "text", "state", "step", "fraction", "name")
        return [{key: event[key] for key in names if key in event} for event in told]

    def state(self, job: str) -> str:
        return str(self.ask(f"/v1/jobs/{job}")["state"])

    def kill(self, what: str) -> None:
        """Kills itself, which is then started again, or its worker: who does a job, if any does, else who would."""
        if what == "server":
            self.process.kill()
            self.process.wait()
            self.start()
            return
        for one in [
            *(child for warm in children(self.process.pid) for child in children(warm)),
            *children(self.process.pid),
        ]:
            os.kill(one, signal.SIGKILL)
            return

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


def children(process: int) -> list[int]:
    files = Path(f"/proc/{process}/task").glob("*/children")
    return [int(pid) for file in files for pid in file.read_text().split()]


class Reviewer(threading.Thread):
    """Accepts what is shown and takes that back, in turn, until `end`.   answered: the presses that the server took."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server, self.answered, self.wrong = server, list[str](), ""
        self.end = threading.Event()

    def run(self) -> None:
        rng = random.Random(0)
        while not self.end.is_set():
            undo = len(self.answered) % 2 == 1
            press = {
                "press": f"{rng.getrandbits(128):032x}",
                "verdict": "undo" if undo else "accept",
                "position": int(undo),
            }
            while not self.end.is_set():
                time.sleep(PRESSING)
                try:
                    answer = self.server.ask(REVIEW, [press])
                except (OSError, http.client.HTTPException) as error:  # it was killed, and is sent again to the next
                    if isinstance(error, urllib.error.HTTPError):
                        self.wrong = f"{error.code}: {error.read()[:200]!r}"
                    continue
                if answer["refused"]:
                    self.wrong = f"refused: {answer}"
                self.answered.append(press["press"])
                break

    def lost(self) -> int:
        """How many answered presses are not in the run's file exactly once."""
        answered = list(self.answered)
        file = self.server.root / "kept" / "review" / "decisions.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        found = Counter(json.loads(line)["press"] for line in lines if line.endswith("}"))
        return sum(found[press] != 1 for press in answered)


def seen(moment: str, told: Told) -> bool:
    """Whether the moment is in what was told of the job since the last kill."""
    points = [event for event in told if event["type"] == "point"]
    return {
        "waits": any(event.get("state") == "queued" for event in told),
        "taken": any(event.get("state") == "running" for event in told),
        "message": any(event["type"] == "message" and "was killed" not in event["text"] for event in told),
        "point": len(points) >= 1,
        "third point": len(points) >= 3,
        "sample": any(event["type"] == "sample" for event in told),
        "nears its end": any(event["fraction"] > 0.85 for event in points),
        "stopping": len(points) >= 2,
        "over": any(event.get("state") == "succeeded" for event in told),
    }[moment]


class Trial:
    """Jobs of a server one after another, and what was read of the last one before it was killed."""

    def __init__(self, root: Path, what: str, rng: random.Random) -> None:
        self.server, self.what, self.rng = Server(root), what, rng
        self.jobs: list[str] = []
        self.told: Told = []
        self.right, self.running = True, 0
        self.reviewer = Reviewer(self.server)
        self.reviewer.start()

    def kill(self, number: int, moment: str) -> None:
        """Kills at the moment, and prints what was there before and after."""
        server = self.server
        since = len(self.told)
        while not self.jobs or not seen(moment, self.told[since:]):
            over = bool(self.jobs) and server.state(self.jobs[-1]) == "succeeded"
            if not self.jobs or (over and (moment != "over" or seen("over", self.told[:since]))):
                self.jobs.append(server.ask("/v1/train", ASKED | {"out": f"r{len(self.jobs)}"})["id"])
                self.told, since = [], 0
            self.goes_on()
            new = server.events(self.jobs[-1], len(self.told))
            self.told += new
            if not new:
                time.sleep(0.01)
        job = self.jobs[-1]
        if moment == "stopping" and server.state(job) == "running":
            server.ask(f"/v1/jobs/{job}/cancel", {})
        time.sleep(self.rng.uniform(0, LATER))
        self.told += server.events(job, len(self.told))
        state = server.state(job)
        self.running += state == "running"
        pressed = len(self.reviewer.answered)
        server.kill(self.what)
        now = server.events(job)
        whole = now[: len(self.told)] == self.told and [e["number"] for e in now] == list(range(1, len(now) + 1))
        lost = self.reviewer.lost()
        self.right &= whole and not lost and not self.reviewer.wrong
        kept = "kept" if whole else "NOT THE SAME"
        decided = "kept" if not lost else f"{lost} LOST"
        print(
            f"{self.what:7} {number:3}  {moment:14} {state:9} {len(self.told):6} {kept:13} {pressed:6} {decided:9} "
            f"{len(self.jobs):3} {self.reviewer.wrong}",
            flush=True,
        )
        self.told = now

    def goes_on(self) -> None:
        """A job that was stopped, or given up after deaths of its workers, which it must say, is resumed."""
        found = self.server.ask(f"/v1/jobs/{self.jobs[-1]}")
        if found["state"] == "failed":
            print(f"{self.what:7}      given up: {found['error']['message']}", flush=True)
            self.right &= "was killed" in found["error"]["message"]
        if found["state"] in ("failed", "cancelled"):
            self.server.ask(f"/v1/jobs/{self.jobs[-1]}/resume", {})

    def end(self) -> bool:
        """Whether nothing was lost, once the last job is over."""
        while self.right and self.server.state(self.jobs[-1]) != "succeeded":
            self.goes_on()
            time.sleep(0.3)
        self.reviewer.end.set()
        self.reviewer.join()
        self.server.stop()
        self.right &= Chain(self.server.root / "kept" / "review" / "decisions.jsonl").audit().holds
        return self.right


def whole(run: Run, unbroken: Run) -> bool:
    """Whether the run has the weights of the unbroken one, and its curve the steps in order and to the end."""
    steps = [row["step"] for row in run.lines("history.jsonl")]
    same = run.load_model() == unbroken.load_model()
    curve = steps == sorted(set(steps)) and steps[-1] == STEPS
    what = f"weights {'the same' if same else 'OTHER'}, curve {'whole' if curve else 'NOT WHOLE'}"
    print(f"{run.path.name} ended: {what}", flush=True)
    return same and curve


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng, right, running = random.Random(asked.seed), True, []
    with tempfile.TemporaryDirectory() as folder:
        unbroken = Path(folder) / "unbroken"
        settings = [part for change in ASKED["set"] for part in ("--set", change)]
        command = ["train", "digits", "--recipe", "vae", "--steps", str(STEPS), "--out", str(unbroken), *settings]
        for line in (command, ["make", str(unbroken), "-n", "4"]):
            subprocess.run([sys.executable, "-m", "karat", "--quiet", *line], check=True, env=ENV)
        print("killed   nr  when           job       events             decisions        of job")
        for what in ("server", "worker"):
            root = Path(folder) / what
            shutil.copytree(unbroken, root / "kept")
            trial = Trial(root, what, rng)
            moments = [MOMENTS[i % len(MOMENTS)] for i in range(asked.kills)]
            for number, moment in enumerate(rng.sample(moments, len(moments)), 1):
                trial.kill(number, moment)
            right &= trial.end()
            right &= all([whole(Run.open(path), Run.open(unbroken)) for path in sorted(root.glob("r[0-9]*"))])
            running.append(trial.running)
    hit = f"{running[0]} and {running[1]} of them hit a job that ran"
    print(f"{asked.kills} kills of each: {'nothing lost' if right else 'SOMETHING WAS LOST'}; {hit}")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
