"""A review in the page is the review in the terminal: one file of decisions, whatever the connection does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients import client_of
from fastapi.testclient import TestClient

import karat
from karat.chain import Chain
from karat.languages import language
from karat.options import ReviewOptions, ServeOptions
from karat.provenance.label import parse
from karat.review.decisions import FILE, REASONS
from karat.run import Run
from karat.server.guard.guard import keys_of
from karat.workflow.people.reviewing import looked, made_in, reviewed_of, session_of
from karat.worth.ledger import Ledger

HERE = "/runs/orders/review"


@pytest.fixture
def made(root: Path, client: TestClient) -> Iterator[TestClient]:
    """A client of a run that has made 20 rows."""
    karat.make(root / "runs" / "orders", n=20, threads=1)
    with client:
        yield client


def query(by: str = "mei", of: str = "made") -> str:
    return f"of={of}&by={by}&plan=5%25"


def press(position: int, verdict: str = "accept", **more: Any) -> dict[str, Any]:
    return {"press": f"{position}{verdict}", "verdict": verdict, "position": position, "seconds": 2.0, **more}


def send(client: TestClient, presses: list[dict[str, Any]], by: str = "mei") -> dict[str, Any]:
    answer = client.post(f"{HERE}/presses?{query(by)}", json=presses)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def lines(root: Path) -> list[dict[str, Any]]:
    path = root / "runs" / "orders" / FILE
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_what_is_decided_in_the_page_is_what_the_terminal_goes_on_with(made: TestClient, root: Path) -> None:
    some = [press(0), press(1, "reject", reason="damaged"), press(2), press(3, "undo")]
    assert send(made, some) | {"total": 0} == {"position": 2, "total": 0, "refused": []}
    run = root / "runs" / "orders"
    terminal, _ = session_of(looked(run, ReviewOptions(run), lambda run, n: None), ReviewOptions(run, reviewer="mei"))
    assert [(d.verdict, d.reason, d.seconds) for d in terminal.done] == [
        ("accept", "", 2.0),
        ("reject", "damaged", 2.0),
    ]
    terminal.decide("accept", seconds=1.0)
    total = len(terminal.looks)
    assert made.post(f"{HERE}/presses?{query()}", json=[]).json() == {"position": 3, "total": total, "refused": []}
    roles = {look.role for look in terminal.looks}
    assert roles == {"made", "again", "real", "scrambled"}, "hidden ones are among them"
    audit = Chain(run / FILE).audit()
    assert audit.holds and audit.sealed and not audit.unsealed and audit.lines == 5


def test_all_that_was_looked_at_counts_for_the_verdict_and_stands_in_the_ledger(made: TestClient, root: Path) -> None:
    run = Run.open(root / "runs" / "orders")
    terminal, _ = session_of(
        looked(run.path, ReviewOptions(run), lambda run, n: None), ReviewOptions(run, reviewer="mei")
    )
    says = ["reject" if look.role == "scrambled" else "accept" for look in terminal.looks]
    send(made, [press(i, verdict, reason="unrealistic" * (verdict == "reject")) for i, verdict in enumerate(says)])
    found = reviewed_of(run.path)
    assert (found.accepted, found.seen, found.seconds) == (20, 20, 2.0) and not found.stamps
    entry = Ledger(run.path / "ledger.jsonl").entries()[-1]
    assert entry.verb == "review" and entry.note.startswith("20 of 20 accepted, 2.0 s each")
    text = made.get(f"{HERE}?{query()}").text
    assert "<b>20 / 20</b>" in text and language("en").say("studio.review.done") in text
    made.post(f"{HERE}/undo?{query()}")
    assert f'data-position="{len(says) - 1}"' in made.get(f"{HERE}?{query()}").text


def test_what_was_sent_twice_counts_once_and_an_undo_is_not_done_twice(made: TestClient, root: Path) -> None:
    some = [press(0), press(1, "undo"), press(0, "reject")]
    assert send(made, some)["position"] == 1
    assert send(made, some) | {"total": 0} == {"position": 1, "total": 0, "refused": []}, (
        "the answer was lost, so it is sent again"
    )
    assert [line["verdict"] for line in lines(root)] == ["accept", "undo", "reject"]


def test_two_windows_do_not_decide_twice(made: TestClient, root: Path) -> None:
    send(made, [press(0), press(1)])
    late = {**press(0, "reject"), "press": "other"}
    answer = send(made, [late])
    assert (answer["position"], answer["refused"]) == (2, ["other"]), "and the window goes on from there"
    assert [line["verdict"] for line in lines(root)] == ["accept", "accept"]
    assert send(made, [press(0)], by="tom")["position"] == 1, "another reviewer says for himself"


def test_a_server_that_starts_anew_knows_all_that_it_answered(made: TestClient, root: Path) -> None:
    send(made, [press(0), press(1)])
    with client_of(ServeOptions([root / "runs"], root=root)) as again:
        assert send(again, [press(0), press(1), press(2)])["position"] == 3
    assert len(lines(root)) == 3


def test_a_row_that_came_back_mended_is_kept_and_another_row_is_not(made: TestClient, root: Path) -> None:
    run = root / "runs" / "orders"
    session, _ = session_of(looked(run, ReviewOptions(run), lambda run, n: None), ReviewOptions(run, reviewer="mei"))
    at = next(i for i, look in enumerate(session.looks) if look.role == "made")
    send(made, [press(i, "reject") for i in range(at)])
    odd = press(at, "edit", text={"age": "30"}, mending=1.0)
    assert send(made, [odd])["refused"] == [odd["press"]], "a row without all its cells is none"
    assert send(made, [press(at, "edit", text={"age": "30", "kind": None}, mending=1.5)])["position"] == at + 1
    kept = lines(root)[-1]
    assert (kept["verdict"], kept["seconds"], kept["mending"]) == ("edit", 0.5, 1.5)
    assert json.loads((run / "review" / "edited" / kept["mended"]).read_text()) == {"age": "30", "kind": None}
    assert "AIGC" in (run / "review" / "edited" / f"{kept['mended']}.label.json").read_text()


ODD: tuple[Any, ...] = (
    {"press": 1},
    [1],
    [{"press": "a", "verdict": "bless", "position": 0}],
    [{"press": "a", "verdict": "accept"}],
    [{"press": "a", "verdict": "accept", "position": "0"}],
    [{"press": "a", "verdict": "accept", "position": 0, "seconds": -1}],
    [{"press": "a", "verdict": "accept", "position": 0, "reviewer": "tom"}],
    [{"press": "", "verdict": "accept", "position": 0}],
    [{"press": "a", "verdict": "reject", "position": 0, "reason": "<script>"}],
)


def test_what_no_page_sends_is_refused_and_nothing_is_written(made: TestClient, root: Path) -> None:
    for odd in ODD:
        assert made.post(f"{HERE}/presses?{query()}", json=odd).status_code == 400, odd
    assert not lines(root)


def test_only_what_the_run_made_can_be_reviewed(made: TestClient) -> None:
    for of in ["../orders/made", "..", "model", "made-9", "ledger.jsonl", "made/../made"]:
        assert made.get(HERE, params={"of": of, "by": "mei"}).status_code == 400
        assert made.get(f"{HERE}/look/0", params={"of": of}).status_code == 400


def test_each_look_is_there_in_words_that_are_escaped_and_none_says_what_it_is(made: TestClient) -> None:
    total = send(made, [])["total"]
    forms = set()
    for k in range(total):
        text = made.get(f"{HERE}/look/{k}?{query()}").text
        assert "<i>" not in text
        forms.add(re.sub(r"(<td[^>]*>)[^<]*|\d+", r"\1", text))
    assert len(forms) == 1, "a real row and a scrambled one look as a made one does"
    assert made.get(f"{HERE}/look/{total}?{query()}").status_code == 400


def test_the_nearest_training_record_stands_beside_and_why_where_there_is_none(made: TestClient, root: Path) -> None:
    text = made.get(f"{HERE}/near/0?{query()}").text
    assert "<table" in text and "age" in text
    record = root / "runs" / "orders" / "karat.json"
    record.write_text(record.read_text().replace("orders.csv", "elsewhere.csv"))  # as a stranger's run may say
    with client_of(ServeOptions([root / "runs"], root=root)) as again:
        text = again.get(f"{HERE}/near/0?{query()}").text
        assert language("en").say("studio.review.near.none") in text and str(root) not in text
        assert again.get(f"{HERE}/look/0?{query()}").status_code == 200, "it is reviewed without"


@pytest.mark.parametrize("code", ["en", "zh"])
def test_the_pages_of_a_review_are_there_in_each_language(code: str, made: TestClient) -> None:
    for path in (HERE, f"{HERE}?{query()}"):
        text = made.get(path, headers={"Accept-Language": code}).text
        assert language(code).say("studio.tab.review") in text
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", text)
    for key in REASONS:
        assert language(code).say(f"studio.review.reason.{key}") in text


def test_a_run_that_has_made_nothing_says_so(client: TestClient) -> None:
    assert language("en").say("studio.review.none") in client.get(HERE).text


def test_a_picture_of_a_review_tells_nobody_where_it_is_from_and_has_a_label(
    pictures: TestClient, picture_root: Path
) -> None:
    here = "/runs/digits/review"
    karat.make(picture_root / "runs" / "digits", n=5, threads=1)
    total = pictures.post(f"{here}/presses?{query()}", json=[]).json()["total"]
    answers = [pictures.get(f"{here}/file/{k}?{query()}") for k in range(total)]
    assert all(answer.status_code == 200 and answer.headers["content-type"] == "image/png" for answer in answers)
    labels = {answer.headers["x-karat-label"] for answer in answers}
    assert len(labels) == 1 and parse(labels.pop()), "one for all: made, real and scrambled"
    assert not any(b"AIGC" in answer.content for answer in answers)
    assert 'src="/runs/digits/record/' in pictures.get(f"{here}/near/0?{query()}").text
    assert pictures.get("/runs/digits/record/0").headers["content-type"] == "image/png"
    assert pictures.get("/runs/digits/record/99999").status_code == 404
    at = next(k for k, look in enumerate(_looks(picture_root)) if look == "made")
    pictures.post(f"{here}/presses?{query()}", json=[press(k, "reject") for k in range(at)])
    form = {"press": "m", "position": str(at), "seconds": "3", "mending": "1"}
    odd = pictures.post(f"{here}/mended?{query()}", data=form, files={"file": ("x.jpg", b"..")})
    assert odd.status_code == 400, "another kind of file than was taken"
    for _ in range(2):  # the answer was lost
        good = pictures.post(f"{here}/mended?{query()}", data=form, files={"file": ("x.png", answers[at].content)})
        assert good.json() == {"position": at + 1, "total": total, "refused": []}
    edited = picture_root / "runs" / "digits" / "review" / "edited"
    assert [path.read_bytes() for path in edited.glob("*.png")] == [answers[at].content]


def _looks(root: Path) -> list[str]:
    run = root / "runs" / "digits"
    session, _ = session_of(looked(run, ReviewOptions(run), lambda run, n: None), ReviewOptions(run, reviewer="mei"))
    return [look.role for look in session.looks]


def test_what_was_made_in_a_form_that_holds_its_label_is_found_by_a_review(root: Path) -> None:
    run = Run.open(root / "runs" / "orders")
    karat.make(run, n=4, out=run.path / "made-7" / "made.parquet", threads=1)
    assert [path.name for path in made_in(run)] == ["made-7"]
    assert np.isfinite(made_in(run)[0].stat().st_mtime)


def test_who_has_a_key_decides_under_its_name_alone(root: Path) -> None:
    karat.make(root / "runs" / "orders", n=20, threads=1)
    key = keys_of(root).add("ann=review,read")
    with client_of(ServeOptions([root / "runs"], root=root), key) as client:
        assert " readonly" in client.get(HERE).text
        assert send(client, [press(0)], by="tom")["position"] == 1
        assert client.post(f"{HERE}/presses?{query('tom')}", content=b"{odd").status_code == 400
    assert [line["reviewer"] for line in lines(root)] == ["ann"]
    other = keys_of(root).add("bob=make,read")
    with client_of(ServeOptions([root / "runs"], root=root), other) as client:
        assert client.post(f"{HERE}/presses?{query()}", json=[press(1)]).status_code == 403
        assert client.get("/runs/orders/record/0").status_code == 403, "nor sees what is real"
