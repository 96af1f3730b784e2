"""The assay office: puts real, unseen and made records before the judge; `concluding` makes of what it finds a verdict."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from karat import synthesizer
from karat.assays import Finding, references
from karat.assays.evaluation import Evaluation, evaluate
from karat.content import recognise
from karat.data import DATABASES, Data, load
from karat.errors import DataError, FitError, RunError
from karat.options import AssayOptions, MakeOptions
from karat.output import scratch
from karat.provenance.reading import labelled as carries_label
from karat.request import Request
from karat.run import Run
from karat.synthesizer import Synthesizer
from karat.trust import sealed
from karat.views import Known
from karat.words import said
from karat.workflow import making, written
from karat.workflow.attacks import losses
from karat.workflow.devices import choose_device
from karat.workflow.learning import again, data_options, permit

MOST = 10**15
LABELS_READ = 3  # records written to see whether they are labelled


@dataclass(frozen=True)
class Made:
    """Records to be judged as the codec has them, their labels if known, and whether a label of origin was read off them."""

    records: Any
    labels: Tensor | None
    labelled: bool | None = None


def read_back(run: Run) -> bool:
    """Whether what `karat make` writes of this run carries its label: a few records are made, written and read."""
    with scratch() as folder:
        goal = folder / "made"
        making.make(run, MakeOptions(run, n=LABELS_READ, out=goal))
        return carries_label(goal) is True


def draw(synth: Synthesizer, data: Data, n: int, seed: int) -> Made:
    """`n` records made independently of each other; where the model is conditional, as often as the training data has them."""
    labels, known = data.labels("train"), None
    if labels is not None:
        share = torch.bincount(labels, minlength=len(data.classes)).double()
        known = torch.multinomial(share, n, replacement=True, generator=torch.Generator().manual_seed(seed))
    drawn = synth.draw(Request(n, seed, independent=True), known)
    return Made(drawn.records, drawn.labels)


def read_made(data: Data, path: Any) -> Made:
    """Somebody's samples, brought to the form of the real data. Their classes count where they have the same names."""
    local = isinstance(path, str | Path) and not str(path).startswith(DATABASES)
    place = Path(path).expanduser() if local else path
    kind = recognise(place, data.codec.alike())
    if kind.name not in data.codec.takes:
        raise DataError(
            f"{kind.place(path)} holds {kind.thing}s and the real data hold {data.codec.thing}s; compare like with like."
        )
    contents = kind.read(place, data.codec.alike())
    records = data.codec.conform(contents.records)
    labels = None
    if contents.labels is not None and set(contents.classes) <= set(data.classes):
        to_real = np.array([data.classes.index(name) for name in contents.classes])
        labels = torch.from_numpy(to_real[contents.labels])
    most = data.codec.judged_most
    if most is not None and len(records) > most:  # their order may mean something
        rows = np.sort(np.random.default_rng(0).choice(len(records), most, replace=False))
        records, labels = records[rows], None if labels is None else labels[torch.from_numpy(rows)]
    return Made(records, labels, True if local and carries_label(Path(place)) else None)


def reference(data: Data, name: str, n: int, seed: int, target: str | None = None) -> tuple[Made, Data]:
    """What the reference generator `name` makes, and the data without the unseen records that it was given.

    Half of the unseen records are the generator's source; the judge keeps the other half, which no generator has seen.
    target: the column that the shuffler of a table permutes.
    """
    codec, records, rng = data.codec, data.contents.records, np.random.default_rng(seed)
    order = rng.permutation(data.holdout)
    source, kept = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    train, unseen = (codec.finest(records[rows]).known(data.known(rows)) for rows in (data.train, source))
    drawn = references.draw(name, train, unseen, n, rng, data.target if target is None else target)
    return records_of(data, drawn, np.concatenate([data.train, source])), replace(data, holdout=kept)


