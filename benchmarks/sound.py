"""Scores made spoken digits beside real ones: can they be read, told apart from real ones, heard, and are they copies.

    python benchmarks/sound.py runs/s --made 3000                 # a run: makes the recordings by class, then scores them
    python benchmarks/sound.py folder/                            # WAVs, one sub-folder per digit, from anywhere
    python benchmarks/sound.py --real                             # the floors: what unseen and training recordings score
    python benchmarks/sound.py runs/s --test 5:10                 # against other recordings than the last split's

Everything is measured on the WAV files, on a log-mel of the evaluator's own (peak 0.8, 64 bands, 64 frames of 16 ms,
70 dB), so that no front end judges itself. Recordings are `{digit}_{speaker}_{index}.wav`; those with an index in --test
(0:5 by default), or of --speaker, are unseen, and those above are what was learned from. One JSON line is printed:

label      % of the made that a classifier of real training recordings reads as what they were asked to be
tstr       accuracy on unseen recordings of a classifier trained on the made ones, over that of one trained on real ones
fd         Frechet distance of the classifier's 128 features to the unseen ones', whose covariance has trace 100
pixfd      the same in 64 principal directions of the log-mel
spread     trace of the covariance within classes, over that of the unseen
detail     mean |second difference| of the log-mel along frequency and along time where it is above -63 dB, over the unseen's
stripes    correlation of neighbouring frames' fine structure along frequency, over the unseen's: harmonics go on, grain does not
length     mean seconds to the last frame that is heard, over the unseen's
near       median and 1st percentile of the distance to the nearest training recording (shifts up to 4 frames), over the
           median and the 1st percentile of the unseen's: 1 is as new as they are, under 0.5 a copy
making     CPU seconds to make a second of sound, phase included (of a run)

KARAT_DATA names the data folder. The classifier of a split is kept in --cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from karat.training import pace

DATA = Path(os.environ.get("KARAT_DATA", Path(__file__).parents[2] / "shared" / "data")) / "audio" / "fsdd"
RATE, SAMPLES, HOP, WINDOW, MELS, FRAMES = 8000, 8064, 128, 512, 64, 64
HEARD = 2 * (70 - 63) / 70 - 1  # -63 dB


def read(path: Path) -> Tensor:
    """float32 [SAMPLES]: the recording with its peak at 0.8, cut with a fade or padded with zeros."""
    with wave.open(str(path)) as file:
        if file.getframerate() != RATE or file.getsampwidth() != 2:
            sys.exit(f"{path}: wanted 16 bits at {RATE} Hz.")
        raw = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
    x = torch.from_numpy(raw.astype(np.float32).mean(1))
    x = x * (0.8 / x.abs().max().clamp_min(1))
    if len(x) > SAMPLES:
        x = x[:SAMPLES].clone()
        x[-256:] *= torch.linspace(1, 0, 256)
    return F.pad(x, (0, SAMPLES - len(x)))


def filters() -> Tensor:
    """[MELS, WINDOW // 2 + 1]: HTK triangles from 20 to 4000 Hz, rows summing to 1."""
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (20.0, 4000.0))
    edges = 700 * (10 ** (np.linspace(low, high, MELS + 2) / 2595) - 1)
    hertz = np.linspace(0, RATE / 2, WINDOW // 2 + 1)
    up = (hertz[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - hertz[None]) / (edges[2:] - edges[1:-1])[:, None]
    w = np.maximum(0, np.minimum(up, down))
    w[w.sum(1) == 0, 0] = 1e-9
    return torch.from_numpy(w / w.sum(1, keepdims=True)).float()


def analyse(waves: Tensor) -> Tensor:
    """Log-mels [n, 64, 64] in [-1, 1] of waves [n, SAMPLES]."""
    window, bank = torch.hann_window(WINDOW), filters()
    out = []
    for part in waves.split(200):
        spectrum = torch.stft(part, WINDOW, HOP, window=window, center=True, pad_mode="constant", return_complex=True)
        decibels = 20 * ((bank @ spectrum.abs())[..., :FRAMES] / 30).clamp_min(1e-9).log10()
        out.append(decibels.clamp(-70, 0) / 35 + 1)
    return torch.cat(out)


class Classifier(nn.Module):
    """Log-mels [n, 64, 64] to ten odds; `features` gives the 128 numbers before them."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        c = 1
        for wide, stride in ((24, 2), (48, 2), (64, 1), (96, 2), (96, 1)):
            layers += [nn.Conv2d(c, wide, 3, stride, 1, bias=False), nn.BatchNorm2d(wide), nn.SiLU()]
            c = wide
        self.body = nn.Sequential(*layers)
        self.hidden = nn.Linear(2 * 96 * 8, 128)
        self.out = nn.Linear(128, 10)

    def features(self, x: Tensor) -> Tensor:
        h = self.body(x[:, None])
        return F.silu(self.hidden(torch.cat([h.mean(3), h.amax(3)], 1).flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(F.dropout(self.features(x), 0.3, self.training))
        return y


def disturb(x: Tensor, rng: torch.Generator) -> Tensor:
    """`x` [n, 64, 64] moved by up to 5 frames and 1 band, a stripe of each masked, a little louder or softer."""
    n = len(x)
    time_shift, band_shift = (torch.randint(-k, k + 1, (n, 1), generator=rng) for k in (5, 1))
    at = torch.arange(64)[None]
    rows, columns = at + band_shift, at + time_shift
    y = x[torch.arange(n)[:, None, None], rows.clamp(0, 63)[:, :, None], columns.clamp(0, 63)[:, None, :]]
    y = torch.where(((columns >= 0) & (columns < 64))[:, None], y, -1.0)
    for axis, widest in ((1, 6), (2, 8)):
        start, width = torch.randint(0, 64, (n, 1), generator=rng), torch.randint(0, widest + 1, (n, 1), generator=rng)
        hole = (at >= start) & (at < start + width)
        y = y.masked_fill(hole[:, :, None] if axis == 1 else hole[:, None], -1.0)
    gain = 0.1 * torch.randn(n, 1, 1, generator=rng)
    return torch.where(y > -1, (y + gain).clamp(-1, 1), y)


def learn(x: Tensor, y: Tensor, steps: int, seed: int) -> Classifier:
    """A classifier of `x` [n, 64, 64] with digits `y` [n]."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    net = Classifier().train()
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (64,), generator=rng)
        with torch.autocast("cpu", torch.bfloat16):
            odds = net(disturb(x[rows], rng))
        loss = F.cross_entropy(odds.float(), y[rows], label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    net.eval()
    return net


@torch.no_grad()
def through(call: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.cat([call(part) for part in x.split(256)])


def frechet(a: Tensor, b: Tensor) -> float:
    """Frechet distance of Gaussians fitted to `a` and `b` [n, d], scaled so that the covariance of `b` has trace 100."""
    a, b = a.double(), b.double()
    ca, cb = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(ca)
    root = vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cb @ root).clamp_min(0).sqrt().sum()
    distance = (a.mean(0) - b.mean(0)).square().sum() + ca.trace() + cb.trace() - 2 * cross
    return float(100 * distance / cb.trace())


def within(features: Tensor, y: Tensor) -> float:
    """Trace of the covariance within classes."""
    parts = [features[y == k] for k in range(10)]
    return float(sum((p - p.mean(0)).square().sum() for p in parts) / len(features))


def texture(x: Tensor) -> tuple[float, float, float]:
    """Mean |second difference| along frequency and time, and how fine structure goes on from frame to frame."""
    heard = x > HEARD
    f = (x[:, 2:] - 2 * x[:, 1:-1] + x[:, :-2]).abs()[heard[:, 1:-1]].mean()
    t = (x[:, :, 2:] - 2 * x[:, :, 1:-1] + x[:, :, :-2]).abs()[heard[:, :, 1:-1]].mean()
    smooth = F.avg_pool2d(x[:, None], (5, 1), 1, (2, 0), count_include_pad=False)[:, 0]
    fine = x - smooth
    both = heard[:, :, 1:] & heard[:, :, :-1]
    a, b = fine[:, :, 1:][both], fine[:, :, :-1][both]
    return float(f), float(t), float((a * b).mean() / (a.square().mean() * b.square().mean()).sqrt())


def length(x: Tensor) -> Tensor:
    """Seconds [n] to the last frame that is heard."""
    heard = x.mean(1) > -0.93
    last = (torch.arange(1, FRAMES + 1) * heard).amax(1)
    return last * HOP / RATE


def nearest(x: Tensor, others: Tensor, reach: int = 4) -> Tensor:
    """Distance [n] of each of `x` to the nearest of `others`, moved by up to `reach` frames either way."""
    small, big = (F.avg_pool2d(v[:, None], (2, 1))[:, 0] + 1 for v in (x, others))
    best = torch.full((len(x),), torch.inf)
    flat = big.flatten(1)
    for shift in range(-reach, reach + 1):
        moved = F.pad(small, (shift, -shift)).flatten(1)
        for part, into in zip(moved.split(500), best.split(500), strict=True):
            torch.minimum(into, torch.cdist(part, flat).amin(1), out=into)
    return best


class Judge:
    """Real recordings on both sides of the split, and the classifier of those that were learned from."""

    def __init__(self, test: str, speaker: str | None, cache: Path) -> None:
        low, high = (int(v) for v in test.split(":"))
        cache_entry = cache / "mels.npz"
        if not cache_entry.is_file():
            cache.mkdir(parents=True, exist_ok=True)
            paths = sorted(DATA.glob("*.wav"))
            x = analyse(torch.stack([read(p) for p in paths])).numpy()
            np.savez(cache_entry, x=x, names=np.array([p.stem for p in paths]))
        kept = np.load(cache_entry)
        parts = [str(name).split("_") for name in kept["names"]]
        every, y = torch.from_numpy(kept["x"]), torch.tensor([int(p[0]) for p in parts])
        index = torch.tensor([int(p[2]) for p in parts])
        if speaker is None:
            unseen, known = (index >= low) & (index < high), index >= high
        else:
            unseen = torch.tensor([p[1] == speaker for p in parts])
            known = ~unseen
        self.x, self.y, self.train_x, self.train_y = every[unseen], y[unseen], every[known], y[known]
        weights = cache / f"classifier-{test.replace(':', '-')}-{speaker}.pt"
        self.net = Classifier().eval()
        if weights.is_file():
            self.net.load_state_dict(torch.load(weights, weights_only=True))
        else:
            self.net = learn(self.train_x, self.train_y, 1000, 0)
            torch.save(self.net.state_dict(), weights)
        self.features = through(self.net.features, self.x)
        centred = self.train_x.flatten(1) - self.train_x.flatten(1).mean(0)
        self.basis = torch.pca_lowrank(centred, 64, center=False, niter=4)[2]
        self.near = nearest(self.x, self.train_x)

    def accuracy(self, net: Classifier) -> float:
        return float((through(net, self.x).argmax(1) == self.y).float().mean())

    def score(self, x: Tensor, y: Tensor, seeds: int) -> dict[str, Any]:
        """Figures of made log-mels `x` [n, 64, 64] that were asked to be `y` [n]; `seeds` classifiers learn from them."""
        features = through(self.net.features, x)
        f, t, stripes = (a / b for a, b in zip(texture(x), texture(self.x), strict=True))
        near = nearest(x, self.train_x)
        p1 = torch.tensor([0.5, 0.01])
        read = through(self.net, x).argmax(1) == y
        out: dict[str, Any] = {
            "made": len(x),
            "label": 100 * float(read.float().mean()),
            "worst": 100 * min(float(read[y == k].float().mean()) for k in y.unique().tolist()),
            "fd": frechet(features, self.features),
            "pixfd": frechet(x.flatten(1) @ self.basis, self.x.flatten(1) @ self.basis),
            "spread": within(features, y) / within(self.features, self.y),
            "detail_f": f,
            "detail_t": t,
            "stripes": stripes,
            "length": float(length(x).mean() / length(self.x).mean()),
            "near": [float(v) for v in near.quantile(p1) / self.near.quantile(p1)],
        }
        if seeds:
            ceiling = self.accuracy(self.net)
            out["ceiling"] = ceiling
            out["tstr"] = [self.accuracy(learn(x, y, 500, s)) / ceiling for s in range(seeds)]
        return out


def make(run: Path, n: int, folder: Path, seed: int) -> float:
    """Makes n // 10 recordings of each digit with the run; CPU seconds by its ledger for a second of sound."""
    before = len((run / "ledger.jsonl").read_text().splitlines())
    for digit in range(10):
        asked = ["-n", str(n // 10), "--class", str(digit), "--seed", str(seed + digit), "--threads", "1"]
        command = [
            sys.executable,
            "-m",
            "karat.cli",
            "make",
            str(run),
            *asked,
            "--out",
            str(folder / str(digit)),
            "--overwrite",
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    entries = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()[before:]]
    return float(sum(e["cpu_seconds"] for e in entries)) / (n // 10 * 10 * SAMPLES / RATE)


def folder_of(path: Path) -> tuple[Tensor, Tensor]:
    """Log-mels and digits of WAVs in sub-folders named by digit."""
    paths = sorted(p for p in path.glob("[0-9]/*.wav"))
    if not paths:
        sys.exit(f"{path} holds no WAVs in sub-folders 0 to 9.")
    return analyse(torch.stack([read(p) for p in paths])), torch.tensor([int(p.parent.name) for p in paths])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, nargs="*")
    parser.add_argument("--real", action="store_true", help="the floors")
    parser.add_argument("--made", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--test", default="0:5")
    parser.add_argument("--speaker", default=None)
    parser.add_argument("--tstr", type=int, default=1, help="classifiers trained on the made recordings")
    parser.add_argument("--cache", type=Path, default=Path("runs/bench/sound"))
    given = parser.parse_args()
    print(f"processor: {pace.processor()}", flush=True)
    torch.set_num_threads(1)
    judge = Judge(given.test, given.speaker, given.cache)
    if given.real:
        print(json.dumps({"path": "unseen", **judge.score(judge.x, judge.y, 0)}))
        print(json.dumps({"path": "training", **judge.score(judge.train_x, judge.train_y, given.tstr)}))
    for path in given.path:
        out: dict[str, Any] = {"path": str(path)}
        source = path
        if (path / "ledger.jsonl").is_file():
            source = path / f"made-{given.seed}-{time.time_ns()}"
            out["making"] = make(path, given.made, source, given.seed)
        print(json.dumps({**out, **judge.score(*folder_of(source), given.tstr)}), flush=True)


if __name__ == "__main__":
    main()
