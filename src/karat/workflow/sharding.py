"""Many files in place of one: shards of a make, each a pure function of the request and its number, made side by side.

So they may be made by any number of processes, on any machines and in any order, and are the same bytes.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from karat import synthesizer
from karat.content.codec import Codec, Delivery
from karat.content.table.formulas import Guard
from karat.content.table.rules.conditions import names_file
from karat.curation.drawing import Tally
from karat.errors import FitError, RunError
from karat.options import MakeOptions
from karat.output import Folder, digest, require_disk
from karat.provenance.containers import container_of
from karat.provenance.files import digest_read
from karat.run import Run
from karat.synthesizer import Synthesizer
from karat.training import loop
from karat.trust import answered_for
from karat.workflow import learning, making
from karat.workflow.devices import choose_device
from karat.workflow.making import Labelling, Made

MOST = 100_000  # shards, each of which the label of the folder names
SAVED = 10  # seconds of work that a process which is killed may lose beside the shards under way
TOLD = 20  # times that progress is told


@dataclass(frozen=True)
class Task:
    """Shard `number`, to be written to the file `place` in the form `suffix`.   options: with the run's folder, and threads.

    model: digest of the weights.
    """

    options: MakeOptions
    number: int
    place: str
    suffix: str
    model: str


@dataclass(frozen=True)
class Done:
    """A shard that was written.   formulas: cells that a spreadsheet would run.   cpu: seconds."""

    number: int
    digest: str
    size: int
    formulas: int
    cpu: float
    tally: Tally


def make(run: Run, options: MakeOptions, tell: Callable[[str], None]) -> Made:
    """The shards of `options`, or those of them that are asked for, in a folder whose label names them all.

    One whose making was stopped goes on with those that are not whole.   tell: takes a line of progress.
    """
    request, device = making.request_of(options), choose_device(options.device)
    numbers = _numbers(options, request.n)
    codec, label, output = synthesizer.load_codec(run), making.label_of(run, options), making.output_of(run, options)
    assert options.shards is not None
    asked = {**request.to_dict(), **making.identity(run, options, device)}
    asked |= {"shards": [options.shards, numbers.start, numbers.stop]}
    goal = making.place(run, options.out, asked, options.overwrite)
    suffix = _suffix(codec, goal)
    counts = {k: request.part(k, options.shards).n for k in numbers}
    total = sum(counts.values())
    require_disk(goal, total, f"{total:,} {codec.thing}s")
    bare = replace(options, run=str(run.path.absolute()), threads=1 if options.threads is None else options.threads)
    names = {k: f"part-{k:0{max(5, len(str(options.shards - 1)))}d}{suffix}" for k in numbers}
    guard, written, rows, cpu, saved = Guard(options.safe_cells), 0, 0, 0.0, time.monotonic()
    tally = Tally()
    with Folder(output, goal, label, asked, keep=True) as folder:
        wanted = [k for k in numbers if not folder.has(names[k])]
        left = sum(counts[k] for k in wanted)
        tasks = (Task(bare, k, str(folder.begin(names[k]).absolute()), suffix, asked["model"]) for k in wanted)
        with contextlib.closing(spread(tasks, len(wanted), options)) as every:
            for i, done in enumerate(every, 1):
                folder.took(names[done.number], done.digest, done.size)
                guard.found, written, cpu = guard.found + done.formulas, written + done.size, cpu + done.cpu
                rows += counts[done.number]
                tally.add(done.tally)
                require_disk(goal, written * (left - rows) / rows, f"{left - rows:,} more {codec.thing}s")
                if time.monotonic() - saved > SAVED:
                    folder.flush()
                    saved = time.monotonic()
                if i * TOLD // len(wanted) > (i - 1) * TOLD // len(wanted) and len(wanted) > TOLD:
                    tell(f"{i:,} of {len(wanted):,} shards")
        making.sign_folder(folder, making.signer_of(options))
    paths = tuple(goal / names[k] for k in numbers)
    return Made(total, goal, paths, guard.note(), cpu if options.on is not None else 0.0, tally)


def refuse(options: MakeOptions) -> None:
    """FitError for what only goes with shards."""
    for name in ("shard", "workers", "on"):
        if getattr(options, name) is not None:
            raise FitError(f"--{name} goes with --shards, which says how many files are made.")


def _numbers(options: MakeOptions, n: int) -> range:
    """The shards that are asked for; FitError for what cannot be."""
    of = options.shards
    if options.given is not None and names_file(options.given):
        raise FitError("a file of partial rows is completed as a whole; leave --shards out, or divide the file.")
    if options.stream:
        raise FitError("--stream shows one text after another, and shards are made side by side; give one of them.")
    if of is None or not 1 <= of <= min(n, MOST):
        raise FitError(f"--shards {of}: wanted from 1 to {min(n, MOST):,}, at least a record in each.")
    if options.workers is not None and not 1 <= options.workers <= loop.THREADS_MOST:
        raise FitError(f"--workers {options.workers}: wanted from 1 to {loop.THREADS_MOST:,}.")
    if options.shard is None:
        return range(of)
    first, dash, last = options.shard.strip().partition("-")
    try:
        start, stop = int(first), int(last if dash else first) + 1
    except ValueError:
        raise FitError(f"--shard {options.shard!r}: wanted a number such as 7, or the first and last: 0-99.") from None
    if not 0 <= start < stop <= of:
        raise FitError(f"--shard {options.shard}: there are shards 0 to {of - 1:,}.")
    return range(start, stop)


def _suffix(codec: Codec, goal: Path) -> str:
    """The form of each shard, which the folder's name may say; FitError where none is written as one file."""
    known = sorted(codec.wholes, key=len, reverse=True)
    named = next((suffix for suffix in known if goal.name.endswith(suffix)), goal.suffix)
    _, suffix = codec.place_of(goal / f"part{named if named or not known else codec.wholes[0]}", True)
    if suffix is None or suffix in codec.each:
        raise FitError(f"{goal}: a shard is one file, and the folder's name says its form: --out NAME.npz")
    return suffix


