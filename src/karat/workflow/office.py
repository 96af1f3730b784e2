"""The assay office: puts real, unseen and made records before the judge, and the findings into a verdict and a report."""

from __future__ import annotations

import math
import operator
import platform
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from karat import synthesizer
from karat.assays import UNSEEN, Evaluation, Finding, evaluate, find, references
from karat.content import Codec, recognise
from karat.data import DATABASES, Data, load, survey
from karat.errors import DataError, FitError, RunError
from karat.output import Output
from karat.provenance.reading import labelled as carries_label
from karat.report.page import Exhibits, Pair, write_report
from karat.request import Request
from karat.run import Run
from karat.synthesizer import Synthesizer
from karat.trust import sealed
from karat.views import Known
from karat.words import score
from karat.workflow import making, written
from karat.workflow.devices import choose_device
from karat.workflow.learning import Asked, again, permit
from karat.worth.ledger import Entry, total
from karat.worth.prices import Prices
from karat.worth.verdict import Verdict, judge, overview

PAIRS = 12
LABELS_READ = 3  # records written to see whether they are labelled
SHOWN, FEW_SHOWN = 64, 24  # records on a sheet, and on one that would be heavy
LIGHT, PAGE = 700_000, 4_500_000  # bytes of a sheet, and of all exhibits of a page
NAMED = 6  # of what is missing, named on the terminal
COMPARISONS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


@dataclass(frozen=True)
class Assay:
    """What an assay found. Draws itself in a notebook; `save` writes the report elsewhere."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    report: Path | None
    failed: tuple[str, ...] = ()  # requirements that do not hold
    notes: tuple[str, ...] = field(default=())
    kept: tuple[Path, ...] = ()  # what the run learned from, which `save` never replaces
    thing: str = "record"  # what one of them is called

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict.to_dict(),
            "findings": [f.to_dict() for f in self.findings],
            "failed": list(self.failed),
        }

    def __getitem__(self, name: str) -> Finding:
        return find(list(self.findings), name)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def save(self, path: str | Path, overwrite: bool = False) -> Path:
        """Copies the report to `path`: .html, or .json. RunError where a file is there, unless `overwrite`."""
        goal = Path(path)
        if self.report is None:
            raise FitError("this assay wrote no report; run it again with out=...")
        told = self.report.with_suffix(".json" if goal.suffix == ".json" else ".html").read_bytes()
        Output(overwrite, self.kept, private=True).write(goal, told)
        return goal

    def __str__(self) -> str:
        rows = [("", *HEAD), *((f.assay, *_row(f)) for f in self.findings)]
        widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]
        more = any(f.within.brief.endswith("*") for f in self.findings)
        note = ["* a further condition decides as well; the report states it in words"] if more else []
        blind = overview(self.findings, self.thing)
        return "\n".join([*lines, *note, "", *([blind] if blind else []), self.verdict.sentence])

    def _repr_html_(self) -> str:
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in (*_row(f)[:4], str(f.within), _row(f)[5])) + "</tr>"
            for f in self.findings
        )
        head = "<tr>" + "".join(f"<th>{title}</th>" for title in HEAD) + "</tr>"
        return f"<p><b>{escape(self.verdict.sentence)}</b></p><table>{head}{rows}</table>"


HEAD = ("finding", "made", "95% interval", "unseen real", "raised", "judged")


def _row(f: Finding) -> tuple[str, ...]:
    low, high = f.interval
    interval = f"{score(low)} to {score(high)}" if math.isfinite(low) or math.isfinite(high) else "—"
    real = score(f.real) if f.beside == UNSEEN else f"{score(f.real)} ({f.beside})"
    gone = f": {', '.join(f.missing[:NAMED])}" if f.raised and f.missing else ""
    more = f" and {len(f.missing) - NAMED:,} more" if gone and len(f.missing) > NAMED else ""
    return (
        f.name,
        score(f.value),
        interval,
        real,
        f.within.brief,
        f"{f.judged}{gone}{more}",
    )


@dataclass(frozen=True)
class Made:
    """Records to be judged as the codec has them, their labels if known, and whether a label of origin was read off them."""

    records: Any
    labels: Tensor | None
    labelled: bool | None = None


def read_back(run: Run) -> bool:
    """Whether what `karat make` writes of this run carries its label: a few records are made, written and read."""
    with TemporaryDirectory(prefix="karat-") as folder:
        goal = Path(folder) / "made"
        making.make(run, Request(LABELS_READ), goal, choose_device("auto"), "karat")
        return carries_label(goal) is True


def draw(whole: Synthesizer, data: Data, n: int, seed: int) -> Made:
    """`n` records made independently of each other; where the model is conditional, as often as the training data has them."""
    labels, known = data.labels("train"), None
    if labels is not None:
        share = torch.bincount(labels, minlength=len(data.classes)).double()
        known = torch.multinomial(share, n, replacement=True, generator=torch.Generator().manual_seed(seed))
    drawn = whole.draw(Request(n, seed, independent=True), known)
    return Made(drawn.records, drawn.labels)


def read_made(data: Data, path: Any) -> Made:
    """Somebody's samples, brought to the form of the real data. Their classes count where they have the same names."""
    local = isinstance(path, str | Path) and not str(path).startswith(DATABASES)
    place = Path(path).expanduser() if local else path
    kind = recognise(place, data.codec.alike())
    if kind.name != data.codec.name:
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
    source, kept = order[: len(order) // 2], np.sort(order[len(order) // 2 :])
    train, unseen = (codec.finest(records[rows]).known(data.known(rows)) for rows in (data.train, source))
    drawn = references.draw(name, train, unseen, n, rng, data.target if target is None else target)
    return records_of(data, drawn, np.concatenate([data.train, source])), replace(data, holdout=kept)


def records_of(data: Data, drawn: references.Drawn, rows: np.ndarray) -> Made:
    """What a reference generator drew from the training records and its source, which lie at `rows`, as the codec has records."""
    codec, there = data.codec, data.contents.records
    made = codec.chosen(there, rows[drawn.rows]) if drawn.view is None else codec.unview(drawn.view)
    return Made(made, None if drawn.labels is None else torch.from_numpy(drawn.labels), None)


def judge_records(
    data: Data, made: Made, *, seed: int, target: str | None = None, pretrained: Path | None = None
) -> Evaluation:
    """Findings about `made` beside the training and the unseen records of `data`, and by what the judge sees."""
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
    )