def records_of(data: Data, drawn: references.Drawn, rows: np.ndarray) -> Made:
    """What a reference generator drew from the training records and its source, which lie at `rows`, as the codec has records."""
    codec, there = data.codec, data.contents.records
    made = codec.chosen(there, rows[drawn.rows]) if drawn.view is None else codec.unview(drawn.view)
    made = made.mixed() if drawn.mixed else made
    return Made(made, None if drawn.labels is None else torch.from_numpy(drawn.labels), None)


def judge_records(
    data: Data,
    made: Made,
    *,
    seed: int,
    target: str | None = None,
    pretrained: Path | None = None,
    apart: bool = True,
    exchange: bool = False,
    attacks: bool = False,
) -> Evaluation:
    """Findings about `made` beside the training and the unseen records of `data`, and by what the judge sees; see `evaluate`."""
    data = replace(data, codec=data.codec.judging(data.contents.records[data.train]))
    most = data.codec.judged_most
    few = made.records if most is None else made.records[:most]
    labels = None if made.labels is None else made.labels[: len(few)].numpy()
    return evaluate(
        data.view("train"),
        data.view("holdout", most),
        data.codec.view(few).known(Known(labels, data.classes)),
        fingerprint=data.fingerprint,
        target=data.target if target is None else target,
        pretrained=pretrained,
        seed=seed,
        apart=apart,
        exchange=exchange,
        attacks=attacks,
    )


@dataclass(frozen=True)
class Job:
    """One assay under way: what was judged, what was found, and what the report says around it."""

    data: Data
    made: Made
    findings: tuple[Finding, ...]
    title: str
    facts: dict[str, Any]
    reproduce: list[str]
    recipe: dict[str, Any] = field(default_factory=dict)
    diagnostics: list[dict[str, Any]] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
    progress: Sequence[tuple[str, bytes]] = ()


def check(options: AssayOptions) -> None:
    """FitError where it is not clear what to assay."""
    if options.n < 1:
        raise FitError(f"-n {options.n}: at least 1 was wanted.")
    if options.n > MOST:
        raise FitError(f"-n {options.n}: at most {MOST:,} can be judged.")
    pair = options.real, options.made
    if options.run is not None:
        if any(side is not None for side in pair):
            raise FitError("give either a run, or --real with --made, not both.")
        return
    if (
        options.data is not None
        or options.trust_data
        or options.family is not None
        or options.shadows
        or options.canaries
    ):
        raise FitError("--data, --trust-data, --family, --shadows and --canaries are for a run: `karat assay RUN`.")
    if any(side is None for side in pair):
        raise FitError("say what to assay: `karat assay RUN`, or `karat assay --real DATA --made SAMPLES`.")


def of_run(run: Run, options: AssayOptions, console: Console) -> Job:
    """The assay of `options.n` records drawn from a finished run, beside the data that it learned from.

    console: where it is said what takes long.
    """
    n, seed = options.n, options.seed
    permit(run, options.family)
    mine = sealed(run.spec)
    data = again(run, options.data, options.trust_data)
    spec = run.spec
    # unlike the seed of `make`, so that the same pictures are not judged and shipped
    unlike = seed + 1_000_003
    synth = synthesizer.load(run, choose_device("auto"), data.codec)
    made = draw(synth, data, n, unlike)
    likely = written.weighed(data, synth)
    told = losses.by_loss(data, synth, seed) if options.attacks or options.shadows else []
    if options.shadows:
        told += losses.by_shadows(run, data, synth, options.shadows, seed, console)
    if options.canaries:
        told += losses.by_canaries(run, data, synth, options.canaries, seed, console)
    evaluation = judge_records(
        data,
        made,
        seed=seed,
        target=options.target,
        pretrained=options.encoder,
        exchange=options.exchange is True,
        attacks=options.attacks,
    )
    name, family = spec["recipe"]["name"], spec["recipe"]["family"]
    source = f"--family {Path(family).name}" if family.endswith(".py") else f"--recipe {name}"
    budget = next(f"--{k} {spec[k]:g}" for k in ("minutes", "steps", "samples") if spec[k] is not None)
    info = {
        **facts(data),
        "run": run.id,
        "recipe": name,
        **({"tried": "; ".join(map(str, spec["tried"]))} if spec.get("tried") else {}),
        "seed": str(spec["seed"]),
        "device": str(spec.get("device", "cpu")),
        "precision": str(spec["precision"]),
        "threads": str(torch.get_num_threads()),
        "judge": evaluation.judge,
    }
    made = replace(made, labelled=read_back(run))
    return Job(
        data,
        made,
        (*likely, *evaluation.findings, *told),
        f"{Path(spec['data']).name}, {name}",
        info,
        [
            f"karat train {Path(spec['data']).name} {source} {budget} --seed {spec['seed']} --out {run.path.name}",
            f"karat assay {run.path.name} -n {n} --seed {seed}" + (f" {source}" if spec["recipe"]["digest"] else ""),
        ],
        recipe=spec["recipe"],
        diagnostics=_notes(run),
        curves=[] if synth.gradient is None else _curves(run),  # a fit has no losses, and what it counts is no curve
        # a sheet of HTML becomes a part of the page: a stranger's is left out
        progress=_sheets(run, data.codec.sheets) if mine or data.codec.sheets == ".png" else [],
    )


