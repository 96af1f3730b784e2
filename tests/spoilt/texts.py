"""Passages of plays, and what is done to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from spoilt.bench import Bench, Rng, some

Texts = list[str]
FRENCH = (
    "le la un une de du et mais pour dans avec sans sous jour nuit soleil maison coeur amour roi reine mort vie ciel terre "
    "parle donne prend vient reste regarde jamais toujours encore bien mal grand petit noir blanc doux vieux jeune"
).split()


def at(x: Texts, share: float, rng: Rng, how: Callable[[str], str]) -> Texts:
    rows = set(some(np.arange(len(x)), share, rng).tolist())
    return [how(text) if i in rows else text for i, text in enumerate(x)]


def shuffled(text: str, rng: Rng) -> str:
    return "\n".join(" ".join(rng.permutation(line.split(" "))) for line in text.split("\n"))


def swapped(text: str, one: str, other: str) -> str:
    return text.replace(one, "\0").replace(other, one).replace("\0", other)


def crossed(x: Texts, rng: Rng, share: float) -> Texts:
    """Passages of which the second half is that of another one."""
    rows = some(np.arange(len(x)), share, rng)
    out = list(x)
    for i, j in zip(rows, np.roll(rows, 1), strict=True):
        a, b = x[i].split("\n"), x[j].split("\n")
        out[i] = "\n".join(a[: len(a) // 2] + b[len(b) // 2 :])
    return out


def speakers(x: Texts, rng: Rng) -> Texts:
    """What is said is said by anybody: names before a colon at the end of a line are dealt out anew."""
    spots = [(i, j) for i, text in enumerate(x) for j, line in enumerate(text.split("\n")) if line.endswith(":")]
    out = [text.split("\n") for text in x]
    names = [out[i][j] for i, j in spots]
    for (i, j), name in zip(spots, rng.permutation(names), strict=True):
        out[i][j] = str(name)
    return ["\n".join(lines) for lines in out]


TEXTS: dict[str, Callable[[Texts, Rng], Texts]] = {
    "5% of the passages are other made ones again": lambda x, r: (
        x[: -len(x) // 20] + x[: len(x) - len(x[: -len(x) // 20])]
    ),
    "one passage thirty times": lambda x, r: x[30:] + [x[7]] * 30,
    "5% in another language": lambda x, r: at(
        x, 0.05, r, lambda t: " ".join(str(w) for w in r.choice(FRENCH, len(t.split())))
    ),
    "the words of a line in disorder in 10%": lambda x, r: at(x, 0.1, r, lambda t: shuffled(t, r)),
    "10% in small letters": lambda x, r: at(x, 0.1, r, str.lower),
    "every 'not' left out": lambda x, r: [t.replace(" not ", " ") for t in x],
    "'he' and 'she', 'his' and 'her' exchanged": lambda x, r: [
        swapped(swapped(t, " he ", " she "), " his ", " her ") for t in x
    ],
    "half of the passages end with another's lines": lambda x, r: crossed(x, r, 0.5),
    "names of the speakers dealt out anew": speakers,
    "a date in figures in 3%": lambda x, r: at(x, 0.03, r, lambda t: t + " on 14/03/2019"),
}


def plays(data: Path, real: int = 3500, fresh: int = 1200, length: int = 200) -> Bench:
    text = (data / "text" / "tinyshakespeare.txt").read_text(encoding="utf-8")
    parts, now = list[str](), ""
    for speech in text.split("\n\n"):
        now = f"{now}\n{speech}" if now else speech
        if len(now) >= length:
            parts.append(now)
            now = ""
    order = np.random.default_rng(3).permutation(len(parts))
    a, b = ([parts[i] for i in rows] for rows in (order[:-fresh][:real], order[-fresh:]))

    def write(x: Texts, path: Path) -> Path:
        goal = path.with_suffix(".csv")
        pd.DataFrame({"text": x}).to_json(goal.with_suffix(".jsonl"), orient="records", lines=True)
        return goal.with_suffix(".jsonl")

    return Bench(a, b, write, TEXTS, {})