def write(task: Task) -> Done:
    """Writes one shard, with its label inside where the format has a place for one."""
    begun, options, file_name = time.process_time(), task.options, Path(task.place)
    assert options.shards is not None
    threads = torch.get_num_threads()
    loop.tune_machine(options.threads)
    try:
        run, synth = _loaded(str(options.run), task.model, options.family, options.device)
        request = making.request_of(options).part(task.number, options.shards)
        label = making.label_of(run, options)
        label = replace(label, item=f"{label.item}-part{task.number}")
        guard = Guard(options.safe_cells)
        how = Delivery(
            request.n,
            Labelling(label),
            guard,
            visible=making.visible_of(options, synth.codec, label),
        )
        flags = os.O_RDWR | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
        with answered_for(run), os.fdopen(os.open(file_name, flags), "r+b") as file:
            tally = Tally()
            blocks = making.blocks_of(synth, run, options, request, tally)
            synth.codec.stream(blocks, task.suffix, file, how)
            container = container_of(task.suffix)
            if container is not None:
                container.write_in(file, label)
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            found = digest_read(file)
    finally:
        torch.set_num_threads(threads)
    return Done(task.number, found, size, guard.found, time.process_time() - begun, tally)


@functools.lru_cache(1)
def _loaded(place: str, model: str, family: str | Path | None, device: str) -> tuple[Run, Synthesizer]:
    """The run, read once by each process."""
    run = Run.open(Path(place))
    with answered_for(run):
        learning.permit(run, family)
        if digest(run.load_model()) != model:
            raise RunError(f"{place} changed while shards of it were made; make them again.")
        return run, synthesizer.load(run, choose_device(device))


# Who makes them


def spread(tasks: Iterator[Task], count: int, options: MakeOptions) -> Generator[Done]:
    """All `count` tasks done, in the order in which they end."""
    workers = min(count, 1 if options.workers is None else options.workers)
    if options.on == "ray":
        yield from _on_ray(tasks, options.workers)
    elif workers > 1:
        yield from _in_processes(tasks, workers)
    else:
        yield from map(write, tasks)


def _in_processes(tasks: Iterator[Task], workers: int) -> Iterator[Done]:
    """A process takes its next task from a pipe when it has done one, and ends with the pipe, also where we are killed."""
    context = multiprocessing.get_context("spawn")  # a fork would not have torch's threads
    pipes: dict[Connection, Any] = {}
    try:
        for task in islice(tasks, workers):
            mine, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            pipes[mine] = process
            mine.send(task)
        busy = set(pipes)
        while busy:
            for pipe in wait(busy):
                assert isinstance(pipe, Connection)
                with _living(pipes[pipe]):
                    done = pipe.recv()
                    following = None if isinstance(done, BaseException) else next(tasks, None)
                    if following is None:
                        busy.discard(pipe)
                    else:
                        pipe.send(following)
                if isinstance(done, BaseException):
                    raise done
                yield done
    finally:
        for pipe, process in pipes.items():
            pipe.close()
            process.terminate()
            process.join()


@contextlib.contextmanager
def _living(process: Any) -> Iterator[None]:
    """RunError where the process at the other end of a pipe is gone."""
    try:
        yield
    except (EOFError, ConnectionError):
        process.join()
        raise RunError(
            f"a process that made shards was ended from outside (exit code {process.exitcode}), perhaps for want of memory: "
            "lower --workers. The same command goes on with the shards that are not whole."
        ) from None


def _serve(pipe: Connection) -> None:
    """What a process does: tasks, until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes of a terminal; the first one ends us
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            task = pipe.recv()
            try:
                pipe.send(write(task))
            except Exception as error:
                pipe.send(error)


def _on_ray(tasks: Iterator[Task], workers: int | None) -> Iterator[Done]:
    """Tasks of Ray (https://docs.ray.io/en/latest/ray-core/tasks.html); one whose machine is lost is made again elsewhere."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
    try:
        import ray
    except ImportError as error:
        raise FitError("--on ray needs an extra: pip install 'karat[ray]'.") from error
    own = not ray.is_initialized()
    if own:
        local = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": workers, "include_dashboard": False}
        ray.init(log_to_driver=False, configure_logging=False, **local)
    try:
        side_by_side = int(ray.cluster_resources().get("CPU", 1)) if workers is None else workers
        remote = ray.remote(num_cpus=1, max_retries=3)(write)
        busy = [remote.remote(task) for task in islice(tasks, side_by_side)]
        while busy:
            done, busy = ray.wait(busy, num_returns=1)
            busy += [remote.remote(task) for task in islice(tasks, len(done))]
            yield from ray.get(done)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    finally:
        if own:
            ray.shutdown()
