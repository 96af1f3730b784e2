"""What findings of tables hold: their columns, rows and cells, and how tables hang together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from karat.assays.details import Curve, Detail
from karat.assays.details.records import Category


@dataclass(frozen=True, kw_only=True)
class Missing(Detail):
    """The shares of cells that are missing."""

    made: float
    real: float


@dataclass(frozen=True, kw_only=True)
class Bins(Detail):
    """Shares in bins; edges [k + 1] of numbers, or values [k] where these are few."""

    names: tuple[str, ...]
    made: Curve
    real: Curve
    values: Curve | None = None
    edges: Curve | None = None


@dataclass(frozen=True, kw_only=True)
class Portrait(Detail):
    """A column: its shape score beside that of unseen rows, None where a side is empty, and its histogram, if shown."""

    score: float | None
    real_score: float | None
    name: str
    kind: str
    missing: Missing
    bins: Bins | None


@dataclass(frozen=True, kw_only=True)
class ColumnShapes(Detail):
    """quality report: SDMetrics' figure.   off: columns that are, by themselves.   columns: all, worst first."""

    n: int
    z: float
    quality_report: float
    off: tuple[str, ...]
    columns: tuple[Portrait, ...]


@dataclass(frozen=True, kw_only=True)
class Combination(Detail):
    """Columns together: their score beside that of unseen rows, None where it is not defined."""

    columns: tuple[str, ...]
    score: float | None
    real_score: float | None


@dataclass(frozen=True, kw_only=True)
class ColumnPairs(Detail):
    n: int
    z: float
    pairs_looked_at: int
    quality_report: float | None = None
    worst: tuple[Combination, ...]


@dataclass(frozen=True, kw_only=True)
class Marginals(Detail):
    n: int
    z: float
    triples: int
    worst: tuple[Combination, ...]


@dataclass(frozen=True, kw_only=True)
class Printed(Detail):
    """A column: how far its made and its unseen cells are from how training ones are printed.

    grain: how cells are printed of which made and unseen rows have the shares `made` and `real`.
    """

    column: str
    gap: float
    real_gap: float
    grain: str
    made: float
    real: float
    off: bool
    n: int


@dataclass(frozen=True, kw_only=True)
class Formatting(Detail):
    columns: tuple[Printed, ...]


@dataclass(frozen=True, kw_only=True)
class Holes(Detail):
    """A column, or two of them, and the shares of rows where all are missing."""

    columns: tuple[str, ...]
    made: float
    real: float
    z: float


@dataclass(frozen=True, kw_only=True)
class Missingness(Detail):
    columns: tuple[Holes, ...]
    pairs: tuple[Holes, ...]


@dataclass(frozen=True, kw_only=True)
class Kept(Detail):
    """A rule: the shares of rows that break it, and the training rows that it rests on."""

    rule: str
    declared: bool
    made: float
    real: float
    support: int
    off: bool


@dataclass(frozen=True, kw_only=True)
class Rules(Detail):
    """How many were declared and found, and those that are broken most."""

    declared: int
    found: int
    rules: tuple[Kept, ...]


@dataclass(frozen=True, kw_only=True)
class Cardinality(Detail):
    """names: numbers of children.   made, real: the shares of parents that have as many."""

    names: tuple[str, ...]
    made: Curve
    real: Curve


@dataclass(frozen=True, kw_only=True)
class Gaps(Detail):
    """backwards: neighbours in the wrong order."""

    backwards: int


@dataclass(frozen=True, kw_only=True)
class Moved(Detail):
    """How a number of a sequence changes: its score beside that of unseen rows, standard deviation and kurtosis beside those
    of training rows.   factors: whether of its logarithm.
    """

    column: str
    factors: bool
    score: float
    real_score: float
    spread: float
    real_spread: float
    kurtosis: float
    real_kurtosis: float


@dataclass(frozen=True, kw_only=True)
class Changes(Detail):
    n: int
    z: float
    columns: tuple[Moved, ...]


