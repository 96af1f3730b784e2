"""The site of the documentation asks nothing of the network, and every page of it is in its list."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "object": "data",
}


class Resources(HTMLParser):
    """What a browser loads by itself; a link that somebody clicks is none."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        at = given.get(LOADS.get(tag, "")) or (
            given.get("href") if tag == "link" and given.get("rel") != "canonical" else None
        )
        if at is not None:
            self.found.append(at)
        if tag == "style" or "style" in given:
            self.found += re.findall(r"url\(([^)]+)\)", given.get("style") or "")


def fetched(page: str) -> list[str]:
    parser = Resources()
    parser.feed(page)
    return [at for at in parser.found if re.match(r"(https?:)?//", at)]


def test_every_page_of_the_documentation_is_in_the_list_of_the_site() -> None:
    listed = set(re.findall(r"([\w-]+\.md)$", (PROJECT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    assert listed == {path.name for path in (PROJECT / "docs").glob("*.md")}


def test_a_page_that_loads_something_from_elsewhere_would_be_found() -> None:
    page = '<link rel="stylesheet" href="https://fonts.example/x.css"><a href="https://arxiv.org"><script src="//cdn.example/a.js">'
    assert fetched(page) == ["https://fonts.example/x.css", "//cdn.example/a.js"]
    assert fetched('<link rel="canonical" href="https://here"><img src="a.png">') == []


@pytest.mark.exam
def test_the_site_is_built_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("mkdocstrings") is None:
        pytest.skip("`pip install -e '.[docs]'` brings what builds the site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len(list((PROJECT / "docs").glob("*.md")))
    for page in pages:
        assert fetched(page.read_text(encoding="utf-8")) == [], page.name
    for sheet in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name


NOT_OURS = {"runs/", "test/", "photos/", "shop/", "my_family.py", "flow.py", "evaluate.py"}  # of the person who reads
PLACE = re.compile(r"`((?:[a-z_]+/)*[a-z_]+\.py|(?:[a-z_]+/)+)`")
PAGES = [*sorted((PROJECT / "docs").glob("*.md")), *sorted(PROJECT.glob("*.md"))]


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "CHANGELOG.md"], ids=lambda p: p.name)
def test_a_file_or_folder_of_the_source_that_a_page_names_is_there(page: Path) -> None:
    known = [
        p.as_posix() + "/" * p.is_dir()
        for top in ("src/karat", "tests", "benchmarks")
        for p in (PROJECT / top).rglob("*")
    ]
    known += ["src/karat/", "tests/", "benchmarks/", "docs/", "site/"]
    for place in PLACE.findall(page.read_text(encoding="utf-8")):
        if place not in NOT_OURS:
            assert any(f"/{path}".endswith(f"/{place}") for path in known), f"there is no {place}"


@pytest.mark.parametrize("page", sorted(PROJECT.glob("*.md")), ids=lambda p: p.name)
def test_a_link_of_a_page_outside_the_site_leads_to_a_file(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)#\s]+)", prose):
        assert link.startswith("https://") or (PROJECT / link).exists(), link
