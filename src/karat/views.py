"""How a judge sees records, whatever generated them: points, the columns of a table, passages of text, or tables together.

A codec makes views and makes records of them again; assays compare views. Neither knows the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from karat.errors import DataError

Strings = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Known:
    """What is known of records beside themselves.

    labels: int64 [n] into `classes`.   facets: strings [n] by name, such as a speaker.   groups: int64 [n], the document
    that each is a part of.
    """

    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    facets: Mapping[str, Strings] = field(default_factory=dict)
    groups: np.ndarray | None = None


@dataclass(frozen=True)
class Points:
    """points float [n, *shape] in [-1, 1], and what is known of each record.

    axes: names of the points' axes behind the channels, where content may begin anywhere along the last of them.
    labels: long [n] into `classes`.   facets: strings [n] by name, such as a speaker.   descriptors: float64 [k] by
    name and unit, such as "length (s)", NaN where a record has none; of the records `described` [k], or of all.
    """

    points: Tensor
    axes: tuple[str, ...] = ()
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    facets: Mapping[str, Strings] = field(default_factory=dict)
    descriptors: Mapping[str, np.ndarray] = field(default_factory=dict)
    described: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.points)

    def known(self, more: Known) -> Points:
        """The same records with what is known of them."""
        labels = None if more.labels is None else torch.from_numpy(more.labels)
        return replace(self, labels=labels, classes=more.classes, facets=more.facets)

    def take(self, rows: np.ndarray) -> Points:
        """The records at `rows` [k]; their descriptors are left out."""
        facets = {name: values[rows] for name, values in self.facets.items()}
        at = torch.from_numpy(rows)
        labels = None if self.labels is None else self.labels[at]
        return Points(self.points[at], self.axes, labels, self.classes, facets)


@dataclass(frozen=True)
class Columns:
    """The columns of a `TableView`, and the values of those that hold choices.

    A number is itself. Where `choices[j]` is not empty the cell is an index into it; `len(choices[j])` stands for a
    value that is none of them.
    units: of each column that holds moments "days", "seconds" or "seconds of a day", of others ""; () where none does.
    protected: the names of columns that say who somebody is, such as sex, by which people must be treated alike.
    """

    names: tuple[str, ...]
    choices: tuple[tuple[str, ...], ...]
    units: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.names),)


@dataclass(frozen=True)
class TableView:
    """values float64 [n, c], missing cells NaN; broken: rule -> bool [n], True where the row breaks it. found: those of the
    rules that nobody declared, as they were found to hold between columns of the training rows.

    otherwise: by column, the share of its cells that are spelled otherwise than real ones, an example and how real data
    would spell it.
    rows: where each row stood in the caller's table, once some were taken.
    Raises DataError for another shape than the columns say, for infinite numbers and for choices that do not exist.
    """

    columns: Columns
    values: np.ndarray
    broken: Mapping[str, np.ndarray] = field(default_factory=dict)
    otherwise: Mapping[str, tuple[float, str, str]] = field(default_factory=dict)
    rows: np.ndarray | None = None
    found: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.columns.names):
            raise DataError(f"a table of {len(self.columns.names)} columns was given values of {self.values.shape}")
        for name, choices, column in zip(self.columns.names, self.columns.choices, self.values.T, strict=True):
            if np.isinf(column).any():
                raise DataError(f"column {name} holds infinite numbers; make them missing or finite")
            if choices and ((column < 0) | (column > len(choices))).any():
                raise DataError(f"column {name} has {len(choices)} choices and holds an index outside 0 to that number")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def names(self) -> tuple[str, ...]:
        return self.columns.names

    @property
    def width(self) -> int:
        return len(self.columns.names)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Which columns hold numbers."""
        return tuple(j for j, choices in enumerate(self.columns.choices) if not choices)

    def codes(self, j: int) -> np.ndarray:
        """int64 [n]: column `j` of choices, with len(choices) for a value that is none, len + 1 for a missing one."""
        codes: np.ndarray = np.nan_to_num(self.values[:, j], nan=len(self.columns.choices[j]) + 1).astype(np.int64)
        return codes

    def levels(self, j: int) -> tuple[str, ...]:
        """What the codes of column `j` mean."""
        return (*self.columns.choices[j], "another value", "missing")

    def take(self, rows: np.ndarray) -> TableView:
        """The rows at `rows` [k]."""
        broken = {rule: which[rows] for rule, which in self.broken.items()}
        own = rows if self.rows is None else self.rows[rows]
        return TableView(self.columns, self.values[rows], broken, self.otherwise, own, self.found)

    def row(self, i: int) -> int:
        """Where row `i` stood in the caller's table."""
        return i if self.rows is None else int(self.rows[i])

    def known(self, more: Known) -> TableView:
        """Itself: all that is known of rows is in their columns."""
        return self


