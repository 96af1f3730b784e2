"""A person's data: read once, fingerprinted, freed of exact copies, and split before anything learns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from karat.content import Codec, recognise
from karat.content.codec import Contents
from karat.content.relational.relations import alone
from karat.content.roles import Declared, Discreet
from karat.data.split import FACET, FEWEST, rows_aside, sides_of, split, unique_rows, validation
from karat.errors import DataError, FitError
from karat.privacy import CODEC, Budget, Target
from karat.space import Space
from karat.views import Known, View

WANTED = 200
TEXTS = {  # settings of the data whose values are texts, whatever they look like
    "schema",
    "labels",
    "label",
    "table",
    "query",
    "entity",
    "order",
    "text",
    "target",
    "encoding",
    "sheet",
}
DATABASES = ("postgresql://", "postgres://")
Part = Literal["train", "holdout", "validation"]


@dataclass(frozen=True)
class Data:
    """Records at a path, and the two disjoint parts of them: what may be learned from, and what only the judge may see.

    fingerprint: sha256 of records, labels and the publisher's split.   train, holdout: sorted int64 rows of
    `contents.records`.   duplicates: exact copies dropped.   notes: what a person should know, in plain sentences.
    """

    path: str
    codec: Codec
    contents: Contents
    fingerprint: str
    train: np.ndarray
    holdout: np.ndarray
    duplicates: int
    notes: tuple[str, ...] = ()
    budget: Budget | None = None  # of privacy: what the codec spent of it
    validation: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # rows by which weights are chosen

    @property
    def space(self) -> Space:
        return self.codec.spaces[0]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.contents.classes

    @property
    def target(self) -> str | None:
        """The column that a model would predict, where a person named one."""
        named: str | None = self.contents.facts.get("target")
        return named

    def declared(self, between: Sequence[Mapping[str, Any]] = ()) -> str:
        """What is inferred of the columns, as the TOML that a person corrects; FitError where there are none.

        between: what holds between them, which is written as rules.
        """
        if not isinstance(self.codec, Declared):
            raise FitError(f"{self.codec.name} content has no schema to write.")
        return self.codec.declared(between)

    def validated(self, seed: int) -> Data:
        """The same with a validation part, drawn with `seed`, that is no longer in the training part; FitError without room."""
        keys: np.ndarray = np.arange(len(self.train))
        if self.contents.groups is not None:
            keys = self.contents.groups[self.train]
        elif self.codec.repeats:  # equal rows fall on one side
            digests = self.codec.digests(self.contents.records[self.train])
            keys = np.ascontiguousarray(digests).view("V16")[:, 0]
        train, part = validation(self.train, keys, seed)
        return replace(self, train=train, validation=part)

    def rows(self, part: Part, limit: int | None = None, seed: int = 0) -> np.ndarray:
        """Sorted rows of a part; with a limit, that many of them drawn with `seed`."""
        rows: np.ndarray = getattr(self, part)
        if limit is None or limit >= len(rows):
            return rows
        drawn = np.random.default_rng(seed & 2**63 - 1).choice(len(rows), limit, replace=False)
        return np.asarray(rows[np.sort(drawn)])

    def records(self, part: Part, limit: int | None = None, seed: int = 0) -> Any:
        """The records of `rows(part, limit, seed)`."""
        return self.contents.records[self.rows(part, limit, seed)]

    def points(self, part: Part, limit: int | None = None, seed: int = 0, space: Space | None = None) -> Tensor:
        """Encoded points `[n, *space.shape]` of `rows(part, limit, seed)`; of the codec's first space by default."""
        return self.codec.encode(self.records(part, limit, seed), space)

    def view(self, part: Part, limit: int | None = None, seed: int = 0) -> View:
        """How a judge sees `rows(part, limit, seed)`, with what is known of them."""
        rows = self.rows(part, limit, seed)
        return self.codec.view(self.contents.records, rows).known(self.known(rows))

    def known(self, rows: np.ndarray) -> Known:
        """What is known of the records at `rows`."""
        labels, groups = self.contents.labels, self.contents.groups
        facets = {name: values[rows] for name, values in self.contents.facets.items()}
        mine = None if labels is None else labels[rows]
        return Known(mine, self.classes, facets, None if groups is None else groups[rows])

    def labels(self, part: Part, limit: int | None = None, seed: int = 0) -> Tensor | None:
        """int64 `[n]` of `rows(part, limit, seed)`, or None where there are no classes."""
        if self.contents.labels is None:
            return None
        return torch.from_numpy(self.contents.labels[self.rows(part, limit, seed)])


