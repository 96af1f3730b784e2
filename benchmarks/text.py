"""Trains karat and a peer on one text, weighs its last part by each, times how fast each writes, and prints the ratios.

    python benchmarks/text.py --text tinyshakespeare.txt --recipes autoregressive ngram --peers gpt2 --env gpt2=PYTHON

The peer runs in an environment of its own, of which --env names the Python (`pip install torch transformers`). One process
at a time, one thread each, CPU seconds throughout. Karat is trained by `karat train --holdout last:SHARE` as a person calls
it, so that its seconds count importing, reading and saving; the peer's are of its training loop alone, which favours it.
Bits per character are of the whole of the last part, on end, in windows no longer than each learned from. Characters per
CPU second are of sampling at temperature 1, batches of --batches, key-value caches and priors included, 256 steps.

Every row is appended to --out as JSON as soon as it is there, and rows that are there already are not made again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from karat.synthesizer import load, load_codec
from karat.training import pace

HERE = Path(__file__).parent
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SPOKEN = 256  # characters of a sequence that is made

Row = dict[str, Any]


def run(command: list[str]) -> tuple[str, float]:
    """What a command says, on one thread and without a GPU, and its CPU seconds; SystemExit where it ends badly."""
    env = os.environ | dict.fromkeys(THREADS, "1") | {"CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        said, complained = out.read(), err.read()
    if process.returncode:
        raise SystemExit(
            f"{' '.join(command[:4])} ... ended with {process.returncode}: {(complained or said)[-800:].strip()}"
        )
    return said, used.ru_utime + used.ru_stime


def karat_row(recipe: str, text: str, aside: float, minutes: float, batches: list[int], seed: int, place: Path) -> Row:
    """Trains with karat's own command line, then weighs and writes in another process."""
    command = [sys.executable, "-m", "karat.cli", "train", text, "--holdout", f"last:{aside:g}", "--out", str(place)]
    command += ["--recipe", recipe, "--minutes", f"{minutes:g}", "--set", "train.clock=cpu"]
    _, spent = run([*command, "--seed", str(seed), "--threads", "1"])
    given = ["--measure", str(place), "--text", text, "--aside", str(aside), "--seed", str(seed)]
    said, _ = run([sys.executable, str(HERE / "text.py"), *given, "--batches", *map(str, batches)])
    answer: Row = json.loads(said.splitlines()[-1])
    return answer | {"train": spent}


def measure(place: Path, text: str, aside: float, batches: list[int], seed: int) -> Row:
    """What a finished run of karat gives."""
    import torch

    from karat import data
    from karat.run import Run

    torch.set_num_threads(1)
    done = Run.open(place)
    codec = load_codec(done)
    model = load(done, torch.device("cpu")).model
    held = data.load(Path(text), holdout=f"last:{aside:g}", seed=seed, codec=codec)
    nats = characters = 0.0
    for codes, long, _ in held.codec.streams(held.contents, held.holdout):
        nats, characters = nats + float(model.nll(codes).double().sum()), characters + long
    answer: Row = {"weights": sum(p.numel() for p in model.parameters()), "bits": nats / characters / math.log(2)}
    for n in batches:
        start = codec.opening(None)[None].expand(n, -1)
        for most in (8, SPOKEN):  # the first warms up
            began, made = time.process_time(), 0
            for step in model.continuation(start, None, torch.Generator().manual_seed(seed), most=most):
                made += int((step > 0).sum())
            spent = time.process_time() - began
        answer[f"speed_{n}"] = made / spent
    return answer


def peer_row(python: str, peer: str, text: str, aside: float, seconds: float, batches: list[int], seed: int) -> Row:
    command = [
        python,
        str(HERE / "peers" / f"peer_{peer}.py"),
        "--text",
        text,
        "--aside",
        str(aside),
        "--seed",
        str(seed),
    ]
    said, _ = run([*command, "--seconds", str(seconds), "--batches", *map(str, batches)])
    answer: Row = json.loads(said.splitlines()[-1])
    return answer


def table(rows: list[Row], batches: list[int]) -> str:
    """Medians over the seeds in Markdown, and karat's speed over the peer's."""
    columns = ["train", "bits", *(f"speed_{n}" for n in batches)]
    heads = ["train CPU s", "bits/character", *(f"characters/CPU s, batch {n}" for n in batches)]
    names = list(dict.fromkeys(row["who"] for row in rows))
    middle = {
        name: {c: statistics.median(row[c] for row in rows if row["who"] == name) for c in columns} for name in names
    }
    lines = ["| | seeds | " + " | ".join(heads) + " |", "|" + "---|" * (len(heads) + 2)]
    for name in names:
        seeds = sum(row["who"] == name for row in rows)
        cells = [
            f"{v:.3f}" if c == "bits" else f"{v:,.1f}" if v < 100 else f"{v:,.0f}" for c, v in middle[name].items()
        ]
        lines.append(f"| {name} | {seeds} | " + " | ".join(cells) + " |")
    for ours in (name for name in names if name.startswith("karat ")):
        for peer in (name for name in names if not name.startswith("karat ")):
            ratios = [
                f"{middle[ours][c] - middle[peer][c]:+.3f}"
                if c == "bits"
                else f"{middle[ours][c] / middle[peer][c]:.2f}x"
                for c in columns
            ]
            lines.append(f"| {ours} / {peer} | | " + " | ".join(ratios) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True)
    parser.add_argument("--aside", type=float, default=0.1, help="the last share, which nobody learns from")
    parser.add_argument("--recipes", nargs="*", default=["autoregressive", "ngram"])
    parser.add_argument("--peers", nargs="*", default=["gpt2"])
    parser.add_argument("--env", nargs="*", default=[], metavar="PEER=PYTHON")
    parser.add_argument("--minutes", type=float, default=2.0, help="CPU minutes to train for")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32, 256])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--out", default="text.jsonl")
    parser.add_argument("--folder", default="runs/text", help="for runs, removed afterwards")
    args = parser.parse_args()
    print(f"processor: {pace.processor()}", flush=True)
    if args.measure:
        print(json.dumps(measure(Path(args.measure), args.text, args.aside, args.batches, args.seed)))
        return
    pythons = dict(each.split("=", 1) for each in args.env)
    if missing := set(args.peers) - set(pythons):
        parser.error(f"--env names no Python for {', '.join(sorted(missing))}")
    out = Path(args.out)
    rows: list[Row] = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    for seed in args.seeds:
        for who in [*(f"karat {name}" for name in args.recipes), *args.peers]:
            if any(row["who"] == who and row["seed"] == seed for row in rows):
                continue
            if who.startswith("karat "):
                place = Path(args.folder) / f"{who.removeprefix('karat ')}-{seed}"
                shutil.rmtree(place, ignore_errors=True)
                place.parent.mkdir(parents=True, exist_ok=True)
                recipe = who.removeprefix("karat ")
                row = karat_row(recipe, args.text, args.aside, args.minutes, args.batches, seed, place)
                shutil.rmtree(place)
            else:
                row = peer_row(pythons[who], who, args.text, args.aside, 60 * args.minutes, args.batches, seed)
            rows.append({"who": who, "seed": seed} | row)
            with out.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(f"{who}, seed {seed}: {row['bits']:.3f} bits", file=sys.stderr, flush=True)
    print(table(rows, args.batches))


if __name__ == "__main__":
    main()
