"""Many encoded pictures become one array: a look at every header decides size and depth, then each is decoded once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from karat.cache import WORTH_KEEPING, CacheEntry
from karat.content.archive import Piece, sorted_classes
from karat.content.codec import Contents
from karat.content.image.picture import Header, decode, peek
from karat.errors import DataError, UnsafeFile

T = TypeVar("T")
SMALLEST = 32  # pictures; fewer teach nothing
WANTED = 200
NATIVE = range(8, 129)  # sides, in pixels, at which pictures that share one size (99% of them) keep it


def refuse_few(where: str, pieces: Iterable[Piece], count: int) -> None:
    """Raises DataError when there are too few pictures to learn from; the unreadable ones among them are named."""
    if count >= SMALLEST:
        return
    bad = _Bad(set(), [])
    for row, (piece, found) in enumerate(_each(pieces, lambda piece: _try(piece, (16, 16), 3, 8))):
        if isinstance(found, str):
            bad.add(row, piece.name, found)
    bad.refuse_many(where, count)
    word = "picture" if count == 1 else "pictures"
    wanted = f"a generator needs about {WANTED}, and never fewer than {SMALLEST}"
    raise DataError(f"{where} holds {count} {word}; {wanted}. Add more.")


def unreadable(file: Path) -> str | None:
    """Why one picture file cannot be read, or None; raises UnsafeFile for a bomb."""
    piece = Piece(str(file), file.stat().st_size, 0, lambda: file.open("rb"))
    found = _try(piece, (16, 16), 3, 8)
    return found if isinstance(found, str) else None


def target_size(sizes: Mapping[tuple[int, int], int], asked: int | None) -> tuple[int, int]:
    """(width, height) to bring pictures of these sizes to."""
    if asked is not None:
        return asked, asked
    (width, height), count = max(sizes.items(), key=lambda item: item[1])
    if count >= 0.99 * sum(sizes.values()) and width in NATIVE and height in NATIVE:
        return width, height
    shorts = sorted((min(size), count) for size, count in sizes.items())
    half, seen, median = sum(sizes.values()) / 2, 0, 0
    for short, count in shorts:
        seen, median = seen + count, short
        if seen >= half:
            break
    side = max(16, min(64, median // 8 * 8))
    return side, side


@dataclass
class _Bad:
    """Unreadable pictures: where in the order, which, why."""

    rows: set[int]
    listed: list[tuple[str, str]]

    def add(self, row: int, name: str, reason: str) -> None:
        self.rows.add(row)
        self.listed.append((name, reason))

    def refuse_many(self, where: str, total: int) -> None:
        bad = len(self.listed)
        if bad and (total < 100 or bad > total * 0.01):
            listed = "; ".join(f"{name}: {reason}" for name, reason in self.listed[:10])
            more = f"; and {bad - 10} more" if bad > 10 else ""
            allowed = "at most 1% is skipped" if total >= 100 else "among fewer than 100 none is skipped"
            raise DataError(
                f"{where}: {bad} of {total} pictures cannot be read ({allowed}). Mend or remove them. {listed}{more}"
            )


ALPHAS = ("flatten", "keep", "auto")


def gather(
    pieces: Iterable[Piece], where: str, size: int | None, alpha: str, place: CacheEntry, facts: Mapping[str, Any]
) -> Contents:
    """All pictures at one size and depth; raises DataError when more than 1% cannot be read, UnsafeFile for a bomb.

    alpha: "flatten" lays what is transparent on white, "keep" learns it as a fourth channel and refuses pictures without,
    "auto" keeps it where all pictures have it.

    `pieces` is gone through twice and must give the same pictures in the same order both times.
    """
    found, bad, total, weight = Counter[Header](), _Bad(set(), []), 0, 0
    for row, (piece, header) in enumerate(_each(pieces, _peek)):
        total, weight = total + 1, weight + piece.size
        if isinstance(header, Header):
            found[header] += 1
        else:
            bad.add(row, piece.name, header)
    bad.refuse_many(where, total)

    sizes = Counter[tuple[int, int]]()
    for header, count in found.items():
        sizes[header.width, header.height] += count
    width, height = target_size(sizes, size)
    grey = all(header.grey for header in found)
    bits = 16 if grey and all(header.bits == 16 for header in found) else 8
    clear, readable = sum(count for header, count in found.items() if header.alpha), total - len(bad.rows)
    if alpha == "keep" and clear < readable:
        raise DataError(
            f"{where}: {readable - clear:,} of {readable:,} pictures have no alpha channel, and data.alpha=keep learns one. Leave "
            "it out (what is transparent is laid on white), or take those pictures away."
        )
    kept_alpha = alpha != "flatten" and clear == readable
    if kept_alpha:
        grey, bits = False, 8
    notes_too = [] if kept_alpha or not clear else [flattened(clear, readable)]
    shape = (readable, height, width, 4 if kept_alpha else 1 if grey else 3)
    dtype = np.dtype(np.uint16 if bits == 16 else np.uint8)
    records = place.allot(shape, dtype, max(weight, int(np.prod(shape, dtype=np.int64))) >= WORTH_KEEPING)
    try:
        kept = _decode_all(pieces, records, bad)
        bad.refuse_many(where, total)
    except BaseException:
        place.discard(records)
        raise
    notes = {
        "names": [piece.name for piece in kept],
        "labels": [piece.label for piece in kept],
        "holdout": [piece.holdout for piece in kept],
        "skipped": bad.listed,
        "facets": [dict(piece.facets) for piece in kept],
        "facts": {
            **facts,
            "notes": [*facts["notes"], *notes_too],
            "sizes": {f"{w}x{h}": count for (w, h), count in sizes.most_common(20)},
            "modes": _count(found, lambda header: header.mode),
            "formats": _count(found, lambda header: header.format),
            "bytes": weight,
        },
    }
    return contents(place.keep(records, notes, len(kept)), notes)


def flattened(clear: int, total: int) -> str:
    every = "; --set data.alpha=keep learns it" if clear == total else ""
    return (
        f"{clear:,} of {total:,} pictures have an alpha channel; what is transparent in them is laid on white{every}."
    )


def _count(found: Counter[Header], what: Callable[[Header], str]) -> dict[str, int]:
    counts = Counter[str]()
    for header, count in found.items():
        counts[what(header)] += count
    return dict(counts.most_common())


def _decode_all(pieces: Iterable[Piece], records: np.ndarray, bad: _Bad) -> list[Piece]:
    rows, height, width, channels = records.shape
    bits = records.dtype.itemsize * 8
    kept: list[Piece] = []

    for row, (piece, record) in enumerate(_each(pieces, lambda piece: _try(piece, (width, height), channels, bits))):
        if row in bad.rows:
            continue
        if isinstance(record, str):
            bad.add(row, piece.name, record)
        elif len(kept) < rows:
            records[len(kept)] = record
            kept.append(piece)
    return kept


def _try(piece: Piece, size: tuple[int, int], channels: int, bits: int) -> np.ndarray | str:
    def read() -> np.ndarray:
        with piece.open() as file:
            return decode(file, piece.name, size, channels, bits)

    return _attempt(piece, read)


def _peek(piece: Piece) -> Header | str:
    def look() -> Header:
        with piece.open() as file:
            return peek(file, piece.name)

    return _attempt(piece, look)


def _attempt(piece: Piece, read: Callable[[], T]) -> T | str:
    """What `read` gives, or why the picture cannot be read."""
    try:
        return read()
    except UnsafeFile:
        raise
    except Exception as error:  # a decoder fed a stranger's bytes may raise anything; the caller lists or refuses it
        reason = str(error).split("\n")[0]
        if reason.startswith("cannot identify image file"):
            reason = "is empty" if piece.size == 0 else "is not a picture, or its head is damaged"
        return reason if reason else type(error).__name__


def _each(pieces: Iterable[Piece], work: Callable[[Piece], T]) -> Iterator[tuple[Piece, T]]:
    """Each piece with what `work` makes of it, in order; large pictures by two threads, few at a time."""
    stream = iter(pieces)
    with ThreadPoolExecutor(2) as pool:
        while chunk := list(islice(stream, 32)):
            if sum(piece.size for piece in chunk) > 2**20:
                yield from zip(chunk, pool.map(work, chunk), strict=True)
            else:
                yield from ((piece, work(piece)) for piece in chunk)


def contents(records: np.ndarray, notes: Mapping[str, Any]) -> Contents:
    """Records with the notes kept beside them."""
    names, held = notes["labels"], notes["holdout"]
    classes = sorted_classes({name for name in names if name is not None})
    labelled = len(classes) > 1 and None not in names
    number = {name: i for i, name in enumerate(classes)}
    return Contents(
        records=records,
        labels=np.array([number[name] for name in names], np.int64) if labelled else None,
        classes=classes if labelled else (),
        names=tuple(notes["names"]),
        holdout=np.array(held, bool) if any(held) and not all(held) else None,
        facets=_facets(notes.get("facets", ())),
        skipped=tuple((str(name), str(reason)) for name, reason in notes["skipped"]),
        facts=notes["facts"],
    )


def _facets(rows: Sequence[Mapping[str, str]]) -> dict[str, np.ndarray]:
    """What the names say, a column for each thing that all of them say."""
    keys = set.intersection(*(set(row) for row in rows)) if rows else set()
    return {key: np.array([row[key] for row in rows]) for key in rows[0] if key in keys} if rows else {}
