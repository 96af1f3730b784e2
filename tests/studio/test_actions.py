"""What a person does in pages, by a plain client: each form does what it says, and what cannot be is said on the page."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from karat.languages import language
from karat.options import TrainOptions
from karat.provenance.containers import CONTAINERS
from karat.run import Run
from karat.server.jobs import Job
from karat.server.served import Served
from karat.studio.forms import fields_of, read
from karat.studio.page import Viewer
from karat.studio.shelf import rows
from karat.worth.policy import Policy

EN = language("en")


def say(key: str, **values: object) -> str:
    return EN.say(f"studio.{key}", **values)


@pytest.fixture
def parts(visitor: TestClient) -> Served:
    """The parts of the server, whose jobs stay in the queue: no worker is started any more."""
    found: Served = visitor.app.state.served  # type: ignore[attr-defined]
    found.jobs.close()
    return found


def queue(parts: Served) -> list[Job]:
    return list(parts.jobs.list(("queued",)))[::-1]


# Data ---------------------------------------------------------------------------------------------------------------


def test_a_file_and_a_folder_are_kept_under_names_that_lead_nowhere_else(visitor: TestClient, root: Path) -> None:
    answer = visitor.post("/data/upload", files=[("files", ("../../evil\x00.csv", b"a,b\n1,2\n"))])
    names = ["pets/cats/1.png", "pets/../../../2.png", "pets/dogs/.hidden", "C:\\pets\\3.png"]
    first = visitor.post("/data/upload", files=[("files", (name, b"x")) for name in names])
    again = visitor.post(
        "/data/upload",
        files=[("files", ("pets/cats/9.png", b"y"))],
        data={"into": "pets"},
        headers={"accept": "application/json"},
    )
    assert answer.url.path == first.url.path == "/data/look" and again.json() == {
        "into": "pets",
        "place": "uploads/pets",
    }
    kept = {str(path.relative_to(root / "uploads")) for path in (root / "uploads").rglob("*") if path.is_file()}
    assert kept >= {"pets/cats/1.png", "pets/cats/9.png"} and len(kept) == 6
    assert not [path for path in root.parent.rglob("*evil*") if not path.is_relative_to(root / "uploads")]
    assert not [name for name in kept if ".." in Path(name).parts or any(p.startswith(".") for p in Path(name).parts)]


def test_an_upload_of_nothing_and_one_into_a_folder_of_others_are_refused(visitor: TestClient, root: Path) -> None:
    assert say("data.no_file") in visitor.post("/data/upload", files={"other": ("a", b"")}).text
    odd = visitor.post("/data/upload", files={"files": ("a.csv", b"1")}, data={"into": "../runs"})
    assert odd.status_code == 400 and not list((root / "runs").glob("a.csv"))


@pytest.mark.parametrize("place", ["../secret.csv", ".karat/jobs.db", "nothing.csv", "/etc/passwd"])
def test_what_lies_outside_or_is_hidden_is_not_looked_at(visitor: TestClient, root: Path, place: str) -> None:
    (root.parent / "secret.csv").write_text("a\n1\n")
    answer = visitor.get("/data/look", params={"place": place})
    assert answer.status_code == 400 and "nothing in the served folder" in answer.text
    assert visitor.get("/data", params={"at": place}).status_code == 400


def test_data_that_cannot_be_learned_from_say_why_on_the_page(visitor: TestClient, root: Path) -> None:
    (root / "empty.csv").write_text("")
    answer = visitor.get("/data/look/part?place=empty.csv")
    assert answer.status_code == 200 and 'role="alert"' in answer.text and str(root) not in answer.text


@pytest.mark.parametrize("place", ["orders.csv", "lines.txt"])
def test_a_sheet_of_records_stands_in_a_frame_that_lets_its_styles_and_no_script_be(
    visitor: TestClient, root: Path, place: str
) -> None:
    (root / "lines.txt").write_text("".join(f"Line {i} of so many.\n" for i in range(200)))
    text = visitor.get("/data/look/part", params={"place": place}).text
    assert " style=" not in text
    frame = re.search(r'<iframe [^>]*src="(/data/sheet[^"]+)"', text)
    assert frame is not None
    answer = visitor.get(frame[1].replace("&amp;", "&"))
    assert ("Line 1" if place == "lines.txt" else "kind") in answer.text
    policy = answer.headers["content-security-policy"]
    assert "style-src-attr 'unsafe-inline'" in policy and "script" not in policy and "sandbox" in policy


def test_a_training_is_begun_with_what_was_filled_in_and_its_assay_waits_behind_it(
    visitor: TestClient, parts: Served
) -> None:
    form = {
        "place": "orders.csv",
        "name": "mine",
        "recipe": "cart",
        "minutes": "0.5",
        "seed": "7",
        "set": "model.leaf=9",
    }
    answer = visitor.post("/train", data={**form, "discover": "on", "assay": "on"}, headers={"accept-language": "zh"})
    assert answer.url.path == "/runs/mine/training" and answer.status_code == 200
    assert 'data-copies="karat train orders.csv --out mine --recipe cart --minutes 0.5"' in answer.text
    train, assay = queue(parts)
    wanted = {"recipe": "cart", "minutes": 0.5, "seed": 7, "set": ["model.leaf=9"]}
    assert {key: train.options[key] for key in wanted} == wanted and "discover" not in train.options
    assert train.run is not None and train.run.name == "mine" and assay.run == train.run
    assert assay.options["lang"] == "zh"
    visitor.post("/runs/mine/stop")
    assert not queue(parts)
    visitor.post("/runs/mine/continue")
    assert [job.kind for job in queue(parts)] == ["train", "assay"]


def test_a_form_that_cannot_be_comes_back_filled_in_with_what_was_wrong(visitor: TestClient, parts: Served) -> None:
    form = {"place": "orders.csv", "name": "orders", "recipe": "cart", "minutes": "0.5"}
    answer = visitor.post("/train", data=form)
    assert answer.status_code == 400 and "there already" in answer.text and 'value="0.5"' in answer.text
    answer = visitor.post("/train", data={**form, "name": "new", "seed": "many"})
    assert "a whole number was wanted" in answer.text and not queue(parts)


def test_each_option_that_may_be_asked_for_has_a_field_that_reads_back_as_it_was_shown() -> None:
    names = [f for f in TrainOptions.__dataclass_fields__ if f in ("minutes", "seed", "set", "discover", "epsilon")]
    viewer, given = Viewer(EN, "engineer"), {"minutes": 2.5, "seed": 3, "set": ("a=1", "b=2"), "discover": False}
    fields = fields_of(TrainOptions, "train", viewer, only=names, values=given)
    assert read({f.name: f.value for f in fields}, TrainOptions, names) == given


# A run --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "tab"),
    [("engineer", "training"), ("reviewer", "review"), ("finance", "money"), ("compliance", "permission")],
)
def test_each_role_sees_first_what_it_is_there_for(visitor: TestClient, role: str, tab: str) -> None:
    visitor.post("/role", data={"to": role, "next": "/"})
    assert visitor.get("/runs/orders").url.path == f"/runs/orders/{tab}"


def test_curves_and_samples_are_read_from_the_run_and_a_sample_has_its_label(visitor: TestClient, root: Path) -> None:
    run = Run.open(root / "runs" / "orders")
    for i in range(1, 9):
        run.append("history.jsonl", {"fraction": i / 8, "step": i, "seconds": float(i), "nll": 1 / i, "skipped": 0.0})
    text = visitor.get("/runs/orders/training").text
    assert '<path class="line' in text and "nll" in text and "skipped" not in text
    answer = visitor.get("/runs/orders/samples/100.html")
    assert answer.headers["x-karat-label"] and CONTAINERS[".html"].words(answer.content)
    assert "sandbox" in answer.headers["content-security-policy"]
    assert visitor.get("/runs/orders/samples/karat.json").status_code == 404


def test_counts_of_what_a_fit_has_done_are_no_curves(visitor: TestClient, root: Path) -> None:
    run = Run.open(root / "runs" / "orders")
    for i in range(1, 9):
        run.append("history.jsonl", {"fraction": i / 8, "step": i, "seconds": float(i), "links": i, "leaf": 20})
    text = visitor.get("/runs/orders/training").text
    assert '<path class="line' not in text and "links" not in text


def test_what_goes_wrong_in_a_training_is_said_in_the_language_of_who_looks(visitor: TestClient, root: Path) -> None:
    run = Run.open(root / "runs" / "orders")
    run.put("diagnostics.json", [{"name": "mode collapse", "fraction": 0.5, "evidence": "0.1", "remedy": "r"}])
    text = visitor.get("/runs/orders/training", headers={"accept-language": "zh"}).text
    assert language("zh").say("studio.notice.mode_collapse.do") in text


def test_the_report_runs_no_script_and_is_framed_by_our_own_pages_alone(visitor: TestClient) -> None:
    policy = visitor.get("/runs/orders/report").headers["content-security-policy"]
    assert "script-src" not in policy and "default-src 'none'" in policy and "frame-ancestors 'self'" in policy
    assert "allow-scripts" not in visitor.get("/runs/orders/verdict").text + policy


def test_answers_about_money_become_the_price_list_of_the_run(visitor: TestClient, parts: Served, root: Path) -> None:
    answers = {
        "use": "3",
        "currency": "eur",
        "core": "0.05",
        "today": "0.5-1",
        "wanted": "10,000",
        "rights": "1",
        "personal": "n",
    }
    visitor.post("/runs/orders/money", data={**answers, "assay": "yes"})
    kept = tomllib.loads((root / "runs" / "orders" / "prices.toml").read_text())
    assert kept["currency"] == "EUR" and kept["alternative_cost_per_item"] == [0.5, 1.0] and kept["rights"] == "owned"
    assert [job.kind for job in queue(parts)] == ["assay"]
    assert 'value="0.5-1"' in visitor.get("/runs/orders/money").text
    odd = visitor.post("/runs/orders/money", data={**answers, "wanted": "many"})
    assert odd.status_code == 400 and "many" in odd.text
    lost = visitor.post("/runs/orders/money", data={**answers, "currency": "USD"})
    assert lost.status_code == 400 and "would count for nothing" in lost.text, (
        "of dollars the usual price of a core is known"
    )
    none = visitor.post("/runs/orders/money", data={**answers, "rights": "3"})
    assert EN.say("business.advice.rights") in none.text


def test_who_signs_stands_in_a_policy_that_the_command_line_reads(visitor: TestClient, root: Path) -> None:
    what = Policy.load("eu").signatures[0].what
    page = visitor.post("/runs/orders/sign", data={"policy": "eu", "who": 'Ada "A" Example', "what": what}).text
    assert "Ada &#34;A&#34; Example" in page
    signed = Policy.load(root / "policy-eu.toml").signatures
    assert signed[0].who == 'Ada "A" Example' and signed[0].what == what and not signed[1].who
    for odd in ({"who": ""}, {"who": "x\ny"}, {"what": "nothing"}, {"policy": "../x"}):
        assert (
            visitor.post("/runs/orders/sign", data={"policy": "eu", "who": "B", "what": what, **odd}).status_code == 400
        )


# Keeping ------------------------------------------------------------------------------------------------------------


def test_tags_and_notes_stay_with_the_run_and_find_it(visitor: TestClient, parts: Served) -> None:
    visitor.post("/runs/orders/notes", data={"tags": "spring，<b>, spring", "note": "for Mei"})
    (row,) = rows(parts.catalogue)
    assert row.tags == ("spring", "<b>") and row.note == "for Mei"
    found: dict[str, Any] = {q: visitor.get("/runs", params={"q": q}).text for q in ("SPRING mei", "autumn")}
    assert 'href="/runs/orders"' in found["SPRING mei"] and "&lt;b&gt;" in found["SPRING mei"]
    assert 'href="/runs/orders"' not in found["autumn"]


def test_what_is_deleted_is_in_the_bin_and_comes_back_beside_what_took_its_place(
    visitor: TestClient, parts: Served, root: Path
) -> None:
    before = (root / "runs" / "orders" / "karat.json").read_bytes()
    assert "orders" in visitor.post("/runs/orders/delete").text
    assert not rows(parts.catalogue) and visitor.get("/runs/orders/verdict").status_code == 404
    key = next((root / ".karat" / "bin").glob("*.json")).stem
    (root / "runs" / "orders").mkdir()
    assert visitor.post("/bin/restore", data={"key": "../../runs"}).status_code == 404
    assert visitor.post("/bin/restore", data={"key": key}).url.path == "/runs/orders-2/verdict"
    assert (root / "runs" / "orders-2" / "karat.json").read_bytes() == before
    assert not list((root / ".karat" / "bin").iterdir())


def test_a_run_that_somebody_works_with_is_not_deleted(visitor: TestClient, root: Path) -> None:
    with Run.open(root / "runs" / "orders").lock():
        assert visitor.post("/runs/orders/delete").status_code == 400
    assert Run.is_run(root / "runs" / "orders")


def test_a_damaged_run_is_in_the_list_and_says_so(visitor: TestClient, root: Path) -> None:
    (root / "runs" / "orders" / "karat.json").write_text("{")
    text = visitor.get("/runs").text
    assert say("status.damaged") in text and str(root) not in text
    assert visitor.get("/runs/orders/training").status_code == 200


def test_two_runs_are_compared_and_one_is_not(visitor: TestClient, parts: Served, root: Path) -> None:
    assert say("compare.choose", most=12) in visitor.post("/compare", data={"run": ["orders"]}).text
    (root / "runs" / "other").mkdir()
    for file in (root / "runs" / "orders").glob("*.json"):
        (root / "runs" / "other" / file.name).write_bytes(file.read_bytes())
    page = visitor.post("/compare", data={"run": ["orders", "other"]})
    (job,) = queue(parts)
    assert page.url.path == f"/compare/{Path(job.options['out']).name}" and "orders and other" in page.text
    assert "karat assay orders other" in page.text
    assert visitor.get("/compare/..%2f..%2fruns").status_code == 404


def test_an_assay_that_is_asked_for_again_goes_by_the_same_price_list(visitor: TestClient, parts: Served) -> None:
    visitor.post("/try", data={"on": "table"})
    made = queue(parts)
    assert [job.kind for job in made] == ["train", "make", "assay"] and made[0].run is not None
    made[0].run.mkdir()
    (made[0].run / "karat.json").write_text("{")
    visitor.post(f"/runs/{made[0].run.name}/assay")
    assert queue(parts)[-1].options["prices"] == made[-1].options["prices"]
    assert Path(queue(parts)[-1].options["prices"]).is_file()


def test_what_is_in_work_stands_above_the_list(visitor: TestClient, parts: Served) -> None:
    visitor.post("/runs/orders/assay")
    text = visitor.get("/runs").text
    assert say("runs.kind.assay") in text and say("runs.state.queued") in text
    assert say("training.next.assay") in visitor.get("/runs/orders/training").text
