"""A model card and a data sheet of a run: what was measured, with its interval, what was not, and what was only declared.

The headings are those that readers look for in a model card (Mitchell et al., https://doi.org/10.1145/3287560.3287596) and in a
datasheet (Gebru et al., https://doi.org/10.1145/3458723), as far as a program can answer them; what it cannot is said to be
unknown. Names of files stand in it, and no places: it is meant to be shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from karat import __version__
from karat.output import Output, digest, read_json, to_json
from karat.provenance.containers import CONTAINERS
from karat.provenance.label import Label
from karat.words import count, score
from karat.worth.prices import Prices
from karat.worth.reviewed import Reviewed

UNKNOWN = "unknown"
NEVER = (  # what no test here looks at, whatever was found
    "what happens where the data that come in are other than those that were learned from",
    "whether single made records are true",
    "harm that can be done with what is made",
)
NOT_FOR = (
    "Passing what is made off as recorded, or as made by people.",
    "Deciding about a person by a made record, or finding out about one.",
    "Whatever a condition below that fails or is unknown stands against.",
)


@dataclass(frozen=True)
class Card:
    """What there is to say of a run, by heading. Prints as Markdown; `save` writes it, as .md or .json."""

    told: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return dict(self.told)

    def __str__(self) -> str:
        return "\n".join(_lines(self.told)).strip() + "\n"

    def __repr__(self) -> str:
        return str(self)

    def _repr_markdown_(self) -> str:
        return str(self)

    def markdown(self) -> bytes:
        """The card with a label of origin, as a report has one; its number is the digest of the text."""
        text = str(self).encode("utf-8", "replace")
        return CONTAINERS[".md"].write(text, Label("karat", "report", digest(text)[:16], __version__, law="cn"))

    def save(self, path: str | Path, overwrite: bool = False) -> Path:
        """Writes the card to `path`, as JSON where that ends in .json; RunError where a file is there, unless `overwrite`."""
        goal = Path(path)
        blob = to_json(self.to_dict()) + b"\n" if goal.suffix == ".json" else self.markdown()
        Output(overwrite, private=True).write(goal, blob)
        return goal


def card(spec: Mapping[str, Any], report: Mapping[str, Any] | None, prices: Prices, people: Reviewed) -> Card:
    """The card of a run.   spec: its record.   report: what its newest assay wrote as JSON; None where there was none."""
    found = report or {}
    facts, verdict, data = (found.get(name) or {} for name in ("facts", "verdict", "data"))
    findings = found.get("findings") or []
    budget = next((f"{spec[k]:g} {k}" for k in ("minutes", "steps", "samples") if spec.get(k) is not None), UNKNOWN)
    name = Path(str(spec["data"])).name if "://" not in str(spec["data"]) else "a database"
    told: dict[str, Any] = {
        "title": f"{name}, {spec['recipe']['name']}",
        "model": {
            "run": spec["id"],
            "recipe": spec["recipe"]["name"],
            "family": Path(str(spec["recipe"]["family"])).name,
            "trained for": budget,
            "seed": spec["seed"],
            "device": spec.get("device", UNKNOWN),
            "precision": spec.get("precision"),
            "privacy": "none" if spec.get("epsilon") is None else f"differential privacy, epsilon {spec['epsilon']:g}",
            "karat": spec["version"],
            "assayed": facts.get("date", "never"),
        },
        "intended use": f"Making new records like those of {name}, for the purposes that its owners allow.",
        "not intended": list(NOT_FOR),
        "verdict": {"word": verdict.get("word", UNKNOWN), "sentence": verdict.get("sentence", "No assay was made.")},
        "conditions": [
            {k: reason.get(k, "") for k in ("name", "state", "text")}
            for reason in verdict.get("reasons", ())
            if reason.get("kind") == "gate"
        ],
        "measured": [_measured(f) for f in findings if f.get("state") != "cannot tell"],
        "not measured": _unmeasured(findings, verdict, bool(report), people),
        "people": _people(people),
        "label": _label(verdict),
        "data": _sheet(name, spec, data, prices),
        "reproduce": list(found.get("reproduce") or ()),
    }
    return Card(told)


def report_of(folder: Path) -> dict[str, Any] | None:
    """What an assay wrote there as JSON; None where none did."""
    found = read_json(folder / "report.json")
    return found if isinstance(found, dict) else None


def _measured(finding: Mapping[str, Any]) -> dict[str, Any]:
    return {k: finding.get(k) for k in ("name", "assay", "value", "low", "high", "real", "beside", "state", "summary")}


def _unmeasured(
    findings: Sequence[Mapping[str, Any]], verdict: Mapping[str, Any], assayed: bool, people: Reviewed
) -> list[str]:
    """Everything that is open: what could not be told, conditions that are unknown, and what no test looks at."""
    out = [] if assayed else ["anything: no assay of this run was made (`karat assay RUN`)"]
    out += [f"{f.get('name')}: {f.get('summary')}" for f in findings if f.get("state") == "cannot tell"]
    unknown = [r for r in verdict.get("reasons", ()) if r.get("state") == "unknown"]
    out += [f"{r.get('name')}: {r.get('text')}" for r in unknown]
    if not people.seen:
        out.append("what people accept: nobody looked at single records (`karat review RUN`)")
    return list(dict.fromkeys([*out, *NEVER]))


def _people(people: Reviewed) -> dict[str, Any] | None:
    if not people.seen and not people.stamps:
        return None
    from karat.assays.chance import exact

    low, high = exact(people.accepted, people.seen) if people.seen else (None, None)
    return {
        **{"accepted": people.accepted, "seen": people.seen, "low": low, "high": high},
        **{"seconds": people.seconds, "agreement": people.agreement, "not counted": list(people.stamps)},
    }


def _label(verdict: Mapping[str, Any]) -> str:
    return next((r["text"] for r in verdict.get("reasons", ()) if r.get("name") == "labels"), UNKNOWN)


def _sheet(name: str, spec: Mapping[str, Any], data: Mapping[str, Any], prices: Prices) -> dict[str, Any]:
    """What is known of the data, and what their owner declared; no value of a record."""
    sources = [
        {
            "name": s.name,
            "licence": s.licence,
            "owner": s.owner,
            "purpose": s.purpose,
            "expires": str(s.expires or ""),
        }
        for s in prices.sources
    ]
    return {
        "name": name,
        "fingerprint": spec["fingerprint"],
        "what": data.get("what", UNKNOWN),
        "records": data.get("count"),
        "learned from": data.get("train"),
        "set aside for the judge": data.get("holdout"),
        "split": data.get("split", UNKNOWN),
        "exact duplicates": data.get("exact_duplicates"),
        "classes": len(data.get("classes") or spec.get("classes") or ()),
        "columns": [column.get("name") for column in data.get("columns", ())],
        "rights": prices.rights or UNKNOWN,
        "about persons": prices.personal or UNKNOWN,
        "sources": sources,
        "warnings": list(data.get("warnings", ())),
    }


# Markdown ---------------------------------------------------------------------------------------------------------------


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    yield from (
        f"# Model card: {_plain(told['title'])}",
        "",
        f"**{told['verdict']['word']}.** {_plain(told['verdict']['sentence'])}",
        "",
    )
    yield from _listed("Model", told["model"])
    yield from ("## Use", "", _plain(told["intended use"]), "", "Not for:", "")
    yield from (f"- {_plain(line)}" for line in told["not intended"])
    yield from ("", "## Conditions", "")
    yield from (f"- {_plain(r['name'])}: {r['state']}. {_plain(r['text'])}." for r in told["conditions"])
    yield from ([] if told["conditions"] else ["None was looked at."])
    yield from ("", "## Measured", "")
    yield from _table(told["measured"])
    yield from ("", "## What people said", "")
    yield from _said(told["people"])
    yield from ("", "## Not measured", "")
    yield from (f"- {_plain(line)}" for line in told["not measured"])
    yield from ("", "## Label of origin", "", _plain(told["label"]), "", "# Data sheet", "")
    sheet = {k: v for k, v in told["data"].items() if k not in ("sources", "warnings")}
    yield from _listed("Data", sheet)
    yield from ("## Sources, as declared", "")
    yield from (f"- {_plain(', '.join(f'{k} {v}' for k, v in s.items() if v))}" for s in told["data"]["sources"])
    yield from ([] if told["data"]["sources"] else ["None was declared."])
    if told["data"]["warnings"]:
        yield from ("", "## Warnings", "", *(f"- {_plain(line)}" for line in told["data"]["warnings"]))
    if told["reproduce"]:
        yield from ("", "## To do it again", "", "```", *told["reproduce"], "```")


def _listed(title: str, values: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"## {title}", "")
    for name, value in values.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else count(value) if type(value) is int else value
        yield f"- {name}: {_plain(UNKNOWN if text is None or text == '' else text)}"
    yield ""


def _table(measured: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not measured:
        yield "Nothing."
        return
    yield from ("| finding | made | 95% interval | held against | |", "|---|---|---|---|---|")
    for f in measured:
        interval = f"{score(f['low'])} to {score(f['high'])}"
        against = f"{_plain(f['beside'])} {score(f['real'])}"
        yield f"| {_plain(f['name'])} | {score(f['value'])} | {interval} | {against} | {f['state']} |"


def _said(people: Mapping[str, Any] | None) -> Iterator[str]:
    if people is None:
        yield "Nobody looked at single records."
        return
    if people["seen"]:
        told = f" {people['agreement']}." if people["agreement"] else ""
        share = f"{people['low']:.1%} to {people['high']:.1%}"
        yield f"{people['accepted']} of {people['seen']} accepted (95% interval {share}), {people['seconds']:.1f} s each.{told}"
    yield from (f"Not counted: {_plain(line)}." for line in people["not counted"])


def _plain(text: object) -> str:
    """Text of strangers in a line of Markdown: on one line, and nothing in it is a sign of Markdown or a tag."""
    line = " ".join(str(text).split())
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>|#" else c for c in line)
