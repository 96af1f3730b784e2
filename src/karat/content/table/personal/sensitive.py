"""Recognises columns that hold personal data, and puts valid made values in their place.

Recognised by content where at least `SHARE` of the values have the form (and the check digit, where there is one), and
else by the header. E-mail domains are those reserved by RFC 2606, addresses of the internet those of RFC 5737, 2544
and 3849, telephone numbers those kept for fiction where a country keeps some.
"""

from __future__ import annotations

import base64
import math
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from karat.content.table.bloom import Past
from karat.content.table.digests import row_digests
from karat.content.table.personal import checks, prose, shapes
from karat.content.table.personal import fakes as making
from karat.content.table.schema.columns import MADE, Column, Kind
from karat.errors import FitError

SHARE = 0.6
_LOOKED = 500  # values looked at
SIFTED = 16  # shards whose values are told apart by drawing as many times too many
ALONE = (0, 1)  # the one shard of one

_RESERVED = ("email", "ip", "url")  # made where nobody is
_FICTION = r"55501\d\d$|7700900\d{3}$|^33?63998\d{4}$"

_EMAIL = re.compile(r"[^@\s,;<>\"]+@[^@\s.]+(?:\.[^@\s.]+)*\.[A-Za-z]{2,}")
_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_PHONES = re.compile(
    r"\+\d[\d\s().\-/]{6,20}|(?:(?:\+?86|0086)[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4}|0\d{2,3}-\d{7,8}|"
    r"(?:1[-. ])?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}(?: ?x\d+)?|\(?0\d{1,4}\)?[ ./-]\d{2,4}(?:[ .-]?\d{2,4}){1,4}"
)
_DIALLED = re.compile(r"[+(]?\d[\d\s().\-/]{4,20}\d(?: ?x\d+)?")
_PERSONS: dict[str, Callable[[str], bool]] = {
    "cn": checks.cn,
    "ssn": checks.ssn,
    "cpf": checks.cpf,
    "pesel": checks.pesel,
    "dni": checks.dni,
    "nino": checks.nino,
}
_ONE_IN_TEN = ("pesel",)  # a chance number passes too often for few rows to tell

_OWNERS = set(
    re.findall(
        r"\S+",
        "first last full given family middle maiden sur fore customer client patient person employee contact student teacher "
        "doctor physician nurse passenger guest member applicant holder cardholder driver spouse mother father parent child "
        "legal beneficiary buyer seller recipient sender owner user staff manager pupil resident tenant insured victim",
    )
)
_NAMES = set(
    re.findall(
        r"\S+",
        "name firstname lastname surname fullname forename givenname familyname middlename realname nom prenom prénom nachname "
        "vorname apellido apellidos nombre nombres cognome sobrenome customername clientname patientname employeename",
    )
)
_NAMES_WIDE = re.compile(
    r"姓名|^姓$|^名字?$|联系人|收货人|收件人|寄件人|户主|法人|持卡人|患者名|客户名称?$|员工名|学生名"
)
_ADDRESSES = set(
    re.findall(
        r"\S+", "address addr street adresse anschrift direccion dirección indirizzo endereço strasse straße rue"
    )
)
_ADDRESSES_WIDE = re.compile(r"地址|住址|住所")
_NOT_HOMES = set(re.findall(r"\S+", "email mail e ip mac web url wallet file memory site"))
_TELEPHONES = set(
    re.findall(r"\S+", "phone telephone tel mobile cell cellphone fax telefon telefono teléfono handy msisdn")
)
_TELEPHONES_WIDE = re.compile(r"手机|电话|联系方式|传真")


