"""Text as files hold it: plain files and folders of them, JSON lines, and a column of a table; encodings found, bad bytes named."""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from karat.content import encodings
from karat.content.codec import SEPARATOR
from karat.content.table.io import sources
from karat.content.table.io.sampling import spread
from karat.content.table.rules.expressions import unknown
from karat.errors import DataError

PLAIN = (".txt", ".text", ".md", ".log", ".rst")
# fmt: off
CODE = (
    ".py", ".pyi", ".js", ".jsx", ".mjs", ".ts", ".tsx", ".java", ".kt", ".kts", ".scala", ".groovy", ".c", ".h",
    ".cc", ".cpp", ".cxx", ".hpp", ".hh", ".cs", ".go", ".rs", ".swift", ".m", ".mm", ".rb", ".php", ".pl",
    ".pm", ".lua", ".r", ".jl", ".hs", ".ml", ".mli", ".clj", ".ex", ".exs", ".erl", ".lisp", ".el", ".scm",
    ".f90", ".f95", ".pas", ".vb", ".asm", ".sh", ".bash", ".zsh", ".ps1", ".bat", ".sql", ".tex", ".bib",
    ".css", ".scss", ".vue", ".svelte", ".proto", ".cmake", ".gradle", ".lean", ".v", ".sv", ".vhd", ".zig",
    ".nim", ".dart", ".sol",
)
# fmt: on
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
LINES = (".jsonl", ".ndjson")
LIMIT = 64 * 2**20  # bytes of text that are taken
BLOCK = 2**20
ASIDE = 0.01  # share of files that may be unreadable
_TEXT = (
    "text",
    "content",
    "body",
    "article",
    "document",
    "passage",
    "story",
    "completion",
    "output",
    "message",
    "review",
    "comment",
    "sentence",
    "description",
)
_LABEL = ("label", "class", "category")
CHATS = ("messages", "conversations", "conversation", "chat", "dialog", "dialogue")
ROLE = re.compile(r"(?m)^<\|([^|\n]{1,40})\|>\n")
_ODD = re.compile(r"[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_MAGIC = {
    b"\x89PNG": "a PNG picture", b"\xff\xd8\xff": "a JPEG picture", b"PK\x03\x04": "a zip (or an Office document)",
    b"%PDF": "a PDF", b"\x7fELF": "a program", b"GIF8": "a GIF picture", b"RIFF": "a sound or picture in RIFF",
    b"SQLite format 3": "a database", b"\xfd7zXZ": "an xz archive", b"BZh": "a bzip2 archive", b"\x1f\x8b": "gzip",
}  # fmt: skip
_BOMS = (
    (b"\xff\xfe\x00\x00", "utf-32-le"), (b"\x00\x00\xfe\xff", "utf-32-be"), (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"),
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """Documents [n] as they were found, line ends as \\n, none of them empty.

    names: where each came from.   labels: of each, or None.   facets: what else is known of each, by its name.
    columns: what the text and its label are called.   whole: whether this is all there is; else a part spread over it.
    pieces: of one text of which only stretches were taken, these in place of documents.   chat: see `chat_of`.
    doubt: what a person must say before anything learns from it, "" where nothing is open.
    """

    documents: list[str]
    names: list[str]
    labels: list[str] | None = None
    facets: Mapping[str, np.ndarray] = field(default_factory=dict)
    newline: str = "\n"
    suffix: str = ".txt"
    columns: tuple[str, str] = ("text", "label")
    encodings: Mapping[str, int] = field(default_factory=dict)
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    pieces: bool = False
    doubt: str = ""
    chat: bool = False


@dataclass(frozen=True)
class How:
    """What a person said of the reading: columns of text and label, the encoding, what a document is, bytes at most."""

    text: str | None = None
    label: str | None = None
    encoding: str | None = None
    documents: str = "auto"
    limit: int = LIMIT


def suffix_of(path: Path) -> str:
    """The suffix in small letters, without .gz."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


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
            found = _column(path, how)
        elif suffix_of(path) in LINES:
            found = _json_lines(path, how)
        else:
            found = _file(path, how)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    if not any(document.strip() for document in found.documents):
        raise DataError(f"{path} holds no text; some 20,000 characters were wanted.")
    return found


def decoded(blob: bytes, place: str, encoding: str | None, offset: int = 0) -> tuple[str, str, str]:
    """The text of `blob`, the encoding (as told, by its mark, UTF-8, or what makes plausible text of it), and what to ask a
    person where two are plausible, else "".

    offset: where in the file `blob` begins, for messages. Line ends stay as they are.
    """
    for mark, name in _BOMS:
        if blob.startswith(mark) and encoding in (None, name):
            return _strict(blob[len(mark) :], place, name, offset + len(mark)), name, ""
    if encoding is not None:
        return _strict(blob, place, encodings.named(encoding), offset), encoding, ""
    for magic, what in _MAGIC.items():
        if blob.startswith(magic):
            raise DataError(f"{place} is {what}, by its first bytes, and no text; give the text itself.")
    if b"\0" in blob[:BLOCK]:
        head = blob[:BLOCK]
        for name, empty, filled in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
            ends = head.count(b"\n\0") if name == "utf-16-le" else head.count(b"\0\n")  # wide characters have no zeros
            if empty.count(0) > min(0.4 * len(empty), ends + 1) and filled.count(0) < 0.2 * empty.count(0):
                return _strict(blob, place, name, offset), name, ""
    doubt = ""
    try:
        text = blob.decode("utf-8")
        taken = "utf-8"
        shifted = encodings.escaped(blob) if b"\x1b$" in blob else None
        if shifted is not None:
            text, taken = _strict(blob, place, shifted, offset), shifted
    except UnicodeDecodeError as error:
        start = max(0, blob.rfind(b"\n", 0, error.start) + 1, error.start - BLOCK // 2)
        sample = blob[start : start + BLOCK]
        judged = encodings.judge(sample)
        guess = judged.encoding
        if guess is None or _reach(blob, guess) < error.start:  # a part of it alone is written so
            byte, line = error.start, blob.count(b"\n", 0, error.start) + 1
            raise DataError(
                f"{place} is not UTF-8 at byte offset {offset + byte:,}{_line(line, offset)} (0x{blob[byte]:02x}), and no other "
                "encoding makes text of all of it. Mend it, or name the encoding, as in --set data.encoding=gb18030."
            ) from None
        text, taken, doubt = _strict(blob, place, guess, offset), guess, judged.doubt(sample, place)
    _refuse_binary(text, place, taken, offset)
    return text, taken, doubt


def _strict(blob: bytes, place: str, encoding: str, offset: int) -> str:
    try:
        return blob.decode(encoding)
    except UnicodeError as error:
        byte = getattr(error, "start", 0)
        line = _line(blob.count(b"\n", 0, byte) + 1, offset)
        raise DataError(
            f"{place} is not {encoding} at byte offset {offset + byte:,}{line} (0x{blob[byte]:02x}). Mend the file, or name "
            "another encoding with --set data.encoding=..."
        ) from None


def _reach(blob: bytes, encoding: str) -> int:
    """How many bytes can be read so."""
    try:
        blob.decode(encoding)
    except UnicodeDecodeError as error:
        return error.start
    return len(blob)


def _line(number: int, offset: int) -> str:
    return f", line {number:,}" if offset <= 4 else ""  # the lines before a stretch from the middle were not counted


def _refuse_binary(text: str, place: str, encoding: str, offset: int) -> None:
    head = text[:BLOCK]
    at = text.find("\0")
    odd = _ODD.search(head) if at < 0 else None
    if at < 0 and (odd is None or len(_ODD.findall(head)) <= max(2, 0.001 * len(head))):
        return
    at = at if odd is None else odd.start()
    byte, line = len(text[:at].encode(encoding)), text.count("\n", 0, at) + 1
    raise DataError(
        f"{place} holds the byte 0x{ord(text[at]):02x} at offset {offset + byte:,}{_line(line, offset)}: it is no text, or "
        "UTF-16 without a mark (then --set data.encoding=utf-16-le)."
    )


def _blocks(path: Path, limit: int) -> tuple[list[tuple[int, bytes]], int]:
    """Stretches of a file with their offsets, whole lines where lines are short, and how many bytes the file has.

    All of it as one, where it has no more than `limit`; else `limit` bytes of it, evenly spread. What is packed is unpacked
    only as far as it is taken.
    """
    if path.name.lower().endswith(".gz"):
        try:
            with gzip.open(path) as file:
                blob = file.read(limit + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path} is damaged: {error}. Pack it again.") from None
        if len(blob) <= limit:
            return [(0, blob)], len(blob)
        return [(0, blob[: max(blob.rfind(b"\n", 0, limit), limit // 2) + 1])], len(blob)
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= limit:
            return [(0, file.read())], size
        count = max(1, limit // BLOCK)
        out = []
        for k in range(count):
            start = (size - limit // count) * k // max(1, count - 1)
            file.seek(start)
            blob = file.read(limit // count)
            first = 0 if start == 0 else blob.find(b"\n") + 1
            stop = blob.rfind(b"\n") + 1
            if stop <= first:  # no line ends here: from one character to another, as UTF-8 marks them
                first = next((i for i in range(4) if blob[i] & 0xC0 != 0x80), 0) if start else 0
                stop = next((i for i in range(len(blob) - 1, len(blob) - 5, -1) if blob[i] & 0xC0 != 0x80), len(blob))
            out.append((start + first, blob[first:stop]))
    return out, size


def _said(taken: int, size: int, path: Path) -> tuple[str, ...]:
    if path.name.lower().endswith(".gz"):
        return (f"The first {taken:,} bytes of {path.name}, unpacked, were taken (--set data.limit=...).",)
    return (
        f"{taken:,} of the {size:,} bytes of {path.name}, in stretches spread evenly over it, were taken (--set data.limit=...).",
    )


def _decoded_blocks(path: Path, how: How) -> tuple[list[tuple[int, str]], str, tuple[str, ...], str]:
    """Decoded stretches with their offsets, the encoding, a note where they are not all, and a doubt of the encoding."""
    blocks, size = _blocks(path, how.limit)
    if not size:
        raise DataError(f"{path} is empty; some 20,000 characters of text were wanted.")
    encoding, doubt = how.encoding, ""
    if len(blocks) > 1 and encoding is None:
        _, encoding, doubt = decoded(blocks[0][1], str(path), None)
        if encoding.startswith("utf-16") or encoding.startswith("utf-32"):  # where a stretch begins cannot be told
            with path.open("rb") as file:
                blocks = [(0, file.read(how.limit // 4 * 4))]
    out = []
    for offset, blob in blocks:
        text, encoding, open_ = decoded(blob, str(path), encoding, offset)
        doubt = doubt if doubt else open_
        out.append((offset, text))
    taken = sum(len(blob) for _, blob in blocks)
    return out, str(encoding), (*(_said(taken, size, path) if taken < size else ()), *filter(None, [doubt])), doubt


def _lined(text: str) -> tuple[str, str]:
    """The text with \\n at line ends, and what most of them were."""
    if "\r" not in text:
        return text, "\n"
    pairs = text.count("\r\n")
    newline = "\r\n" if 2 * pairs > text.count("\n") else "\n"
    return text.replace("\r\n", "\n").replace("\r", "\n"), newline


def parted(text: str, into: str) -> list[str]:
    """The documents of one text: between separators, its lines, its paragraphs, or one."""
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
    blocks, encoding, notes, doubt = _decoded_blocks(path, how)
    texts, ends = zip(*(_lined(text) for _, text in blocks), strict=True)
    documents = [document for text in texts for document in parted(text, how.documents)]
    alone = how.documents in ("auto", "file") and len(documents) <= len(texts)
    names = [path.name] * len(documents) if alone else [f"{path.name}:{k + 1}" for k in range(len(documents))]
    return Found(
        documents, names, newline=ends[0], encodings={encoding: 1}, notes=notes,
        pieces=len(texts) > 1 and alone, suffix=".txt", doubt=doubt,
    )  # fmt: skip


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


def _folder(path: Path, how: How) -> Found:
    """Each file a document, each by its own encoding; sub-folders are classes where every file lies in one."""
    files = [file for file in _texts_in(path) if file.is_file()]
    sizes = np.array([file.stat().st_size for file in files])
    notes: tuple[str, ...] = ()
    if sizes.sum() > how.limit:
        kept = spread(len(files), max(1, int(len(files) * how.limit / sizes.sum())))
        notes = (f"{len(kept):,} of {len(files):,} files, spread evenly, were taken (--set data.limit=...).",)
        files = [files[i] for i in kept]
    documents, names = [], []
    skipped: list[tuple[str, str]] = []
    written, ends = Counter[str](), Counter[str]()
    empty, doubt = 0, ""
    for file in files:
        name = file.relative_to(path).as_posix().encode("utf-8", "replace").decode()
        try:
            blocks, encoding, more, open_ = _decoded_blocks(file, how) if file.stat().st_size else ([], "", (), "")
        except DataError as error:
            skipped.append((name, str(error)))
            continue
        text, newline = _lined("".join(text for _, text in blocks))
        parts = [part.rstrip("\n") for part in parted(text, how.documents) if part.strip()]
        if not parts:
            empty += 1
            continue
        written[encoding] += 1
        ends[newline] += 1
        notes += more if not (doubt and open_) else ()  # one question is enough
        doubt = doubt if doubt else open_
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
        documents, names, classes if labelled else None, {"file": np.array([n.rsplit("/", 1)[-1] for n in names])},
        ends.most_common(1)[0][0] if ends else "\n", ".jsonl" if labelled else ".txt", encodings=written,
        skipped=tuple(skipped), notes=notes, doubt=doubt,
    )  # fmt: skip


def _json_lines(path: Path, how: How) -> Found:
    blocks, encoding, notes, doubt = _decoded_blocks(path, how)
    rows: list[dict[str, Any]] = []
    places: list[int] = []
    for offset, text in blocks:
        for number, line in enumerate(text.split("\n"), 1):
            if not line or line.isspace():
                continue
            where = f"{path}, line {number:,}" if offset <= 4 else f"{path}, behind byte offset {offset:,}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                said = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                at = f" at its character {error.pos + 1:,}" if isinstance(error, json.JSONDecodeError) else ""
                raise DataError(f"{where} is no JSON{at}: {said}. One object to a line was wanted.") from None
            if isinstance(row, str):
                row = {"text": row}
            if not isinstance(row, dict):
                kind = type(row).__name__
                raise DataError(
                    f'{where} holds JSON of type {kind}; one JSON object to a line was wanted, as {{"text": "..."}}.'
                )
            rows.append(row)
            places.append(number)
    if not rows:
        raise DataError(f"{path} holds no lines of JSON; some hundreds were wanted.")
    fields = list(dict.fromkeys(key for row in rows[:1000] for key in row))
    chat = next(
        (name for name in CHATS if name in fields and (how.text in (None, name)) and _is_chat(rows[0].get(name))), None
    )
    if chat is not None:
        for row, number in zip(rows, places, strict=True):
            row[chat] = _chat_text(row.get(chat), f"{path}, line {number:,}")
        how = replace(how, text=chat)
        said = f'Each conversation in "{chat}" is a document, its messages behind lines of <|role|>.'
        notes = (*notes, said)
    text = _text_field(path, rows, fields) if how.text is None else _named(path, how.text, fields)
    label = how.label if how.label is None else _named(path, how.label, fields)
    if label is None:
        label = next((name for name in _LABEL if name in fields and _few([row.get(name) for row in rows])), None)
    texts: list[str | None] = []
    for row, number in zip(rows, places, strict=True):
        value = row.get(text)
        if value is not None and not isinstance(value, str):
            raise DataError(
                f"{path}, line {number:,}: {text!r} is of type {type(value).__name__}; text was wanted (--set data.text=FIELD)."
            )
        texts.append(value)
    columns = {name: [row.get(name) for row in rows] for name in fields if name not in (text, label)}
    names = [f"{path.name}:{number}" for number in places]
    found = _rows(texts, [row.get(label) for row in rows] if label else None, columns, names, (text, label), ".jsonl",
                  {encoding: 1}, notes, doubt)  # fmt: skip
    return replace(found, chat=chat is not None)


def _is_chat(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(m, dict) and _role(m) is not None for m in value)


def _role(message: Mapping[str, Any]) -> str | None:
    """Who speaks, as OpenAI's or ShareGPT's files call it."""
    for who, what in (("role", "content"), ("from", "value")):
        if isinstance(message.get(who), str) and what in message:
            return str(message[who])
    return None


def _chat_text(value: object, where: str) -> str | None:
    """A conversation as one text; None for one without messages, DataError for what is none."""
    if value is None or value == []:
        return None
    if not _is_chat(value):
        raise DataError(
            f'{where} holds no conversation; a list of {{"role": "...", "content": "..."}} was wanted, as in the first.'
        )
    assert isinstance(value, list)
    parts = []
    for message in value:
        content = message["content"] if "content" in message else message["value"]
        if isinstance(content, list):  # of parts, of which the texts are text
            content = "\n".join(
                str(p["text"]) for p in content if isinstance(p, dict) and isinstance(p.get("text"), str)
            )
        if content is not None and not isinstance(content, str):
            raise DataError(
                f"{where} holds a message whose content is of type {type(content).__name__}; text was wanted."
            )
        if content:
            parts.append(f"<|{_role(message)}|>\n{content.strip(chr(10))}\n")
    return "".join(parts)


def chat_of(text: str) -> list[dict[str, str]]:
    """The messages of a conversation that was drawn as text: what stands behind a line of <|role|> is of that role."""
    pieces = ROLE.split(text)
    first = [{"role": "user", "content": pieces[0].strip("\n")}] if pieces[0].strip() else []
    return first + [
        {"role": role, "content": content.strip("\n")} for role, content in zip(pieces[1::2], pieces[2::2], strict=True)
    ]


def _column(path: Path, how: How) -> Found:
    """A column of a table, and perhaps another as its class."""
    if not sources.recognises(path):
        raise DataError(
            f"{path} is no table; data.text={how.text} names a column of .csv, .tsv or .parquet, or a field of .jsonl."
        )
    options = {} if how.encoding is None else {"encoding": how.encoding}
    raw = sources.open_table(path, options)
    fields = list(raw.cells.column_names)
    text = _named(path, str(how.text), fields)
    label = None if how.label is None else _named(path, how.label, fields)
    held = {name: _words(raw.cells[name]) for name in fields[:64] if _wordy(raw.cells[name]) or name in (text, label)}
    for name in (text, label):
        if name is not None and name not in held:
            held[name] = _words(raw.cells[name])
    texts = held.pop(text)
    labels = held.pop(label) if label is not None else None
    size = sum(len(value) for value in texts if value is not None)
    notes = list(raw.notes)
    if size > how.limit:
        kept = spread(len(texts), int(len(texts) * how.limit / size)).tolist()
        notes.append(f"{len(kept):,} of {len(texts):,} rows, spread evenly, were taken (--set data.limit=...).")
        texts = [texts[i] for i in kept]
        labels = None if labels is None else [labels[i] for i in kept]
        held = {name: [values[i] for i in kept] for name, values in held.items()}
    names = [f"{path.name}: row {k + 1}" for k in range(len(texts))]
    written = {} if raw.dialect is None else {raw.dialect.encoding: 1}
    return _rows(texts, labels, held, names, (text, label), ".csv", written, tuple(notes), raw.doubt)


def _rows(
    texts: Sequence[str | None], labels: Sequence[Any] | None, columns: Mapping[str, Sequence[Any]], names: Sequence[str],
    called: tuple[str, str | None], suffix: str, written: Mapping[str, int], notes: tuple[str, ...],
    doubt: str,
) -> Found:  # fmt: skip
    """Documents of rows that hold text and, where there are labels, one; what is plain beside them as facets."""
    kept, broken = [], 0
    documents = []
    for i, value in enumerate(texts):
        if value is None or not value.strip() or (labels is not None and labels[i] in (None, "")):
            continue
        clean = _lined(value)[0]
        if not clean.isascii():
            whole = clean.encode("utf-8", "replace" if _paired(clean) else "strict").decode()
            broken += whole != clean
            clean = whole
        kept.append(i)
        documents.append(clean)
    if len(kept) < len(texts):
        without = "text" if labels is None else "text or label"
        notes += (f"{len(texts) - len(kept):,} of {len(texts):,} rows have no {without} and were left out.",)
    if broken:
        notes += (f"{broken:,} rows hold half of a character (a lone surrogate); it is written as ? in them.",)
    plain = {name: values for name, values in columns.items() if _facet(values)}
    facets = {name: np.array([str(plain[name][i]) for i in kept]) for name in list(plain)[:16]}
    said = None if labels is None else [str(labels[i]) for i in kept]
    return Found(
        documents, [names[i] for i in kept], said, facets, suffix=suffix, encodings=written, notes=notes, doubt=doubt,
        columns=(called[0], called[1] if called[1] is not None else "label"),
    )  # fmt: skip


def _paired(text: str) -> bool:
    """Whether it has half of a surrogate pair, which no UTF-8 can hold."""
    return any("\ud800" <= c <= "\udfff" for c in text)


def _words(column: pa.ChunkedArray) -> list[str | None]:
    values = column.to_pylist()
    return [None if value is None else value if isinstance(value, str) else str(value) for value in values]


def _wordy(column: pa.ChunkedArray) -> bool:
    return any(test(column.type) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer))


def _facet(values: Sequence[Any]) -> bool:
    """Whether they are short words or numbers, there in every row."""
    return all(isinstance(v, str | int | float) and len(str(v)) <= 40 for v in values)


def _few(values: Sequence[Any]) -> bool:
    """Whether they are classes: short, and few of them for their number."""
    if not all(isinstance(v, str | int) and len(str(v)) <= 60 for v in values):
        return False
    return 2 <= len(set(values)) <= min(1000, len(values) / 5)


def _named(path: Path, name: str, fields: Sequence[str]) -> str:
    if name not in fields:
        raise DataError(f"{path}: {name!r} was asked for, {unknown(name, list(fields))}")
    return name


def _text_field(path: Path, rows: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> str:
    """The field that holds the text: by its name, or the only one of strings that are long."""
    worded = [name for name in fields if any(isinstance(row.get(name), str) for row in rows[:100])]
    for name in _TEXT:
        if name in worded or (name in fields and not worded):
            return name
    if len(worded) == 1:
        return worded[0]
    sizes = {name: np.mean([len(str(row.get(name, ""))) for row in rows[:1000]]) for name in worded}
    long = [name for name in worded if sizes[name] > 20 and sizes[name] > 3 * max(
        (size for other, size in sizes.items() if other != name), default=0)]  # fmt: skip
    if len(long) == 1:
        return long[0]
    listed = ", ".join(map(repr, fields[:8]))
    raise DataError(f"{path} has the fields {listed}; say which holds the text with --set data.text=FIELD.")
