"""What each finding is to find, in words that say how much of it."""

from __future__ import annotations

from karat.words import said, score

# By key, what the finding is to find. {least} stands for how much of it as a percentage, {twice} for twice as much, {right}
# for half of all and as much, {number} for the figure as it is.
FAULTS = {
    "precision": "{least} of what is made being no good",
    "density": "a density off by {least}",
    "clipped density": "{least} of what is made being no good",
    "sharpness": "fine structure {least} too weak or too strong",
    "detail": "fine structure {least} too weak or too strong",
    "two-sample auc": "{twice} of what is made being unlike real data",
    "fluency": "text {least} harder or easier to foretell",
    "loops": "{least} of the passages repeating themselves",
    "invented words": "{least} of the words being invented",
    "rules": "{least} of the rows breaking a rule",
    "out of range": "{least} of the rows holding a value out of range",
    "combinations": "{least} of the rows holding values that never come together",
    "outliers": "{least} of what is made being odd in one way",
    "mislabelled": "{least} of what is made having the wrong label",
    "dangling keys": "{least} of the keys leading nowhere",
    "frechet distance": "a distance {least} above that of real data",
    "pixel frechet distance": "a distance {least} above that of real data",
    "column shapes": "a column of which {least} would have to move",
    "column pairs": "a pair of columns of which {least} would have to move",
    "three-way marginals": "three columns of which {least} would have to move",
    "formatting": "a column of which {least} is printed otherwise",
    "missingness": "a column of which {least} is missing that should not be",
    "cardinality": "numbers of children of which {least} would have to move",
    "cardinality pairs": "numbers of children that lean otherwise on {least} of the parents",
    "parent-child auc": "{twice} of the children being unlike real ones",
    "parent-child pairs": "children that lean otherwise on {least} of their parents",
    "sequences": "rows that lean otherwise on {least} of those before them",
    "gaps": "gaps between rows of which {least} would have to move",
    "changes": "changes of which {least} would have to move",
    "autocorrelation": "an autocorrelation off by {number}",
    "volatility": "an autocorrelation of sizes off by {number}",
    "cross-correlation": "a correlation of two columns off by {number}",
    "drawdown": "falls of which {least} would have to move",
    "leverage": "a correlation of falls with what follows off by {number}",
    "seasonality": "a season off by {number} standard deviations",
    "compression": "text that packs {least} better or worse",
    "coherence": "passages of which a half takes up {least} fewer or more words of the other",
    "length": "lengths of which {least} would have to move",
    "layout": "lines of which {least} would have to move",
    "recall": "{least} of real data having nothing like it made",
    "coverage": "{least} of real data having nothing near it made",
    "clipped coverage": "{least} of real data having too little made near it",
    "vendi": "{least} less variety",
    "missing classes": "one lost class or category of {least}",
    "missing modes": "a lost group of {least}",
    "rare categories": "{least} of what is rare being lost",
    "own-feature mauve": "kinds of passage of which {least} would have to move",
    "distinct-2": "variety of words off by {number}",
    "self-bleu": "likeness of passages off by {number}",
    "repeats": "{least} of what is made repeating each other",
    "missing words": "a lost word that {twice} of the passages have",
    "missing openings": "a lost line opening that {twice} of the passages have",
    "groups": "a value that {least} of the rows have lost in one group",
    "class balance": "a group of {least} made twice as often",
    "balance": "a group of {least} made twice as often",
    "word balance": "a word of {least} of the passages made twice as often",
    "descriptor": "a mean off by {number} standard deviations",
    "copy rate": "{least} copies",
    "near copies": "{least} altered copies",
    "nearest record share": "{twice} copies, by how near they lie",
    "authenticity": "{least} of what is made lying too near to training records",
    "ct": "{twice} copies, by how near they lie",
    "verbatim run": "{least} copied passages",
    "membership": "an attacker who is right {right} of the time",
    "singling out": "{least} of the descriptions fitting a training row alone that would fit no unseen one alone",
    "linkability": "{least} of the rows being linked that would not be if unseen",
    "inference": "{least} of the rows being told a secret that would not be if unseen",
    "loss attack": "an attacker with the run who is right {right} of the time",
    "shadow attack": "an attacker with the run and shadow models who is right {right} of the time",
    "canaries": "an epsilon of {number} more than was promised",
    "personal data": "{least} of the passages repeating personal data",
    "usefulness": "{least} of what real data teach being lost",
    "forecast": "{least} of what real data foretell being lost",
    "lift": "made records that cost a learner {number}",
}


def fault(key: str, least: float | None, words: str | None = None) -> str:
    """A fault of the finding `key` of the size `least`: "3% copies", in `words` of another language; "" where it is not known."""
    words = FAULTS.get(key, "") if words is None else words
    if least is None or (least > 0.5 and ("{twice}" in words or "{right}" in words)):
        return ""
    number = score(float(f"{least:.2g}"))
    values = {"least": percent(least), "twice": percent(2 * least), "right": percent(0.5 + least), "number": number}
    return said(words, fault=key, **values)


def percent(share: float) -> str:
    """A share in two digits: 0.31%, 2.1%, 21%."""
    return f"{float(f'{100 * share:.2g}'):g}%"
