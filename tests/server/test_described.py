"""What /openapi.json says is what the server does: no request brings a fault, each answer has the form that is described."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.specs.openapi import checks
from served import listening

from karat.options import ServeOptions
from karat.server.app import application
from karat.server.guard.guard import keys_of

pytestmark = pytest.mark.exam  # most of the seconds are the tool's own, those of listing its cases too

CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
RUNS = {
    "images": "digits",
    "audio": "tones",
    "completions": "lines",
    "rows": "people",
}  # by the second part of the path

OPEN = ("/healthz", "/readyz")  # which tell nobody anything

WHOLE, FEW = (
    schemathesis.openapi.from_dict(application(ServeOptions(["none"], root=Path("none"))).openapi()) for _ in range(2)
)
FEW.config.phases.coverage.enabled = False  # which tries each limit of each field


@pytest.fixture(scope="module")
def address(served_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with listening(ServeOptions([served_runs], root=tmp_path_factory.mktemp("root"), studio=False)) as address:
        yield address


how = settings(max_examples=1, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


def sent(case: Case, address: str) -> None:
    """Sends the request, to a run that is there, and looks at the answer."""
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
        case.body["model"] = RUNS[case.path.split("/")[2]]
    if "name" in (case.path_parameters or {}):
        case.path_parameters["name"] = "people"
    if case.operation.path.endswith("/events"):
        case.headers["accept"] = "application/json"  # else it would wait for a job
    case.call_and_validate(base_url=address, checks=CHECKS, timeout=60)


@FEW.exclude(path_regex="^/v1/(train|jobs)$|/assay$").parametrize()  # what begins a job costs a process
@how
def test_no_request_brings_a_fault_and_answers_are_as_described(case: Case, address: str) -> None:
    sent(case, address)


@WHOLE.parametrize()
@settings(how, max_examples=100)
def test_no_request_of_very_many_brings_a_fault(case: Case, address: str) -> None:
    sent(case, address)


@pytest.fixture(scope="module")
def keyed(served_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a server that asks for keys, and keys of few and of many scopes, which may not make much."""
    root = tmp_path_factory.mktemp("keyed")
    texts = {name: keys_of(root).add(f"{name}={name}", items=500, rate=100_000) for name in ("read", "make", "review")}
    with listening(ServeOptions([served_runs], root=root, studio=False)) as address:
        yield address, texts


@FEW.exclude(path_regex="^/v1/(train|jobs)$|/assay$").parametrize()
@settings(how, max_examples=10)
def test_whatever_key_is_sent_no_request_brings_a_fault_and_none_is_answered_without_one(
    case: Case, keyed: tuple[str, dict[str, str]]
) -> None:
    address, texts = keyed
    for text in (*texts.values(), "karat-none", None):
        case.headers.pop("authorization", None)
        if text is not None:
            case.headers["authorization"] = f"Bearer {text}"
        if text in texts.values():
            sent(case, address)
        else:
            answer = case.call(base_url=address, timeout=60)
            assert answer.status_code in (401, 405) or case.operation.path in OPEN, answer.status_code
