"""A person logs in with a key where the server can be reached by others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clients import client_of
from fastapi.testclient import TestClient

from karat.options import ServeOptions
from karat.server.guard.guard import keys_of

PAGE = {"accept": "text/html,*/*"}


@pytest.fixture
def key(tmp_path: Path) -> str:
    return keys_of(tmp_path).add("ann=read")


@pytest.fixture
def client(tmp_path: Path, key: str) -> Iterator[TestClient]:
    with client_of(ServeOptions([tmp_path], root=tmp_path, host="192.0.2.1")) as client:
        yield client


def test_who_opens_a_page_without_a_key_is_asked_for_one_and_comes_back(client: TestClient, key: str) -> None:
    answer = client.get("/runs?q=a&b", headers=PAGE, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fruns%3Fq%3Da%26b")
    asked = client.get(answer.headers["location"], headers=PAGE)
    assert asked.status_code == 200 and 'value="/runs?q=a&amp;b"' in asked.text
    answer = client.post("/login", data={"key": f" {key} ", "next": "/runs?q=a&b"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs?q=a&b")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and key not in cookie and "Secure" not in cookie
    assert "/logout" in client.get("/runs", headers=PAGE).text
    assert client.get("/login?next=/runs", headers=PAGE, follow_redirects=False).headers["location"] == "/runs"


def test_behind_a_proxy_that_speaks_tls_the_cookie_is_never_sent_without(client: TestClient, key: str) -> None:
    headers = {"origin": "https://karat.example", "host": "karat.example"}
    answer = client.post("/login", data={"key": key}, headers=headers, follow_redirects=False)
    assert "Secure" in answer.headers["set-cookie"]


def test_a_wrong_key_is_said_and_sets_no_cookie(client: TestClient, key: str) -> None:
    answer = client.post("/login", data={"key": f"{key}x", "next": "//evil.example"})
    assert answer.status_code == 401 and "set-cookie" not in answer.headers
    assert "evil" not in answer.text and f"{key}x" not in answer.text


@pytest.mark.parametrize("next", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x"])
def test_a_login_leads_to_no_other_site(client: TestClient, key: str, next: str) -> None:
    answer = client.post("/login", data={"key": key, "next": next}, follow_redirects=False)
    assert answer.headers["location"] == "/"
    assert client.get("/login", params={"next": next}, follow_redirects=False).headers["location"] == "/"


def test_who_logged_out_or_whose_key_was_revoked_is_asked_again(client: TestClient, key: str, tmp_path: Path) -> None:
    client.post("/login", data={"key": key})
    kept = dict(client.cookies)
    assert client.get("/runs").status_code == 200
    client.post("/logout")
    assert client.get("/runs").status_code == 401
    assert client.get("/runs", headers={"cookie": f"karat_session={kept['karat_session']}"}).status_code == 401
    client.post("/login", data={"key": key})
    keys_of(tmp_path).revoke("ann")
    assert client.get("/runs").status_code == 401


def test_a_cookie_has_the_scopes_of_its_key_and_another_site_cannot_use_it(client: TestClient, key: str) -> None:
    client.post("/login", data={"key": key})
    assert client.get("/metrics").status_code == 200
    assert client.post("/v1/train", json={}).status_code == 403
    assert client.post("/role", data={"to": "finance"}, headers={"origin": "http://evil.example"}).status_code == 403
    assert client.get("/metrics", headers={"authorization": "Bearer wrong"}).status_code == 401


def test_a_part_of_a_page_that_is_asked_for_after_a_login_ended_leads_to_the_login(client: TestClient) -> None:
    answer = client.get("/runs", headers={"hx-request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/login")


def test_on_loopback_nobody_is_asked(tmp_path: Path) -> None:
    with client_of(ServeOptions([tmp_path], root=tmp_path)) as client:
        assert client.get("/login?next=/runs", follow_redirects=False).headers["location"] == "/runs"
        assert "/logout" not in client.get("/runs").text


def test_what_pages_make_and_train_counts_in_the_quota_of_who_logged_in_once(root: Path) -> None:
    text = keys_of(root).add("bob=make,read,train", items=10)
    with client_of(ServeOptions([root / "runs"], root=root, host="192.0.2.1")) as client:
        client.post("/login", data={"key": text})
        spending = client.app.state.served.guard.spending  # type: ignore[attr-defined]
        made = client.post("/runs/orders/make", data={"n": "4", "form": ".csv"}, follow_redirects=False)
        assert made.status_code == 303
        assert spending.spent(keys_of(root).all()[0]) == (4, 0.0)
        refused = client.post("/runs/orders/make", data={"n": "7", "form": ".csv"})
        assert refused.status_code == 429 and "6 items of 10 left" in refused.text
