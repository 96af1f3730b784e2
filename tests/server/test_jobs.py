"""Jobs are asked for by the names that the options have, wait in their order, and tell what happens in numbers without gaps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from clients import client_of

from karat.options import ServeOptions
from karat.server.catalogue import Catalogue
from karat.server.jobs import Jobs
from karat.server.jobs.table import Table
from karat.server.problems import Problem


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    """Without a worker: what is put into its table by hand stays as it is."""
    return Jobs(Catalogue((tmp_path,), tmp_path))


@pytest.mark.parametrize(
    ("kind", "options", "param", "said"),
    [
        ("dance", {}, "kind", "no kind of job"),
        ("train", {"source": "digits", "minuets": 1}, "minuets", "did you mean 'minutes'"),
        ("train", {"recipe": "vae"}, "source", "source is missing"),
        ("train", {"source": "digits", "minutes": "long"}, "minutes", "'long'"),
        ("train", {"source": "../secret.csv"}, "source", "nothing in the served folder"),
        ("train", {"source": ".karat/keys.json"}, "source", "nothing in the served folder"),
        ("train", {"source": "digits", "out": "../elsewhere"}, "out", "nothing in the served folder"),
        ("train", {"source": "digits", "out": ".karat/run"}, "out", "nothing in the served folder"),
        ("train", {"source": "digits", "out": "run-1"}, "out", "there already"),
        ("train", {"run": "run-1", "source": "digits"}, "run", "leave source and out away"),
        ("train", {"run": "nobody"}, None, "no run is served"),
        ("assay", {}, "run", "run is missing"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_name(
    jobs: Jobs, tmp_path: Path, kind: Any, options: dict[str, Any], param: str, said: str
) -> None:
    (tmp_path / "run-1").mkdir()
    (tmp_path / "run-1" / "karat.json").write_text("{}")
    with pytest.raises(Problem) as refused:
        jobs.submit(kind, options)
    assert said in refused.value.message
    assert refused.value.param == param
    assert not jobs.home.table.exists()  # nothing is kept of it


def test_a_link_that_leads_out_of_the_root_is_not_followed(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to("/etc")
    with pytest.raises(Problem, match="nothing in the served"):
        jobs.submit("look", {"data": "data/passwd"})


def test_events_have_numbers_without_gaps_and_are_there_for_who_opens_the_table_anew(tmp_path: Path) -> None:
    table = Table(tmp_path / "jobs.db")
    one, two = (table.add("look", {"data": name}, None, "", None) for name in ("a", "b"))
    assert table.queue() == [one.id, two.id]
    assert table.move(one.id, ("queued",), "running") and not table.move(one.id, ("queued",), "running")
    table.tell(one.id, [("message", {"text": str(i)}) for i in range(3)], logged=12)
    table.move(one.id, ("running",), "failed", error="no such file", ended=1.0)
    table.close()
    again = Table(tmp_path / "jobs.db")
    events = again.events(one.id)
    assert [e.number for e in events] == list(range(1, 7))
    assert [e.data["state"] for e in events if e.kind == "state"] == ["queued", "running", "failed"]
    assert [e.number for e in again.events(one.id, after=4)] == [5, 6]
    assert again.get(one.id).error == "no such file" and again.queue() == [two.id]
    again.close()


def test_a_stream_of_events_goes_on_after_the_last_that_was_read_and_ends_with_the_job(tmp_path: Path) -> None:
    client = client_of(ServeOptions([tmp_path]))
    jobs = client.app.state.served.jobs  # type: ignore[attr-defined]
    job = jobs.table.add("look", {"data": "digits"}, None, "", None)
    jobs.table.tell(job.id, [("message", {"text": "two\nlines"})])
    jobs.table.move(job.id, ("queued",), "succeeded", result=json.dumps({"count": 7}))
    accept = {"accept": "text/event-stream"}
    stream = client.get(f"/v1/jobs/{job.id}/events", headers=accept).text
    assert [line for line in stream.splitlines() if line.startswith("id")] == ["id: 1", "id: 2", "id: 3"]
    later = client.get(f"/v1/jobs/{job.id}/events", headers={**accept, "last-event-id": "2"}).text
    assert "id: 3" in later and "id: 2" not in later
    # a browser that comes again after the end is told to stay away
    assert client.get(f"/v1/jobs/{job.id}/events", headers={**accept, "last-event-id": "3"}).status_code == 204
    assert [e["type"] for e in client.get(f"/v1/jobs/{job.id}/events").json()["data"]] == ["state", "message", "state"]
    assert client.get(f"/v1/jobs/{job.id}").json()["result"] == {"count": 7}
    assert client.get("/v1/jobs/job-0").json()["error"]["code"] == "no_such_job"
    jobs.close()
