"""A person's ways through the studio, in Chromium: nothing is asked of elsewhere, and no page complains."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import karat
from karat.languages import language

pytestmark = pytest.mark.exam

DESKTOP, PHONE = {"width": 1200, "height": 850}, {"width": 390, "height": 844}
PATIENCE = 240_000  # milliseconds on a machine that does other things too
COMES_BACK = ("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET")


class Server:
    """`karat serve` in a process of its own, which may be killed and started again at the same address."""

    def __init__(self, root: Path) -> None:
        self.root, self.port = root, 0
        self.start()

    def start(self) -> None:
        line = [sys.executable, "-m", "karat", "serve", "runs", "--root", ".", "--port", str(self.port)]
        self._said = open(self.root / ".said", "w+b")  # noqa: SIM115
        self.process = subprocess.Popen(line, cwd=self.root, stdout=self._said, stderr=subprocess.STDOUT)
        for _ in range(600):
            found = re.search(rb"http://127\.0\.0\.1:(\d+)", (self.root / ".said").read_bytes())
            if found:
                self.port = int(found[1])
                return
            assert self.process.poll() is None, (self.root / ".said").read_text()
            time.sleep(0.1)
        raise AssertionError("the server does not start")

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait()
        self._said.close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def server(small_run: Path) -> Iterator[Server]:
    """Serves the small run, another of the same data, a table and a folder of pictures."""
    karat.train(small_run / "orders.csv", recipe="cart", out=small_run / "runs" / "second", seed=1, discover=False)
    rng = np.random.default_rng(0)
    for kind in ("dark", "light"):
        folder = small_run / "shades" / kind
        folder.mkdir(parents=True)
        for i in range(60):
            pixels = rng.integers(0, 90, (12, 12)) + (150 if kind == "light" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    made = Server(small_run)
    yield made
    made.kill(signal.SIGTERM)


Open = Callable[..., Any]


@pytest.fixture
def visit(browser: Any, server: Server) -> Iterator[Open]:
    """Opens pages as a person does: visit("/", lang="zh", size=PHONE). At the end, nothing may have gone wrong in any of them."""
    wrong: list[str] = []
    contexts = []

    def opened(
        path: str, lang: str = "en", size: dict[str, int] = DESKTOP, dark: bool = False, fails: bool = False
    ) -> Any:
        locale = {"en": "en-GB", "zh": "zh-CN"}[lang]
        scheme = "dark" if dark else "light"
        context = browser.new_context(viewport=size, locale=locale, color_scheme=scheme, base_url=server.address)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda r: r.url.startswith((server.address, "data:", "blob:")) or wrong.append(r.url))
        if not fails:
            page.on("console", lambda m: m.type in ("error", "warning") and wrong.append(m.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong


def at(page: Any, pattern: str) -> None:
    page.wait_for_url(re.compile(pattern), timeout=PATIENCE)


def text(page: Any, key: str, code: str = "en") -> Any:
    return page.get_by_text(language(code).say(f"studio.{key}"), exact=True).first


def curve(page: Any) -> str:
    """The path of the first curve that is shown."""
    return str(page.locator("svg.curves path.line").first.get_attribute("d"))


@pytest.mark.parametrize(("size", "lang"), [(DESKTOP, "zh"), (PHONE, "en")], ids=["desktop", "phone"])
def test_who_tries_it_has_a_verdict_after_one_click(visit: Open, size: dict[str, int], lang: str) -> None:
    page = visit("/", lang=lang, size=size)
    text(page, "start.try.pictures", lang).click()
    at(page, "/runs/digits[^/]*/training$")
    page.locator("svg.curves").first.wait_for()
    at(page, "/runs/digits[^/]*/verdict$")
    report = page.frame_locator("iframe.report")
    report.locator(".board .word").wait_for()
    assert report.locator("html").get_attribute("lang") == language(lang).say("form.lang")
    tall = page.locator("iframe.report").bounding_box()["height"]
    assert tall > 2 * size["height"] and page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_a_table_of_ones_own_is_sent_looked_at_learned_and_judged(visit: Open, server: Server, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_bytes((server.root / "orders.csv").read_bytes())
    page = visit("/", size=PHONE)
    text(page, "start.own.go").click()
    with page.expect_file_chooser() as chosen:
        text(page, "data.files").click()
    chosen.value.set_files(tmp_path / "mine.csv")
    at(page, r"/data/look\?place=uploads")
    page.frame_locator("iframe.rows-made").locator("table.sheet").first.wait_for()
    before = page.locator(".price b").inner_text()
    page.locator("#f-minutes").fill("50")
    assert page.locator(".price b").inner_text() != before
    page.locator("#f-minutes").fill("1")
    page.locator("#f-recipe").select_option("cart")
    text(page, "train.go").click()
    at(page, "/runs/mine/verdict$")
    page.frame_locator("iframe.report").locator(".board .word").wait_for()


def test_a_folder_of_pictures_is_learned_from_through_reloads_stops_and_two_tabs(visit: Open, server: Server) -> None:
    page = visit("/data", lang="zh")
    with page.expect_file_chooser() as chosen:
        text(page, "data.folder", "zh").click()
    chosen.value.set_files(server.root / "shades")
    at(page, r"/data/look\?place=uploads")
    page.locator(".wide-sheet img").wait_for()
    page.locator("#f-minutes").fill("1.5")
    page.locator("#f-assay").uncheck()
    text(page, "train.go", "zh").click()
    at(page, "/runs/shades/training$")
    page.locator("svg.curves").first.wait_for()
    first = curve(page)
    page.wait_for_function(
        "first => document.querySelector('svg.curves path.line').getAttribute('d') !== first", arg=first
    )
    page.reload()
    assert len(curve(page)) > 20
    other = page.context.new_page()
    other.goto("/runs/shades/training")
    assert len(curve(other)) > 20
    box = text(other, "training.stop", "zh").bounding_box()
    assert box is not None
    other.mouse.move(box["x"] + 5, box["y"] + 5)
    other.mouse.down()
    other.wait_for_timeout(3000)  # in which the page would have been brought up to date
    other.mouse.up()
    text(other, "training.continue", "zh").wait_for()
    text(page, "training.continue", "zh").wait_for()  # which the first tab learns by itself
    there = curve(page)
    page.reload()
    assert curve(page) == there
    text(page, "training.continue", "zh").click()
    text(page, "training.stop", "zh").wait_for()
    text(page, "training.stop", "zh").click()
    text(page, "training.continue", "zh").wait_for()


def test_a_lost_server_is_said_and_what_is_shown_stays_and_goes_on_once_it_is_back(visit: Open, server: Server) -> None:
    page = visit("/data/look?place=digits", fails=True)
    page.locator("#f-minutes").fill("2")
    page.locator("#f-run").fill("lost")
    page.locator("#f-assay").uncheck()
    text(page, "train.go").click()
    page.locator("svg.curves").first.wait_for()
    server.kill()
    page.locator(".lost").wait_for(state="visible")
    there = curve(page)
    assert len(there) > 20
    server.start()
    page.locator(".lost").wait_for(state="hidden")
    page.wait_for_function(
        "there => document.querySelector('svg.curves path.line').getAttribute('d') !== there", arg=there
    )
    text(page, "training.stop").click()
    text(page, "training.continue").wait_for()


def test_two_runs_are_chosen_and_compared(visit: Open) -> None:
    page = visit("/runs", lang="zh")
    for name in ("orders", "second"):
        page.get_by_label(language("zh").say("studio.runs.pick", name=name)).check()
    text(page, "runs.compare", "zh").click()
    at(page, "/compare/[0-9a-f]+$")
    page.frame_locator("iframe.report").locator("table.compared").wait_for()


def test_the_back_button_leads_back_through_a_search(visit: Open) -> None:
    page = visit("/runs")
    page.get_by_role("searchbox").press_sequentially("cart secon", delay=20)
    page.wait_for_url(re.compile("q=cart"))
    page.locator("#found").get_by_text("orders", exact=True).wait_for(state="detached")
    page.locator("#found").get_by_role("link", name="second").click()
    at(page, "/runs/second/training$")
    page.go_back()
    at(page, "q=cart")
    assert page.get_by_role("searchbox").input_value() == "cart secon"
    page.go_back()
    page.locator("#found").get_by_role("link", name="orders").first.wait_for()


def test_the_keyboard_alone_is_enough(visit: Open) -> None:
    page = visit("/")
    pressed = []
    while len(pressed) < 30 and "pictures" not in pressed:
        page.keyboard.press("Tab")
        pressed.append(page.evaluate("document.activeElement.value || document.activeElement.getAttribute('href')"))
        seen = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert seen != "none" or pressed[-1] == "#main"
    assert pressed[:2] == ["#main", "/"] and "pictures" in pressed and "/data" in pressed
    page.goto("/runs/orders/training")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('href')") == "/runs/orders/notes":
            break
    page.keyboard.press("Enter")
    at(page, "/runs/orders/notes$")
    page.locator("#tags").focus()
    page.keyboard.type("by hand")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="by hand").wait_for()


PAGES = (
    *("/", "/data", "/data/look?place=orders.csv", "/runs", "/bin", "/compare"),
    *(f"/runs/orders/{tab}" for tab in ("verdict", "training", "money", "permission", "notes")),
)


@pytest.mark.parametrize(
    ("lang", "size", "dark"), [("en", DESKTOP, False), ("zh", PHONE, True)], ids=["desktop", "phone in the dark"]
)
def test_no_page_has_a_serious_fault_for_who_does_not_see_or_use_a_mouse(
    visit: Open, lang: str, size: dict[str, int], dark: bool
) -> None:
    sync_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = visit("/", lang=lang, size=size, dark=dark)
    found = []
    for path in PAGES:
        page.goto(path)
        if "look" in path:
            page.locator("#f-minutes").wait_for()
            page.locator("details.more summary").click()
        for fault in sync_playwright.Axe().run(page).response["violations"]:
            if fault["impact"] in ("serious", "critical"):
                found.append((path, fault["id"], [node["html"][:200] for node in fault["nodes"][:3]]))
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], path
    assert not found
