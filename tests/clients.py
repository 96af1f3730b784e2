"""Clients of a server in this process, as the guard lets them in."""

from __future__ import annotations

import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient

from karat.options import ServeOptions
from karat.server.app import application
from karat.server.guard import access
from karat.studio import ROUTERS, failure


def client_of(options: ServeOptions, key: str | None = None, more: APIRouter | None = None) -> TestClient:
    """A client of a server with these options, studio included; for a `with`.

    key: sent with every request.   more: routes besides, open to all.
    """
    pages = ROUTERS if options.studio else ()
    with pytest.MonkeyPatch.context() as patch:
        for route in () if more is None else more.routes:
            for method in route.methods:  # type: ignore[attr-defined]
                patch.setitem(access.SCOPE, f"{method} {route.path}", access.OPEN)  # type: ignore[attr-defined]
        app = application(options, pages if more is None else (*pages, more), failure if pages else None)
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return TestClient(app, base_url="http://127.0.0.1:8321", headers=headers, raise_server_exceptions=False)
