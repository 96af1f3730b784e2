"""What `karat serve` can carry: pictures in a second drawn together and one by one, beside LitServe, and ten times too many.

    python benchmarks/serving.py RUN                       # batched against one by one, at 64 clients
    python benchmarks/serving.py RUN --litserve PYTHON     # and LitServe with the same model and gate, in the same run
    python benchmarks/serving.py RUN --load 600            # ten times the sustainable rate for ten minutes

RUN is a run of pictures, such as `karat train digits --recipe vae` makes. LitServe (https://github.com/Lightning-AI/LitServe)
is no part of Karat: `python -m venv DIR`, `DIR/bin/pip install litserve` and Karat itself there, and PYTHON is DIR/bin/python.

Every server is a process of its own and so are the clients; all share the cores of the machine. A picture in a CPU second of the
server's processes is told beside a picture in a second of the clock, since the latter says little on a machine that does other
things. Each answer is compared with the picture that its seed gives alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

CLIENTS, SEEDS, SECONDS = 64, 200, 15.0
SHARES = (("half", 0.5), ("99%", 0.99), ("99.9%", 0.999), ("all", 1.0))


@dataclass
class Seen:
    """Of one flood of requests.   statuses: how many answers of each; 0 for a broken connection.   slow: seconds of answers by
    status.   wrong: answers that were not what their seed gives alone."""

    statuses: Counter[int] = field(default_factory=Counter)
    slow: dict[int, list[float]] = field(default_factory=dict)
    wrong: int = 0
    hurried: int = 0  # refusals that said no time to come again

    def of(self, status: int, quantile: float) -> float:
        """Seconds that so many of the answers of a status took at most."""
        each = sorted(self.slow.get(status, [0.0]))
        return each[min(len(each) - 1, int(quantile * len(each)))]


class Connection:
    """One client's, kept open."""

    def __init__(self, port: int, path: str) -> None:
        self._port, self._path, self._streams = port, path, None

    async def ask(self, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        data = json.dumps(body).encode()
        head = f"POST {self._path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nContent-Type: application/json\r\n"
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:] if line)}
            content = await reader.readexactly(int(headers["content-length"]))
            if headers.get("connection") == "close":
                self.close()
            return int(lines[0].split()[1]), headers, content
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return 0, {}, b""

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def flood(
    port: int,
    path: str,
    run: str,
    seconds: float,
    clients: int,
    known: dict[int, str] | None,
    rate: float | None = None,
) -> Seen:
    """Requests of `clients`, each as soon as its last one was answered; or, of all together, `rate` in a second.

    known: the picture of each seed, for it to be compared with.
    """
    seen, end, rng = Seen(), time.monotonic() + seconds, random.Random(0)

    async def one(index: int) -> None:
        line = Connection(port, path)
        pause = 0.0 if rate is None else clients / rate
        turn = time.monotonic() + pause * index / clients
        while (now := time.monotonic()) < end:
            if turn > now:
                await asyncio.sleep(turn - now)
            seed, began = rng.randrange(SEEDS), time.monotonic()
            status, headers, content = await line.ask({"model": run, "prompt": "", "n": 1, "seed": seed})
            seen.statuses[status] += 1
            seen.slow.setdefault(status, []).append(time.monotonic() - began)
            if status == 200 and known is not None and picture(content) != known[seed]:
                seen.wrong += 1
            seen.hurried += status == 429 and "retry-after" not in headers
            turn = max(turn + pause, time.monotonic() - pause)
        line.close()

    await asyncio.gather(*(one(index) for index in range(clients)))
    return seen


def picture(content: bytes) -> str:
    return str(json.loads(content)["data"][0]["b64_json"])


async def alone(port: int, path: str, run: str) -> dict[int, str]:
    """The picture of each seed, one request at a time."""
    line, known = Connection(port, path), {}
    for seed in range(SEEDS):
        status, _, content = await line.ask({"model": run, "prompt": "", "n": 1, "seed": seed})
        assert status == 200, (status, content[:300])
        known[seed] = picture(content)
    line.close()
    return known


@contextlib.contextmanager
def serving(python: str, how: str, run: Path, waiting: int) -> Iterator[tuple[int, psutil.Process]]:
    """The port and the process of a server: `serve` below, or serving_lit.py."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python, __file__, str(run), "--serve", how, "--port", str(port), "--waiting", str(waiting)]
    if how == "litserve":
        command = [python, str(Path(__file__).with_name("serving_lit.py")), str(run), str(port)]
    with tempfile.TemporaryFile() as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        try:
            began = time.monotonic()
            while socket.socket().connect_ex(("127.0.0.1", port)):
                if process.poll() is not None or time.monotonic() > began + 120:
                    said.seek(0)
                    raise SystemExit(said.read().decode()[-2000:])
                time.sleep(0.05)
            yield port, psutil.Process(process.pid)
        finally:
            those = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            process.terminate()
            psutil.wait_procs(those, 5)
            for left in those:  # LitServe's go on without it
                with contextlib.suppress(psutil.Error):
                    left.kill()


def serve(how: str, run: Path, port: int, waiting: int) -> None:
    """In a process of its own: "together" is karat serve, "alone" the same where no two requests are drawn together."""
    from karat.options import ServeOptions
    from karat.server import running
    from karat.server.app import application
    from karat.synthesizer import together

    if how == "alone":
        together.SIZES = ()
    options = ServeOptions([run], waiting=waiting, root=run.parent, port=port)
    running.run(options, application, print)


def cpu(process: psutil.Process) -> float:
    """CPU seconds of a process and its children so far."""
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            times = each.cpu_times()
            total += times.user + times.system
    return total


def measured(python: str, how: str, run: Path, seconds: float, clients: int) -> tuple[float, float]:
    """Pictures in a second of the clock, and of the server's CPU."""
    path = "/predict" if how == "litserve" else "/v1/images/generations"
    with serving(python, how, run, 256) as (port, process):
        known = asyncio.run(alone(port, path, run.name))
        check = known if how != "litserve" else None
        asyncio.run(flood(port, path, run.name, 2.0, clients, check))  # warm
        before, began = cpu(process), time.monotonic()
        seen = asyncio.run(flood(port, path, run.name, seconds, clients, check))
        took, used = time.monotonic() - began, cpu(process) - before
    made = seen.statuses[200]
    print(
        f"{how:9} {made / took:7.1f} pictures/s, {made / used:7.1f} a CPU second ({used / took:.2f} cores); half of the answers in "
        f"{seen.of(200, 0.5) * 1e3:.0f} ms, 99% in {seen.of(200, 0.99) * 1e3:.0f} ms; wrong {seen.wrong}, "
        f"others {dict(seen.statuses - Counter({200: made}))}",
        flush=True,
    )
    return made / took, made / used


