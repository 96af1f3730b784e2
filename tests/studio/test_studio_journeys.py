"""A person's ways through the studio, in Chromium.

Of every page that they lead through, `Walk` wants: nothing is asked of elsewhere, nothing complains, nobody is kept out (axe),
nothing is wider than the screen, and no English is left in Chinese ones. Each is walked in both languages and
at both widths; those that train in two of the four.
"""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from walking import DESKTOP, PHONE, Server, Walk

import karat
from karat.languages import language

pytestmark = pytest.mark.exam

TWO = pytest.mark.parametrize(("lang", "size"), [("en", DESKTOP), ("zh", PHONE)], ids=["desktop-en", "phone-zh"])
FOUR = pytest.mark.parametrize(
    ("lang", "size"),
    [("en", DESKTOP), ("zh", DESKTOP), ("en", PHONE), ("zh", PHONE)],
    ids=["desktop-en", "desktop-zh", "phone-en", "phone-zh"],
)
Size = dict[str, int]


@pytest.fixture(scope="module")
def server(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serves runs of a table (two), of pictures and of text, which have all made some, and a folder of pictures."""
    root = Path(shutil.copytree(small_run, tmp_path_factory.mktemp("walked") / "root"))
    rng, runs = np.random.default_rng(0), root / "runs"
    karat.train(root / "orders.csv", recipe="cart", out=runs / "second", seed=1, discover=False, threads=1)
    least = ["latent=4", "width=8", "hidden=8", "components=4", "iterations=2"]
    settings = ["train.precision=fp32", *(f"model.{setting}" for setting in least)]
    karat.train("digits", recipe="vae", steps=60, out=runs / "drawn", threads=1, set=settings)
    lines = (f"Line {i} is {rng.choice(['short', 'long', 'odd'])}." for i in range(300))
    (root / "lines.txt").write_text("\n\n".join(lines))
    karat.train(root / "lines.txt", recipe="ngram", out=runs / "lines", threads=1)
    for name in ("orders", "drawn", "lines"):
        karat.make(runs / name, n=12, threads=1)
    karat.make(runs / "orders", n=30, out=root / "rows.csv", threads=1)
    for kind in ("dark", "light"):
        (root / "shades" / kind).mkdir(parents=True)
        for i in range(60):
            pixels = rng.integers(0, 90, (12, 12)) + (150 if kind == "light" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(root / "shades" / kind / f"{i}.png")
    made = Server(root)
    yield made
    made.kill(signal.SIGTERM)


@pytest.fixture
def walk(browser: Any, server: Server) -> Iterator[Callable[..., Walk]]:
    """Begins a walk: walk("zh", PHONE). At the end nothing may have been wrong with any of its pages."""
    begun: list[Walk] = []

    def begin(lang: str, size: Size, **how: bool) -> Walk:
        begun.append(Walk(browser, server.address, lang, size, **how))
        return begun[-1]

    yield begin
    for one in begun:
        one.ends()


Begin = Callable[..., Walk]


def curve(page: Any) -> str:
    """The path of the first curve that is shown."""
    return str(page.locator("svg.curves path.line").first.get_attribute("d"))


def moved(page: Any, there: str) -> None:
    """Waits until the first curve is another than `there`."""
    page.wait_for_function(
        "there => document.querySelector('svg.curves path.line').getAttribute('d') !== there", arg=there
    )


def verdict(walk: Walk) -> None:
    """Waits for the report in its page, which is in the language of the browser and as tall as it is."""
    walk.at("/verdict$")
    report = walk.page.frame_locator("iframe.report")
    report.locator(".board .word").wait_for()
    walk.look(again=True)
    assert report.locator("html").get_attribute("lang") == language(walk.lang).say("form.lang")
    assert walk.page.locator("iframe.report").bounding_box()["height"] > 2 * walk.size["height"]


@pytest.mark.parametrize(
    ("lang", "size", "on"), [("en", DESKTOP, "pictures"), ("zh", PHONE, "table")], ids=["desktop-en", "phone-zh"]
)
def test_who_tries_it_has_a_verdict_after_one_click(walk: Begin, lang: str, size: Size, on: str) -> None:
    one = walk(lang, size)
    one.go("/")
    one.press(f"start.try.{on}")
    one.at("/runs/[^/]+/training$")
    one.page.locator(".seen-pictures section, .seen-rows section").first.wait_for()
    one.look(again=True)
    verdict(one)


@TWO
def test_a_table_of_ones_own_is_sent_learned_judged_priced_and_made_from(
    walk: Begin, server: Server, tmp_path: Path, lang: str, size: Size
) -> None:
    name = f"mine-{lang}"
    shutil.copy(server.root / "orders.csv", tmp_path / f"{name}.csv")
    one = walk(lang, size)
    one.go("/")
    one.press("start.own.go")
    one.at("/data$")
    one.choose("data.files", tmp_path / f"{name}.csv")
    one.at(r"/data/look\?place=uploads")
    one.page.frame_locator("iframe.rows-made").locator("table.sheet").first.wait_for()
    one.page.locator("details summary").first.click()
    one.look(again=True)
    before = one.page.locator(".price b").inner_text()
    one.page.locator("#f-minutes").fill("50")
    assert one.page.locator(".price b").inner_text() != before
    one.page.locator("#f-minutes").fill("1")
    one.page.locator("#f-recipe").select_option("cart")
    one.press("train.go")
    verdict(one)
    one.press("tab.money")
    one.at("/money$")
    one.page.locator("#f-today").fill("0.5")
    one.page.locator("#f-currency").fill("USD")
    one.press("tab.permission")
    one.at("/permission$")
    one.press("tab.make")
    one.at("/make$")
    one.page.locator("select[name='given.1']").select_option("a")
    one.page.locator("#f-n").fill("0")
    one.press("make.go")
    one.page.locator("[role=alert]:visible").wait_for()
    one.look(again=True)
    one.page.locator("#f-n").fill("20")
    one.press("make.go")
    one.at("/made/made$")
    cells = one.page.locator("table.sheet tbody td:nth-child(2)").all_inner_texts()
    assert len(cells) == 20 and set(cells) == {"a"}


@TWO
def test_a_folder_of_pictures_is_learned_from_through_reloads_stops_and_two_tabs(
    walk: Begin, server: Server, lang: str, size: Size
) -> None:
    one = walk(lang, size)
    one.go("/data")
    one.choose("data.folder", server.root / "shades")
    one.at(r"/data/look\?place=uploads")
    one.page.locator(".wide-sheet img").wait_for()
    one.look(again=True)
    one.page.locator("#f-run").fill(f"shades-{lang}")
    one.page.locator("#f-minutes").fill("1.5")
    one.page.locator("#f-assay").uncheck()
    one.press("train.go")
    one.at("/training$")
    page = one.page
    page.locator("svg.curves").first.wait_for()
    one.look(again=True)
    moved(page, curve(page))
    page.reload()
    assert len(curve(page)) > 20, "a reload loses no curve"
    other = one.opened()
    other.goto(page.url)
    assert len(curve(other)) > 20
    box = one.text("training.stop", other).bounding_box()
    other.mouse.move(box["x"] + 5, box["y"] + 5)
    other.mouse.down()
    other.wait_for_timeout(3000)  # in which the page would have been brought up to date
    other.mouse.up()
    one.text("training.continue", other).wait_for()
    one.text("training.continue").wait_for()  # which the first tab learns by itself
    there = curve(page)
    page.reload()
    assert curve(page) == there
    one.press("training.continue")
    one.text("training.stop").wait_for()
    one.press("training.stop")
    one.text("training.continue").wait_for()


@FOUR
def test_a_review_goes_on_key_by_key_to_what_came_of_it(walk: Begin, lang: str, size: Size) -> None:
    one = walk(lang, size)
    one.go("/runs/lines/review")
    one.page.locator("#plan").select_option("all")
    one.page.locator("#by").fill(f"{lang}-{size['width']}")
    one.press("review.begin")
    one.at("/review[?]")
    page, count = one.page, one.page.locator("[data-count]")
    total = int(page.get_attribute("[data-review]", "data-total"))
    page.locator("[data-look] .item").wait_for()
    one.look(again=True)

    def shows(n: int) -> None:
        told = one.t("review.count", n=n, all=total)
        page.wait_for_function("text => document.querySelector('[data-count]').textContent === text", arg=told)
        page.locator("[data-look] .item").wait_for()

    shows(1)
    page.keyboard.press("a")
    shows(2)
    page.locator("[data-does=reject]").first.click()  # as on a phone
    shows(3)
    page.keyboard.press("u")
    shows(2)
    page.keyboard.press("e")
    page.keyboard.press("End")
    page.keyboard.type(" Mended.")
    one.press("review.mend.save")
    for n in range(3, total + 1):
        shows(n)
        page.keyboard.press("a")
    one.text("review.done").wait_for()
    one.look(again=True)
    assert count.count() == 0 and page.get_by_text(f"{lang}-{size['width']}").first.is_visible()


@FOUR
def test_two_runs_are_chosen_and_compared(walk: Begin, lang: str, size: Size) -> None:
    one = walk(lang, size)
    one.go("/runs")
    for name in ("orders", "second"):
        one.page.get_by_label(one.t("runs.pick", name=name)).check()
    one.press("runs.compare")
    one.at("/compare/[0-9a-f]+$")
    one.page.frame_locator("iframe.report").locator("table.compared").wait_for()
    one.look(again=True)
    one.press("compare.title")
    one.at("/compare$")


@FOUR
def test_files_are_checked_and_one_whose_label_lies_beside_it_is_asked_for(
    walk: Begin, server: Server, tmp_path: Path, lang: str, size: Size
) -> None:
    whole = (server.root / "rows.csv").read_text().splitlines(keepends=True)
    foreign, changed = tmp_path / "foreign" / "rows.csv", tmp_path / "rows.csv"
    foreign.parent.mkdir()
    foreign.write_text("name,word\nAda,yes\nBo,no\n")
    changed.write_text("".join([*whole[:-1], re.sub(r"\d+", "99", whole[-1])]))
    label = shutil.copy(server.root / "rows.csv.label.json", tmp_path)
    one = walk(lang, size)
    one.go("/check")
    chosen = one.page.locator("input[type=file]")
    states = one.page.locator(".checked .state").first
    chosen.set_input_files(foreign)
    one.page.locator(".checked").wait_for()
    assert states.inner_text() == one.t("check.state.no_label")
    assert one.page.get_by_text(one.t("check.beside", label="rows.csv.label.json")).is_visible()
    one.look(again=True)
    chosen.set_input_files([changed, label])
    one.text("check.state.edited").wait_for()
    chosen.set_input_files([server.root / "rows.csv", label])
    one.text("check.state.intact").wait_for()
    one.look(again=True)


@TWO
def test_a_lost_server_is_said_and_what_is_shown_stays_and_goes_on_once_it_is_back(
    walk: Begin, server: Server, lang: str, size: Size
) -> None:
    one = walk(lang, size, goes=True)
    one.go("/data/look?place=digits")
    one.page.locator("#f-minutes").fill("2")
    one.page.locator("#f-run").fill(f"lost-{lang}")
    one.page.locator("#f-assay").uncheck()
    one.press("train.go")
    one.page.locator("svg.curves").first.wait_for()
    server.kill()
    one.page.locator(".lost").wait_for(state="visible")
    one.look(again=True)
    there = curve(one.page)
    assert len(there) > 20
    server.start()
    one.page.locator(".lost").wait_for(state="hidden")
    moved(one.page, there)
    one.press("training.stop")
    one.text("training.continue").wait_for()


@FOUR
def test_the_back_button_leads_back_through_a_search(walk: Begin, lang: str, size: Size) -> None:
    one = walk(lang, size)
    page, found = one.page, one.page.locator("#found")
    one.go("/runs")
    page.get_by_role("searchbox").press_sequentially("cart secon", delay=20)
    page.wait_for_url(re.compile("q=cart"))
    found.get_by_text("orders", exact=True).wait_for(state="detached")
    found.get_by_role("link", name="second").click()
    one.at("/runs/second/training$")
    page.go_back()
    one.at("q=cart")
    assert page.get_by_role("searchbox").input_value() == "cart secon"
    page.go_back()
    found.get_by_role("link", name="orders").first.wait_for()


@FOUR
def test_the_keyboard_alone_is_enough(walk: Begin, lang: str, size: Size) -> None:
    one = walk(lang, size)
    page, pressed = one.page, list[str]()
    one.go("/")
    while len(pressed) < 30 and "pictures" not in pressed:
        page.keyboard.press("Tab")
        pressed.append(page.evaluate("document.activeElement.value || document.activeElement.getAttribute('href')"))
        seen = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert seen != "none" or pressed[-1] == "#main"
    assert pressed[:2] == ["#main", "/"] and "pictures" in pressed and "/data" in pressed
    one.go("/runs/orders/training")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('href')") == "/runs/orders/notes":
            break
    page.keyboard.press("Enter")
    one.at("/runs/orders/notes$")
    page.locator("#tags").focus()
    page.keyboard.press("Control+a")
    page.keyboard.type(f"by hand {lang} {size['width']}")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("link", name=f"by hand {lang} {size['width']}").wait_for()


PAGES = (
    *("/data/look?place=orders.csv", "/data/look?place=lines.txt", "/data/look?place=nothing.csv", "/bin", "/login"),
    *(f"/runs/orders/{tab}" for tab in ("verdict", "money", "permission", "permission?policy=cn", "explore", "make")),
    *("/runs/orders/explore?c1=a", "/runs/drawn/explore", "/runs/drawn/explore?way=between", "/runs/lines/explore"),
    *("/runs/drawn/make", "/runs/lines/make", "/runs/drawn/made/made", "/runs/lines/made/made", "/runs/drawn/review"),
    *("/runs/nobody/training", "/compare/0123456789", "/runs/orders/made/nothing", "/nothing"),
)


@pytest.mark.parametrize(
    ("lang", "size", "dark"),
    [("en", DESKTOP, False), ("zh", DESKTOP, True), ("en", PHONE, True), ("zh", PHONE, False)],
    ids=["desktop-en", "desktop-zh-dark", "phone-en-dark", "phone-zh"],
)
def test_every_other_page_keeps_nobody_out_either(walk: Begin, lang: str, size: Size, dark: bool) -> None:
    one = walk(lang, size, dark=dark)
    for path in PAGES:
        missing = one.page.goto(path).status >= 400
        if "look" in path and not missing:
            one.page.locator("#f-minutes").wait_for()
            one.page.locator("details.more summary").click()
        if "explore" in path and "orders" not in path:
            one.page.locator(".cell").first.click()
            one.page.locator("#near .nearest").wait_for()
        one.look(again=True)
