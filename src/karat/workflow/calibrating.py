"""The judge examined on a person's own real records, parted anew for each seed: `karat assay --calibrate`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from karat.assays.references import Drawn
from karat.assays.references.calibration import FINE, UNSEEN, Exam, Sides, Tally, calibrate, table, tally
from karat.assays.sights import Sight, sights
from karat.cache import cache_folder
from karat.data import Data, load
from karat.errors import DataError, FitError
from karat.options import AssayOptions
from karat.output import Output, make_folder, read_json, to_json, write_whole
from karat.space import JUDGED
from karat.views import DatabaseView, Known, View
from karat.words import Sentence, count, duration, parts_of, said, several, term, together
from karat.workflow import office
from karat.workflow.learning import data_options, free

HOLDOUT = 0.2  # set aside, of which the judge gets a half as in any assay, and the references the other
TOLD = 20.0  # seconds after which it is said how far it is
LEARNED = 4  # times as many training records as made ones, at most
FILES = ("calibration.json", "calibration.md")
NONE = ("", "")


def exams(
    data: Data,
    seeds: Sequence[int],
    *,
    train: int | None = None,
    unseen: int | None = None,
    made: int | None = None,
    names: Sequence[str] | None = None,
    graded: bool = True,
    target: str | None = None,
) -> Iterator[Exam]:
    """Exams of the judge on these data, as they are done (see `calibrate`), each the way that `karat assay` goes.

    train, unseen, made: records of each kind at most; all there are by default, a half of those set aside for the judge and
    a half for the reference generators.
    Raises DataError where fewer than 20 are left for any of the three.
    """

    def sides(seed: int) -> Sides:
        return _sides(data, seed, train, unseen, target)

    return calibrate(sides, seeds, len(data.holdout) if made is None else made, names, graded)


def without_labels(data: Data) -> Data:
    """The same data, of whose classes the judge knows nothing."""
    return replace(data, contents=replace(data.contents, labels=None, classes=()))


def _sides(data: Data, seed: int, train: int | None, unseen: int | None, target: str | None) -> Sides:
    rng = np.random.default_rng(seed)
    first, second = _parted(data, rng)
    first, second = rng.permutation(first), rng.permutation(second)
    learned = np.sort(first[:train])
    most = len(second) // 2 if unseen is None else min(unseen, len(second) // 2)
    kept, source = np.sort(second[:most]), np.sort(second[most:])  # as the records that are taken stand
    if min(len(learned), len(kept), len(source)) < JUDGED:
        raise DataError(
            f"{len(learned)} records to learn from, {len(kept)} unseen and {len(source)} for the references are too few; "
            f"wanted at least {JUDGED} of each. Set more aside with --holdout."
        )
    data = replace(data, codec=data.codec.judging(data.contents.records[learned]))
    parts = replace(data, train=learned, holdout=kept)
    most_seen, codec = data.codec.judged_most, data.codec

    def view(drawn: Drawn) -> View:
        made = office.records_of(data, drawn, np.concatenate([learned, source]))
        return codec.view(made.records if most_seen is None else made.records[:most_seen]).known(
            Known(None if made.labels is None else made.labels.numpy(), data.classes)
        )

    finest = [codec.finest(data.contents.records[rows]).known(data.known(rows)) for rows in (learned, source)]
    unseen_view = parts.view("holdout", most_seen)
    again = codec.view(codec.chosen(data.contents.records, kept)) if isinstance(unseen_view, DatabaseView) else None
    return Sides(
        train=parts.view("train"),
        unseen=unseen_view,
        learned=finest[0],
        source=finest[1],
        view=view,
        again=again,
        fingerprint=f"{data.fingerprint}-{seed}-{len(learned)}-{len(data.classes)}",
        target=data.target if target is None else target,
    )


def _parted(data: Data, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows set aside, as many of each as there are, by chance; whole groups where there are any."""
    if data.contents.holdout is not None:
        return data.train, data.holdout
    rows = np.concatenate([data.train, data.holdout])
    groups = np.arange(len(rows)) if data.contents.groups is None else data.contents.groups[rows]
    _, group = np.unique(groups, return_inverse=True)
    rank = rng.permutation(group.max() + 1)[group]
    order = np.argsort(rank, kind="stable")
    cut = order[len(data.train) - 1]  # the last to learn from, and with it all of its group
    return rows[rank <= rank[cut]], rows[rank > rank[cut]]


