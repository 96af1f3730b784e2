"""The end of an assay: what was found and what it cost, put into a verdict and a report."""

from __future__ import annotations

import math
import operator
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch

from karat.assays import Finding, find
from karat.assays.details.records import CopyRate, NearCopies
from karat.assays.sights import sights
from karat.content import Codec
from karat.data import Data, survey
from karat.errors import FitError, RunError
from karat.languages import language
from karat.options import AssayOptions
from karat.output import Output, foreign, make_folder
from karat.report import page, printed
from karat.report.card import card
from karat.report.junit import junit
from karat.report.page import Exhibits, Pair, write_report
from karat.run import Run
from karat.words import said, score, term
from karat.workflow.calibrating import remembered
from karat.workflow.learning import free
from karat.workflow.office import Job, Made
from karat.workflow.people.reviewing import reviewed_of
from karat.worth.ledger import Ledger, total
from karat.worth.policy import Policy
from karat.worth.prices import Prices
from karat.worth.prices import find as find_prices
from karat.worth.reviewed import Reviewed
from karat.worth.verdict import Verdict, judge

PAIRS = 12
SHOWN, FEW_SHOWN = 64, 24  # records on a sheet, and on one that would be heavy
LIGHT, PAGE = 700_000, 4_500_000  # bytes of a sheet, and of all exhibits of a page
COMPARISONS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


@dataclass(frozen=True, repr=False)
class Assay:
    """What an assay found. Draws itself in a notebook; `save` writes the report elsewhere."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    report: Path | None
    failed: tuple[str, ...] = ()  # requirements that do not hold
    notes: tuple[str, ...] = field(default=())
    kept: tuple[Path, ...] = ()  # what the run learned from, which `save` never replaces
    thing: str = "record"  # what one of them is called
    lang: str = "en"  # in which it is printed
    calibrated: str = ""  # what was found of faults that were planted in these data, where that was tried

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict.to_dict(),
            "findings": [f.to_dict() for f in self.findings],
            "failed": list(self.failed),
            "sights": [asdict(x) for x in sights(self.findings)],
            "calibrated": self.calibrated,
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
        report = self.report.with_suffix(".json" if goal.suffix == ".json" else ".html").read_bytes()
        Output(overwrite, self.kept, private=True).write(goal, report)
        return goal

    def __str__(self) -> str:
        return printed.printed(self.findings, self.verdict, self.thing, language(self.lang), self.calibrated)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return printed.in_html(self.findings, self.verdict, self.thing, language(self.lang))


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
class Destination:
    """Where an assay is written down. folder: of the report.   output: what may be written there.   prices: as declared.

    people: what those said who looked at what is judged.   run: what is judged, None for files.
    """

    folder: Path
    output: Output
    ledger: Ledger
    prices: Prices
    policy: Policy
    people: Reviewed = Reviewed()
    run: Run | None = None

    @classmethod
    def of_run(cls, run: Run, options: AssayOptions) -> Destination:
        """RunError where the report must not be written."""
        folder = run.path / "report" if options.out is None else Path(options.out)
        again = options.out is None and page.is_report(folder)
        output = Output(options.overwrite or again, run.kept, run.path, private=True)
        if foreign(run.path) and options.out is None and not os.access(run.path, os.W_OK):
            raise RunError(f"{run.path} belongs to another user; choose with --out where the report is to be.")
        page.check(output, folder)
        _check_junit(options, run.kept)
        declared = find_prices(options.prices, [run.path, Path.cwd()])
        policy = Policy.load(options.policy)
        people = reviewed_of(run.path, run)
        return cls(folder, output, Ledger(run.path / "ledger.jsonl", declared), declared, policy, people, run)

    @classmethod
    def of_files(cls, options: AssayOptions) -> Destination:
        """The same for anybody's samples; the folder is made."""
        folder = free(Path("assay")) if options.out is None else Path(options.out)
        kept = [Path(x) for x in (options.real, options.made) if isinstance(x, str | Path)]
        output = Output(options.overwrite, kept, private=True)
        page.check(output, folder)
        _check_junit(options, kept)
        declared, policy = find_prices(options.prices, [Path.cwd()]), Policy.load(options.policy)
        make_folder(folder, True)
        made = options.made
        people = reviewed_of(Path(made)) if isinstance(made, str | Path) else Reviewed()
        return cls(folder, output, Ledger(folder / "ledger.jsonl", declared), declared, policy, people)


def _check_junit(options: AssayOptions, kept: Sequence[Path]) -> None:
    """RunError where --junit must not be written, before the work."""
    if options.junit is not None:
        Output(options.overwrite, kept, private=True).check(options.junit)


def verdict_of(job: Job, ledger: Ledger, prices: Prices, seed: int, policy: Policy, people: Reviewed) -> Verdict:
    """What the findings of a job are worth, with what its ledger says of cost."""
    return judge(
        job.findings,
        total(ledger.entries(), prices),
        prices,
        rights=prices.rights,
        labelled=job.made.labelled,
        thing=job.data.codec.thing,
        reviewed=job.data.codec.reviewed,
        seed=seed,
        policy=policy,
        people=people,
    )


