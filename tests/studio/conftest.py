"""A server of one small run, which was trained and assayed once for all tests here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from clients import client_of
from fastapi.testclient import TestClient

import karat
from karat.options import ServeOptions


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with orders.csv, and runs/orders that learned from it and was assayed."""
    root = tmp_path_factory.mktemp("served")
    rng = np.random.default_rng(0)
    rows = zip(rng.integers(18, 80, 240), rng.choice(["a", "b", "<i>c"], 240), strict=True)
    (root / "orders.csv").write_text("age,kind\n" + "".join(f"{age},{kind}\n" for age, kind in rows))
    run = karat.train(root / "orders.csv", recipe="cart", out=root / "runs" / "orders", discover=False)
    karat.assay(run.path, n=100)
    return root


@pytest.fixture
def root(small_run: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(small_run, tmp_path / "served"))


@pytest.fixture
def client(root: Path) -> TestClient:
    return client_of(ServeOptions([root / "runs"], root=root))


@pytest.fixture
def visitor(client: TestClient) -> Iterator[TestClient]:
    """A client of a server that has started."""
    with client:
        yield client


@pytest.fixture(scope="session")
def small_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs/digits, a vae of little use."""
    root = tmp_path_factory.mktemp("pictures")
    least = ["latent=4", "width=4", "hidden=8", "components=2", "iterations=1"]
    settings = ["train.precision=fp32", *(f"model.{setting}" for setting in least)]
    karat.train("digits", recipe="vae", steps=2, out=root / "runs" / "digits", threads=1, set=settings)
    return root


@pytest.fixture
def picture_root(small_pictures: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(small_pictures, tmp_path / "pictures"))


@pytest.fixture
def pictures(picture_root: Path) -> Iterator[TestClient]:
    """A client of a server of it that has started."""
    with client_of(ServeOptions([picture_root / "runs"], root=picture_root)) as client:
        yield client