@dataclass(frozen=True, repr=False)
class Calibration:
    """What was found of each fault at each strength, over seeds, beside real records of which nothing is wrong.

    report: the file that holds it.   thing: what one record is called.   asked: seeds.   stopped: whether time was up before.
    """

    exams: tuple[Exam, ...]
    report: Path
    thing: str
    asked: int
    stopped: bool
    failed: tuple[str, ...] = ()

    @property
    def tallies(self) -> list[Tally]:
        return tally(self.exams)

    @property
    def sights(self) -> tuple[Sight, ...]:
        """What each finding would have seen by its own reckoning, of unseen real records; the weakest of all seeds."""
        return sights(f for exam in self.exams if exam.plant.reference in FINE for f in exam.findings)

    @property
    def seen(self) -> dict[str, tuple[str, str]]:
        """By finding, the weakest fault that it found in every exam, as it did all stronger ones, and in how many."""
        out: dict[str, tuple[str, str]] = {}
        for t in reversed(self.tallies):  # from the strongest on
            if t.plant.reference in FINE or t.plant.strength is None:
                continue
            known = out.get(t.finding)
            if t.raised == t.n:
                if known != NONE:
                    out[t.finding] = (t.plant.phrase, f"{t.raised} of {t.n}")
            elif known is None:
                out[t.finding] = NONE
        return {name: what for name, what in reversed(out.items()) if what != NONE}

    def to_dict(self) -> dict[str, Any]:
        done = self.exams
        return {
            "exams": len(done),
            "seeds": len({exam.seed for exam in done}),
            "asked": self.asked,
            "made": max(exam.made for exam in done),
            "seconds": sum(exam.seconds for exam in done),
            "found": [_row(t) for t in self.tallies],
            "seen": {
                name: {"fault": what, **_again(what, how), "exams": how} for name, (what, how) in self.seen.items()
            },
            "sights": [asdict(x) for x in self.sights],
        }

    def __str__(self) -> str:
        rows = [("planted", "finding", "found", "95% interval", "cannot tell", "reads ok")]
        before = None
        for t in self.tallies:
            low, high = t.interval
            name = f"{t.plant.reference}: {t.plant.phrase}" if t.plant.phrase else t.plant.reference
            row = (name if t.plant != before else "", t.finding, f"{t.raised}/{t.n}", f"{low:.2f} to {high:.2f}")
            rows.append((*row, str(t.blind or ""), str(t.ok or "")))
            before = t.plant
        widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]
        return "\n".join([*lines, "", *self._said()])

    def _said(self) -> list[str]:
        """The sentences under the table: false alarms, what was found always, what would have been seen, and the cost."""
        wrong = [t for t in self.tallies if t.finding == "anything"]
        raised, n = sum(t.raised for t in wrong), sum(t.n for t in wrong)
        out = [f"Of unseen real {self.thing}s {raised} of {several(n, 'report')} raised anything."] if n else []
        if self.seen:
            always = "; ".join(f"{name}: {what}" for name, (what, _) in self.seen.items())
            out.append(f"The weakest planted fault that was found in every exam: {always}.")
        if named := [f"{x.finding}: {x.fault}" for x in self.sights if x.fault and x.enough]:
            out.append(f"Reckoned from the sizes, 19 times of 20: {'; '.join(named)}.")
        if blind := [x.finding for x in self.sights if not x.enough]:
            out.append(f"Too few {self.thing}s to see the fault that matters: {', '.join(blind)}.")
        seeds, spent = len({exam.seed for exam in self.exams}), duration(sum(exam.seconds for exam in self.exams))
        out.append(f"{several(len(self.exams), 'exam')} over {several(seeds, 'seed')}, {spent} of CPU.")
        if self.stopped:
            out.append(
                f"Time was up before all exams of {self.asked} seeds; --minutes gives more, a smaller -n makes exams shorter."
            )
        return out

    def __repr__(self) -> str:
        return str(self)


def _row(t: Tally) -> dict[str, Any]:
    low, high = t.interval
    plant = {"reference": t.plant.reference, "strength": t.plant.strength, "fault": t.plant.phrase, "due": t.plant.due}
    said = {"exams": t.n, "raised": t.raised, "cannot tell": t.blind, "ok": t.ok, "low": low, "high": high}
    return {**plant, "finding": t.finding, **said}


