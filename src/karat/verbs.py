"""Everything a person can ask. The command line and the Python API are these functions; their docstrings are the help.

Nothing heavy is imported until a verb is used, so that `karat --help` answers at once.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from karat.run import Run

if TYPE_CHECKING:
    from rich.console import Console

    from karat.workflow.office import Assay

    RunLike = str | Path | Run
    Source = Any  # a path, an address, or a data frame of pandas, polars or Arrow
else:  # the command line reads these signatures: it types a run as its folder, and must not import torch
    Assay, RunLike, Source = Any, str, str


def look(
    data: Source,
    *,
    size: int | None = None,
    schema: Path | None = None,
    labels: str | None = None,
    write_schema: Path | None = None,
    overwrite: bool = False,
    probe: Annotated[bool, Parameter(negative="--no-probe")] = True,
    threads: int | None = None,
    set: Sequence[str] = (),
    prices: Path | None = None,
) -> dict[str, Any]:
    """Say what is in the data, what is wrong with it, which recipes fit, and what each would cost.

    Parameters
    ----------
    data
        A folder of pictures (one sub-folder per class, or flat), a zip of one, IDX, .npy, .npz, .parquet, or `digits`;
        or a table: .csv, .tsv, .json, .jsonl (also packed), .xlsx, .parquet, .feather, .orc, SQLite, DuckDB, postgresql://..., in
        Python a data frame;
        or related tables: a folder of such files, a database without data.table, one file with data.entity=COLUMN; or text:
        .txt, .md, .jsonl, a folder of them, or the column of a table that data.text=COLUMN names.
    size
        Side in pixels that the pictures are brought to.
    schema
        A TOML that corrects what is inferred of a table's columns, and declares the rules that hold among them; of related
        tables also how they refer to each other.
    labels
        How the names of files of pictures or sounds are to be read, such as "{label}_{speaker}_{n}", or their folders:
        "{alphabet}/{character}"; or the column of a text's class.
    write_schema
        Write what is inferred of a table there, to be corrected and given back as --schema.
    overwrite
        Replace a file that is there already.
    probe
        Measure minutes and memory of each recipe on this machine; a few seconds each.
    threads
        CPU threads to use.
    set
        Settings of the data, such as data.query="select * from orders", data.table=orders, data.rows=100000.
    prices
        A prices.toml; without it no money is named.
    """
    from karat.data import load, survey
    from karat.output import Output
    from karat.training import loop
    from karat.workflow import learning, probing
    from karat.worth.prices import find

    loop.tune_machine(threads)
    options = learning.data_options(set) | ({} if size is None else {"size": size})
    written = Output(overwrite, [Path(x) for x in (data, schema) if isinstance(x, str | Path)])
    if write_schema is not None:
        written.check(Path(write_schema))
        _check_toml(Path(write_schema))
    holdout = options.pop("holdout", 0.1)
    options |= {k: v for k, v in (("schema", schema), ("labels", labels)) if v is not None}
    found = load(data, options=options, holdout=holdout)
    told = survey(found)
    console = _console()
    probing.show(told, console)
    told["recipes"] = probing.estimates(found, find(prices, [Path.cwd()]), measure=probe)
    probing.show_recipes(told, console)
    if write_schema is not None:
        written.write(Path(write_schema), found.codec.declared().encode())
        console.print(f"schema: {write_schema}; correct it and give it back as --schema", soft_wrap=True)
    return told


def train(
    source: Source,
    /,
    *,
    data: str | Path | None = None,
    trust_data: bool = False,
    recipe: str | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    samples: int | None = None,
    seed: int = 0,
    out: Path | None = None,
    family: str | None = None,
    schema: Path | None = None,
    labels: str | None = None,
    holdout: str | None = None,
    epsilon: float | None = None,
    public_schema: bool = False,
    device: str = "auto",
    threads: int | None = None,
    set: Sequence[str] = (),
    track: Sequence[str] = (),
    prices: Path | None = None,
) -> Run:
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
        cart, autoregressive, vae, gan, diffusion, ctgan, tvae, marginals. Or the path of your own .toml.
    minutes
        Budget in minutes, kept within 5%. Of minutes, steps and samples give one; the default is the recipe's own.
    steps
        Budget in steps of the training loop.
    samples
        Budget in training samples seen.
    seed
        Seed of everything random.
    out
        Folder of the run; runs/<data>-<recipe> by default.
    family
        A Python file of your own that exports Config and Model, in place of a recipe. It is run, and only when it is named
        here: to continue such a run, name it again.
    schema
        A TOML that corrects what is inferred of a table's columns, and declares rules (see `karat look --write-schema`).
    labels
        How the names of files of pictures or sounds are to be read, such as "{label}_{speaker}_{n}", or their folders, such
        as "{alphabet}/{character}": `label` is the class, and every name in braces can be used in --holdout. Of text in a
        table: the column that holds the class.
    holdout
        What is set aside for the judge: a share (0.1 by default), the last of the data as they stand (last:0.1), or what
        the names say (n<5, speaker=theo).
    epsilon
        Learn a table with differential privacy of this epsilon (the recipe marginals); docs/privacy.md says what it promises.
        Wants a --schema that declares the kind of every column of text, or --public-schema.
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
    called = {"wall": time.monotonic(), "cpu": time.process_time()}
    from karat.errors import FitError
    from karat.training import loop
    from karat.trust import answered_for
    from karat.workflow import learning
    from karat.worth.ledger import Ledger
    from karat.worth.prices import find

    loop.tune_machine(threads)
    _check_seed(seed)
    console = _console()
    budget = (minutes, steps, samples)
    tracks = (track,) if isinstance(track, str) else tuple(track)
    out = None if out is None else Path(out)
    place = source.path if isinstance(source, Run) else Path(source) if isinstance(source, str | Path) else None
    if place is not None and Run.is_run(place):
        run = Run.open(place)
        if threads is None:  # as the run began: another number of threads adds in another order
            loop.tune_machine(run.spec.get("threads"))
        with run.lock(), Ledger(run.path / "ledger.jsonl", find(prices, [place, Path.cwd()])).entry("train") as entry:
            other_seed = seed not in (0, run.spec["seed"])
            given = (
                recipe,
                out,
                schema,
                labels,
                holdout,
                epsilon,
                set,
                other_seed,
                any(name not in run.spec["track"] for name in tracks),
            )
            asked = learning.Asked(data, trust_data, family)
            with answered_for(run):
                return learning.proceed(run, entry, console, device, budget, given, asked)
    if data is not None or trust_data:
        raise FitError(
            "--data and --trust-data are for a run that is continued; name the data alone: `karat train DATA`."
        )
    named = (("schema", schema), ("labels", labels), ("holdout", holdout))
    changes = [*set, *(f"data.{k}={v}" for k, v in named if v is not None)]
    if public_schema and epsilon is None:
        raise FitError("--public-schema says what a private fit may tell; it goes with --epsilon.")
    if epsilon is not None:
        recipe, changes = learning.private(epsilon, recipe, family, changes, public_schema)
    return learning.begin(
        source, recipe, budget, seed, out, family, device, changes, tracks, prices, console, threads, called=called
    )


def assay(
    run: RunLike | None = None,
    *,
    data: str | Path | None = None,
    trust_data: bool = False,
    family: str | Path | None = None,
    real: Source | None = None,
    made: Source | None = None,
    n: Annotated[int, Parameter(name=["-n", "--number"])] = 5000,
    require: Sequence[str] = (),
    target: str | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    no_real: bool = False,
    seed: int = 0,
    threads: int | None = None,
    set: Sequence[str] = (),
    prices: Path | None = None,
    eyes: Path | None = None,
) -> Assay:
    """Find out what a generator is worth: findings, each beside the score that unseen real data gets, and a verdict.

    Parameters
    ----------
    run
        The folder of a run; or leave it out and give --real and --made.
    data
        Where the run's data lie now, if they were moved.
    trust_data
        Read the data that a run which you did not make names.
    family
        The Python file that the run was trained with, if it was; it is run.
    real
        Real data (see `karat look`), for samples that karat did not make.
    made
        Those samples: a folder, zip, .npy, ...; or reference:NAME (oracle, bootstrap, copier, collapser, blurrer,
        skewer, shuffler, noise), a generator of known worth that proves the scales.
    n
        How many samples to draw from the run, or of the reference.
    require
        A condition such as "coverage>=0.8"; the exit code is 1 when one does not hold. May be given several times.
    target
        The column of a table that a model would predict; by default the one that the data says, or teaches best. Of related
        tables: TABLE.COLUMN.
    out
        Folder of the report; <run>/report by default, where the next assay of the run replaces it; of --real and --made
        the first of assay, assay-2, ... that is new.
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
    set
        Settings of the real data (see `karat look`).
    eyes
        A local folder with a pretrained encoder to judge by, in place of the judge's own.
    """
    from karat.errors import FitError
    from karat.output import Output, make_folder
    from karat.report.page import is_report
    from karat.training import loop
    from karat.trust import answered_for
    from karat.workflow import learning, office
    from karat.worth.ledger import Ledger
    from karat.worth.prices import find

    loop.tune_machine(threads)
    if n < 1:
        raise FitError(f"-n {n}: at least 1 was wanted.")
    _check_seed(seed)
    if run is not None:
        if real is not None or made is not None:
            raise FitError("give either a run, or --real with --made, not both.")
        opened = run if isinstance(run, Run) else Run.open(Path(run))
        folder = opened.path / "report" if out is None else Path(out)
        output = Output(overwrite or out is None and is_report(folder), opened.kept, opened.path, private=True)
        output.check(folder / "report.html")
        declared = find(prices, [opened.path, Path.cwd()])
        ledger = Ledger(opened.path / "ledger.jsonl", declared)
        with ledger.entry("assay"), answered_for(opened):
            job = office.of_run(opened, n, seed, target, eyes, learning.Asked(data, trust_data, family))
    else:
        if data is not None or trust_data or family is not None:
            raise FitError("--data, --trust-data and --family are for a run: `karat assay RUN`.")
        if real is None or made is None:
            raise FitError("say what to assay: `karat assay RUN`, or `karat assay --real DATA --made SAMPLES`.")
        folder = learning.free(Path("assay")) if out is None else Path(out)
        output = Output(overwrite, [Path(x) for x in (real, made) if isinstance(x, str | Path)], private=True)
        output.check(folder / "report.html")
        declared = find(prices, [Path.cwd()])
        make_folder(folder, True)
        ledger = Ledger(folder / "ledger.jsonl", declared)
        with ledger.entry("assay"):
            job = office.of_files(real, made, n, seed, target, eyes, learning.data_options(set))
    with contextlib.nullcontext() if run is None else answered_for(opened):
        result = office.conclude(job, folder, ledger.entries(), declared, require, seed, output, not no_real)
    console = _console()
    console.print(str(result), soft_wrap=True)
    console.print(f"report: {result.report}", soft_wrap=True)
    for note in [] if run is None else opened.notes:
        console.print(note, soft_wrap=True)
    if (damaged := ledger.damaged()) > 0:
        console.print(f"{ledger.path}: {damaged:,} lines are damaged and were not counted", soft_wrap=True)
    for line in result.failed:
        console.print(f"required: {line}", soft_wrap=True)
    return result


def make(
    run: RunLike,
    *,
    n: Annotated[int | None, Parameter(name=["-n", "--number"])] = None,
    out: Path | None = None,
    family: str | Path | None = None,
    klass: Annotated[str | None, Parameter(name="--class")] = None,
    given: str | None = None,
    balance: str | None = None,
    prompt: str | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    stop: Sequence[str] = (),
    characters: int | None = None,
    stream: bool = False,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    producer: str = "karat",
    overwrite: bool = False,
    safe_cells: bool = False,
    prices: Path | None = None,
) -> list[Path]:
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
        folder of .txt files. By default in <run>/made, or the first of <run>/made-2, made-3, ... that is new. A folder whose
        making was stopped goes on where it was.
    family
        The Python file that the run was trained with, if it was; it is run.
    klass
        Make this class only, by its name.
    given
        Tables: what every row must hold, such as "income=>50K, sex=Female, age=30..40"; or a file of partial rows, whose
        empty cells and absent columns are filled in.
    balance
        Tables: a column whose values are all made equally often.
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
    from karat.families.generator import Taste
    from karat.request import Request
    from karat.training import loop
    from karat.trust import answered_for
    from karat.workflow import devices, learning, making
    from karat.worth.ledger import Ledger
    from karat.worth.prices import find

    loop.tune_machine(threads)
    _check_seed(seed)
    number = n if n is not None else 1 if stream or prompt is not None else 64
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    taste = Taste(temperature, top_p, min_p)
    request = Request(number, seed, klass, given, balance, prompt, taste, stops, characters, _say if stream else None)
    opened = run if isinstance(run, Run) else Run.open(Path(run))
    with answered_for(opened):
        learning.permit(opened, family)
    where = devices.choose_device(device)
    ledger = Ledger(opened.path / "ledger.jsonl", find(prices, [opened.path, Path.cwd()]))
    with ledger.entry("make", where.type) as entry, answered_for(opened):
        goal = None if out is None else Path(out)
        made = making.make(opened, request, goal, where, producer, overwrite, safe_cells)
        entry.items = made.count
    noted = () if made.note is None else (made.note,)
    for line in (f"made {made.count:,}: {made.place}", *noted, *opened.notes):
        _console(stream).print(line, soft_wrap=True)
    return list(made.files)


def demo(
    *,
    on: Literal["pictures", "table", "text", "audio"] = "pictures",
    seconds: float | None = None,
    out: Path | None = None,
    seed: int = 0,
    threads: int = 1,
) -> Assay:
    """Look, train, make, assay and report on data that come with the install, in about a minute.

    Parameters
    ----------
    on
        pictures: handwritten digits; table: biopsies and their diagnosis; text: the Python language reference; audio:
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
    from karat.output import write_whole
    from karat.run import BEGUN, Draft
    from karat.training import loop
    from karat.workflow import demos, learning

    if out is None:
        out = learning.free(Path("runs/demo" if on == "pictures" else f"runs/demo-{on}"))
    out = Path(out)
    if not (out / BEGUN).is_file():  # else one was stopped there before it was a run
        demos.clear(out)
    loop.tune_machine(threads)
    console = _console()
    with Draft(out) as draft:
        declared = draft.claim("prices.toml")
        folder = draft.claim("data")
        folder.mkdir()
        sample = demos.prepare(on, folder)
        write_whole(declared, DEMO_PRICES.format(rights=sample.rights).encode())
        console.rule("look")
        labels = sample.options.get("labels")
        settings = [f"data.{key}={value}" for key, value in sample.options.items() if key != "labels"]
        look(sample.data, probe=False, threads=threads, labels=labels, set=settings)
        console.rule("train")
        budget = (sample.seconds if seconds is None else seconds) / 60, None, None
        chosen = [*settings, *sample.settings, *([] if labels is None else [f"data.labels={labels}"])]
        run = learning.begin(
            sample.data, None, budget, seed, out, None, "auto", chosen, (), None, console, threads, draft
        )
    console.rule("make")
    make(run, n=sample.number, out=out / sample.file, seed=seed, threads=threads)
    console.rule("assay")
    found = assay(run, n=sample.judged, seed=seed, threads=threads)
    demos.seal(out)
    return found