def conclude(job: Job, destination: Destination, options: AssayOptions) -> Assay:
    """The verdict and the report; without real records where `options` say so. FitError for a requirement that is none."""
    failed = require(job.findings, options.require)
    data, entries = job.data, destination.ledger.entries()
    verdict = verdict_of(
        job, destination.ledger, destination.prices, options.seed, destination.policy, destination.people
    )
    noted = {} if destination.prices.note is None else {"prices": destination.prices.note}
    exhibits, numbers, info = _shown(job, options)
    place = said(
        "{thing}s of the real data are in this report; --no-real leaves them out", thing=term(data.codec.thing)
    )
    html, _ = write_report(
        destination.folder,
        title=job.title,
        verdict=verdict,
        findings=job.findings,
        facts={**job.facts, **noted, "real records": term("left out (--no-real)") if options.no_real else place},
        exhibits=exhibits,
        curves=job.curves,
        pairs=numbers,
        cost=entries,
        reproduce=job.reproduce,
        recipe=job.recipe,
        diagnostics=job.diagnostics,
        data=_placeless(info, data.path),
        thing=data.codec.thing,
        output=destination.output,
        lang=options.lang,
        beside=lambda report: _card(destination, report),
    )
    if options.junit is not None:
        cases = junit([(job.title, job.findings, options.require, failed)], data.codec.thing)
        Output(options.overwrite, destination.output.kept, private=True).write(options.junit, cases)
    return Assay(
        verdict,
        job.findings,
        html,
        failed,
        kept=destination.output.kept,
        thing=data.codec.thing,
        lang=options.lang,
        calibrated=remembered(data.fingerprint, data.codec.thing),
    )


def _shown(job: Job, options: AssayOptions) -> tuple[Exhibits, list[dict[str, Any]], dict[str, Any]]:
    """What the report shows: sheets, the closest pairs in numbers, and the survey."""
    data, made = job.data, job.made
    pairs, beside, numbers = _pairs(data, made, job.findings)
    drawn = _sheet_of(data.codec, made.records[:SHOWN])
    few = data.records("holdout", SHOWN, options.seed)
    few = few[
        np.random.default_rng(options.seed).permutation(len(few))
    ]  # a page shows the first, which are not to be early ones
    real: bytes | None = _sheet_of(data.codec, few)
    by_class = _by_class(data, made)
    room = PAGE - sum(len(x) for x in (drawn, real, by_class, beside) if x is not None)
    info = survey(data)
    if options.no_real:
        pairs, beside, real = [], None, None
        numbers, info = [{**pair, "nearest": None} for pair in numbers], _without_values(info)
    return (
        Exhibits(data.codec.sheets, drawn, real, _fitting(job.progress, room), pairs, beside, by_class),
        numbers,
        info,
    )


def _card(destination: Destination, report: dict[str, Any]) -> dict[str, bytes]:
    """The card of a run, by its name; nothing where no run was assayed."""
    if destination.run is None:
        return {}
    return {"card.md": card(destination.run.spec, report, destination.prices, destination.people).markdown()}


def _placeless(value: Any, path: str) -> Any:
    """The survey with file names where it has paths: a report is shown to others."""
    if isinstance(value, Mapping):
        return {k: _placeless(v, path) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_placeless(v, path) for v in value]
    if not isinstance(value, str) or "://" in path:
        return value
    for above in {str(Path(path).parent), str(Path(path).resolve().parent)} - {".", "/"}:
        value = value.replace(f"{above}/", "")
    return value


def _without_values(info: dict[str, Any]) -> dict[str, Any]:
    """The survey without what single records hold or are called."""
    near = info.get("near_duplicates")
    columns = [{**column, "holds": ""} for column in info.get("columns", ())]
    return {
        **info,
        **({"columns": columns} if columns else {}),
        **({"near_duplicates": {**near, "examples": []}} if near else {}),
        "skipped": [["a file", why] for _, why in info.get("skipped", ())],
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
    memory = [f.detail for f in findings if isinstance(f.detail, CopyRate | NearCopies)]
    copies = next((d.same for d in memory if isinstance(d, CopyRate) and d.same is not None), ())
    nearest = next((d for d in memory if d.pairs is not None), None)
    near = () if nearest is None or nearest.pairs is None else nearest.pairs
    how = (nearest and nearest.criterion) or "stands out by {:.1f} nats from the next best matches"
    words = nearest.changes if isinstance(nearest, CopyRate) and nearest.changes else ("",) * len(near)
    changes = {m: f", {word}" for (m, *_), word in zip(near, words, strict=True) if word}
    numbers: list[dict[str, Any]] = []
    captions: list[str] = []
    rows: list[tuple[int, int]] = []
    names = data.contents.names
    for m, t, *distance in [*copies[: PAIRS // 2], *near]:
        if len(rows) == PAIRS or int(m) in [a for a, _ in rows]:
            continue
        row = int(data.train[int(t)])
        rows.append((int(m), row))
        far = float(distance[0]) if distance else None
        numbers.append({"made": int(m), "nearest": names[row] if names else row, "distance": far})
        stands = "an exact copy" if far is None else how.format(far) + changes.get(int(m), "")
        captions.append(f"made {data.codec.thing} {int(m) + 1} and training {data.codec.thing} {row + 1}: {stands}")
    if not rows:
        return [], None, []
    mine, theirs = (np.array(side) for side in zip(*rows, strict=True))
    ours, real = made.records[mine], data.contents.records[theirs]
    beside = data.codec.beside(ours, real, captions)
    if beside is not None:
        return [], beside, numbers
    sheet = data.codec.sheet
    pairs = [
        Pair(sheet(ours[i : i + 1], 1), sheet(real[i : i + 1], 1), numbers[i]["distance"]) for i in range(len(rows))
    ]
    return pairs, None, numbers
