"""Whether a file resembles what a run makes: made records are drawn, and a classifier is calibrated on unseen real ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from karat import synthesizer
from karat.assays.evaluation import seen
from karat.assays.resemblance import Resemblance, calibrated
from karat.output import scratch
from karat.run import Run
from karat.trust import answered_for
from karat.workflow import office
from karat.workflow.devices import choose_device
from karat.workflow.learning import again

MOST = 5000  # unseen real and made records
SINGLE = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".gif", ".wav", ".flac", ".ogg", ".mp3")
FEWEST = 32  # records of a folder, below which it is no data
SEED = 2_000_003  # unlike the seeds of `make` and of assays


class Likeness:
    """The comparison for one run; its data must be where they were."""

    def __init__(self, run: Run) -> None:
        with answered_for(run):
            data = again(run)
            self.data = data
            real = data.view("holdout", MOST)
            synth = synthesizer.load(run, choose_device("auto"), data.codec)
            made = office.draw(synth, data, len(real), SEED)
            self.matrix, learner = seen(data.view("train"), fingerprint=data.fingerprint)
            self.compared = calibrated(self.matrix(real), self.matrix(data.codec.view(made.records)), learner, SEED)

    def of(self, path: Path) -> Resemblance:
        """That of a file, or of the files in a folder together; DataError where they hold another kind of content."""
        return self.compared.of(self.matrix(self.data.codec.view(self._read(path))))

    def _read(self, path: Path) -> Any:
        """Their records. Pictures and sounds are data in folders of many only: what is too few is read over and over."""
        files = sorted(file for file in path.iterdir() if file.suffix in SINGLE) if path.is_dir() else [path]
        if not 0 < len(files) < FEWEST or files[0].suffix not in SINGLE:
            return office.read_made(self.data, path).records
        with scratch() as folder:
            for i in range(FEWEST):
                file = files[i % len(files)]
                shutil.copyfile(file, folder / f"{i:03d}{file.suffix}")
            return office.read_made(self.data, folder).records[: len(files)]
