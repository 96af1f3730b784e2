"""Personal data in running text: found by form and check digit, counted, and replaced by typed marks where a person asks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from karat.content.table.personal import checks

LOOKED = 1_000_000  # characters that are searched to say whether there is any

_START, _END = r"(?<![0-9A-Za-z.+_-])", r"(?![0-9A-Za-z_]|[.-][0-9A-Za-z])"
_DIGITS = _START + r"\d(?:[ -]?\d){11,18}" + _END


def _person(text: str) -> bool:
    return checks.cn(text) or checks.ssn(text) or checks.cpf(text)


# In this order: an address in an e-mail, a card among digits; each with the check that the form alone does not make.
_ADDRESS = r"[^\s<>\"'\u3000-\u9fff]*"
_SECRET = r"(?:access_token|api_?key|auth|key|password|pwd|secret|session|sig|signature|token)"
_KINDS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool] | None], ...] = (
    (
        "url",
        re.compile(
            r"https?://(?:[^\s/@<>\"':]+:[^\s/@<>\"']+@"
            + _ADDRESS
            + "|"
            + _ADDRESS
            + r"[?&#]"
            + _SECRET
            + r"=[^\s&<>\"']+"
            + _ADDRESS
            + r")(?<![.,;:!?)])",
            re.I,
        ),
        None,
    ),
    (
        "email",
        re.compile(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}"),
        None,
    ),
    (
        "key",
        re.compile(
            _START + r"(?:sk-[A-Za-z0-9_-]{20,}|gh[opsu]_[A-Za-z0-9]{30,}|AKIA[0-9A-Z]{16}|"
            r"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})"
        ),
        None,
    ),
    ("iban", re.compile(_START + r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?" + _END), checks.iban),
    ("person id", re.compile(_START + r"(?:\d{17}[\dXx]|\d{3}-\d{2}-\d{4}|\d{3}\.\d{3}\.\d{3}-\d{2})" + _END), _person),
    ("card", re.compile(_DIGITS), checks.card),
    (
        "phone",
        re.compile(
            _START + r"(?:\+\d{1,3}(?:[ .-]?\(?\d{2,4}\)?){2,5}|(?:(?:\+?86|0086)[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}|"
            r"0\d{2,3}-\d{7,8}|(?:1[-. ])?(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4})" + _END
        ),
        None,
    ),
)


def _there(name: str, text: str) -> bool:
    """Whether it is worth a search."""
    return {"url": "://" in text, "email": "@" in text}.get(name, True)


def count(text: str) -> Counter[str]:
    """How many of each kind there are."""
    return masked(text)[1]


def masked(text: str) -> tuple[str, Counter[str]]:
    """The text with "[email]", "[phone]", ... in place of what is personal, and how many of each kind there were."""
    found = Counter[str]()
    for name, form, holds in _KINDS:
        if not _there(name, text):
            continue

        def mark(hit: re.Match[str], name: str = name, holds: Callable[[str], bool] | None = holds) -> str:
            if holds is not None and not holds(hit[0]):
                return hit[0]
            found[name] += 1
            return f"[{name}]"

        text = form.sub(mark, text)
    return text, found
