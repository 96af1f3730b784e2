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
        ("train", {"source": "digits", "minuets": 1}, "minuets", "the nearest is 'minutes'"),
        ("train", {"recipe": "vae"}, "source", "train wants source"),
        ("train", {"source": "digits", "minutes": "long"}, "minutes", "'long'"),
        ("train", {"source": "../secret.csv"}, "source", "not inside the folder"),
        ("train", {"source": "/etc/passwd"}, "source", "not inside the folder"),
        ("train", {"source": ".karat/keys.json"}, "source", "not inside the folder"),
        ("train", {"source": "a\0b"}, "source", "no path"),
        ("train", {"source": "postgresql://host/db"}, "source", "an address"),
        ("train", {"source": "digits", "family": "flow.py"}, "family", "not taken over HTTP"),
        ("train", {"source": "digits", "recipe": "../../r.toml"}, "recipe", "not inside the folder"),
        ("train", {"source": "digits", "set": ["data.query=select 1"]}, "set", "not taken over HTTP"),
        ("train", {"source": "digits", "out": "/tmp/elsewhere"}, "out", "not inside the folder"),
        ("make", {"run": "nobody", "gate": ["mine.py:good"]}, "gate", "not taken over HTTP"),
        ("assay", {"real": "digits", "made": "http://169.254.169.254/"}, "made", "an address"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_name(
    jobs: Jobs, kind: Any, options: dict[str, Any], param: str, said: str
) -> None:
    with pytest.raises(Problem) as refused:
        jobs.submit(kind, options)
    assert refused.value.status == 400 and refused.value.param == param
    assert said in refused.value.message
    assert not jobs.home.table.exists()  # nothing is kept of it


def test_a_link_that_leads_out_of_the_root_is_not_followed(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to("/etc")
    with pytest.raises(Problem, match="not inside the folder"):
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
