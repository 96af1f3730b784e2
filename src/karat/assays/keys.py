"""Every finding that a judge can make, by its key: the assay it belongs to and what it means for the verdict.

A finding that has no row here cannot be made. The verdict reads these rows and never a finding's name, so that a finding
about one of several tables, or about one of several descriptors, weighs as much as any other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Assay = Literal["fidelity", "diversity", "bias", "descriptors", "memory", "privacy", "usefulness", "worth"]


SHARE = (0.0, 1.0)
SIZE = (0.0, math.inf)


@dataclass(frozen=True)
class Key:
    """What is fixed about a finding.

    feeds: the gate it decides ("copying", "privacy"), else "quality" or "worth".
    visible: whether a person who looks at single items sees the fault. A share of accepted items excuses those only.
    decides: whether the verdict stays open while this finding cannot tell; others speak, but nothing waits for them.
    title: its name for a person; {of} stands for what it is about, such as an axis, a descriptor or a relation.
    ends: the least and the most that it can be, so that a limit at or beyond them can never be passed.
    """

    assay: Assay
    feeds: Literal["copying", "privacy", "quality", "worth"]
    visible: bool = False
    decides: bool = True
    title: str = ""
    ends: tuple[float, float] = (-math.inf, math.inf)


KEYS: dict[str, Key] = {
    # Fidelity of single items: whether each of them could be a real one.
    "precision": Key("fidelity", "quality", visible=True, ends=SHARE),
    "density": Key("fidelity", "quality", visible=True, decides=False, ends=SIZE),
    "clipped density": Key("fidelity", "quality", visible=True, decides=False, ends=SIZE),
    "sharpness": Key("fidelity", "quality", visible=True, ends=SIZE),
    "detail": Key("fidelity", "quality", visible=True, title="detail along {of}", ends=SIZE),
    "two-sample auc": Key("fidelity", "quality", visible=True, ends=SHARE),
    "fluency": Key("fidelity", "quality", visible=True),
    "loops": Key("fidelity", "quality", visible=True, ends=SHARE),
    "invented words": Key("fidelity", "quality", visible=True, decides=False, ends=SHARE),
    "rules": Key("fidelity", "quality", visible=True, ends=SHARE),
    "dangling keys": Key("fidelity", "quality", title="{of} dangling keys", ends=SHARE),
    # Fidelity of the whole: how all items together are distributed, which nobody sees in one of them.
    "frechet distance": Key("fidelity", "quality", decides=False, ends=SIZE),
    "pixel frechet distance": Key("fidelity", "quality", decides=False, ends=SIZE),
    "kernel distance": Key("fidelity", "quality", decides=False),
    "column shapes": Key("fidelity", "quality", ends=SHARE),
    "column pairs": Key("fidelity", "quality", ends=SHARE),
    "three-way marginals": Key("fidelity", "quality", decides=False, ends=SHARE),
    "formatting": Key("fidelity", "quality", ends=SHARE),
    "missingness": Key("fidelity", "quality", ends=SHARE),
    "cardinality": Key("fidelity", "quality", title="{of} cardinality"),
    "gaps": Key("fidelity", "quality", title="{of} gaps"),
    "parent-child pairs": Key("fidelity", "quality", title="{of} parent-child pairs"),
    "sequences": Key("fidelity", "quality", title="{of} sequences"),
    "compression": Key("fidelity", "quality", decides=False),
    "length": Key("fidelity", "quality", decides=False),
    "layout": Key("fidelity", "quality", decides=False),
    "bits per character": Key("fidelity", "quality", decides=False),
    "bits per byte": Key("fidelity", "quality", decides=False),
    # Diversity: whether everything that real data shows is made.
    "recall": Key("diversity", "quality", ends=SHARE),
    "coverage": Key("diversity", "quality", ends=SHARE),
    "clipped coverage": Key("diversity", "quality", decides=False, ends=SHARE),
    "vendi": Key("diversity", "quality", decides=False, ends=(1.0, math.inf)),
    "missing classes": Key("diversity", "quality", ends=SIZE),
    "missing modes": Key("diversity", "quality", ends=SIZE),
    "rare categories": Key("diversity", "quality", ends=SHARE),
    "own-feature mauve": Key("diversity", "quality", ends=SHARE),
    "distinct-2": Key("diversity", "quality", decides=False),
    "self-bleu": Key("diversity", "quality", decides=False),
    "missing words": Key("diversity", "quality", ends=SHARE),
    "missing openings": Key("diversity", "quality", decides=False),
    # Bias: in which proportions.
    "class balance": Key("bias", "quality", ends=SHARE),
    "balance": Key("bias", "quality", title="{of} balance"),
    "word balance": Key("bias", "quality", decides=False),
    # Descriptors: what a codec reads off each record, such as length or loudness.
    "descriptor": Key("descriptors", "quality", title="{of}"),
    # Memory: whether training records come back.
    "copy rate": Key("memory", "copying", ends=SHARE),
    "near copies": Key("memory", "copying", ends=SHARE),
    "nearest record share": Key("memory", "copying", decides=False, ends=SHARE),
    "authenticity": Key("memory", "copying", decides=False, ends=SHARE),
    "ct": Key("memory", "copying", decides=False),
    "verbatim run": Key("memory", "copying"),
    # Privacy: what can be told about single records.
    "membership": Key("privacy", "privacy", ends=SHARE),
    "personal data": Key("privacy", "privacy"),
    # Usefulness: what a learner learns from it.
    "usefulness": Key("usefulness", "quality", ends=SIZE),
    "lift": Key("usefulness", "quality", decides=False),
    # Worth: what making and using it shows.
    "gate share": Key("worth", "worth", decides=False),
    "exchange rate": Key("worth", "worth", decides=False),
}