def calibration(options: AssayOptions, say: Callable[[str], None]) -> Calibration:
    """Exams of the judge on `options.calibrate` until all seeds are done or the minutes are over; then both files.

    say: is told how far it is.   Raises FitError for what cannot be asked together, DataError for too few records,
    RunError where the files must not be written.
    """
    _check(options)
    source = options.calibrate
    folder = free(Path("calibration")) if options.out is None else Path(options.out)
    output = Output(options.overwrite, [Path(source)] if isinstance(source, str | Path) else [], private=True)
    for name in FILES:
        output.check(folder / name)
    settings = data_options(options.set)
    data = load(source, options=settings, holdout=settings.pop("holdout", HOLDOUT), seed=options.seed)
    n, thing = options.n, data.codec.thing
    seeds = range(options.seed, options.seed + options.seeds)
    began, told, done = time.monotonic(), 0.0, list[Exam]()
    for exam in exams(data, seeds, train=LEARNED * n, unseen=n, made=n, target=options.target):
        done.append(exam)
        spent = time.monotonic() - began
        if spent - told > TOLD:
            say(_progress(done, options.seeds, spent, 60 * options.minutes))
            told = spent
        if spent > 60 * options.minutes:
            break
    stopped = (done[-1].seed, done[-1].plant.reference) != (seeds[-1], UNSEEN)  # which comes last of all
    out = Calibration(tuple(done), folder / FILES[0], thing, options.seeds, stopped)
    make_folder(folder, True)
    numbers = {"data": Path(data.codec.place(source)).name, "fingerprint": data.fingerprint, **out.to_dict()}
    page = f"# The judge on {numbers['data']}\n\n{table(done)}\n\n" + "\n".join(out._said()) + "\n"
    output.write_all({folder / FILES[0]: to_json(numbers), folder / FILES[1]: page.encode()})
    write_whole(_kept(data.fingerprint), to_json(numbers), private=True)
    return out


def remembered(fingerprint: str, thing: str = "record") -> str:
    """What a calibration on these very data found, in one sentence; "" where there was none on this machine."""
    known = read_json(_kept(fingerprint))
    if not isinstance(known, dict) or not known.get("seen"):
        return ""
    try:
        named = [
            said(
                "{fault} ({finding}, {exams})",
                fault=Sentence(((what["template"], {"strength": what["strength"]}),)),
                finding=term(name),
                exams=said("{n} of {m}", n=what["n"], m=what["m"]),
            )
            for name, what in known["seen"].items()
        ]
        return said(
            "Planted in these data, {made} made {thing}s, and found in every exam: {named}.",
            made=count(known["made"]),
            thing=term(thing),
            named=together(named, term("; ")),
        )
    except (KeyError, TypeError, AttributeError, ValueError):  # written by another version
        return ""


def _again(phrase: str, how: str) -> dict[str, Any]:
    """By what a phrase, and in how many exams of how many, are said in another language."""
    (template, values), *_ = parts_of(phrase)
    n, m = how.split(" of ")
    return {"template": template, "strength": values.get("strength"), "n": n, "m": m}


def _check(options: AssayOptions) -> None:
    """FitError where the options say what a calibration has no use for, or too little."""
    given = {"a run": options.run, "--real": options.real, "--made": options.made, "--require": options.require or None}
    for name, value in given.items():
        if value is not None:
            raise FitError(f"--calibrate examines the judge on real data and goes without {name}; leave it out.")
    if options.n < JUDGED:
        raise FitError(f"-n {options.n}: a judge needs at least {JUDGED} records.")
    if options.seeds < 1:
        raise FitError(f"--seeds {options.seeds}: at least 1 was wanted.")
    if not options.minutes > 0:
        raise FitError(f"--minutes {options.minutes:g}: more than 0 was wanted.")


def _progress(done: Sequence[Exam], seeds: int, spent: float, most: float) -> str:
    """How far it is after so many seconds, and how long the rest will take, once a seed is done, or until time is up."""
    seen = len({exam.seed for exam in done})
    said = (
        f"seed {seen} of {seeds}, {several(len(done), 'exam')}, {sum(bool(exam.wrong) for exam in done)} of them wrong"
    )
    if seen == 1:
        return f"{said}; at most {duration(max(0.0, most - spent))} left"
    each = sum(exam.seed == done[0].seed for exam in done)
    left = spent / len(done) * (each * seeds - len(done))
    return f"{said}; about {duration(min(left, max(0.0, most - spent)))} left" + (
        ", until time is up" if spent + left > most else ""
    )


def _kept(fingerprint: str) -> Path:
    return cache_folder(None) / f"calibration-{fingerprint}.json"