def load(
    source: Any,
    *,
    size: int | None = None,
    options: Mapping[str, Any] | None = None,
    holdout: float | str = 0.1,
    seed: int = 0,
    cache: Path | None = None,
    codec: Codec | None = None,
    private: Target | None = None,
    glance: bool = False,
    fewest: int = FEWEST,
) -> Data:
    """The data at a path or a database's address, or in a data frame, split; DataError when it cannot be learned from.

    options: what the kind of content knows, such as a table's schema; `size` is that of pictures. The publisher's split
    is kept where there is one. Otherwise a record's own content and `seed` decide its side, so that the same record
    falls on the same side whatever is added or taken away around it.
    holdout: the share set aside; "last:0.1", the last of the records as they stand; or what is known of them, "n<5",
    "speaker=theo" (see `Contents.facets`).
    codec: one that was fitted to these data before.   private: fit it with differential privacy, of which it spends the
    share `privacy.CODEC`.   glance: of large data take no more than shows what is in them.
    fewest: different records below which DataError is raised.
    """
    share, rule = _share(holdout)
    place = _place(source)
    known = dict(options) if options is not None else {}
    rows = {"series": ""} if private is not None and "series" not in known else {}  # privacy is that of a row
    kind = recognise(place, {**_texts_only(known), **rows})
    known = {**(kind.glance if glance else {}), **known}
    known |= {name: value for name, value in (("size", size), ("cache", cache)) if value is not None}
    for name in sorted(set(known) - {*kind.settings, "cache"}):
        raise FitError(f"data.{name}: {kind.name} data has the settings {', '.join(kind.settings)}.")
    if rule == "last" and "last" in kind.settings:  # content that can be cut anywhere is cut there
        known["last"] = share
    contents = kind.read(place, known)
    if rule is not None and "last" not in known:
        contents = replace(contents, holdout=rows_aside(contents, rule, share))
    path = str(kind.place(source))

    digests = kind.digests(contents.records)
    unique, kept = _different(kind, contents, digests, path, fewest)
    sides, doubts = sides_of(digests, contents.groups, kind.repeats)
    train, aside, notes = split(sides, unique, contents.holdout, share, seed, asked=rule is not None)
    doubts = _contradictions(contents.labels, kept) + (doubts if private is None else [])
    budget = None
    if codec is None and private is not None:
        codec, budget = _fit_discreetly(kind, contents, train, private)
    return Data(
        path=path,
        codec=kind.fit(contents, train) if codec is None else codec,
        contents=contents,
        fingerprint=_fingerprint(kind, contents, digests),
        train=train,
        holdout=aside,
        duplicates=len(kept) - len(unique),
        notes=(*contents.facts.get("notes", ()), *notes, *doubts),
        budget=budget,
    )


def _place(source: Any) -> Any:
    """Where the data are, `~` resolved; DataError for an address other than a database's."""
    if isinstance(source, str | Path) and not str(source).startswith(DATABASES):
        if "://" in str(source):
            raise DataError(
                f"{source} is an address; nothing is downloaded. Download it yourself and give the file or folder."
            )
        source = Path(source).expanduser()
    return alone(source)


def _texts_only(known: dict[str, Any]) -> dict[str, Any]:
    """The settings; FitError where one that is a text has another type."""
    for name in sorted(TEXTS & set(known)):
        if known[name] is not None and not isinstance(known[name], str | Path):
            raise FitError(f"data.{name}={str(known[name])[:60]}: a text was wanted.")
    return known


def _different(
    kind: type[Codec], contents: Contents, digests: np.ndarray, path: str, fewest: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows that differ, and of each row the first of its equals; all of them where equal rows mean something.

    Raises DataError where they are fewer than `fewest`.
    """
    if kind.repeats:
        unique = kept = np.arange(len(digests))
        found = f"{len(unique):,} row{'s' if len(unique) != 1 else ''}"
    else:
        unique, kept = unique_rows(digests, contents.holdout)
        found = f"{len(contents.records):,} records, of which {len(unique)} differ"
    if len(unique) < fewest:
        different = "" if kind.repeats else " different ones"
        raise DataError(
            f"{path} holds {found}; a generator needs about {WANTED}{different}, and never fewer than {FEWEST}. Add more."
        )
    return unique, kept


def _share(holdout: float | str) -> tuple[float, str | None]:
    """The share to set aside, and the rule by which: None, "last", or a comparison with a facet."""
    rule, text = None, str(holdout)
    if isinstance(holdout, str) and holdout.startswith("last:"):
        rule, text = "last", holdout.removeprefix("last:")
    elif isinstance(holdout, str) and FACET.fullmatch(holdout):
        return 0.1, holdout
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise FitError(
            f"holdout is {holdout}; a share between 0 and 1 is kept for the judge, usually 0.1; or last:0.1, or a "
            "comparison such as n<5 with what --labels reads in the names."
        )
    return share, rule


def _fit_discreetly(kind: type[Codec], contents: Contents, train: np.ndarray, private: Target) -> tuple[Codec, Budget]:
    """The codec under differential privacy, and what it spent."""
    if not issubclass(kind, Discreet):
        raise FitError(f"{kind.name} content cannot be learned with --epsilon; tables can.")
    budget = Budget.of(private.epsilon, private.delta_of(len(train))).part(CODEC)
    return kind.fit_discreetly(contents, train, budget, private.source()), budget


def _fingerprint(kind: type[Codec], contents: Contents, digests: np.ndarray) -> str:
    """sha256 over the digests of the records, their form, the labels, and the publisher's split."""
    total = hashlib.sha256()
    total.update(repr((*kind.form(contents.records), contents.classes)).encode())
    total.update(digests.tobytes())
    if contents.labels is not None:
        total.update(b"labels" + contents.labels.astype("<i8").tobytes())
    if contents.holdout is not None:
        total.update(b"holdout" + np.packbits(contents.holdout).tobytes())
    return total.hexdigest()


def _contradictions(labels: np.ndarray | None, kept: np.ndarray) -> list[str]:
    """A sentence, where exact copies of a record carry another class."""
    wrong = 0 if labels is None else int((labels != labels[kept]).sum())
    return [f"{wrong:,} exact copies carry another class than the record kept."] if wrong else []