def require(findings: Sequence[Finding], requirements: Sequence[str]) -> tuple[str, ...]:
    """Those of `requirements` ("coverage>=0.8") that do not hold, with the value found."""
    failed = []
    for text in requirements:
        match = re.fullmatch(r"\s*([\w \-]+?)\s*(>=|<=|>|<)\s*(-?[\d.]+(?:e-?\d+)?)\s*", text)
        if not match:
            raise FitError(f'--require {text!r}: wanted a finding, a sign and a number, for example "coverage>=0.8".')
        finding = find(list(findings), match[1])
        if not COMPARISONS[match[2]](finding.value, float(match[3])):
            found = f"is {score(finding.value)}" if math.isfinite(finding.value) else finding.judged
            failed.append(f"{text} does not hold: {finding.name} {found}")
    return tuple(failed)


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


def of_run(run: Run, n: int, seed: int, target: str | None, pretrained: Path | None, asked: Asked) -> Job:
    """The assay of `n` records drawn from a finished run, beside the data that it learned from."""
    permit(run, asked.family)
    mine = sealed(run.spec)
    data = again(run, asked)
    spec = run.spec
    # unlike the seed of `make`, so that the same pictures are not judged and shipped
    unlike = seed + 1_000_003
    whole = synthesizer.load(run, choose_device("auto"), data.codec)
    made = draw(whole, data, n, unlike)
    likely = written.weighed(data, whole)
    seen = judge_records(data, made, seed=seed, target=target, pretrained=pretrained)
    name, family = spec["recipe"]["name"], spec["recipe"]["family"]
    source = f"--family {Path(family).name}" if family.endswith(".py") else f"--recipe {name}"
    budget = next(f"--{k} {spec[k]:g}" for k in ("minutes", "steps", "samples") if spec[k] is not None)
    told = {
        **facts(data),
        "run": run.id,
        "recipe": name,
        "seed": str(spec["seed"]),
        "device": str(spec.get("device", "cpu")),
        "precision": str(spec["precision"]),
        "threads": str(torch.get_num_threads()),
        "judge": seen.judge,
    }
    made = replace(made, labelled=read_back(run))
    return Job(
        data,
        made,
        (*likely, *seen.findings),
        f"{Path(spec['data']).name}, {name}",
        told,
        [
            f"karat train {Path(spec['data']).name} {source} {budget} --seed {spec['seed']} --out {run.path.name}",
            f"karat assay {run.path.name} -n {n} --seed {seed}" + (f" {source}" if spec["recipe"]["digest"] else ""),
        ],
        recipe=spec["recipe"],
        diagnostics=_notes(run),
        curves=_curves(run),
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
                "says": f"{x['evidence']} (at {float(x['fraction']):.0%})",
                "remedy": str(x["remedy"]),
            }
            for x in notes
        ]
    except (RunError, TypeError, KeyError, ValueError):  # stopped before the diagnostics wrote any, or damaged
        return []


