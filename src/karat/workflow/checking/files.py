"""One file: what each technique finds in it, and what they say together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from karat.errors import DataError, KaratError, TooLarge
from karat.output import digest, read_json
from karat.provenance.containers import container_of
from karat.provenance.content import content_digest
from karat.provenance.label import KEYWORD, parse
from karat.provenance.reading import Found, read_label
from karat.provenance.signing import Signature, Trust
from karat.provenance.signing.detached import read_signature
from karat.provenance.signing.manifest import read_manifest
from karat.provenance.sketch import RATE, Drawing
from karat.trust import answered_for, signed
from karat.workflow.checking.made import Item, Memory

Outcome = Literal["detected", "not_detected", "not_applicable"]
Validity = Literal["trusted", "valid", "invalid", "absent"]
State = Literal["intact", "stripped", "edited", "relabelled", "other key", "no label", "damaged"]
UNVOUCHED = "fits the digest in its label; whether that is the label it was made with cannot be told without the run or a signature"
REPORT = 1 << 26  # bytes of a report's numbers, at most
NOTHING = "no label found; that says nothing about who made it"


@dataclass(frozen=True)
class Result:
    """What one technique found.

    type: label (in the file), label_beside, c2pa, signature (beside), record (of a run), watermark, resemblance.
    validation_state: trusted where a key or a run of one's own vouches for it; valid where it fits the file and nobody does;
    invalid where it does not fit; absent where there is nothing to tell by.
    issuer: who says so.   model: the run, and its recipe where it is known.   false_positive_rate: measured, where it is.
    """

    type: str
    outcome: Outcome
    validation_state: Validity = "absent"
    issuer: str | None = None
    model: str | None = None
    generated_at: str | None = None
    false_positive_rate: float | None = None


@dataclass(frozen=True)
class FileCheck:
    """What is known of a file.   says: the state as a sentence.   content: SHA-256 of what it holds apart from a label."""

    path: Path
    state: State
    says: str
    results: tuple[Result, ...] = ()
    content: str | None = None

    def to_dict(self) -> dict[str, Any]:
        own = {"path": str(self.path), "state": self.state, "says": self.says, "content": self.content}
        return own | {"results": [asdict(result) for result in self.results]}


@dataclass(frozen=True)
class _Seen:
    """What there is of a file.

    items: what the runs at hand remember of its content.   near: of none, what they made that has most of its records, and the
    share of them.   runs: their ids.   made: whether one of them made something of the
    label's number.   vouched: whether their records hold and are sealed by this user.   place: whether files of this form carry
    their label inside.
    """

    label: Found | None
    signature: Signature | None
    signed: dict[str, Any] | None
    content: str
    items: tuple[Item, ...]
    near: tuple[float, Item] | None
    runs: frozenset[str]
    made: bool
    vouched: bool
    marked: Result
    place: bool

    @property
    def bare(self) -> bool:
        """Whether its own label is gone: there is none, or only that of its folder, which speaks of the file as it was with it."""
        label = self.label
        return label is None or (self.place and label.place != "inside" and label.intact is False)

    @property
    def number(self) -> list[str]:
        fields = {} if self.label is None else self.label.fields
        return [fields.get("ContentProducer", ""), fields.get("ProduceID", "")]


def check_file(path: Path, memories: Sequence[Memory], trust: Trust) -> FileCheck:
    """What labels, signatures and the records of runs say of a file. Nothing in it is believed that cannot be checked."""
    try:
        seen = _look(path, memories, trust)
    except (DataError, TooLarge) as error:
        return FileCheck(path, "damaged", str(error))
    state, says = _judged(seen)
    return FileCheck(path, state, says, tuple(_results(path, seen, state, bool(memories))), seen.content)


def _look(path: Path, memories: Sequence[Memory], trust: Trust) -> _Seen:
    drawing = Drawing()
    label, content = read_label(path) or _in_numbers(path), content_digest(path, drawing)
    manifest = read_manifest(path, trust)
    signature, signed = (read_signature(path, trust), None) if manifest is None else manifest
    items = {memory: memory.items(content) for memory in memories}
    number = "" if label is None else label.fields.get("ProduceID", "")
    known = any(items.values())
    alike = [] if known else [near for memory in memories if (near := memory.near(drawing.sketch())) is not None]
    of = [memory for memory in memories if items[memory] or number in memory.numbers]
    return _Seen(
        label,
        signature,
        signed,
        content,
        tuple(item for found in items.values() for item in found),
        max(alike, key=lambda near: near[0], default=None),
        frozenset(memory.run.id for memory in memories),
        any(number in memory.numbers for memory in memories),
        bool(of) and all(memory.vouched for memory in of),
        marked(path, memories),
        container_of(path.name) is not None,
    )


def _in_numbers(path: Path) -> Found | None:
    """The label of a report's numbers, one of their keys, with the digest of the others."""
    found = read_json(path, REPORT) if path.suffix.lower() == ".json" else None
    if not isinstance(found, dict) or KEYWORD not in found:
        return None
    fields = parse(json.dumps(found))
    if fields is None:
        return None
    rest = {key: value for key, value in found.items() if key != KEYWORD}
    sealed = fields.get("ReservedCode1", "").removeprefix("sha256:")
    return Found(
        fields, intact=sealed == digest(json.dumps(rest, sort_keys=True).encode("utf-8", "replace")) if sealed else None
    )


