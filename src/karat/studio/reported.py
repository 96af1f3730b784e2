"""What the last assay of a run found, as pages show it beside the report itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from karat.languages import Language

RAISED = ("fail", "faults", "acceptance")
FINE = ("pass", "review")
THING = "record"


@dataclass(frozen=True)
class Said:
    """An answer or a condition, in the language of who looks.   tone: "fine", "raised" or "unknown"."""

    name: str
    asks: str
    text: str
    tone: str


@dataclass(frozen=True)
class Reported:
    """answers: states by "quality", "gates" and "money".   gates: name, state and cause of each condition.

    value: the numbers of the money, None where they could not be reckoned.
    """

    answers: dict[str, str]
    gates: tuple[tuple[str, str, str], ...]
    value: dict[str, Any] | None
    currency: str | None

    def answer(self, topic: str, language: Language) -> Said:
        called, state = language.thing(THING), self.answers[topic]
        key = f"answer.{topic}"
        text = language.texts.get(f"{key}.{state}", state)
        return Said(language.say(f"{key}.name"), language.say(f"{key}.asks", **called), text, tone(state))

    def conditions(self, language: Language) -> list[Said]:
        called, out = language.thing(THING), []
        for name, state, cause in self.gates:
            keys = (f"gate.{name}.{state}.{cause}", f"gate.{name}.{state}")
            text = next((language.say(key, **called) for key in keys if key in language.texts), state)
            title = language.texts.get(f"gate.{name}.name", name)
            asks = language.texts.get(f"gate.{name}.asks", "")
            out.append(Said(title, asks, text, tone(state)))
        return out


def tone(state: str) -> str:
    return "fine" if state in FINE else "raised" if state in RAISED else "unknown"


def reported(path: Path) -> Reported | None:
    """What report.json of the run at `path` says; None where it was not assayed, or the file is damaged."""
    try:
        found: Any = json.loads((path / "report" / "report.json").read_bytes())
        verdict = found["verdict"]
        gates = [(r["name"], r["state"], r["cause"]) for r in verdict["reasons"] if r["kind"] == "gate"]
        answers = {topic: str(found["answers"][topic]) for topic in ("quality", "gates", "money")}
        return Reported(answers, tuple(gates), verdict["value"], verdict["currency"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
