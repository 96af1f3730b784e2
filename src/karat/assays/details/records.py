"""What findings of pictures and sounds hold, and those that several views share.

n: records of a draw.   z: standard errors by which the score lies above that of unseen real data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from karat.assays.details import Curve, Detail, Pair


@dataclass(frozen=True, kw_only=True)
class Standardised(Detail):
    z: float


@dataclass(frozen=True, kw_only=True)
class Sampled(Detail):
    n: int
    z: float


@dataclass(frozen=True, kw_only=True)
class FrechetDistance(Detail):
    """reference: training records.   variance: of the training data, all features together."""

    n: int
    reference: int
    z: float
    variance: float
    comparable: str


@dataclass(frozen=True, kw_only=True)
class KernelDistance(Detail):
    n: int
    unit: float
    z: float


@dataclass(frozen=True, kw_only=True)
class Balls(Detail):
    """reference: training records whose balls were looked at."""

    n: int
    reference: int
    z: float


@dataclass(frozen=True, kw_only=True)
class Covered(Detail):
    """expected: the coverage that records of the same distribution have."""

    n: int
    z: float
    expected: float


@dataclass(frozen=True, kw_only=True)
class TwoSample(Detail):
    """null sd: of points.   alone, importance: of tables, the area by each column alone, and what is lost without it.

    Of text: the areas of made beside unseen, of made beside training and of unseen beside training passages.
    """

    n: int
    z: float
    null_sd: float | None = None
    alone: tuple[tuple[str, float], ...] | None = None
    importance: tuple[tuple[str, float], ...] | None = None
    beside_unseen: float | None = None
    beside_training: float | None = None
    unseen_beside_training: float | None = None


@dataclass(frozen=True, kw_only=True)
class AlongAxis(Detail):
    """of the real: the detail of made records over that of unseen ones."""

    z: float
    of_the_real: float


@dataclass(frozen=True, kw_only=True)
class Category(Detail):
    """A value of a column, and its share of the made and of the real rows."""

    column: str
    value: str
    made: float
    real: float


@dataclass(frozen=True, kw_only=True)
class MissingClasses(Detail):
    """names, made, real: all classes with their shares.   categories: of tables.   read rightly: of text, by the judge."""

    missing: tuple[str, ...]
    names: tuple[str, ...] | None = None
    made: Curve | None = None
    real: Curve | None = None
    categories: tuple[Category, ...] | None = None
    kind: str
    read_rightly: float | None = None


@dataclass(frozen=True, kw_only=True)
class MissingModes(Detail):
    """examples: for each mode the training record at its densest place."""

    missing: tuple[str, ...]
    names: tuple[str, ...]
    made: Curve
    real: Curve
    kind: str
    examples: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ColumnBalance(Detail):
    """How unlike the shares of a column's values are: value beside expected by chance, own its standard error."""

    column: str
    value: float
    expected: float
    off: bool
    own: float
    z: float
    worst: str
    worst_made: float
    worst_real: float
    names: tuple[str, ...]
    made: Curve
    real: Curve


