"""What can be asked of each verb: one frozen dataclass each, the one place where options, defaults and their help are written.

The command line reads its flags off these fields and their help off these docstrings, and functions of the workflow take the
objects themselves. `asked` gives a verb the signature of its options, so that `karat.train("adult.csv", minutes=1)` is a call
with names and types that an editor, a type checker and `help` know, and nothing is written twice.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, ParamSpec, TypeAlias, TypeVar, cast, get_type_hints

from cyclopts import Parameter

from karat.errors import FitError

if TYPE_CHECKING:
    from cyclopts import Token

    from karat.run import Run

    RunLike: TypeAlias = str | Path | Run
    RunsLike: TypeAlias = RunLike | Sequence[RunLike]
    Source: TypeAlias = Any  # a path, an address, or a data frame of pandas, polars or Arrow
else:  # the command line reads these types: it names a run by its folder, and must not import torch
    RunLike, RunsLike, Source = (
        str | Path,
        list[str | Path],
        str | Path,
    )  # a text either way; the shell completes names of files

P = ParamSpec("P")
Options = TypeVar("Options")
R = TypeVar("R")


def _count(_: Any, tokens: Sequence[Token]) -> int:
    """A whole number as people write large ones: 1000000, 1_000_000, 1e6."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise ValueError(f"{text} is no whole number") from None
        return int(number)


NUMBER = Parameter(name=["-n", "--number"], converter=_count)


@dataclass(frozen=True)
class LookOptions:
    """Say what is in the data, what is wrong with it, which recipes fit, and what each would cost.

    Parameters
    ----------
    data
        A folder of pictures (one sub-folder per class, or flat), a zip of one, IDX, .npy, .npz, .parquet, or `digits`;
        or a table: .csv, .tsv, .json, .jsonl (also packed), .xlsx, .parquet, .feather, .orc, SQLite, DuckDB, postgresql://..., in
        Python a data frame;
        or related tables: a folder of such files, a database without data.table, one file with data.entity=COLUMN; or a
        series: one file with a row for each day, hour or month, found by itself or by data.series=COLUMN; or text:
        .txt, .md, .jsonl, a folder of them, or the column of a table that data.text=COLUMN names.
    size
        Side in pixels that the pictures are brought to.
    schema
        A TOML that corrects what is inferred of a table's columns, and declares the rules that hold among them; of related
        tables also how they refer to each other.
    labels
        How the names of files of pictures or sounds are to be read, such as `{label}_{speaker}_{n}`, or their folders:
        `{alphabet}/{character}`; or the column of a text's class.
    write_schema
        Write what is inferred of a table there, to be corrected and given back as --schema.
    overwrite
        Replace a file that is there already.
    discover
        Look for what holds between the columns of a table: orders, sums, products, one price per article. --no-discover
        looks for nothing.
    probe
        Measure minutes and memory of each recipe on this machine, a few seconds each; by default those of the recipe that is
        used unless another is asked for, with --no-probe none.
    threads
        CPU threads to use.
    set
        Settings of the data, such as data.query="select * from orders", data.table=orders, data.rows=100000.
    prices
        A prices.toml; without it no money is named.
    """

    data: Source
    _: KW_ONLY
    size: int | None = None
    schema: Path | None = None
    labels: str | None = None
    write_schema: Path | None = None
    overwrite: bool = False
    discover: Annotated[bool, Parameter(negative="--no-discover")] = True
    probe: Annotated[bool | None, Parameter(negative="--no-probe")] = None
    threads: int | None = None
    set: Sequence[str] = ()
    prices: Path | None = None