def _sheets(run: Run, suffix: str) -> list[tuple[str, bytes]]:
    """What the model made on its way, by how far it was."""
    there = sorted((run.path / "samples").glob(f"[0-9][0-9][0-9]{suffix}"))
    return [(f"{int(p.stem)}%", p.read_bytes()) for p in there]


def _curves(run: Run) -> list[dict[str, Any]]:
    """The history without what never left zero."""
    history = run.lines("history.jsonl")
    idle = {key for key in (history[0] if history else {}) if all(row.get(key, 0) == 0 for row in history)}
    return [{k: v for k, v in row.items() if k not in idle} for row in history]


def _notes(run: Run) -> list[dict[str, Any]]:
    """The diagnostics' notices as the report shows them."""
    try:
        notes = run.get("diagnostics.json")
        return [
            {
                "name": str(x["name"]),
                "message": f"{x['evidence']} (at {float(x['fraction']):.0%})",
                "remedy": str(x["remedy"]),
            }
            for x in notes
        ]
    except (RunError, TypeError, KeyError, ValueError):  # stopped before the diagnostics wrote any, or damaged
        return []


def of_files(options: AssayOptions) -> Job:
    """The assay of anybody's samples, or of a reference generator, beside the data at `options.real`."""
    real, made, seed, target = options.real, options.made, options.seed, options.target
    data = load(real, options=data_options(options.set))
    own = isinstance(made, str | Path) and str(made).startswith("reference:")
    if own:
        drawn, data = reference(data, str(made).removeprefix("reference:"), options.n, seed, target)
    else:
        drawn = read_made(data, made)
    evaluation = judge_records(
        data,
        drawn,
        seed=seed,
        target=target,
        pretrained=options.encoder,
        apart=own,
        exchange=options.exchange is True,
        attacks=options.attacks,
    )
    theirs, ours = (Path(data.codec.place(source)).name for source in (made, real))
    aimed = "" if target is None else f" --target {shlex.quote(target)}"
    again = f"karat assay --real {shlex.quote(ours)} --made {shlex.quote(theirs)}{aimed} --seed {seed}"
    if not all(isinstance(source, str | Path) for source in (made, real)):
        again = f"karat.assay(real=..., made=..., seed={seed})  # {ours}, {theirs}"
    return Job(
        data,
        drawn,
        tuple(evaluation.findings),
        said("{made} against {real}", made=theirs, real=ours),
        {**facts(data), "made": theirs, "seed": str(seed), "judge": evaluation.judge},
        [again],
    )


def facts(data: Data) -> dict[str, str]:
    """What the report says of where it comes from, by its title in the title block."""
    from karat import __version__

    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "data": Path(data.path).name,
        "karat": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
