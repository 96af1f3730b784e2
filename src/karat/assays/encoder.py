"""The judge's own feature extractor: an encoder fitted to the real training split, or a pretrained one; never the generator's.

A feature vector has three parts: what the encoder reads in a record (its last layer, which ignores small shifts), the
texture that it saw on the way (channel means and spreads of its first layers) and the leading principal components of
the points themselves, so that neither blur nor noise nor a shift of the whole set is invisible to the judge. Each part
has a fixed share of the variance, and the variance of the training features sums to 100.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from karat.cache import cache_folder, trim
from karat.errors import DataError, FitError, KaratError
from karat.output import write_whole

VERSION = 2  # of everything below that changes a feature: part of the cache's key
BATCH = 128
PARTS = (0.6, 0.2, 0.2)  # shares of the variance: content, texture, principal components
VARIANCE = 100.0


class Sight(nn.Module):
    """A compact encoder: points [n, *shape] to content [n, 64] and texture [n, t]; logits [n, classes] from content."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.pictures = len(shape) == 3
        if self.pictures:
            fold = max(1, round(min(shape[1:]) / 16))  # any size comes down to about 16 x 16, so the cost hardly grows
            self.first: nn.Module = _block(shape[0], 16, fold + 2, fold)
            self.second: nn.Module = _block(16, 32, 3, 2)
            self.third: nn.Module = nn.Sequential(_block(32, 64, 3, 2), nn.AdaptiveAvgPool2d(2), nn.Flatten())
            self.last = nn.Linear(256, 64)
        else:
            self.first = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 128), nn.BatchNorm1d(128), nn.ReLU())
            self.second = nn.Sequential(nn.Linear(128, 128), nn.BatchNorm1d(128), nn.ReLU())
            self.third = nn.Identity()
            self.last = nn.Linear(128, 64)
        self.classify = nn.Linear(64, max(classes, 1))

    def embed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Content [n, 64] and texture [n, t] of points `x`."""
        one = self.first(x)
        two = self.second(one)
        content = F.relu(self.last(self.third(two)))
        if not self.pictures:
            return content, one
        one, two = one.flatten(2), two.flatten(2)
        return content, torch.cat([one.mean(2), one.std(2), two.mean(2), two.std(2)], 1)


def _block(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class OwnEncoder(nn.Module):
    """A fitted `Sight` with the pixel components and the scale of each part: points to (features, logits)."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.sight = Sight(shape, classes)
        texture = 96 if len(shape) == 3 else 128
        parts = min(32, math.prod(shape))
        self.register_buffer("centre", torch.zeros(math.prod(shape)))
        self.register_buffer("components", torch.zeros(math.prod(shape), parts))
        self.register_buffer("middle", torch.zeros(64 + texture + parts))
        self.register_buffer("scale", torch.ones(64 + texture + parts))

    def raw(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        content, texture = self.sight.embed(x)
        flat = x.flatten(1).float()
        return content, texture, (flat - self.get_buffer("centre")) @ self.get_buffer("components")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        parts = self.raw(x)
        features = (torch.cat(parts, 1).float() - self.get_buffer("middle")) * self.get_buffer("scale")
        return features, self.sight.classify(parts[0])


class FeatureExtractor:
    """How the judge sees records; `accuracy` is that of `read` on a slice of the training split kept from the fit."""

    def __init__(self, encoder: nn.Module, shape: tuple[int, ...], classes: int, accuracy: float | None, source: str):
        self.encoder = encoder.eval()
        self.shape = shape
        self.classes = classes
        self.accuracy = accuracy
        self.source = source  # for the report: whose extractor it is

    def embed(self, points: Tensor, batch: int = 500) -> tuple[Tensor, Tensor | None]:
        """What `features` and `read` give for `points` [n, *shape], at the cost of one."""
        features, logits = (torch.cat(parts) for parts in zip(*self._look(points, batch), strict=True))
        return features, logits.float().softmax(1) if self.classes else None

    def features(self, points: Tensor, batch: int = 500) -> Tensor:
        """Features float32 [n, d] of `points` [n, *shape], row by row: the batch size changes nothing but the speed."""
        return self.embed(points, batch)[0]

    def read(self, points: Tensor, batch: int = 500) -> Tensor | None:
        """Class probabilities [n, classes], or None where the extractor was fitted without labels."""
        return self.embed(points, batch)[1]

    @torch.no_grad()
    def _look(self, points: Tensor, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        if tuple(points.shape[1:]) != self.shape:
            raise DataError(
                f"records of shape {tuple(points.shape[1:])} met an extractor fitted to {self.shape}; "
                "bring the records to that shape, or open a new one on data like them"
            )
        device = next(self.encoder.parameters()).device
        for start in range(0, len(points), batch):
            features, logits = self.encoder(points[start : start + batch].to(device).float())
            yield features.float().to(points.device), logits.to(points.device)


def open_extractor(
    points: Tensor,
    labels: Tensor | None,
    classes: int,
    *,
    fingerprint: str,
    seed: int = 0,
    cache: Path | None = None,
    device: str | torch.device = "cpu",
    pretrained: Path | None = None,
) -> FeatureExtractor:
    """FeatureExtractor fitted to the real training `points` [n, *shape] and `labels` [n]; from the cache where it has them.

    The same data and seed give the same extractor on a CPU. `cache` defaults to $KARAT_CACHE, else ~/.cache/karat; a file
    there that cannot be read or does not match its own checksum is replaced. Raises DataError for fewer than 8 points.
    """
    if len(points) < 8:
        raise DataError(
            f"{len(points)} training records are too few to fit the judge's feature extractor; give at least 8"
        )
    shape = tuple(points.shape[1:])
    classes = 0 if labels is None else classes
    if pretrained is not None:
        return _borrow(pretrained, points, labels, classes, shape, device)
    path = cache_folder(cache) / f"extractor-{_key(points, labels, classes, fingerprint, seed)}.safetensors"
    encoder = OwnEncoder(shape, classes)
    accuracy = _load(path, encoder)
    if accuracy is None:
        accuracy = _fit(encoder, points, labels, classes, seed, torch.device(device))
        with contextlib.suppress(OSError, KaratError):  # where it cannot be kept it is fitted again
            _save(path, encoder.cpu(), accuracy)
    source = "fitted to the labels of the training split" if classes else "fitted to the training split without labels"
    return FeatureExtractor(encoder.to(device), shape, classes, None if math.isnan(accuracy) else accuracy, source)


def _fit(
    encoder: OwnEncoder, points: Tensor, labels: Tensor | None, classes: int, seed: int, device: torch.device
) -> float:
    with torch.random.fork_rng(devices=[]):  # the weights' start comes from `seed`, and nobody else's stream moves
        torch.manual_seed(seed)
        fresh = OwnEncoder(tuple(points.shape[1:]), classes)
        projector = nn.Sequential(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 128))
    encoder.load_state_dict(fresh.state_dict())
    encoder.to(device).train()
    rng = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(points), generator=rng)
    kept, rest = order[: min(2000, len(points) // 20)], order[min(2000, len(points) // 20) :]
    if labels is None:
        _fit_alone(encoder.sight, projector.to(device), points, rest, rng, device)
    else:
        _fit_labels(encoder.sight, points, labels, rest, rng, device)
    encoder.eval()
    _measure(encoder, points[order[:5000]], device)
    if labels is None or not len(kept):
        return math.nan
    read = FeatureExtractor(encoder, tuple(points.shape[1:]), classes, None, "").read(points[kept])
    assert read is not None
    return float((read.argmax(1) == labels[kept]).float().mean())


def _steps(n: int, most: int, batch: int) -> int:
    """Three looks at each record, more of a small set (at least 25,000 looks, at most 25 each), at most `most`."""
    return min(max(3 * n, min(25_000, 25 * n)), most) // batch


def _descend(parameters: list[nn.Parameter], steps: int, loss: Callable[[], Tensor]) -> None:
    adam = torch.optim.AdamW(parameters, lr=4e-3, weight_decay=1e-2)
    rate = torch.optim.lr_scheduler.OneCycleLR(adam, 5e-3, total_steps=steps, pct_start=0.15)
    for _ in range(steps):
        adam.zero_grad(set_to_none=True)
        loss().backward()
        adam.step()
        rate.step()


def _fit_labels(
    sight: Sight, points: Tensor, labels: Tensor, rows: Tensor, rng: torch.Generator, device: torch.device
) -> None:
    reach = 0 if not sight.pictures else 1 if min(points.shape[2:]) < 16 else 2
    size = min(BATCH, len(rows))

    def loss() -> Tensor:
        pick = rows[torch.randint(len(rows), (size,), generator=rng)]
        x, y = points[pick].to(device), labels[pick].to(device)
        if reach:  # a small shift of the batch: the content should not be a pixel template
            dy, dx = (int(v) for v in torch.randint(-reach, reach + 1, (2,), generator=rng))
            x = torch.roll(x, (dy, dx), (2, 3))
        with _narrow(device):
            logits = sight.classify(sight.embed(x)[0])
        return F.cross_entropy(logits.float(), y, label_smoothing=0.05)

    _descend(list(sight.parameters()), _steps(len(rows), 120_000, size), loss)


def _fit_alone(
    sight: Sight, projector: nn.Module, points: Tensor, rows: Tensor, rng: torch.Generator, device: torch.device
) -> None:
    """VICReg (https://arxiv.org/abs/2105.04906, eq. 6): two views agree, no feature dies, none repeats another."""
    size = min(2 * BATCH, len(rows))

    def loss() -> Tensor:
        x = points[rows[torch.randint(len(rows), (size,), generator=rng)]]
        both = torch.cat([_view(x, rng), _view(x, rng)]).to(device)
        with _narrow(device):
            out = projector(sight.embed(both)[0])
        a, b = out.float().chunk(2)
        total = 25 * F.mse_loss(a, b)
        for z in (a - a.mean(0), b - b.mean(0)):
            covariance = z.T @ z / (len(z) - 1)
            spread = (covariance.diagonal() + 1e-4).sqrt()
            off = covariance.square().sum() - covariance.diagonal().square().sum()
            total = total + 12.5 * F.relu(1 - spread).mean() + off / z.shape[1]
        return total

    _descend([*sight.parameters(), *projector.parameters()], _steps(len(rows), 75_000, size), loss)


def _view(x: Tensor, rng: torch.Generator) -> Tensor:
    """Another look at each record: moved, turned and scaled a little, with another contrast; never blurred."""
    n = len(x)

    def draw(*size: int) -> Tensor:
        return torch.rand(n, *size, generator=rng) * 2 - 1

    if x.ndim != 4:
        return x + 0.1 * draw(*x.shape[1:])
    turn, size = 0.2 * draw(), 1 + 0.15 * draw()
    cos, sin = turn.cos() * size, turn.sin() * size
    grid = torch.stack([torch.stack([cos, -sin, 0.15 * draw()], 1), torch.stack([sin, cos, 0.15 * draw()], 1)], 1)
    flow = F.affine_grid(grid, list(x.shape), align_corners=False)
    moved = F.grid_sample(x, flow, padding_mode="border", align_corners=False)
    return moved * (1 + 0.2 * draw(1, 1, 1)) + 0.1 * draw(1, 1, 1)


def _narrow(device: torch.device) -> Any:
    """bfloat16 on a graphics card. On processors it gains these small nets nothing, and costs eight times where it is
    imitated; in float32 all of them see nearly the same."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


@torch.no_grad()
def _measure(encoder: OwnEncoder, points: Tensor, device: torch.device) -> None:
    """Sets the principal components, and the scale that gives each part its share of the variance."""
    flat = points.flatten(1).double()
    encoder.get_buffer("centre").copy_(flat.mean(0))
    count = encoder.get_buffer("components").shape[1]
    if flat.shape[1] > 1024 and len(flat) > count + 16:  # the exact eigenproblem takes longer than the fit
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            vectors = torch.pca_lowrank(flat.float(), q=count + 16, niter=4)[2].double()
    else:
        vectors = torch.linalg.eigh(torch.cov(flat.T).reshape(flat.shape[1], -1))[1].flip(1)
    vectors = vectors * torch.where(vectors.sum(0) < 0, -1.0, 1.0)  # a sign of our own: LAPACK's is arbitrary
    encoder.get_buffer("components").copy_(vectors[:, :count])
    blocks = [encoder.raw(points[i : i + 500].to(device).float()) for i in range(0, len(points), 500)]
    content, texture, components = (torch.cat(part).double() for part in zip(*blocks, strict=True))
    middles, scales = [], []
    for part, share, even in zip((content, texture, components), PARTS, (False, True, False), strict=True):
        spread = part.std(0)
        alive = spread > 1e-3 * spread.max().clamp_min(1e-12)
        weight = torch.where(alive, 1 / spread.clamp_min(1e-12), 0.0) if even else alive.double()
        total = (part * weight).var(0).sum().clamp_min(1e-12)
        middles.append(part.mean(0))
        scales.append(weight * (VARIANCE * share / total).sqrt())
    encoder.get_buffer("middle").copy_(torch.cat(middles))
    encoder.get_buffer("scale").copy_(torch.cat(scales))


def _key(points: Tensor, labels: Tensor | None, classes: int, fingerprint: str, seed: int) -> str:
    some = slice(None, None, max(1, len(points) // 256))  # guards against one fingerprint used for two splits
    head = repr((VERSION, fingerprint, seed, classes, tuple(points.shape))).encode()
    seen = points[some].float().cpu().contiguous().numpy().tobytes()
    tail = b"" if labels is None else labels[some].long().cpu().contiguous().numpy().tobytes()
    return hashlib.sha256(head + seen + tail).hexdigest()[:32]


def _digest(weights: dict[str, Tensor]) -> str:
    sha = hashlib.sha256()
    for name in sorted(weights):
        sha.update(name.encode() + weights[name].contiguous().numpy().tobytes())
    return sha.hexdigest()


def _load(path: Path, encoder: OwnEncoder) -> float | None:
    """The accuracy of the extractor now in `encoder`, or None where there is no whole file of ours at `path`."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            info = json.loads(file.metadata()["karat"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
        accuracy = math.nan if info["accuracy"] is None else float(info["accuracy"])
        if info["sha256"] != _digest(weights):
            return None
        encoder.load_state_dict(weights)
    except Exception:  # a damaged cache is no error: the extractor is fitted again and the file replaced
        return None
    with contextlib.suppress(OSError):  # used now; the one that was not for longest goes first
        os.utime(path)
    return accuracy


def _save(path: Path, encoder: OwnEncoder, accuracy: float) -> None:
    weights = {name: value.contiguous() for name, value in encoder.state_dict().items()}
    info = {"version": VERSION, "sha256": _digest(weights), "accuracy": None if math.isnan(accuracy) else accuracy}
    write_whole(path, save(weights, metadata={"karat": json.dumps(info)}))
    trim(path.parent, path.stem)


class Borrowed(nn.Module):
    """A pretrained encoder from a local folder, with a linear reader fitted to the labels where there are any."""

    def __init__(self, model: nn.Module, size: int, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.model = model
        self.size = size
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1))
        self.register_buffer("reader", torch.zeros(0, 0))

    def features(self, x: Tensor) -> Tensor:
        x = (x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x[:, :3]) / 2 + 0.5
        x = F.interpolate(x, (self.size, self.size), mode="bicubic", antialias=True).clamp(0, 1)
        out = self.model(pixel_values=(x - self.get_buffer("mean")) / self.get_buffer("std"))
        pooled: Tensor | None = getattr(out, "pooler_output", None)
        return out.last_hidden_state[:, 0].float() if pooled is None else pooled.flatten(1).float()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        reader = self.get_buffer("reader")
        logits = F.pad(features, (0, 1), value=1.0) @ reader if reader.numel() else features[:, :0]
        return features, logits


def _borrow(
    folder: Path,
    points: Tensor,
    labels: Tensor | None,
    classes: int,
    shape: tuple[int, ...],
    device: str | torch.device,
) -> FeatureExtractor:
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise FitError(f"{folder} holds no {name}; give the folder of a downloaded Hugging Face image encoder")
    if len(shape) != 3:
        raise FitError(f"a pretrained encoder sees pictures, not records of shape {shape}; leave it out")
    try:
        transformers = import_module("transformers")
    except ModuleNotFoundError as error:
        raise FitError(
            "pretrained extractor need an extra; install it with: pip install 'karat[pretrained]'"
        ) from error
    model = transformers.AutoModel.from_pretrained(
        str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False
    )
    model = getattr(model, "vision_model", model)  # CLIP: the half that sees
    config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    prep_path = folder / "preprocessor_config.json"
    prep: dict[str, Any] = json.loads(prep_path.read_text("utf-8")) if prep_path.is_file() else {}
    vision = config.get("vision_config", config)
    size = min(int(vision.get("image_size", 224)), 224)
    mean, std = prep.get("image_mean", [0.485, 0.456, 0.406]), prep.get("image_std", [0.229, 0.224, 0.225])
    encoder = Borrowed(model, size, mean, std).to(device).eval()
    extractor = FeatureExtractor(encoder, shape, 0, None, f"pretrained, from {folder.name}")
    if labels is None:
        return extractor
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))[:5000]
    seen = F.pad(extractor.features(points[order]).double(), (0, 1), value=1.0)
    wanted = F.one_hot(labels[order], classes).double()
    kept = max(1, len(order) // 10)
    gram = seen[kept:].T @ seen[kept:]
    ridge = gram + 1e-2 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    reader = torch.linalg.solve(ridge, seen[kept:].T @ wanted[kept:])
    accuracy = float(((seen[:kept] @ reader).argmax(1) == labels[order[:kept]]).float().mean())
    encoder.register_buffer("reader", (8 * reader).float().to(device))  # 8: least squares scores to usable logits
    return FeatureExtractor(encoder, shape, classes, accuracy, extractor.source)
