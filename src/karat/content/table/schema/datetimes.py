"""How a column prints dates, times and zones: found from the strings, read, and printed the same way again.

Formats are strptime's, with more: %-d %-m %-H %-I without a leading zero, %1f to %9f a fraction of so many digits,
%.f a fraction with its point that is absent when zero and else as short as needed, %.6f one that is absent when zero,
%P a lower-case am or pm, %^b and %^p upper and %_b lower-case names of months, %[de]B and %[de]b German ones, see `months`,
%z whatever the cell names as its zone.
"""

from __future__ import annotations

import calendar
import itertools
import re
import zoneinfo
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.table.schema import months

_SHORT, _LONG = list(calendar.month_abbr)[1:], list(calendar.month_name)[1:]
_DAYS, _WEEKDAYS = list(calendar.day_abbr), list(calendar.day_name)
_ZONE = r"(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?|[A-Z][A-Za-z_]+(?:/[A-Za-z_+\-0-9]+)+)"
_TOKEN = re.compile(r"%(?:[-^_]?[A-Za-z]|\[[a-z]{2}\][bB]|\.\d?f|\df|%)")
_DAY = 86_400_000_000  # microseconds

_NAMES = {
    "%b": _SHORT,
    "%B": _LONG,
    "%^b": [n.upper() for n in _SHORT],
    "%_b": [n.lower() for n in _SHORT],
    **months.NAMES,
}
_PATTERNS = {
    "%Y": r"(?P<Y>\d{4})",
    "%y": r"(?P<y>\d{2})",
    "%m": r"(?P<m>\d{2})",
    "%-m": r"(?P<m>\d{1,2})",
    "%d": r"(?P<d>\d{2})",
    "%-d": r"(?P<d>\d{1,2})",
    "%H": r"(?P<H>\d{2})",
    "%-H": r"(?P<H>\d{1,2})",
    "%I": r"(?P<I>\d{2})",
    "%-I": r"(?P<I>\d{1,2})",
    "%M": r"(?P<M>\d{2})",
    "%S": r"(?P<S>\d{2})",
    "%p": r"(?P<p>[AP]M)",
    "%P": r"(?P<p>[ap]m)",
    "%z": rf"(?P<z>{_ZONE})",
    "%f": r"(?P<f>\d{6})",
    "%.f": r"(?:\.(?P<f>\d{1,9}))?",
    "%%": "%",
    **{k: f"(?P<b>{'|'.join(map(re.escape, v))})" for k, v in _NAMES.items()},
    "%a": f"(?:{'|'.join(_DAYS)})",
    "%A": f"(?:{'|'.join(_WEEKDAYS)})",
    **{f"%{k}f": rf"(?P<f>\d{{{k}}})" for k in range(1, 10)},
    **{f"%.{k}f": rf"(?:\.(?P<f>\d{{{k}}}))?" for k in range(1, 10)},
}

# Where day and month could be told apart only by the values, the likelier order stands first.
_DATES = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y年%m月%d日",
    "%Y%m%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d.%m.%Y",
    "%m.%d.%Y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d-%m-%y",
    "%m-%d-%y",
    "%d.%m.%y",
    "%m.%d.%y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%d/%b/%Y",
    "%d %B %Y",
    "%d. %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%b %d %Y",
    "%a, %d %b %Y",
    "%Y-%m",
    "%Y/%m",
    "%Y年%m月",
    "%b %Y",
    "%B %Y",
    "%b-%y",
    *months.DATES,
)
_TIMES = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%I:%M:%S%p", "%I:%M%p", "%H%M%S", "%H时%M分%S秒", "%H时%M分")
_LOOSE = {
    **_PATTERNS,
    "%m": r"(?P<m>\d{1,2})",
    "%d": r"(?P<d>\d{1,2})",
    "%H": r"(?P<H>\d{1,2})",
    "%I": r"(?P<I>\d{1,2})",
    "%S": r"(?P<S>\d{2})(?:\.(?P<f>\d{1,9}))?",
    "%b": f"(?P<b>(?i:{'|'.join(_SHORT)}))",
    "%B": f"(?P<b>(?i:{'|'.join(_LONG)}))",
    "%p": r"(?P<p>(?i:[ap]m))",
}


@dataclass(frozen=True)
class Found:
    """The moments of a column, how they are printed, and what a person should know."""

    kind: Literal["date", "datetime", "time"]
    format: str
    zone: str  # "", "UTC", "+08:00", a name, or "mixed"
    even: float  # share of rows that print exactly as they were
    notes: tuple[str, ...] = ()


