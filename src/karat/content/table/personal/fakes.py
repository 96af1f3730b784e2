"""Makes valid values of the sensitive kinds and of identifiers, in the formats learned from a column.

The names of persons and places are put together from syllables of our own; nobody's data went into them.
"""

from __future__ import annotations

import datetime
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.table.personal import checks, shapes
from karat.content.table.schema.columns import Kind

_HEADS = re.findall(
    r"\S+",
    "Al An Ar Bel Bran Cal Cor Dal Del Dor El Em Far Fen Gal Gar Hal Hel Il Jar Jen Kal Kes Lan Lor Mar Mel Nal "
    "Nor Or Pel Per Quin Ral Ren Sal Sel Tal Tor Ul Val Ver Wen Wil Yan Zel",
)
_TAILS = re.findall(
    r"\S+",
    "a ana ard ark bert da dan den dor ella en eth ia ian ina is ita ley lin lyn mar mira mond na nan nor on or "
    "ra ric rin ro sa son tan ter thea tin vin wen win ya",
)
_ENDS = re.findall(
    r"\S+",
    "berg bury by dale den er feld field ford gate ham hurst ing land ley low man mark mont more ridge sen shaw "
    "son stead stone ton vale wall well wick wood worth",
)
_STREETS = ("Street", "Road", "Avenue", "Lane", "Way", "Court", "Drive", "Close")
_WIDE_FAMILY = "安柏岑池澄丰谷禾霁简荆蓝黎凌洛麦南宁欧裴祁乔阮沙尚申石舒松苏陶汪温邬夏萧叶易游云章郑钟朱卓"
_WIDE_GIVEN = (
    "安柏岑辰澄川德芳枫歌海涵航和河恒宏华嘉健洁景君俊可兰乐磊黎林凌露明墨宁鹏琪清然若"
    "森山诗书淑思松涛桐薇文希溪夏欣雪雅岩言阳一怡奕音颖宇雨语远悦云泽昭哲芷舟子"
)
_WIDE_PLACE = "安柏川春德东丰枫古海禾河湖江金景兰丽林岭龙宁平青清泉松溪新星阳永玉源云泽长"
_DOMAINS = ("example.com", "example.org", "example.net")
_NEVER_ISSUED = (*range(734, 750), *range(773, 900))  # areas of US numbers that were not given out before 2011
_AREAS_CN = re.findall(
    r"\d+", "110101 120101 130102 210102 310101 320102 330102 370102 420102 440103 500101 510104 610102"
)


STEERED = ("identifier", "email")  # kinds of which a shard draws only what is its own


def make(
    kind: Kind,
    learned: Mapping[str, Any],
    n: int,
    rng: np.random.Generator,
    wider: int,
    shard: tuple[int, int] = (0, 1),
) -> Sequence[str]:
    """n values of the kind, by chance not all new; where `wider` is not 0, out of a range that is wider than the column's.

    shard: its number and how many there are; of kinds in STEERED no two shards make the same, running numbers aside.
    """
    match kind:
        case "identifier":
            return _identifier(learned, n, rng, wider, shard)
        case "email":
            return _email(learned, n, rng, wider, shard)
        case "phone":
            return _phone(learned, n, rng, wider)
        case "card":
            return _card(learned, n, rng)
        case "person id":
            return _person(learned, n, rng)
        case "iban":
            return _iban(learned, n, rng)
        case "name":
            return _name(learned, n, rng, wider)
        case "address":
            return _address(learned, n, rng)
        case "ip":
            return _ip(float(learned.get("six", 0.0)), n, rng, wider)
        case _:
            return _url(learned, n, rng, wider)


# Identifiers


