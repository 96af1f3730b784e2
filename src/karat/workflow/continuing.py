"""Text from a run: passages as the data have them, or what follows a prompt, as long as asked, shown while it comes.

Nothing here knows how a family draws: it is asked for code after code, and their UTF-8 is put together.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from karat.content.text.passages import Passages
from karat.content.text.reading import SEPARATOR
from karat.content.text.texts import Texts
from karat.errors import FitError
from karat.families.generator import PLAIN, Generator, Taste
from karat.output import BESIDE, Output, file_names
from karat.provenance.label import Label
from karat.space import END, NOTHING

AT_ONCE = 256  # passages that are drawn side by side
LONGEST = 10_000_000  # characters

Say = Callable[[str], None]


@dataclass(frozen=True)
class Telling:
    """How text is asked for.

    prompt: what it begins with.   stop: it ends before the first of these.   characters: how many follow the prompt, beyond
    a passage's length too; fewer where a document ends before.   say: where it is shown while it comes, one after another.
    """

    prompt: str | None = None
    taste: Taste = PLAIN
    stop: tuple[str, ...] = ()
    characters: int | None = None
    say: Say | None = None

    def __post_init__(self) -> None:
        if self.characters is not None and not 1 <= self.characters <= LONGEST:
            raise FitError(f"--characters {self.characters}: wanted a number from 1 to {LONGEST:,}.")
        if "" in self.stop:
            raise FitError("--stop '': wanted at least one character.")

    def asked(self) -> dict[str, Any]:
        """What decides the text, as JSON."""
        return {"prompt": self.prompt, **asdict(self.taste), "stop": self.stop, "characters": self.characters,
                "one by one": self.say is not None}  # fmt: skip

    @property
    def plain(self) -> bool:
        """Whether nothing is asked that other kinds of content do not know."""
        return self == Telling()

    @property
    def followed(self) -> bool:
        """Whether the text is followed as it grows, and not drawn as a passage of the data's length."""
        return self.prompt is not None or bool(self.stop) or self.characters is not None or self.say is not None


class Writer:
    """The text of codes that come one by one; it never gives a part of a character, nor of a stop string."""

    def __init__(self, spelling: tuple[bytes, ...], stop: tuple[str, ...], characters: int | None) -> None:
        self._spelling, self._stop, self._room = spelling, stop, characters
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._held = ""  # may be the beginning of a stop string
        self.ended = self.done = False

    def add(self, code: int) -> str:
        """What is certain to be in the text now."""
        if code in (END, NOTHING):
            self.ended = True
            return self.close()
        self._held += self._decoder.decode(self._spelling[code])
        found = [at for at in (self._held.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self._held = self._held[: min(found)]
            return self.close()
        keep = max((_overlap(self._held, stop) for stop in self._stop), default=0)
        out, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return self._give(out)

    def close(self) -> str:
        """What was held back, when no more comes."""
        if self.done:
            return ""
        out = self._give(self._held)
        self.done = True
        return out

    def _give(self, text: str) -> str:
        if self._room is None:
            return text
        text = text[: self._room]
        self._room -= len(text)
        self.done = self.done or not self._room
        return text


def _overlap(text: str, stop: str) -> int:
    """How many of the last characters of `text` begin `stop`."""
    return next((k for k in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:k])), 0)


def tell(model: Generator, codec: Texts, n: int, y: Tensor | None, telling: Telling, seed: int) -> Iterator[Passages]:
    """Blocks of `n` passages of classes `y` [n] where given."""
    rng = torch.Generator(model.device).manual_seed(seed)
    if telling.plain:
        for rows in _turns(n, AT_ONCE):
            points = model.sample(len(rows), _of(y, rows), rng).cpu()
            yield codec.decode(points, model.space, np.random.default_rng(seed))
        return
    if not model.extends:
        raise FitError(
            "this recipe draws passages as a whole; --prompt, --temperature, --top-p, --min-p, --stop, --characters and "
            "--stream are for those that write from left to right: autoregressive, ngram."
        )
    start = codec.opening(telling.prompt).to(model.device)
    if not telling.followed:
        for rows in _turns(n, AT_ONCE):
            points = _points(model, codec, start, len(rows), _of(y, rows), rng, telling.taste)
            yield codec.decode(points, model.space, np.random.default_rng(seed))
        return
    say = _silent if telling.say is None else telling.say
    for rows in _turns(n, AT_ONCE if telling.say is None else 1):
        if rows.start:
            say(f"\n{SEPARATOR}\n")
        pairs = _followed(model, codec, start, len(rows), _of(y, rows), rng, telling, say)
        ends = np.array([ended for _, ended in pairs], bool)
        yield Passages.of([text for text, _ in pairs], codec.origin, None, ends)
    say("\n")


