"""Passages of documents: the records of text, and the places at which a long document is cut into them.

A long document is cut at line ends, where there are none at the ends of sentences, then at spaces, then anywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

BLOCK = 4096  # passages gathered at once
SEAMS = ("\n", ".!?\u3002\uff01\uff1f\u2026", " \t\u3000")  # behind which a text is cut, the best first


@dataclass(frozen=True)
class Origin:
    """How text was found and cut; the `facts` of `Passages`.

    tokens: "characters" or "bpe".   length: codes of a passage at most.   most: characters of a passage at most.
    stream: whether it is one long text, of which any passage is as good a beginning as another.   newline: line ends of
    the source.   suffix: the form in which it came.   columns: what the text and its label are called there.
    vocabulary: how many byte pairs are asked for, None for as many as suit the data.   encoding: of the source, and of what
    is written.   chat: whether a document is a conversation, as `reading.chat_of` parts it.
    """

    tokens: str = "characters"
    length: int = 512
    most: int = 511
    stream: bool = False
    newline: str = "\n"
    suffix: str = ".txt"
    columns: tuple[str, str] = ("text", "label")
    vocabulary: int | None = None
    encoding: str = "utf-8"
    chat: bool = False


@dataclass(frozen=True)
class Passages:
    """Stretches of one long array of code points; taking some of them copies no text.

    points: uint32 [total].   starts, stops: int64 [n], where each passage lies in `points`.   documents: int64 [n].
    begins, ends: bool [n], whether a passage is where its document begins, and where it ends.
    """

    points: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    documents: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    origin: Origin

    @staticmethod
    def of(
        texts: Sequence[str], origin: Origin, begins: np.ndarray | None = None, ends: np.ndarray | None = None
    ) -> Passages:
        """One passage of each text, a whole document where `begins` and `ends` do not say otherwise."""
        sizes = np.array([len(text) for text in texts], np.int64)
        stops = np.cumsum(sizes)
        whole = np.ones(len(texts), bool)
        return Passages(
            code_points("".join(texts)),
            stops - sizes,
            stops,
            np.arange(len(texts), dtype=np.int64),
            whole if begins is None else begins,
            whole & (not origin.stream) if ends is None else ends,
            origin,
        )

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: Any, /) -> Passages:
        """The passages at an index array or a mask, or of a slice."""
        if not isinstance(rows, slice):
            rows = np.asarray(rows)
            rows = rows if rows.dtype == bool else rows.astype(np.int64)
        return replace(
            self,
            starts=self.starts[rows],
            stops=self.stops[rows],
            documents=self.documents[rows],
            begins=self.begins[rows],
            ends=self.ends[rows],
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.strings())

    @property
    def sizes(self) -> np.ndarray:
        """int64 [n]: characters of each passage."""
        return np.asarray(self.stops - self.starts)

    def strings(self) -> list[str]:
        """The text of each passage."""
        spans = zip(self.starts.tolist(), self.stops.tolist(), strict=True)
        return [spelled(self.points[a:b]) for a, b in spans]

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows, and the code points [rows, longest] (int64) of these, -1 behind the last."""
        for first in range(0, len(self), BLOCK):
            rows = slice(first, min(first + BLOCK, len(self)))
            sizes = self.sizes[rows]
            width = int(sizes.max(initial=0))
            inside = np.arange(width) < sizes[:, None]
            out = np.full(inside.shape, -1, np.int64)
            at = (self.starts[rows, None] + np.arange(width))[inside]
            out[inside] = self.points[at]
            yield rows, out

    def digests(self) -> np.ndarray:
        """uint64 [n, 2]: 128 bits of BLAKE2b of each text."""
        held = np.ascontiguousarray(self.points, "<u4").view(np.uint8).data
        spans = zip((4 * self.starts).tolist(), (4 * self.stops).tolist(), strict=True)
        each = b"".join(hashlib.blake2b(held[a:b], digest_size=16).digest() for a, b in spans)
        return np.frombuffer(each, "<u8").reshape(len(self), 2)


def code_points(text: str) -> np.ndarray:
    """uint32 [k] of a text without lone surrogates."""
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


def spelled(points: np.ndarray) -> str:
    """The text of code points; what is no character of Unicode is left out."""
    kept = points[(points < 0xD800) | ((points > 0xDFFF) & (points < 0x110000))]
    return kept.astype("<u4").tobytes().decode("utf-32-le")


def seam(text: str, start: int, stop: int) -> int:
    """Where to cut `text[start:stop]`, which goes on behind `stop`: in its second half, where there is a place to."""
    half = start + (stop - start) // 2
    for signs in SEAMS:
        last = max(text.rfind(sign, half, stop) for sign in signs)
        if last >= 0:
            return last + 1
    return stop


def cut(text: str, bounds: np.ndarray, origin: Origin, last: float | None) -> tuple[Passages, np.ndarray | None]:
    """Passages of documents, document i being `text[bounds[i]:bounds[i + 1]]`, and which of them are set aside.

    last: the share of each document's characters that is set aside at its end: each is cut exactly there.
    """
    whole = origin.most - 1  # a document that fits with its end
    spans: list[tuple[int, int, int]] = []
    aside: list[bool] = []
    edges = bounds.tolist()
    for document, (a, b) in enumerate(zip(edges, edges[1:], strict=False)):
        parts = [(a, b, False)]
        if last is not None:
            middle = a + int((b - a) * (1 - last))
            parts = [(a, middle, False), (middle, b, True)]
        for at, stop, held in parts:
            while stop - at > whole:
                place = seam(text, at, min(at + origin.most, stop))
                spans.append((at, place, document))
                aside.append(held)
                at = place
            if stop > at:
                spans.append((at, stop, document))
                aside.append(held)
    table = np.array(spans, np.int64).reshape(-1, 3)
    starts, stops, documents = (np.ascontiguousarray(table[:, j]) for j in range(3))
    begins, ends = starts == bounds[documents], stops == bounds[documents + 1]
    if origin.stream:
        begins, ends = np.ones(len(starts), bool), np.zeros(len(starts), bool)
    held_out = np.array(aside, bool) if last is not None else None
    return Passages(code_points(text), starts, stops, documents, begins, ends, origin), held_out
