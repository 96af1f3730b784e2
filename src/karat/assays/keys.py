"""Every finding that a judge can make, by its key: the assay it belongs to and what it means for the verdict.

A finding that has no row here cannot be made. The verdict reads these rows and never a finding's name, so that a finding
about one of several tables, or about one of several descriptors, weighs as much as any other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from karat.assays.details import Detail, passages, records, rows

Better = Literal["higher", "lower", "neither"]
Assay = Literal["fidelity", "diversity", "bias", "descriptors", "memory", "privacy", "usefulness", "worth"]


SHARE = (0.0, 1.0)
SIZE = (0.0, math.inf)


@dataclass(frozen=True)
class Key:
    """What is fixed about a finding.

    better: which way is better; "neither" where only the distance from the score of real data counts.
    detail: the type of what it holds beside its number, None for nothing.
    feeds: the gate it decides ("copying", "privacy"), else "quality" or "worth"; "run" where it speaks of whoever has the run.
    visible: whether a person who looks at single items sees the fault. A share of accepted items excuses those only.
    decides: whether the verdict stays open while this finding cannot tell; others speak, but nothing waits for them.
    title: its name for a person; {of} stands for what it is about, such as an axis, a descriptor or a relation.
    ends: the least and the most that it can be, so that a limit at or beyond them can never be passed.
    """

    assay: Assay
    feeds: Literal["copying", "privacy", "quality", "worth", "run"]
    better: Better
    detail: type[Detail] | None = None
    visible: bool = False
    decides: bool = True
    title: str = ""
    ends: tuple[float, float] = (-math.inf, math.inf)


KEYS: dict[str, Key] = {
    # Fidelity of single items: whether each of them could be a real one.
    "precision": Key("fidelity", "quality", "higher", records.Balls, visible=True, ends=SHARE),
    "density": Key("fidelity", "quality", "higher", records.Balls, visible=True, decides=False, ends=SIZE),
    "clipped density": Key("fidelity", "quality", "higher", records.Balls, visible=True, decides=False, ends=SIZE),
    "sharpness": Key("fidelity", "quality", "neither", records.Standardised, visible=True, ends=SIZE),
    "detail": Key(
        "fidelity", "quality", "neither", records.AlongAxis, visible=True, title="detail along {of}", ends=SIZE
    ),
    "two-sample auc": Key("fidelity", "quality", "lower", records.TwoSample, visible=True, ends=SHARE),
    "fluency": Key("fidelity", "quality", "neither", passages.Fluency, visible=True),
    "loops": Key("fidelity", "quality", "lower", passages.Loops, visible=True, ends=SHARE),
    "invented words": Key(
        "fidelity", "quality", "lower", passages.InventedWords, visible=True, decides=False, ends=SHARE
    ),
    "rules": Key("fidelity", "quality", "lower", rows.Rules, visible=True, ends=SHARE),
    "out of range": Key("fidelity", "quality", "lower", rows.OutOfRange, visible=True, ends=SHARE),
    "combinations": Key("fidelity", "quality", "lower", rows.Combinations, visible=True, ends=SHARE),
    "outliers": Key("fidelity", "quality", "lower", rows.OutOfRange, visible=True, ends=SHARE),
    "mislabelled": Key("fidelity", "quality", "lower", visible=True, ends=SHARE),
    "dangling keys": Key("fidelity", "quality", "lower", title="{of} dangling keys", ends=SHARE),
    # Fidelity of the whole: how all items together are distributed, which nobody sees in one of them.
    "frechet distance": Key("fidelity", "quality", "lower", records.FrechetDistance, decides=False, ends=SIZE),
    "pixel frechet distance": Key("fidelity", "quality", "lower", records.FrechetDistance, decides=False, ends=SIZE),
    "kernel distance": Key("fidelity", "quality", "lower", records.KernelDistance, decides=False),
    "column shapes": Key("fidelity", "quality", "higher", rows.ColumnShapes, ends=SHARE),
    "column pairs": Key("fidelity", "quality", "higher", rows.ColumnPairs, ends=SHARE),
    "three-way marginals": Key("fidelity", "quality", "lower", rows.Marginals, decides=False, ends=SHARE),
    "formatting": Key("fidelity", "quality", "lower", rows.Formatting, ends=SHARE),
    "missingness": Key("fidelity", "quality", "lower", rows.Missingness, ends=SHARE),
    "cardinality": Key("fidelity", "quality", "higher", rows.Cardinality, title="{of} cardinality"),
    "cardinality pairs": Key(
        "fidelity", "quality", "higher", rows.ColumnPairs, title="{of} cardinality pairs", ends=SHARE
    ),
    "parent-child auc": Key(
        "fidelity", "quality", "lower", records.TwoSample, title="{of} parent-child auc", ends=SHARE
    ),
    "parent-child pairs": Key("fidelity", "quality", "higher", rows.ColumnPairs, title="{of} parent-child pairs"),
    "sequences": Key("fidelity", "quality", "higher", rows.ColumnPairs, title="{of} sequences"),
    "gaps": Key("fidelity", "quality", "higher", rows.Gaps, title="{of} gaps"),
    "changes": Key("fidelity", "quality", "higher", rows.Changes, title="{of} changes", ends=SHARE),
    "autocorrelation": Key(
        "fidelity", "quality", "lower", rows.Lags, decides=False, title="{of} autocorrelation", ends=SIZE
    ),
    "volatility": Key("fidelity", "quality", "lower", rows.Lags, decides=False, title="{of} volatility", ends=SIZE),
    "cross-correlation": Key(
        "fidelity", "quality", "lower", rows.Together, decides=False, title="{of} cross-correlation", ends=SIZE
    ),
    "drawdown": Key("fidelity", "quality", "higher", rows.Courses, decides=False, title="{of} drawdown", ends=SHARE),
    "leverage": Key("fidelity", "quality", "lower", rows.Lags, decides=False, title="{of} leverage", ends=SIZE),
    "seasonality": Key(
        "fidelity", "quality", "lower", rows.Seasons, decides=False, title="{of} seasonality", ends=SIZE
    ),
    "compression": Key("fidelity", "quality", "neither", passages.Compression, decides=False),
    "coherence": Key("fidelity", "quality", "neither", ends=SIZE),
    "length": Key("fidelity", "quality", "lower", passages.Lengths, decides=False),
    "layout": Key("fidelity", "quality", "lower", passages.Lengths, decides=False),
    "bits per character": Key("fidelity", "quality", "lower", passages.Bits, decides=False),
    "bits per byte": Key("fidelity", "quality", "lower", passages.Bits, decides=False),
    # Diversity: whether everything that real data shows is made.
    "recall": Key("diversity", "quality", "higher", records.Covered, ends=SHARE),
    "coverage": Key("diversity", "quality", "higher", records.Covered, ends=SHARE),
    "clipped coverage": Key("diversity", "quality", "higher", records.Covered, decides=False, ends=SHARE),
    "vendi": Key("diversity", "quality", "higher", records.Sampled, decides=False, ends=(1.0, math.inf)),
    "missing classes": Key("diversity", "quality", "lower", records.MissingClasses, ends=SIZE),
    "missing modes": Key("diversity", "quality", "lower", records.MissingModes, ends=SIZE),
    "rare categories": Key("diversity", "quality", "higher", rows.RareCategories, ends=SHARE),
    "own-feature mauve": Key("diversity", "quality", "higher", passages.Mauve, ends=SHARE),
    "distinct-2": Key("diversity", "quality", "neither", passages.Variety, decides=False),
    "self-bleu": Key("diversity", "quality", "neither", passages.Variety, decides=False),
    "repeats": Key("diversity", "quality", "lower", ends=SHARE),
    "missing words": Key("diversity", "quality", "lower", passages.MissingWords, ends=SHARE),
    "missing openings": Key("diversity", "quality", "lower", passages.MissingWords, decides=False),
    # Bias: in which proportions.
    "class balance": Key("bias", "quality", "lower", records.Balance, ends=SHARE),
    "groups": Key("bias", "quality", "lower", rows.Groups, ends=SHARE),
    "balance": Key("bias", "quality", "lower", records.Balance, title="{of} balance"),
    "word balance": Key("bias", "quality", "lower", passages.WordBalance, decides=False),
    # Descriptors: what a codec reads off each record, such as length or loudness.
    "descriptor": Key("descriptors", "quality", "neither", records.Descriptor, title="{of}"),
    # Memory: whether training records come back.
    "copy rate": Key("memory", "copying", "lower", records.CopyRate, ends=SHARE),
    "near copies": Key("memory", "copying", "lower", records.NearCopies, ends=SHARE),
    "nearest record share": Key("memory", "copying", "lower", rows.NearestShare, decides=False, ends=SHARE),
    "authenticity": Key("memory", "copying", "higher", records.Standardised, decides=False, ends=SHARE),
    "ct": Key("memory", "copying", "higher", records.CT, decides=False),
    "verbatim run": Key("memory", "copying", "lower", passages.VerbatimRun),
    # Privacy: what can be told about single records.
    "membership": Key("privacy", "privacy", "lower", records.Membership, ends=SHARE),
    "singling out": Key("privacy", "privacy", "lower", decides=False, ends=SHARE),
    "linkability": Key("privacy", "privacy", "lower", decides=False, ends=SHARE),
    "inference": Key("privacy", "privacy", "lower", decides=False, ends=SHARE),
    "loss attack": Key("privacy", "run", "lower", records.Membership, decides=False, ends=SHARE),
    "shadow attack": Key("privacy", "run", "lower", records.Membership, decides=False, ends=SHARE),
    "canaries": Key("privacy", "privacy", "lower", decides=False, ends=SIZE),
    "personal data": Key("privacy", "privacy", "lower", passages.PersonalData),
    # Usefulness: what a learner learns from it.
    "usefulness": Key("usefulness", "quality", "higher", records.Usefulness, ends=SIZE),
    "forecast": Key(
        "usefulness", "quality", "higher", records.Usefulness, decides=False, title="{of} forecast", ends=SIZE
    ),
    "lift": Key("usefulness", "quality", "higher", records.Lift, decides=False),
    # Worth: what making and using it shows.
    "gate share": Key("worth", "worth", "higher", decides=False),
    "exchange rate": Key("worth", "worth", "higher", records.Exchange, decides=False),
    "rare recall": Key("worth", "worth", "higher", records.RareRecall, decides=False),
    "trial": Key("worth", "worth", "higher", records.Trial, decides=False, title="{of} per time shown"),
}
