"""How text becomes codes: each character one, or byte pairs learned from the text (https://arxiv.org/abs/1508.07909)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from karat.content.text.passages import code_points
from karat.space import MARKS

FEWEST_PAIRS, MOST_PAIRS = 512, 16_384
LEARNED = 16_000_000  # characters that byte pairs are learned from


@dataclass(frozen=True)
class Letters:
    """One code per character that was known; the last code stands for all others and is never written."""

    known: str  # ascending

    name = "characters"

    @staticmethod
    def learn(counts: np.ndarray) -> Letters:
        """Of how often each code point occurs, [0x110000]."""
        return Letters("".join(map(chr, np.flatnonzero(counts).tolist())))

    @property
    def vocab(self) -> int:
        return MARKS + len(self.known) + 1

    @cached_property
    def _table(self) -> np.ndarray:
        known = code_points(self.known)
        table = np.full(int(known.max(initial=0)) + 2, self.vocab - 1, np.int64)
        table[known] = MARKS + np.arange(len(known))
        return table

    def codes(self, points: np.ndarray) -> np.ndarray:
        """int64, of code points of any shape."""
        return np.asarray(self._table[np.minimum(points, len(self._table) - 1)])

    @cached_property
    def spelling(self) -> tuple[bytes, ...]:
        """The UTF-8 bytes of each code."""
        return (*[b""] * MARKS, *(c.encode() for c in self.known), b"")

    def state(self) -> dict[str, Any]:
        return {"tokens": self.name, "known": self.known}


@dataclass(frozen=True)
class Pairs:
    """Byte pairs of UTF-8, so that any text can be written; `json_text` is the tokenizer's own JSON."""

    json_text: str

    name = "bpe"

    @staticmethod
    def learn(texts: Iterable[str], vocabulary: int) -> Pairs:
        """So many tokens, of the pairs that occur most often in the texts: the same texts, the same tokens."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        made.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
        made.train_from_iterator(texts, trainer)
        return Pairs(_plain(json.loads(made.to_str())))

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self.json_text)

    @cached_property
    def vocab(self) -> int:
        return MARKS + int(self._tokenizer.get_vocab_size())

    def codes(self, texts: Sequence[str]) -> list[np.ndarray]:
        """int64 [k] of each text."""
        found = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(one.ids, np.int64) + MARKS for one in found]

    @cached_property
    def spelling(self) -> tuple[bytes, ...]:
        """The UTF-8 bytes of each code; of many tokens only a part of a character."""
        spelled = [b""] * self.vocab
        for word, at in self._tokenizer.get_vocab().items():
            spelled[MARKS + at] = bytes(_BYTES[c] for c in word)
        return tuple(spelled)

    def state(self) -> dict[str, Any]:
        return {"tokens": self.name, "tokenizer": json.loads(self.json_text)}


Wording = Letters | Pairs


def restore(state: Mapping[str, Any]) -> Wording:
    """What gave `state`."""
    if state["tokens"] == Letters.name:
        return Letters(str(state["known"]))
    return Pairs(_plain(state["tokenizer"]))


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def suited(size: int) -> int:
    """How many byte pairs suit a text of `size` bytes: 1,000 for 100 kB, 4,096 for 5 MB, and no more than 16,384."""
    wanted = 4096 * (max(size, 1) / 5e6) ** 0.36
    return int(min(max(wanted, FEWEST_PAIRS), MOST_PAIRS)) // 64 * 64


def _byte_letters() -> dict[str, int]:
    """The byte that each letter of byte-level tokens stands for: printable ones themselves, others from U+0100 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {chr(b): b for b in plain} | {chr(256 + k): b for k, b in enumerate(others)}


_BYTES = _byte_letters()
