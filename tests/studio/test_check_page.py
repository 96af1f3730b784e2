"""A file that is dropped on the page is known as the command line knows it, and nothing of it stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import karat
from karat.languages import language

NAMES = ("intact", "stripped", "edited", "relabelled", "other_key", "no_label", "damaged")


def state(client: TestClient, *files: tuple[str, bytes], run: str = "") -> list[str]:
    answer = client.post("/check", files=[("file", (name, blob)) for name, blob in files], data={"run": run})
    assert answer.status_code == 200
    heads = [part.partition("<h2")[0] for part in answer.text.split('<section class="checked')[1:]]
    return [name for head in heads for name in NAMES if f">{language('en').say(f'studio.check.state.{name}')}<" in head]


@pytest.fixture
def made(root: Path) -> Path:
    karat.make(root / "runs" / "orders", n=12, out=root / "rows.parquet", threads=1)
    karat.make(root / "runs" / "orders", n=12, out=root / "rows.csv", seed=2, threads=1)
    return root


def test_the_states_are_those_of_the_command_line(visitor: TestClient, made: Path) -> None:
    blob, plain = (made / "rows.parquet").read_bytes(), (made / "rows.csv").read_bytes()
    beside = (made / "rows.csv.label.json").read_bytes()
    assert state(visitor, ("a.parquet", blob)) == ["intact"]
    assert state(visitor, ("rows.csv", plain)) == ["stripped"], "the run remembers it"
    assert state(visitor, ("rows.csv", plain), ("rows.csv.label.json", beside)) == ["intact"]
    assert state(visitor, ("rows.csv", plain + b"1,a\n"), ("rows.csv.label.json", beside)) == ["edited"]
    assert state(visitor, ("orders.csv", (made / "orders.csv").read_bytes()), run="orders") == ["no_label"]
    assert state(visitor, ("a.parquet", blob[:200]), ("b.txt", b"hello")) == ["damaged", "no_label"]


def test_where_the_label_lies_beside_a_file_it_is_asked_for(visitor: TestClient, made: Path) -> None:
    def asks(*files: tuple[str, bytes]) -> bool:
        text = visitor.post("/check", files=[("file", each) for each in files]).text
        return language("en").say("studio.check.beside", label="rows.csv.label.json") in text

    changed = (made / "rows.csv").read_bytes().replace(b"a", b"b", 1)
    label = ("rows.csv.label.json", (made / "rows.csv.label.json").read_bytes())
    assert asks(("rows.csv", changed)) and not asks(("rows.csv", changed), label)
    assert not asks(("a.png", b"no picture"))


def test_a_name_is_only_a_name_and_nothing_is_kept(visitor: TestClient, made: Path) -> None:
    before = sorted(path for path in made.rglob("*") if ".karat" not in path.parts)
    for name in (
        "../../x.csv",
        "..\\..\\x.csv",
        "/etc/x.csv",
        "<img src=x onerror=y>.csv",
        "x" * 300 + ".csv",
        "com1.csv",
    ):
        answer = visitor.post("/check", files={"file": (name, b"a,b\n1,2\n")})
        assert answer.status_code == 200 and "<img src=x" not in answer.text
        assert language("en").say("studio.check.state.no_label") in answer.text
    assert sorted(path for path in made.rglob("*") if ".karat" not in path.parts) == before


def test_a_form_without_a_file_and_a_run_that_is_none_are_refused_in_words(visitor: TestClient) -> None:
    assert visitor.post("/check", data={"run": ""}).status_code == 400
    answer = visitor.post("/check", files={"file": ("a.csv", b"x")}, data={"run": "nobody"})
    assert answer.status_code in (400, 404) and "nobody" in answer.text