DEMO_PRICES = """# What the demo declares. Change it and run `karat assay` on the run again: the verdict follows.
rights = "{rights}"
currency = "USD"
cpu_core_hour = 0.05
"""


def _console(aside: bool = False) -> Console:
    """Where a person reads; aside, where what is made itself goes to standard output."""
    from karat.terminal import Terminal

    return Terminal(aside)


def _say(text: str) -> None:
    """Writes to standard output at once, in whatever encoding that has; a terminal gets no escape sequences."""
    from karat.terminal import shown

    encoding = getattr(sys.stdout, "encoding", None)
    text = shown(text) if sys.stdout.isatty() else text
    sys.stdout.write(text if encoding is None else text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def _check_toml(path: Path) -> None:
    """RunError where `path` holds something that is no TOML: a schema replaces a schema, and no other file of a person's."""
    import tomllib

    from karat.errors import RunError

    if not path.is_file():
        return
    try:
        tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise RunError(f"{path} is there and holds no schema; choose another --write-schema.") from None


def _check_seed(seed: int) -> None:
    from karat.errors import FitError

    if not 0 <= seed < 2**62:
        raise FitError(f"seed {seed}: wanted a whole number from 0 to {2**62 - 1}.")


def _unwrap(text: str) -> str:
    """A docstring whose descriptions are one line each, for a terminal to lay out to its own width."""
    return re.sub(r"(?m)(^ {8}\S.*)\n {8}(?=\S)", r"\1 ", text)


for _verb in (look, train, assay, make, demo):
    while (_flat := _unwrap(_verb.__doc__ or "")) != _verb.__doc__:
        _verb.__doc__ = _flat