def marked(path: Path, memories: Sequence[Memory]) -> Result:
    """Whether a file, or all files of a folder together, bear the watermark of a run. Each run that is asked may err, so that
    their rates add up.
    """
    keyed = [memory for memory in memories if memory.keyed]
    if not keyed:
        return Result("watermark", "not_applicable")
    from karat import watermarks  # and with it torch

    rates: list[float] = []
    for memory in keyed:
        try:
            with answered_for(memory.run):
                marks = watermarks.detect(path, memory.run)
        except KaratError:  # another kind of content than the run's
            continue
        for found in marks:
            rates.append(found.fpr)
            if found.found:
                mine: Validity = "trusted" if signed(memory.run.spec) else "valid"
                return Result("watermark", "detected", mine, None, memory.run.id, None, sum(rates))
    return Result("watermark", "not_detected" if rates else "not_applicable")


def _judged(seen: _Seen) -> tuple[State, str]:
    """What all of it says together: first who signed, then what the runs remember, then what the label says of itself."""
    by_signature = _by_signature(seen)
    if by_signature is not None:
        return by_signature
    if seen.label is not None and seen.label.count != 1:
        made = f"; made as {_names(seen.items)}" if seen.items else ""
        return (
            "relabelled",
            f"has {seen.label.count} labels where one is allowed, and it cannot be told which is meant{made}",
        )
    if seen.items and seen.bare:
        return "stripped", f"its label was taken off: made as {_names(seen.items)}"
    if seen.items and seen.number not in [[item.producer, item.number] for item in seen.items]:
        return "relabelled", f"made as {_names(seen.items)}, and its label says {'/'.join(seen.number)}"
    if seen.near is not None and seen.bare:
        return "edited", f"{_alike(*seen.near)}: its label was taken off and it was changed; evidence, no proof"
    if seen.label is None and seen.marked.outcome == "detected":
        return "stripped", f"no label found, and it bears the watermark of run {seen.marked.model}: evidence, no proof"
    if seen.label is None:
        return "no label", NOTHING
    if seen.signature is not None and seen.signature.state == "trusted":
        return "intact", f"as it was when {seen.signature.signer} signed it"
    if seen.near is not None and seen.number != [seen.near[1].producer, seen.near[1].number]:
        return "relabelled", f"{_alike(*seen.near)}, and its label says {'/'.join(seen.number)}; evidence, no proof"
    if not seen.items and (seen.made or seen.label.intact is False):
        return "edited", f"labelled as {seen.number[1]}, and changed since"
    run = str(seen.label.about.get("run") or seen.number[1].partition("/")[0])
    if not seen.items and run in seen.runs:
        return "relabelled", f"its label says {seen.number[1]}, and that run has made nothing of that number or content"
    if seen.items and seen.signature is None and all(item.signed for item in seen.items):
        return "stripped", f"its signature was taken off: made, and signed, as {_names(seen.items)}"
    if seen.items:
        return "intact", "as it was when it was made"
    return "intact", UNVOUCHED if seen.label.intact else "labelled; nothing tells whether it was changed"


def _by_signature(seen: _Seen) -> tuple[State, str] | None:
    """What a signature that is not trusted says of the file; None where there is none to go by."""
    found = seen.signature
    if found is None or found.state in ("trusted", "unchecked"):
        return None
    if found.state == "valid":
        return "other key", f"signed by another key, of {found.signer}, for which nobody vouches whom you trust"
    fault = found.fault
    if seen.signed is not None:  # in a manifest that was signed, and of which only the hash of the file does not hold
        same = seen.signed.get("content") == seen.content
        fault = "content" if not same else "label" if seen.signed.get("label") != seen.number else fault
    if fault == "label" and seen.bare:
        return "stripped", f"its label was taken off since {found.signer} signed it"
    if fault == "label":
        return "relabelled", f"{found.signer} signed it under another label than {'/'.join(seen.number)}"
    return "edited", f"changed since {found.signer or 'it'} {'signed it' if found.signer else 'was signed'} ({fault})"


def _alike(share: float, item: Item) -> str:
    return f"about {share:.0%} of its records are those of what was made as {item.number}, the others not"


def _names(items: Sequence[Item]) -> str:
    names = sorted({item.number for item in items})
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _results(path: Path, seen: _Seen, state: State, runs: bool) -> Iterator[Result]:
    yield _of_label("label", seen, state, "inside", seen.place)
    yield _of_label("label_beside", seen, state, None, True)
    found = seen.signature
    if found is None:
        yield Result("signature", "not_detected")
    else:
        validity: Validity = "absent" if found.state == "unchecked" else found.state
        yield Result(found.what, "detected", validity, found.signer, None, found.when)
    if not runs:
        yield Result("record", "not_applicable")
    elif seen.items:
        item = seen.items[0]
        yield Result("record", "detected", "trusted" if seen.vouched else "valid", item.producer, item.run, item.when)
    elif seen.near is not None:
        item = seen.near[1]
        yield Result("record", "detected", "invalid", item.producer, item.run, item.when, RATE)
    else:
        yield Result("record", "not_detected")
    yield seen.marked


def _of_label(kind: str, seen: _Seen, state: State, place: str | None, possible: bool) -> Result:
    label = seen.label
    if label is None or (label.place == "inside") != (place == "inside"):
        return Result(kind, "not_detected" if possible else "not_applicable")
    signed = seen.signature is not None and seen.signature.state == "trusted"
    validity: Validity
    if state in ("edited", "relabelled") or seen.bare:
        validity = "invalid"
    elif state == "intact" and (signed or (seen.items and seen.vouched)):
        validity = "trusted"
    else:
        validity = "absent" if label.intact is None else "valid"
    about = label.about
    run, recipe = about.get("run") or seen.number[1].partition("/")[0], about.get("recipe")
    return Result(
        kind,
        "detected",
        validity,
        seen.number[0] or None,
        f"{run} ({recipe})" if recipe else str(run) or None,
        str(about["time"]) if about.get("time") else None,
    )
