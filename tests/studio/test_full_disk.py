"""What pages write on a full disk: nothing of before is lost, the page says so, and the same form does it once there is room."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clients import client_of
from fastapi.testclient import TestClient

import karat
from karat.options import ServeOptions
from karat.worth.policy import Policy

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))
from shim import Shim, faults  # noqa: E402

SIGNED = {"policy": "eu", "who": "Ada", "what": Policy.load("eu").signatures[0].what}
FORMS = {
    "/runs/orders/notes": {"tags": "new", "note": "new"},
    "/runs/orders/money": {"use": "3", "currency": "EUR", "today": "0.5", "core": "0.05"},
    "/runs/orders/sign": SIGNED,
    "/runs/orders/make": {"n": "3", "seed": "0", "form": ".csv"},
    "/runs/orders/delete": {},
}


@pytest.fixture
def full(root: Path) -> Iterator[TestClient]:
    """A client of a server whose run has notes, prices, a signed policy and made rows."""
    karat.make(root / "runs" / "orders", n=12, threads=1)
    with client_of(ServeOptions([root / "runs"], root=root)) as client:
        client.app.state.served.jobs.close()  # type: ignore[attr-defined]  # so that no job works with the run
        client.post("/runs/orders/notes", data={"tags": "old", "note": "old"})
        client.post("/runs/orders/money", data={"use": "3", "currency": "USD", "today": "1"})
        client.post("/runs/orders/sign", data={**SIGNED, "what": Policy.load("eu").signatures[1].what})
        yield client


def files(root: Path) -> dict[str, bytes]:
    """All that hold something, but the databases, which SQLite keeps in order itself."""
    found = (path for path in sorted(root.rglob("*")) if path.is_file() and ".db" not in path.name)
    return {str(path): blob for path in found if (blob := path.read_bytes())}


@pytest.mark.parametrize("kind", ["write", "fsync", "rename"])
def test_no_form_loses_what_was_there_and_each_says_that_the_disk_is_full(
    full: TestClient, root: Path, kind: str
) -> None:
    before = files(root)
    for path, form in FORMS.items():
        with faults(Shim(root, kind, 1, errno.ENOSPC, lasting=True)) as shim:
            answer = full.post(path, data=form, headers={"accept-language": "zh"}, follow_redirects=False)
        assert shim.count, (path, answer.status_code, answer.text[-900:])
        assert answer.status_code == 507 and "磁盘" in answer.text and str(root) not in answer.text, path
        assert files(root) == before, path
    for path, form in FORMS.items():
        assert full.post(path, data=form, follow_redirects=False).status_code in (200, 303), path


def test_a_run_stays_in_the_bin_until_it_can_be_restored_whole(full: TestClient, root: Path) -> None:
    full.post("/runs/orders/delete")
    key = next((root / ".karat" / "bin").glob("*.json")).stem
    before = files(root)
    with faults(Shim(root, "rename", 1, errno.ENOSPC, lasting=True)):
        answer = full.post("/bin/restore", data={"key": key}, follow_redirects=False)
    assert answer.status_code == 507 and files(root) == before


def test_a_press_that_cannot_be_written_is_kept_by_the_page_and_counts_once(full: TestClient, root: Path) -> None:
    address = "/runs/orders/review/presses?of=made&by=mei&plan=all"
    press = [{"press": "one", "verdict": "accept", "position": 0}]
    before = files(root)
    with faults(Shim(root, "write", 1, errno.ENOSPC, lasting=True)):
        refused = full.post(address, json=press)
    assert refused.status_code == 507 and files(root) == before
    assert [full.post(address, json=press).json()["position"] for _ in range(2)] == [1, 1]
