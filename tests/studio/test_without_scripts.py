"""Pages of a browser that runs no scripts: what a script asks for can be had by a form or a link, or the page says so."""

from __future__ import annotations

import re

from fastapi.testclient import TestClient

from karat.languages import language
from karat.server.served import Served

EN = language("en")
PAGES = (
    *(
        "/",
        "/data",
        "/data/look?place=orders.csv",
        "/data/look?place=orders.csv&now=yes",
        "/runs",
        "/bin",
        "/check",
        "/compare",
    ),
    *(
        f"/runs/orders/{tab}"
        for tab in ("verdict", "training", "money", "permission", "make", "review", "explore", "notes")
    ),
)
SCRIPTED = re.compile(r'<(?!script|link)(\w+)[^>]*\s(?:hx-get|data-submits|data-drop)(?![^>]*"happened")[^>]*>')


def test_what_a_script_does_a_form_or_a_link_does_too_or_the_page_says_that_it_cannot(visitor: TestClient) -> None:
    found = 0
    for path in PAGES:
        text = visitor.get(path).text
        for tag in SCRIPTED.finditer(text):
            found += 1
            assert "<noscript>" in text[tag.start() : tag.start() + 4000], (path, tag[0])
        for told in re.findall(r"<noscript>(.*?)</noscript>", text, re.DOTALL):
            assert "<button" in told or "href" in told or len(told) > 20, (path, told)
    assert found > len(PAGES), "each page has the switch of roles"


def test_the_survey_comes_with_its_page_where_no_script_fetches_it(visitor: TestClient) -> None:
    link = re.search(r'<noscript><p><a class="button" href="([^"]+)"', visitor.get("/data/look?place=orders.csv").text)
    assert link is not None
    text = visitor.get(link[1].replace("&amp;", "&")).text
    assert text.startswith("<!doctype html>") and 'action="/train"' in text and "stylesheet" in text


def test_a_training_is_loaded_again_by_itself_until_it_is_over(visitor: TestClient) -> None:
    found: Served = visitor.app.state.served  # type: ignore[attr-defined]
    found.jobs.close()
    refresh = '<noscript><meta http-equiv="refresh"'
    assert refresh not in visitor.get("/runs/orders/training").text
    visitor.post("/runs/orders/assay")
    assert refresh in visitor.get("/runs/orders/training").text


def test_a_review_says_that_it_needs_scripts(visitor: TestClient) -> None:
    visitor.post("/runs/orders/make", data={"n": "5", "seed": "0", "form": ".csv"})
    text = visitor.get("/runs/orders/review?of=made&by=mei&plan=all").text
    assert f'<noscript><p class="settle">{EN.say("studio.review.noscript")}' in text
