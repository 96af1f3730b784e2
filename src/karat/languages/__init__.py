"""What is said to a person, in each language: one table of whole sentences for each, `en/` and `zh/`, with places for values.

A sentence is never put together from pieces of others: what may stand in its places are numbers, and names that are in the
table too. A test holds that both tables have the same keys and the same places.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from karat import words

Code = Literal["en", "zh"]
OURS = ("detail", "descriptor")  # findings that are named by a word of ours
MOST = 4  # names in a list


@dataclass(frozen=True)
class Language:
    """The sentences of one language by their keys ("gate.rights.fail")."""

    code: str
    texts: Mapping[str, str]

    def say(self, key: str, **values: object) -> str:
        """The sentence with `values` in its places; KeyError for a key or a value that is not there."""
        return self.texts[key].format_map(values)

    def thing(self, thing: str) -> dict[str, str]:
        """What one record is called, and several: the places {thing} and {things}; by its own word where the table has none."""
        one = self.texts.get(f"thing.{thing}.one", thing)
        return {"thing": one, "things": self.texts.get(f"thing.{thing}.many", one if self.code == "zh" else f"{one}s")}

    def finding(self, name: str, key: str, of: str = "", table: str | None = None) -> str:
        """What the finding of that key is called; in English by the `name` that `--require` takes."""
        own = self.texts.get(f"finding.{key}.name")
        if own is None:
            return name
        of = self.of(key, of)
        return own.format(of=of) if table is None else f"{table} {own.format(of=of)}"

    def of(self, key: str, of: str) -> str:
        """What the finding of that key is about: an axis or a descriptor by our word for it, all else by its own name."""
        return self.texts.get(f"said.{of.capitalize()}", self.again(words.term(of))) if key in OURS else of

    def beside(self, what: str) -> str:
        """What a score is held against in the place of unseen real data; as it stands where the table has no word for it."""
        return self.texts.get(f"beside.{what}", self.again(what))

    def again(self, text: str) -> str:
        """A `words.Sentence` in this language, by the English templates of its parts; any other text, and a part that the table
        lacks, as it is."""
        if self.code == "en" or not isinstance(text, words.Sentence):
            return text
        out = "".join(
            self._template(template, values).format_map(
                {name: self.again(x) if isinstance(x, str) else x for name, x in values.items()}
            )
            for template, values in text.parts
        )
        out = out.replace(words.SYMBOLS["CNY"], self.texts["form.yuan"])
        return out.rstrip("。.") if isinstance(text, words.Clause) else out

    def _template(self, template: str, values: Mapping[str, Any]) -> str:
        """That of a part: a sentence, what a finding would see, or the name of one, of a kind of record, of what a score is held
        against.
        """
        sees = f"finding.{values.get('fault')}.sees"
        keys = sees, f"said.{template}", f"finding.{values.get('key', template)}.name", f"thing.{template}.one"
        return next((self.texts[key] for key in keys if key in self.texts), self.beside(template))

    def listed(self, names: Sequence[str], most: int = MOST) -> str:
        """Names as a list in words; of many the first ones, and how many more."""
        if len(names) > most:
            return self.say(
                "form.more", names=self.texts["form.comma"].join(names[:most]), n=words.count(len(names) - most)
            )
        if len(names) < 2:
            return "".join(names)
        return self.say("form.and", first=self.texts["form.comma"].join(names[:-1]), last=names[-1])

    def money(self, x: float | None, currency: str | None) -> str:
        """An amount; of yuan by the sign that readers of the language take it for."""
        return words.money(x, currency).replace(words.SYMBOLS["CNY"], self.texts["form.yuan"])

    def chance(self, p: float) -> str:
        """A probability that was found by drawing: never 0% or 100%."""
        return self.again(words.chance(p))


@cache
def language(code: str) -> Language:
    """The table of the language `code`, from all files of its folder."""
    texts: dict[str, str] = {}
    for path in sorted((Path(__file__).parent / code).glob("*.toml")):
        with open(path, "rb") as file:
            texts |= dict(_flat(tomllib.load(file)))
    return Language(code, texts)


def _flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
