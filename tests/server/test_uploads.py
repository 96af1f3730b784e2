"""What callers send is theirs, and together no more than may be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import client_of

from karat.options import ServeOptions
from karat.server.guard.guard import keys_of

Ask = Callable[..., Any]
MB = 2**20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path


@pytest.fixture
def ask(root: Path) -> Iterator[Ask]:
    """Asks with the key of ann, bob, or the chief, where eight megabytes may be sent, and two of them by a key."""
    keys = keys_of(root)
    texts = {
        name: keys.add(f"{name}=read,train{more}") for name, more in (("ann", ""), ("bob", ""), ("chief", ",admin"))
    }
    with client_of(ServeOptions([root / "runs"], root=root, uploads=8), texts["chief"]) as client:
        jobs = client.app.state.served.jobs  # type: ignore[attr-defined]
        jobs.close()  # no worker is started any more
        jobs._table = None

        def send(name: str, method: str, path: str, *files: tuple[str, bytes], **more: Any) -> Any:
            headers = {"authorization": f"Bearer {texts[name]}"}
            sent = [("files", file) for file in files] or None
            return client.request(method, path, headers=headers, files=sent, **more)  # type: ignore[arg-type]

        yield send


@pytest.mark.parametrize("path", ["/v1/uploads", "/data/upload"])
def test_files_are_added_only_to_what_the_same_caller_sent(ask: Ask, root: Path, path: str) -> None:
    first = ask("ann", "POST", "/v1/uploads", ("pets/1.png", b"1"), ("pets/2.png", b"2"))
    assert first.status_code == 201 and first.json() == {"object": "upload", "name": "pets", "place": "uploads/pets"}
    data = {"into": "pets"}
    for name in ("bob", "ann", "chief"):
        answer = ask(name, "POST", path, (f"pets/{name}.png", b"3"), data=data)
        assert (answer.status_code == 403) is (name == "bob"), answer.text
    assert sorted(p.name for p in (root / "uploads" / "pets").iterdir()) == ["1.png", "2.png", "ann.png", "chief.png"]
    by_hand = root / "uploads" / "old"
    by_hand.mkdir()  # nobody's: it lay there before
    assert ask("ann", "POST", "/v1/uploads", ("old/x", b"1"), data={"into": "old"}).status_code == 403


def test_a_key_sends_a_part_and_all_together_no_more_than_may_be(ask: Ask, root: Path) -> None:
    assert ask("ann", "POST", "/v1/uploads", ("a.bin", bytes(3 * MB // 2))).status_code == 201
    much = ask("ann", "POST", "/v1/uploads", ("b.bin", bytes(MB)))
    assert (much.status_code, much.json()["error"]["code"]) == (413, "uploads_full")
    assert "your uploads have 1.5 MB of 2.0, and this 1.0" in much.json()["error"]["message"]
    assert not (root / "uploads" / "b.bin").exists()
    assert ask("ann", "DELETE", "/v1/uploads/a.bin").status_code == 204
    assert ask("ann", "POST", "/v1/uploads", ("b.bin", bytes(MB))).status_code == 201  # there is room again
    keys = keys_of(root)
    for i in range(4):
        text = keys.add(f"k{i}=train")
        with client_of(ServeOptions([root / "runs"], root=root, uploads=8), text) as client:
            sent = client.post("/v1/uploads", files=[("files", ("c.bin", bytes(2 * MB)))])
        assert sent.status_code == (201 if i < 3 else 507), sent.text
    assert sent.json()["error"]["code"] == "uploads_full"


def test_each_sees_and_deletes_what_he_sent_and_an_admin_all(ask: Ask, root: Path) -> None:
    ask("ann", "POST", "/v1/uploads", ("a.csv", b"a\n1\n"))
    ask("bob", "POST", "/v1/uploads", ("a.csv", b"b\n1\n"))
    seen = {
        name: [each["name"] for each in ask(name, "GET", "/v1/uploads").json()["data"]]
        for name in ("ann", "bob", "chief")
    }
    assert seen == {"ann": ["a.csv"], "bob": ["a-2.csv"], "chief": ["a-2.csv", "a.csv"]}
    assert ask("ann", "DELETE", "/v1/uploads/a-2.csv").status_code == 404
    assert ask("ann", "DELETE", "/v1/uploads/..%2Fruns").status_code == 404 and (root / "runs").is_dir()
    assert ask("chief", "DELETE", "/v1/uploads/a-2.csv").status_code == 204
    assert os.listdir(root / "uploads") == ["a.csv"]


def test_an_upload_that_could_not_be_kept_is_not_counted(ask: Ask, root: Path) -> None:
    twice = ask("ann", "POST", "/v1/uploads", ("d/x", bytes(MB)), ("d/x", bytes(MB)))
    assert (twice.status_code, twice.json()["error"]["code"]) == (409, "exists")
    (kept,) = ask("ann", "GET", "/v1/uploads").json()["data"]
    assert kept["bytes"] == MB  # of the one that is there
    assert ask("ann", "POST", "/v1/uploads", ("e.bin", bytes(MB))).status_code == 201


def test_what_a_job_is_to_read_is_not_deleted(ask: Ask) -> None:
    ask("ann", "POST", "/v1/uploads", ("d/x.csv", b"a\n1\n"), ("d/y.csv", b"a\n1\n"))
    job = ask("ann", "POST", "/v1/jobs", json={"kind": "look", "options": {"data": "uploads/d/x.csv"}}).json()["id"]
    assert ask("ann", "DELETE", "/v1/uploads/d").json()["error"]["code"] == "in_use"
    ask("ann", "POST", f"/v1/jobs/{job}/cancel")
    assert ask("ann", "DELETE", "/v1/uploads/d").status_code == 204
