"""What stands in the fields of forms: what nobody can see, or is too long, is refused on a page, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from clients import client_of
from fastapi.testclient import TestClient

from karat.languages import language
from karat.options import ServeOptions
from karat.server.guard.guard import keys_of
from karat.studio.forms import LONGEST
from karat.worth.policy import Policy

FORMS = {  # each form of the studio, as a person may send it
    "/runs/orders/notes": {"tags": "spring", "note": "for Mei"},
    "/runs/orders/money": {"use": "3", "currency": "USD", "today": "0.5", "rights": "1", "licence": ""},
    "/runs/orders/sign": {"policy": "eu", "who": "Ada", "what": Policy.load("eu").signatures[0].what},
    "/runs/orders/assay": {"policy": ""},
    "/runs/orders/make": {
        "n": "3",
        "seed": "0",
        "form": ".csv",
        "given.0.low": "30",
        "given.1": "a",
        "given": "",
        "gate": "",
    },
    "/train": {"place": "orders.csv", "name": "new", "recipe": "cart", "minutes": "0.1", "set": "", "schema": ""},
    "/compare": {"run": "orders"},
    "/bin/restore": {"key": "1-orders"},
    "/language": {"to": "zh", "next": "/"},
    "/role": {"to": "finance", "next": "/"},
    "/try": {"on": "table"},
    "/login": {"key": "word", "next": "/"},
}
HOSTILE = {
    "a line break": "a\nb",
    "a NUL": "a\0b",
    "an escape": "\x1b[2J",
    "a mark that turns the line": "\u202egnp.exe",
    "half a character": "a\u2028b",
    "a megabyte": "x" * 2**20,
    "too much": "x" * (LONGEST + 1),
}


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file() and ".db" not in path.name
    }


@pytest.mark.parametrize("what", HOSTILE)
def test_no_field_of_any_form_takes_what_nobody_can_see_or_reads(visitor: TestClient, root: Path, what: str) -> None:
    visitor.get("/runs/orders/make")
    before = files(root)
    for path, form in FORMS.items():
        for name in form:
            if what == "a line break" and name in ("note", "set", "gate"):
                continue
            answer = visitor.post(
                path, data={**form, name: HOSTILE[what]}, headers={"accept": "text/html"}, follow_redirects=False
            )
            assert answer.status_code == (413 if what == "a megabyte" else 400), (path, name)
            assert "set-cookie" not in answer.headers, (path, name)
            assert answer.headers["content-type"].startswith("text/html"), (path, name)
    assert files(root) == before
    assert visitor.get("/v1/jobs").json()["data"] == []


def test_a_note_has_lines_and_a_name_its_own_script(visitor: TestClient) -> None:
    note = "erste Zeile\r\n第二行\tمرحبا 👩\u200d🔬"
    assert visitor.post("/runs/orders/notes", data={"tags": "עברית", "note": note}).status_code == 200
    text = visitor.get("/runs/orders/notes").text
    assert "👩\u200d🔬" in text and "עברית" in text


def test_whoever_decides_in_a_review_has_a_name_of_one_line(visitor: TestClient) -> None:
    for by in ("a\nb", "\u202eb"):
        assert visitor.get("/runs/orders/review", params={"of": "made", "by": by}).status_code == 400


@pytest.mark.parametrize("path", ["/nothing", "/runs/orders/explore/thing/x", "/v1/nothing"])
def test_an_address_where_nothing_is_says_so_to_a_person_as_a_page_and_to_a_program_as_json(
    visitor: TestClient, path: str
) -> None:
    page = visitor.get(path, headers={"accept": "text/html,*/*;q=0.8", "accept-language": "zh"})
    assert page.status_code in (404, 422) and page.headers["content-type"].startswith("text/html")
    assert language("zh").say("studio.failure.title") in page.text
    if path != "/runs/orders/explore/thing/x":
        assert visitor.get(path).json()["error"]["code"] == "not_found"


def test_what_a_key_may_not_do_is_said_on_a_page(root: Path) -> None:
    key = keys_of(root).add("ann=review")
    with client_of(ServeOptions([root / "runs"], root=root), key) as ann:
        page = ann.post("/runs/orders/assay", headers={"accept": "text/html", "accept-language": "zh"})
    assert page.status_code == 403 and "密钥 ann 不可以这样做" in page.text
