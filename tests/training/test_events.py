"""A session yields what happens and sinks read it; a tracker is one file, and never harms the training that it looks at."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from rich.console import Console
from small import LEAST, TINY, points, serving

import karat
from karat import trackers
from karat.errors import FitError
from karat.events import Checkpoint, Event, Finished, Note, Picture, Progress, Record, Stopped, Weights
from karat.families.generator import Learned
from karat.recipe import Recipe, Training
from karat.run import Run
from karat.space import Grid
from karat.synthesizer import building
from karat.training import session
from karat.training.loop import Plan, State
from karat.workflow import sinks

TOY = '''
"""Writes the name of every event into a file of the run."""
from contextlib import contextmanager

NEEDS = ()

@contextmanager
def track(job):
    with open(job.folder / "toy.txt", "a") as file:
        print("recipe", job.settings["recipe"]["name"], file=file)
        yield lambda event: print(type(event).__name__, file=file)
'''
FAILING = """
from contextlib import contextmanager

NEEDS = ()
seen = []

@contextmanager
def track(job):
    def take(event):
        seen.append(event)
        raise ConnectionError("the server is gone")
    yield take
"""
ABSENT = "NEEDS = ('a_library_that_nobody_has',)"
PLAIN = [*TINY, "model.critic=0"]


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trackers that are one file each, in a folder beside those of the install."""
    folder = tmp_path / "trackers"
    folder.mkdir()
    for name, text in (("toy", TOY), ("failing", FAILING), ("absent", ABSENT)):
        (folder / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, f"karat.trackers.{name}", raising=False)
    monkeypatch.setattr(trackers, "__path__", [*trackers.__path__, str(folder)])


def table(folder: Path) -> Path:
    path = folder / "rows.csv"
    path.write_text("a,b\n" + "".join(f"{i % 7},{'xyz'[i % 3]}\n" for i in range(120)))
    return path


