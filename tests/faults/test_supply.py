"""What is installed and what is carried: floors above known holes, no secrets, no paths of a machine, nothing heavy."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
GROUPS = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
ALL = [Requirement(text) for group in GROUPS.values() for text in group if not text.startswith("karat")]
# The first versions without a hole that a file can reach: CVE-2026-24747, CVE-2026-40192, CVE-2025-27516.
FLOORS = {"torch": "2.10", "pillow": "12.2", "jinja2": "3.1.6"}
CARRIED = [
    path
    for folder in ("src", "tests", "docs", "benchmarks", ".ci")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
] + [path for path in ROOT.glob("*") if path.is_file() and path.name != ".git"]
HEAVY = (
    "report.png",
    "report-zh.png",
    "comparison.png",
    "cifar-diffusion.png",
    "cifar-gan.png",
    "cifar-vae.png",
    "cifar-dcgan.png",
)
SECRETS = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|xox[abp]-[0-9A-Za-z-]{10,}|hf_[A-Za-z0-9]{34}"
)
HOMES = re.compile(rb"/(?:home|Users)/(?!you\b|me\b|user\b|somebody\b|ann\b)[a-z]+/|/root/")


@pytest.mark.parametrize("needed", ALL, ids=lambda r: r.name)
def test_every_dependency_has_a_floor(needed: Requirement) -> None:
    floors = [Version(s.version) for s in needed.specifier if s.operator in (">=", "==", "~=")]
    assert floors, f"{needed} would take an ancient version where others ask for one"
    if needed.name in FLOORS:
        assert max(floors) >= Version(FLOORS[needed.name])


@pytest.mark.parametrize("needed", [Requirement(text) for text in GROUPS[""]], ids=lambda r: r.name)
def test_what_is_installed_is_what_was_asked_for(needed: Requirement) -> None:
    assert needed.specifier.contains(version(needed.name), prereleases=True)


def test_nothing_needs_torchvision_or_torchaudio() -> None:
    assert not {r.name for r in ALL} & {"torchvision", "torchaudio"}


def test_nothing_that_is_carried_holds_a_secret_or_a_path_of_a_machine() -> None:
    for path in CARRIED:
        if path == Path(__file__):
            continue
        blob = path.read_bytes()
        assert not SECRETS.search(blob), path
        found = HOMES.search(blob) if path.suffix in (".py", ".md", ".toml", ".j2", ".svg", "") else None
        assert found is None, f"{path}: {found[0].decode()}"


def test_nothing_that_is_carried_is_heavy_or_data() -> None:
    for path in CARRIED:
        assert path.suffix not in (".safetensors", ".pt", ".npy", ".npz", ".parquet", ".db", ".zip", ".gz"), path
        assert path.stat().st_size < 200_000 or path.name in HEAVY, f"{path} has {path.stat().st_size:,} bytes"
