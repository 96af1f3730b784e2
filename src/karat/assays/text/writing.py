"""Texts as their judge takes them: strings, what is known of each, and its words, Chinese ones as well."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # written without spaces: each is a word by itself
WORD = re.compile(rf"[{IDEOGRAPHS}]|[^\W{IDEOGRAPHS}_]+(?:['\u2019][^\W{IDEOGRAPHS}_]+)*")
RUN = re.compile(rf"[{IDEOGRAPHS}]+|[^\W{IDEOGRAPHS}_]+(?:['\u2019][^\W{IDEOGRAPHS}_]+)*")
IDEOGRAPH = re.compile(rf"[{IDEOGRAPHS}]")
SPEAKER = re.compile(r"[^\S\n]*(\S[^\n:\uff1a]{0,39})[:\uff1a]")


@dataclass(frozen=True)
class Writing:
    """Passages of text with the class [n] and the document [n] of each, where known.

    rows: where each passage stood in the caller's set, once some were taken.
    """

    texts: tuple[str, ...]
    labels: np.ndarray | None = None
    documents: np.ndarray | None = None
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: np.ndarray) -> Writing:
        """The passages at `rows` [k]."""
        return Writing(
            tuple(self.texts[int(i)] for i in rows),
            None if self.labels is None else self.labels[rows],
            None if self.documents is None else self.documents[rows],
            np.asarray(rows) if self.rows is None else self.rows[rows],
        )

    def row(self, i: int) -> int:
        """Where passage `i` stood in the caller's set."""
        return i if self.rows is None else int(self.rows[i])

    @property
    def sources(self) -> np.ndarray:
        """The document of each passage [n]; each is its own where that is not known."""
        return np.arange(len(self)) if self.documents is None else self.documents


def texts_of(points: Tensor) -> list[str]:
    """The strings of code points [n, longest], -1 behind the last of each; what is no character becomes U+FFFD."""
    codes = points.numpy()
    length = (codes >= 0).sum(1)
    whole = np.where((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000)), 0xFFFD, codes).astype("<u4")
    return [row[:n].tobytes().decode("utf-32-le") for row, n in zip(whole, length, strict=True)]


def points_of(texts: Sequence[str]) -> Tensor:
    """The code points of texts as `texts_of` reads them: long [n, longest], -1 behind the last of each."""
    out = torch.full((len(texts), max(map(len, texts), default=0)), -1, dtype=torch.long)
    for i, text in enumerate(texts):
        out[i, : len(text)] = torch.tensor([ord(c) for c in text], dtype=torch.long)
    return out


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
        if told := SPEAKER.match(line):
            out.append(told[1] + ":")
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
