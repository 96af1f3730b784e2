"""Decides what a column holds, from all its cells and its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.table.personal import sensitive
from karat.content.table.schema import datetimes as moments
from karat.content.table.schema import number_formats as numerals
from karat.content.table.schema.columns import WHOLE, Column, Kind
from karat.content.table.schema.values import chunk, native, numbers, texts

ENTRIES = 20_000  # of a dictionary that are kept, in their order
MANY = 20  # different numbers, among which one word says that a number is missing, and
RARELY = 0.1  # of the cells that it stands in, at most
_LIMIT = r"^\s*[{}][=]?\s*[0-9][0-9.,]*\s*$"
_WORD = r"^[^0-9]*\p{L}[^0-9]*$"
CATEGORIES = 100_000  # the most values that a category may have

# Spellings of a missing cell: those that can mean nothing else, and those that are words in a column of words.
_CLEAR = ("\\N", "#N/A", "<NA>", "NaN", "nan", "NULL", "NaT", "(null)", "(NULL)")
_MARKERS = (
    *_CLEAR,
    "NA",
    "N/A",
    "n/a",
    "na",
    "NAN",
    "null",
    "Null",
    "None",
    "none",
    "NONE",
    "-",
    "--",
    "---",
    "?",
    "??",
    ".",
    "nil",
    "N.A.",
    "n.a.",
    "#N/A N/A",
    "#NA",
    "#VALUE!",
    "#DIV/0!",
    "#REF!",
    "<NULL>",
    "<null>",
    "missing",
    "Missing",
    "unknown",
    "无",
    "缺失",
    "空",
    "未知",
    "不详",
)
_PAIRS = (
    "true false",
    "True False",
    "TRUE FALSE",
    "yes no",
    "Yes No",
    "YES NO",
    "y n",
    "Y N",
    "t f",
    "T F",
    "on off",
    "On Off",
    "ON OFF",
    "是 否",
    "对 错",
    "有 无",
    "ja nein",
    "Ja Nein",
    "oui non",
    "Oui Non",
    "sí no",
    "Sí No",
)
_BOOLEANS = {frozenset(pair.split()): tuple(pair.split()) for pair in _PAIRS}
_ID = re.compile(
    r"(?:^|[_\s\-.#])(?:id|uuid|guid|key|serial)s?$|[a-z](?:ID|Id|UUID|Uuid)$|^(?:id|uuid)[_\s\-.]|"
    r"(?:order|invoice|account|customer|member|policy|contract|ticket|receipt|serial|case)[_\s\-.]?(?:no|nr|num|number|code)\.?$|"
    r"(?:编号|序号|学号|工号|单号|流水号|订单号|账号|ID|id)$",
    re.IGNORECASE,
)


def column(name: str, cells: pa.ChunkedArray, place: str, typed: bool, comma: bool) -> Column:
    """What the column of that name at `place` holds.

    typed: whether its source has types of its own.   comma: whether the file marks decimals by commas.
    """
    values = chunk(cells)
    arrow = str(values.type) if typed else ""
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
        arrow = str(values.type)
    entries: tuple[str, ...] = ()
    if isinstance(values, pa.DictionaryArray):
        found = values.dictionary
        if len(found) <= ENTRIES and not found.null_count:
            entries = tuple(texts(found, place, name).to_pylist())
        values = values.dictionary_decode()
    kinds = native(values.type)
    out = _typed(name, values, kinds[0]) if kinds else _strings(name, texts(values, place, name), comma)
    out = replace(out, arrow=arrow, whole=pa.types.is_integer(values.type) if typed else out.whole)
    if entries and not out.made:  # whoever made it a category meant one, of numbers too
        gone = ("",) if values.null_count else ()
        return Column(name, "category", values=entries, missing=gone, arrow=arrow)
    return out


def is_id(name: str) -> bool:
    """Whether a header says that the column identifies."""
    return _ID.search(name.strip()) is not None


def _strings(name: str, cells: pa.Array, comma: bool) -> Column:
    coded = cells.dictionary_encode()
    uniques = coded.dictionary
    where = coded.indices.drop_null().to_numpy(zero_copy_only=False)
    counts = np.bincount(where, minlength=len(uniques))
    found = _spelled(name, uniques, counts, cells.null_count, comma)
    return replace(found, whole=found.kind in WHOLE and _plainly(found, uniques))


def _plainly(found: Column, uniques: pa.Array) -> bool:
    """Whether all that is not missing are whole numbers of 64 bits, without a sign or a zero that a number would lose."""
    there = uniques.filter(pc.invert(pc.is_in(uniques, value_set=pa.array(found.missing, pa.string()))))
    if not len(there) or not pc.all(pc.match_substring_regex(there, "^(0|-?[1-9][0-9]{0,18})$")).as_py():
        return False
    try:
        there.cast(pa.int64())
    except pa.ArrowInvalid:
        return False
    return True


def _spelled(name: str, uniques: pa.Array, counts: np.ndarray, empty: int, comma: bool) -> Column:
    if not len(uniques):
        return Column(name, "constant", missing=("",) if empty else ())
    marks = pc.is_in(pc.utf8_trim_whitespace(uniques), value_set=pa.array(("", *_MARKERS))).to_numpy(
        zero_copy_only=False
    )
    rest, weights = uniques.filter(pa.array(~marks)), counts[~marks]
    spelled = dict(zip(uniques.filter(pa.array(marks)).to_pylist(), counts[marks].tolist(), strict=True))
    if empty:
        spelled[""] = spelled.get("", 0) + empty
    everything = tuple(sorted(spelled, key=lambda s: -spelled[s]))
    if len(rest):
        found = _known(name, rest, weights, comma, everything)
        if found is not None:
            if len(everything) > 1:
                note = f"missing cells are spelled {', '.join(map(repr, everything))}; made ones are spelled {everything[0]!r}"
                found = replace(found, notes=(*found.notes, note))
            return found
        found = _limited(name, rest, weights, comma, everything) or _but_one(name, rest, weights, comma, spelled)
        if found is not None:
            return found
    clear = [s for s in everything if s.strip() in _CLEAR]
    missing: tuple[str, ...] = ("",) if empty else tuple(clear[:1])
    if len(missing) == 1 and missing[0] and len(rest):
        gone = pc.equal(uniques, missing[0]).to_numpy(zero_copy_only=False)
        uniques, counts = uniques.filter(pa.array(~gone)), counts[~gone]
    else:
        missing = ("",) if empty else ()
    if len(uniques) == 1:
        return Column(name, "constant", values=(uniques[0].as_py(),), missing=missing)
    return _words(name, uniques, counts, missing, everything)


def _but_one(name: str, rest: pa.Array, counts: np.ndarray, comma: bool, spelled: Mapping[str, int]) -> Column | None:
    """The column of many numbers or moments among which one word stands, as a sensor writes ERR: where it does, none is known."""
    odd = pc.match_substring_regex(rest, _WORD).to_numpy(zero_copy_only=False)
    if odd.sum() != 1 or len(rest) <= MANY or counts[odd].sum() > RARELY * counts.sum():
        return None
    (word,) = rest.filter(pa.array(odd)).to_pylist()
    every = {**spelled, word: int(counts[odd].sum())}
    missing = tuple(sorted(every, key=lambda s: -every[s]))
    found = _known(name, rest.filter(pa.array(~odd)), counts[~odd], comma, missing)
    if found is None or found.kind not in ("integer", "decimal", "date", "datetime", "time") or found.unique:
        return None
    made = f", made ones spelled {missing[0]!r}" if len(missing) > 1 else ""
    return replace(found, notes=(*found.notes, f"{word!r} stands where nothing is known: taken for missing{made}"))


def _limited(name: str, rest: pa.Array, counts: np.ndarray, comma: bool, missing: tuple[str, ...]) -> Column | None:
    """The column of many numbers, some of which could be measured only as below one limit or above one: these lie beyond all."""
    low, high = (pc.match_substring_regex(rest, _LIMIT.format(sign)).to_numpy(zero_copy_only=False) for sign in "<>")
    odd = low | high
    if not odd.any() or low.sum() > 1 or high.sum() > 1 or len(rest) <= MANY:
        return None
    found = _known(name, rest.filter(pa.array(~odd)), counts[~odd], comma, missing)
    if found is None or found.kind not in ("integer", "decimal") or found.unique or found.infinite:
        return None
    words = [rest.filter(pa.array(one)).to_pylist() for one in (low, high)]
    examples = " and ".join(repr(every[0]) for every in words if every)
    note = f"{examples} says on which side of what is measured: learned as a value of its own beyond all numbers"
    spelled = (words[0][0] if low.any() else "-inf", words[1][0] if high.any() else "inf")
    return replace(found, kind="decimal", infinite=spelled, notes=(*found.notes, note))


def _known(name: str, rest: pa.Array, counts: np.ndarray, comma: bool, missing: tuple[str, ...]) -> Column | None:
    """The column where its cells, but for the missing ones, are numbers, moments, booleans or personal."""
    n = int(counts.sum())
    low = len(rest) <= 2 and n > len(rest) or len(rest) <= 50 and len(rest) < n / 10
    if not low and (personal := sensitive.recognise(name, rest)) is not None:
        unique = len(rest) == n and n > 4
        bare = Column(name, personal, missing=missing, unique=unique)
        return replace(bare, learned=sensitive.learn(bare, rest, counts))
    if len(rest) == 1:
        if any(s != "" for s in missing) and not (numerals.find(rest, counts, comma) or moments.find(rest, counts)):
            return None
        return Column(name, "constant", values=(rest[0].as_py(),), missing=missing)
    if len(rest) == 2 and (pair := _BOOLEANS.get(frozenset(rest.to_pylist()))) is not None:
        return Column(name, "boolean", values=(pair[0], pair[1]), missing=missing)
    moment = moments.find(rest, counts)
    if moment is not None:
        notes = (*moment.notes, *_uneven(moment.even))
        return Column(name, moment.kind, format=moment.format, zone=moment.zone, missing=missing, notes=notes)
    endless = pc.match_substring_regex(rest, numerals.INFINITE).to_numpy(zero_copy_only=False)
    if endless.any() and not endless.all():
        number = numerals.find(rest.filter(pa.array(~endless)), counts[~endless], comma)
        return (
            None
            if number is None
            else _infinite(name, number, rest.filter(pa.array(endless)), counts[endless], missing)
        )
    number = numerals.find(rest, counts, comma)
    if number is None:
        return None
    out = Column(
        name,
        number.kind,
        number.places,
        None if number.least == number.places else number.least,
        number.how.format(),
        missing=missing,
        notes=_uneven(number.even),
    )
    if number.kind == "integer":
        whole = numerals.read(rest, number.how, True)
        return _identified(out, whole, rest, counts)
    return out


def _infinite(
    name: str, number: numerals.Found, endless: pa.Array, counts: np.ndarray, missing: tuple[str, ...]
) -> Column:
    """The column of numbers of which some are infinite, spelled as the commonest are."""
    order = np.argsort(-counts, kind="stable")
    words = endless.take(pa.array(order)).to_pylist()
    low = next((w for w in words if w.strip().startswith("-")), None)
    high = next((w for w in words if not w.strip().startswith("-")), None)
    high = high if high is not None else str(low).replace("-", "", 1)
    spelled = (low if low is not None else f"-{high.strip().removeprefix('+')}", high)
    shown = sorted({w for w in words if w not in spelled})
    notes = (
        (f"infinite cells are spelled {', '.join(map(repr, words))}; made ones {spelled[0]!r} and {spelled[1]!r}",)
        if shown
        else ()
    )
    return Column(
        name,
        "decimal",
        number.places,
        None if number.least == number.places else number.least,
        number.how.format(),
        missing=missing,
        notes=(*_uneven(number.even), *notes),
        infinite=spelled,
    )


def _words(
    name: str, uniques: pa.Array, counts: np.ndarray, missing: tuple[str, ...], marks: tuple[str, ...]
) -> Column:
    """An identifier, a text or a category."""
    n, u = int(counts.sum()), len(uniques)
    category = Column(name, "category", missing=missing)
    near = _nearly(uniques, counts) if u > 10 and not is_id(name) else ""
    if near and u <= CATEGORIES:
        return replace(category, notes=(near,))
    if u > max(20, n // 2):
        sample = uniques[:: max(1, u // 1000)].to_pylist()
        size = float(np.mean([len(s) for s in sample]))
        words = float(np.mean([s.count(" ") + 1 for s in sample]))
        wide = float(np.mean([sum(c > "\u2e7f" for c in s) for s in sample]))
        kind: Kind = "category"
        if words >= 4 and size >= 16 or wide >= 10 or size >= 60 and words > 1:
            kind = "text"
        elif u >= 0.95 * n and (is_id(name) or words < 3 and sensitive.shaped(uniques)):
            kind = "identifier"
        elif u > CATEGORIES or u >= 0.95 * n and n >= 100:
            kind = "text" if words >= 1.5 or wide >= 2 else "identifier"
        if kind != "category":
            gone = marks if set(marks) - {""} else missing
            if gone != missing:
                stay = pc.invert(pc.is_in(uniques, value_set=pa.array(gone)))
                uniques, counts = uniques.filter(stay), counts[stay.to_numpy(zero_copy_only=False)]
            bare = Column(name, kind, missing=gone, unique=kind == "identifier" and u == n)
            return replace(bare, learned=sensitive.learn(bare, uniques, counts))
    elif u > CATEGORIES:
        bare = Column(name, "text", missing=missing)
        return replace(bare, learned=sensitive.learn(bare, uniques, counts))
    return category


def _nearly(uniques: pa.Array, counts: np.ndarray) -> str:
    """What to tell a person of a column of words that would be numbers or dates but for a few cells."""
    for word, shape in (
        ("numbers", r"^\s*[+-]?[0-9][0-9.,]*\s*$"),
        ("dates", r"^[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}"),
    ):
        fits = pc.match_substring_regex(uniques, shape).to_numpy(zero_copy_only=False)
        share = counts[fits].sum() / counts.sum()
        if 0.9 <= share < 1 and (fits.mean() > 0.8 or (~fits).sum() <= 5):
            odd = uniques.filter(pa.array(~fits))[0].as_py()
            many = int((~fits).sum())
            return (
                f"{share:.1%} of the cells look like {word}, but {many} spelling{'s' * (many > 1)} like {odd[:30]!r} do not, so "
                f"that all are taken for words; --schema with kind and missing = [{odd[:30]!r}, ...] reads the rest as {word}"
            )
    return ""


def _identified(found: Column, whole: pa.Array, rest: pa.Array, counts: np.ndarray) -> Column:
    """The column of integers, or the identifier or category that it is by its header or its order."""
    n, u = int(counts.sum()), len(rest)
    named = is_id(found.name)
    if named and u > 100 and u < 0.9 * n and u <= CATEGORIES and not found.format:
        return replace(
            found, kind="category", notes=(*found.notes, "an identifier whose values repeat: learned as a category")
        )
    ends = pc.min_max(whole).as_py()
    wide = ends["max"] - ends["min"]
    if wide >= FAR and (far := _far(found, rest, counts, wide)) is not None:
        return far
    if u < max(2, 0.9 * n):
        return found
    x = whole.to_numpy(zero_copy_only=False)
    step = np.diff(x)
    years = x.min() >= 1800 and x.max() <= 2200
    running = u == n and n >= 10 and bool((step == step[0]).all()) and step[0] > 0 and not years
    if not (named or running) or found.format:
        gaps = np.diff(np.sort(x))
        # whole numbers of which none lacks, each once, in any order: a rank or a number of its own
        full = u == n and n >= 10 and bool((gaps == gaps[0]).all()) and not years and not found.missing
        return replace(found, unique=True) if full else found
    bare = replace(found, kind="identifier", unique=u == n)
    return replace(bare, learned=sensitive.learn(bare, rest, counts))


FAR = 2**53  # the least distance between whole numbers that a float does not tell from the next
HASHED = 2**61  # and between those that are spread over all that 64 bits hold


def _far(found: Column, rest: pa.Array, counts: np.ndarray, wide: int) -> Column | None:
    """The category or the identifier that whole numbers `wide` apart are: they are names, and no amounts; None where neither."""
    n, u = int(counts.sum()), len(rest)
    if u < 0.5 * n and u <= CATEGORIES:
        note = "whole numbers beyond 2^53 whose values repeat: learned as a category"
        return replace(found, kind="category", notes=(*found.notes, note))
    if wide < HASHED or found.format:
        return None
    bare = replace(found, kind="identifier", unique=u == n)
    return replace(bare, learned=sensitive.learn(bare, rest, counts))


UNEVEN = "of the cells are printed in another form than the rest"  # a note of columns whose print is not known for sure


def _uneven(even: float) -> tuple[str, ...]:
    return () if even == 1 else (f"{1 - even:.1%} {UNEVEN}; made ones are not",)


def _typed(name: str, values: pa.Array, kind: Kind) -> Column:
    """A column whose source says its type."""
    n = len(values) - values.null_count
    missing: tuple[str, ...] = ("",) if values.null_count else ()
    if n == 0:
        return Column(name, "constant", missing=missing)
    if kind == "boolean" or kind == "integer" and pa.types.is_duration(values.type):
        return Column(name, kind, missing=missing)
    if kind == "integer":
        ends = pc.min_max(values)
        low, high = ends["min"], ends["max"]
        if low == high and n > 1:
            return Column(name, "constant", values=(str(low.as_py()),), missing=missing)
        return _whole(name, values, missing, int(high.as_py()))
    if kind == "decimal":
        return _decimal(name, values, missing)
    return (
        _timestamp(name, values, missing) if pa.types.is_timestamp(values.type) else Column(name, kind, missing=missing)
    )


def _timestamp(name: str, values: pa.Array, missing: tuple[str, ...]) -> Column:
    notes: tuple[str, ...] = ()
    if values.type.unit == "ns" and pc.any(pc.not_equal(pc.nanosecond(values), 0)).as_py():
        notes = ("kept to the microsecond; the nanoseconds are dropped",)
    zone = {"Etc/UTC": "UTC", "Z": "UTC"}.get(values.type.tz or "", values.type.tz or "")
    return Column(name, "datetime", zone=zone, missing=missing, notes=notes)


def _decimal(name: str, values: pa.Array, missing: tuple[str, ...]) -> Column:
    """A column of floats or decimals: numbers, whole numbers, or what else all its cells are."""
    read = numbers(values)
    if read.null_count > values.null_count:
        if pa.types.is_floating(values.type):
            nans = int(pc.sum(pc.is_nan(values)).as_py())
            missing = ("nan", *missing) if nans >= values.null_count else (*missing, "nan") if nans else missing
        if read.null_count == len(read):
            return Column(name, "constant", missing=missing)
    x = read.drop_null().to_numpy(zero_copy_only=False)
    if pa.types.is_decimal(values.type):
        return _fixed(name, values, x, missing)
    endless = np.isinf(x)
    if endless.all():  # nothing between which they could lie
        words = ("-inf", "inf") if (x > 0).any() and (x < 0).any() else (str(x[0]),)
        return Column(
            name, "category" if len(words) == 2 else "constant", values=words[:1] * (len(words) == 1), missing=missing
        )
    spelled = ("-inf", "inf") if endless.any() else ()
    x = x[~endless]
    minus = bool((np.signbit(x) & (x == 0)).any())
    if (x == np.rint(x)).all() and np.abs(x).max() < 2.0**53:
        if spelled or minus:  # which whole numbers of 64 bits are not
            return Column(name, "decimal", missing=missing, infinite=spelled)
        return Column(name, "integer", missing=missing)
    places = _places(x if pa.types.is_float64(values.type) else values.drop_null().to_numpy(zero_copy_only=False))
    if places is None:
        return Column(name, "decimal", 17, 0, missing=missing, infinite=spelled)
    return Column(name, "decimal", places, missing=missing, infinite=spelled)


def _fixed(name: str, values: pa.Array, x: np.ndarray, missing: tuple[str, ...]) -> Column:
    """A column of decimals with as many places as its type says; `x` are its numbers."""
    places = max(values.type.scale, 0)
    notes: tuple[str, ...] = ()
    most = np.abs(x).max() if x.size else 0.0
    if most * 10.0**places > 2.0**53:
        notes = ("digits beyond the sixteenth are not kept",)
    if not places and most >= 2.0**63:
        coded = values.drop_null().cast(pa.string()).dictionary_encode()
        tally = np.bincount(coded.indices.to_numpy(zero_copy_only=False), minlength=len(coded.dictionary))
        far = _far(Column(name, "integer", missing=missing), coded.dictionary, tally, HASHED)
        assert far is not None
        return far
    return Column(name, "decimal" if places else "integer", places, missing=missing, notes=notes)


def _places(x: np.ndarray) -> int | None:
    """The decimals, 1 to 7, that all finite numbers of `x` have at most; None where they are more."""
    x = x[np.isfinite(x)]
    few = x[:2000]
    for places in range(1, 8) if float(np.abs(x).max()) < 1e15 else ():  # else no decimals are left
        if all((np.round(part.astype(float), places).astype(part.dtype) == part).all() for part in (few, x)):
            return places
    return None


def _whole(name: str, values: pa.Array, missing: tuple[str, ...], high: int) -> Column:
    out = Column(name, "integer", missing=missing)
    coded = values.dictionary_encode()
    uniques = coded.dictionary
    counts = np.bincount(coded.indices.drop_null().to_numpy(zero_copy_only=False), minlength=len(uniques))
    n, u = int(counts.sum()), len(uniques)
    low = u <= 2 and n > u or u <= 50 and u < n / 10
    if high >= 10**8 and not low:
        shown = uniques.cast(pa.string())
        personal = sensitive.recognise(name, shown)
        if personal is not None:
            bare = replace(out, kind=personal, unique=u == n and n > 4)
            return replace(bare, learned=sensitive.learn(bare, shown, counts))
    ends = pc.min_max(uniques).as_py()
    wide = int(ends["max"]) - int(ends["min"])
    if high > 2**63 - 1 or wide >= FAR:
        far = _far(out, uniques.cast(pa.string()), counts, max(wide, HASHED if high > 2**63 - 1 else 0))
        if far is not None:
            return far
    narrow = pa.types.is_integer(values.type) and values.type.bit_width < 32  # new numbers would soon not fit
    if (u >= 0.9 * n or is_id(name)) and not narrow:
        return _identified(out, uniques.cast(pa.int64()), uniques.cast(pa.string()), counts)
    return out
