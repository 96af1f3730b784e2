"""`karat assay RUN RUN...`: runs side by side, judged beside the same unseen records, and which of them is better."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from karat.assays import Finding
from karat.data import Data
from karat.errors import FitError, RunError
from karat.options import AssayOptions
from karat.output import Output
from karat.report.comparison import Comparison, Group, Judged, Pairing, rendered
from karat.report.differences import between, paired
from karat.report.junit import junit
from karat.report.page import finite
from karat.run import Run
from karat.trust import answered_for
from karat.workflow import office
from karat.workflow.concluding import require, verdict_of
from karat.workflow.learning import free
from karat.workflow.people.reviewing import reviewed_of
from karat.worth.ledger import Ledger
from karat.worth.policy import Policy
from karat.worth.prices import find as find_prices

BLOCKS, LEAST = 8, 40  # parts of the records, at most, and records of each side in a part, at least
SETTINGS = ("discover", "cache")  # of the data, that change nothing of what the judge sees
FILES = ("comparison.html", "comparison.json")


def compare(runs: Sequence[Run], options: AssayOptions, console: Console) -> Comparison:
    """All `runs` beside the same unseen records; RunError where they did not learn from the same data."""
    folder = free(Path("comparison")) if options.out is None else Path(options.out)
    output = Output(options.overwrite, [kept for run in runs for kept in run.kept], private=True)
    for goal in [*(folder / name for name in FILES), *([] if options.junit is None else [options.junit])]:
        output.check(goal)
    _check(runs, options)
    policy = Policy.load(options.policy)
    names = _names(runs)
    judged: list[Judged] = []
    first: Data | None = None
    thing, failed = "record", []
    with ExitStack() as stack:
        for run in runs:
            stack.enter_context(answered_for(run))
        for run, name in zip(runs, names, strict=True):
            prices = find_prices(options.prices, [run.path, Path.cwd()])
            ledger = Ledger(run.path / "ledger.jsonl", prices)
            with ledger.entry("assay"):
                job = office.of_run(run, replace(options, run=run), console)
                first = job.data if first is None else first
                _check_rows(first, job.data, runs[0], run)
                blocks = _blocks(job, options)
            verdict = verdict_of(job, ledger, prices, options.seed, policy, reviewed_of(run.path, run))
            judged.append(
                Judged(name, str(run.spec["recipe"]["name"]), run.spec["seed"], verdict, job.findings, blocks)
            )
            failed += [f"{name}: {line}" for line in require(job.findings, options.require)]
            thing = job.data.codec.thing
    groups = _groups(runs, judged)
    found = Comparison(
        tuple(judged), groups, _pairings(judged, groups), thing, options.lang, folder / FILES[0], tuple(failed)
    )
    texts = {
        folder / FILES[0]: rendered(found).encode("utf-8", "replace"),
        folder / FILES[1]: (json.dumps(finite(found.to_dict()), indent=1, ensure_ascii=False) + "\n").encode(
            "utf-8", "replace"
        ),
    }
    output.write_all(texts)
    if options.junit is not None:
        suites = [
            (
                r.name,
                r.findings,
                options.require,
                [x.removeprefix(f"{r.name}: ") for x in failed if x.startswith(f"{r.name}: ")],
            )
            for r in judged
        ]
        output.write(options.junit, junit(suites, thing))
    return found


def _check(runs: Sequence[Run], options: AssayOptions) -> None:
    """RunError, before the work, for runs of different data; FitError for options that are for one run."""
    if len({run.path.resolve() for run in runs}) < len(runs):
        raise FitError("a run is named twice; give each once.")
    if options.family is not None:
        raise FitError("--family is for one run; runs of files of your own are assayed one by one.")
    first = runs[0]
    for run in runs[1:]:
        kept = [{k: v for k, v in r.spec["options"].items() if k not in SETTINGS} for r in (first, run)]
        private = first.spec["epsilon"] is not None or run.spec["epsilon"] is not None  # their fingerprints are salted
        if not private and first.spec["fingerprint"] != run.spec["fingerprint"]:
            raise RunError(
                f"{run.path} learned from other data than {first.path}: {Path(run.spec['data']).name} "
                f"({run.spec['fingerprint'][:12]}), not {Path(first.spec['data']).name} ({first.spec['fingerprint'][:12]}). "
                "Compare runs of the same data."
            )
        if kept[0] != kept[1] or first.spec["holdout"] != run.spec["holdout"]:
            raise RunError(
                f"{run.path} reads or splits its data otherwise than {first.path} (--holdout or --set data...); "
                "train both with the same settings of the data to compare them."
            )


def _check_rows(first: Data, mine: Data, one: Run, other: Run) -> None:
    """RunError where the judge would not see the same unseen records."""
    same = np.array_equal(first.holdout, mine.holdout) and np.array_equal(first.train, mine.train)
    if not same or len(first.contents.records) != len(mine.contents.records):
        raise RunError(f"{other.path} set aside other records than {one.path}; train both from the same data.")


def _names(runs: Sequence[Run]) -> list[str]:
    """Names of the folders, or whole paths where two are alike."""
    short = [run.path.name for run in runs]
    return short if len(set(short)) == len(short) else [str(run.path) for run in runs]


def _blocks(job: office.Job, options: AssayOptions) -> tuple[tuple[Finding, ...], ...]:
    """The findings of disjoint parts of the unseen records, each beside its own part of what was made."""
    data, made = job.data, job.made
    number = min(BLOCKS, len(data.holdout) // LEAST, len(made.records) // LEAST)
    parts = np.array_split(np.random.default_rng(options.seed).permutation(data.holdout), max(1, number))
    edges = np.linspace(0, len(made.records), max(1, number) + 1).astype(int)
    out = []
    for k in range(number):
        rows = slice(int(edges[k]), int(edges[k + 1]))
        few = replace(made, records=made.records[rows], labels=None if made.labels is None else made.labels[rows])
        held = replace(data, holdout=np.sort(parts[k]))
        seen = office.judge_records(held, few, seed=options.seed, target=options.target, pretrained=options.encoder)
        out.append(tuple(seen.findings))
    return tuple(out)


def _groups(runs: Sequence[Run], judged: Sequence[Judged]) -> tuple[Group, ...]:
    """Runs of one recipe, budget and settings, whose seeds differ: those of which there are several."""
    kinds: dict[str, list[Judged]] = {}
    for run, one in zip(runs, judged, strict=True):
        spec = run.spec
        kind = json.dumps(
            [spec["recipe"], *(spec[k] for k in ("minutes", "steps", "samples", "epsilon"))], sort_keys=True
        )
        kinds.setdefault(kind, []).append(one)
    several = [tuple(group) for group in kinds.values() if len({r.seed for r in group}) > 1]
    names = [group[0].recipe for group in several]
    unique = len(set(names)) == len(names)
    return tuple(Group(g[0].recipe if unique else f"{g[0].recipe} ({g[0].name})", g) for g in several)


def _pairings(judged: Sequence[Judged], groups: Sequence[Group]) -> tuple[Pairing, ...]:
    """The first group of seeds against each other one where all runs are in groups, else the first run against each."""
    if len(groups) > 1 and sum(len(g.runs) for g in groups) == len(judged):
        a = groups[0]
        return tuple(
            Pairing(a.name, b.name, tuple(between([r.findings for r in a.runs], [r.findings for r in b.runs])))
            for b in groups[1:]
        )
    if groups and len(groups[0].runs) == len(judged):
        return ()  # one recipe: its seeds are no rivals
    first = judged[0]
    return tuple(
        Pairing(
            first.name,
            r.name,
            tuple(paired(first.findings, r.findings, list(zip(first.blocks, r.blocks, strict=True)))),
        )
        for r in judged[1:]
    )