def compare(run: Path, litserve: str | None, seconds: float, clients: int, rounds: int) -> None:
    """Each server in turn, several times over, so that what else the machine does falls on all."""
    hows = ["together", "alone", *(["litserve"] if litserve else [])]
    rates: dict[str, list[tuple[float, float]]] = {how: [] for how in hows}
    for _ in range(rounds):
        for how in hows:
            python = litserve if how == "litserve" and litserve else sys.executable
            rates[how].append(measured(python, how, run, seconds, clients))
    for other in hows[1:]:
        pairs = list(zip(rates["together"], rates[other], strict=True))
        for name, k in (("clock", 0), ("CPU", 1)):
            each = [a[k] / b[k] for a, b in pairs]
            print(f"together / {other}, by {name}: {', '.join(f'{ratio:.2f}' for ratio in each)}")


def probe(port: int, path: str, run: str, seconds: float) -> None:
    """Prints how long answers took for one who asks fifty times a second, in a process of his own.

    The thousand who ask share one process, and what each of them waits for the others there is no matter of the server's.
    """
    seen = asyncio.run(flood(port, path, run, seconds, 10, None, 50.0))
    for status in sorted(seen.slow):
        took = ", ".join(f"{name} in {seen.of(status, q) * 1e3:.0f} ms" for name, q in SHARES)
        print(f"beside them, {seen.statuses[status]} answers of {status}: {took}", flush=True)


def load(run: Path, seconds: float) -> None:
    """Ten times the rate that the server can sustain, which is measured first."""
    path = "/v1/images/generations"
    with serving(sys.executable, "together", run, 256) as (port, process):
        known = asyncio.run(alone(port, path, run.name))
        asyncio.run(flood(port, path, run.name, 3.0, CLIENTS, known))
        began = time.monotonic()
        sustained = asyncio.run(flood(port, path, run.name, 10.0, CLIENTS, known)).statuses[200] / (
            time.monotonic() - began
        )
        print(
            f"sustained: {sustained:.1f} pictures/s; now {10 * sustained:.0f} requests/s for {seconds:.0f} s",
            flush=True,
        )
        parts, memory = 10, []
        mine, theirs = time.process_time(), cpu(process)
        whole = Seen()
        beside = [sys.executable, __file__, str(run), "--probe", str(seconds), "--port", str(port)]
        witness = subprocess.Popen(beside, stdout=subprocess.PIPE, text=True)
        for _ in range(parts):
            seen = asyncio.run(flood(port, path, run.name, seconds / parts, 1000, known, 10 * sustained))
            memory.append(process.memory_info().rss / 1e6)
            whole.statuses += seen.statuses
            whole.wrong, whole.hurried = whole.wrong + seen.wrong, whole.hurried + seen.hurried
            for status, each in seen.slow.items():
                whole.slow.setdefault(status, []).extend(each)
            print(f"  {dict(seen.statuses)}, {memory[-1]:.0f} MB", flush=True)
        mine, theirs = time.process_time() - mine, cpu(process) - theirs
        print(witness.communicate()[0], end="")
        after = asyncio.run(flood(port, path, run.name, 3.0, 4, known))
    asked = sum(whole.statuses.values())
    print(f"CPU us a request: the clients {mine / asked * 1e6:.0f}, the server {theirs / asked * 1e6:.0f}")
    print(f"asked {asked / seconds:.0f} a second, answered {dict(whole.statuses)}, wrong {whole.wrong}")
    took = ", ".join(f"{name} in {whole.of(429, q) * 1e3:.0f} ms" for name, q in SHARES)
    print(f"refusals, by the clock of the thousand: {took}; {whole.hurried} without Retry-After")
    half = memory[parts // 2 :]
    print(f"memory of the last half: {min(half):.0f} to {max(half):.0f} MB ({max(half) / min(half) - 1:.1%} apart)")
    print(f"after it: {dict(after.statuses)}, half in {after.of(200, 0.5) * 1e3:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--litserve", metavar="PYTHON", help="an interpreter that has litserve and karat")
    parser.add_argument("--load", type=float, metavar="SECONDS", help="ten times the sustainable rate for so long")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--rounds", type=int, default=3)
    for hidden in ("--serve", "--port", "--waiting", "--probe"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve, asked.run, int(asked.port), int(asked.waiting))
        return
    if asked.probe:
        probe(int(asked.port), "/v1/images/generations", asked.run.name, float(asked.probe))
        return
    busy = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, of which {busy:.1f} were busy with other things before", flush=True)
    if asked.load:
        load(asked.run, asked.load)
    else:
        compare(asked.run, asked.litserve, asked.seconds, asked.clients, asked.rounds)


if __name__ == "__main__":
    main()
