"""The judge's feature extractor: the same for the same data and seed, from any batch size, and from a cache that heals itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits

from karat.assays.encoder import FeatureExtractor, open_extractor
from karat.errors import DataError, FitError


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    found = load_digits()
    return torch.tensor(found.images, dtype=torch.float32)[:, None] / 8 - 1, torch.tensor(found.target).long()


POINTS, LABELS = digits()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("extractor")


@pytest.fixture(scope="module")
def extractor(cache: Path) -> FeatureExtractor:
    return open_extractor(POINTS[:1400], LABELS[:1400], 10, fingerprint="digits", cache=cache)


@pytest.mark.exam
def test_they_read_what_they_never_saw(extractor: FeatureExtractor) -> None:
    read = extractor.read(POINTS[1400:])
    assert read is not None and read.shape == (397, 10)
    assert float((read.argmax(1) == LABELS[1400:]).float().mean()) > 0.92
    assert extractor.accuracy is not None and extractor.accuracy > 0.9
    assert torch.allclose(read.sum(1), torch.ones(397), atol=1e-5)


def test_batch_size_changes_nothing(extractor: FeatureExtractor) -> None:
    whole = extractor.features(POINTS[:100], batch=100)
    assert whole.dtype == torch.float32
    assert torch.allclose(whole, extractor.features(POINTS[:100], batch=7), atol=1e-4)
    mixed = torch.cat([POINTS[:1], torch.ones(50, 1, 8, 8)])
    assert torch.allclose(whole[:1], extractor.features(mixed)[:1], atol=1e-4)


def test_the_variance_has_a_readable_unit(extractor: FeatureExtractor) -> None:
    assert float(extractor.features(POINTS[:1400]).var(0).sum()) == pytest.approx(100, rel=0.02)


def test_blur_noise_and_shift_are_visible(extractor: FeatureExtractor) -> None:
    real = extractor.features(POINTS[:1400]).mean(0)
    rng = torch.Generator().manual_seed(0)
    changed = {
        "blur": torch.nn.functional.avg_pool2d(POINTS[:1400], 3, 1, 1, count_include_pad=False),
        "noise": POINTS[:1400] + 0.2 * torch.randn(1400, 1, 8, 8, generator=rng),
        "shift": POINTS[:1400].roll(1, 3),
    }
    for name, points in changed.items():
        assert float((extractor.features(points).mean(0) - real).square().sum()) > 1, name


def test_the_same_seed_gives_the_same_features_and_another_others(tmp_path: Path) -> None:
    def feature(seed: int, where: str) -> torch.Tensor:
        few = open_extractor(POINTS[:80], None, 0, fingerprint="few", seed=seed, cache=tmp_path / where)
        assert few.read(POINTS[:3]) is None and few.accuracy is None
        return few.features(POINTS[:20])

    torch.manual_seed(5)
    one = feature(0, "a")
    torch.manual_seed(6)  # the stream of the caller has no part in it
    assert torch.equal(one, feature(0, "b"))
    assert not torch.allclose(one, feature(1, "a"), atol=1e-2)


def test_a_damaged_cache_is_fitted_again(tmp_path: Path) -> None:
    def opened() -> torch.Tensor:
        return open_extractor(POINTS[:64], LABELS[:64], 10, fingerprint="x", cache=tmp_path).features(POINTS[:9])

    first = opened()
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-40] + bytes(40), b""):
        path.write_bytes(damaged)
        assert torch.equal(opened(), first)
        assert path.read_bytes() == whole
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_features_are_kept_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KARAT_CACHE", str(tmp_path / "here"))
    open_extractor(POINTS[:32], None, 0, fingerprint="y")
    assert [each.suffix for each in (tmp_path / "here").iterdir()] == [".safetensors"]


def test_vectors_and_colour_pictures_are_seen_too(tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(0)
    for shape in ((5,), (3, 12, 20)):
        points = torch.rand(40, *shape, generator=rng) * 2 - 1
        seen = open_extractor(points, None, 0, fingerprint=str(shape), cache=tmp_path).features(points)
        assert seen.shape[0] == 40 and bool(seen.isfinite().all())


def test_what_cannot_be_seen_is_refused(extractor: FeatureExtractor, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="3 training records are too few"):
        open_extractor(POINTS[:3], None, 0, fingerprint="z", cache=tmp_path)
    with pytest.raises(FitError, match="holds no config.json"):
        open_extractor(POINTS, None, 0, fingerprint="z", cache=tmp_path, pretrained=tmp_path)
    with pytest.raises(DataError, match="fitted to"):
        extractor.features(torch.zeros(4, 1, 9, 9))
