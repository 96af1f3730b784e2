"""What the standard assay of 10,000 against 10,000 costs, in CPU seconds on one thread, and its scores beside public programs.

    python benchmarks/assay_speed.py                                  # all of it
    python benchmarks/assay_speed.py --only Adult --profile           # one kind, and where its time goes
    python benchmarks/assay_speed.py --only tinyshakespeare --text FOLDER --length 200   # longer passages of another text
    python benchmarks/assay_speed.py --only scores --rounds 5         # precision, recall, density, coverage, Frechet distance

Real records take the place of made ones: as many unseen ones beside them, and the rest, at most 40,000, to learn from. Where
data hold too few records, some are there again with a little noise, so that their findings say nothing. Pictures and sounds
are assayed twice: at first the judge's extractor is fitted too, then it is known.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import io
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from karat.assays.evaluation import evaluate
from karat.assays.points.fidelity import frechet
from karat.assays.points.neighbourhoods import prdc
from karat.data import Data, load
from karat.training import pace
from karat.views import Points, View

LEARNED = 40_000
GOALS = {"MNIST": 60, "Adult": 20, "tinyshakespeare": 60, "spoken digits": 60}
PATHS: dict[str, tuple[str, dict[str, Any]]] = {
    "MNIST": ("images/mnist", {}),
    "Adult": ("tables/adult-train.csv", {"target": "income"}),
    "tinyshakespeare": ("text/tinyshakespeare.txt", {"length": 40}),
    "spoken digits": ("audio/fsdd", {"labels": "{label}_{speaker}_{n}"}),
}


def sides(data: Data, n: int) -> tuple[View, View, View]:
    """Training, unseen and made records: real ones, drawn again where there are fewer than three times `n`."""
    rng = np.random.default_rng(0)
    order = rng.permutation(np.concatenate([data.train, data.holdout]))
    own = min(n, len(order) // 3)
    parts = order[2 * own :][:LEARNED], order[:own], order[own : 2 * own]
    train, unseen, made = (np.sort(rows) for rows in parts)
    codec = data.codec.judging(data.contents.records[train])
    data = replace(data, codec=codec)
    views = [codec.view(data.contents.records[rows]).known(data.known(rows)) for rows in (train, unseen, made)]
    return views[0], *(grown(view, n, seed) for seed, view in enumerate(views[1:]))


def grown(view: View, n: int, seed: int) -> View:
    """Points of which there are fewer than `n`, with more of the same with noise; others as they are."""
    if not isinstance(view, Points) or len(view.points) >= n:
        return view
    rng = torch.Generator().manual_seed(seed)
    rows = torch.arange(n) % len(view.points)
    points = view.points[rows]
    noise = 0.02 * torch.randn(points.shape, generator=rng) * (torch.arange(n) >= len(view.points)).view(-1, 1, 1, 1)
    facets = {name: values[rows.numpy()] for name, values in view.facets.items()}
    labels = None if view.labels is None else view.labels[rows]
    if view.described is None:
        view = replace(view, descriptors={name: values[rows.numpy()] for name, values in view.descriptors.items()})
    return replace(view, points=(points + noise).clamp(-1, 1), labels=labels, facets=facets)


def spent(what: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, and what came of them."""
    began = time.process_time()
    out = what()
    return time.process_time() - began, out


