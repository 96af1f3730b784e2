"""What every test may ask for: one thread, a cache of its own, a browser, and the real data where it is there."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # also lets a process that is forked use OpenMP: its threads do not survive that

import pytest  # noqa: E402
import torch  # noqa: E402

CHROMIUM = Path("/usr/bin/chromium")
torch.set_num_threads(1)
gc.set_threshold(
    50_000
)  # torch, tests and what pytest keeps are half a million objects: every look at all of them takes 0.1 s
os.fsync = lambda fd: (os.fstat(fd), None)[
    1
]  # no test cuts the power, and a disk takes 5 ms; `faults/shim.py` counts the calls


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without exams a file that holds nothing else is not imported: of some that takes seconds in each process."""
    if config.option.markexpr == "not exam" and collection_path.suffix == ".py":
        return "\npytestmark = pytest.mark.exam" in collection_path.read_text(encoding="utf-8") or None
    return None


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["KARAT_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data; tests that need it are skipped where it is absent."""
    default = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    folder = Path(os.environ.get("KARAT_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"real data is not at {folder}; set KARAT_DATA to the folder that holds images/mnist")
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium by playwright; tests that need it are skipped where one of them is absent."""
    if not CHROMIUM.exists():
        pytest.skip("needs Debian's chromium at /usr/bin/chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (the dev extra)")
    with sync_api.sync_playwright() as p:
        opened = p.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()
