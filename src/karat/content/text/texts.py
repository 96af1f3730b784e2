"""Text: files, folders, JSON lines and columns become passages, points of `Tokens`, and text again that is always valid."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import torch
from torch import Tensor

from karat.content.codec import SEPARATOR, Block, Contents, Delivery
from karat.content.roles import Continued
from karat.content.text import leaves, reading, scripts
from karat.content.text import tokenizer as wording
from karat.content.text.jsonlines import chat_of
from karat.content.text.passages import Origin, Passages, code_points, cut, seam, spelled
from karat.content.text.survey import MANY, facts_of, groups_of, masked_documents, names_of, origin_of, read_options
from karat.content.text.tokenizer import Letters, Pairs, Wording
from karat.content.visible import column_of
from karat.errors import DataError, FitError
from karat.output import file_names
from karat.space import BEGIN, END, MARKS, MORE, NOTHING, Space, Tokens
from karat.views import TextView, View

AT_ONCE = 256  # passages that are drawn side by side


@dataclass(frozen=True)
class Texts(Continued):
    """Passages of documents. Records are `Passages`.

    length: of a point.   density: tokens per character of the training text.   classes, shares: the labels, and how often
    the training text has each.
    """

    name = "text"
    shows = True
    answers = ("label", "prompt", "sampling", "stop", "characters", "tokens", "on_text")
    thing = "passage"
    sheets = ".html"
    settings = (
        "as",
        "text",
        "label",
        "labels",
        "encoding",
        "documents",
        "tokens",
        "vocab",
        "length",
        "last",
        "limit",
        "mask",
    )

    origin: Origin
    wording: Wording
    length: int
    density: float
    classes: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()

    @classmethod
    def recognises(cls, path: Any, options: Mapping[str, Any] | None = None) -> bool:
        """A text file, JSON lines, a folder of text; whatever else, where options say which column holds the text."""
        if not isinstance(path, Path):
            return False
        return reading.recognises(path) or (options is not None and options.get("text") is not None and path.is_file())

    @classmethod
    def names_text(cls, options: Mapping[str, Any] | None) -> bool:
        """Whether options are those of text: what could be a table is then read as text."""
        given = options or {}
        return given.get("as") == "text" or any(
            name in ("text", "documents", "tokens", "vocab", "length", "mask") for name in given
        )

    @classmethod
    def form(cls, records: Passages) -> tuple[Any, ...]:
        return ("text", len(records), records.origin.most, records.origin.stream)

    @classmethod
    def digests(cls, records: Passages) -> np.ndarray:
        return records.digests()

    @classmethod
    def read(cls, path: Any, options: Mapping[str, Any]) -> Contents:
        """The passages at a path.

        options: text and label (or labels), names of columns or fields; encoding; documents, what is one in a plain file
        (auto: what stands between lines of <|endoftext|>, else all of it; file, lines, paragraphs); tokens (auto,
        characters, bpe); vocab, how many byte pairs; length, codes of a passage; last, the share set aside at the end;
        limit, bytes taken; mask, whether personal data are replaced by typed marks before anything learns.
        """
        how, asked = read_options(options)
        found = reading.read(path, how)
        documents, personal = masked_documents(found, bool(options.get("mask", False)))
        stream = found.pieces or len(documents) == 1
        texts = ["".join(documents)] if stream else documents
        joined = "".join(texts)
        bounds = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
        counts = scripts.occurrences(code_points(joined))
        origin = origin_of(asked, found, counts, stream)
        last = options.get("last")
        each = last if len(texts) < MANY else None
        records, aside = cut(joined, bounds, origin, each)
        if last is not None and aside is None:
            aside = records.documents >= len(texts) - max(1, round(len(texts) * last))
        of = records.documents
        labels, classes = None, tuple[str, ...]()
        if found.labels is not None:
            classes = tuple(sorted(set(found.labels)))
            place = {label: i for i, label in enumerate(classes)}
            labels = np.array([place[label] for label in found.labels], np.int64)[of]
        facets = {} if stream else {name: values[of] for name, values in found.facets.items()}
        return Contents(
            records,
            labels,
            classes,
            names_of(found, records),
            aside,
            groups_of(records, len(texts)),
            facets,
            found.skipped,
            facts_of(found, counts, bounds, records, personal, bool(options.get("mask", False))),
        )

    @classmethod
    def fit(cls, contents: Contents, train: np.ndarray) -> Self:
        """The characters or byte pairs of the training passages, and how long these are in them."""
        records: Passages = contents.records
        origin = records.origin
        known = records[train]
        longest = int(known.sizes.max(initial=1))
        shares: tuple[float, ...] = ()
        if contents.labels is not None:
            share = np.bincount(contents.labels[train], minlength=len(contents.classes)) / max(1, len(train))
            shares = tuple(share.tolist())
        if origin.tokens == Letters.name:
            counts = np.zeros(0x110000, np.int64)
            for _, points in known.blocks():
                counts += scripts.occurrences(points[points >= 0])
            return cls(origin, Letters.learn(counts), min(origin.length, longest + 2), 1.0, contents.classes, shares)
        total = int(known.sizes.sum())
        texts = known[:: -(-total // wording.LEARNED)].strings() if total > wording.LEARNED else known.strings()
        size = sum(len(text.encode()) for text in texts)
        pairs = Pairs.learn(texts, wording.suited(size) if origin.vocabulary is None else origin.vocabulary)
        sample = texts[:: max(1, len(texts) // 20_000)]
        sizes = np.array([len(codes) for codes in pairs.codes(sample)] or [1])
        longest = min(int(sizes.max()), int(1.3 * np.quantile(sizes, 0.998)))  # of a few odd ones only the beginning
        length = min(longest + 2, 2 * origin.length)
        density = float(sizes.sum() / max(1, sum(map(len, sample))))
        return cls(origin, pairs, -(-length // 8) * 8, density, contents.classes, shares)

    def traits(self) -> dict[str, Any]:
        """Length of a point, what its codes are, how many, and how many stand for a character."""
        return {
            "length": self.length,
            "tokens": self.wording.name,
            "vocabulary": self.wording.vocab - MARKS,
            "tokens_per_character": self.density,
        }

    def phrase(self) -> str:
        size = self.wording.vocab - MARKS
        words = f"({size - 1} different characters)" if isinstance(self.wording, Letters) else f"in {size:,} byte pairs"
        return f"passages of up to {min(self.origin.most, self.longest):,} characters {words}"

    @property
    def longest(self) -> int:
        """The most characters that a passage is drawn with."""
        return min(self.origin.most, self.length - 1) if isinstance(self.wording, Letters) else self.origin.most

    @property
    def wholes(self) -> tuple[str, ...]:
        """The source's own form first. Without a suffix, a folder with a file of each document."""
        return tuple(dict.fromkeys((self.origin.suffix, ".txt", ".md", ".jsonl", ".csv")))

    @property
    def at_once(self) -> int:
        return AT_ONCE

    @property
    def label_shares(self) -> tuple[float, ...] | None:
        return self.shares if self.shares else None

    @property
    def spelling(self) -> tuple[bytes, ...]:
        return self.wording.spelling

    def of_texts(self, texts: Sequence[str], ended: np.ndarray) -> Passages:
        return Passages.of(list(texts), self.origin, None, ended)

    def place_of(self, goal: Path, chosen: bool) -> tuple[Path, str | None]:
        suffix = next((s for s in self.wholes if goal.name.endswith(s)), None)
        if suffix is None and not chosen:
            return goal / f"made{self.wholes[0]}", self.wholes[0]
        if suffix is None and goal.suffix and not goal.is_dir():
            raise FitError(f"{goal}: text is written as {', '.join(self.wholes)}, or into a folder.")
        if suffix is None and goal.exists() and not goal.is_dir():
            raise FitError(f"{goal} is a file; --out wants a folder, or a name ending in {', '.join(self.wholes)}.")
        return goal, suffix

    def in_python(self, blocks: Sequence[Passages]) -> list[str]:
        """A string of each passage."""
        return [text for records in blocks for text in records]

    def stream(self, blocks: Iterator[Block], suffix: str, file: IO[bytes], how: Delivery) -> None:
        for i, block in enumerate(blocks):
            labels = None if block.labels is None else [self.classes[k] for k in block.labels.tolist()]
            file.write(self.packed(block.records, suffix, labels, i == 0, how.visible))

    def leaves(self, blocks: Iterator[Block], how: Delivery, has: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        """A file of each passage, in one sub-folder per class where there are any."""
        at, digits = 0, max(6, len(str(how.n - 1)))
        folders = file_names(self.classes)
        for block in blocks:
            labels = None if block.labels is None else block.labels.tolist()
            for i in range(len(block)):
                name = f"{at:0{digits}d}.txt"
                within = name if labels is None else f"{folders[self.classes[labels[i]]]}/{name}"
                yield within, self.leaf(block.records[i : i + 1], how.visible)
                at += 1

    @cached_property
    def _space(self) -> Tokens:
        return Tokens(self.length, self.wording.vocab)

    @property
    def spaces(self) -> tuple[Tokens, ...]:
        return (self._space,)

    def encode(self, records: Passages, space: Space | None = None) -> Tensor:
        """Long `[n, length]`; what is too long is cut."""
        self._check(space)
        out = np.full((len(records), self.length), NOTHING, np.int64)
        out[:, 0] = np.where(records.begins, BEGIN, MORE)
        room = self.length - 1
        if isinstance(self.wording, Letters):
            for rows, points in records.blocks():
                codes = np.where(points >= 0, self.wording.codes(np.maximum(points, 0)), NOTHING)[:, :room]
                out[rows, 1 : 1 + codes.shape[1]] = codes
            sizes = records.sizes
        else:
            sizes = np.zeros(len(records), np.int64)
            for start in range(0, len(records), 4096):
                for i, codes in enumerate(self.wording.codes(records[start : start + 4096].strings()), start):
                    sizes[i] = len(codes)
                    out[i, 1 : 1 + min(len(codes), room)] = codes[:room]
        closed = np.flatnonzero(records.ends & (sizes < room))
        out[closed, 1 + sizes[closed]] = END
        return torch.from_numpy(out)

    def decode(self, points: Tensor, space: Space | None = None, rng: np.random.Generator | None = None) -> Passages:
        """Passages for any codes: always valid text, no longer than real ones.

        What was drawn to its full length without END is cut where a real passage would have been; halves of characters, marks
        in the wrong place and the code for unknown characters are left out.
        """
        self._check(space)
        texts, ends = [], []
        codes = points.detach().cpu().long().numpy()
        for row in codes:
            body = row[1:]
            stop = np.flatnonzero(body == END)
            ended = bool(len(stop))
            full = not ended and bool(row[-1] >= MARKS)
            text = self.read_codes(body[: stop[0]] if ended else body)
            if full or len(text) >= self.longest:
                text, ended = text[: seam(text, 0, min(len(text), self.longest))], False
            texts.append(text)
            ends.append(ended)
        if isinstance(self.wording, Pairs):
            self._fit_in(self.wording, texts, ends)
        begins = codes[:, 0] != MORE if len(codes) else np.zeros(0, bool)
        return Passages.of(texts, self.origin, begins, np.array(ends, bool))

    def _fit_in(self, pairs: Pairs, texts: list[str], ends: list[bool]) -> None:
        """Shortens, in place, what was drawn in fewer tokens than it has by its own pairs, and so would not go in again; and
        what fills a point to its last place, which is read as cut there, unless it ends where real passages are cut.
        """
        room = self.length - 1

        def fits(i: int, size: int) -> bool:
            whole = size < room or seam(texts[i], 0, len(texts[i])) == len(texts[i])
            return size <= room - ends[i] and whole

        rows = list(range(len(texts)))
        for wanted in (room, room * 3 // 4, room // 2, room // 4):
            found = pairs.codes([texts[i] for i in rows])
            over = [(i, codes) for i, codes in zip(rows, found, strict=True) if not fits(i, len(codes))]
            rows = [i for i, _ in over]
            for i, codes in over:
                text = self.read_codes(codes[:wanted])
                texts[i], ends[i] = text[: seam(text, 0, len(text))], False

    def read_codes(self, codes: np.ndarray) -> str:
        """The text of codes [k], whatever they are."""
        spelling = self.wording.spelling
        kept = codes[(codes >= MARKS) & (codes < len(spelling))]
        return b"".join([spelling[code] for code in kept.tolist()]).decode("utf-8", "ignore")

    def _check(self, space: Space | None) -> None:
        if space is not None and space != self._space:
            raise FitError(f"This text can become {self._space}; {space} was asked for.")

    def view(self, records: Passages, rows: np.ndarray | None = None) -> TextView:
        return TextView(tuple((records if rows is None else records[rows]).strings()))

    def unview(self, view: View) -> Passages:
        """Whole documents, or passages of a stream, of these texts; halves of characters are left out."""
        assert isinstance(view, TextView)
        return Passages.of([text.encode("utf-8", "ignore").decode() for text in view.texts], self.origin)

    def alike(self) -> dict[str, Any]:
        """How others' text is read, so that its passages are cut as ours are."""
        text, label = self.origin.columns
        named = {"text": text, **({"label": label} if self.classes else {})} if self.origin.suffix == ".csv" else {}
        return {"tokens": self.origin.tokens, "length": self.origin.length, **named}

    def conform(self, records: Passages) -> Passages:
        return replace(records, origin=self.origin)

    def streams(self, contents: Contents, rows: np.ndarray) -> list[tuple[Tensor, int, int]]:
        """Codes, characters and UTF-8 bytes of what stands on end at the sorted `rows`; END where a document does."""
        records = contents.records[rows]
        apart = np.flatnonzero((records.stops[:-1] != records.starts[1:]) | (np.diff(records.documents) != 0)) + 1
        firsts = [0, *apart.tolist()] if len(records) else []
        out = []
        for a, b in zip(firsts, [*firsts[1:], len(records)], strict=True):
            points = records.points[records.starts[a] : records.stops[b - 1]]
            text = spelled(points)
            codes = self._codes(text)
            ends = [END] if records.ends[b - 1] else []
            first = BEGIN if records.begins[a] else MORE
            whole = np.concatenate([[first], codes, ends]).astype(np.int64)
            out.append((torch.from_numpy(whole), len(points), len(text.encode())))
        return out

    def _codes(self, text: str) -> np.ndarray:
        return (
            self.wording.codes(code_points(text))
            if isinstance(self.wording, Letters)
            else self.wording.codes([text])[0]
        )

    def opening(self, prompt: str | None) -> Tensor:
        """BEGIN and the codes of `prompt`; DataError where it holds half of a character."""
        text = "" if prompt is None else prompt.replace("\r\n", "\n").replace("\r", "\n")
        try:
            codes = self._codes(text)
        except UnicodeEncodeError:
            raise DataError(f"the prompt {text[:40]!r} is no valid text: it holds half of a character.") from None
        return torch.from_numpy(np.concatenate([[BEGIN], codes]).astype(np.int64))

    def leaf(self, record: Passages, visible: str = "") -> bytes:
        """The file of one passage.   visible: what its first line says of it."""
        (text,) = record.strings()
        return self._written(self._ended(self._told(visible) + text.removesuffix("\n") + "\n"))

    def _told(self, visible: str) -> str:
        """The line that says what a text is; FitError where its encoding has no characters for that."""
        try:
            visible.encode(self.origin.encoding)
        except UnicodeEncodeError:
            raise FitError(f"{self.origin.encoding} has no characters for {visible!r}; leave --visible out.") from None
        return f"{visible}\n\n" if visible else ""

    def _written(self, text: str, begins: bool = True) -> bytes:
        """The text in the encoding of the source, with a mark where that needs one; what it has no character for is ?."""
        mark = "\ufeff" if begins and self.origin.encoding.startswith(("utf-16", "utf-32")) else ""
        return (mark + text).encode(self.origin.encoding, "replace")

    def _ended(self, text: str) -> str:
        return text if self.origin.newline == "\n" else text.replace("\n", self.origin.newline)

    def pack(self, records: Passages, suffix: str) -> bytes:
        return self.packed(records, suffix, None)

    def packed(
        self, records: Passages, suffix: str, labels: Sequence[str] | None, begins: bool = True, visible: str = ""
    ) -> bytes:
        """All passages as one file, with their labels [n] where there are any; where it has not begun yet, or more of it.

        .txt, .md: lines of <|endoftext|> part them, as language models have it, and as `read` parts them again (labels are not
        in it).   .jsonl: an object to each.   .csv: a row to each.   visible: what the first line says of all, or a field of each.
        """
        texts = records.strings()
        told = self._told(visible)
        if suffix in (".txt", ".md"):
            joined = f"{SEPARATOR}\n".join(one.removesuffix("\n") + "\n" for one in texts)
            joined = told + joined if begins else f"{SEPARATOR}\n{joined}"
            return self._written(self._ended(joined), begins)
        columns: dict[str, Sequence[Any]] = {self.origin.columns[0]: texts}
        if labels is not None:
            columns[self.origin.columns[1]] = labels
        if visible:
            columns[column_of(visible)] = [visible] * len(texts)
        if suffix == ".jsonl":
            if self.origin.chat:
                columns[self.origin.columns[0]] = [chat_of(one) for one in texts]
            rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
            return self._written("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), begins)
        if suffix != ".csv":
            raise FitError(f"text is written as {', '.join(self.wholes)}; {suffix} was asked for.")
        out = io.StringIO(newline="")
        table = csv.writer(out, lineterminator="\n")
        if begins:
            table.writerow(columns)
        table.writerows(zip(*columns.values(), strict=True))
        return self._written(out.getvalue(), begins)

    def sheet(self, records: Passages, columns: int) -> bytes:
        """Passages to read, as HTML: up to `leaves.SHOWN`."""
        return leaves.sheet(records[: leaves.SHOWN].strings())

    def beside(self, made: Passages, real: Passages, captions: Sequence[str]) -> bytes:
        """Made passages [n] beside real ones [n], the longest run of characters that they share marked in both."""
        return leaves.beside(made.strings(), real.strings(), captions)

    def state(self) -> dict[str, Any]:
        return {
            "origin": asdict(self.origin),
            "wording": self.wording.state(),
            "length": self.length,
            "density": self.density,
            "classes": list(self.classes),
            "shares": list(self.shares),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        origin = {**state["origin"], "columns": tuple(state["origin"]["columns"])}
        return cls(
            Origin(**origin),
            wording.restore(state["wording"]),
            int(state["length"]),
            float(state["density"]),
            tuple(state["classes"]),
            tuple(state["shares"]),
        )
