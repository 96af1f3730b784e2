"""Pages by a plain client: each in both languages, with all that it says in the tables, and nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import karat
from karat.languages import language
from karat.studio.page import CODES, STATIC, local

ROOT = Path(karat.__file__).parent / "studio"


PAGES = (
    *("/", "/runs", "/runs?q=nothing", "/data", "/data/look?place=orders.csv", "/bin", "/compare"),
    *(f"/runs/orders/{tab}" for tab in ("verdict", "training", "money", "permission?policy=cn", "notes")),
    "/data/look/part?place=orders.csv",
)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_there_in_each_language(visitor: TestClient, path: str, code: str) -> None:
    answer = visitor.get(path, headers={"Accept-Language": f"fr,{code}-XX;q=0.8"})
    assert answer.status_code == 200
    if "/part" not in path:
        assert f'<html lang="{language(code).say("form.lang")}">' in answer.text
        assert language(code).say("studio.nav.data") in answer.text


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_nothing_from_elsewhere_and_holds_no_script_or_style_of_its_own(
    visitor: TestClient, path: str
) -> None:
    text = visitor.get(path).text
    assert not re.search(r"""(?:src|href|action)=["'](?:https?:)?//""", text)
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", text)
    for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', text):
        assert visitor.get(address).status_code == 200


def test_the_language_and_the_role_that_were_chosen_stay(visitor: TestClient) -> None:
    answer = visitor.post("/language", data={"to": "zh", "next": "/runs?q=a"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs?q=a")
    visitor.post("/role", data={"to": "finance", "next": "/"})
    text = visitor.get("/", headers={"Accept-Language": "en"}).text
    assert language("zh").say("studio.start.title") in text and '"finance" selected' in text
    visitor.post("/language", data={"to": "xx", "next": "/"})
    assert language("zh").say("studio.start.title") in visitor.get("/").text


@pytest.mark.parametrize(
    "address", ["https://a.example/", "//a.example", "/\\a.example", "javascript:x", "", "/\r\nx: y"]
)
def test_a_switch_leads_to_no_other_place(address: str) -> None:
    assert local(address) == "/"


def test_a_file_that_is_none_of_ours_is_a_page_that_says_so(visitor: TestClient) -> None:
    answer = visitor.get("/static/%2e%2e%2fpage.py")
    assert answer.status_code == 404
    assert "<h1>" in visitor.get("/static/page.py").text and set(STATIC) >= {"studio.css", "report.css"}


def test_all_that_pages_say_is_in_the_tables() -> None:
    asked = set()
    for path in [*ROOT.rglob("*.py"), *ROOT.rglob("*.j2")]:
        text = path.read_text(encoding="utf-8")
        asked |= {f"studio.{key}" for key in re.findall(r"""\bt\(\s*["']([\w.]+)["'][,)]""", text)}
        asked |= set(re.findall(r"""\bsay\(\s*["']([\w.]+)["'][,)]""", text))
    assert len(asked) > 20
    for code in CODES:
        assert asked <= set(language(code).texts), asked - set(language(code).texts)