def of_files(
    real: Any, made: Any, n: int, seed: int, target: str | None, pretrained: Path | None, options: Mapping[str, Any]
) -> Job:
    """The assay of anybody's samples, or of a reference generator, beside the data at `real`."""
    data = load(real, options=options)
    if isinstance(made, str | Path) and str(made).startswith("reference:"):
        drawn, data = reference(data, str(made).removeprefix("reference:"), n, seed, target)
    else:
        drawn = read_made(data, made)
    seen = judge_records(data, drawn, seed=seed, target=target, pretrained=pretrained)
    theirs, ours = (Path(data.codec.place(source)).name for source in (made, real))
    aimed = "" if target is None else f" --target {shlex.quote(target)}"
    again = f"karat assay --real {shlex.quote(ours)} --made {shlex.quote(theirs)}{aimed} --seed {seed}"
    if not all(isinstance(source, str | Path) for source in (made, real)):
        again = f"karat.assay(real=..., made=..., seed={seed})  # {ours}, {theirs}"
    return Job(
        data,
        drawn,
        tuple(seen.findings),
        f"{theirs} against {ours}",
        {**facts(data), "made": theirs, "seed": str(seed), "judge": seen.judge},
        [again],
    )


def conclude(
    job: Job,
    folder: Path,
    entries: Sequence[Entry],
    prices: Prices,
    requirements: Sequence[str],
    seed: int,
    output: Output,
    shows_real: bool = True,
) -> Assay:
    """The verdict and the report in `folder`; without real records where not `shows_real`."""
    failed = require(job.findings, requirements)
    data, made = job.data, job.made
    verdict = judge(
        job.findings,
        total(entries, prices),
        prices,
        rights=prices.rights,
        labelled=made.labelled,
        thing=data.codec.thing,
        reviewed=data.codec.reviewed,
        seed=seed,
    )
    pairs, beside, numbers = _pairs(data, made, job.findings)
    fixed = [
        _sheet_of(data.codec, made.records[:SHOWN]),
        _sheet_of(data.codec, data.records("holdout", SHOWN, seed)),
        _by_class(data, made),
    ]
    room = PAGE - sum(len(x) for x in (*fixed, beside) if x is not None)
    told = survey(data)
    if not shows_real:
        pairs, beside, fixed[1] = [], None, None
        numbers, told = [{**pair, "nearest": None} for pair in numbers], _without_values(told)
    place = f"{data.codec.thing}s of the real data are in this report; --no-real leaves them out"
    job.facts["real records"] = place if shows_real else "left out (--no-real)"
    exhibits = Exhibits(data.codec.sheets, fixed[0], fixed[1], _fitting(job.progress, room), pairs, beside, fixed[2])
    html, _ = write_report(
        folder,
        title=job.title,
        verdict=verdict,
        findings=job.findings,
        facts=job.facts,
        exhibits=exhibits,
        curves=job.curves,
        pairs=numbers,
        cost=entries,
        reproduce=job.reproduce,
        recipe=job.recipe,
        diagnostics=job.diagnostics,
        data=_placeless(told, data.path),
        thing=data.codec.thing,
        output=output,
    )
    return Assay(verdict, job.findings, html, failed, kept=output.kept, thing=data.codec.thing)


