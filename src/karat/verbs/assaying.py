"""`karat assay`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from karat.options import AssayOptions, takes_fields
from karat.verbs.entry import check_seed, run_of, terminal

if TYPE_CHECKING:
    from rich.console import Console

    from karat.report.comparison import Comparison
    from karat.workflow.calibrating import Calibration
    from karat.workflow.concluding import Assay
    from karat.worth.business import Advice


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
    return _compared(options) if len(options.runs) > 1 else assayed(options)


def assayed(options: AssayOptions) -> Assay:
    from karat.training import loop
    from karat.trust import answered_for
    from karat.workflow import office
    from karat.workflow.concluding import Destination, conclude
    from karat.worth.trial import read_trial

    loop.tune_machine(options.threads)
    office.check(options)
    check_seed(options.seed)
    trial = [] if options.ab is None else [read_trial(options.ab)]
    run = next(map(run_of, options.runs), None)
    destination = Destination.of_files(options) if run is None else Destination.of_run(run, options)
    if options.exchange is None:
        options = replace(options, exchange=destination.prices.label_cost_per_item is not None)
    with contextlib.nullcontext() if run is None else answered_for(run):
        with destination.ledger.entry("assay") as entry:
            job = office.of_files(options) if run is None else office.of_run(run, options, terminal())
            entry.items = (
                0 if run is None else options.n
            )  # drawn here: what one cost at most, where `make` has made none
        result = conclude(replace(job, findings=(*job.findings, *trial)), destination, options)
    console = terminal()
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

    console, words = terminal(), language(options.lang)
    place = next((run_of(run).path for run in options.runs), Path())
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
    check_seed(options.seed)
    console = terminal()
    found = compare([run_of(run) for run in options.runs], options, console)
    console.print(str(found), soft_wrap=True)
    _say_end(console, options.lang, found.report, found.failed)
    return found


def _calibrated(options: AssayOptions) -> Calibration:
    from karat.training import loop
    from karat.workflow.calibrating import calibration

    loop.tune_machine(options.threads)
    check_seed(options.seed)
    console = terminal()
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
