"""What the form of the studio makes is what the command line below it makes, kept in the run and labelled."""

from __future__ import annotations

import io
import re
import shlex
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

import karat
from karat.languages import language
from karat.provenance.label import parse
from karat.provenance.reading import labelled
from karat.run import Run
from karat.studio.made import Told, dropped
from karat.workflow.checking import check

HERE = "/runs/orders/make"


def asked(**more: Any) -> dict[str, Any]:
    return {"n": "12", "seed": "3", "form": ".csv", **more}


def send(client: TestClient, form: dict[str, Any], here: str = HERE) -> str:
    answer = client.post(here, data=form, follow_redirects=False)
    assert answer.status_code == 303, answer.text[:3000]
    return str(answer.headers["location"])


def test_what_the_form_makes_is_what_the_command_line_below_it_makes(visitor: TestClient, root: Path) -> None:
    place = send(visitor, asked(**{"given.0.low": "30", "given.0.high": "50", "given.1": "<i>c"}))
    assert place == "/runs/orders/made/made"
    page = visitor.get(place)
    line = re.search(r'data-copies="([^"]*)"', page.text)
    assert line is not None
    words = shlex.split(line[1].replace("&#39;", "'").replace("&#34;", '"').replace("&lt;", "<").replace("&gt;", ">"))
    assert words == ["karat", "make", "orders", "-n", "12", "--seed", "3", "--given", '"age"=30..50, "kind"="<i>c"']
    run = root / "runs" / "orders"
    (same,) = karat.make(run, n=12, seed=3, given=words[-1], out=root / "same.csv", threads=1)
    own = run / "made" / "made.csv"
    assert own.read_bytes() == same.read_bytes()
    rows = [row.split(",") for row in own.read_text().splitlines()[1:]]
    assert len(rows) == 12 and all(30 <= int(age) <= 50 and kind == "<i>c" for age, kind in rows)
    assert "&lt;i&gt;c" in page.text and "<i>c" not in page.text
    assert labelled(run / "made") and check([own], run).states == {"intact": 1}, "it is known to be made by the run"


def test_a_file_without_room_for_its_label_is_offered_together_with_it_and_is_intact_so(visitor: TestClient) -> None:
    place, say = send(visitor, asked()), language("en").say
    page = visitor.get(place).text
    assert say("studio.made.beside") in page and say("studio.made.labelled") not in page
    assert f'href="{place}/archive"' in page
    with zipfile.ZipFile(io.BytesIO(visitor.get(f"{place}/archive").content)) as archive:
        files = [("file", (Path(name).name, archive.read(name))) for name in archive.namelist()]
    assert say("studio.check.state.intact") in visitor.post("/check", files=files).text
    assert "/archive" not in visitor.get(send(visitor, asked(form=".parquet"))).text


def test_each_file_is_taken_as_it_lies_there_with_its_label(visitor: TestClient, root: Path) -> None:
    place = send(visitor, asked(form=".parquet", labels="cn", visible="on"))
    page = visitor.get(place)
    assert parse(page.headers["x-karat-label"]) and language("en").say("studio.made.kept_all") in page.text
    found = visitor.get(f"{place}/file/made.parquet")
    assert pq.read_table(io.BytesIO(found.content)).num_rows == 12
    assert found.content == (root / "runs" / "orders" / "made" / "made.parquet").read_bytes()
    own = parse(found.headers["x-karat-label"])
    assert own is not None and own["ProduceID"].startswith(f"{Run.open(root / 'runs' / 'orders').id}/seed3")
    assert "attachment" in found.headers["content-disposition"]
    whole = visitor.get(f"{place}/archive")
    with zipfile.ZipFile(io.BytesIO(whole.content)) as archive:
        assert {"made/made.parquet", "made/label.json"} == set(archive.namelist())
    for odd in ("karat.json", "..%2Fkarat.json", "label.json", "%2e%2e"):
        assert visitor.get(f"{place}/file/{odd}").status_code == 404
    for odd in ("model", "review", "%2e%2e", "made-9"):
        assert visitor.get(f"/runs/orders/made/{odd}").status_code == 404


REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"given.1": "nothing"}, "no training row has it"),
    ({"given.0.low": "x"}, "age"),
    ({"n": "0"}, "at least 1 was wanted"),
    ({"n": "many"}, "a whole number was wanted"),
    ({"n": "99999999"}, "a page makes"),
    ({"form": ".exe"}, "there are: .csv"),
    ({"balance": "nobody"}, "balance nobody"),
    ({"given": "/etc/passwd"}, "file"),
    ({"keep": "3"}, "keep 3: "),
)


def test_what_cannot_be_made_is_said_above_the_form_which_keeps_what_was_filled_in(
    visitor: TestClient, root: Path
) -> None:
    for more, says in REFUSED:
        answer = visitor.post(HERE, data=asked(seed="77", **more), follow_redirects=False)
        assert answer.status_code == 400
        assert says in answer.text and 'value="77"' in answer.text and 'role="alert"' in answer.text
    assert not (root / "runs" / "orders" / "made").exists()


def test_the_form_asks_for_what_the_content_knows_by_its_real_columns(visitor: TestClient) -> None:
    text = visitor.get(HERE).text
    for name in ("given.0.low", "given.0.high", "given.1", "balance", "safe_cells", "watermark"):
        assert f'name="{name}"' in text
    for name in ("label", "prompt", "temperature", "run", "out", "sign", "device"):
        assert f'name="{name}"' not in text
    assert "<option>&lt;i&gt;c</option>" in text and 'placeholder="18"' in text


@pytest.mark.parametrize("code", ["en", "zh"])
def test_the_pages_are_there_in_each_language(code: str, visitor: TestClient) -> None:
    place = send(visitor, asked())
    for path in (HERE, place, "/runs/orders/explore", "/check"):
        text = visitor.get(path, headers={"Accept-Language": code}).text
        assert f'<html lang="{language(code).say("form.lang")}">' in text
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", text)


def test_what_the_gates_dropped_is_told_in_the_language_of_who_looks() -> None:
    copies, rule, words = "nearly equal to a training record", "rows that break a < b", "mail address in the text"
    told = Told(dropped={copies: 3, rule: 5, words: 1, "odd": 2})
    assert dropped(told) == [("rule", "a < b", 5), ("copies", "", 3), ("", "odd", 2), ("personal", words, 1)]


def test_pictures_are_shown_one_by_one_and_taken_together(pictures: TestClient) -> None:
    place = send(pictures, {"n": "5", "seed": "1", "form": ".jpg", "label": "3"}, "/runs/digits/make")
    page = pictures.get(place).text
    assert page.count("/thing/") == 5 and "--class 3" in page and "--out made.jpg" in page
    one = pictures.get(f"{place}/thing/4")
    assert one.headers["content-type"] == "image/png" and parse(one.headers["x-karat-label"])
    assert pictures.get(f"{place}/thing/5").status_code == 404
    names = re.findall(r'/file/([^"]+)"', page)
    assert len(names) == 5 and all(name.endswith(".jpg") for name in names)
    with zipfile.ZipFile(io.BytesIO(pictures.get(f"{place}/archive").content)) as archive:
        assert len(archive.namelist()) == 6
