"""Everything a person can ask. The command line and the Python API are these functions; their docstrings are the help.

Nothing heavy is imported until a verb is used, so that `karat --help` answers at once.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from karat.options import AssayOptions, DemoOptions, LookOptions, MakeOptions, TrainOptions, takes_fields
from karat.run import Run

if TYPE_CHECKING:
    from rich.console import Console

    from karat.report.comparison import Comparison
    from karat.synthesizer import Synthesizer
    from karat.workflow.calibrating import Calibration
    from karat.workflow.concluding import Assay
    from karat.worth.business import Advice


@takes_fields(LookOptions)
def look(options: LookOptions) -> dict[str, Any]:
    """Say what is in the data, what is wrong with it, which recipes fit, and what each would cost."""
    from karat.data import load, survey
    from karat.data.split import FEWEST
    from karat.output import Output
    from karat.training import loop
    from karat.workflow import learning, probing
    from karat.worth.prices import find

    loop.tune_machine(options.threads)
    schema, write_schema = options.schema, options.write_schema
    settings = learning.data_options(options.set) | ({} if options.size is None else {"size": options.size})
    written = Output(options.overwrite, [Path(x) for x in (options.data, schema) if isinstance(x, str | Path)])
    if write_schema is not None:
        written.check(Path(write_schema))
        _check_toml(Path(write_schema))
    holdout = settings.pop("holdout", 0.1)
    settings |= {k: v for k, v in (("schema", schema), ("labels", options.labels)) if v is not None}
    settings |= {} if options.discover else {"discover": False}
    # a schema that is kept is inferred from all rows; what is shown need not be
    found = load(options.data, options=settings, holdout=holdout, glance=write_schema is None, fewest=1)
    info = survey(found)
    console = _console()
    probing.show(info, console)
    enough = len(found.train) + len(found.holdout) >= FEWEST
    prices = find(options.prices, [Path.cwd()])
    info["recipes"] = probing.estimates(found, prices, measure=options.probe) if enough else []
    if enough:
        probing.show_recipes(info, console)
    if write_schema is not None:
        written.write(Path(write_schema), found.declared(info.get("between", ())).encode())
        console.print(f"schema: {write_schema}; correct it and give it back as --schema", soft_wrap=True)
    return info


@takes_fields(TrainOptions)
def train(options: TrainOptions) -> Opened:
    """Train a generator on data, or continue a run exactly where it stopped.

    With `seeds` the first of so many runs; its `seeds` are all of them.
    """
    called = {"wall": time.monotonic(), "cpu": time.process_time()}
    from karat.training import loop
    from karat.workflow.several import seeding

    loop.tune_machine(options.threads)
    _check_seed(options.seed)
    if options.seeds is None:
        return _train(options, called)
    runs = tuple(_train(each, None) for each in seeding.of_seeds(options))
    runs[0].seeds = runs
    _console().print(f"compare them: karat assay {' '.join(str(run.path) for run in runs)}", soft_wrap=True)
    return runs[0]


def _train(options: TrainOptions, called: Mapping[str, float] | None) -> Opened:
    from karat.errors import FitError
    from karat.training import loop
    from karat.trust import answered_for
    from karat.workflow import learning
    from karat.worth.ledger import Ledger
    from karat.worth.prices import find

    console = _console()
    source = options.source
    place = source.path if isinstance(source, Run) else Path(source) if isinstance(source, str | Path) else None
    if place is not None and Run.is_run(place):
        run = Run.open(place)
        if options.threads is None:  # as the run began: another number of threads adds in another order
            loop.tune_machine(run.spec.get("threads"))
        declared = find(options.prices, [place, Path.cwd()])
        with run.lock(), Ledger(run.path / "ledger.jsonl", declared).entry("train") as entry, answered_for(run):
            return _opened(learning.proceed(run, options, entry, console))
    if options.data is not None or options.trust_data:
        raise FitError(
            "--data and --trust-data are for a run that is continued; name the data alone: `karat train DATA`."
        )
    return _opened(learning.begin(options, console, called=called))


@takes_fields(AssayOptions)
def assay(options: AssayOptions) -> Assay | Calibration | Comparison | Advice:
    """Find out what a generator is worth: findings, each beside the score that unseen real data gets, and a verdict.

    Of several runs, which of them is better in what.
    """
    if options.calibrate is not None:
        return _calibrated(options)
    if options.business:
        advice, written = _advised(options)
        if not options.runs and options.made is None:
            return advice
        options = replace(options, prices=written)
    return _compared(options) if len(options.runs) > 1 else _assayed(options)


def _assayed(options: AssayOptions) -> Assay:
    from karat.training import loop
    from karat.trust import answered_for
    from karat.workflow import office
    from karat.workflow.concluding import Destination, conclude
    from karat.worth.trial import read_trial

    loop.tune_machine(options.threads)
    office.check(options)
    _check_seed(options.seed)
    trial = [] if options.ab is None else [read_trial(options.ab)]
    run = next(map(_run_of, options.runs), None)
    destination = Destination.of_files(options) if run is None else Destination.of_run(run, options)
    if options.exchange is None:
        options = replace(options, exchange=destination.prices.label_cost_per_item is not None)
    with contextlib.nullcontext() if run is None else answered_for(run):
        with destination.ledger.entry("assay") as entry:
            job = office.of_files(options) if run is None else office.of_run(run, options)
            entry.items = (
                0 if run is None else options.n
            )  # drawn here: what one cost at most, where `make` has made none
        result = conclude(replace(job, findings=(*job.findings, *trial)), destination, options)
    console = _console()
    console.print(str(result), soft_wrap=True)
    notes = [] if run is None else list(run.notes)
    if (damaged := destination.ledger.damaged()) > 0:
        notes.append(f"{destination.ledger.path}: {damaged:,} lines are damaged and were not counted")
    _say_end(console, options.lang, result.report, result.failed, notes)
    return result


def _advised(options: AssayOptions) -> tuple[Advice, Path]:
    """The questions of `--business`, asked, and where their answers were written."""
    from karat.errors import FitError
    from karat.languages import language
    from karat.output import Output
    from karat.worth.business import interview
    from karat.worth.prices import FILE_NAME

    console, words = _console(), language(options.lang)
    place = next((_run_of(run).path for run in options.runs), Path())
    goal = place / FILE_NAME if options.prices is None else Path(options.prices)
    output = Output(options.overwrite, private=True)
    output.check(goal)

    def ask(text: str) -> str:
        console.print(text, soft_wrap=True)
        line = sys.stdin.readline()
        if not line:
            raise FitError(words.say("business.ended"))
        return line

    console.print(words.say("business.intro"), soft_wrap=True)
    advice = interview(ask, words)
    output.write(goal, advice.toml.encode())
    console.print(words.say("business.written", path=goal), soft_wrap=True)
    if advice.advice != "train" or not options.runs:  # that a trial is worth it is no news to who has a run
        console.print(str(advice), soft_wrap=True)
    return advice, goal


def _compared(options: AssayOptions) -> Comparison:
    from karat.training import loop
    from karat.workflow import office
    from karat.workflow.several.comparing import compare

    loop.tune_machine(options.threads)
    office.check(options)
    _check_seed(options.seed)
    found, console = compare([_run_of(run) for run in options.runs], options), _console()
    console.print(str(found), soft_wrap=True)
    _say_end(console, options.lang, found.report, found.failed)
    return found


def _calibrated(options: AssayOptions) -> Calibration:
    from karat.training import loop
    from karat.workflow.calibrating import calibration

    loop.tune_machine(options.threads)
    _check_seed(options.seed)
    console = _console()
    result = calibration(options, lambda line: console.print(line, soft_wrap=True))
    console.print(str(result), soft_wrap=True)
    console.print(f"written: {result.report}", soft_wrap=True)
    return result


def _say_end(
    console: Console, lang: str, report: Path | None, failed: Sequence[str], notes: Sequence[str] = ()
) -> None:
    """Where the report is, what is to be noted, and which requirements do not hold."""
    from karat.languages import language

    say = language(lang).say
    required = [say("print.required", text=line) for line in failed]
    for line in (say("print.report", path=report), *notes, *required):
        console.print(line, soft_wrap=True)


@takes_fields(MakeOptions)
def make(options: MakeOptions) -> list[Path]:
    """Make new content and write it as ordinary files, each labelled as AI-made."""
    from karat.training import loop
    from karat.trust import answered_for
    from karat.workflow import devices, learning, making, sharding
    from karat.worth.ledger import Ledger
    from karat.worth.prices import find

    loop.tune_machine(options.threads)
    _check_seed(options.seed)
    if options.shards is None:
        sharding.refuse(options)
    making.request_of(options)  # what cannot be is refused before the run is opened
    run = _run_of(options.run)
    with answered_for(run):
        learning.permit(run, options.family)
    where = devices.choose_device(options.device)
    ledger = Ledger(run.path / "ledger.jsonl", find(options.prices, [run.path, Path.cwd()]))
    with ledger.entry("make", where.type) as entry, answered_for(run):
        one = options.shards is None
        made = making.make(run, options, _write) if one else sharding.make(run, options, _console().print)
        entry.items, entry.elsewhere = made.count, made.elsewhere
    noted = () if made.note is None else (made.note,)
    for line in (f"made {made.count:,}: {made.place}", *noted, *run.notes):
        _console(options.stream).print(line, soft_wrap=True)
    return list(made.files)


@takes_fields(DemoOptions)
def demo(options: DemoOptions) -> Assay:
    """Look, train, make, assay and report on data that come with the install, in about a minute."""
    from karat.output import write_whole
    from karat.run import BEGUN, Draft
    from karat.training import loop
    from karat.workflow import demos, learning

    on, seed, threads, out = options.on, options.seed, options.threads, options.out
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
        write_whole(declared, demos.declared(sample).encode())
        console.rule("look")
        labels = sample.options.get("labels")
        settings = [f"data.{key}={value}" for key, value in sample.options.items() if key != "labels"]
        look(sample.data, probe=False, threads=threads, labels=labels, set=settings)
        console.rule("train")
        seconds = sample.seconds if options.seconds is None else options.seconds
        run = learning.begin(
            TrainOptions(
                sample.data,
                minutes=seconds / 60,
                seed=seed,
                out=out,
                labels=labels,
                threads=threads,
                set=[*settings, *sample.settings],
            ),
            console,
            draft,
        )
    console.rule("make")
    make(run, n=sample.number, out=out / sample.file, seed=seed, threads=threads)
    console.rule("assay")
    console.print(
        f"the money is that of an example business: {sample.story} ({run.path / 'prices.toml'})", soft_wrap=True
    )
    found = _assayed(AssayOptions(run, n=sample.judged, seed=seed, threads=threads))
    demos.seal(out)
    return found


class Opened(Run):
    """A run to work with: what `karat.train` and `karat.open` give.

    seeds: all runs that `karat.train(..., seeds=n)` trained together, this one the first; else none.
    """

    seeds: tuple[Opened, ...] = ()

    def __repr__(self) -> str:
        learned = f"{self.spec['recipe']['name']} on {Path(self.spec['data']).name}, {self.spec['status']}"
        return f"<run {self.path}: {learned}; it has make, assay and synthesizer>"

    def make(
        self,
        n: int | None = None,
        *,
        out: str | Path | None = None,
        label: str | None = None,
        given: str | None = None,
        balance: str | None = None,
        independent: bool = False,
        prompt: str | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        stop: Sequence[str] = (),
        characters: int | None = None,
        seed: int = 0,
        device: str = "auto",
        family: str | Path | None = None,
        overwrite: bool = False,
    ) -> Any:
        """New records as the content has them, or with `out` labelled files there, whose paths are returned (`karat.make`).

        Records are a frame of pandas (a table of Arrow without pandas), of related tables one by each name; pictures uint8
        or uint16 [n, height, width, channels]; text a list of strings; sound a list of waves, float32 [samples, channels] in
        [-1, 1], and their rate in Hz. `label` asks for one class; without it the classes come as often as in the data, and
        which is which is not told. Records carry no label of origin: label what you pass on. Options mean what they mean in
        `karat.make`.
        """
        options = MakeOptions(
            self,
            n=n,
            out=None if out is None else Path(out),
            label=label,
            given=given,
            balance=balance,
            independent=independent,
            prompt=prompt,
            temperature=temperature,
            top_p=top_p,
            min_p=min_p,
            stop=stop,
            characters=characters,
            seed=seed,
            device=device,
            family=family,
            overwrite=overwrite,
        )
        if out is not None:
            return make(**{f.name: getattr(options, f.name) for f in fields(options)})
        from karat.workflow import making

        _check_seed(seed)
        request, synth = making.request_of(options), self.synthesizer(device, family)
        return synth.codec.in_python([block.records for block in synth.stream(request)])

    def assay(self, n: int = 5000, *, target: str | None = None, seed: int = 0, out: str | Path | None = None) -> Assay:
        """What it is worth: `.verdict`, `.to_dict()`, `.save("report.html")` (`karat.assay`)."""
        return _assayed(AssayOptions(self, n=n, target=target, seed=seed, out=None if out is None else Path(out)))

    def synthesizer(self, device: str = "auto", family: str | Path | None = None) -> Synthesizer:
        """The codec with what was learned, ready to draw; RunError where the run is unfinished or damaged."""
        from karat import synthesizer
        from karat.trust import answered_for
        from karat.workflow import devices, learning

        with answered_for(self):
            learning.permit(self, family)
            return synthesizer.load(self, devices.choose_device(device))


def _opened(run: Run) -> Opened:
    own = Opened(run.path, run.spec)
    own.notes = run.notes
    return own


def open_run(path: str | Path) -> Opened:
    """The run in a folder; RunError where there is none, or it is damaged."""
    return Opened.open(Path(path))


def _console(aside: bool = False) -> Console:
    """Where a person reads; aside, where what is made itself goes to standard output."""
    from karat.terminal import Terminal

    return Terminal(aside)


def _write(text: str) -> None:
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
    except (OSError, ValueError, RecursionError):
        raise RunError(f"{path} is there and holds no schema; choose another --write-schema.") from None


def _run_of(run: str | Path | Run) -> Run:
    return run if isinstance(run, Run) else Run.open(Path(run))


def _check_seed(seed: int) -> None:
    from karat.errors import FitError

    if not 0 <= seed < 2**62:
        raise FitError(f"seed {seed}: wanted a whole number from 0 to {2**62 - 1}.")