def test_a_tracker_is_one_file_and_sees_a_training_and_a_fit_alike(
    tmp_path: Path, toys: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for source, recipe, settings in (("digits", "vae", PLAIN), (table(tmp_path), "cart", [])):
        steps = 12 if recipe == "vae" else None
        folder = tmp_path / recipe
        run = karat.train(
            source, recipe=recipe, steps=steps, out=folder, threads=1, set=settings, track=["toy", "failing"]
        )
        assert run.spec["status"] == "trained" and run.spec["track"] == ["toy", "failing"]
        first, *kinds = (folder / "toy.txt").read_text().split("\n")[:-1]
        assert first == f"recipe {recipe}" and kinds[-1] == "Finished"
        assert {"Progress", "Record", "Weights", "Picture", "Finished"} <= set(kinds)
        assert ("Checkpoint" in kinds) is (recipe == "vae"), "a fit cannot be continued"
        history = run.lines("history.jsonl")
        assert len(history) == kinds.count("Record") > 1 and history[-1]["fraction"] == 1.0
        assert "nll" in history[-1] if recipe == "vae" else history[-1]["links"] == 2
        assert [row["step"] for row in history] == sorted({row["step"] for row in history}), (
            "trackers want them to rise"
        )
        said = capsys.readouterr().out
        assert said.count("the tracker failing failed (ConnectionError: the server is gone)") == 1


def test_a_tracker_that_is_not_there_is_refused_before_a_run_is_begun(tmp_path: Path, toys: None) -> None:
    with pytest.raises(FitError, match=r"pip install 'karat\[absent\]', or leave out --track absent"):
        karat.train("digits", steps=2, out=tmp_path / "r", track="absent")
    with pytest.raises(FitError, match="there are absent, failing, mlflow, tensorboard, toy, wandb"):
        karat.train("digits", steps=2, out=tmp_path / "r", track=["wandbb"])
    assert not (tmp_path / "r").exists()


def test_a_run_that_goes_on_where_its_tracker_is_not_installed_goes_on_without_it(tmp_path: Path, toys: None) -> None:
    spec = {"id": "abc", "recipe": {}, "seed": 0, "minutes": None, "steps": 3, "samples": None, "track": ["absent"]}
    run, said = Run.create(tmp_path / "r", spec), io.StringIO()
    with sinks.tracker("absent", run, Console(file=said, width=500)) as take:
        take(Note("hello"))
        take(Finished(3, 30, 1.0))
    assert said.getvalue().count("the tracker absent failed (FitError: absent is not installed") == 1


@dataclass(frozen=True)
class Plain:
    """A product without content: a session needs none."""

    model: Learned
    suffix: str = ".png"

    def of(self, model: Learned) -> Plain:
        return Plain(model)

    def glimpse(self, n: int) -> Any:
        return None

    def sheet(self, n: int) -> bytes:
        return b"picture of %d" % n

    def checkpoint(self, state: State) -> bytes:
        return json.dumps(state.numbers()).encode()

    def fit(self, seconds: float | None) -> Iterator[float]:
        yield from (0.5, 1.0)

    def metrics(self) -> dict[str, float]:
        return {"leaves": 3.0}

    def finish(self) -> None:
        return None

    def weights(self) -> bytes:
        return safetensors.torch.save(dict(self.model.weights()))


def toy() -> Learned:
    recipe = Recipe("vae", "vae", "", LEAST["vae"], Training())
    model = building.build(recipe, Grid(1, (8, 8)), 0, 0)
    assert isinstance(model, Learned)
    return model


def learned(steps: int, stop_at: int | None = None) -> list[Event]:
    """The events of a short training; stop_at: the round after which it is asked to stop."""
    model, state = toy(), State()
    batch = serving(points(Grid(1, (8, 8)), 64)[0], None, 16)
    plan = Plan(steps=steps, batch=16)
    return list(session.learn(model, batch, plan, state, Plain(model), [], 1e9, lambda: state.step == stop_at))


def test_a_training_yields_a_round_at_a_time_pictures_at_each_tenth_and_ends_with_its_result() -> None:
    events = learned(20)
    assert [e.step for e in events if isinstance(e, Progress)] == list(range(1, 21))
    assert [e.percent for e in events if isinstance(e, Picture)] == [*range(10, 91, 10), 100]
    rows = [e for e in events if isinstance(e, Record)]
    assert rows[-1].values["fraction"] == 1.0 and rows[-1].step == 20 and "nll" in rows[-1].values
    assert [type(e) for e in events[-4:]] == [Checkpoint, Weights, Picture, Finished]
    last = events[-1]
    assert isinstance(last, Finished) and last.step == 20 and last.samples == 20 * 16
    assert last.spent.keys() >= {"saving", "settling", "previews"} and last.seconds > sum(last.spent.values())


def test_a_training_that_is_asked_to_stop_is_saved_first_and_nothing_follows() -> None:
    events = learned(20, stop_at=7)
    assert events[-1] == Stopped(7, 7 / 20)
    saved = events[-2]
    assert isinstance(saved, Checkpoint) and json.loads(saved.content)["step"] == 7
    assert not [e for e in events if isinstance(e, Weights | Finished)]


def test_a_fit_yields_the_same_kinds_and_says_of_how_many_rows_it_is() -> None:
    product = Plain(toy())
    events = list(session.fit(product, Plan(minutes=1), rows=2_000, most=1_000, stop=lambda: False))
    assert [type(e) for e in events] == [Note, Record, Progress, Record, Progress, Weights, Picture, Finished]
    assert [(r.step, r.values["fraction"], r.values["leaves"]) for r in events if isinstance(r, Record)] == [
        (1, 0.5, 3.0),
        (2, 1.0, 3.0),
    ]
    assert isinstance(events[-1], Finished) and events[-1].step == events[-2].step == 2  # type: ignore[union-attr]
    assert events[0] == Note("fitting to 1,000 of 2,000 rows, drawn at random")
    assert list(session.fit(product, Plan(minutes=1), 10, 20, lambda: True))[-1] == Stopped(1, 0.5)


@pytest.mark.exam
@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_tracker_keeps_its_files_in_the_run_and_goes_on_where_the_run_goes_on(name: str, tmp_path: Path) -> None:
    """In a process of its own: these libraries warn, and patch what they find."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "MLFLOW_"))}
    order = [sys.executable, "-m", "karat", "train"]
    changes = [part for change in PLAIN for part in ("--set", change)]
    for arguments in (["digits", "--out", "r", "--steps", "10", "--track", name, *changes], ["r", "--steps", "20"]):
        done = subprocess.run(
            [*order, *arguments, "--threads", "1"], cwd=tmp_path, env=kept, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0 and "failed" not in done.stdout, done.stdout + done.stderr
    run = Run.open(tmp_path / "r")  # which refuses links
    assert run.spec["status"] == "trained" and run.spec["step"] == 20
    if name == "wandb":
        kept_runs = list((run.path / "wandb").glob(f"offline-run-*-{run.spec['id']}/*.wandb"))
        assert len(kept_runs) == 2, "two parts of one run, which `wandb sync` puts together"
    else:
        (values,) = (run.path / "mlflow").glob("*/*/metrics/nll")
        assert [int(line.split()[2]) for line in values.read_text().splitlines()][-1] == 20
