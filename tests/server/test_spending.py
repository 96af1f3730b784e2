"""Quotas of keys: kept on disk, and never spent twice."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from clients import client_of
from fastapi.testclient import TestClient

from karat.options import ServeOptions
from karat.server.guard.guard import keys_of
from karat.server.guard.keys import Key, Keys
from karat.server.guard.spending import Spending
from karat.server.problems import Problem


def of(folder: Path) -> tuple[Spending, Keys]:
    keys = keys_of(folder)
    return Spending(folder / ".karat" / "spending.db", keys), keys


def key_of(folder: Path, **quota: float) -> Key:
    keys_of(folder).add("ann", **quota)  # type: ignore[arg-type]
    return keys_of(folder).all()[0]


def refused(spending: Spending, key: Key, items: int, money: float | None = None) -> Problem:
    with pytest.raises(Problem) as found, spending.reserve(key, items, money):
        pytest.fail("was let in")
    return found.value


def test_a_quota_in_items_ends_where_it_says_and_outlives_the_server(tmp_path: Path) -> None:
    key = key_of(tmp_path, items=10)
    spending, _ = of(tmp_path)
    with spending.reserve(key, 7) as charge:
        charge.settle(6, None)
    spending.close()
    again, _ = of(tmp_path)
    assert again.spent(key) == (6, 0.0)
    problem = refused(again, key, 5)
    assert (problem.status, problem.code, problem.headers) == (429, "insufficient_quota", {"x-should-retry": "false"})
    assert "4 items of 10 left, and 5 were asked for" in problem.message
    with again.reserve(key, 4) as charge:
        charge.settle(4, None)
    assert again.spent(key) == (10, 0.0)
    assert "0 items of 10" in refused(again, key, 1).message
    again.close()


def test_what_fails_or_is_left_is_given_back(tmp_path: Path) -> None:
    key = key_of(tmp_path, items=10, money=1.0)
    spending, _ = of(tmp_path)
    with pytest.raises(KeyError), spending.reserve(key, 10, 0.9):
        assert spending.spent(key) == (10, 0.9)
        refused(spending, key, 1, 0.0)
        raise KeyError
    assert spending.spent(key) == (0, 0.0)
    spending.close()


def test_a_quota_in_money_counts_what_was_paid_and_what_is_under_way(tmp_path: Path) -> None:
    key = key_of(tmp_path, money=1.0)
    spending, _ = of(tmp_path)
    with spending.reserve(key, 1, 0.7) as charge:
        assert "about 0.40" in refused(spending, key, 1, 0.4).message
        charge.settle(1, 0.5)
    with spending.reserve(key, 1, 0.5) as charge:
        charge.settle(1, 0.6)  # which could not be foreseen
    assert spending.spent(key)[1] == pytest.approx(1.1)
    assert "0.00 of its money left" in refused(spending, key, 1, 0.0).message
    assert refused(spending, key, 1, None).code == "no_price"
    spending.close()


def test_many_requests_at_once_never_take_more_than_the_quota(tmp_path: Path) -> None:
    """From threads of two servers over one folder."""
    key = key_of(tmp_path, items=50)
    servers = [of(tmp_path)[0], of(tmp_path)[0]]
    made, start = [], threading.Barrier(16)

    def ask(spending: Spending) -> None:
        start.wait()
        for _ in range(10):
            try:
                with spending.reserve(key, 1) as charge:
                    charge.settle(1, None)
                    made.append(1)
            except Problem:
                return

    threads = [threading.Thread(target=ask, args=(servers[i % 2],)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 50 and servers[0].spent(key) == (50, 0.0)
    for spending in servers:
        spending.close()


KILLED = """
import os, sys
from pathlib import Path
from karat.server.guard.guard import keys_of
from karat.server.guard.spending import Spending
keys = keys_of(Path(sys.argv[1]))
spending = Spending(Path(sys.argv[1]) / ".karat" / "spending.db", keys)
with spending.reserve(keys.all()[0], 3) as charge:
    charge.settle(3, None)
with spending.reserve(keys.all()[0], 4):
    os.kill(os.getpid(), 9)
