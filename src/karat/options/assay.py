"""What can be asked of `karat assay`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Literal, cast

from cyclopts import Parameter

from karat.options.kinds import NUMBER, RunLike, RunsLike, Source


@dataclass(frozen=True)
class AssayOptions:
    """Find out what a generator is worth: findings, each beside the score that unseen real data gets, and a verdict.

    Parameters
    ----------
    run
        The folder of a run; or leave it out and give --real and --made. Several runs of the same data are compared: which
        is better in what, with intervals, and how runs of `karat train --seeds` are spread.
    data
        Where the run's data lie now, if they were moved.
    trust_data
        Read the data that a run which you did not make names.
    family
        The Python file that the run was trained with, if it was; it is run.
    real
        Real data (see `karat look`), for samples that karat did not make.
    made
        Those samples: a folder, zip, .npy, ...; or reference:NAME (oracle, bootstrap, copier, changer, collapser, blurrer,
        skewer, shuffler, noise), a generator of known worth that proves the scales.
    calibrate
        Real data on which to examine the judge itself: what it finds of planted faults (copies, lost classes, blur, ...) at
        each of their strengths, and how often it accuses unseen real records.
    seeds
        Of --calibrate: how often the data are parted anew and every fault is planted.
    minutes
        Of --calibrate: no exam begins after so many.
    n
        How many samples to draw from the run, or of the reference; of --calibrate, made and unseen records at most.
    require
        A condition such as "coverage>=0.8"; the exit code is 1 when one does not hold. May be given several times.
    target
        The column of a table that a model would predict; by default the one that the data says, or teaches best. Of related
        tables: TABLE.COLUMN.
    out
        Folder of the report; RUN/report by default, where the next assay of the run replaces it; of --real and --made
        the first of assay, assay-2, ... that is new, of --calibrate of calibration, calibration-2, ..., of several runs of
        comparison, comparison-2, ...
    overwrite
        Replace a report that is in --out.
    no_real
        Leave real records out of the report, so that it can be shown to who may not see the data.
    seed
        Seed of the samples and of the judge.
    threads
        CPU threads to use.
    prices
        A prices.toml: what things cost and what they are worth to you. `src/karat/worth/prices.toml` is a template.
    policy
        What is asked besides: eu, cn, or a TOML of your own with findings, thresholds and signatures.
    ab
        The CSV of an A/B result: arm (`made` and one other), shown, and clicks, conversions or sales.
    business
        Ask what decides whether it can pay, write the answers as prices.toml (RUN/prices.toml, or --prices), and say whether
        to train at all; with a run, assay it by them.
    exchange
        Measure how many new real records one made record stands for to a learner, with controls that cost nothing: 10 to 20
        CPU seconds at 10,000 rows. By default where prices.toml has label_cost_per_item, for which it decides.
    attacks
        Attack privacy in further ways: a run by how well each record fits it, as who has the run could; what is made of a
        table by singling out, linking and inferring, beside the same attacks on unseen rows.
    shadows
        Of a run of one kind of record: so many models, 16 are usual, are trained like it on halves of the records, to tell by
        how much better a record fits the run than these whether it was learned from. Costs as many trainings of half the
        length; what that is, is said before.
    canaries
        Of a run of a table that is fitted at once (marginals, trees, cart): so many rows of chance, 500 are usual, of which a
        random half is learned from besides in one more training; how well that half is told is a lower bound on epsilon.
    set
        Settings of the real data (see `karat look`).
    encoder
        A local folder with a pretrained encoder to judge by, in place of the judge's own.
    lang
        The language of the report and of what is printed, except by --calibrate: en or zh. Names that --require
        takes are English in both.
    junit
        Write the findings as test cases there, as JUnit's XML, which continuous integration reads: a raised finding and a
        requirement that does not hold are failures, what cannot tell is skipped.
    """

    run: RunsLike | None = None
    _: KW_ONLY
    data: str | Path | None = None
    trust_data: bool = False
    family: str | Path | None = None
    real: Source | None = None
    made: Source | None = None
    calibrate: Source | None = None
    seeds: int = 20
    minutes: float = 10.0
    n: Annotated[int, NUMBER] = 5000
    require: Sequence[str] = ()
    target: str | None = None
    out: Path | None = None
    overwrite: bool = False
    no_real: bool = False
    seed: int = 0
    threads: int | None = None
    set: Sequence[str] = ()
    prices: Path | None = None
    policy: str | None = None
    ab: Path | None = None
    business: bool = False
    attacks: bool = False
    shadows: int = 0
    canaries: int = 0
    exchange: Annotated[bool | None, Parameter(negative="--no-exchange")] = None
    encoder: Path | None = None
    lang: Literal["en", "zh"] = "en"
    junit: Path | None = None

    @property
    def runs(self) -> tuple[RunLike, ...]:
        """The runs, however many were given."""
        if self.run is None:
            return ()
        return tuple(self.run) if isinstance(self.run, list | tuple) else (cast("RunLike", self.run),)