def _silent(text: str) -> None:
    return None


def _turns(n: int, size: int) -> Iterator[range]:
    for first in range(0, n, size):
        yield range(first, min(first + size, n))


def _of(y: Tensor | None, rows: range) -> Tensor | None:
    return None if y is None else y[rows.start : rows.stop]


def _points(
    model: Generator, codec: Texts, start: Tensor, n: int, y: Tensor | None, rng: torch.Generator, taste: Taste
) -> Tensor:
    """Codes [n, length] of whole passages."""
    columns = [start.expand(n, -1)]
    for codes in model.extend(start.expand(n, -1), y, rng, taste, codec.length - len(start)):
        columns.append(codes[:, None])
    drawn = torch.cat(columns, 1).cpu()
    return torch.nn.functional.pad(drawn, (0, codec.length - drawn.shape[1]), value=NOTHING)


def _followed(
    model: Generator, codec: Texts, start: Tensor, n: int, y: Tensor | None, rng: torch.Generator, telling: Telling, say: Say
) -> list[tuple[str, bool]]:  # fmt: skip
    """Text and whether its document ended, of each of `n` rows."""
    prompt = "" if telling.prompt is None else telling.prompt
    writers = [Writer(codec.wording.spelling, telling.stop, telling.characters) for _ in range(n)]
    parts: list[list[str]] = [[prompt] for _ in range(n)]
    say(prompt)
    # A code may be a part of a character, of which UTF-8 has at most four.
    most = codec.length if telling.characters is None else 4 * telling.characters + 16
    for codes in model.extend(start.expand(n, -1), y, rng, telling.taste, most):
        for writer, part, code in zip(writers, parts, codes.tolist(), strict=True):
            if not writer.done and (piece := writer.add(code)):
                part.append(piece)
                say(piece)
        if all(writer.done for writer in writers):
            break
    for writer, part in zip(writers, parts, strict=True):
        if piece := writer.close():
            part.append(piece)
            say(piece)
    return [("".join(part), writer.ended) for writer, part in zip(writers, parts, strict=True)]


def drawn_classes(codec: Texts, n: int, seed: int) -> Tensor:
    """long [n]: classes as often as the training text has them."""
    return torch.from_numpy(np.random.default_rng((seed, 1)).choice(len(codec.shares), n, p=codec.shares))


def put_whole(
    codec: Texts,
    blocks: Iterator[Passages],
    goal: Path,
    suffix: str,
    said: list[str] | None,
    label: Label,
    output: Output,
) -> tuple[Path, ...]:
    """One file at `goal`, and its label of origin beside."""
    at = 0
    with output.labelled(goal, label) as file:
        for records in blocks:
            labels = None if said is None else said[at : at + len(records)]
            file.write(codec.packed(records, suffix, labels, begins=at == 0))
            at += len(records)
    return goal, goal.with_name(goal.name + BESIDE)


def put_folder(
    codec: Texts,
    blocks: Iterator[Passages],
    n: int,
    goal: Path,
    said: list[str] | None,
    label: Label,
    output: Output,
    request: Mapping[str, Any],
) -> tuple[Path, ...]:
    """A file of each of `n` passages in a folder, in one sub-folder per class where there are any."""
    if goal.exists() and not goal.is_dir():
        raise FitError(f"{goal} is a file; --out wants a folder, or a name ending in {', '.join(codec.wholes)}.")
    at, digits = 0, max(6, len(str(n - 1)))
    folders = file_names(codec.classes)
    with output.folder(goal, label, request) as folder:
        for records in blocks:
            for i in range(len(records)):
                name = f"{at:0{digits}d}.txt"
                folder.write(name if said is None else f"{folders[said[at]]}/{name}", codec.leaf(records[i : i + 1]))
                at += 1
    return folder.paths
