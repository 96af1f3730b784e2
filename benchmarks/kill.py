"""Kills real trainings with SIGKILL at random moments, continues them, and compares the weights with an unbroken run's.

    python benchmarks/kill.py [--kills 20] [--seed 0]

Each run is killed twice, the second time while it continues. Prints a line a kill and ends with exit code 1 when a run
does not continue, or ends with other weights. One process imports torch; the trainings are forked from it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

from karat import cli
from karat.data import load
from karat.run import Run
from karat.worth.ledger import Ledger
from karat.worth.prices import find

TINY = {
    "vae": ("latent=8", "width=16", "hidden=32", "components=20", "iterations=10"),
    "gan": ("latent=8", "width=8", "critic_width=8", "critics=2", "every=4"),
    "diffusion": ("width=64", "vae.latent=8", "vae.width=16", "vae.hidden=32", "steps=3"),
}
STEPS = 50


def command(recipe: str, folder: Path) -> list[str]:
    settings = [part for change in TINY[recipe] for part in ("--set", f"model.{change}")]
    return [
        "train",
        "digits",
        "--recipe",
        recipe,
        "--steps",
        str(STEPS),
        "--out",
        str(folder),
        "--threads",
        "1",
        "--set",
        "train.precision=fp32",
        "--set",
        "train.save_seconds=0.1",
        *settings,
    ]


def start(arguments: list[str], log: Path) -> int:
    """The process id of a forked child that runs the command line."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        cli.main(arguments)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    finally:
        os._exit(code)


def wait(child: int) -> int:
    """The exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def finish(recipe: str, folder: Path, log: Path) -> tuple[float, int]:
    """Runs a training to its end, from the data or from where it is; seconds and exit code."""
    began = time.perf_counter()
    code = wait(start(proceed(recipe, folder), log))
    return time.perf_counter() - began, code


def proceed(recipe: str, folder: Path) -> list[str]:
    return ["train", str(folder), "--threads", "1"] if Run.is_run(folder) else command(recipe, folder)


def weights(folder: Path) -> str:
    """The name of the model's file, which holds the digest of its bytes."""
    return next((p.name for p in folder.glob("model-*.safetensors")), "no model")


def trial(recipe: str, folder: Path, whole: float, kills: int, chance: random.Random) -> list[str]:
    """One line for each kill of one run, then what became of the run."""
    lines, log = [], folder.with_suffix(".log")
    for _ in range(kills):
        moment = chance.uniform(0, whole)
        child = start(proceed(recipe, folder), log)
        time.sleep(moment)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        code = wait(child)
        status = Run.open(folder).spec["status"] if Run.is_run(folder) else "not begun"
        saves = len(list((folder / "checkpoints").glob("*.safetensors")))
        ended = "killed" if code == -signal.SIGKILL else f"ended ({code})"
        lines.append(f"{recipe:10} {ended} after {moment:6.3f} s of {whole:.3f}  status {status:12} saves {saves}")
        if status == "trained":
            break
    return lines


def main(tokens: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(tokens)
    torch.set_num_threads(1)
    chance, bad, done, runs = random.Random(asked.seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as place:
        os.environ["KARAT_CACHE"] = str(Path(place) / "cache")
        load("digits")  # what is slow to import is imported once here, and not in each fork
        torch.optim.Adam([torch.zeros(1, requires_grad=True)])
        unbroken: dict[str, tuple[float, str]] = {}
        while done < asked.kills:
            recipe = list(TINY)[runs % len(TINY)]
            if recipe not in unbroken:
                folder = Path(place) / f"unbroken-{recipe}"
                seconds, code = finish(recipe, folder, folder.with_suffix(".log"))
                if code != 0:
                    print(folder.with_suffix(".log").read_text(), file=sys.stderr)
                    return 1
                unbroken[recipe] = (seconds, weights(folder))
            whole, wanted = unbroken[recipe]
            folder = Path(place) / f"run-{runs}"
            lines = trial(recipe, folder, whole, min(2, asked.kills - done), chance)
            runs += 1
            done += sum(" killed after" in line for line in lines)  # those that had ended by then do not count
            if Run.is_run(folder) and Run.open(folder).spec["status"] == "trained":
                code = 0  # it had finished before the second kill
            else:
                _, code = finish(recipe, folder, folder.with_suffix(".log"))
            same = code == 0 and weights(folder) == wanted and Run.open(folder).spec["status"] == "trained"
            Ledger(folder / "ledger.jsonl", find(None, [])).entries()  # readable, however it was killed
            print("\n".join(lines))
            print(
                f"{'':10} continued to the end: {'the same weights' if same else f'BAD, exit code {code}'}", flush=True
            )
            if not same:
                bad += 1
                print(folder.with_suffix(".log").read_text(), file=sys.stderr)
    print(f"{done} kills of {runs} runs; {bad} runs that did not continue as if nothing had been")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
