"""Small runs of every kind of content, as a server has them in its folder."""

from __future__ import annotations

import functools
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import uvicorn
from sounds import save_tones

import karat
from karat.options import ServeOptions
from karat.server.app import application
from karat.studio import ROUTERS, failure

TINY = ["train.precision=fp32", "model.latent=4", "model.width=8", "model.hidden=8", "model.components=4"]
LINES = [f"Line {i} of many" + (", and more" * (i % 3)) + "! So it is." for i in range(200)]


@functools.cache
def runs_in(folder: Path) -> Path:
    """The folder with the runs digits, steps (pictures), tones (sounds), people (a table), lines, parts (text) and unfinished.

    Its folder `data` has a table and a link that leads out.
    """
    rng, data = np.random.default_rng(0), folder / "data"
    data.mkdir()
    age = rng.integers(18, 80, 240)
    income = np.where(age + rng.normal(0, 9, 240) > 50, ">50K", "<=50K")
    frame = pd.DataFrame(
        {"age": age, "income": income, "city, now": rng.choice(["Bern", "Ulm", 'Köln "am Rhein"'], 240)}
    )
    frame.to_csv(data / "people.csv", index=False)
    (data / "lines.txt").write_text("\n\n".join(LINES))
    (data / "out").symlink_to(folder.parent)
    save_tones(data / "tones")
    karat.train("digits", recipe="vae", steps=1, out=folder / "digits", threads=1, set=TINY)
    steps = ["train.precision=fp32", "model.width=16", "model.steps=4", "model.share=0.3"]
    steps += ["model.lr=0.1"]  # so that each step changes a level of some point
    karat.train("digits", recipe="diffusion", steps=6, out=folder / "steps", threads=1, set=steps)
    karat.train(data / "tones", recipe="vae", steps=1, labels="{label}_{n}", out=folder / "tones", threads=1, set=TINY)
    karat.train(data / "people.csv", out=folder / "people", threads=1, set=["model.rounds=4"])
    karat.train(data / "lines.txt", recipe="ngram", out=folder / "lines", threads=1)
    shutil.copytree(folder / "lines", folder / "unfinished")
    record = (folder / "unfinished" / "karat.json").read_text()
    (folder / "unfinished" / "karat.json").write_text(record.replace('"models": [', '"former": ['))
    return folder


@contextmanager
def listening(options: ServeOptions) -> Iterator[str]:
    """The address of a server on a free port, studio included, which ends with the body."""
    app = application(options, ROUTERS, failure) if options.studio else application(options)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
