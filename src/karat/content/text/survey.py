"""What was asked of text and what is in it: the tokenizer, the length of a passage, names, groups and facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from karat.content.text import masking, scripts
from karat.content.text.decoding import LIMIT, How
from karat.content.text.documents import Found
from karat.content.text.passages import Origin, Passages
from karat.errors import FitError

LENGTHS = {"characters": 512, "bpe": 256}  # codes of a passage
SHORTEST = 64  # of passages where there is little text
WANTED = 200  # passages
SCANT = 64  # passages, at least, where there is hardly any text
LEAST = 16  # codes of a passage then
WHOLE = 32  # documents from which on few of them need be cut
LITTLE = 20_000  # characters; so little is learned character by character, though some occur once
CHARACTERS = 2_000_000  # the most text that is learned character by character,
SYMBOLS = 1000  # the most characters that differ there,
ONCE = 1e-3  # and the most of it that occurs once: by Good and Turing, about the share of what is never seen
BYTES_PER_PAIR = 2.4  # fewer than a token has of most text, so that most passages fit
MANY = 50  # documents from which on each stays on one side of the split
INTO = ("auto", "file", "lines", "paragraphs")


def read_options(options: Mapping[str, Any]) -> tuple[How, Mapping[str, Any]]:
    """What a person said of the reading, and of the passages; FitError for what cannot be."""
    if None not in (options.get("label"), options.get("labels")):
        raise FitError("data.label and --labels both name the column of the class; give one of them.")
    for name, known in (("tokens", ("auto", *LENGTHS)), ("documents", INTO), ("mask", (True, False))):
        if options.get(name, known[0]) not in known:
            listed = ", ".join(str(one).lower() for one in known)
            raise FitError(f"data.{name}={options[name]}: wanted one of {listed}.")
    for name, least, most in (("length", 16, 8192), ("vocab", 300, 65_536), ("limit", 2**16, 2**32)):
        value = options.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most):
            raise FitError(f"data.{name}={value}: wanted a whole number from {least:,} to {most:,}.")
    words = {
        name: None if options.get(name) is None else str(options[name])
        for name in ("text", "label", "labels", "encoding")
    }
    label = words["labels"] if words["label"] is None else words["label"]
    how = How(words["text"], label, words["encoding"], options.get("documents", "auto"), options.get("limit", LIMIT))
    return how, {name: options.get(name) for name in ("tokens", "vocab", "length")}


def origin_of(asked: Mapping[str, Any], found: Found, counts: np.ndarray, stream: bool) -> Origin:
    """Characters or byte pairs, and how long a passage is."""
    total = int(counts.sum())
    tokens = asked["tokens"]
    if tokens in (None, "auto"):
        rare = int((counts == 1).sum()) / max(1, total)
        few = int((counts > 0).sum()) <= SYMBOLS
        plain = total <= CHARACTERS and few and (rare <= ONCE or total <= LITTLE) and asked["vocab"] is None
        tokens = "characters" if plain else "bpe"
    width = 1.0
    if tokens == "bpe":
        marks = np.arange(len(counts))
        size = int((counts * (1 + (marks > 0x7F) + (marks > 0x7FF) + (marks > 0xFFFF))).sum())
        width = BYTES_PER_PAIR * total / max(1, size)
    length = asked["length"]
    if length is None:
        length = LENGTHS[tokens]
        size = int(total / width)
        if len(found.documents) >= WHOLE:
            most = int(np.quantile([len(text) for text in found.documents], 0.95) / width) + 2
            length = min(length, max(SHORTEST, size // WANTED, most))
        else:
            length = min(length, max(SHORTEST, size // WANTED), max(LEAST, size // SCANT))
    return Origin(
        tokens,
        length,
        max(8, int((length - 1) * width)),
        stream,
        found.newline,
        found.suffix,
        found.columns,
        asked["vocab"],
        max(found.encodings, key=lambda name: found.encodings[name], default="utf-8"),
        found.chat,
    )


def masked_documents(found: Found, mask: bool) -> tuple[list[str], Counter[str]]:
    """The documents, masked where asked; and how many personal data there are, of a part where there is much text."""
    if mask:
        pairs = [masking.masked(text) for text in found.documents]
        return [text for text, _ in pairs], sum((kinds for _, kinds in pairs), Counter[str]())
    stride = max(1, sum(map(len, found.documents)) // masking.LOOKED)  # a part is enough to say that there are any
    looked = sum((masking.count(text[: masking.LOOKED]) for text in found.documents[::stride]), Counter[str]())
    return found.documents, looked


def names_of(found: Found, records: Passages) -> tuple[str, ...]:
    """Of each passage: its document, and its line in it where that is cut."""
    of = records.documents
    alone = np.bincount(of, minlength=int(of.max(initial=0)) + 1)[of] == 1
    breaks = np.add.reduceat(
        records.points == 10, records.starts, dtype=np.int64
    )  # each begins where the last one ends
    before = np.cumsum(breaks) - breaks
    first = np.searchsorted(of, of, "left")
    line = before - before[first] + 1 if len(of) else breaks
    return tuple(
        found.names[d] if single else f"{found.names[d]}, line {at}"
        for d, single, at in zip(of.tolist(), alone.tolist(), line.tolist(), strict=True)
    )


def groups_of(records: Passages, documents: int) -> np.ndarray:
    """int64 [n]: the document where there are many; else blocks of neighbours in one."""
    if documents >= MANY:
        return records.documents
    n = len(records)
    block = min(8, max(1, n // 100))
    keys = np.stack([records.documents, np.arange(n) // block], 1)
    return np.asarray(np.unique(keys, axis=0, return_inverse=True)[1].reshape(n))


def facts_of(
    found: Found,
    counts: np.ndarray,
    bounds: np.ndarray,
    records: Passages,
    personal: Counter[str],
    mask: bool,
) -> dict[str, Any]:
    """What `look` says of the text; `sentences` are for a person."""
    points = records.points
    documents, words = len(bounds) - 1, scripts.count_words(points)
    lines = np.diff(np.concatenate([[-1], np.flatnonzero(points == 10), [len(points)]])) - 1
    written = scripts.shares(counts)
    shown = ", ".join(f"{name} {share:.1%}" for name, share in list(written.items())[:5] if share >= 0.0005)
    listed = ", ".join(
        f"{name} ({count:,})" if len(found.encodings) > 1 else name for name, count in found.encodings.items()
    )
    what = "one text" if records.origin.stream else f"{documents:,} documents"
    sentences = [
        f"{what}: {len(points):,} characters, {words:,} words, {int((counts > 0).sum()):,} different characters, "
        f"longest line {int(lines.max()):,}",
        f"encoding: {listed}; scripts: {shown}" if listed else f"scripts: {shown}",
    ]
    notes = list(found.notes)
    if personal:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in personal.most_common())
        notes.append(
            f"Personal data were replaced by marks such as [{personal.most_common(1)[0][0]}]: {kinds}."
            if mask
            else f"Personal data were found ({kinds}): a generator may repeat them. --set data.mask=true replaces them by marks."
        )
    return {
        "documents": documents,
        "characters": len(points),
        "words": words,
        "different_characters": int((counts > 0).sum()),
        "longest_line": int(lines.max()),
        "scripts": written,
        "encodings": dict(found.encodings),
        "personal": dict(personal),
        "sentences": sentences,
        "notes": notes,
        "doubt": found.question,
    }