"""


def test_what_a_server_that_was_killed_had_taken_stays_taken(tmp_path: Path) -> None:
    key = key_of(tmp_path, items=10)
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    spending, _ = of(tmp_path)
    assert spending.spent(key) == (7, 0.0)
    spending.close()


def test_a_later_key_of_the_same_name_has_spent_nothing(tmp_path: Path) -> None:
    key = key_of(tmp_path, items=10)
    spending, keys = of(tmp_path)
    with spending.reserve(key, 10) as charge:
        charge.settle(10, None)
    keys.revoke("ann")
    assert spending.spent(key_of(tmp_path, items=10)) == (0, 0.0)
    spending.close()


def test_who_has_no_quota_is_not_counted(tmp_path: Path) -> None:
    spending, _ = of(tmp_path)
    with spending.reserve(None, 10**9) as charge:
        charge.settle(10**9, 1e9)
    assert not spending.path.exists()


def test_the_file_is_its_owners_alone_and_holds_no_key_and_no_token(tmp_path: Path) -> None:
    spending, keys = of(tmp_path)
    text = keys.add("ann")
    token = spending.log_in(text)
    assert token is not None and spending.log_in(f"{text}x") is None
    key = spending.logged_in(token)
    assert key is not None and key.name == "ann"
    for file in spending.path.parent.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file
        blob = file.read_bytes()
        assert token.encode() not in blob and text.encode() not in blob
    spending.log_out(token)
    assert spending.logged_in(token) is None
    spending.close()


def test_a_login_ends_with_its_time_and_with_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spending, keys = of(tmp_path)
    text = keys.add("ann")
    first, second = spending.log_in(text), spending.log_in(text)
    assert first and second
    keys.revoke("ann")
    keys.add("ann")
    assert spending.logged_in(first) is None
    text = keys.add("bob")
    third = spending.log_in(text)
    assert third and spending.logged_in(third)
    monkeypatch.setattr("time.time", lambda: 4e9)
    assert spending.logged_in(third) is None
    spending.close()


def served_with(runs: Path, **quota: float) -> tuple[TestClient, Key, Spending]:
    """A client of the runs with a key that may make and train, and what it spends."""
    text = keys_of(runs).add("ann=make,train", **quota)  # type: ignore[arg-type]
    client = client_of(ServeOptions([runs], root=runs, studio=False), text)
    return client, keys_of(runs).all()[0], client.app.state.served.guard.spending  # type: ignore[attr-defined]


def test_rows_are_counted_whatever_route_they_leave_by(runs: Path) -> None:
    client, key, spending = served_with(runs, items=20)
    with client:
        assert client.post("/v1/rows", json={"model": "people", "n": 8}).status_code == 200
        assert client.post("/v1/runs/people/make", json={"n": 4}).status_code == 200
        assert spending.spent(key) == (12, 0.0)
        answer = client.post("/v1/rows", json={"model": "people", "n": 9})
        assert answer.status_code == 429
        assert answer.json()["error"]["code"] == "insufficient_quota" and answer.headers["x-should-retry"] == "false"
        refused = {"model": "people", "n": 3, "given": "age=1000..2000"}
        assert client.post("/v1/rows", json=refused).status_code == 400
        assert client.post("/v1/rows", json={"model": "people", "n": 0}).status_code == 422
        assert spending.spent(key) == (12, 0.0)
        job = {"kind": "make", "options": {"run": "people"}}
        assert client.post("/v1/jobs", json=job).json()["error"]["param"] == "n"
        job["options"] = {"run": "people", "n": 9}
        assert client.post("/v1/jobs", json=job).json()["error"]["code"] == "insufficient_quota"


def test_a_quota_in_money_wants_prices_and_counts_what_drawing_cost(runs: Path) -> None:
    asked = {"model": "people", "n": 8}
    client, key, spending = served_with(runs, money=1e-4)
    with client:
        answer = client.post("/v1/rows", json=asked)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "no_price")
    (runs / "people" / "prices.toml").write_text("currency = 'EUR'\ncpu_core_hour = 3600\n")  # a second costs 1
    client = client_of(ServeOptions([runs], root=runs, studio=False))
    client.headers["authorization"] = f"Bearer {keys_of(runs).add('bob=make', money=1e-4)}"
    bob = keys_of(runs).named("bob")
    assert bob is not None
    with client:
        assert client.post("/v1/rows", json=asked).status_code == 200
        assert spending.spent(bob)[1] > 1e-4  # the first could not be foreseen
        assert client.post("/v1/rows", json=asked).json()["error"]["code"] == "insufficient_quota"
    spending.close()


def test_what_a_page_makes_is_in_the_ledger_and_taken_from_the_quota_in_items_and_money(runs: Path) -> None:
    (runs / "people" / "prices.toml").write_text("currency = 'EUR'\ncpu_core_hour = 3600\n")
    before = len((runs / "people" / "ledger.jsonl").read_text().splitlines())
    client = client_of(ServeOptions([runs], root=runs))
    text = keys_of(runs).add("ann=make", items=9, money=1e-4)
    client.headers["authorization"] = f"Bearer {text}"
    ann = keys_of(runs).named("ann")
    assert ann is not None
    form = {"n": "8", "seed": "0", "form": ".csv"}
    with client:
        spending: Spending = client.app.state.served.guard.spending  # type: ignore[attr-defined]
        assert client.post("/runs/people/make", data=form, follow_redirects=False).status_code == 303
        items, money = spending.spent(ann)
        assert items == 8 and money > 1e-4
        refused = client.post("/runs/people/make", data=form, follow_redirects=False)
        assert refused.status_code == 429 and spending.spent(ann) == (items, money)
    new = [json.loads(line) for line in (runs / "people" / "ledger.jsonl").read_text().splitlines()[before:]]
    assert [(entry["verb"], entry["items"]) for entry in new] == [("make", 8)]
    assert new[0]["cpu_seconds"] > 0 and new[0]["money"] > 0
