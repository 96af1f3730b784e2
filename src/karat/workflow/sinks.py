"""Where the events of a session go: to the terminal, into the run's folder, and to the trackers that a person asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from karat import trackers
from karat.events import Checkpoint, Event, Finished, Note, Notice, Picture, Progress, Record, Sink, Weights
from karat.output import write_whole
from karat.run import Run
from karat.trackers import Job
from karat.training.session import passed

SHOWN = 0.25  # seconds between two looks of the bar
LONG = 5.0  # seconds between two lines about a fit, most of which end before


def folder(run: Run) -> Sink:
    """Keeps what is to last in the run."""

    def take(event: Event) -> None:
        match event:
            case Record():
                run.append("history.jsonl", event.values)
            case Checkpoint():
                run.save_checkpoint(event.step, event.content)
            case Weights():
                run.save_model(event.content)
            case Picture():
                write_whole(run.file(f"samples/{event.percent:03d}{event.suffix}"), event.content)
            case Finished():
                run.put("diagnostics.json", [notice.to_dict() for notice in event.notices])

    return take


@contextmanager
def terminal(console: Console, doing: str, reached: float) -> Iterator[Sink]:
    """A bar where there is a terminal, else a line at every tenth of the budget beyond `reached`; notes and notices."""
    live = console.is_terminal
    shown, tenth = time.monotonic(), passed(reached)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    fields = TextColumn("{task.fields[rate]}  {task.fields[losses]}", markup=False)
    with Bar(*columns, TimeRemainingColumn(), fields, console=console, transient=True, disable=not live) as bar:
        task = bar.add_task(doing, total=1.0, rate="", losses="")

        def progress(p: Progress) -> None:
            nonlocal shown, tenth
            rate = f"{p.samples / p.seconds:,.0f}" if p.samples else ""
            if live and time.monotonic() - shown > SHOWN:
                shown = time.monotonic()
                bar.update(task, completed=p.fraction, rate=rate and f"{rate}/s", losses=_losses(p))
            if passed(p.fraction) > tenth and p.fraction < 1.0:
                tenth = passed(p.fraction)
                if not live and rate:
                    console.print(f"{tenth * 10}%  step {p.step:,}  {rate} samples/s  {_losses(p)}")
                elif not live and time.monotonic() - shown > LONG:
                    shown = time.monotonic()
                    console.print(f"{tenth * 10}%  {_losses(p)}".rstrip())

        def take(event: Event) -> None:
            match event:
                case Progress():
                    progress(event)
                case Note():
                    console.print(event.text)
                case Notice():
                    console.print(f"noticed: {event.name}: {event.evidence}. Remedy: {event.remedy}.")

        yield take


@contextmanager
def tracker(name: str, run: Run, console: Console) -> Iterator[Sink]:
    """The tracker of that name, which only looks on: where it fails, that is said once and the training goes on."""
    spec = run.spec
    settings = {key: spec[key] for key in ("recipe", "seed", "minutes", "steps", "samples")}
    lost = False

    def failed(error: Exception) -> None:
        nonlocal lost
        lost = True
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        console.print(f"the tracker {name} failed ({reason}); the training goes on without it.", soft_wrap=True)

    def take(event: Event) -> None:
        if not lost:
            try:
                sink(event)
            except Exception as error:
                failed(error)

    try:  # a run that goes on elsewhere may find it not installed there
        opened = trackers.module(name).track(Job(run.path, str(spec["id"]), run.path.resolve().name, settings))
        sink = opened.__enter__()
    except Exception as error:
        failed(error)
        yield take
        return
    try:
        yield take
    finally:
        try:
            opened.__exit__(None, None, None)
        except Exception as error:
            if not lost:
                failed(error)


def _losses(p: Progress) -> str:
    return "  ".join(f"{k} {float(v):.3g}" for k, v in list(p.metrics.items())[:4])