@dataclass(frozen=True, kw_only=True)
class Lagged(Detail):
    """Autocorrelations of a column at 1, 2, ... rows, beside those of training rows."""

    column: str
    made: Curve
    real: Curve


@dataclass(frozen=True, kw_only=True)
class Drawn(Detail):
    """How far sequences fall from a peak in a column: its score beside that of unseen ones, the median beside training ones'."""

    column: str
    score: float
    real_score: float
    median: float
    real_median: float


@dataclass(frozen=True, kw_only=True)
class Courses(Detail):
    n: int
    z: float
    columns: tuple[Drawn, ...]


@dataclass(frozen=True, kw_only=True)
class Phase(Detail):
    """The mean change of a column in one day of the week, month or hour, beside that of training rows."""

    column: str
    of: str
    number: int
    made: float
    real: float


@dataclass(frozen=True, kw_only=True)
class Seasons(Detail):
    n: int
    z: float
    phases: tuple[Phase, ...]


@dataclass(frozen=True, kw_only=True)
class Pair(Detail):
    """The correlation of two columns' changes, beside that in training rows."""

    columns: tuple[str, ...]
    made: float
    real: float


@dataclass(frozen=True, kw_only=True)
class Lags(Detail):
    n: int
    z: float
    columns: tuple[Lagged, ...]


@dataclass(frozen=True, kw_only=True)
class Together(Detail):
    n: int
    z: float
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, kw_only=True)
class RareCategories(Detail):
    """columns: for each column with rare categories the share of them that is made, and that unseen rows have."""

    n: int
    z: float
    missing: tuple[str, ...]
    categories: tuple[Category, ...]
    columns: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class NearestShare(Detail):
    """ceiling: the score of a verbatim copy of the training data.   way: how far from 0.5 to there.   sd: by chance."""

    n: int
    ceiling: float
    way: float
    sd: float
    z: float
    rows: int


@dataclass(frozen=True, kw_only=True)
class Example(Detail):
    """A made row: where it stands, and its cells in words, what it is shown for first."""

    row: int
    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Beyond(Detail):
    """What of a column, or of what lies between two, is outside of real rows: how many made rows and real ones.

    bound: as far as real rows go, furthest: a made row, in words.   times: as far from the middle as real rows go.
    """

    column: str
    made: float
    real: float
    bound: str
    furthest: str
    times: float | None
    off: bool
    examples: tuple[Example, ...]


@dataclass(frozen=True, kw_only=True)
class OutOfRange(Detail):
    columns: tuple[Beyond, ...]


@dataclass(frozen=True, kw_only=True)
class Combined(Detail):
    """A value that comes too often or too seldom among the rows that have others, `given`; among all where that is ""."""

    values: str
    given: str
    made: int
    of_made: int
    real: int
    of_real: int
    examples: tuple[Example, ...]


@dataclass(frozen=True, kw_only=True)
class Combinations(Detail):
    """new: the columns, two or more, of which more made rows have a combination that no training row has.   smallest: those
    that show it, where it is raised.   odd: combinations by themselves, those furthest off first, of all `found`.
    """

    n: int
    new: tuple[str, ...]
    made: float
    real: float
    examples: tuple[Example, ...]
    found: int
    odd: tuple[Combined, ...]


@dataclass(frozen=True, kw_only=True)
class Widened(Detail):
    """How far apart the groups of a column are in how often they have a value: the most over the least share, made and real."""

    column: str
    outcome: str
    made: float
    real: float
    highest: str
    lowest: str


@dataclass(frozen=True, kw_only=True)
class Groups(Detail):
    """of: whose values are looked at by group.   groups: those furthest off first.   gaps: between the groups of a column."""

    of: tuple[str, ...]
    protected: tuple[str, ...]
    groups: tuple[Combined, ...]
    gaps: tuple[Widened, ...]
