"""What a raised finding is about, by name: what is missing, which groups come too often, which columns or rules are off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from karat.assays.details.records import Balance
from karat.assays.details.rows import (
    ColumnPairs,
    ColumnShapes,
    Combinations,
    Combined,
    Formatting,
    Groups,
    Marginals,
    OutOfRange,
    Rules,
)
from karat.languages import Language
from karat.report.drawing import share

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding

GAP = 0.02  # of all records, by which a group's share must be off to be named


def named(f: Finding, language: Language) -> tuple[str, ...]:
    """Names, worst first; () where the finding has none."""
    match f.detail:
        case Balance(names=names, made=made, real=real, column=column):
            gaps = sorted(zip(names, made, real, strict=True), key=lambda x: -abs(x[1] - x[2]))
            return tuple(
                language.say(
                    "board.share_of", name=f"{column} = {name}" if column else name, made=share(m), real=share(r)
                )
                for name, m, r in gaps
                if abs(m - r) > GAP
            )
        case ColumnShapes(off=off):
            return tuple(off)
        case ColumnPairs(worst=worst) | Marginals(worst=worst):
            return tuple(_crossed(one.columns, language) for one in worst)
        case Rules(rules=rules):
            return tuple(language.again(one.rule) for one in rules if one.off)
        case OutOfRange(columns=columns):
            return tuple(f"{language.again(one.column)} = {one.furthest}" for one in columns if one.off)
        case Combinations(odd=odd, new=new, examples=examples):
            return (*(_among(one, language) for one in odd), *([_crossed(new, language)] if examples else []))
        case Groups(groups=groups):
            return tuple(_among(one, language) for one in groups)
        case Formatting(columns=columns):
            return tuple(one.column for one in columns if one.off)
    return f.missing


def _crossed(names: Sequence[str], language: Language) -> str:
    return " × ".join(language.again(name) for name in names)


def _among(one: Combined, language: Language) -> str:
    """Values that come together, with the share of the rows with all but one of them that have that one too."""
    made, real = share(one.made / one.of_made), share(one.real / one.of_real)
    given, values = language.again(one.given), language.again(one.values)
    name = f"{given} → {values}" if given else values
    return language.say("board.share_of", name=name, made=made, real=real)
