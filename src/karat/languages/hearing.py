"""What other parts say in English, said in another language: errors, notes, sentences of policies.

They come as finished text, often from another process or a file, so each is known again by the sentence in
`languages/CODE/heard.toml` whose words it has, and what stands in that sentence's places is taken over.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from karat.languages import Language, language

HEARD = "heard."
LONGEST = 4000  # characters of a text that is looked at
DEEPEST = 4  # sentences in one another
Forms = tuple[Callable[[str], str], ...]
THINGS = ("thing", "things")  # places in which what records are called stands
QUOTES = ("'", '"')  # as Python prints a text


@dataclass(frozen=True)
class Known:
    """A sentence that is known.   words: what stands before, between and behind its `places`, in English.

    own: the same in another language, with the same places.
    """

    words: tuple[str, ...]
    places: tuple[str, ...]
    own: str

    def values(self, text: str) -> dict[str, str] | None:
        """What stands in the places of `text`; None where it is no such sentence.

        Each place ends where the next words begin, a quoted one behind its quote.
        """
        first, *others = self.words
        if not text.startswith(first) or not text.endswith(self.words[-1]):
            return None
        at, out = len(first), {}
        for i, (name, words) in enumerate(zip(self.places, others, strict=True)):
            quote = text[at] if text[at : at + 1] in QUOTES else ""
            end = (
                len(text) - len(words)
                if i == len(others) - 1
                else text.find(quote + words, at + len(quote)) + len(quote)
            )
            if end < at + len(quote):
                return None
            out[name], at = text[at:end], end + len(words)
        return out if at == len(text) else None


@cache
def _known(code: str, forms: Forms) -> tuple[Known, ...]:
    """The sentences of a language in each of the forms, those with most words first."""
    out = []
    for key, own in language(code).texts.items():
        if key.startswith(HEARD):
            words, places = [""], list[str]()
            for literal, name, *_ in string.Formatter().parse(key.removeprefix(HEARD)):
                words[-1] += literal
                if name is not None:
                    words.append("")
                    places.append(name)
            for form in {tuple(words), *(tuple(map(other, words)) for other in forms)}:
                out.append(Known(form, tuple(places), own))
    return tuple(sorted(out, key=lambda one: -sum(map(len, one.words))))


def again(said: Language, text: str, forms: Forms = (), deep: int = DEEPEST) -> str | None:
    """The text in this language; None where it is no sentence that is known.

    forms: by which the words of a sentence may have been changed, beside as they are.
    """
    if said.code == "en":
        return text
    if not deep or len(text) > LONGEST:
        return None
    for one in _known(said.code, forms):
        values = one.values(text)
        if values is not None:
            return one.own.format_map(
                {
                    name: _thing(said, value) if name in THINGS else _value(said, value, forms, deep - 1)
                    for name, value in values.items()
                }
            )
    return None


def _thing(said: Language, value: str) -> str:
    """What records are called, one or several, by the word of this language for them."""
    english = language("en").texts
    key = next((k for k, word in english.items() if k.startswith("thing.") and word == value), None)
    return value if key is None else said.texts.get(key, value)


def _value(said: Language, value: str, forms: Forms, deep: int) -> str:
    inner = again(said, value, forms, deep) if " " in value else None
    if inner is not None:
        return inner
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in QUOTES
    return f"“{value[1:-1]}”" if quoted else value