def identifiers(values: pa.Array, counts: np.ndarray, times: float = 1.0) -> dict[str, Any]:
    """The pattern of the distinct identifiers `values` [u]: a running number, a UUID, a number in a range, or shapes.

    times: how many times as many the source has, of which these are a sample with the first and the last.
    """
    first = values[0].as_py()
    if pc.all(pc.match_substring_regex(values, r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")).as_py():
        return {"way": "uuid", "upper": first == first.upper() and first != first.lower()}
    if (span := _span(values)) is not None:
        return span
    if len(values) < shapes.COMMON and pc.all(pc.match_substring_regex(values, "^[1-9][0-9]{0,17}$")).as_py():
        sizes = pc.min_max(pc.utf8_length(values)).as_py()  # few tell no more than how many digits they have
        low, high = 10 ** (sizes["min"] - 1), 10 ** sizes["max"] - 1
        return {"way": "range", "prefix": "", "suffix": "", "width": 1, "low": low, "high": high}
    ends = pc.min_max(values)  # what the first and the last in the alphabet begin with, all do
    prefix = os.path.commonprefix([ends["min"].as_py(), ends["max"].as_py()]).rstrip("0123456789")
    m = re.fullmatch(r"(\d+)(\D*)", first[len(prefix) :])
    if m is not None and len(values) >= shapes.COMMON:
        suffix = m[2]
        got = pc.extract_regex(values, f"^{_quoted(prefix)}(?P<n>[0-9]{{1,18}}){_quoted(suffix)}$")
        if got.null_count == 0:
            digits = pc.struct_field(got, "n")
            sizes = pc.utf8_length(digits).to_numpy(zero_copy_only=False)
            x = digits.cast(pa.int64()).to_numpy(zero_copy_only=False)
            padded = pc.any(pc.match_substring_regex(digits, "^0[0-9]")).as_py()
            width = int(sizes.min()) if padded or sizes.min() == sizes.max() else 1
            low, high = int(x.min()), int(x.max())
            common = {"prefix": prefix, "suffix": suffix, "width": width}
            gaps = np.diff(np.sort(x))
            usual = max(1, int(np.median(gaps))) if len(gaps) else 1
            step = max(1, round(usual / times))
            dense = len(gaps) > 0 and (gaps == usual).mean() >= 0.9 or len(x) * times * 3 > high - low
            if dense:
                rising = len(gaps) and (np.diff(x) > 0).mean() > 0.9
                mixed = {} if rising else {"mixed": True}
                return {"way": "sequence", **common, "next": high + step, "step": step, **mixed}
            if not padded or sizes.min() == sizes.max():
                if sizes.min() == sizes.max() and sizes[0] < 18:  # as many digits as all have
                    low, high = shapes.between(low, high, width, bool(padded))
                return {"way": "range", **common, "low": low, "high": high}
    return {"way": "shapes", "shapes": shapes.learn(values, counts)}


def _span(values: pa.Array) -> dict[str, Any] | None:
    """The range of whole numbers with a sign or of more than 18 digits, where they are; for a hash all that 64 bits hold, of
    as many digits as all have.
    """
    if not pc.all(pc.match_substring_regex(values, "^(0|-?[1-9][0-9]{0,19})$")).as_py():
        return None
    numbers = [int(text) for text in values.to_pylist()]
    low, high = min(numbers), max(numbers)
    if low >= 0 and high < 10**18 or low < -(2**63) or high >= 2**64 or low < 0 and high >= 2**63:
        return None
    if high - low >= 2**61:
        digits = len(str(low)) if low > 0 and len(str(low)) == len(str(high)) else 1  # as many as all have
        low = -(2**63) if low < 0 else 0 if digits == 1 else 10 ** (digits - 1)
        high = min((2**64 if high >= 2**63 else 2**63) - 1, 10**digits - 1 if digits > 1 else 2**64)
    return {"way": "span", "low": low, "high": high}


def _identifier(
    learned: Mapping[str, Any], n: int, rng: np.random.Generator, wider: int, shard: tuple[int, int]
) -> Sequence[str]:
    number, of = shard
    way = learned.get("way", "uuid")
    if way == "uuid":
        raw = rng.integers(0, 256, (n, 16), np.uint8)
        raw[:, 6] = raw[:, 6] & 15 | 64  # RFC 9562: version 4, variant 10
        raw[:, 8] = raw[:, 8] & 63 | 128
        text = [row.tobytes().hex() for row in raw]
        out = [f"{t[:8]}-{t[8:12]}-{t[12:16]}-{t[16:20]}-{t[20:]}" for t in text]
        return [t.upper() for t in out] if learned.get("upper") else out
    if way == "span":
        low, high = int(learned["low"]), int(learned["high"])
        room = (high - low) * (10**wider - 1)  # a range that is used up grows on both sides, as far as 64 bits go
        low = max(low - room, -(2**63)) if low < 0 else max(low - room, 0)
        high = min(high + room, 2**63 - 1 if low < 0 or high < 2**63 else 2**64 - 1)
        drawn = [low + k for k in rng.integers(0, high - low, n, np.uint64, endpoint=True).tolist()]
        own = (k - (k - number) % of for k in drawn)  # each shard has a remainder of its own
        return [str(k if k >= low else k + of) for k in own]
    if way == "shapes":
        return list(shapes.fill(learned["shapes"], n, rng, wider, shard))
    if way == "sequence":
        places = rng.permutation(n) if learned.get("mixed") else np.arange(n)
        numbers = int(learned["next"]) + int(learned["step"]) * places
    else:
        low, high = int(learned["low"]), int(learned["high"])
        numbers = rng.integers(low, min(high * 10**wider, 2**62) + 1, n)
        numbers -= (numbers - number) % of
        numbers[numbers < low] += of
    prefix, suffix, width = learned["prefix"], learned["suffix"], int(learned["width"])
    return [f"{prefix}{k:0{width}d}{suffix}" for k in numbers.tolist()]


# Codes whose digits are checked


def codes(values: pa.Array, counts: np.ndarray) -> dict[str, Any]:
    """The shapes of the values, and the first three digits that at least `shapes.COMMON` of them share."""
    bare = pc.replace_substring_regex(values, "[^0-9]", "")
    heads = Counter(pc.utf8_slice_codeunits(bare, 0, 3).to_pylist())
    common = [[h, c] for h, c in heads.most_common(50) if c >= shapes.COMMON and len(h) == 3]
    return {"shapes": shapes.learn(values, counts, 12), "heads": common}


def _drawn(
    learned: Mapping[str, Any], default: str, n: int, rng: np.random.Generator, wider: int = 0
) -> list[list[str]]:
    """n texts of the learned shapes as lists of characters."""
    learned_shapes = learned.get("shapes") or [[default, 1.0]]
    return [list(text) for text in shapes.fill(learned_shapes, n, rng, wider)]


def _put(chars: list[str], digits: str) -> str:
    """The text with its digits replaced in order."""
    left = iter(digits)
    return "".join(next(left) if c.isdigit() else c for c in chars)


def _digits(chars: Sequence[str]) -> str:
    return "".join(c for c in chars if c.isdigit())


def _head(learned: Mapping[str, Any], rng: np.random.Generator, n: int) -> list[str]:
    heads = learned.get("heads") or []
    if not heads:
        return [""] * n
    mass = np.array([float(c) for _, c in heads])
    return [heads[k][0] for k in rng.choice(len(heads), n, p=mass / mass.sum())]


def _phone(learned: Mapping[str, Any], n: int, rng: np.random.Generator, wider: int) -> list[str]:
    """Numbers kept for fiction in North America (555-01xx), Britain and France; else of the learned first digits."""
    out = []
    for chars, head in zip(_drawn(learned, "+1 \\d\\d\\d 555 01\\d\\d", n, rng), _head(learned, rng, n), strict=True):
        digits = _digits(chars)
        text = "".join(chars)
        country = text.startswith("+")
        pick = int(rng.integers(1_000_000))
        if (
            len(digits) == 11
            and digits[0] == "1"
            and (country or text[1] in "-. (")
            or len(digits) == 10
            and _american(text)
        ):
            area = 201 + pick // 100 % 789
            area += 1 if area % 100 == 11 else 0  # 211 to 911 are services
            exchange = "55501" if not wider else f"{200 + pick // 1000 % 800:03d}{int(rng.integers(100)):02d}"
            digits = digits[:-10] + f"{area:03d}{exchange}{pick % 100:02d}"
        elif not wider and digits.startswith("447") and country and len(digits) == 12:
            digits = f"447700900{pick % 1000:03d}"
        elif not wider and digits.startswith("07") and len(digits) == 11:
            digits = f"07700900{pick % 1000:03d}"
        elif not wider and digits.startswith("33") and country and len(digits) == 11:
            digits = f"3363998{pick % 10_000:04d}"
        elif len(digits) in (11, 13, 15) and (mobile := re.fullmatch(r"(|86|0086)1\d{10}", _leading(digits, head))):
            start = head if re.fullmatch("1[3-9]\\d", head) else f"1{3 + pick % 7}{pick // 10 % 10}"
            digits = mobile[1] + start + digits[len(mobile[1]) + 3 :]
        else:
            digits = _leading(digits, head)
        out.append(_put(chars, digits))
    return out


def _american(text: str) -> bool:
    return re.fullmatch(r"\(?\d{3}\)?[ .\-]{0,2}\d{3}[ .\-]\d{4}(?: ?x\d+)?", text) is not None


def _leading(digits: str, head: str) -> str:
    return head + digits[len(head) :] if len(digits) > len(head) + 2 else digits


def _card(learned: Mapping[str, Any], n: int, rng: np.random.Generator) -> list[str]:
    out = []
    for chars, head in zip(_drawn(learned, "4" + "\\d" * 15, n, rng), _head(learned, rng, n), strict=True):
        digits = _digits(chars)
        start = {15: "37", 14: "36", 19: "62"}.get(len(digits), "4")
        digits = (head if head else start) + digits[len(head if head else start) :]
        out.append(_put(chars, digits[:-1] + checks.luhn_digit(digits[:-1])))
    return out


def _person(learned: Mapping[str, Any], n: int, rng: np.random.Generator) -> list[str]:
    form = learned.get("form")
    out = []
    day0 = datetime.date(1945, 1, 1).toordinal()
    for chars in _drawn(learned, "\\d" * 11, n, rng):
        digits = _digits(chars)
        born = datetime.date.fromordinal(day0 + int(rng.integers(22_000)))
        if form == "cn":
            first = f"{_AREAS_CN[int(rng.integers(len(_AREAS_CN)))]}{born:%Y%m%d}{int(rng.integers(1, 1000)):03d}"
            out.append(first + checks.cn_digit(first))
        elif form == "ssn":
            area = _NEVER_ISSUED[int(rng.integers(len(_NEVER_ISSUED)))]
            out.append(f"{area}-{int(rng.integers(1, 100)):02d}-{int(rng.integers(1, 10_000)):04d}")
        elif form == "cpf":
            first = f"{int(rng.integers(10**8, 10**9))}"
            out.append(_put(chars, first + checks.cpf_digits(first)) if len(digits) == 11 else first)
        elif form == "pesel":
            month = born.month + (20 if born.year >= 2000 else 0)
            first = f"{born:%y}{month:02d}{born:%d}{int(rng.integers(10_000)):04d}"
            out.append(first + checks.pesel_digit(first))
        elif form == "dni":
            first = f"{int(rng.integers(10**7, 10**8))}"
            out.append(first + ("-" if "-" in chars else "") + checks.LETTERS_DNI[int(first) % 23])
        elif form == "nino":
            pair = "".join(rng.choice(list("ACEHJLMPRSWXY"), 2))  # no pair of these is barred
            spaced = " " in chars
            parts = [pair, *(f"{int(rng.integers(100)):02d}" for _ in range(3)), "ABCD"[int(rng.integers(4))]]
            out.append((" " if spaced else "").join(parts))
        else:
            out.append("".join(chars))
    return out


def _iban(learned: Mapping[str, Any], n: int, rng: np.random.Generator) -> list[str]:
    out = []
    for chars in _drawn(learned, "DE\\d\\d" + "\\d" * 18, n, rng):
        bare = "".join(c for c in chars if c != " ").upper()
        if not re.fullmatch(r"[A-Z]{2}\d\d[A-Z0-9]{11,30}", bare):
            bare = "DE00" + "".join(str(d) for d in rng.integers(0, 10, 18))
        whole = bare[:2] + checks.iban_digits(bare[:2], bare[4:]) + bare[4:]
        left = iter(whole)
        out.append(
            "".join(" " if c == " " else next(left, "") for c in chars) if len(bare) == len(_solid(chars)) else whole
        )
    return out


def _solid(chars: Sequence[str]) -> str:
    return "".join(c for c in chars if c != " ")


# Words


def _syllables(n: int, rng: np.random.Generator, ends: Sequence[str], wider: int = 0) -> list[str]:
    heads, tails = rng.integers(len(_HEADS), size=n), rng.integers(len(ends), size=n)
    if not wider:
        return [_HEADS[a] + ends[b] for a, b in zip(heads, tails, strict=True)]
    middle = rng.integers(len(_TAILS), size=n)
    return [_HEADS[a] + _TAILS[c] + ends[b] for a, b, c in zip(heads, tails, middle, strict=True)]


def mailboxes(texts: Sequence[str], counts: np.ndarray) -> dict[str, Any]:
    """[separator, digits at the end, first part is one letter, upper case] of the local parts, with their weights."""
    styles: Counter[tuple[str, int, bool, bool]] = Counter()
    for text, count in zip(texts, counts.tolist(), strict=True):
        local = text.split("@")[0]
        sep = next((c for c in "._-" if c in local), "")
        tail = len(local) - len(local.rstrip("0123456789"))
        styles[sep, min(tail, 6), bool(sep) and local.index(sep) == 1, local[:1].isupper()] += count
    return {"styles": [[*style, c] for style, c in styles.most_common(12)]}


def _email(
    learned: Mapping[str, Any], n: int, rng: np.random.Generator, wider: int, shard: tuple[int, int]
) -> list[str]:
    styles = learned.get("styles") or [[".", 0, False, False, 1]]
    mass = np.array([float(s[4]) for s in styles])
    which = rng.choice(len(styles), n, p=mass / mass.sum())
    given, family = _syllables(n, rng, _TAILS), _syllables(n, rng, _ENDS, 1)
    digits, domain = rng.integers(0, 10**9, n), rng.integers(len(_DOMAINS), size=n)
    out = []
    for k in range(n):
        sep, tail, short, upper, _ = styles[which[k]]
        local = f"{given[k][0] if short else given[k]}{sep}{family[k]}"
        size = int(tail) + wider
        local = (local if upper else local.lower()) + (f"{digits[k] % 10**size:0{size}d}" if size else "")
        local += f"{shard[0]:0{len(str(shard[1] - 1))}d}" if shard[1] > 1 else ""
        out.append(f"{local}@{_DOMAINS[domain[k]]}")
    return out


def persons(texts: Sequence[str], counts: np.ndarray, header: str) -> dict[str, Any]:
    """How the names are put together: how many words, in which case, Chinese or Latin, family name first or alone."""
    styles: Counter[tuple[bool, int, str, bool]] = Counter()
    for text, count in zip(texts, counts.tolist(), strict=True):
        wide = any(c > "\u2e7f" for c in text)
        case = "upper" if text.isupper() else "lower" if text.islower() else "title"
        size = len(text) if wide else len(text.split())
        styles[wide, min(max(size, 1), 4), "title" if wide else case, "," in text] += count
    lowered = header.lower()
    alone = "family" if re.search(r"sur|last|family|nachname|apellido|cognome|^姓$", lowered) else "given"
    return {"styles": [[*style, c] for style, c in styles.most_common(12)], "alone": alone}


def _name(learned: Mapping[str, Any], n: int, rng: np.random.Generator, wider: int) -> list[str]:
    styles = learned.get("styles") or [[False, 2, "title", False, 1]]
    mass = np.array([float(s[4]) for s in styles])
    which = rng.choice(len(styles), n, p=mass / mass.sum())
    given, more, family = (
        _syllables(n, rng, _TAILS, wider),
        _syllables(n, rng, _TAILS),
        _syllables(n, rng, _ENDS, wider),
    )
    wide = rng.integers(0, 1 << 30, (n, 4 + wider))
    out = []
    for k in range(n):
        chinese, size, case, comma, _ = styles[which[k]]
        if chinese:
            first = _WIDE_FAMILY[wide[k, 0] % len(_WIDE_FAMILY)] if size > 1 or learned.get("alone") == "family" else ""
            rest = "".join(_WIDE_GIVEN[w % len(_WIDE_GIVEN)] for w in wide[k, 1 : size + wider + (not first)])
            out.append(first + rest)
            continue
        if size == 1:
            text = family[k] if learned.get("alone") == "family" else given[k]
        else:
            middle = [more[k], _HEADS[wide[k, 0] % len(_HEADS)]][: size - 2]
            parts = [family[k] + ",", given[k], *middle] if comma else [given[k], *middle, family[k]]
            text = " ".join(parts)
        out.append(text.upper() if case == "upper" else text.lower() if case == "lower" else text)
    return out


def places(texts: Sequence[str], counts: np.ndarray) -> dict[str, Any]:
    """Templates of addresses: digits and rare words open, words that many rows share (Street, Apt) kept."""
    words = Counter(w for text in texts for w in set(re.findall(r"[^\W\d_]+", text)))
    often = max(shapes.COMMON, len(texts) // 100)
    wide = sum(any(c > "\u2e7f" for c in t) for t in texts[:500]) > len(texts[:500]) / 2
    if wide:
        return {
            "wide": True,
            "marks": [m for m in "省市区县路街号弄栋室" if sum(m in t for t in texts[:500]) * 3 > len(texts[:500])],
        }

    def opened(m: re.Match[str]) -> str:
        word = m.group()
        if word[0].isdigit():
            return "\\d" * len(word)
        if words[word] >= often:
            return word
        return "\\U" if word.isupper() and len(word) > 1 else "\\W" if word[0].isupper() else "\\v"

    templates: Counter[str] = Counter()
    for text, count in zip(texts[:5000], counts.tolist(), strict=False):
        templates[re.sub(r"[^\W\d_]+|\d+", opened, text.replace("\\", " "))] += count
    return {"wide": False, "templates": [[t, c] for t, c in templates.most_common(60)]}


def _address(learned: Mapping[str, Any], n: int, rng: np.random.Generator) -> list[str]:
    if learned.get("wide"):
        marks = learned.get("marks") or list("市区路号")
        out = []
        for _ in range(n):
            text = ""
            for m in marks:
                if m in "号弄栋室":
                    text += f"{int(rng.integers(1, 2000))}{m}"
                else:
                    text += "".join(rng.choice(list(_WIDE_PLACE), 2)) + m
            out.append(text if re.search(r"\d", text) else f"{text}{int(rng.integers(1, 2000))}号")
        return out
    templates = learned.get("templates") or [[f"\\d\\d\\d \\W {s}, \\W", 1] for s in _STREETS]
    mass = np.array([float(c) for _, c in templates])
    which = rng.choice(len(templates), n, p=mass / mass.sum())

    def filled(m: re.Match[str]) -> str:
        if m.group()[1] == "d":
            size = len(m.group()) // 2
            return str(int(rng.integers(10 ** (size - 1), 10**size)))
        word = _HEADS[int(rng.integers(len(_HEADS)))] + _ENDS[int(rng.integers(len(_ENDS)))]
        return str({"U": word.upper(), "W": word}.get(m.group()[1], word.lower()))

    return [re.sub(r"(?:\\d)+|\\[UWv]", filled, templates[k][0]) for k in which]


# The internet


def _ip(six: float, n: int, rng: np.random.Generator, wider: int) -> list[str]:
    out = []
    nets = ("192.0.2", "198.51.100", "203.0.113")  # RFC 5737
    for is_six in rng.random(n) < six:
        if is_six:
            out.append("2001:db8:" + ":".join(f"{int(g):x}" for g in rng.integers(1, 65536, 6)))  # RFC 3849
        elif not wider:
            out.append(f"{nets[int(rng.integers(3))]}.{int(rng.integers(1, 255))}")
        elif wider < 3:  # RFC 2544
            out.append(f"198.{int(rng.integers(18, 20))}.{int(rng.integers(256))}.{int(rng.integers(1, 255))}")
        else:
            out.append("10." + ".".join(str(int(b)) for b in rng.integers(1, 255, 3)))
    return out


def links(texts: Sequence[str]) -> dict[str, Any]:
    """Scheme and depth of the addresses."""
    forms = Counter(
        (t.split("://")[0] + "://" if "://" in t else "", min(t.split("://")[-1].count("/"), 6)) for t in texts
    )
    return {"forms": [[*form, c] for form, c in forms.most_common(12)]}


def _url(learned: Mapping[str, Any], n: int, rng: np.random.Generator, wider: int) -> list[str]:
    forms = learned.get("forms") or [["https://", 1, 1]]
    mass = np.array([float(f[2]) for f in forms])
    out = []
    for k in rng.choice(len(forms), n, p=mass / mass.sum()):
        scheme, depth, _ = forms[k]
        words = [w.lower() for w in _syllables(max(int(depth), 1 if wider else 0) + wider, rng, _TAILS, 1)]
        host = _DOMAINS[int(rng.integers(3))]
        out.append(scheme + "/".join([host if scheme else f"www.{host}", *words]))
    return out


def _quoted(text: str) -> str:
    return re.sub(r"([.^$*+?()\[\]{}|\\])", r"\\\1", text)
