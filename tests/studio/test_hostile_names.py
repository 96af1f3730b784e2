"""Names of runs, columns and classes, texts and notes come from strangers: a browser runs nothing that stands in them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from served import listening

import karat
from karat.options import ServeOptions

RUN = "a\"'><img src=x onerror=window.owned=1>{{7*7}}"
TEXTS = "b<svg onload=window.owned=2>"
COLUMN = "<img src=x onerror=window.owned=3>"
CLASSES = (
    "\"'><script>window.owned=4</script>",
    "</select></title><script>window.owned=5</script>",
    "javascript:window.owned=6",
)
NOTE = "</textarea><iframe srcdoc='<script>top.owned=7</script>'></iframe>"
MOST = 120  # pages


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("hostile"), np.random.default_rng(0)
    with (root / f"{CLASSES[2]}.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow([COLUMN, "=1+1", "kind"])
        out.writerows([rng.integers(18, 80), rng.integers(0, 9), rng.choice(CLASSES)] for _ in range(240))
    run = karat.train(root / f"{CLASSES[2]}.csv", recipe="cart", out=root / "runs" / RUN, discover=False, threads=1)
    karat.assay(run.path, n=100)
    (root / "lines.txt").write_text("\n\n".join(f"Line {i}: {CLASSES[i % 2]} {COLUMN}" for i in range(200)))
    karat.train(root / "lines.txt", recipe="ngram", out=root / "runs" / TEXTS, threads=1)
    return root


class Visit:
    """A tab that notes whatever should not be."""

    def __init__(self, browser: Any, address: str) -> None:
        self.address, self.wrong = address, list[str]()
        self.page = browser.new_page()
        self.page.on("dialog", lambda dialog: self.wrong.append(f"dialog {dialog.message}"))
        self.page.on("pageerror", lambda error: self.wrong.append(f"error {error}"))
        self.page.on("console", lambda line: self._said(line))
        self.page.on("request", lambda request: self._asked(request.url))

    def _said(self, line: Any) -> None:
        if "Content Security Policy" in line.text:
            self.wrong.append(f"{self.page.url}: {line.text}")

    def _asked(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:", "about:")):
            self.wrong.append(f"asked {url}")

    def opens(self, path: str) -> list[str]:
        """Opens a page and returns the pages that it links to."""
        self.page.goto(self.address + path)
        if self.page.evaluate("window.owned") is not None or len(self.page.frames) > 2:
            self.wrong.append(f"{path} ran {self.page.evaluate('window.owned')}")
        links = self.page.evaluate("[...document.querySelectorAll('a[href]:not([download])')].map(a => a.href)")
        self.wrong += [f"{path} links to {link}" for link in links if not link.startswith(self.address)]
        return [urlsplit(link).path + (f"?{urlsplit(link).query}" if urlsplit(link).query else "") for link in links]


@pytest.mark.exam
def test_nothing_that_stands_in_a_name_is_run_by_any_page(root: Path, browser: Any) -> None:
    with listening(ServeOptions([root / "runs"], root=root)) as address:
        visit = Visit(browser, address)
        visit.opens(f"/runs/{quote(RUN)}/notes")
        for field in visit.page.query_selector_all("textarea, input[type=text]"):
            field.fill(NOTE)
        visit.page.click("main form button:not([name])")
        tabs = ("verdict", "training", "money", "notes", "make", "review", "explore", "permission")
        waiting = [
            "/",
            f"/runs?q={quote(NOTE)}",
            f"/login?next={quote(NOTE)}",
            "/data",
            "/check",
            "/bin",
            f"/data/look?data={quote(NOTE)}",
        ]
        waiting += [f"/runs/{quote(name)}/{tab}" for name in (RUN, TEXTS, NOTE) for tab in tabs]
        seen: set[str] = set()
        while waiting and len(seen) < MOST:
            path = waiting.pop(0).split("#")[0]
            if path in seen or "/archive" in path or "/file/" in path:
                continue
            seen.add(path)
            waiting += visit.opens(path)
        visit.page.close()
    assert visit.wrong == []
    assert len(seen) > 25 and any(quote(TEXTS) in path for path in seen)
