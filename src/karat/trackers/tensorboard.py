"""TensorBoard event files in the run's folder (https://www.tensorflow.org/tensorboard)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

from karat.events import Event, Picture, Record, Sink
from karat.trackers import Job

NEEDS = ("tensorboard",)


@contextmanager
def track(job: Job) -> Iterator[Sink]:
    import numpy as np
    from PIL import Image
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(job.folder / "tensorboard")) as writer:

        def take(event: Event) -> None:
            match event:
                case Record():
                    for key, value in event.values.items():
                        writer.add_scalar(key, value, event.step)
                case Picture(suffix=".png"):
                    picture = np.asarray(Image.open(io.BytesIO(event.content)).convert("RGB"))
                    writer.add_image("samples", picture, event.step, dataformats="HWC")

        yield take
