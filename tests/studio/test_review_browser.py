"""A review in Chromium: how fast keys are answered, and that no connection, window or server that goes takes a decision along."""

from __future__ import annotations

import contextlib
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import karat
from karat.chain import Chain
from karat.review.decisions import FILE

pytestmark = pytest.mark.exam
MEASURE = """
window.answers = [];
addEventListener("keydown", (event) => {
  const place = document.querySelector("[data-look]"), before = place.firstElementChild, begun = performance.now();
  const look = () => {
    if (place.firstElementChild === before) requestAnimationFrame(look);
    else requestAnimationFrame(() => window.answers.push(performance.now() - begun));
  };
  requestAnimationFrame(look);
}, true);
"""


class Server:
    """`karat serve` in a process of its own, on one port, however often it is begun again."""

    def __init__(self, root: Path) -> None:
        self.root, self.port = root, 0
        self.begin()

    def begin(self) -> None:
        words = [sys.executable, "-m", "karat", "serve", "runs", "--root", ".", "--port", str(self.port)]
        self.process = subprocess.Popen(
            words, cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)", self.process.stdout.readline())
        assert found, "the server did not start"
        self.port = int(found[1])

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def two_hundred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has made 200 pictures, and one that has made 30 passages of text."""
    root = tmp_path_factory.mktemp("reviewed")
    least = ["latent=4", "width=8", "hidden=8", "components=4", "iterations=2"]
    settings = ["train.precision=fp32", *(f"model.{setting}" for setting in least)]
    run = karat.train("digits", recipe="vae", steps=60, out=root / "runs" / "digits", threads=1, set=settings)
    karat.make(run, n=200, threads=1)
    rng = np.random.default_rng(0)
    (root / "lines.txt").write_text(
        "\n\n".join(f"Line {i} is {rng.choice(['short', 'long', 'odd'])}." for i in range(300))
    )
    text = karat.train(root / "lines.txt", recipe="ngram", out=root / "runs" / "lines", threads=1)
    karat.make(text, n=30, threads=1)
    return root


@pytest.fixture
def server(two_hundred: Path, tmp_path: Path) -> Iterator[Server]:
    found = Server(Path(shutil.copytree(two_hundred, tmp_path / "root")))
    yield found
    with contextlib.suppress(ProcessLookupError):
        found.kill()


def decisions(server: Server, run: str = "digits") -> list[dict[str, Any]]:
    path = server.root / "runs" / run / FILE
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def until(holds: Callable[[], bool], page: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it took too long"
        page.wait_for_timeout(50)


def opened(browser: Any, server: Server, by: str = "mei", run: str = "digits", plan: str = "all") -> Any:
    """A page of the review, ready for the first key; what it logs as an error is kept in `page.errors`."""
    page = browser.new_context(locale="en").new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    go(page, server, by, run, plan)
    return page


def go(page: Any, server: Server, by: str = "mei", run: str = "digits", plan: str = "all") -> None:
    page.goto(f"{server.address}/runs/{run}/review?of=made&by={by}&plan={plan}")
    page.wait_for_selector("[data-look] .item")


def test_two_hundred_pictures_take_under_four_minutes_and_a_key_is_answered_within_100_ms(
    browser: Any, server: Server
) -> None:
    page, rng = opened(browser, server), random.Random(0)
    page.evaluate(MEASURE)
    total = int(page.get_attribute("[data-review]", "data-total"))
    assert total == 230, "200, and those that come twice, that are real, that are scrambled"
    begun = time.monotonic()
    answers: list[float] = []
    for k in range(total):
        if k == total - 1:  # the page goes on to its end
            answers = page.evaluate("window.answers")
        page.keyboard.press("a" if rng.random() < 0.8 else str(rng.randint(1, 6)))
        page.wait_for_timeout(rng.uniform(200, 400))
    page.wait_for_selector(".tally")
    taken = time.monotonic() - begun
    until(lambda: len(decisions(server)) == total, page)
    found = decisions(server)
    assert len({line["press"] for line in found}) == total and all(line["seconds"] > 0.05 for line in found)
    p50, p95, most = (float(np.quantile(answers, q)) for q in (0.5, 0.95, 1))
    print(
        f"{len(answers)} keys: median {p50:.0f} ms, 95% within {p95:.0f} ms, at most {most:.0f} ms; {total} in {taken:.0f} s"
    )
    assert len(answers) >= total - 3 and p95 < 100 and taken < 240
    assert Chain(server.root / "runs" / "digits" / FILE).audit().holds and not page.errors


def test_a_lost_connection_and_a_reload_lose_no_decision(browser: Any, server: Server) -> None:
    page = opened(browser, server)
    page.keyboard.press("a")
    until(lambda: len(decisions(server)) == 1, page)
    page.wait_for_timeout(800)  # what comes next is there by now
    page.context.set_offline(True)
    for key in "a2a":
        page.keyboard.press(key)
        page.wait_for_timeout(120)
    page.wait_for_selector(".lost:not([hidden])")
    assert len(decisions(server)) == 1 and page.inner_text("[data-count]").startswith("5 of")
    page.context.set_offline(False)
    until(lambda: len(decisions(server)) == 4, page)
    page.wait_for_selector(".lost", state="hidden")
    for key in "aa3":
        page.keyboard.press(key)
        page.wait_for_timeout(60)
    page.reload()  # at once: what was under way is sent again and counts once
    page.wait_for_selector("[data-look] .item")
    until(lambda: len(decisions(server)) == 7, page)
    until(lambda: page.inner_text("[data-count]").startswith("8 of"), page)
    assert [line["verdict"] for line in decisions(server)] == [
        "accept",
        "accept",
        "reject",
        "accept",
        "accept",
        "accept",
        "reject",
    ]
    assert not page.errors


def test_a_server_that_is_killed_at_any_moment_takes_no_decision_along(browser: Any, server: Server) -> None:
    page, rng = opened(browser, server), random.Random(1)
    pressed = 0
    for turn in range(6):
        for k in range(5):
            page.wait_for_timeout(rng.uniform(30, 160))
            if k == turn % 5:
                server.kill()
            if page.evaluate("document.querySelector('[data-look] .item') !== null"):
                page.keyboard.press("a")
                pressed += 1
        if turn == 3:  # the page is closed while the server is away, and opened again
            page.wait_for_timeout(200)
            context = page.context
            page.close()
            server.begin()
            page = context.new_page()
            page.errors = []
            go(page, server)
        else:
            server.begin()
        until(lambda all=pressed: len(decisions(server)) == all, page)
        page.wait_for_selector("[data-look] .item")
        page.wait_for_timeout(600)
    found = decisions(server)
    assert pressed >= 15 and len({line["press"] for line in found}) == pressed == len(found)
    assert Chain(server.root / "runs" / "digits" / FILE).audit().holds


def test_two_windows_do_not_decide_one_thing_twice(browser: Any, server: Server) -> None:
    one = opened(browser, server)
    two = one.context.new_page()
    go(two, server)
    one.keyboard.press("a")
    until(lambda: len(decisions(server)) == 1, one)
    two.keyboard.press("1")
    until(lambda: "another window" in two.inner_text("[data-said]"), two)
    assert two.inner_text("[data-count]").startswith("2 of") and len(decisions(server)) == 1
    two.keyboard.press("1")
    until(lambda: len(decisions(server)) == 2, two)
    one.bring_to_front()
    one.keyboard.press("u")  # of what this window last saw, which is not the last any more
    until(lambda: "another window" in one.inner_text("[data-said]"), one)
    assert one.inner_text("[data-count]").startswith("3 of") and len(decisions(server)) == 2


def test_undo_zoom_and_mending_by_keys_alone(browser: Any, server: Server) -> None:
    page = opened(browser, server, run="lines")
    for k, key in enumerate(("a", "a", "u", "z")):
        page.keyboard.press(key)
        page.wait_for_timeout(150)
        assert page.inner_text("[data-count]").startswith(f"{(2, 3, 2, 2)[k]} of")
    assert page.get_attribute("[data-does=zoom]", "aria-pressed") == "true"
    before = page.inner_text("[data-look] .passage")
    page.keyboard.press("e")
    page.keyboard.press("End")
    page.keyboard.type(" Mended, and a 1 in it.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    until(lambda: len(decisions(server, "lines")) == 4, page)
    last = decisions(server, "lines")[-1]
    assert (last["verdict"], last["mending"] > 0) == ("edit", True)
    if last["role"] in ("made", "again"):
        kept = server.root / "runs" / "lines" / "review" / "edited" / last["mended"]
        assert "Mended, and a 1 in it." in kept.read_text() and before.split("\n")[0][:8] in kept.read_text()
    page.keyboard.press("?")
    page.keyboard.press("x")
    page.keyboard.press("Control+a")
    assert len(decisions(server, "lines")) == 4 and not page.errors


@pytest.mark.parametrize(("code", "width", "scheme"), [("en", 1280, "light"), ("zh", 390, "dark")])
def test_nobody_is_kept_out_and_nothing_comes_from_elsewhere(
    code: str, width: int, scheme: str, browser: Any, server: Server
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(viewport={"width": width, "height": 820}, locale=code, color_scheme=scheme)
    page, odd = context.new_page(), []
    page.on(
        "request",
        lambda one: odd.append(one.url) if not one.url.startswith((server.address, "data:", "blob:")) else None,
    )
    page.on("console", lambda message: odd.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: odd.append(str(error)))
    paths = [
        "/runs/digits/review",
        "/runs/digits/review?of=made&by=axe",
        "/runs/lines/review?of=made&by=axe",
        "/runs/digits/make",
        "/runs/lines/make",
        "/runs/digits/made/made",
        "/runs/lines/made/made",
        "/runs/digits/explore",
        "/runs/digits/explore?way=between",
        "/runs/lines/explore",
        "/check",
    ]
    found = []
    for path in paths:
        page.goto(server.address + path)
        page.wait_for_load_state("networkidle")
        if "explore" in path:
            page.locator(".cell").first.click()
            page.wait_for_selector("#near .nearest")
        if path == "/check":
            page.set_input_files("input[type=file]", str(server.root / "lines.txt"))
            page.wait_for_selector(".checked")
        for each in Axe().run(page).response["violations"]:
            if each["impact"] in ("serious", "critical"):
                found.append((path, each["id"], each["nodes"][0]["html"][:200]))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than the screen"
    assert not found and not odd