def row_digests(values: np.ndarray) -> np.ndarray:
    """uint64 [n]: equal where every cell of the values [n, c] is equal, or missing on both sides; by splitmix64's finaliser.

    A key for each row would take more than the table, of ten million rows.
    """
    out = np.zeros(len(values), np.uint64)
    for column in values.T:
        out = (out ^ (out >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) + plain(column).view(np.uint64)
        out = (out ^ (out >> np.uint64(32))) * np.uint64(0x94D049BB133111EB)
    return out ^ (out >> np.uint64(31))


def plain(values: np.ndarray) -> np.ndarray:
    """The values with one bit pattern for all that is missing, and one for zero."""
    return np.ascontiguousarray(np.where(np.isnan(values), np.nan, values + 0.0))


@dataclass(frozen=True)
class TextView:
    """Passages of text with the class [n] and the document [n] of each, where known.

    classes: the names of the labels.   rows: where each passage stood in the caller's set, once some were taken.
    """

    texts: tuple[str, ...]
    labels: np.ndarray | None = None
    documents: np.ndarray | None = None
    rows: np.ndarray | None = None
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: np.ndarray) -> TextView:
        """The passages at `rows` [k]."""
        return TextView(
            tuple(self.texts[int(i)] for i in rows),
            None if self.labels is None else self.labels[rows],
            None if self.documents is None else self.documents[rows],
            np.asarray(rows) if self.rows is None else self.rows[rows],
            self.classes,
        )

    def row(self, i: int) -> int:
        """Where passage `i` stood in the caller's set."""
        return i if self.rows is None else int(self.rows[i])

    @property
    def sources(self) -> np.ndarray:
        """The document of each passage [n]; each is its own where that is not known."""
        return np.arange(len(self)) if self.documents is None else self.documents

    def known(self, more: Known) -> TextView:
        """The same passages with what is known of them."""
        return replace(self, labels=more.labels, classes=more.classes, documents=more.groups)


@dataclass(frozen=True)
class Tie:
    """How the rows [n] of the table `child` name rows of `parent`, by the columns that `column` says in words.

    links: int64 [n], the row of the parent, -1 for nobody's.   absent: bool [n], rows that name none.   makes: whether the
    child's rows belong to one record with this parent.   order: the column by which the rows of one parent are sorted, and
    at: float64 [n], its values.   before: int64 [n], the row before each of the same parent, -1 for the first.   place: int64
    [n], how many stand before.   cut: whether the parents are only windows of series.
    """

    child: str
    parent: str
    column: str
    makes: bool
    links: np.ndarray
    absent: np.ndarray
    before: np.ndarray
    place: np.ndarray
    order: str | None = None
    at: np.ndarray | None = None
    cut: bool = False

    @property
    def where(self) -> str:
        """The child and its column in words."""
        return f"{self.child} {self.column}"


@dataclass(frozen=True)
class DatabaseView:
    """Tables and how they name each other's rows.

    records: how many there are, each a row of a first table with all that hangs on it.
    whole: the database that these rows are a part of, and own: by table, bool [rows there] of those that are.
    """

    tables: Mapping[str, TableView]
    ties: tuple[Tie, ...]
    records: int
    whole: DatabaseView | None = None
    own: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.records

    @property
    def all(self) -> DatabaseView:
        """All that is known of the database."""
        return self if self.whole is None else self.whole

    def known(self, more: Known) -> DatabaseView:
        """Itself: all that is known of rows is in their columns."""
        return self

    def take(self, rows: np.ndarray) -> DatabaseView:
        """The windows of series at `rows` [k] with their steps, the same one as often as it is named."""
        (tie,) = (t for t in self.ties if t.cut)
        order = np.lexsort((tie.place, tie.links))
        first, last = (np.searchsorted(tie.links[order], rows, side) for side in ("left", "right"))
        steps = np.concatenate([order[a:b] for a, b in zip(first, last, strict=True)])
        links = np.repeat(np.arange(len(rows)), last - first)
        place = tie.place[steps]
        before = np.where(place == 0, -1, np.arange(len(steps)) - 1)
        at = None if tie.at is None else tie.at[steps]
        own = replace(tie, links=links, absent=np.zeros(len(steps), bool), before=before, place=place, at=at)
        tables = {tie.parent: self.tables[tie.parent].take(rows), tie.child: self.tables[tie.child].take(steps)}
        return DatabaseView(tables, (own,), len(rows))

    def mine(self, table: str) -> np.ndarray:
        """bool [rows of `all`]: the rows of the table that are these."""
        return self.own[table] if self.whole is not None else np.ones(len(self.tables[table]), bool)


View = Points | TableView | TextView | DatabaseView
