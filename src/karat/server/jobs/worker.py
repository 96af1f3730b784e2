"""The process that does jobs: `python -P -m karat.server.jobs.worker ROOT`.

It imports what jobs need, and forks itself for each: for a byte on standard input the fork takes the first job of the queue,
does it as its verb would, and ends, and with it all that the job took or broke; its exit code is a line on standard output.
What forks runs nothing of a job, and no thread of torch's has begun in it. A cancelled job, and every job once standard input
ends because the server has gone, is stopped as by Ctrl-C.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import Any

from karat.errors import KaratError
from karat.limits import exhausted
from karat.run import Run
from karat.server.jobs.home import Home, locked
from karat.server.jobs.pricing import Meter, drawn
from karat.server.jobs.table import Job, Table
from karat.server.jobs.tail import Tail
from karat.server.problems import Problem
from karat.workflow.stopping import Interrupted

BEAT = 0.5  # seconds between two looks at what is new, and whether the job is to be stopped
BUDGETS = ("minutes", "steps", "samples")
NICE = 5  # of the system's priorities: who asks the server for content does not wait behind a training
NEEDED = (  # by one verb or another, and slow to import
    *(
        "karat.verbs",
        "karat.workflow.learning",
        "karat.workflow.making",
        "karat.workflow.office",
        "karat.workflow.probing",
    ),
    "torch._dynamo",
)
ONCE = "codec.json"  # a file of a run that is written before it learns and never again, as karat.json is
LOST = "the folder of its run was deleted or moved while it was trained. Resume it to train anew."
KEPT_TRYING = 60.0  # seconds for which a worker tries to write how its job ended


class Worker:
    """Does one job, in the main thread; another looks for what is new."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self._interruptible = self._stopped = self._lost = False
        self._input = select.poll()
        self._input.register(0, 0)  # which asks for nothing but whether the other end is closed

    def work(self) -> int:
        """Does the first job of the queue, if there is one and no other process does any; the exit code."""
        signal.signal(signal.SIGINT, self._interrupt)
        with locked(self.home) as mine, contextlib.closing(Table(self.home.table)) as table:
            for name in table.queue() if mine else ():
                job = table.get(name)
                if table.move(name, ("queued",), "running", begun=job.begun + 1, started=time.time()):
                    self._do(table, job)
                    break
        return 0

    def _do(self, table: Table, job: Job) -> None:
        """job: as it was before it was begun this time."""
        with _output_to(self.home.log(job.id)):
            tail, over = Tail(table, job, self.home.log(job.id)), threading.Event()
            meter = Meter(job, self.home.root)
            watch = threading.Thread(target=self._watch, args=(table, tail, meter, over), daemon=True)
            watch.start()
            taken = job.begun == 0 and "out" in job.options and job.run is not None and Run.is_run(job.run)
            state, changes = self._outcome(job)
            changes |= {"begun": 0} if taken else {}  # another's run, which it must not continue when it is resumed
            over.set()
            watch.join()
        cost = json.dumps(meter.read(0 if state == "failed" else drawn(job.kind, job.options)))
        stopped = time.monotonic() + KEPT_TRYING
        while True:  # a full disk may have room again; if not, the job is found running, and taken up by who comes next
            try:
                tail.take(last=True, cost=cost)
                if state == "stopped" and table.get(job.id).cancelling:
                    table.move(job.id, ("running",), "cancelled", ended=time.time())
                elif state == "stopped":
                    table.move(job.id, ("running",), "queued")
                else:
                    table.move(job.id, ("running",), state, ended=time.time(), **changes)
                return
            except Problem:
                if time.monotonic() > stopped:
                    raise
                time.sleep(1.0)

    def _outcome(self, job: Job) -> tuple[Any, dict[str, Any]]:
        """The state in which the job ends, "stopped" where it was asked to, and what is to be kept with it."""
        try:
            try:
                self._interruptible = True
                if self._stopped:
                    raise KeyboardInterrupt
                result = perform(job)
            finally:
                self._interruptible = False
        except (KeyboardInterrupt, Interrupted) as error:
            print(str(error) or "stopped", flush=True)
            return ("failed", {"error": LOST}) if self._lost else ("stopped", {})
        except KaratError as error:
            return "failed", {"error": LOST if self._lost else str(error)}
        except OSError as error:
            traceback.print_exc()
            return "failed", {"error": f"the system refused to read or write: {error.strerror or error}."}
        except BaseException as error:
            traceback.print_exc()
            what = f"a fault of karat's own, {type(error).__name__}. The job's log says where."
            return "failed", {"error": exhausted(error) or what}
        return "succeeded", {"result": json.dumps(result), "fraction": 1.0}

    def _watch(self, table: Table, tail: Tail, meter: Meter, over: threading.Event) -> None:
        """Tells what is new, twice a second, and interrupts the main thread once where the job is to be stopped."""
        run = tail.job.run if tail.job.kind == "train" else None
        asked = begun = False
        while not over.wait(BEAT):
            stop = bool(self._input.poll(0))  # the server has gone
            with contextlib.suppress(Problem):  # a full disk: what could not be told is told the next time
                tail.take(cost=json.dumps(meter.read()))
                stop |= table.get(tail.job.id).cancelling
            there = run is not None and (run / ONCE).is_file()
            self._lost, begun = begun and not there, begun or there
            if (stop or self._lost) and not asked:
                asked = True
                os.kill(os.getpid(), signal.SIGINT)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._interruptible:
            self._interruptible = False
            raise KeyboardInterrupt
        self._stopped = True  # before it began, or when it had ended


def perform(job: Job) -> dict[str, Any]:
    """Does what the verb does; what was begun before and stopped goes on. What it found or made, as `karat --json` says it."""
    from karat import verbs
    from karat.server.jobs.asked import typed
    from karat.verbs.results import result_of

    options = dict(job.options)
    if job.kind == "train" and job.begun and job.run is not None and Run.is_run(job.run):
        run = Run.open(job.run)
        if run.spec["status"] == "trained" and all(options.get(b) in (None, run.spec[b]) for b in BUDGETS):
            return result_of(run)
        kept = ("device", "threads", "prices", "data", *BUDGETS)
        options = {"source": str(job.run)} | {name: options[name] for name in kept if name in options}
    if job.kind == "assay" and job.begun and "out" in options:
        options["overwrite"] = True  # what stands there is what this job wrote before it was stopped
    asked = typed(job.kind, options)
    verb = getattr(verbs, job.kind)
    return result_of(verb(**{f.name: getattr(asked, f.name) for f in fields(asked)}))


@contextlib.contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Lets all that the process prints go to the log, also what libraries print below Python."""
    log.parent.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    for number in (1, 2):
        os.dup2(handle, number)
    os.close(handle)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()


def forked(root: Path) -> int:
    """Lets a fork do one job; the exit code, negative where a signal ended it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        code = Worker(root).work()
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        os._exit(
            code
        )  # the end of Python itself would touch, and so copy, all that was imported: a CPU second and more


def main() -> None:
    root = Path(sys.argv[1])
    os.nice(NICE)
    os.chdir(root)  # prices.toml is looked for here, and nothing is written anywhere else
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    answers = os.dup(1)
    os.dup2(2, 1)
    while os.read(0, 1):
        try:
            os.write(answers, b"%d\n" % forked(root))
        except BrokenPipeError:  # the server has gone
            return
        for name in NEEDED:  # now that nobody waits for it
            importlib.import_module(name)
        gc.collect()
        gc.freeze()  # what forks collect is theirs, and the rest stays shared


if __name__ == "__main__":
    main()
