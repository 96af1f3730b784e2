"""Text from a run: passages as the data have them, or what follows a prompt, as long as asked, shown while it comes.

Nothing here knows how a family draws: it is asked for code after code, and their UTF-8 is put together.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from karat.content.codec import SEPARATOR, Block, Codec
from karat.content.roles import Continued
from karat.errors import FitError
from karat.families.generator import Generator
from karat.request import Request
from karat.space import END, NOTHING


class Writer:
    """The text of codes that come one by one; it never gives a part of a character, nor of a stop string."""

    def __init__(self, spelling: tuple[bytes, ...], stop: tuple[str, ...], characters: int | None) -> None:
        self._spelling, self._stop, self._left = spelling, stop, characters
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._held = ""  # may be the beginning of a stop string
        self.ended = self.stopped = self.done = False

    def add(self, code: int) -> str:
        """What is certain to be in the text now."""
        if code in (END, NOTHING):
            self.ended = True
            return self.close()
        self._held += self._decoder.decode(self._spelling[code])
        found = [at for at in (self._held.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self._held, self.stopped = self._held[: min(found)], True
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
        if self._left is None:
            return text
        text = text[: self._left]
        self._left -= len(text)
        self.done = self.done or not self._left
        return text


def _overlap(text: str, stop: str) -> int:
    """How many of the last characters of `text` begin `stop`."""
    return next((k for k in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:k])), 0)


def continued(model: Generator, codec: Codec, y: Tensor | None, request: Request) -> Iterator[Block]:
    """Blocks of passages that begin, end and are drawn as `request` says, of classes `y` [n] where given."""
    return _blocks(model, _continuing(model, codec), y, request)


def growing(model: Generator, codec: Codec, y: Tensor | None, request: Request) -> Growing:
    """The text of the one passage that `request` asks for, of class `y` [1] where given, as it comes."""
    rng = torch.Generator(model.device).manual_seed(request.seed)
    return Growing(model, _continuing(model, codec), 1, y, rng, request)


def _continuing(model: Generator, codec: Codec) -> Continued:
    if not model.continues:
        raise FitError(
            "this recipe draws passages as a whole; --prompt, --temperature, --top-p, --min-p, --stop, --characters and "
            "--stream and --watermark are for those that write from left to right: autoregressive, ngram."
        )
    assert isinstance(codec, Continued), "what is not was refused before"
    return codec


def _blocks(model: Generator, codec: Continued, y: Tensor | None, request: Request) -> Iterator[Block]:
    rng = torch.Generator(model.device).manual_seed(request.seed)
    on_text = _silent if request.on_text is None else request.on_text
    for rows in _turns(request.n, codec.at_once if request.on_text is None else 1):
        of = None if y is None else y[rows.start : rows.stop]
        there = None if of is None else of.to(model.device)
        if not request.followed:
            points = model.passages(len(rows), there, rng, request.sampling).cpu()
            yield Block(codec.decode(points, model.space, np.random.default_rng(request.seed)), of)
            continue
        if rows.start:
            on_text(f"\n{SEPARATOR}\n")
        text = Growing(model, codec, len(rows), of, rng, request)
        for piece in text:
            on_text(piece)
        yield text.block()
    if request.followed:
        on_text("\n")


def _steps(model: Generator, request: Request) -> int:
    """Steps at most: one for each token; a code may be a part of a character, of which UTF-8 has at most four."""
    limits = [] if request.tokens is None else [request.tokens]
    limits += [] if request.characters is None else [4 * request.characters + 16]
    return min(limits, default=model.space.numel)


def _silent(text: str) -> None:
    return None


def _turns(n: int, size: int) -> Iterator[range]:
    for first in range(0, n, size):
        yield range(first, min(first + size, n))


class Growing:
    """Text of `n` rows, of classes `y` [n] where given, piece by piece as it comes; `block` once there is no more.

    The pieces of several rows come mixed.
    """

    def __init__(
        self,
        model: Generator,
        codec: Continued,
        n: int,
        y: Tensor | None,
        rng: torch.Generator,
        request: Request,
    ) -> None:
        self._model, self._codec, self._n, self._y, self._rng, self._request = model, codec, n, y, rng, request
        self._writers = [Writer(codec.spelling, request.stop, request.characters) for _ in range(n)]
        self._parts = [["" if request.prompt is None else request.prompt] for _ in range(n)]

    def __iter__(self) -> Iterator[str]:
        codes_of = self._codes()
        yield self._parts[0][0]
        for codes in codes_of:
            for writer, part, code in zip(self._writers, self._parts, codes.tolist(), strict=True):
                if not writer.done and (piece := writer.add(code)):
                    part.append(piece)
                    yield piece
            if all(writer.done for writer in self._writers):
                break
        for writer, part in zip(self._writers, self._parts, strict=True):
            if piece := writer.close():
                part.append(piece)
                yield piece

    def _codes(self) -> Iterator[Tensor]:
        model, request = self._model, self._request
        start = self._codec.opening(request.prompt).to(model.device).expand(self._n, -1)
        there = None if self._y is None else self._y.to(model.device)
        return model.continuation(start, there, self._rng, request.sampling, _steps(model, request))

    def block(self) -> Block:
        ended = np.array([writer.ended for writer in self._writers], bool)
        return Block(self._codec.of_texts(["".join(part) for part in self._parts], ended), self._y)