@dataclass(frozen=True)
class TrainOptions:
    """Train a generator on data, or continue a run exactly where it stopped.

    Parameters
    ----------
    source
        What to learn from (see `karat look`), or the folder of a run to continue.
    data
        Of a run to continue: where its data lie now, if they were moved.
    trust_data
        Of a run that you did not make: read the data that it names.
    recipe
        Pictures: vae (the default), diffusion, ddpm, gan, cgan, dcgan, wgan-gp, mlp-gan. Tables: trees (the default),
        cart, autoregressive, vae, gan, diffusion, ctgan, tvae, marginals. Text: autoregressive (the default), ngram,
        diffusion. Or the path of your own .toml.
    minutes
        Budget in minutes, kept within 5%. Of minutes, steps and samples give one; the default is the recipe's own.
    steps
        Budget in steps of the training loop.
    samples
        Budget in training samples seen.
    seed
        Seed of everything random.
    seeds
        Train so many runs, OUT-1, OUT-2, ..., with this seed and those after it; `karat assay OUT-*` compares them.
    out
        Folder of the run; runs/DATA-RECIPE by default.
    family
        A Python file of your own that exports Config and Model, in place of a recipe. It is run, and only when it is named
        here: to continue such a run, name it again.
    schema
        A TOML that corrects what is inferred of a table's columns, and declares rules (see `karat look --write-schema`).
    labels
        How the names of files of pictures or sounds are to be read, such as `{label}_{speaker}_{n}`, or their folders, such
        as `{alphabet}/{character}`: `label` is the class, and every name in braces can be used in --holdout. Of text in a
        table: the column that holds the class.
    holdout
        What is set aside for the judge: a share (0.1 by default), the last of the data as they stand (last:0.1), or what
        the names say (n<5, speaker=theo).
    epsilon
        Learn a table with differential privacy of this epsilon (the recipe marginals); docs/privacy.md says what it promises.
        Wants a --schema that declares the kind of every column of text, or --public-schema.
    discover
        Look for what holds between the columns of a table and keep to it in what is made (see `karat look`); --no-discover
        looks for nothing. With --epsilon nothing is looked for.
    public_schema
        With --epsilon: what the cells show of kinds, formats and spellings is inferred from them, and is no secret.
    device
        auto, cpu, cuda, cuda:1 or mps.
    threads
        CPU threads to use.
    set
        Deeper settings, such as model.width=64, model.lr=1e-3, train.batch=128, train.precision=fp32, data.size=64.
    track
        Also tell a tracker: tensorboard, wandb or mlflow, each of which keeps files in the run unless its own settings name a
        server. Give it again for another.
    prices
        A prices.toml; without it the ledger keeps seconds and no money.
    """

    source: Source
    _: KW_ONLY
    data: str | Path | None = None
    trust_data: bool = False
    recipe: str | None = None
    minutes: float | None = None
    steps: int | None = None
    samples: int | None = None
    seed: int = 0
    seeds: int | None = None
    out: Path | None = None
    family: str | None = None
    schema: Path | None = None
    labels: str | None = None
    holdout: str | float | None = None
    epsilon: float | None = None
    discover: Annotated[bool, Parameter(negative="--no-discover")] = True
    public_schema: bool = False
    device: str = "auto"
    threads: int | None = None
    set: Sequence[str] = ()
    track: Sequence[str] = ()
    prices: Path | None = None


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


