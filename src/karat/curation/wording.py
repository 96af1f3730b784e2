"""Gates that read: words of a block list, and personal data, in made text and in the texts of made rows."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from karat.content.table.personal import checks
from karat.curation.gate import Candidates, Gate, Reasons, flagged
from karat.errors import FitError

SHIPPED = ("en", "zh")
WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")  # writing without spaces between words
MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*[A-Za-z]{2,}")
DIGITS = re.compile(r"(?<![A-Za-z0-9_.])\+?[0-9][0-9 ()./-]{6,30}[0-9Xx](?![A-Za-z0-9_])")  # beside ideographs too
TELEPHONE = re.compile(
    r"(?:\+\d{1,3}[ -]?)?(?:\(\d{2,4}\)[ -]?)?1[3-9]\d{9}|\+\d[\d ()./-]{7,16}\d|\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}"
)
CHECKED = {"card number": checks.card, "identity number": checks.cn, "social security number": checks.ssn}


def texts_of(some: Candidates) -> list[str]:
    """What there is to read of each record; FitError for pictures and sounds."""
    plain = some.plain
    if isinstance(plain, list) and all(isinstance(text, str) for text in plain):
        return plain
    if hasattr(plain, "columns") and hasattr(plain, "iloc"):  # a frame
        words = plain.select_dtypes(include=["object", "string", "category"]).astype("string").fillna("")
        return [" | ".join(row) for row in words.to_numpy(dtype=object)]
    if hasattr(plain, "to_pylist"):  # a table of Arrow
        return [" | ".join(x for x in row.values() if isinstance(x, str)) for row in plain.to_pylist()]
    raise FitError(f"{some.codec.name} content has no words to look for; a gate that reads is for text and tables.")


def plainly(text: str) -> str:
    """Without case, width, accents of its own and doubled spaces: what stands on the page is read as a person reads it."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class Blocklist(Gate):
    name = "block list"

    def __init__(self, terms: Sequence[str], called: str) -> None:
        """terms: a word stands for itself and its endings; writing without spaces is looked for anywhere."""
        self.called = called
        plain = sorted({plainly(term) for term in terms if term.strip() and not term.lstrip().startswith("#")})
        if not plain:
            raise FitError(f"the block list {called} holds no terms; wanted one in each line.")
        whole = [
            re.escape(t) if WIDE.search(t) else rf"(?<![a-z0-9_]){re.escape(t)}(?:s|es|ed|ing)?(?![a-z0-9_])"
            for t in plain
        ]
        self.pattern = re.compile("|".join(whole))

    @classmethod
    def read(cls, source: str) -> Blocklist:
        """That of the name or the file; FitError where there is none."""
        try:
            if source in SHIPPED:
                text = resources.files("karat.curation").joinpath(f"lists/{source}.txt").read_text(encoding="utf-8")
            else:
                text = Path(source).expanduser().read_text(encoding="utf-8-sig")
        except (OSError, UnicodeError) as error:
            raise FitError(
                f"--gate {source}: the list cannot be read ({error}); a text file in UTF-8 was wanted."
            ) from None
        return cls(text.splitlines(), source)

    def reasons(self, some: Candidates) -> Reasons:
        bad = [self.pattern.search(plainly(text)) is not None for text in texts_of(some)]
        return flagged(np.array(bad, bool), f"on the block list {self.called}")


class Personal(Gate):
    name = "personal"

    def reasons(self, some: Candidates) -> Reasons:
        return np.array([personal(text) for text in texts_of(some)], str)


def personal(text: str) -> str:
    """What personal data a text holds: the first kind that is found, by shape and check digit, or ""."""
    plain = unicodedata.normalize("NFKC", text)
    if MAIL.search(plain):
        return "mail address in the text"
    for found in DIGITS.finditer(plain):
        number = found[0].strip()
        for kind, holds in CHECKED.items():
            if holds(number):
                return f"{kind} in the text"
        if TELEPHONE.fullmatch(number):
            return "telephone number in the text"
    return ""