def _placeless(told: Any, path: str) -> Any:
    """The survey with file names where it has paths: a report is shown to others."""
    if isinstance(told, Mapping):
        return {k: _placeless(v, path) for k, v in told.items()}
    if isinstance(told, list | tuple):
        return [_placeless(v, path) for v in told]
    if not isinstance(told, str) or "://" in path:
        return told
    for above in {str(Path(path).parent), str(Path(path).resolve().parent)} - {".", "/"}:
        told = told.replace(f"{above}/", "")
    return told


def _without_values(told: dict[str, Any]) -> dict[str, Any]:
    """The survey without what single records hold or are called."""
    near = told.get("near_duplicates")
    columns = [{**column, "holds": ""} for column in told.get("columns", ())]
    return {
        **told,
        **({"columns": columns} if columns else {}),
        **({"near_duplicates": {**near, "examples": []}} if near else {}),
        "skipped": [["a file", why] for _, why in told.get("skipped", ())],
    }


def _sheet_of(codec: Codec, records: Any) -> bytes:
    """A sheet of the records, of fewer where it would be heavy."""
    sheet = codec.sheet(records, 8)
    return sheet if len(sheet) <= LIGHT or len(records) <= FEW_SHOWN else codec.sheet(records[:FEW_SHOWN], 8)


def _by_class(data: Data, made: Made) -> bytes | None:
    """Some records of each class, each a row of a picture, or under its name on a page; None where one has too few."""
    if made.labels is None or len(data.classes) > 40:
        return None
    each = 8 if data.codec.sheets == ".png" else 4
    rows = [torch.nonzero(made.labels == c)[:each, 0].numpy() for c in range(len(data.classes))]
    if any(len(r) < each for r in rows):
        return None
    if data.codec.sheets == ".png":
        return data.codec.sheet(made.records[np.concatenate(rows)], each)
    parts = [
        f'<h4 class="kind">{escape(name)}</h4>'.encode() + data.codec.sheet(made.records[r], each)
        for name, r in zip(data.classes, rows, strict=True)
    ]
    return b"".join(parts)


def _fitting(progress: Sequence[tuple[str, bytes]], room: int) -> list[tuple[str, bytes]]:
    """The last of the sheets, and of those before it as many as there is room for, evenly spread."""
    for count in range(len(progress), 0, -1):
        places = sorted({len(progress) - 1 - i * (len(progress) - 1) // max(1, count - 1) for i in range(count)})
        chosen = [progress[i] for i in places]
        if sum(len(sheet) for _, sheet in chosen) <= room:
            return chosen
    return []


def _pairs(
    data: Data, made: Made, findings: Sequence[Finding]
) -> tuple[list[Pair], bytes | None, list[dict[str, Any]]]:
    """The closest made and training records: side by side or as one exhibit, and as numbers; equal ones come first."""
    copies = next((list(f.detail["same"]) for f in findings if f.assay == "memory" and "same" in f.detail), [])
    memory = (f for f in findings if f.assay == "memory" and "pairs" in f.detail)
    nearest: Mapping[str, Any] = next((f.detail for f in memory), {"pairs": []})
    near, how = list(nearest["pairs"]), str(nearest.get("told", "stands out by {:.1f} nats from the next best matches"))
    numbers: list[dict[str, Any]] = []
    told: list[str] = []
    rows: list[tuple[int, int]] = []
    names = data.contents.names
    for m, t, *distance in [*copies[: PAIRS // 2], *near]:
        if len(rows) == PAIRS or int(m) in [a for a, _ in rows]:
            continue
        row = int(data.train[int(t)])
        rows.append((int(m), row))
        far = float(distance[0]) if distance else None
        numbers.append({"made": int(m), "nearest": names[row] if names else row, "distance": far})
        stands = "an exact copy" if far is None else how.format(far)
        told.append(f"made {data.codec.thing} {int(m) + 1} and training {data.codec.thing} {row + 1}: {stands}")
    if not rows:
        return [], None, []
    mine, theirs = (np.array(side) for side in zip(*rows, strict=True))
    ours, real = made.records[mine], data.contents.records[theirs]
    beside = data.codec.beside(ours, real, told)
    if beside is not None:
        return [], beside, numbers
    sheet = data.codec.sheet
    pairs = [
        Pair(sheet(ours[i : i + 1], 1), sheet(real[i : i + 1], 1), numbers[i]["distance"]) for i in range(len(rows))
    ]
    return pairs, None, numbers


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