@dataclass(frozen=True, kw_only=True)
class Balance(Detail):
    """The shares of groups; column, columns: of tables, the one that is furthest off and all that were looked at."""

    column: str | None = None
    worst: str
    names: tuple[str, ...]
    made: Curve
    real: Curve
    z: float
    columns: tuple[ColumnBalance, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ClassMean(Detail):
    """A class: its means of a descriptor, how many standard errors they are apart, and how much of the real spread."""

    name: str
    made: float
    real: float
    level: float
    off: float


@dataclass(frozen=True, kw_only=True)
class Descriptor(Detail):
    """How a descriptor is distributed; only its unit where hardly any made record has one.

    ks: Kolmogorov and Smirnov's distance from unseen data.   training: the mean.   spread: standard deviations, made and
    real.   edges [k + 1], made and real [k]: a histogram, where values vary.
    """

    unit: str
    z: float | None = None
    ks: float | None = None
    ks_of_real: float | None = None
    training: float | None = None
    spread: tuple[float, float] | None = None
    classes: tuple[ClassMean, ...] | None = None
    edges: Curve | None = None
    made: Curve | None = None
    real: Curve | None = None


@dataclass(frozen=True, kw_only=True)
class CopyRate(Detail):
    """copies of n records.   pairs: the closest, or same: (made, training) that are equal.   told: how a pair's number reads.

    bar: the score beyond which a record counts, p: the chance of so many.   searched: records.   window: of text, its
    characters.   usual: the share of real rows that equal another one.
    """

    window: int | None = None
    pairs: tuple[Pair, ...] | None = None
    bar: float | None = None
    p: float | None = None
    copies: int
    n: int
    searched: int | None = None
    same: tuple[tuple[int, int], ...] | None = None
    usual: float | None = None
    criterion: str | None = None  # what counts as near
    changes: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class NearCopies(Detail):
    """As `CopyRate`; shingle: of text, the letters of a string that is looked for."""

    pairs: tuple[Pair, ...] | None = None
    bar: float
    p: float
    copies: int
    n: int
    searched: int | None = None
    shingle: int | None = None
    criterion: str | None = None  # what counts as near


@dataclass(frozen=True, kw_only=True)
class CT(Detail):
    """worst cell, cells: the statistic of the cells that have records enough."""

    worst_cell: float
    cells: Curve
    z: float


@dataclass(frozen=True, kw_only=True)
class Membership(Detail):
    """found at false alarm rate: the share of training records, with its interval.   outlying: the area of outlying records.

    Of records that could not be attacked only unseen beside training: the area by which these are told apart.
    """

    n: int | None = None
    z: float | None = None
    found_at_false_alarm_rate: Mapping[str, tuple[float, float, float]] | None = None
    outlying: float | None = None
    outlying_n: int | None = None
    chance: float | None = None
    unseen_beside_training: float | None = None


@dataclass(frozen=True, kw_only=True)
class Learner(Detail):
    """Scores taught by made rows (TSTR), by real ones (TRTR), and by unseen ones."""

    tstr: float
    trtr: float
    unseen: float | None = None


@dataclass(frozen=True, kw_only=True)
class Predicted(Detail):
    """Another column, and how well a forest predicts it."""

    column: str
    measure: str
    tstr: float
    trtr: float
    above_chance: float


@dataclass(frozen=True, kw_only=True)
class Usefulness(Detail):
    """tstr, trtr: the scores of a learner taught by made and by real records.   n: of which it saw.

    labels: of points and text, where the made ones' come from.   target, measure, learners, others: of tables.   chance: the
    score of a guess, as the finding counts.
    """

    target: str | None = None
    measure: str | None = None
    tstr: float
    trtr: float
    gap: float
    n: int
    z: float | None = None
    chance: float | None = None
    learners: Mapping[str, Learner] | None = None
    others: tuple[Predicted, ...] | None = None
    labels: str | None = None


@dataclass(frozen=True, kw_only=True)
class Lift(Detail):
    """found: whether there is a gain.   n: made records that were added."""

    found: bool
    n: int
    standard_error: float
    labels: str | None = None
    target: str | None = None


@dataclass(frozen=True, kw_only=True)
class Arm(Detail):
    """One side of an A/B trial: how often it was shown, what it counted, and that per time shown with its 95% interval."""

    name: str
    shown: int
    counted: float
    rate: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Trial(Detail):
    """An A/B result, the made arm beside today's.   measure: what is counted, "clicks", "conversions" or "sales"."""

    measure: str
    made: Arm
    today: Arm


@dataclass(frozen=True, kw_only=True)
class Control(Detail):
    """What costs nothing in the place of made records: its score, and how much better those do, with a 95% interval.

    p: of the gain being none, one-sided, corrected for there being several controls.
    """

    name: str
    score: float
    gain: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, kw_only=True)
class Learned(Detail):
    """One learner: the exchange rate by it, its score with made records, and its learning curve of real ones."""

    rate: float
    low: float
    high: float
    score: float
    sizes: Curve
    real: Curve
    controls: tuple[Control, ...]


@dataclass(frozen=True, kw_only=True)
class Exchange(Detail):
    """n real records, m made ones added.   learner: the best on real records, whose rate it is.   beats: every control."""

    of: str
    measure: str
    learner: str
    n: int
    m: int
    seeds: int
    beats: bool
    learners: Mapping[str, Learned]


@dataclass(frozen=True, kw_only=True)
class RareRecall(Detail):
    """Recall of a rare class at a fixed precision.   positives: test records of it.   beats: every control."""

    of: str
    learner: str
    positives: int
    precision: float
    recall: float
    beats: bool
    controls: tuple[Control, ...]
