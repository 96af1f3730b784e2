"""What may be asked over HTTP: forms made of the options, JSON read with care, places below the root, errors of one shape."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clients import client_of
from fastapi import APIRouter
from fastapi.testclient import TestClient

from karat.errors import DataError
from karat.options import LookOptions, MakeOptions, ServeOptions, TrainOptions
from karat.server.bodies import Route
from karat.server.catalogue import Catalogue
from karat.server.forms import NEVER, Form, form, options_of, parameters, said, takes
from karat.server.problems import Problem, in_fields, without_places

Make = form("Make", MakeOptions)
Look = form("Look", LookOptions)
ROUTER = APIRouter(route_class=Route)


@ROUTER.post("/echo")
@takes(Make)
async def echo(asked: Form) -> dict[str, object]:
    return said(asked)


@ROUTER.get("/fault")
async def fault() -> None:
    raise ZeroDivisionError("Ann Miller, 12 Main Street")


@ROUTER.get("/karat")
async def karat_error() -> None:
    raise DataError("/secret/folder/t.csv has no rows; give --data another")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client_of(ServeOptions([tmp_path_factory.mktemp("served")]), more=ROUTER) as client:
        yield client


def said_no(client: TestClient, body: bytes | str, kind: str = "application/json") -> tuple[int, str, str | None]:
    answer = client.post("/echo", content=body, headers={"content-type": kind} if kind else {})
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["type"] == "invalid_request_error"
    return answer.status_code, error["code"], error["param"]


def test_a_form_has_the_fields_of_its_options_with_their_help_and_defaults() -> None:
    properties = Make.model_json_schema()["properties"]
    assert properties["top_p"]["default"] == 1.0
    assert properties["label"]["description"] == "Make this class only, by its name."
    assert not NEVER & set(properties) and "--" not in str(properties)
    assert "schema" in Look.model_json_schema()["properties"], "by its own name, though pydantic has one like it"
    assert set(parameters(TrainOptions)) == set(TrainOptions.__dataclass_fields__) - {"_"}


def test_null_stands_for_a_field_that_was_left_out(client: TestClient) -> None:
    answer = client.post("/echo", json={"label": "7", "n": None, "gate": ["en"]})
    assert answer.json() == {"label": "7", "gate": ["en"]}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('{"lable": "7"}', (400, "unknown_field", "lable")),
        ('{"\\ud800": 1}', (400, "unknown_field", "?")),
        ('{"n": "3"}', (422, "invalid_value", "n")),
        ('{"n": 1.5}', (422, "invalid_value", "n")),
        ('{"n": true}', (422, "invalid_value", "n")),
        ('{"n": 9223372036854775808}', (422, "invalid_value", "n")),
        ('{"gate": ["en", 3]}', (422, "invalid_value", "gate.1")),
        ('{"label": "\\ud800"}', (422, "invalid_value", "label")),
        ('{"n": 1' + "0" * 5000 + "}", (400, "malformed_json", None)),
        ('{"temperature": NaN}', (400, "malformed_json", None)),
        ('{"temperature": -Infinity}', (400, "malformed_json", None)),
        ('{"temperature": 1e999}', (400, "malformed_json", None)),
        ('{"n": 1, "n": 2}', (400, "malformed_json", None)),
        ('{"n": ' + "[" * 100_000 + "]" * 100_000 + "}", (400, "malformed_json", None)),
        ('{"n": ' + "[" * 40 + "]" * 40 + "}", (400, "malformed_json", None)),
        ('{"n": 1', (400, "malformed_json", None)),
        ('{"n": 1} {', (400, "malformed_json", None)),
        (b'{"label": "\xff"}', (400, "malformed_json", None)),
        ("[1]", (422, "invalid_value", "body")),
        ("", (422, "missing_field", "body")),
    ],
)
def test_what_is_no_request_is_refused_in_one_shape(
    client: TestClient, body: str | bytes, found: tuple[int, str, str | None]
) -> None:
    assert said_no(client, body) == found


def test_an_unknown_field_is_answered_with_the_nearest(client: TestClient) -> None:
    message = client.post("/echo", json={"tempreature": 1}).json()["error"]["message"]
    assert message == "'tempreature' is no field of this request: did you mean 'temperature'?"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_that_does_not_say_that_it_is_json_is_not_read(client: TestClient, kind: str) -> None:
    assert said_no(client, '{"n": 1}', kind) == (415, "wrong_media_type", None)


def test_addresses_and_methods_that_are_not_there_are_answered_in_the_same_shape(client: TestClient) -> None:
    lost, wrong = client.get("/v2/nothing"), client.get("/echo")
    assert (lost.status_code, lost.json()["error"]["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


def test_a_fault_is_answered_with_a_number_that_the_log_has_and_with_nothing_of_what_was_worked_on(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.get("/fault")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (500, "internal_error", "server_error")
    number = error["message"].rsplit(" ", 1)[1].rstrip(".")
    assert number in caplog.text and "ZeroDivisionError" in caplog.text and "test_asked.py" in caplog.text
    assert "Ann" not in answer.text + caplog.text and "/" not in error["message"]


def test_an_error_of_the_workflow_names_no_folder_and_no_flag(client: TestClient) -> None:
    error = client.get("/karat").json()["error"]
    assert (error["code"], error["message"]) == ("bad_data", "t.csv has no rows; give data another")


def test_places_lose_their_folders_and_routes_do_not() -> None:
    known = [Path("/srv/my runs")]
    assert without_places("/srv/my runs/a/karat.json is damaged", known) == "a/karat.json is damaged"
    assert without_places("see '/etc/ssl/x.pem', or /v1/models and/or https://a.b/c") == (
        "see 'x.pem', or /v1/models and/or https://a.b/c"
    )
    assert in_fields("-n 0 with --top-p or --class 'a-b' of made-2") == "n 0 with top_p or label 'a-b' of made-2"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "photos").mkdir(parents=True)
    (root / ".karat").mkdir()
    (tmp_path / "secret.csv").write_text("a\n1\n")
    (root / "out").symlink_to(tmp_path)
    (root / "t.csv").write_text("a\n1\n")
    (root / "alias.csv").symlink_to(root / "t.csv")
    return root


def test_places_are_below_the_root(root: Path) -> None:
    catalogue = Catalogue((root,), root)
    assert catalogue.place("photos") == root.resolve() / "photos"
    assert catalogue.place("alias.csv") == root.resolve() / "t.csv", "a link that stays inside is followed"


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../secret.csv", "photos/../../secret.csv", "out/secret.csv", ".karat", "photos/.x", "/etc/passwd"]
    + ["~", "~root", "a\0b", "..\\secret.csv", "nothing", "x" * 5000, "file:///etc/passwd", "postgresql://h/d"]
    + ["http://169.254.169.254/", "t.csv/x"],
)
def test_nothing_outside_the_root_is_a_place_and_its_being_there_is_not_told(root: Path, name: str) -> None:
    with pytest.raises(Problem) as found:
        Catalogue((root,), root).place(name)
    assert (found.value.status, found.value.code, found.value.param) == (400, "no_such_place", "data")
    assert str(root) not in found.value.message


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        (LookOptions, {"data": "t.csv", "schema": "../s.toml"}),
        (LookOptions, {"data": "t.csv", "set": ["data.query=select * from read_text('/etc/passwd')"]}),
        (LookOptions, {"data": "t.csv", "set": [" data.schema = /etc/passwd"]}),
        (TrainOptions, {"source": "t.csv", "recipe": "/tmp/mine.toml"}),
        (MakeOptions, {"gate": ["mine.py:judge"]}),
        (MakeOptions, {"given": "/etc/passwd"}),
        (MakeOptions, {"policy": "/etc/passwd"}),
    ],
)
def test_options_that_would_lead_out_of_the_root_are_refused(root: Path, kind: type, asked: dict[str, object]) -> None:
    with pytest.raises(Problem) as found:
        options_of(form("Asked", kind)(**asked), kind, Catalogue((root,), root))
    assert found.value.status == 400


def test_options_that_stay_inside_are_taken(root: Path) -> None:
    asked = form("Asked", TrainOptions)(source="t.csv", recipe="trees", set=["model.width=8"], minutes=1)
    options = options_of(asked, TrainOptions, Catalogue((root,), root), out=root / "run")
    assert options == TrainOptions(
        root.resolve() / "t.csv", recipe="trees", set=["model.width=8"], minutes=1, out=root / "run"
    )
