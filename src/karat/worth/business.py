"""The few questions that decide whether generated items can pay, asked in a terminal, and the prices.toml that they make.

Each line of it has its unit and its source. Before anything is trained the answers may already say that something else is
cheaper: to buy, to use what is there, or to write a rule.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from karat.errors import FitError
from karat.languages import Language
from karat.worth.inputs import REVIEW_HOUR_USD
from karat.worth.prices import Amount, Prices
from karat.worth.value import sample_size

TRIES = 5  # of one question
TRIAL_HOURS = 8.0  # of a person, before it is known whether a generator is any good: to gather data, to train, to look
RIGHTS = ("owned", "licensed", "none", "unknown")
USES = ("content", "training", "testing")
NUMBER = r"\d+(?:\.\d+)?"


@dataclass(frozen=True)
class Advice:
    """What the answers come to. advice: "train", or "rights", "retrieve", "rules", "buy" where training is not the thing to do."""

    prices: Prices
    advice: str
    text: str
    toml: str
    report: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        return {"advice": self.advice, "text": self.text, "declared": self.prices.declared()}

    def __str__(self) -> str:
        return self.text


def interview(ask: Callable[[str], str], language: Language) -> Advice:
    """Asks the questions by `ask`, which shows a text and gives a line; FitError after too many lines that cannot be."""
    questions = _Questions(ask, language)
    values: dict[str, Any] = {}
    use = questions.choice("use", USES)
    values["currency"] = (questions.line("currency") or "USD").upper()
    if values["currency"] != "USD":  # usual prices of computing are known in dollars alone
        values["cpu_core_hour"] = _middle(questions.amount("core"))
    key = "label" if use == "training" else "today"
    values["label_cost_per_item" if key == "label" else "alternative_cost_per_item"] = questions.amount(key)
    if isinstance(values.get("label_cost_per_item"), tuple):  # which is a bar, and a bar is one number
        values["label_cost_per_item"] = sum(values["label_cost_per_item"]) / 2
    values["items_wanted"] = questions.amount("wanted")
    values["value_horizon_years"] = questions.amount("years")
    have, rules = questions.amount("have"), questions.yes("rules")
    looks = questions.yes("looks")
    values["review_seconds_per_item"] = questions.amount("seconds") if looks else 0.0 if looks is False else None
    values["review_hour"] = questions.amount("hour")
    rights = questions.choice("rights", RIGHTS)
    values["rights"] = f"licensed: {questions.line('licence') or '?'}" if rights == "licensed" else rights
    personal = questions.yes("personal")
    values["personal"] = "unknown" if personal is None else "some" if personal else "none"
    prices = Prices.from_mapping({k: v for k, v in values.items() if v is not None}, "prices.toml")
    advice = _advice(prices, have, rules)
    return Advice(
        prices, advice, language.say(f"business.advice.{advice}", trial=f"{TRIAL_HOURS:g}"), _toml(prices, language)
    )


def _advice(prices: Prices, have: Amount | None, rules: bool | None) -> str:
    """The first reason not to train, else "train"."""
    today, wanted = _middle(prices.alternative_cost_per_item), _middle(prices.items_wanted)
    if today is None:
        today = prices.label_cost_per_item
    hour = _middle(prices.review_hour)
    if hour is None:  # nobody knows what it is in another currency
        hour = REVIEW_HOUR_USD if prices.currency == "USD" else 0.0
    review = (_middle(prices.review_seconds_per_item) or 0.0) / 3600 * hour
    if prices.rights == "none":
        return "rights"
    if have is not None and wanted is not None and (_middle(have) or 0.0) >= wanted:
        return "retrieve"
    if rules:
        return "rules"
    trial = TRIAL_HOURS * hour + sample_size(0.05) * review
    if today is not None and (review > today or (wanted is not None and wanted * today <= trial)):
        return "buy"
    return "train"


def _middle(amount: Amount | None) -> float | None:
    return sum(amount) / 2 if isinstance(amount, tuple) else amount


def _toml(prices: Prices, language: Language) -> str:
    """What was declared, a line each, with its unit and where it comes from."""
    today = datetime.date.today().isoformat()
    lines = ["# " + language.say("business.head", date=today), ""]
    for key, value in prices.declared().items():
        text = f'"{value}"' if isinstance(value, str) else str(list(value)) if isinstance(value, tuple) else str(value)
        unit = language.say(f"business.unit.{key}", currency=prices.currency)
        lines.append(f"{key} = {text}  # {language.say('business.source', unit=unit, date=today)}")
    return "\n".join([*lines, "", "# " + language.say("business.more"), ""])


class _Questions:
    """Questions of one language, asked again where the answer cannot be; an empty line is "not known"."""

    def __init__(self, ask: Callable[[str], str], language: Language) -> None:
        self.ask, self.language = ask, language

    def line(self, key: str) -> str | None:
        text = self.ask(self.language.say(f"business.ask.{key}")).strip()
        if any(c in text for c in '"\\\n') or not text.isprintable():
            raise FitError(f"the answer {text!r} holds quotes or control characters; say it without.")
        return text or None

    def _until(self, key: str, read: Callable[[str], Any]) -> Any:
        for _ in range(TRIES):
            text = self.line(key)
            if text is None:
                return None
            found = read(text)
            if found is not None:
                return found
        raise FitError(f"{TRIES} answers to one question could not be read; start again, or write prices.toml by hand.")

    def choice(self, key: str, words: tuple[str, ...]) -> str:
        """One of `words`, by its number; the last where it is not known."""
        numbers: Mapping[str, str] = {str(i): word for i, word in enumerate(words, 1)}
        return self._until(key, numbers.get) or words[-1]

    def yes(self, key: str) -> bool | None:
        known = {"y": True, "yes": True, "是": True, "n": False, "no": False, "否": False, "不是": False}
        found: bool | None = self._until(key, lambda text: known.get(text.lower()))
        return found

    def amount(self, key: str) -> Amount | None:
        """A number, or two ends: 1,000; 15-30; 15 to 30; 15到30."""

        def read(text: str) -> Amount | None:
            plain = re.sub(r"(?<=\d)[,_ ](?=\d{3}\b)", "", text)
            if re.fullmatch(NUMBER, plain):
                return float(plain)
            ends = re.fullmatch(rf"({NUMBER})\s*(?:-|–|to|到|至)\s*({NUMBER})", plain)
            return (float(ends[1]), float(ends[2])) if ends and float(ends[1]) < float(ends[2]) else None

        found: Amount | None = self._until(key, read)
        return found
