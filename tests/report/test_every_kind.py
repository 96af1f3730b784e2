"""The report of each kind of content in a real browser: on a screen, in the dark on a phone, on paper, in both languages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FROZEN = Path(__file__).parents[1] / "frozen" / "test_frozen.py"
WAYS = ((1200, "light", "screen"), (390, "dark", "screen"), (688, "light", "print"))


def frozen() -> ModuleType:
    """The six small data sets of the golden files."""
    spec = spec_from_file_location("six", FROZEN)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SIX = frozen()


class Visible(HTMLParser):
    """What a person sees of a page, but for commands and cells of data; and what is read out to who does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden += tag in HIDDEN
        self.texts += [value for name, value in attrs if name in ("title", "alt", "aria-label") and value]

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in HIDDEN

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.texts.append(" ".join(data.split()))


HIDDEN = ("style", "script", "pre", "code", "td")
ENGLISH = re.compile(r"[A-Za-z][a-z]+(?: [A-Za-z][a-z]+)+")  # two words of a language; one may be a name
NAMES = re.compile(
    r"(owner|animal) (id|owner)|kind (up|down)|day of the week|unique id|karat (look|make|train|assay)[ -].*|train|assay"
)


def english(run: Path) -> set[str]:
    """What stands in English on the page of a run in another language, but for names, and the words of its recipe."""
    page = Visible()
    page.feed((run / "report/report.html").read_text(encoding="utf-8"))
    recipe = json.loads((run / "report/report.json").read_text(encoding="utf-8"))["recipe"]
    own = {" ".join(str(value).split()) for value in recipe.values()}
    return {
        said
        for text in page.texts
        if text not in own and not text.startswith("karat ")
        for said in ENGLISH.findall(text)
        if not NAMES.match(said)
    }


@pytest.fixture(params=sorted(SIX.KINDS))
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    source, *settings = SIX.KINDS[request.param](tmp_path)
    SIX.said("train", source, *settings, "--out", "run", "--threads", "1")
    yield tmp_path / "run"


@pytest.mark.exam
def test_a_report_of_each_kind_opens_everywhere_in_both_languages(run: Path, browser: Any) -> None:
    said: list[str] = []
    asked: list[str] = []
    for code in ("en", "zh"):
        SIX.said("assay", "run", "-n", "200", "--threads", "1", "--lang", code)
        for width, scheme, media in WAYS:
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page.on("console", lambda message: said.append(message.text))
            page.on("request", lambda request: asked.append(request.url))
            page.emulate_media(media=media, color_scheme=scheme)
            page.goto((run / "report/report.html").as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width or media == "print"
            assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
            if media == "print":
                assert page.locator(".board").bounding_box()["height"] <= 1017, "the first page is one sheet of A4"
            text = page.locator(".board").inner_text()
            assert (code == "zh") == any("\u4e00" <= letter <= "\u9fff" for letter in text)
            page.close()
        assert code == "en" or english(run) == set()
    assert said == [] and all(url.startswith(("file:", "data:")) for url in asked)
