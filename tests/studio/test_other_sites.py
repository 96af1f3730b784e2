"""Rows S8 and S10 of the catalogue of faults in a real browser: who has no key, and a name made to lead here, reach nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from served import listening

from karat.options import ServeOptions
from karat.server.guard.guard import keys_of


@pytest.mark.exam
def test_a_name_that_was_made_to_lead_here_shows_nothing_in_chromium(root: Path, browser: Any) -> None:
    how = {
        "executable_path": "/usr/bin/chromium",
        "args": ["--no-sandbox", "--host-resolver-rules=MAP *.example 127.0.0.1"],
    }
    rebound = browser.browser_type.launch(**how)
    with listening(ServeOptions([root / "runs"], root=root)) as address:
        page = rebound.new_page()
        answer = page.goto(f"http://evil.example:{address.rpartition(':')[2]}/runs")
        assert answer.status == 421 and "orders" not in page.content()
    rebound.close()


@pytest.mark.exam
def test_who_has_no_key_sees_the_login_alone_in_chromium_and_no_script_sees_the_cookie(
    root: Path, browser: Any
) -> None:
    key = keys_of(root).add("ann=read")
    with listening(ServeOptions([root / "runs"], root=root)) as address:
        page = browser.new_context().new_page()
        for path in ("/", "/runs/orders", "/runs/orders/money", "/data", "/bin"):
            page.goto(address + path)
            assert page.url.startswith(f"{address}/login") and "orders.csv" not in page.content()
        page.fill("input[name=key]", key)
        page.press("input[name=key]", "Enter")
        page.wait_for_url(lambda url: "/login" not in url)
        page.goto(f"{address}/runs")
        assert "orders" in page.content() and page.evaluate("document.cookie") == ""
        assert key not in page.content() and key not in page.url
        keys_of(root).revoke("ann")
        page.goto(f"{address}/runs")
        assert page.url.startswith(f"{address}/login")
        page.context.close()
