"""Speed beside the articles' code, on one thread: pictures trained on per CPU second, in alternating short slices.

    python benchmarks/speed.py --data $KARAT_DATA/images/mnist

Ours is the recipe `dcgan` (the articles' network) in the real loop, in the precision that the probe chooses here. Theirs is
speed_keras.py, in an environment of its own, made on the first run under the cache folder. CPU seconds of each process
are counted, so other work on the machine delays the run but weighs on both sides alike. Then pictures per CPU second
that the recipe `vae` makes, from noise to bytes.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import numpy as np
import torch

from karat import recipe
from karat.cache import cache_folder
from karat.content.image.images import Images
from karat.data import batches, load
from karat.space import Grid
from karat.synthesizer import building
from karat.training import loop as training
from karat.training import pace

HERE = Path(__file__).parent
PEER = "tensorflow-cpu"


class Side:
    """A process that trains for as many CPU seconds as it is told, and answers how far it came."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        answer = self._line()
        if not answer.startswith("ready "):
            raise SystemExit(f"{name} did not start; it said {answer!r}.")
        self.about = answer.removeprefix("ready ").strip()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def rate(self, seconds: float) -> float:
        """Pictures per CPU second in the next slice."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        pictures, used = map(float, self._line().split())
        return pictures / used

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def serve(data: str, name: str) -> None:
    """Our side: the real loop over the recipe, as many CPU seconds as each line on stdin asks."""
    training.tune_machine(1)
    device, chosen, told = torch.device("cpu"), recipe.load(name), load(data)
    model = building.build(chosen, told.space, 0, seed=0)
    batch = batches(told, chosen.train.batch, 0, device)
    plan = training.Plan(samples=10**9, batch=chosen.train.batch, average=chosen.train.average)
    precision = pace.measure(model, batch, plan, training.State(), "auto", recipe.fingerprint(chosen), 4.0).best
    plan = training.Plan(samples=10**9, batch=plan.batch, average=plan.average, precision=precision)
    rounds = training.train(model, batch, plan, training.State())
    for _ in range(5):
        next(rounds)
    print(f"ready torch {torch.__version__}, {precision}", flush=True)
    for line in sys.stdin:
        wanted, began, count = float(line), time.process_time(), 0
        while time.process_time() - began < wanted:
            next(rounds)
            count += 1
        print(count * plan.batch, time.process_time() - began, flush=True)


def peer_python(given: str | None) -> str:
    """A Python that has the peer: the one given, else one of an environment made under the cache folder, once."""
    if given is not None:
        return given
    folder = cache_folder(None) / "peers" / "keras"
    python = folder / "bin" / "python"
    ready = python.exists() and not subprocess.run([python, "-c", "import tensorflow"], capture_output=True).returncode
    if not ready:
        print(f"Installing {PEER} into {folder} ...", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", PEER], check=True)
    return str(python)


def compare(args: argparse.Namespace) -> None:
    """Prints both speeds and their ratio, pair by pair."""
    python = peer_python(args.peer_python)
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures.npy"
        told = load(args.data)
        np.save(pictures, told.records("train"))
        theirs = Side("Keras", [python, str(HERE / "speed_keras.py"), str(pictures), "64"])
    ours = Side("Karat", [sys.executable, __file__, "--data", args.data, "--recipe", args.recipe, "--serve"])
    print(f"ours: {ours.about}; theirs: {theirs.about}; pictures per CPU second, {args.seconds} s a slice")
    pairs = []
    for k in range(args.pairs):
        pair = (ours.rate(args.seconds), theirs.rate(args.seconds))
        pairs.append(pair)
        print(
            f"  pair {k + 1}: ours {pair[0]:7.1f}   theirs {pair[1]:7.1f}   ratio {pair[0] / pair[1]:.2f}", flush=True
        )
    ours.close()
    theirs.close()
    ratios = [a / b for a, b in pairs]
    print(
        f"median: ours {statistics.median(a for a, _ in pairs):.1f}, theirs {statistics.median(b for _, b in pairs):.1f}, "
        f"ratio {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} pairs)"
    )


def make(count: int, repeats: int) -> None:
    """Prints how many 28 x 28 pictures per CPU second the recipe `vae` makes, from chance to bytes."""
    training.tune_machine(1)
    model = building.build(recipe.load("vae"), Grid(1, (28, 28)), 0, seed=0).eval()
    codec = Images(1, 28, 28)
    rates = []
    for k in range(repeats + 1):
        began = time.process_time()
        records = codec.decode(model.sample(count, None, torch.Generator().manual_seed(k)))
        rates.append(count / (time.process_time() - began))
        assert records.shape == (count, 28, 28, 1) and records.dtype == np.uint8
    rates = rates[1:]  # the first folds the decoder and warms up
    print(
        f"vae makes {statistics.median(rates):,.0f} pictures per CPU second in batches of {count:,} "
        f"(from {min(rates):,.0f} to {max(rates):,.0f} in {repeats})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="28 x 28 grey pictures, for example the folder of MNIST")
    parser.add_argument("--recipe", default="dcgan")
    parser.add_argument("--peer-python", help=f"a Python that has {PEER}; none is installed then")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4.0, help="CPU seconds of a slice")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.data, args.recipe)
        return
    print(f"processor: {pace.processor()}", flush=True)
    compare(args)
    make(10_000, 5)


if __name__ == "__main__":
    main()
