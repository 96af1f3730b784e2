"""What the names of columns and tables say of keys: customer_id, customer, home_team_id, manager_id."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

_GENERIC = ("id", "key", "code", "name", "uuid", "guid", "no", "nr", "number", "pk", "sk", "fk", "")
# What another row of the same table is to a row.
_RELATIVES = frozenset(
    re.findall(
        r"\S+",
        "parent manager boss supervisor superior chief lead leader head reports reply replies previous prev next predecessor "
        "successor mother father dam sire mentor referrer referred inviter invited sponsor root ancestor original master "
        "duplicate replaces replaced superseded supersedes partner spouse twin mgr sup vorgesetzter eltern padre madre",
    )
)
_RELATIVES_WIDE = re.compile(r"上级|父级?|主管|经理|领导|推荐人|介绍人")
_PEOPLE = frozenset(
    re.findall(
        r"\S+",
        "sender recipient receiver owner author creator editor reviewer assignee reporter buyer seller payer payee borrower "
        "lender driver doctor physician patient teacher student host guest winner loser home away origin destination source "
        "target from to by",
    )
)


def words(name: str) -> tuple[str, ...]:
    """The words of a name in small letters, without the numbers that tell like columns apart."""
    spread = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    found = [re.sub(r"\d+$", "", w) for w in re.split(r"[\W_]+", spread.lower())]
    return tuple(w for w in found if w)


def one(word: str) -> str:
    """The singular of a word."""
    return re.sub(r"ies$", "y", word) if word.endswith("ies") else re.sub(r"(?<=s|x|z|h)es$|s$", "", word)


def generic(column: str) -> bool:
    """Whether the name of a column says nothing of a table."""
    return re.sub(r"[\W_]+", "", column.lower()) in _GENERIC


def referring(column: str) -> bool:
    """Whether a name sounds as if it were a key, or somebody."""
    own = words(column)
    return bool(own) and (own[-1] in _GENERIC or bool(set(own) & (_PEOPLE | _RELATIVES)) or relative(column))


def relative(column: str) -> bool:
    """Whether a name says what another row of the same table is to a row."""
    return bool(set(words(column)) & _RELATIVES) or bool(_RELATIVES_WIDE.search(column))


def numbers(few: pa.Array) -> bool:
    """Whether some of the words are whole numbers."""
    return bool(pc.any(pc.match_substring_regex(few, r"^[+-]?\d+$")).as_py())


def alike(column: str, parent: str, key: str, own: bool) -> int:
    """How well the name of a column fits a key of a table: 0 not at all, 4 best.

    own: whether the column stands in the same table.
    """
    parent = parent.rpartition(".")[2]  # the schema of a database before it
    mine, theirs = (re.sub(r"[\W_]+", "", name.lower()) for name in (column, key))
    whole = re.sub(r"[\W_]+", "", parent.lower())
    of = {whole, one(whole)}
    bare = theirs in _GENERIC or any(theirs in (n + g for g in _GENERIC) for n in of)  # id, or customer_id of customers
    if mine == theirs and mine not in _GENERIC:
        return 4 if any(mine.startswith(name) for name in of) else 3
    full = {name + theirs for name in of} | (of if bare else set())
    if bare:
        full |= {name + g for name in of for g in ("id", "key", "no", "code")}
    if mine in full and mine not in _GENERIC:
        return 4
    if any(len(name) > 3 and mine.endswith(name) for name in full):
        return 2
    spoken, last = words(column), words(key)
    table = words(parent)
    tails = [tail for tail in (last, (*table, *last), (*table[:-1], one(table[-1]), *last) if table else ()) if tail]
    if bare and table:
        tails += [
            table,
            (*table[:-1], one(table[-1])),
            (one(table[-1]),),
            *((one(table[-1]), g) for g in ("id", "key", "no")),
        ]
    for tail in tails:
        if "".join(tail) in _GENERIC:
            continue
        k = len(tail)
        if spoken == tail or len(spoken) > k and (spoken[-k:] == tail or spoken[:k] == tail):
            return 2
    if (
        own
        and relative(column)
        and not relative(key)
        and (spoken[-1:] == last[-1:] or spoken[-1:] and spoken[-1] not in _GENERIC)
    ):
        return 1
    return 0
