"""Generators of text whose worth is known, on which the assay of text is proved.

`REFERENCES` says which findings must speak of each; where there are labels the collapser and the skewer work on them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from karat.assays.references.reference import Case, Reference, bootstrap, oracle, overdrawn
from karat.assays.text.wording import holding
from karat.assays.text.writing import IDEOGRAPH, WORD, openings, terms
from karat.views import TextView


def _altered(text: str, how: int, rng: np.random.Generator) -> str:
    """`text` with a few characters or words changed, its lines in another order, or in capitals."""
    if how == 0:
        letters = list(text)
        for i in rng.integers(len(letters), size=max(1, len(letters) // 60)):
            letters[i] = letters[int(rng.integers(len(letters)))]
        return "".join(letters)
    if how == 1:
        found = list(WORD.finditer(text))
        out = text
        for i in sorted(rng.permutation(len(found))[: max(1, len(found) // 4)], reverse=True):
            other = found[int(rng.integers(len(found)))][0]
            out = out[: found[i].start()] + other + out[found[i].end() :]
        return out
    lines = text.split("\n")
    if how == 2 and len(lines) > 1:
        return "\n".join(lines[i] for i in rng.permutation(len(lines)))
    return text.swapcase()


def copier(case: Case[TextView], *, share: float = 0.05) -> TextView:
    """Unseen real passages, but a `share` are training passages slightly altered.

    In turn: one character in 60 is another one, one word in four is, the lines are reordered, small letters are capitals.
    """
    out = case.fresh()
    count = max(1, round(share * len(out)))
    rows = case.rng.permutation(len(case.train))[:count]
    copies = tuple(_altered(case.train.texts[int(r)], i % 4, case.rng) for i, r in enumerate(rows))
    labels = (
        None
        if out.labels is None or case.train.labels is None
        else np.append(case.train.labels[rows], out.labels[count:])
    )
    return replace(out, texts=copies + out.texts[count:], labels=labels, rows=None)


def collapser(case: Case[TextView]) -> TextView:
    """Unseen real passages without one class; without labels, without one of the commonest openings of lines.

    It is one that 6% to 40% of the passages have.
    """
    held = _group(case, 0.06, 0.4)
    return replace(case, unseen=case.unseen.take(np.flatnonzero(~held))).fresh()


def skewer(case: Case[TextView], *, times: float = 4.0) -> TextView:
    """Unseen real passages with one class, or else opening of lines, `times` as often, none of them twice."""
    return overdrawn(case, _group(case, 0.05, 0.25), times)


def _group(case: Case[TextView], low: float, high: float) -> np.ndarray:
    """bool [n]: the passages of `unseen` that are of one class, or hold one opening or word, that so many have."""
    train, unseen, rng = case.train, case.unseen, case.rng
    if unseen.labels is not None and train.labels is not None:
        share = np.bincount(train.labels) / len(train)
        fit = np.flatnonzero((share >= low) & (share <= high))
        if len(fit):
            return np.asarray(unseen.labels == int(fit[rng.integers(len(fit))]))
    for of in (openings, terms):
        held = holding(unseen, unseen, train, of)
        least = np.minimum(held.shares[1], held.shares[2])
        named = np.array([x.endswith(":") for x in held.strings], bool)
        fit = np.flatnonzero((least >= low) & (held.shares[2] <= high) & (named if named[least >= low].any() else True))
        if len(fit):
            top = fit[np.argsort(-least[fit], kind="stable")][:5]
            one = held.strings[int(top[rng.integers(len(top))])]
            return np.array([one in set(of(text)) for text in unseen.texts])
    return np.zeros(len(unseen), bool)


def blurrer(case: Case[TextView]) -> TextView:
    """Unseen real passages whose rarer words are the nearest commoner ones: half of all words are among 60."""
    out = case.fresh()
    known, count = np.unique([w for t in case.train.texts[:2000] for w in WORD.findall(t)], return_counts=True)
    common = known[np.argsort(-count, kind="stable")[:60]]
    kept = set(common.tolist())

    def dull(text: str) -> str:
        return WORD.sub(
            lambda w: w[0] if w[0] in kept or case.rng.random() < 0.5 else str(common[case.rng.integers(60)]), text
        )

    return replace(out, texts=tuple(dull(t) for t in out.texts), rows=None)


def shuffler(case: Case[TextView]) -> TextView:
    """Unseen real passages with the words of each line in another order; ideographs are words."""
    out = case.fresh()

    def mixed(line: str) -> str:
        parts = list(line) if IDEOGRAPH.search(line) else line.split(" ")
        return ("" if IDEOGRAPH.search(line) else " ").join(parts[i] for i in case.rng.permutation(len(parts)))

    return replace(out, texts=tuple("\n".join(map(mixed, t.split("\n"))) for t in out.texts), rows=None)


def looper(case: Case[TextView], *, share: float = 0.1) -> TextView:
    """Unseen real passages, a `share` of which say a piece of a line again and again from the middle on."""
    out = case.fresh()
    texts = list(out.texts)
    for i in range(max(1, round(share * len(texts)))):
        text = texts[i]
        unit = text[len(text) // 2 :][: int(case.rng.integers(5, 30))]
        texts[i] = (text[: len(text) // 2] + unit * (1 + len(text) // max(1, 2 * len(unit))))[: len(text)]
    return replace(out, texts=tuple(texts), rows=None)


def noise(case: Case[TextView]) -> TextView:
    """Characters by themselves, as often as in the training text, as many as unseen passages have."""
    letters, count = np.unique(list("".join(case.train.texts[:2000])), return_counts=True)
    out = case.fresh()
    texts = tuple("".join(case.rng.choice(letters, len(t), p=count / count.sum())) for t in out.texts)
    return replace(out, texts=texts, rows=None)


REFERENCES: dict[str, Reference[TextView]] = {
    "oracle": Reference(oracle),
    "bootstrap": Reference(bootstrap, ("verbatim run", "copy rate", "near copies")),
    "copier": Reference(
        copier, ("near copies",), "share", (0.02, 0.05, 0.1, 0.2), 0.05, "{strength:.0%} altered copies"
    ),
    "collapser": Reference(collapser, ("missing openings",)),
    "blurrer": Reference(blurrer, ("two-sample auc", "fluency", "distinct-2")),
    "skewer": Reference(skewer, ("word balance",), "times", (2, 3, 4), 4, "one group {strength:g} times as often"),
    "shuffler": Reference(shuffler, ("two-sample auc", "fluency")),
    "looper": Reference(looper, ("loops",), "share", (0.02, 0.05, 0.1), 0.1, "{strength:.0%} loop"),
    "noise": Reference(noise, ("two-sample auc", "fluency", "invented words", "own-feature mauve")),
}
LABELLED = {"collapser": ("missing classes",), "skewer": ("class balance",)}  # where the passages have labels