@dataclass(frozen=True)
class MakeOptions:
    """Make new content and write it as ordinary files, each labelled as AI-made.

    Parameters
    ----------
    run
        The folder of a finished run.
    n
        How many to make, 64 by default; one with --prompt or --stream.
    out
        Pictures and sounds: a folder of PNG or WAV files, or a file ending in .npz or .zip, of pictures also .npy. Tables: a
        file ending in .csv, .tsv, .json, .jsonl, .xlsx, .parquet, .feather, .orc or .csv.gz, in the form of the data by
        default. Related tables: a folder, of files named as the real ones. Text: a file ending in .txt, .jsonl or .csv, or a
        folder of .txt files. By default in RUN/made, or the first of RUN/made-2, made-3, ... that is new. A folder whose
        making was stopped goes on where it was.
    shards
        Make so many files in place of one, each of about as many records, in a folder: --out big.parquet makes
        big.parquet/part-00000.parquet and so on. Each hangs on the seed and its number alone, keys differ in all of them,
        and one that is whole is not made again where the making was stopped.
    shard
        Of the shards make only these, on this machine: one number from 0, or the first and the last: 100-199.
    workers
        Processes that make shards side by side, 1 by default; on Ray as many as it has CPUs.
    on
        ray: make the shards as tasks of the Ray cluster that RAY_ADDRESS names, or of one on this machine. Its machines must
        see RUN and --out under the same names.
    family
        The Python file that the run was trained with, if it was; it is run.
    label
        Make this class only, by its name.
    given
        Tables: what every row must hold, such as "income=>50K, sex=Female, age=30..40"; or a file of partial rows, whose
        empty cells and absent columns are filled in. Of related tables "customers.segment=gold", of any that has no parent.
    balance
        Tables: a column whose values are all made equally often.
    independent
        Tables: draw every row by itself; by default the rows of a table keep together to what was learned, as a stratified
        sample does.
    prompt
        Text: what it begins with.
    temperature
        Text: below 1 likelier, above 1 more varied; 0 takes the likeliest.
    top_p
        Text: drawn from the likeliest that hold this share together.
    min_p
        Text: drawn from those at least this share as likely as the likeliest.
    stop
        Text: ends before this comes. May be given several times.
    characters
        Text: how many characters follow the prompt, however long a passage of the data is; by default about one passage.
    stream
        Text: show it while it comes, on standard output; it is written and labelled as well.
    seed
        Seed of what is made; the same seed gives the same content.
    device
        auto, cpu, cuda or mps.
    threads
        CPU threads to use.
    producer
        Your name or code in the label of origin: ASCII, without spaces.
    overwrite
        Replace what was made before and is there; never what the run learned from, nor files that karat did not make.
    safe_cells
        Tables: put a quote before cells of delimited files that a spreadsheet would run as formulas.
    prices
        A prices.toml; without it the ledger keeps seconds and no money.
    """

    run: RunLike
    _: KW_ONLY
    n: Annotated[int | None, NUMBER] = None
    out: Path | None = None
    shards: int | None = None
    shard: str | None = None
    workers: int | None = None
    on: Literal["ray"] | None = None
    family: str | Path | None = None
    label: Annotated[str | None, Parameter(name="--class")] = None
    given: str | None = None
    balance: str | None = None
    independent: bool = False
    prompt: str | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    min_p: float = 0.0
    stop: Sequence[str] = ()
    characters: int | None = None
    stream: bool = False
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    producer: str = "karat"
    overwrite: bool = False
    safe_cells: bool = False
    prices: Path | None = None


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Look, train, make, assay and report on data that come with the install, in about a minute.

    Parameters
    ----------
    on
        pictures: handwritten digits; table: orders of a shop, rendered by the program; text: the Python language reference; audio:
        musical notes, rendered by the program.
    seconds
        Seconds of training, 25 by default (50 for audio); a table takes what it takes.
    out
        Folder of the run; the first of runs/demo, runs/demo-2, ... that is new by default (runs/demo-table and so on).
        A former demo there that nobody changed since is replaced.
    seed
        Seed of everything random.
    threads
        CPU threads to use.
    """

    on: Literal["pictures", "table", "text", "audio"] = "pictures"
    seconds: float | None = None
    out: Path | None = None
    seed: int = 0
    threads: int = 1


def takes_fields(kind: Callable[P, Options]) -> Callable[[Callable[[Options], R]], Callable[P, R]]:
    """Makes of a verb that takes the options `kind` a function that takes their fields as arguments, with their help.

    The function's signature is that of the dataclass, to a type checker as to `inspect.signature`; an argument that is no
    field is refused by the dataclass with a TypeError that names it.
    """

    def over(verb: Callable[[Options], R]) -> Callable[P, R]:
        @functools.wraps(verb)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            options = kind(*args, **kwargs)
            _check_texts(options)
            return verb(options)

        hints = get_type_hints(kind, include_extras=True)
        own = [p.replace(annotation=hints[name]) for name, p in inspect.signature(kind).parameters.items()]
        call.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in own}
        call.__doc__ = _unwrapped(inspect.getdoc(kind) or "")
        return call

    return over


TEXTS = (
    "given",
    "label",
    "balance",
    "shard",
    "prompt",
    "stop",
    "producer",
    "target",
    "require",
    "labels",
    "holdout",
    "set",
)


def _check_texts(options: object) -> None:
    """FitError for words that UTF-8 cannot write: a terminal in another encoding hands such bytes over as half characters."""
    for name in TEXTS:
        value = getattr(options, name, None)
        for text in value if isinstance(value, list | tuple) else [] if value is None else [value]:
            try:
                str(text).encode()
            except UnicodeEncodeError:
                if name == "given" and os.path.exists(text):  # a file may be called anything
                    continue
                flag = "class" if name == "label" else name
                raise FitError(f"--{flag} {text!r} is no text in UTF-8, which was wanted.") from None
            if "\0" in str(text):
                raise FitError(f"--{name} {text!r} holds a zero byte; text without one was wanted.")


def _unwrapped(text: str) -> str:
    """A docstring whose descriptions are one line each, for a terminal to lay out to its own width."""
    flat = re.sub(r"(?m)(^ {4}\S.*)\n {4}(?=\S)", r"\1 ", text)
    return text if flat == text else _unwrapped(flat)