def recognise(name: str, values: pa.Array) -> Kind | None:
    """The sensitive kind of a column with that header and those values (strings), or None."""
    values = pc.unique(values.drop_null() if values.null_count else values)
    step = max(1, len(values) // _LOOKED)
    texts = [text.strip() for text in values[::step].to_pylist()]
    if not texts:
        return None
    words = _header(name)
    content = _content(texts, words)
    if content is not None:
        return content
    plain = _share(texts, lambda t: bool(t) and not any(c.isdigit() for c in t) and len(t) <= 60 and t.count(" ") <= 5)
    if _is_name(name, words) and plain >= 0.9:
        return "name"
    home = bool(words & _ADDRESSES) and not words & _NOT_HOMES or bool(_ADDRESSES_WIDE.search(name))
    if home and _share(texts, lambda t: len(t) >= 5 and any(c.isalpha() for c in t) and "@" not in t) >= SHARE:
        return "address"
    return None


def _content(texts: list[str], words: set[str]) -> Kind | None:
    probe = texts[:20]
    if _share(probe, lambda t: "@" in t) >= SHARE:
        return "email" if _share(texts, lambda t: bool(_EMAIL.fullmatch(t))) >= SHARE else None
    if _share(probe, lambda t: bool(_URL.fullmatch(t))) >= SHARE:
        return "url"
    if _share(probe, lambda t: t.count(".") == 3 or t.count(":") >= 2) >= SHARE and _share(texts, checks.ip) >= SHARE:
        return "ip"
    digits = _share(probe, lambda t: sum(c.isdigit() for c in t) >= 6)
    if digits < SHARE:
        return None
    if _share(texts, checks.iban) >= SHARE:
        return "iban"
    if _person(texts, words) is not None:
        return "person id"
    payment = bool(words & {"card", "pan", "creditcard", "cardnumber", "银行卡号", "卡号", "信用卡号"})
    if (len(texts) >= 5 or payment) and _share(texts, checks.card) >= SHARE:
        return "card"
    if _share(texts, lambda t: bool(_PHONES.fullmatch(t))) >= SHARE:
        return "phone"
    telephone = bool(words & _TELEPHONES) or any(_TELEPHONES_WIDE.search(w) for w in words)
    return "phone" if telephone and _share(texts, lambda t: bool(_DIALLED.fullmatch(t))) >= SHARE else None


def _person(texts: list[str], words: set[str]) -> str | None:
    for form, holds in _PERSONS.items():
        if form in _ONE_IN_TEN and len(texts) < 8 and form not in words:
            continue
        if _share(texts, holds) >= SHARE:
            return form
    return None


def learn(column: Column, values: pa.Array, counts: np.ndarray, times: float = 1.0) -> dict[str, Any]:
    """JSON from which `fakes` makes new values like the distinct strings `values` [u], each `counts` [u] times there.

    times: how many times as many rows the source has, of which these are a sample.

    Under "taken" stands a bitmap, about half full, that holds a bit of every real value (Bloom, 1970, with one hash): no
    value on a set bit is made, so none is real, and that its bit is set makes a value at most twice as likely to be real.
    """
    out = _learned(column, values, counts, times)
    if column.kind not in _RESERVED and out.get("way") not in ("sequence", "uuid"):
        size = max(8, int(len(values) / math.log(2)))
        bits = np.zeros(size, np.uint8)
        bits[_places(values, size)] = 1
        out["taken"] = [size, base64.b85encode(np.packbits(bits).tobytes()).decode()]
    return out


def _learned(column: Column, values: pa.Array, counts: np.ndarray, times: float) -> dict[str, Any]:
    step = max(1, len(values) // 20_000)
    texts, weights = values[::step].to_pylist(), counts[::step]
    match column.kind:
        case "text":
            return prose.learn(values.to_pylist(), counts)
        case "identifier":
            return making.identifiers(values, counts, times)
        case "email":
            return making.mailboxes(texts, weights)
        case "name":
            return making.persons(texts, weights, column.name)
        case "address":
            return making.places(texts, weights)
        case "ip":
            return {"six": _share(texts, lambda t: ":" in t)}
        case "url":
            return making.links(texts)
        case "person id":
            return {"form": _person(texts, set()), **making.codes(values, counts)}
        case "phone" | "card" | "iban":
            return making.codes(values, counts)
        case _:
            return {}


def fakes(
    column: Column, n: int, rng: np.random.Generator, real: pa.Array | None = None, past: Past | None = None
) -> pa.Array:
    """string `[n]` of valid made values in the column's format; the same `rng` gives the same.

    None is a value that was learned from or is in `real` [m] (strings), and where `column.unique` no two are equal. Short
    text (up to three words) alone may be what somebody wrote too. FitError for a kind that is learned and not made.
    past: of a stream, whose earlier values are not made again where they must differ; nor are those of its other shards.
    """
    if column.kind not in MADE:
        raise FitError(f"column {column.name!r} is of kind {column.kind}; values are made for {', '.join(MADE)}.")
    known = pa.array([], pa.string()) if real is None else pc.unique(real.cast(pa.string()).drop_null())
    learned: Mapping[str, Any] = column.learned
    if not learned and len(known):
        learned = learn(column, known, np.ones(len(known), np.int64))
    taken = _bits(learned)
    distinct = column.unique and column.kind != "text" or learned.get("way") == "sequence"
    running = learned.get("way") == "sequence"
    if past is not None and running:
        start = int(learned["next"]) + int(learned["step"]) * past.first
        learned = {**learned, "next": past.next.get(column.name, start)}
    shard = _shard(column, past) if past is not None and distinct else ALONE
    before = past.values((column.name,)) if past is not None and distinct and not running else None
    out = np.empty(n, object)
    todo = np.arange(n)
    barren = 0  # attempts that found little new; after a few of them the format is made wider
    for _ in range(100):
        if not len(todo):
            break
        # enough to tell bad luck from a format that is used up; of running numbers the next shard has those behind
        size = len(todo) if running and past is not None else max(len(todo), 64)
        drawn = _drawn(column, learned, size, rng, max(0, barren - 3), shard)
        size = len(drawn)
        good = ~(_real(column.kind, drawn, known) | _hit(column.kind, drawn, taken))
        if distinct:
            firsts = np.zeros(size, bool)
            coded = drawn.dictionary_encode().indices.to_numpy(zero_copy_only=False)
            firsts[np.unique(coded, return_index=True)[1]] = True
            good &= firsts
        if before is not None:
            keys = row_digests(pa.table([drawn], names=["key"]))[:, 0]
            good &= ~before.has(keys)
            before.add(keys[np.flatnonzero(good)[: len(todo)]])
        fresh = drawn.filter(pa.array(good))[: len(todo)]
        if distinct:
            known = pa.concat_arrays([known, fresh])
        out[todo[: len(fresh)]] = fresh.to_numpy(zero_copy_only=False)
        todo = todo[len(fresh) :]
        barren += int(size == 0 or good.mean() < 0.1)
        if learned.get("way") == "sequence":
            learned = {**learned, "next": int(learned["next"]) + int(learned["step"]) * len(drawn)}
    if past is not None and learned.get("way") == "sequence":
        past.next[column.name] = int(learned["next"])
    if len(todo):
        raise FitError(
            f"column {column.name!r}: {len(todo):,} more values of kind {column.kind} that are not real cannot be found."
        )
    return pa.array(out, pa.string())


def _shard(column: Column, past: Past) -> tuple[int, int]:
    """Which shard of how many; FitError for a kind whose values cannot be divided among so many."""
    if past.shards > SIFTED and column.kind not in making.STEERED:
        raise FitError(
            f"column {column.name!r}: values of kind {column.kind} that differ in every row are divided among at most {SIFTED} "
            f"shards; {past.shards:,} were asked for. Lower --shards, or say in a --schema that they need not differ."
        )
    return past.shard, past.shards


def _drawn(
    column: Column, learned: Mapping[str, Any], n: int, rng: np.random.Generator, wider: int, shard: tuple[int, int]
) -> pa.Array:
    """About `n` values, not all new; of those that differ in every shard only such as are this one's."""
    number, of = shard
    if column.kind == "text":
        return pa.array(prose.make(learned, n, rng), pa.string())
    if of == 1 or column.kind in making.STEERED:
        return pa.array(making.make(column.kind, learned, n, rng, wider, shard), pa.string())
    drawn = pa.array(making.make(column.kind, learned, n * of, rng, wider), pa.string())
    return drawn.filter(pa.array(shapes.residues(drawn.to_pylist(), of) == number))


def _real(kind: Kind, drawn: pa.Array, known: pa.Array) -> np.ndarray:
    inside = np.asarray(pc.is_in(drawn, value_set=known).to_numpy(zero_copy_only=False), bool)
    if kind == "text":
        inside = inside & _long(drawn)
    return inside


def _hit(kind: Kind, drawn: pa.Array, taken: np.ndarray | None) -> np.ndarray:
    """bool [n]: whether a bit of the drawn values is set."""
    if taken is None or not len(drawn):
        return np.zeros(len(drawn), bool)
    hit: np.ndarray = taken[_places(drawn, len(taken))]
    if kind == "text":
        hit &= _long(drawn)
    if kind == "phone":
        bare = pc.replace_substring_regex(drawn, "[^0-9]", "")
        hit &= ~np.asarray(pc.match_substring_regex(bare, _FICTION).to_numpy(zero_copy_only=False), bool)
    return hit


def _long(texts: pa.Array) -> np.ndarray:
    """bool [n]: whether a text is so long that it must not be a real one."""
    gaps = np.asarray(pc.count_substring(texts, " ").to_numpy(zero_copy_only=False))
    sizes = np.asarray(pc.utf8_length(texts).to_numpy(zero_copy_only=False))
    return np.asarray(np.logical_or(gaps >= 3, (gaps == 0) & (sizes > 8)), bool)


def _places(values: pa.Array, size: int) -> np.ndarray:
    """int64 [n]: the bit of each value, of `size`."""
    sums = np.fromiter((zlib.crc32(text.encode()) for text in values.to_pylist()), np.uint64, len(values))
    mixed = sums * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)  # like values would else lie side by side
    return (mixed * np.uint64(size) >> np.uint64(32)).astype(np.int64)


def _bits(learned: Mapping[str, Any]) -> np.ndarray | None:
    if "taken" not in learned:
        return None
    size, packed = learned["taken"]
    return np.unpackbits(np.frombuffer(base64.b85decode(packed), np.uint8), count=int(size)).astype(bool)


def shaped(values: pa.Array) -> bool:
    """Whether the distinct values [u] are codes of few shapes and no words."""
    return shapes.regular(values)


def _header(name: str) -> set[str]:
    spread = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    words = [w for w in re.split(r"[\W_]+", spread.lower()) if w]
    return set(words) | {"".join(words)}


def _is_name(name: str, words: set[str]) -> bool:
    if _NAMES_WIDE.search(name.strip()):
        return True
    joined = [
        w for w in re.split(r"[\W_]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()) if w and not w.isdigit()
    ]
    if not joined or not (joined[-1] in _NAMES or "".join(joined) in _NAMES):
        return len(joined) == 2 and joined[0] == "name" and joined[1] in {"first", "last", "full"}
    return len(joined) == 1 or "".join(joined) in _NAMES or all(w in _OWNERS | _NAMES for w in joined[:-1])


def _share(texts: list[str], holds: Callable[[str], bool]) -> float:
    if len(texts) > 60 and sum(map(holds, texts[::20])) < 0.3 * len(texts[::20]):  # a glance is enough
        return 0.0
    return sum(map(holds, texts)) / len(texts)
