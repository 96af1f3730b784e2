"""What is asked of a generator: how many, of which kind, with which cells given, beginning how, by which seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from karat.errors import FitError
from karat.families.generator import PLAIN, Sampling, Start

LONGEST = 10_000_000  # characters

OnText = Callable[[str], None]
FLAGS = {  # of the command line, by field
    "label": "--class",
    "given": "--given",
    "balance": "--balance",
    "prompt": "--prompt",
    "sampling": "--temperature, --top-p, --min-p",
    "stop": "--stop",
    "characters": "--characters",
    "tokens": "tokens",
    "on_text": "--stream",
}
CONTINUED = (
    "prompt",
    "sampling",
    "stop",
    "characters",
    "tokens",
    "on_text",
)  # what is asked of text that is followed as it grows


@dataclass(frozen=True)
class Shard:
    """One of `of` parts, from 0, that are made apart and belong together.   first: records that those before it have.

    total: records of all parts.
    """

    number: int = 0
    of: int = 1
    first: int = 0
    total: int = 0


@dataclass(frozen=True)
class Pick:
    """Which of `draws` draws of a table each row is taken from: where `score` of codes [n, columns] is highest, float [n]."""

    draws: int
    score: Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Request:
    """n: how many records.   seed: of all chance; the same request gives the same records.

    label: a class by its name.   given: conditions such as "age=30..40", or a file of partial records.   balance: a column
    whose values come equally often.   prompt: what text begins with.   sampling: how its tokens are drawn.   stop: it ends
    before the first of these.   characters: how many follow the prompt, beyond a passage's length too; fewer where a document
    ends before.   tokens: the same in what the model draws one by one.   on_text: what shows text while it comes, one passage
    after another.
    independent: that no record is drawn with a look at the others, as a judge's intervals want it; else rows of a table
    keep together to what was learned, in random order.   shard: of which larger request this is a part.
    pick: rows of a table are drawn several times over, and one of each is taken.   picks: the same of rows of related
    tables, by chain.   start: what becomes of the noise that points begin with.
    Raises FitError for what no generator could do.
    """

    n: int = 1
    seed: int = 0
    label: str | None = None
    given: str | None = None
    balance: str | None = None
    prompt: str | None = None
    sampling: Sampling = PLAIN
    stop: tuple[str, ...] = ()
    characters: int | None = None
    on_text: OnText | None = field(default=None, compare=False)
    independent: bool = False
    shard: Shard = Shard()
    pick: Pick | None = field(default=None, compare=False)
    picks: Mapping[str, Pick] = field(default_factory=dict, compare=False)
    start: Start | None = field(default=None, compare=False)
    tokens: int | None = None

    def __post_init__(self) -> None:
        if self.n < 1:
            raise FitError(f"-n {self.n}: at least 1 was wanted.")
        if self.characters is not None and not 1 <= self.characters <= LONGEST:
            raise FitError(f"--characters {self.characters}: wanted a number from 1 to {LONGEST:,}.")
        if self.tokens is not None and not 1 <= self.tokens <= LONGEST:
            raise FitError(f"{self.tokens} tokens: wanted a number from 1 to {LONGEST:,}.")
        if "" in self.stop:
            raise FitError("--stop '': wanted at least one character.")

    def part(self, number: int, of: int) -> Request:
        """What shard `number` of `of` is asked: a pure function of this request, so that shards are made anywhere, in any order.

        All of them together have `n` records, as evenly as can be. Each has a seed of its own, drawn from this one's.
        """
        if of == 1:
            return self
        first, end = self.n * number // of, self.n * (number + 1) // of
        drawn = np.random.SeedSequence(self.seed, spawn_key=(number,)).generate_state(1, np.uint64)
        return replace(self, n=end - first, seed=int(drawn[0] >> np.uint64(2)), shard=Shard(number, of, first, self.n))

    def again(self, n: int, turn: int) -> Request:
        """`n` more records of the same kind, by chance of their own.   turn: how many draws were before it."""
        state = np.random.SeedSequence(self.seed, spawn_key=(turn, 15)).generate_state(1, np.uint64)
        return replace(self, n=n, seed=int(state[0] >> np.uint64(2)))

    def set_fields(self) -> tuple[str, ...]:
        """The fields beside `n` and `seed` that ask for something."""
        return tuple(name for name in FLAGS if getattr(self, name) != getattr(ASKS_NOTHING, name))

    def to_dict(self) -> dict[str, Any]:
        """What decides the records, as JSON."""
        own = {
            name: getattr(self, name)
            for name in ("n", "seed", "label", "given", "balance", "prompt", "stop", "characters", "independent")
        }
        how = {name: getattr(self.sampling, name) for name in ("temperature", "top_p", "min_p")}
        few = {} if self.tokens is None else {"tokens": self.tokens}
        return {**own, **how, **few, "one by one": self.on_text is not None}

    @property
    def imputes(self) -> bool:
        """Whether cells are given, around which the rest is drawn."""
        return self.given is not None or self.balance is not None

    @property
    def continues(self) -> bool:
        """Whether text is asked for that a passage drawn as a whole would not be."""
        return any(name in CONTINUED for name in self.set_fields())

    @property
    def followed(self) -> bool:
        """Whether text is followed as it grows, and not drawn at the length of a passage of the data."""
        ends = (self.characters, self.tokens)
        return (
            self.prompt is not None or bool(self.stop) or self.on_text is not None or any(x is not None for x in ends)
        )


ASKS_NOTHING = Request()
