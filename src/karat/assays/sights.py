"""The least fault that each finding would have seen, in words: what an "ok" is worth at the sizes of one assay.

It follows from the errors and the exact tests by which a finding is raised (`karat.assays.power`), so that it costs nothing;
`karat assay --calibrate DATA` measures it on planted faults.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from karat.assays.faults import FAULTS
from karat.assays.finding import Finding
from karat.words import said, term, together

NAMED = (
    "copy rate",
    "near copies",
    "missing classes",
    "missing modes",
    "missing words",
    "class balance",
    "out of range",
    "combinations",
    "groups",
    "outliers",
    "repeats",
    "mislabelled",
    "two-sample auc",
    "usefulness",
    "membership",
)  # the findings that one sentence names


@dataclass(frozen=True)
class Sight:
    """What a finding would have seen in 19 of 20 tries at the sizes of its assay.

    finding: its name.   least: the smallest fault, None where no size of it would be seen.   fault: that in words, "" where it
    sees none.   enough: whether it sees the fault that matters (`karat.assays.power`); where it does not, its "ok" is none.
    """

    finding: str
    least: float | None
    fault: str
    enough: bool


def sights(findings: Iterable[Finding]) -> tuple[Sight, ...]:
    """What each finding would have seen, of those that reckon it; of several with one key the weakest."""
    out: dict[str, Sight] = {}
    for f in findings:
        if f.key not in FAULTS or not f.samples:
            continue
        seen = Sight(f.name, f.least, f.sees, f.lacking is None)
        known = out.get(f.key)
        if known is None or (known.least is not None and (f.least is None or f.least > known.least)):
            out[f.key] = seen
    return tuple(out.values())


def _of_table(f: Finding) -> str:
    return said("{table} {finding}", table=f.table, finding=term(f.key)) if f.name == f"{f.table} {f.key}" else f.name


def sentence(findings: Sequence[Finding], thing: str = "record") -> str:
    """What these tests would have seen of the faults that a person asks for first; "" where none reckons it."""
    known = sights(f for f in findings if f.key in NAMED)
    named = [x.fault for x in known if x.fault]
    blind = [x.finding for x in known if not x.fault and not x.enough]  # one that has nothing to see lacks no records
    called = {f.name: term(f.name) if f.table is None else _of_table(f) for f in findings}
    if not known:
        return ""
    seen = "In so many {thing}s these tests would have seen, 19 times of 20: {faults}."
    text = said(seen, thing=term(thing), faults=together(named, term("; "))) if named else ""
    none = (
        said(
            "Too few to see a fault of any size: {findings}.",
            findings=together((called[name] for name in blind), term(", ")),
        )
        if blind
        else ""
    )
    return together([part for part in (text, none) if part], term(" "))
