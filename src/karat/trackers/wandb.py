"""Weights & Biases (https://docs.wandb.ai): offline in the run's folder, unless WANDB_MODE says otherwise.

What was kept offline is sent by `wandb sync RUN/wandb/offline-run-*`, and by nothing else.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from karat.events import Event, Finished, Picture, Record, Sink
from karat.trackers import Job

NEEDS = ("wandb",)


@contextmanager
def track(job: Job) -> Iterator[Sink]:
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when the library is imported
    import wandb
    from PIL import Image

    mode: Any = os.environ.get("WANDB_MODE", "offline")
    project = os.environ.get("WANDB_PROJECT", "karat")
    # neither the machine nor its user, the code or the terminal: only what a training shows
    quiet = wandb.Settings(
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        symlink=False,
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
    )
    tracked = wandb.init(
        project=project,
        dir=str(job.folder),
        id=job.id,
        name=job.name,
        config=dict(job.settings),
        mode=mode,
        resume="allow",
        settings=quiet,
    )

    for path in Path(tracked.dir).parent.rglob("*"):
        if path.is_symlink():  # to the library's own log in its cache: a run that holds links cannot be opened
            path.unlink()
    code = 1

    def take(event: Event) -> None:
        nonlocal code
        match event:
            case Record():
                tracked.log(event.values, step=event.step)
            case Picture(suffix=".png"):
                shown = wandb.Image(Image.open(io.BytesIO(event.content)), caption=f"{event.percent}%")
                tracked.log({"samples": shown}, step=event.step)
            case Finished():
                tracked.summary["seconds"] = event.seconds
                code = 0

    try:
        yield take
    finally:
        tracked.finish(code)