def find(values: pa.Array, counts: np.ndarray) -> Found | None:
    """How the distinct strings `values` [u], each `counts` [u] times there, print moments; None where they are none."""
    if not len(values):
        return None
    step = max(1, len(values) // 400)
    sample = values[::step].to_pylist()
    if not all(6 <= len(text) + 2 <= 48 and any(c.isdigit() for c in text) for text in sample[:20]):
        return None
    if all(text.isdigit() and len(text) != 8 for text in sample[:20]):
        return None
    fits: list[Found] = []
    for date, time in _forms(sample[0]):
        found = _fit(date, time, sample, values, counts)
        if found is not None and found.even > 0:
            fits.append(found)
            if "%m" not in date or date.startswith("%Y"):
                break  # no other order of day and month is possible
            if len(fits) == 2:
                break
    if not fits:
        return None
    if len(fits) == 1:
        return fits[0]
    first, second = fits  # days in a row read in the wrong order of day and month are spread over a year
    shorter = _span(values, second.format) * 2 < _span(values, first.format)
    best, other = (second, first) if shorter else (first, second)
    if best.format.replace("%-", "%") == other.format.replace("%-", "%"):
        return best
    word = "month before day" if best.format.find("m") < best.format.find("d") else "day before month"
    note = f"read as {word} ({best.format}); every cell would also be valid as {other.format}"
    return Found(best.kind, best.format, best.zone, best.even, (*best.notes, note))


def read(values: pa.Array, format: str, zone: str) -> tuple[pa.Array, pa.Array | None]:
    """int64 `[n]` microseconds of the strings `values` [n], null where one is not in the format, and their zones.

    Dates count from 1970, times from midnight; a `zone` makes UTC of them, where "mixed" each by the zone in its
    cell, which are then the second result.
    """
    if pc.any(pc.equal(values, "")).as_py():
        values = pc.if_else(pc.equal(values, ""), None, values)
    pattern = "^" + _regex(format, _PATTERNS) + "$"
    names = re.findall(r"\(\?P<(\w)>", pattern)
    if not names:
        return pa.nulls(len(values), pa.int64()), None
    got = pc.extract_regex(values, pattern)
    field = {name: pc.struct_field(got, name) for name in names}
    part = {name: _whole(field[name]) for name in names if name in "YymdHIMS"}
    n, ok = len(values), got.is_valid().to_numpy(zero_copy_only=False).copy()
    zero, one = np.zeros(n, np.int64), np.ones(n, np.int64)
    year = part.get("Y")
    if year is None:
        year = np.where(part["y"] < 69, 2000 + part["y"], 1900 + part["y"]) if "y" in part else zero + 1970
    month = part.get("m", one)
    if "b" in field:
        month = 1 + _index(field["b"], next(_NAMES[t] for t in _TOKEN.findall(format) if t in _NAMES))
    day = part.get("d", one)
    ok &= (month >= 1) & (month <= 12) & (day >= 1) & (year >= 1)
    months = (year - 1970) * 12 + np.clip(month, 1, 12) - 1
    days = months.astype("M8[M]").astype("M8[D]").astype(np.int64) + day - 1
    ok &= days.astype("M8[D]").astype("M8[M]").astype(np.int64) == months
    hour = part.get("H", zero)
    if "I" in part:
        ok &= (part["I"] >= 1) & (part["I"] <= 12)
        late = (
            pc.fill_null(pc.equal(pc.utf8_upper(field["p"]), "PM"), False).to_numpy(zero_copy_only=False)
            if "p" in field
            else zero
        )
        hour = part["I"] % 12 + 12 * late
    minute, second = part.get("M", zero), part.get("S", zero)
    ok &= (hour < 24) & (minute < 60) & (second < 60)
    micros = ((hour * 60 + minute) * 60 + second) * 1_000_000
    if "f" in field:
        micros = micros + _whole(pc.utf8_slice_codeunits(pc.utf8_rpad(field["f"], 6, "0"), 0, 6))
    out = days * _DAY + micros if set(names) & set("Yymdb") else micros
    zones = field["z"] if zone == "mixed" and "z" in field else None
    if zones is not None:
        out = out - _offsets(out, zones, local=True)
    elif zone:
        out = out - _offset(out, zone, local=True)
    return pa.array(out, mask=~ok), zones


def write(micros: pa.Array, format: str, zone: str, zones: pa.Array | None = None) -> pa.Array:
    """Strings `[n]` of int64 `micros` [n] (of `read`) in the format; null stays null."""
    missing = micros.is_null().to_numpy(zero_copy_only=False)
    at = pc.fill_null(micros, 0).to_numpy(zero_copy_only=False)
    if zone == "mixed" and zones is not None:
        zones = pc.fill_null(zones, "Z")
        at = at + _offsets(at, zones, local=False)
    elif zone and zone != "mixed":
        at = at + _offset(at, zone, local=False)
    clock = _Clock.of(at)
    parts: list[pa.Array | str] = []
    place = 0
    for token in _TOKEN.finditer(format):
        parts.append(format[place : token.start()])
        place, t = token.end(), token.group()
        if t == "%z":
            parts.append(zones if zones is not None else zone if zone != "mixed" else "Z")
        else:
            parts.append(clock.printed(t))
    parts.append(format[place:])
    text = pc.binary_join_element_wise(*[p for p in parts if not isinstance(p, str) or p], "")
    if isinstance(text, pa.Scalar):
        text = pa.array([text.as_py()] * len(at), pa.string())
    return pc.if_else(pa.array(missing), pa.scalar(None, pa.string()), text)


@dataclass(frozen=True)
class _Clock:
    """Calendar and clock of moments [n]: months and days of the week from 0, days from 1, the fraction in microseconds."""

    year: np.ndarray
    month: np.ndarray
    day: np.ndarray
    weekday: np.ndarray
    hour: np.ndarray
    minute: np.ndarray
    second: np.ndarray
    fraction: np.ndarray

    @classmethod
    def of(cls, micros: np.ndarray) -> _Clock:
        days, clock = np.divmod(micros, _DAY)
        dates = days.astype("M8[D]")
        first = dates.astype("M8[M]")
        return cls(
            dates.astype("M8[Y]").astype(np.int64) + 1970,
            first.astype(np.int64) % 12,
            (dates - first.astype("M8[D]")).astype(np.int64) + 1,
            (days + 3) % 7,
            clock // 3_600_000_000,
            clock // 60_000_000 % 60,
            clock // 1_000_000 % 60,
            clock % 1_000_000,
        )

    def printed(self, token: str) -> pa.Array | str:
        """What a token of a format stands for, strings [n]; a token that is none stands for itself."""
        if token == "%Y":
            return pc.utf8_lpad(pa.array(self.year).cast(pa.string()), 4, "0")
        if token in _LOOKED_UP:
            table, index = _LOOKED_UP[token]
            return _look(table, index(self))
        if token == "%%":
            return "%"
        return _fraction(self.fraction, token) if token.endswith("f") else token


_TWO, _BARE = [f"{i:02d}" for i in range(100)], [str(i) for i in range(100)]
_NUMBERS: dict[str, Callable[[_Clock], np.ndarray]] = {
    "m": lambda at: at.month + 1,
    "d": lambda at: at.day,
    "H": lambda at: at.hour,
    "I": lambda at: (at.hour + 11) % 12 + 1,
}
# The strings from which a token takes one, and which.
_LOOKED_UP: dict[str, tuple[list[str], Callable[[_Clock], np.ndarray]]] = {
    **{f"%{key}": (_TWO, index) for key, index in _NUMBERS.items()},
    **{f"%-{key}": (_BARE, index) for key, index in _NUMBERS.items()},
    **{token: (names, lambda at: at.month) for token, names in _NAMES.items()},
    "%y": (_TWO, lambda at: at.year % 100),
    "%M": (_TWO, lambda at: at.minute),
    "%S": (_TWO, lambda at: at.second),
    "%p": (["AM", "PM"], lambda at: at.hour // 12),
    "%P": (["am", "pm"], lambda at: at.hour // 12),
    "%a": (_DAYS, lambda at: at.weekday),
    "%A": (_WEEKDAYS, lambda at: at.weekday),
}


def known(zone: str) -> bool:
    """Whether `zone` is "", "mixed", "UTC", an offset such as "+08:00" or the name of a zone of the tz database."""
    if zone in ("", "mixed", "Z", "UTC", "GMT") or re.fullmatch(r"[+-]\d{2}(:?\d{2})?", zone):
        return True
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def unread(format: str) -> str | None:
    """The first token of the format that is not known, or None."""
    for token in re.findall(r"%(?:\.\d?f|\df|\[[a-z]{2}\][bB]|[-^_]?.)", format):
        if token not in _PATTERNS:
            return str(token)
    return None


def _forms(first: str) -> Iterator[tuple[str, str]]:
    """(date, time) forms of which the first string could be; either may be empty."""
    worded = any(map(str.isalpha, first))
    loose_dates = [d for d in _DATES if (worded or "[" not in d) and re.match(_regex(d, _LOOSE), first)]
    for date in loose_dates:
        yield date, ""
    for date, time in itertools.product(loose_dates, _TIMES):
        yield date, time
    for time in _TIMES:
        if ":" in time or "时" in time:
            yield "", time


def _fit(date: str, time: str, sample: list[str], values: pa.Array, counts: np.ndarray) -> Found | None:
    """The exact format under the loose one of date and time, if all values are in it."""
    matches = _matched(date, time, sample)
    if matches is None:
        return None
    form = _month_as_printed(_unpadded(date + matches[0].get("j", "") + time, matches), matches)
    zoned = _zone_as_printed(values, matches)
    if form is None or zoned is None:
        return None
    if "p" in matches[0] and matches[0]["p"].islower():
        form = form.replace("%p", "%P")
    form, spelled = _with_fraction(form, matches) + zoned[0], zoned[1]
    kind: Literal["date", "datetime", "time"] = "datetime" if date and time else "date" if date else "time"
    for candidate in (form, re.sub(r"%([mdHI])", r"%-\1", form)):
        got, cells = read(values, candidate, spelled)
        if got.null_count == 0:
            few, many = slice(0, 50_000), counts[:50_000]
            again = write(got[few], candidate, spelled, None if cells is None else cells[few])
            same = pc.equal(again, values[few]).to_numpy(zero_copy_only=False)
            notes = ("years of two digits are read as 1969 to 2068",) if "%y" in form else ()
            return Found(kind, candidate, spelled, float(many[same].sum() / many.sum()), notes)
    return None


def _matched(date: str, time: str, sample: list[str]) -> list[dict[str, str]] | None:
    """What the groups of the loose form match in each of the sample; None where one is not in it."""
    join = r"(?P<j>T| {1,2}|, )" if date and time else ""
    zone = rf"(?P<g> ?)(?P<z>{_ZONE}|[A-Z]{{3,4}})?" if time else ""
    shape = re.compile(_regex(date, _LOOSE) + join + _regex(time, _LOOSE) + zone)
    if date == "%Y%m%d":
        shape = re.compile(shape.pattern.replace(r"\d{1,2}", r"\d{2}").replace(r"\d{4}", r"(?:19|20)\d{2}"))
    elif time == "%H%M%S":
        return None  # only behind %Y%m%d, where it is unambiguous
    matches = []
    for text in sample:
        m = shape.fullmatch(text)
        if m is None:
            return None
        matches.append({k: v for k, v in m.groupdict().items() if v is not None})
    return matches


def _unpadded(form: str, matches: list[dict[str, str]]) -> str:
    """The form, numbers without a leading zero where one of the matches has none."""
    for key in "mdHI":
        seen = [m[key] for m in matches if key in m]
        if seen and any(len(s) == 1 for s in seen):
            form = form.replace(f"%{key}", f"%-{key}")
    return form


def _month_as_printed(form: str, matches: list[dict[str, str]]) -> str | None:
    """The form with the case of its names of months; None where all are short and the form's are long."""
    if "b" not in matches[0]:
        return form
    names = [m["b"] for m in matches]
    if "%b" not in form:
        return None if all(n.capitalize() in _SHORT for n in names) else form  # %b is tried as well
    if all(n.isupper() for n in names):
        return form.replace("%b", "%^b")
    return form.replace("%b", "%_b") if all(n.islower() for n in names) else form


def _with_fraction(form: str, matches: list[dict[str, str]]) -> str:
    """The form with the digits behind the second that the matches have."""
    digits = {len(m["f"]) if "f" in m else 0 for m in matches}
    if digits == {0}:
        return form
    if len(digits) == 1:
        fraction = f".%{min(digits)}f" if min(digits) != 6 else ".%f"
    else:
        fraction = f"%.{max(digits)}f" if len(digits) == 2 and 0 in digits else "%.f"
    return form.replace("%S", f"%S{fraction}")


def _zone_as_printed(values: pa.Array, matches: list[dict[str, str]]) -> tuple[str, str] | None:
    """How the zone stands behind the time, and which it is; None where only some have one, or one is not known."""
    zones = {m.get("z", "") for m in matches}
    if zones == {""}:
        return None if any(m.get("g") for m in matches) else ("", "")
    gap = matches[0].get("g", "")
    distinct = _zones(values)
    if len(distinct) == 1 and (only := next(iter(distinct))):
        spelled = {"Z": "UTC", "GMT": "UTC"}.get(only, only)
        if not known(spelled):
            return None
        if re.fullmatch(r"[+-]\d{2}", spelled):
            spelled += ":00"
        elif re.fullmatch(r"[+-]\d{4}", spelled):
            spelled = spelled[:3] + ":" + spelled[3:]
        return gap + only, spelled
    return None if zones & {""} or not all(map(known, distinct)) else (gap + "%z", "mixed")


def _zones(values: pa.Array) -> set[str]:
    tail = pc.extract_regex(values, rf"(?P<z>{_ZONE}|[A-Z]{{3,4}})$")
    return {z for z in pc.unique(pc.struct_field(tail, "z")).to_pylist() if z is not None}


def _span(values: pa.Array, format: str) -> int:
    at, _ = read(values, format, "")
    low, high = pc.min_max(at).values()
    return int(high.as_py() - low.as_py())


def _regex(format: str, patterns: dict[str, str]) -> str:
    out, place = "", 0
    for token in _TOKEN.finditer(format):
        out += re.escape(format[place : token.start()]).replace("\\ ", " ")
        out += patterns.get(token.group(), re.escape(token.group()))
        place = token.end()
    return out + re.escape(format[place:]).replace("\\ ", " ")


def _whole(texts: pa.Array) -> np.ndarray:
    texts = pc.fill_null(texts, "0")
    texts = pc.if_else(pc.equal(texts, ""), "0", texts)
    out: np.ndarray = texts.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return out


def _index(texts: pa.Array, names: list[str]) -> np.ndarray:
    found = pc.index_in(texts, pa.array(names))
    out: np.ndarray = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return out


def _look(table: list[str], index: np.ndarray) -> pa.Array:
    return pa.array(table).take(pa.array(index))


def _fraction(micros: np.ndarray, token: str) -> pa.Array:
    """The digits behind the second; `%.f` and `%.6f` with their point, and nothing where all are zero."""
    digits = pc.utf8_lpad(pa.array(micros).cast(pa.string()), 6, "0")
    size = int(token[-2]) if token[-2].isdigit() else 6
    sized = pc.utf8_slice_codeunits(pc.utf8_rpad(digits, 9, "0"), 0, size)
    if "." not in token:
        return sized
    if token == "%.f":
        sized = pc.utf8_rtrim(digits, "0")
    return pc.if_else(pa.array(micros == 0), "", pc.binary_join_element_wise(".", sized, ""))


def _offset(micros: np.ndarray, zone: str, local: bool) -> np.ndarray | int:
    """Microseconds that local time in `zone` is ahead of UTC, at `micros` in local time or in UTC."""
    if zone in ("Z", "UTC", "GMT"):
        return 0
    m = re.fullmatch(r"([+-])(\d{2}):?(\d{2})?", zone)
    if m:
        minutes = int(m[2]) * 60 + (int(m[3]) if m[3] else 0)
        return (-minutes if m[1] == "-" else minutes) * 60_000_000
    at = pa.array(micros).cast(pa.timestamp("us"))
    if local:  # an hour that occurs twice is its first; one that does not occur, the moment after the gap
        utc = pc.assume_timezone(at, zone, ambiguous="earliest", nonexistent="latest").cast(pa.int64())
        ahead: np.ndarray = micros - utc.to_numpy(zero_copy_only=False)
        return ahead
    there = pc.local_timestamp(at.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us", zone))).cast(pa.int64())
    out: np.ndarray = there.to_numpy(zero_copy_only=False) - micros
    return out


def _offsets(micros: np.ndarray, zones: pa.Array, local: bool) -> np.ndarray:
    coded = pc.fill_null(zones, "Z").dictionary_encode()
    which = coded.indices.to_numpy(zero_copy_only=False)
    out = np.zeros(len(micros), np.int64)
    for k, zone in enumerate(coded.dictionary.to_pylist()):
        rows = which == k
        out[rows] = _offset(micros[rows], zone or "Z", local)
    return out
