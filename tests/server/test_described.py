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


@pytest.mark.exam  # ten CPU seconds, of which most are the tool's own
@FEW.exclude(path_regex="^/v1/(train|jobs)$|/assay$").parametrize()  # what begins a job costs a process
@how
def test_no_request_brings_a_fault_and_answers_are_as_described(case: Case, address: str) -> None:
    sent(case, address)


@pytest.mark.exam
@WHOLE.parametrize()
@settings(how, max_examples=100)
def test_no_request_of_very_many_brings_a_fault(case: Case, address: str) -> None:
    sent(case, address)
