"""Whether a made row breaks a rule that a person declared."""

from __future__ import annotations

import numpy as np

from karat.curation.gate import Candidates, Gate, Reasons, flagged


class Rules(Gate):
    name = "rules"

    def reasons(self, some: Candidates) -> Reasons:
        out = flagged(np.zeros(len(some), bool), "")
        rules = getattr(some.view, "broken", {}) if some.codec.repeats else {}  # of rows
        for rule, broken in rules.items():
            if broken.any():
                out = np.where((out == "") & broken, f"rows that break {rule}"[:200], out)
        return out
