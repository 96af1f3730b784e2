"""Text as files hold it: plain files and folders of them, JSON lines, and a column of a table; encodings found, bad bytes named."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from karat.content.codec import SEPARATOR
from karat.content.table.io.sampling import spread
from karat.content.text.budget import afford
from karat.content.text.decoding import How, decoded_blocks, lined
from karat.content.text.documents import CODE, LINES, PLAIN, Found, read_column, suffix_of
from karat.content.text.jsonlines import read_json_lines
from karat.errors import DataError

SKIPPED = (
    "node_modules",
    "__pycache__",
    "site-packages",
    "venv",
    "vendor",
    "target",
    "build",
    "dist",
)  # beside code, nobody's own
ASIDE = 0.01  # share of files that may be unreadable


def recognises(path: Path) -> bool:
    """Whether `path` is a text file, JSON lines, or a folder that holds text."""
    if path.is_dir():
        return any(True for _ in _texts_in(path))
    return path.is_file() and suffix_of(path) in (*PLAIN, *LINES, *CODE)


def read(path: Path, how: How) -> Found:
    """The documents at `path`; DataError naming the file, and the byte and line, that cannot be read."""
    try:
        if path.is_dir():
            found = _folder(path, how)
        elif how.text is not None and suffix_of(path) not in (*PLAIN, *LINES, *CODE):
            found = read_column(path, how)
        elif suffix_of(path) in LINES:
            found = read_json_lines(path, how)
        else:
            found = _file(path, how)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    if not any(document.strip() for document in found.documents):
        raise DataError(f"{path} holds no text; some 20,000 characters were wanted.")
    return found


def parted(text: str, into: str, where: object) -> list[str]:
    """The documents of one text: between separators, its lines, its paragraphs, or one. TooLarge, naming `where`, where they
    are more than fit into memory.
    """
    sign = {"lines": "\n", "paragraphs": "\n\n"}.get(into, SEPARATOR)
    afford(where, text, text.count(sign))
    if into in ("auto", "file") and SEPARATOR in text:
        if into == "file":
            return [text]
        parts = re.split(rf"(?:^|\n){re.escape(SEPARATOR)}[ \t]*(?:\n|$)", text.removesuffix("\n"))
        return [part for part in parts if part.strip()]
    if into == "lines":
        return [line for line in text.split("\n") if line.strip()]
    if into == "paragraphs":
        return [part.strip("\n") for part in re.split(r"\n[ \t]*\n", text) if part.strip()]
    return [text] if text else []


def _file(path: Path, how: How) -> Found:
    blocks, encoding, notes, question = decoded_blocks(path, how)
    texts, ends = zip(*(lined(text) for _, text in blocks), strict=True)
    documents = [document for text in texts for document in parted(text, how.documents, path)]
    alone = how.documents in ("auto", "file") and len(documents) <= len(texts)
    names = [path.name] * len(documents) if alone else [f"{path.name}:{k + 1}" for k in range(len(documents))]
    return Found(
        documents,
        names,
        newline=ends[0],
        encodings={encoding: 1},
        notes=notes,
        pieces=len(texts) > 1 and alone,
        suffix=".txt",
        question=question,
    )


def _texts_in(path: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in SKIPPED)
        for name in sorted(files):
            file = Path(folder, name)
            if not name.startswith(".") and suffix_of(file) in (*PLAIN, *CODE):
                yield file


def mostly_code(path: Path) -> bool:
    """Whether a folder holds more files of source code than pictures, sounds, tables and other files that it may show."""
    kinds = Counter[bool]()
    for _, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in SKIPPED)
        kinds.update(suffix_of(Path(name)) in CODE for name in files if not name.startswith("."))
        if sum(kinds.values()) > 20_000:
            break
    return kinds[True] > kinds[False]


def _unpacked(file: Path) -> int:
    """Bytes of a file of text; of a packed one as its last four bytes say, which may lie."""
    size = file.stat().st_size
    if not file.name.lower().endswith(".gz") or size < 18:  # the least that gzip writes
        return size
    with file.open("rb") as packed:
        packed.seek(-4, os.SEEK_END)
        return int.from_bytes(packed.read(4), "little")


def _folder(path: Path, how: How) -> Found:
    """Each file a document, each by its own encoding; sub-folders are classes where every file lies in one."""
    files = [file for file in _texts_in(path) if file.is_file()]
    sizes = np.array([_unpacked(file) for file in files])
    notes: tuple[str, ...] = ()
    if sizes.sum() > how.limit:
        kept = spread(len(files), max(1, int(len(files) * how.limit / sizes.sum())))
        notes = (f"{len(kept):,} of {len(files):,} files, spread evenly, were taken (--set data.limit=...).",)
        files = [files[i] for i in kept]
    documents: list[str] = []
    names: list[str] = []
    skipped: list[tuple[str, str]] = []
    written, ends = Counter[str](), Counter[str]()
    empty, question, taken = 0, "", 0
    for file in files:
        name = file.relative_to(path).as_posix().encode("utf-8", "replace").decode()
        try:
            blocks, encoding, more, open_ = decoded_blocks(file, how) if file.stat().st_size else ([], "", (), "")
        except DataError as error:
            skipped.append((name, str(error)))
            continue
        text, newline = lined("".join(text for _, text in blocks))
        taken += len(text)
        afford(path, taken, len(documents))
        parts = [part.rstrip("\n") for part in parted(text, how.documents, file) if part.strip()]
        if not parts:
            empty += 1
            continue
        written[encoding] += 1
        ends[newline] += 1
        notes += more if not (question and open_) else ()  # one question is enough
        question = question if question else open_
        documents += parts
        names += [name] * len(parts)
    if len(skipped) > ASIDE * len(files):
        others = f" (and {len(skipped) - 1} more of {len(files)} files)" if len(skipped) > 1 else ""
        raise DataError(skipped[0][1] + others)
    if empty:
        notes += (f"{empty:,} of {len(files):,} files are empty and were left out.",)
    coded = Counter(suffix_of(Path(name)) for name in names if suffix_of(Path(name)) in CODE)
    if coded:
        listed = ", ".join(f"{count:,} {suffix}" for suffix, count in coded.most_common(6))
        notes += (f"Files of source code are taken as text, each a document ({listed}).",)
    classes = [name.split("/")[0] if "/" in name and not coded else "" for name in names]
    labelled = all(classes) and len(set(classes)) > 1
    return Found(
        documents,
        names,
        classes if labelled else None,
        {"file": np.array([n.rsplit("/", 1)[-1] for n in names])},
        ends.most_common(1)[0][0] if ends else "\n",
        ".jsonl" if labelled else ".txt",
        encodings=written,
        skipped=tuple(skipped),
        notes=notes,
        question=question,
    )
