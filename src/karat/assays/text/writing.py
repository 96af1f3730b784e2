"""Texts as their judge takes them: strings, what is known of each, and its words, Chinese ones as well."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # written without spaces: each is a word by itself
WORD = re.compile(rf"[{IDEOGRAPHS}]|[^\W{IDEOGRAPHS}_]+(?:['\u2019][^\W{IDEOGRAPHS}_]+)*")
RUN = re.compile(rf"[{IDEOGRAPHS}]+|[^\W{IDEOGRAPHS}_]+(?:['\u2019][^\W{IDEOGRAPHS}_]+)*")
IDEOGRAPH = re.compile(rf"[{IDEOGRAPHS}]")
SPEAKER = re.compile(r"[^\S\n]*(\S[^\n:\uff1a]{0,39})[:\uff1a]")


def words(text: str) -> list[str]:
    """The words of `text` without regard to case; each ideograph is a word."""
    return WORD.findall(text.casefold())


def terms(text: str) -> list[str]:
    """What stands in a dictionary of `text`: its words, and every two neighbouring ideographs."""
    out: list[str] = []
    for run in RUN.findall(text.casefold()):
        if IDEOGRAPH.match(run):
            out += [run[i : i + 2] for i in range(max(1, len(run) - 1))]
        else:
            out.append(run)
    return out


def openings(text: str) -> list[str]:
    """With what the lines of `text` open: up to a colon ("ROMEO:"), else their first word."""
    out = []
    for line in text.split("\n"):
        if speaker := SPEAKER.match(line):
            out.append(speaker[1] + ":")
        elif first := RUN.search(line):
            out.append(first[0][:2] if IDEOGRAPH.match(first[0]) else first[0])
    return out


def dense(texts: Iterable[str]) -> float:
    """The share of ideographs among the letters of `texts`."""
    ideographs = letters = 0
    for text in texts:
        ideographs += len(IDEOGRAPH.findall(text))
        letters += sum(map(len, RUN.findall(text)))
    return ideographs / max(1, letters)


def joined(texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Code points of all texts on end (int64, each text closed by -1), and where each text starts [n]."""
    lines = list(texts)
    codes = np.frombuffer("\x00".join([*lines, ""]).encode("utf-32-le", "surrogatepass"), "<u4").astype(np.int64)
    length = np.array([len(line) for line in lines], np.int64)
    starts = np.cumsum(length + 1) - length - 1
    codes[starts + length] = -1
    return codes, starts
