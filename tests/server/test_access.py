"""Who may do what: keys, scopes, and each route of the application."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from clients import client_of
from fastapi import APIRouter, FastAPI

from karat.errors import FitError, RunError
from karat.options import ServeOptions
from karat.server.app import application
from karat.server.guard import access
from karat.server.guard.guard import keys_of
from karat.server.guard.keys import SCOPES
from karat.studio import ROUTERS

PUBLIC = "192.0.2.1"  # of a documentation's net: never loopback


def public(folder: Path, **more: object) -> ServeOptions:
    return ServeOptions([folder], root=folder, host=PUBLIC, **{"studio": False, **more})  # type: ignore[arg-type]


def routes() -> list[tuple[str, str, str]]:
    """(method, path, scope) of each route of the whole application."""
    app: FastAPI = application(ServeOptions(["none"], root=Path("none")), ROUTERS)
    return [(route.method, route.template, route.scope) for route in access.routes_of(app)]


def filled(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "x", path)


def test_every_route_is_in_the_table_of_scopes() -> None:
    app: FastAPI = application(ServeOptions(["none"], root=Path("none")), ROUTERS)
    rows = {f"{route.method} {route.template}" for route in access.routes_of(app) if route.method != "HEAD"}
    assert len(rows) >= 4
    assert rows == set(access.SCOPE)
    assert set(access.SCOPE) >= access.UPLOADS
    assert set(access.SCOPE.values()) <= {access.OPEN, access.ANY, *SCOPES}


def test_an_application_with_a_route_that_asks_for_no_scope_does_not_start() -> None:
    router = APIRouter(prefix="/v1")
    router.get("/secrets")(lambda: "all")
    with pytest.raises(AssertionError, match="GET /v1/secrets"):
        application(ServeOptions(["none"], root=Path("none")), (router,))


def test_without_a_valid_key_every_route_but_health_says_401(tmp_path: Path) -> None:
    key = keys_of(tmp_path).add("ann=make,read,train,review,admin")
    twice = [("authorization", f"Bearer {key}"), ("authorization", f"Bearer {key}")]
    ways: dict[str, object] = {
        "none": {},
        "wrong": {"authorization": f"Bearer {key[:-1]}"},
        "longer": {"authorization": f"Bearer {key}x"},
        "wrong case": {"authorization": f"Bearer {key.swapcase()}"},
        "another scheme": {"authorization": f"Basic {key}"},
        "without a scheme": {"authorization": key},
        "twice": twice,
        "another header": {"x-api-key": key, "api-key": key},
    }
    query = {"key": key, "api_key": key, "access_token": key, "authorization": f"Bearer {key}"}
    with client_of(public(tmp_path, studio=True)) as client:
        for method, path, scope in [*routes(), ("GET", "/nowhere", "-"), ("DELETE", "/healthz", "-")]:
            for name, headers in ways.items():
                answer = client.request(method, filled(path), headers=headers, params=query, follow_redirects=False)  # type: ignore[arg-type]
                if scope == access.OPEN:
                    assert "invalid_api_key" not in answer.text and answer.status_code != 403, (path, name)
                else:
                    assert answer.status_code == 401, (path, name)
                    assert key not in answer.text
                    assert method == "HEAD" or answer.json()["error"]["code"] == "invalid_api_key"


def test_a_key_opens_the_routes_of_its_scopes_and_no_others(tmp_path: Path) -> None:
    keys = keys_of(tmp_path)
    texts = {scope: keys.add(f"{scope}={scope}") for scope in SCOPES}
    with client_of(public(tmp_path, studio=True)) as client:
        for method, path, wanted in routes():
            for scope in set(SCOPES) - {wanted} if wanted in SCOPES else ():
                answer = client.request(method, filled(path), headers={"authorization": f"bearer {texts[scope]}"})
                assert answer.status_code == 403, (method, path, scope)
                assert method == "HEAD" or answer.json()["error"] == {
                    "message": f"the key {scope} may not do this; it takes one with the scope {wanted}.",
                    "type": "permission_error",
                    "param": None,
                    "code": "missing_scope",
                }
        opened = {"read": "GET /v1/jobs", "make": "POST /v1/rows", "train": "POST /v1/train"}
        opened |= {"review": "POST /runs/x/sign", "admin": "POST /bin/restore"}
        for scope, row in opened.items():
            answer = client.request(*row.split(" "), headers={"authorization": f"bearer {texts[scope]}"})
            assert answer.status_code in (200, 400, 404, 422), (row, scope)


def test_how_likely_a_text_is_only_those_are_told_who_have_a_scope_for_it(runs: Path) -> None:
    asked = {"model": "lines", "prompt": "Line ", "max_tokens": 3}
    texts = {given: keys_of(runs).add(given) for given in ("ann", "bob=make,read,train,review,admin", "eve=make,probe")}
    with client_of(public(runs)) as client:
        told = {}
        for given, text in texts.items():
            for more in ({"logprobs": 0}, {"logprobs": 2, "echo": True}, {"echo": True}):
                answer = client.post("/v1/completions", json=asked | more, headers={"authorization": f"Bearer {text}"})
                told[given[:3], "logprobs" in more] = answer.status_code
                if answer.status_code == 403:
                    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == (
                        "missing_scope",
                        "logprobs",
                    )
                else:
                    assert (answer.json()["choices"][0]["logprobs"] is not None) == ("logprobs" in more)
    assert told == {
        (name, much): 403 if much and name != "eve" else 200 for name in ("ann", "bob", "eve") for much in (0, 1)
    }


def test_whether_a_row_was_learned_from_only_those_are_told_who_have_a_scope_for_it(runs: Path) -> None:
    asked = {"model": "people", "n": 2, "given": {"income": ">50K", "age": "30..40"}}
    texts = {given: keys_of(runs).add(given) for given in ("ann=make", "eve=make,probe")}
    with client_of(public(runs)) as client:
        for given, text in texts.items():
            headers = {"authorization": f"Bearer {text}"}
            answers = [
                client.post("/v1/rows", json=asked | more, headers=headers)
                for more in ({}, {"gate": ["none"]}, {"given": {"age": "30..40"}})
            ]
            statuses = [answer.status_code for answer in answers]
            assert statuses == [200 if "probe" in given else 403, 200, 200], given
            if statuses[0] == 403:
                assert (answers[0].json()["error"]["code"], answers[0].json()["error"]["param"]) == (
                    "missing_scope",
                    "given",
                )


def test_a_revoked_key_is_refused_at_once_by_a_server_that_runs(tmp_path: Path) -> None:
    keys = keys_of(tmp_path)
    ann, bob = keys.add("ann=read"), keys.add("bob=read")
    with client_of(public(tmp_path), ann) as client:
        assert client.get("/metrics").status_code == 200
        keys_of(tmp_path).revoke("ann")
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"authorization": f"Bearer {bob}"}).status_code == 200
        carl = keys_of(tmp_path).add("carl=read")
        assert client.get("/metrics", headers={"authorization": f"Bearer {carl}"}).status_code == 200


def test_an_expired_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = keys_of(tmp_path)
    text = keys.add("ann=read", days=1)
    assert keys.find(text) is not None
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert keys.find(text) is None and keys.of(keys.all()[0].id) is None


def test_the_file_of_keys_holds_hashes_and_is_its_owners_alone(tmp_path: Path) -> None:
    keys = keys_of(tmp_path)
    text = keys.add("ann", items=5)
    assert keys.path.stat().st_mode & 0o777 == 0o600
    assert keys.path.parent.stat().st_mode & 0o777 == 0o700
    blob = keys.path.read_text()
    assert text not in blob and text.removeprefix("karat-") not in blob
    assert keys.all()[0].scopes == ("make", "read") and keys.all()[0].items == 5
    assert len(text) == len("karat-") + 43  # 256 bits in base 64
    keys.path.chmod(0o644)
    with pytest.raises(RunError, match="chmod 600"):
        keys_of(tmp_path).find(text)


@pytest.mark.parametrize(
    "blob", [b"", b"[]", b'{"keys": [{}]}', b'{"keys": 3}', b"[" * 100_000, b'{"keys": "' + b"a" * 2**20]
)
def test_with_a_damaged_file_of_keys_nobody_gets_in(tmp_path: Path, blob: bytes) -> None:
    keys = keys_of(tmp_path)
    text = keys.add("ann=read")
    with client_of(public(tmp_path), text) as client:
        keys.path.write_bytes(blob)
        answer = client.get("/metrics")
        assert answer.status_code == 500 and str(tmp_path) not in answer.text
        assert client.get("/healthz").status_code in (200, 500)


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        ("", "names no key"),
        ("local", "names no key"),
        ("a b", "names no key"),
        ("-x", "names no key"),
        ("ann=fly", "'fly' is no scope"),
        ("a" * 65, "names"),
    ],
)
def test_an_odd_name_or_scope_makes_no_key(tmp_path: Path, asked: str, wrong: str) -> None:
    with pytest.raises(FitError, match=wrong):
        keys_of(tmp_path).add(asked)
    assert keys_of(tmp_path).all() == ()


def test_two_keys_of_one_name_are_not_made_and_none_is_revoked_that_is_not_there(tmp_path: Path) -> None:
    keys_of(tmp_path).add("ann")
    with pytest.raises(FitError, match="already"):
        keys_of(tmp_path).add("ann=read")
    with pytest.raises(FitError, match="there are: ann"):
        keys_of(tmp_path).revoke("anna")


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", PUBLIC, "::ffff:0.0.0.0", "::ffff:192.0.2.1", "example.org", "localhost.example"]
)
def test_where_others_can_reach_it_the_server_does_not_start_without_a_key(tmp_path: Path, host: str) -> None:
    with pytest.raises(FitError, match="--add-key"):
        application(ServeOptions([tmp_path], root=tmp_path, host=host))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost", "LOCALHOST."])
def test_on_loopback_no_key_is_needed(tmp_path: Path, host: str) -> None:
    with client_of(ServeOptions([tmp_path], root=tmp_path, host=host, studio=False)) as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/metrics", headers={"authorization": "Bearer sk-any"}).status_code == 200


def test_on_loopback_a_key_of_ours_that_is_unknown_is_refused_and_a_known_one_keeps_its_scopes(tmp_path: Path) -> None:
    text = keys_of(tmp_path).add("ann=make")
    with client_of(ServeOptions([tmp_path], root=tmp_path, studio=False)) as client:
        assert client.get("/metrics", headers={"authorization": f"Bearer {text}"}).status_code == 403
        assert client.get("/metrics", headers={"authorization": f"Bearer {text}x"}).status_code == 401


def test_on_loopback_too_a_key_is_needed_once_one_was_made_also_after_the_last_was_revoked(tmp_path: Path) -> None:
    with client_of(ServeOptions([tmp_path], root=tmp_path, studio=False)) as client:
        assert client.get("/metrics").status_code == 200
        text = keys_of(tmp_path).add("ann=read")
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"authorization": f"Bearer {text}"}).status_code == 200
        keys_of(tmp_path).revoke("ann")
        assert client.get("/metrics").status_code == 401


def test_what_came_through_a_proxy_to_loopback_needs_a_key(tmp_path: Path) -> None:
    with client_of(ServeOptions([tmp_path], root=tmp_path, studio=False)) as client:
        for header in ({"x-forwarded-for": "127.0.0.1"}, {"forwarded": "for=127.0.0.1"}):
            answer = client.get("/metrics", headers=header)
            assert answer.status_code == 401 and "proxy" in answer.json()["error"]["message"]
    text = keys_of(tmp_path).add("ann=read")
    with client_of(ServeOptions([tmp_path], root=tmp_path, studio=False)) as client:
        for header in ({"x-forwarded-for": "127.0.0.1"}, {"forwarded": "for=127.0.0.1"}):
            assert client.get("/metrics", headers=header).status_code == 401
            assert client.get("/metrics", headers={**header, "authorization": f"Bearer {text}"}).status_code == 200
    with client_of(public(tmp_path)) as client:
        assert client.get("/metrics", headers={"x-forwarded-for": "127.0.0.1", "x-real-ip": "::1"}).status_code == 401


def test_a_key_with_a_rate_waits_once_its_minute_is_used_up_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = keys_of(tmp_path)
    ann, bob = keys.add("ann=read", rate=3), keys.add("bob=read")
    now = 1000.0
    with client_of(public(tmp_path), ann) as client:
        client.app.state.served.guard.rates.clock = lambda: now  # type: ignore[attr-defined]
        assert [client.get("/metrics").status_code for _ in range(4)] == [200, 200, 200, 429]
        monkeypatch.setattr("time.time", lambda: 4e9)  # which the rate does not look at
        forged = {"x-forwarded-for": "192.0.2.9", "x-real-ip": "192.0.2.9", "forwarded": "for=192.0.2.9"}
        answer = client.get("/metrics", headers=forged)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "20")
        assert answer.json()["error"]["code"] == "rate_limit_exceeded"
        assert client.get("/metrics", headers={"authorization": f"Bearer {bob}"}).status_code == 200
        now += 20
        assert [client.get("/metrics").status_code for _ in range(2)] == [200, 429]
        now += 3600
        assert [client.get("/metrics").status_code for _ in range(4)] == [200, 200, 200, 429]
