"""What reviewers said, decision by decision, in a file that is only ever added to and whose lines are a chain.

Each line is on disk before the next thing is shown, so that a killed review loses none; taking one back is another line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from karat.chain import Chain
from karat.errors import RunError
from karat.output import make_folder

FILE = "review/decisions.jsonl"  # in a run
BESIDE = ".review.jsonl"  # behind the name of a file or folder that lies in no run
REASONS = {
    "1": "unrealistic",
    "2": "damaged",
    "3": "contradicts itself or its class",
    "4": "like another one",
    "5": "not allowed",
    "6": "other",
}


@dataclass(frozen=True)
class Decision:
    """What one reviewer said of one thing.

    verdict: accept, reject, edit, or undo, which takes back his decision before.   role, name, mark: of the thing (see
    `plan.Role`, `showing.Thing`).   seconds: of looking, counted up to a limit; `idle` where it took longer.   least: seconds
    below which nobody can have seen it.   review: which review of which things this belongs to.   model: that of the run.
    mended: name of the file that came back, and `mending` the seconds until then.   press: which press of a key it was, where a
    page says so: what was sent twice, since the first answer was lost, is one decision.
    """

    verdict: str
    reviewer: str
    review: str
    role: str = "made"
    name: str = ""
    mark: str = ""
    reason: str = ""
    seconds: float = 0.0
    idle: bool = False
    least: float = 0.0
    model: str = ""
    mended: str = ""
    mending: float = 0.0
    at: str = ""
    press: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Of the thing: by its name too, for two rows may hold the same."""
        return self.name, self.mark


class Decisions:
    """The decisions about what a run made, or about a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, decision: Decision) -> None:
        """The decision is on disk when this returns; RunError where it cannot be."""
        self.put(asdict(decision))

    def put(self, record: Mapping[str, Any]) -> None:
        make_folder(self.path.parent, True)
        if self.path.is_symlink():
            raise RunError(f"{self.path} is a link, and decisions are not written through links. Remove it.")
        try:
            Chain(self.path).append({**record, "at": datetime.now(UTC).isoformat(timespec="seconds")})
        except OSError as error:
            raise RunError(
                f"the decision cannot be written to {self.path}: {error.strerror}. Those before are kept."
            ) from None

    def all(self) -> Iterator[Decision]:
        """Every line that is a decision, oldest first; those that were taken back as well."""
        for record in self.records():
            if (found := _decision(record)) is not None:
                yield found

    def doubt(self) -> str:
        """Why they do not count, in words; "" where all are as they were sealed by this user, or there are none."""
        found = Chain(self.path).audit()
        if not found.lines:
            return ""
        if found.breaks or found.older:
            return f"{self.path.name} was changed since people decided (`karat check` says where)"
        if found.sealed is not True or found.unsealed:
            return f"{self.path.name} was not written by you on this machine"
        return ""

    def records(self) -> Iterator[dict[str, Any]]:
        return Chain(self.path).records()


def standing(decisions: Iterable[Decision], review: str | None = None) -> list[Decision]:
    """Those that were not taken back, in order; of one review, or of all."""
    out: list[Decision] = []
    for each in decisions:
        if review is not None and each.review != review:
            continue
        if each.verdict != "undo":
            out.append(each)
            continue
        mine = [i for i, d in enumerate(out) if (d.reviewer, d.review) == (each.reviewer, each.review)]
        if mine:
            del out[mine[-1]]
    return out


def _decision(record: Mapping[str, Any]) -> Decision | None:
    """The decision of a line; None where it is none, or holds what no reviewer's program writes."""
    known = {f.name: f.type for f in fields(Decision)}
    values = {name: record[name] for name in known if name in record}
    numbers = [values.get(name, 0.0) for name in ("seconds", "least", "mending")]
    texts = [value for name, value in values.items() if known[name] == "str"]
    fine = all(isinstance(x, int | float) and not isinstance(x, bool) and 0 <= x < 1e9 for x in numbers)
    if not fine or not all(isinstance(x, str) for x in texts) or not isinstance(values.get("idle", False), bool):
        return None
    if values.get("verdict") not in ("accept", "reject", "edit", "undo") or not {"reviewer", "review"} <= set(values):
        return None
    return Decision(**values)
