"""MLflow (https://mlflow.org/docs): files in the run's folder, unless MLFLOW_TRACKING_URI names another place."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from karat.events import Event, Finished, Picture, Record, Sink
from karat.trackers import Job

NEEDS = ("mlflow",)


@contextmanager
def track(job: Job) -> Iterator[Sink]:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when the library is imported
    place = os.environ.get("MLFLOW_TRACKING_URI")
    if place is None:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        place = (job.folder / "mlflow").resolve().as_uri()
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    from PIL import Image

    client = MlflowClient(tracking_uri=place)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "karat")
    known = client.get_experiment_by_name(name)
    experiment = client.create_experiment(name) if known is None else known.experiment_id
    before = client.search_runs([experiment], f"tags.karat = '{job.id}'")  # a run that is continued goes on there too
    if before:
        run = before[0].info.run_id
        client.update_run(run, "RUNNING")
    else:
        run = client.create_run(experiment, run_name=job.name, tags={"karat": job.id}).info.run_id
        for key, value in _flat(job.settings):
            client.log_param(run, key, value)
    status = "KILLED"

    def take(event: Event) -> None:
        nonlocal status
        match event:
            case Record():
                now = int(time.time() * 1000)
                client.log_batch(run, [Metric(key, value, now, event.step) for key, value in event.values.items()])
            case Picture(suffix=".png"):
                picture = Image.open(io.BytesIO(event.content))
                client.log_image(run, picture, f"samples/{event.percent:03d}.png")
            case Finished():
                client.log_metric(run, "seconds", event.seconds, step=event.step)
                status = "FINISHED"

    try:
        yield take
    finally:
        client.set_terminated(run, status)


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by their whole names, such as recipe.model.width."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