def assayed(name: str, n: int, profile: bool, folder: Path | None, text: Path | None, length: int | None) -> None:
    """Prints a row of the table for one kind, the report's raised findings beside it.

    text, length: another text than tinyshakespeare, and how many characters a passage of it has.
    """
    place, options = PATHS[name]
    if name == "tinyshakespeare":
        place, options = place if text is None else str(text), options if length is None else {"length": length}
    data = load(Path(os.environ["KARAT_DATA"]) / place, options=options)
    three = sides(data, n)
    sizes = [len(view) for view in three]  # type: ignore[arg-type]
    kinds = ["extractor fitted too", "extractor known"] if isinstance(three[0], Points) else ["all of it"]
    for kind in kinds:
        watch = cProfile.Profile()
        if profile:
            watch.enable()
        seconds, found = spent(lambda: evaluate(*three, fingerprint=data.fingerprint, target=data.target))
        watch.disable()
        raised = ", ".join(f.name for f in found.findings if f.raised) or "none"
        cells = (
            name,
            f"{sizes[0]:,}",
            f"{sizes[1]:,} and {sizes[2]:,}",
            kind,
            f"{seconds:.1f}",
            str(GOALS[name]),
            raised,
        )
        print(f"| {' | '.join(cells)} |", flush=True)
        if profile:
            pstats.Stats(watch).sort_stats("cumulative").print_stats(70)
        if folder is not None:
            lines = [f"{f.name}: {f.state}: {f.summary}" for f in found.findings]
            (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def scores(n: int, rounds: int) -> None:
    """Prints what our scores and those of prdc and torchmetrics cost on the same features, and how far they are apart."""
    print(
        f"\n| {n:,} against {n:,} | ours, CPU s | public, CPU s | times | largest difference, of the value |\n|---|---|---|---|---|"
    )
    with contextlib.redirect_stdout(io.StringIO()):  # prdc says its sizes
        a, b = features(n, 64)
        _row("precision, recall, density, coverage of 64 features", lambda: prdc(a, b, 5), lambda: public(a, b), rounds)
    for width, times in ((64, rounds), (2048, 1)):
        a, b = features(n, width)
        name = f"Frechet distance of {width:,} features"
        _row(name, lambda a=a, b=b: (frechet(a, b),), lambda a=a, b=b: (fid(a, b),), times)  # type: ignore[misc]


def features(n: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Real and made ones, float32 [n, width], whose columns go together."""
    rng = torch.Generator().manual_seed(0)
    basis = torch.randn(width, width, generator=rng) / width**0.5
    real, made = (torch.randn(n, width, generator=rng) @ basis for _ in range(2))
    return real, 0.9 * made + 0.1


def public(a: torch.Tensor, b: torch.Tensor) -> tuple[float, ...]:
    """Precision, recall, density and coverage by the package prdc."""
    from prdc import compute_prdc

    return tuple(map(float, compute_prdc(a.numpy(), b.numpy(), 5).values()))


def fid(a: torch.Tensor, b: torch.Tensor) -> float:
    """The Frechet distance by torchmetrics, as it is used: a batch of 100 at a time."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Same(torch.nn.Module):
        num_features = a.shape[1]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    metric = FrechetInceptionDistance(feature=Same(), input_img_size=(a.shape[1], 1, 1))
    for side, real in ((a, True), (b, False)):
        for part in side.split(100):
            metric.update(part, real=real)
    return float(metric.compute())


def _row(name: str, ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> None:
    times: list[tuple[float, float]] = []
    for _ in range(rounds):
        (mine, x), (other, y) = spent(ours), spent(theirs)
        times.append((mine, other))
    apart = max(abs(p - q) / max(abs(q), 1e-12) for p, q in zip(x, y, strict=True))
    mine, other = (sorted(t)[len(t) // 2] for t in zip(*times, strict=True))
    print(f"| {name} | {mine:.3f} | {other:.3f} | {other / mine:.1f} | {apart:.0e} |", file=sys.__stdout__, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*PATHS, "scores"], default=[*PATHS, "scores"])
    parser.add_argument("-n", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5, help="of the scores, of which the median is printed")
    parser.add_argument(
        "--text", type=Path, help="a text in the place of tinyshakespeare, anything that karat reads as one"
    )
    parser.add_argument("--length", type=int, help="characters of a passage, in the place of 40")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--findings", type=Path, help="a folder that gets the sentences of each report")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{pace.processor()}, torch {torch.__version__}\n")
    print(
        "| data | learned from | unseen and made | | CPU s | goal | raised |\n|---|---|---|---|---|---|---|", flush=True
    )
    with tempfile.TemporaryDirectory() as cache:
        os.environ["KARAT_CACHE"] = cache
        for name in args.only:
            if name == "scores":
                scores(args.n, args.rounds)
            else:
                assayed(name, args.n, args.profile, args.findings, args.text, args.length)


if __name__ == "__main__":
    sys.exit(main())
