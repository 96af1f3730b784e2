"""How a column prints its numbers: found from the strings, read, and printed the same way again.

A number format shows 1234.5 as the column would print it, in braces: "${1,234.5}", "{1.234,5} €", "{1234.5}%",
"{+1234.5}", "${-1,234.5}" (the sign behind the currency), "{1.2345e+03}" (always an exponent), "{1234.5e}" (an exponent
where Python's repr has one), "(${1,234.5})" and "$({1,234.5})" (parentheses round what is negative), "{1,234.5-}" (the sign
behind), "{１２３４.５}" (full-width digits). An empty format is "{1234.5}".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.table.schema import signs

GROUPS = (",", ".", " ", "'", "_", "\u00a0", "\u202f", "\u2009", "\u2019")
CURRENCIES = (
    set("$€£¥￥₹₽₩₺₫₴₪₱฿₦₿元圆")
    | {"US$", "A$", "C$", "HK$", "NT$", "S$", "R$", "kr", "Kr", "zł", "Kč", "Ft", "Rs", "Rs.", "Fr.", "RM", "人民币"}
    | set(
        re.findall(
            r"\S+",
            "USD EUR GBP JPY CNY RMB CHF INR AUD CAD HKD TWD KRW SGD SEK NOK DKK PLN CZK HUF RUB TRY BRL MXN ZAR",
        )
    )
)
UNITS = CURRENCIES | set(
    re.findall(
        r"\S+",
        "% ‰ ° °C °F k K M B kg g mg t lb lbs oz km m cm mm mi ft in l L ml h s ms min d kWh W kW V A Hz MHz GHz KB MB GB TB px pt "
        "x yr yrs 万 亿 万元 亿元 千克 克 公斤 斤 米 厘米 公里 天 岁 个 件 次 人 年 月 小时 分钟 秒",
    )
)
_BODY = re.compile(
    r"(?P<lead>\s*)(?P<first>[+-]?)(?P<prefix>[^\d+\-]*?)(?P<inner>[+-]?)"
    r"(?P<body>(?:\d(?:[\d.,'_ \u00a0\u202f\u2009\u2019]*\d)?)(?:[eE][+-]?\d+)?)(?P<suffix>\D*)"
)
_HOLE = re.compile(
    r"\{(?P<sign>[+-]?)1(?P<group>\D?)(?:234(?:(?P<mark>\D)5)?(?P<repr>e?)(?P<behind>-?)|2345(?P<exp>[eE][+-]?0?3))\}"
)
INFINITE = r"^\s*[+-]?(?i:inf(?:inity)?|∞)\s*$"  # a cell that is no number, and greater or less than all
_EXACT = 2.0**53
SHAPES = 2_000  # of strings that are looked at: a column of numbers has some dozens
_LOOKED = 50_000  # values by which the forms of print are told apart
FULL = 17  # decimals that mean: as many as the number needs


@dataclass(frozen=True)
class Print:
    """What stands round and inside a printed number."""

    prefix: str = ""
    suffix: str = ""
    group: str = ""
    mark: str = "."
    plus: bool = False  # "+" before positive numbers
    inner: bool = False  # the sign stands behind the prefix
    exponent: str = ""  # "e+03": always, in this form; "e": where repr has one
    negative: str = (
        ""  # what is below 0: "" has its sign in front, "-" behind, "()" is in parentheses, "$()" its digits are
    )
    wide: str = ""  # the characters of `WIDE` that are printed full-width

    @property
    def plain(self) -> bool:
        """Whether only the digits and the mark are printed."""
        return self == Print()

    def format(self) -> str:
        """The format that `Print.of` reads."""
        sign = "+" if self.plus else "-" if self.inner else ""
        always = len(self.exponent) > 1
        body = f"1{self.mark}2345" if always else f"1{self.group}234{self.mark}5"
        body = signs.widened(body, self.wide) if self.wide else body
        hole = f"{{{sign}{body}{self.exponent}{'-' * (self.negative == '-')}}}"
        hole = f"({hole})" if self.negative == "$()" else hole
        around = f"{self.prefix}{hole}{self.suffix}"
        return "" if self.plain else f"({around})" if self.negative == "()" else around

    @staticmethod
    def of(format: str) -> Print:
        """The inverse of `format`; ValueError where the format has no such hole."""
        if not format:
            return Print()
        if wide := signs.wide_of(format):
            return replace(Print.of(signs.narrowed(format)), wide=wide)
        if format[0] == "(" and format[-1] == ")":
            return replace(Print.of(format[1:-1]), negative="()")
        if "({" in format and "})" in format:
            return replace(Print.of(format.replace("({", "{").replace("})", "}")), negative="$()", inner=False)
        found = _HOLE.search(format)
        if found is None:
            raise ValueError(f'{format!r} shows no number; wanted for example "${{1,234.5}}" or "{{1234.5}} kg"')
        around = Print(format[: found.start()], format[found.end() :])
        sign, group, mark = found["sign"], found["group"], found["mark"]
        if found["exp"]:
            return replace(around, mark=group if group else ".", plus=sign == "+", exponent=found["exp"])
        if mark is None:
            mark = "," if group == "." else "."
        out = replace(around, group=group, mark=mark, plus=sign == "+", inner=sign == "-", negative=found["behind"])
        return replace(out, exponent="e" if found["repr"] else "")


@dataclass(frozen=True)
class Found:
    """The numbers of a column, and how they are printed: all cells exactly so where `even` is 1."""

    kind: Literal["integer", "decimal"]
    how: Print
    places: int
    least: int
    even: float  # share of rows that print exactly as they were


def find(values: pa.Array, counts: np.ndarray, comma: bool) -> Found | None:
    """How the distinct strings `values` [u], each `counts` [u] times there, print numbers; None where they are none.

    comma: whether the file's decimals are known to be marked by commas.
    """
    wide = signs.wide(values, counts)
    plain = signs.narrowed_cells(values) if wide is not None else values
    negative = signs.negative(plain)
    plain = signs.signed(plain, negative)
    found = _find(plain, counts, comma)
    if found is None or plain is values or (negative == "$()" and found.how.suffix):
        return found if plain is values else None
    how = replace(found.how, negative=negative, inner=found.how.inner and not negative, wide=wide or "")
    numbers = read(values, how, found.kind == "integer")
    return replace(found, how=how, even=_evenness(numbers, values, counts, how, found.places, found.least))


def _find(values: pa.Array, counts: np.ndarray, comma: bool) -> Found | None:
    """The same of numbers in ASCII digits with their signs in front."""
    total = int(counts.sum())
    if not total or not pc.all(pc.match_substring_regex(values, r"\d")).as_py():
        return None
    if not comma and (whole := _cast(values, pa.int64())) is not None:
        if values.equals(whole.cast(pa.string())):
            return Found("integer", Print(), 0, 0, 1.0)
        if _padded(values):
            return None
    how = Print()
    plus = pc.any(pc.starts_with(values, "+")).as_py()
    numbers = None if comma or plus else _cast(values, pa.float64())
    if numbers is None:
        shown = _template(_spread(values), comma)
        if shown is None:
            return None
        how = shown
        numbers = read(values, how, False)
        if numbers.null_count:
            return None
    if not np.isfinite(numbers.to_numpy(zero_copy_only=False)).all() or _padded(_body(values, how)):
        return None
    body = _body(values, how)
    if pc.any(pc.match_substring_regex(body, "[eE]")).as_py():
        return _scientific(values, body, numbers, counts, how)
    return _with_places(values, body, numbers, counts, how)


def _with_places(values: pa.Array, body: pa.Array, numbers: pa.Array, counts: np.ndarray, how: Print) -> Found | None:
    """Numbers printed with decimals, as many each or as many as each needs, or with none; `body` is without the trimmings."""
    dots = pc.find_substring(body, ".").to_numpy(zero_copy_only=False)
    places = np.where(dots < 0, 0, pc.utf8_length(body).to_numpy(zero_copy_only=False) - dots - 1)
    least, most = int(places.min()), int(places.max())
    if most == 0:
        how = how if how.group else replace(how, mark=".")
        whole = _cast(body, pa.int64())
        return None if whole is None else Found("integer", how, 0, 0, _evenness(whole, values, counts, how, 0, 0))
    if least == most:
        if (
            most == 1 and counts.sum() >= 50 and pc.all(pc.ends_with(body, ".0")).as_py()
        ):  # whole numbers out of a float column
            tail = replace(how, suffix=f"{how.mark}0{how.suffix}")
            return Found("integer", tail, 0, 0, _evenness(read(values, tail, True), values, counts, tail, 0, 0))
        return Found("decimal", how, most, least, _evenness(numbers, values, counts, how, most, least))
    if most > 12:
        most, least = FULL, min(least, 1)
    elif least > 1 and not pc.any(pc.ends_with(body.filter(pa.array(places == least)), "0")).as_py():
        least = 1  # zeros at the end are left out; there only was no shorter number
    short = _evenness(numbers, values, counts, how, most, least)
    usual = int(np.bincount(places, weights=counts).argmax())
    fixed = _evenness(numbers, values, counts, how, usual, usual)
    return Found("decimal", how, usual, usual, fixed) if fixed > short else Found("decimal", how, most, least, short)


def read(values: pa.Array, how: Print, whole: bool) -> pa.Array:
    """int64 (`whole`) or float64 `[n]` of the strings `values` [n]; null where one is not a number printed as `how`."""
    body = _body(values, how)
    kind = pa.int64() if whole else pa.float64()
    fast = _cast(body, kind)
    if fast is not None:
        return fast
    good = pc.match_substring_regex(
        body, r"^[+-]?[0-9]+$" if whole else r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
    )
    if whole:  # nothing of more digits fits into 64 bits
        good = pc.and_(good, pc.less_equal(pc.utf8_length(body), 19))
    return pc.if_else(good, body, None).cast(kind, safe=True)


def write(numbers: pa.Array, how: Print, places: int, least: int) -> pa.Array:
    """Strings `[n]` of int64 or float64 `numbers` [n], as `how`, with `least` to `places` decimals; null stays null."""
    if how.negative or how.wide:
        out = write(numbers, replace(how, negative="", wide="", inner=how.negative == "$()"), places, least)
        out = signs.printed(out, how.negative, how.prefix, how.suffix)
        return signs.widened_cells(out, how.wide) if how.wide else out
    if how.plain or (how.mark != "." and not how.group and not how.plus and not how.exponent):
        body = _digits(numbers, places, least)
    else:
        coded = numbers.dictionary_encode()
        texts = [_one(v, how, places, least) for v in coded.dictionary.to_pylist()]
        body = pa.array(texts, pa.string()).take(coded.indices)
    if how.mark != "." and not how.group and not how.exponent:
        body = pc.replace_substring(body, ".", how.mark)
    if not how.prefix and not how.suffix:
        return body
    if how.prefix and not how.inner and not how.plus:  # -$5: the sign comes first
        signed = pc.starts_with(body, "-")
        bare = pc.if_else(signed, pc.utf8_slice_codeunits(body, 1), body)
        sign = pc.if_else(signed, "-", "")
        return pc.binary_join_element_wise(sign, how.prefix, bare, how.suffix, "")
    return pc.binary_join_element_wise(how.prefix, body, how.suffix, "")


def _one(value: float, how: Print, places: int, least: int) -> str:
    if how.exponent not in ("", "e"):
        letter = how.exponent[0]
        mantissa, power = f"{value:.{places}e}".split("e")
        if least < places and "." in mantissa:
            whole, _, part = mantissa.partition(".")
            part = part.rstrip("0").ljust(least, "0")
            mantissa = f"{whole}.{part}" if part else whole
        size = len(how.exponent.lstrip("eE+-"))
        sign = "-" if power.startswith("-") else "+" if "+" in how.exponent else ""
        text = mantissa.replace(".", how.mark) + letter + sign + str(abs(int(power))).zfill(size)
    elif how.exponent == "e":
        text = repr(value)
        if least == 0 and text.endswith(".0"):
            text = text[:-2]
    else:
        whole, _, part = (_float(value, places, least) if isinstance(value, float) else str(value)).partition(".")
        if how.group:
            sign, whole = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
            whole = sign + f"{int(whole):,}".replace(",", how.group)
        text = whole + how.mark + part if part else whole
    return "+" + text if how.plus and not text.startswith("-") else text


def _float(value: float, places: int, least: int) -> str:
    if least == places:
        return f"{value:.{places}f}"
    text = repr(round(value, places) if places < FULL else value)  # the fewest digits that mean this number
    if "e" in text:
        text = f"{Decimal(text):f}"
    whole, _, part = text.partition(".")
    part = part.rstrip("0").ljust(least, "0")
    return f"{whole}.{part}" if part else whole


def _digits(numbers: pa.Array, places: int, least: int) -> pa.Array:
    if pa.types.is_integer(numbers.type):
        return numbers.cast(pa.string())
    missing = numbers.is_null().to_numpy(zero_copy_only=False)
    x = np.where(missing, 0.0, pc.fill_null(numbers, 0.0).to_numpy(zero_copy_only=False))
    scaled = np.rint(x * 10.0**places) if places <= 15 else np.full(len(x), np.inf)
    if places <= 6 and (np.abs(scaled) < _EXACT).all():
        pair = np.empty((len(x), 2), np.int64)
        pair[:, 0] = scaled.astype(np.int64)
        pair[:, 1] = pair[:, 0] >> 63
        text = pa.Array.from_buffers(pa.decimal128(18, places), len(x), [None, pa.py_buffer(pair)]).cast(pa.string())
        negative = np.signbit(x) & (scaled == 0) & (x == 0)  # "-0.00" in the file is "-0.00" again
        if negative.any():
            text = pc.if_else(pa.array(negative), pc.binary_join_element_wise("-", text, ""), text)
    else:
        coded = pa.array(x).dictionary_encode()
        text = pa.array([_float(v, places, least) for v in coded.dictionary.to_pylist()], pa.string()).take(
            coded.indices
        )
        return pc.if_else(pa.array(missing), pa.scalar(None, pa.string()), text)
    if least < places:
        text = pc.utf8_rtrim(text, "0")
        if least == 0:
            text = pc.utf8_rtrim(text, ".")
        else:
            dot = pc.find_substring(text, ".").to_numpy(zero_copy_only=False)
            room = dot + 1 + least
            lacking = room - pc.utf8_length(text).to_numpy(zero_copy_only=False)
            zeros = pa.array(["0" * k for k in range(least + 1)]).take(pa.array(np.maximum(lacking, 0)))
            text = pc.binary_join_element_wise(text, zeros, "")
    return pc.if_else(pa.array(missing), pa.scalar(None, pa.string()), text)


def _body(values: pa.Array, how: Print) -> pa.Array:
    """The strings with only sign, digits, point and exponent left."""
    out = signs.narrowed_cells(values) if how.wide else values
    out = signs.signed(out, how.negative)
    if how.prefix:
        bare = re.escape(how.prefix).replace("\\ ", " ")
        out = pc.replace_substring_regex(out, f"^([+-]?){bare}", r"\1")
    if how.suffix:
        cut = pc.utf8_slice_codeunits(out, 0, -len(how.suffix))
        out = pc.if_else(pc.ends_with(out, how.suffix), cut, "")
    if how.group:
        out = pc.replace_substring(out, how.group, "")
    if how.mark != ".":
        out = pc.replace_substring(out, how.mark, ".")
    if how.plus:
        out = pc.utf8_ltrim(out, "+")
    return out


def _scientific(values: pa.Array, body: pa.Array, numbers: pa.Array, counts: np.ndarray, how: Print) -> Found:
    split = re.compile(r"[+-]?\d+(?:\.(\d+))?(?:([eE])([+-]?)(\d+))?")
    powers = body.filter(pc.match_substring_regex(body, "[eE]"))
    rare = len(powers) < len(body) // 2
    parts = [m for m in map(split.fullmatch, powers[: _LOOKED * 2].to_pylist()) if m is not None]
    places = [len(m[1]) if m[1] else 0 for m in parts]
    tails = [m for m in parts if m[2]]
    size = min(len(m[4]) for m in tails)
    plus = "+" if any(m[3] == "+" for m in tails) else ""
    always = replace(how, exponent=f"{tails[0][2]}{plus}{'3'.zfill(size) if size < 3 else '03'}")
    ways = [(always, max(places), max(places)), (always, max(places), min(places))]
    ways += [(replace(how, exponent="e"), FULL, least) for least in (1, 0)]
    if rare:
        ways = ways[2:]
    best = max(ways, key=lambda way: _evenness(numbers, values, counts, *way))
    return Found("decimal", *best, _evenness(numbers, values, counts, *best))


def _template(sample: list[str], comma: bool) -> Print | None:
    """What stands round the numbers of all `sample` strings; None where they are not numbers."""
    first = _BODY.fullmatch(sample[0])
    if first is None:
        return None
    prefix, suffix = first["lead"] + first["prefix"], first["suffix"]
    if prefix.strip() and prefix.strip() not in CURRENCIES or suffix.strip() and suffix.strip() not in UNITS:
        return None
    bodies, firsts, inners = [], set(), set()
    for text in sample:
        m = _BODY.fullmatch(text)
        if m is None or m["lead"] + m["prefix"] != prefix or m["suffix"] != suffix:
            return None
        bodies.append(m["body"])
        firsts.add(m["first"])
        inners.add(m["inner"])
    plus = "+" in firsts | inners
    base = Print(prefix, suffix, plus=plus, inner=bool(prefix) and "-" in inners)
    marks = (",", ".") if comma else (".", ",")
    for mark in marks:
        for group in ("", *(g for g in GROUPS if g != mark)):
            lump = rf"(?:0|[1-9]\d{{0,2}}(?:{re.escape(group)}\d{{3}})*)" if group else r"\d+"
            shape = re.compile(rf"{lump}(?:{re.escape(mark)}\d+)?(?:[eE][+-]?\d+)?")
            if all(map(shape.fullmatch, bodies)):
                if not group and mark == "," and not comma:
                    # 1,234 and 56,789 are thousands; 0,5 and 12,25 are decimals
                    thousands = re.compile(r"[1-9]\d{0,2}(?:,\d{3})*|0")
                    if all(map(thousands.fullmatch, bodies)):
                        return replace(base, group=",")
                return replace(base, mark=mark, group=group)
    return None


def _evenness(numbers: pa.Array, values: pa.Array, counts: np.ndarray, how: Print, places: int, least: int) -> float:
    if len(values) > _LOOKED:
        some = np.linspace(0, len(values) - 1, _LOOKED).astype(np.int64)
        numbers, values, counts = numbers.take(pa.array(some)), values.take(pa.array(some)), counts[some]
    same = pc.equal(write(numbers, how, places, least), values).to_numpy(zero_copy_only=False)
    return float(counts[same].sum() / counts.sum())


def _padded(values: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring_regex(values, r"^[+-]?0[0-9]")).as_py())


def _spread(values: pa.Array, most: int = 500) -> list[str]:
    """Some of the strings, among them one of each shape: a mark of thousands may stand in a single one."""
    if len(values) <= most:
        return list(values.to_pylist())
    shapes = pc.replace_substring_regex(values, "[0-9]", "0").dictionary_encode().indices
    _, first = np.unique(shapes.to_numpy(zero_copy_only=False), return_index=True)
    some = np.linspace(0, len(values) - 1, most).astype(np.int64)
    return list(values.take(pa.array(np.union1d(some, first[:SHAPES]))).to_pylist())


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array | None:
    try:
        return values.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
