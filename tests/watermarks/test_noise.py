"""Pictures by diffusion begin with noise that their run's key knows again, and that is as normal as any."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import stats

import karat
from karat import watermarks
from karat.content.image.images import Images
from karat.errors import FitError
from karat.families import diffusion, vae
from karat.run import Run
from karat.space import Grid
from karat.watermarks.lattice import sum_of_signs
from karat.watermarks.noise import Code, NoiseWatermark, carriers, carrying

KEY, OTHER = b"k" * 32, b"o" * 32


def clouds(n: int, size: int, seed: int = 6) -> np.ndarray:
    """Pictures [n, size, size] of light and dark, each of 25 numbers."""
    few = torch.from_numpy(np.random.default_rng(seed).uniform(0, 255, (n, 1, 5, 5)))
    return F.interpolate(few, (size, size), mode="bicubic").clamp(0, 255).numpy()[:, 0].astype(np.uint8)


@pytest.mark.parametrize("shape", [(32,), (1, 8, 8), (1, 28, 28), (3, 32, 32)])
def test_of_one_key_the_noise_is_normal_in_each_place_and_its_places_are_independent(shape: tuple[int, ...]) -> None:
    rng = torch.Generator().manual_seed(0)
    mark = NoiseWatermark(Images(1, 8, 8), KEY)
    noise = mark.begun(torch.randn(3000, *shape, generator=rng), rng)
    x = carriers(noise)[:, :40].double().numpy()
    p = [stats.kstest(x[:, j], "norm").pvalue for j in range(x.shape[1])]
    assert min(p) > 1e-4 and len(np.unique(np.sign(x), axis=0)) > 30
    off = np.corrcoef(x.T)[np.triu_indices(x.shape[1], 1)] * 3000**0.5
    assert np.abs(off).max() < 5 and 0.9 < off.std() < 1.1
    threes = [three for three in np.random.default_rng(0).integers(x.shape[1], size=(500, 3)) if len(set(three)) == 3]
    cubed = np.array([x[:, three].prod(1).mean() for three in threes])
    assert 0.9 < cubed.std() * 3000**0.5 < 1.1, "no sign is that of two others"
    plain = torch.randn(2, *shape)
    assert torch.allclose(carrying(plain, carriers(plain)), plain, atol=1e-5)


def test_all_words_are_tried_at_once() -> None:
    code = Code.of(KEY, 20)
    found = np.random.default_rng(0).normal(size=(3, 20)).astype(np.float32)
    every = code.words(np.arange(1 << code.bits))
    assert len(np.unique(every, axis=0)) == 1 << code.bits
    assert np.allclose(code.sums(found), found @ every.T, atol=1e-4)


def test_the_chance_of_a_sum_with_signs_is_what_coins_show() -> None:
    rng = np.random.default_rng(0)
    weights = np.abs(rng.normal(size=(40_000, 32)))
    p = sum_of_signs((weights * rng.choice([-1, 1], weights.shape)).sum(1), weights)
    for level in (0.2, 0.05, 0.01):
        assert abs((p <= level).mean() / level - 1) < 0.2, level
    assert sum_of_signs(weights[:1].sum(1), weights[:1])[0] >= 2.0**-32


@pytest.mark.parametrize("name", ["latent", "flow", "edm", "ddpm"])
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32)])
def test_noise_is_found_again_of_any_net_and_shape(name: str, classes: int, shape: tuple[int, ...]) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "latent": {"latent": True, "vae": vae.Config(latent=8)},
        "flow": {},
        "edm": {"parametrisation": "edm"},
        "ddpm": {"parametrisation": "ddpm", "sampler": "ddim"},
    }
    torch.manual_seed(0)
    grid = Grid(shape[0], shape[1:])
    model = diffusion.Model(grid, classes, diffusion.Config(steps=6, width=8, **kinds[name])).eval()
    y = torch.arange(6) % classes if classes else None
    kept = []

    def start(noise: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        kept.append(noise)
        return noise

    points = model.started(6, y, torch.Generator().manual_seed(1), start)
    assert torch.equal(points, model.sample(6, y, torch.Generator().manual_seed(1)))
    found = model.noise(points, 2)
    assert found.shape == (6, min(2, max(1, classes)), *model.noises)
    assert float((found[:, 0].sign() == kept[0].sign()).float().mean()) > 0.6


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("noise")
    np.save(folder / "clouds.npy", clouds(1000, 16))
    settings = ["train.batch=32", "model.width=64", "model.depth=2", "model.vae.hidden=64", "model.vae.width=16"]
    karat.train(folder / "clouds.npy", out=folder / "run", recipe="diffusion", steps=400, set=settings)
    return Run.open(folder / "run")


def test_pictures_of_a_key_are_found_by_it_after_jpeg_too_and_no_others_are(run: Run, tmp_path: Path) -> None:
    karat.make(run.path, n=1, out=tmp_path / "first", keyed_noise=True, gate="none")
    assert stat.S_IMODE((run.path / "noise.key").stat().st_mode) == 0o600
    (run.path / "noise.key").write_bytes(
        KEY
    )  # of another each time, one test in a thousand finds a mark in what has none
    made = {}
    for name, keyed in (("plain", False), ("keyed", True), ("again", True)):
        karat.make(run.path, n=12, out=tmp_path / name, keyed_noise=keyed, gate="none")
        made[name] = [file.read_bytes() for file in sorted((tmp_path / name).glob("*.png"))]
    assert made["keyed"] == made["again"] != made["plain"]
    assert len(set(made["keyed"])) == 12, "no two are alike"
    assert not (run.path / "watermark.key").exists()
    (found,) = watermarks.detect(tmp_path / "keyed", run)
    assert found.found and found.items == 12
    (tmp_path / "jpeg").mkdir()
    for file in (tmp_path / "keyed").glob("*.png"):
        Image.open(file).save(tmp_path / "jpeg" / f"{file.stem}.jpg", quality=70)
    assert watermarks.detect(tmp_path / "jpeg", run)[0].found
    assert not watermarks.detect(tmp_path / "plain", run)[0].found
    report = karat.check(tmp_path / "jpeg", run=run.path)
    assert report.together and report.together[0][1].model == run.id


def test_what_begins_with_no_noise_is_refused_before_anything_is_made(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n" + "\n".join(f"{i},{i % 7}" for i in range(300)))
    karat.train(tmp_path / "a.csv", out=tmp_path / "table", recipe="trees")
    with pytest.raises(FitError, match="keyed-noise"):
        karat.make(tmp_path / "table", n=5, out=tmp_path / "out", keyed_noise=True)
    assert not (tmp_path / "table/noise.key").exists() and not (tmp_path / "out").exists()


def test_a_run_that_was_trained_anew_in_the_same_place_is_asked_anew(run: Run, tmp_path: Path) -> None:
    place, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(run.path, place)
    (place / "noise.key").write_bytes(KEY)
    karat.make(place, n=4, out=tmp_path / "made", keyed_noise=True, gate="none")
    before = watermarks.detect(tmp_path / "made", Run.open(place))[0].p_value
    settings = ["train.batch=32", "model.width=16", "model.depth=1", "model.vae.hidden=16", "model.vae.width=8"]
    karat.train(
        run.path.parent / "clouds.npy", out=other, recipe="diffusion", steps=8, set=[*settings, "model.share=0.5"]
    )
    shutil.copy(place / "noise.key", other)
    shutil.rmtree(place)
    other.rename(place)
    after = watermarks.detect(tmp_path / "made", Run.open(place))[0].p_value
    assert before < after
