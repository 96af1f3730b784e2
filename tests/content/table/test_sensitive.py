"""Personal columns are recognised, and what is put in their place is valid, new and in their format."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from karat.content.table.personal import checks, prose, sensitive
from karat.content.table.schema import schema
from karat.content.table.schema.columns import Column
from karat.content.table.table import Dialect, Raw
from karat.errors import FitError

N = 600
rng = np.random.default_rng(7)


def digits(size: int) -> list[str]:
    return ["".join(row) for row in rng.integers(0, 10, (N, size)).astype(str)]


def cn() -> list[str]:
    born = (np.datetime64("1950-01-01") + rng.integers(0, 20_000, N)).astype(str)
    first = [f"110101{day.replace('-', '')}{k:03d}" for day, k in zip(born, rng.integers(1, 999, N), strict=True)]
    return [f + checks.cn_digit(f) for f in first]


def words(*parts: str) -> list[str]:
    ends = rng.integers(97, 123, (N, 2, 2), np.uint8)
    which = rng.integers(0, len(parts), (N, 2))
    return [
        " ".join(parts[w] + e.tobytes().decode() for w, e in zip(*row, strict=True))
        for row in zip(which, ends, strict=True)
    ]


def fits(form: str) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(form, text) is not None


GIVEN = list("伟芳娜敏静强磊军洋勇艳杰涛明超秀兰霞平刚桂英")
PEOPLE = words("Mara", "Joh", "Pet")
REAL: dict[str, tuple[str, list[str], Callable[[str], bool]]] = {
    "contact": (
        "email",
        [f"{a.lower().replace(' ', '.')}{k}@gmail.com" for k, a in enumerate(PEOPLE)],
        fits(r"[a-z]+\.[a-z]+\d+@example\.(com|org|net)"),
    ),
    "call": ("phone", [f"({a[:3]}) {a[3:6]}-{a[6:]}" for a in digits(10)], fits(r"\([2-9]\d\d\) 555-01\d\d")),
    "phone": ("phone", [f"+44 7{a[:3]} {a[3:]}" for a in digits(9)], fits(r"\+44 7700 900\d{3}")),
    "手机": ("phone", [f"1{3 + k % 7}{a}" for k, a in enumerate(digits(9))], fits(r"1[3-9]\d{9}")),
    "account": (
        "card",
        [a + checks.luhn_digit(a) for a in ("4" + d for d in digits(14))],
        lambda t: checks.card(t) and len(t) == 16 and t[0] == "4",
    ),
    "spaced": (
        "card",
        [re.sub(r"(\d{4})(?=\d)", r"\1 ", a + checks.luhn_digit(a)) for a in ("52" + d for d in digits(13))],
        lambda t: checks.card(t) and fits(r"52\d\d( \d{4}){3}")(t),
    ),
    "身份证号": ("person id", cn(), checks.cn),
    "number": (
        "person id",
        [f"{1 + int(a[:3]) % 660:03d}-{1 + int(a[3:5]) % 98:02d}-{1 + int(a[5:]) % 9998:04d}" for a in digits(9)],
        checks.ssn,
    ),
    "tax": (
        "person id",
        [f"{a[:3]}.{a[3:6]}.{a[6:]}-{checks.cpf_digits(a)}" for a in digits(9)],
        lambda t: checks.cpf(t) and fits(r"\d{3}\.\d{3}\.\d{3}-\d\d")(t),
    ),
    "documento": ("person id", [a + checks.LETTERS_DNI[int(a) % 23] for a in digits(8)], checks.dni),
    "bank": (
        "iban",
        [f"DE{checks.iban_digits('DE', a)} {a[:4]} {a[4:8]} {a[8:12]} {a[12:16]} {a[16:]}" for a in digits(18)],
        lambda t: checks.iban(t) and t.startswith("DE") and t[4] == " ",
    ),
    "seen at": ("ip", [".".join(map(str, row)) for row in rng.integers(1, 255, (N, 4))], checks.ip),
    "profile": (
        "url",
        [f"https://social.net/people/{a}" for a in digits(9)],
        fits(r"https://example\.(com|org|net)/\w+/\w+"),
    ),
    "first_name": ("name", [p.split()[0] for p in PEOPLE], fits(r"[A-Z][a-z]+")),
    "CustomerName": ("name", PEOPLE, fits(r"[A-Z][a-z]+ [A-Z][a-z]+")),
    "姓名": ("name", ["王" + "".join(rng.choice(GIVEN, 2)) for _ in range(N)], lambda t: len(t) == 3),
    "address": (
        "address",
        [f"{int(a[:3]) + 1} {p} Street, Springfield, CA 9{a[3:]}" for a, p in zip(digits(7), PEOPLE, strict=True)],
        fits(r"\d+ [A-Z]\w+ [A-Z]\w+ Street, Springfield, CA \d{5}"),
    ),
    "家庭地址": ("address", [f"北京市朝阳区建国路{int(a)}号" for a in digits(4)], fits(r"..市..区..路\d+号")),
}


def found(name: str, cells: list[str]) -> Column:
    table = pa.table({name: pa.array(cells)})
    return schema.infer(Raw(table, "csv", "t.csv", Dialect())).columns[0]


@pytest.mark.parametrize("name", REAL)
def test_personal_columns_are_recognised_and_their_fakes_are_valid_new_and_repeatable(name: str) -> None:
    kind, cells, valid = REAL[name]
    column = found(name, cells)
    assert column.kind == kind
    real = pa.array(cells)
    made = sensitive.fakes(column, 500, np.random.default_rng(3), real)
    assert made.equals(sensitive.fakes(column, 500, np.random.default_rng(3), real))
    texts = made.to_pylist()
    assert [t for t in texts if not valid(t)] == []
    assert not set(texts) & set(cells)
    assert not column.unique or len(set(texts)) == 500
    assert len(set(texts)) > 50


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("product_name", PEOPLE),
        ("file name", PEOPLE),
        ("hostname", PEOPLE),
        ("ip_address_type", ["static", "dynamic", "none"]),
        ("amount", [str(x) for x in rng.integers(10**15, 10**16, N)]),
        ("stamp", [str(x) for x in rng.integers(1_600_000_000_000, 1_700_000_000_000, N)]),
        ("day", ["2024-01-31", "2024-02-28"]),
        ("pesel-like", [str(x) for x in rng.integers(10**10, 10**11, N)]),
    ],
)
def test_other_columns_are_not(name: str, cells: list[str]) -> None:
    assert sensitive.recognise(name, pa.array(cells)) is None


def test_few_values_that_repeat_are_no_persons() -> None:
    assert found("name", ["Anna", "Bert", "Carl"] * 50).kind == "category"
    assert found("e-mail", ["sales@mail.com", "help@mail.com"] * 50).kind == "category"


def test_a_card_column_of_integers_is_recognised_and_keeps_its_type() -> None:
    cells = [int(c) for c in REAL["account"][1]]
    column = schema.infer(Raw(pa.table({"pan": cells}), "parquet", "t.parquet")).columns[0]
    assert (column.kind, column.arrow) == ("card", "int64")


def test_running_identifiers_go_on_after_the_largest() -> None:
    column = found("id", [f"INV-2024-{k:05d}" for k in range(10, 210, 2)])
    made = sensitive.fakes(column, 3, np.random.default_rng(0))
    assert made.to_pylist() == ["INV-2024-00210", "INV-2024-00212", "INV-2024-00214"]
    assert sensitive.fakes(column, 0, np.random.default_rng(0)).to_pylist() == []


@pytest.mark.parametrize(
    ("cells", "form"),
    [
        ([f"ORD-{x:06d}" for x in rng.permutation(10**6)[:N]], r"ORD-\d{6}"),
        ([str(x) for x in rng.permutation(9000)[:N] + 1000], r"\d{4}"),
        ([f"0{x:04d}" for x in rng.permutation(10**4)[:N]], r"0\d{4}"),
        ([f"49{x:05d}" for x in rng.permutation(10**5)[:N]], r"49\d{5}"),
        (["".join(rng.choice(list("0123456789abcdef"), 12)) for _ in range(N)], r"[0-9a-f]{12}"),
        ([f"{a[:3]}-X-{'ABCDEFGHIJ'[int(a[3])]}{a[4:]}" for a in dict.fromkeys(digits(9))], r"\d{3}-X-[A-Z]\d{5}"),
        ([f"{a[:8]}-{a[8:12]}-4{a[12:15]}-8{a[15:18]}-{a[18:30]}" for a in digits(30)], r"[0-9a-f-]{36}"),
    ],
)
def test_new_identifiers_have_the_pattern_are_unique_and_new(cells: list[str], form: str) -> None:
    column = found("id", cells)
    assert column.kind == "identifier" and column.unique
    texts = sensitive.fakes(column, 1000, np.random.default_rng(1), pa.array(cells)).to_pylist()
    assert all(re.fullmatch(form, t) for t in texts)
    assert len(set(texts)) == 1000 and not set(texts) & set(cells)


def test_what_few_rows_hold_is_not_kept_in_a_pattern() -> None:
    cells = [f"A-{k:04d}-{chr(65 + k % 26)}" for k in rng.permutation(10_000)[:N]] + ["secret_7_of_one"]
    learned = str(found("id", cells).learned)
    assert "A-" in learned and "secret" not in learned


def test_made_text_has_common_words_the_lengths_and_no_real_row() -> None:
    common = re.findall(r"\w+", "the order came late but it was good and we will call again soon")
    rows = [" ".join(rng.choice(common, int(rng.integers(5, 12)))) + f" Rare{k}" for k in range(N)]
    column = found("comment", rows)
    assert column.kind == "text"
    made = sensitive.fakes(column, 400, np.random.default_rng(0), pa.array(rows)).to_pylist()
    assert {w for t in made for w in t.split()} <= set(common)
    assert not set(made) & set(rows)
    sizes = [len(t.split()) for t in made]
    assert 6 <= np.mean(sizes) <= 11 and min(sizes) >= 6 and max(sizes) <= 12


def test_text_without_common_words_and_of_one_only_row_is_still_made() -> None:
    for learned in (
        {},
        prose.learn(["unique words only here"], np.ones(1)),
        prose.learn(["今天很好今天很好"] * 1, np.ones(1)),
    ):
        assert all(prose.make(learned, 5, np.random.default_rng(0)))
    few = prose.learn(["a b a b a"], np.array([9]))
    assert few["words"] == []


def test_a_row_that_a_chain_would_repeat_is_drawn_again() -> None:
    pairs = {"0": [1, 9], "1": [0, 9, 1, 9]}
    chain = {"words": ["a", "b"], "mass": [5, 5], "starts": [0, 9], "follow": pairs, "lengths": [6, 6]}
    row = "a b a b a b"
    assert row in prose.make(chain, 50, np.random.default_rng(0))
    column = Column("x", "text", learned=chain)
    assert row not in sensitive.fakes(column, 50, np.random.default_rng(0), pa.array([row])).to_pylist()


def test_a_kind_that_is_learned_has_no_fakes() -> None:
    with pytest.raises(FitError, match="'age' is of kind integer"):
        sensitive.fakes(Column("age", "integer"), 3, np.random.default_rng(0))


@pytest.mark.parametrize(
    "kind", ["email", "phone", "card", "person id", "iban", "name", "address", "ip", "url", "identifier", "text"]
)
def test_a_column_of_which_nothing_is_known_has_fakes_too(kind: schema.Kind) -> None:
    made = sensitive.fakes(Column("x", kind, unique=kind != "text"), 700, np.random.default_rng(0))
    assert len(made) == 700 and made.null_count == 0
    assert kind == "text" or len(set(made.to_pylist())) == 700


def test_checks_know_published_examples() -> None:
    assert checks.card("4111 1111 1111 1111") and not checks.card("4111 1111 1111 1112")
    assert checks.iban("GB82 WEST 1234 5698 7654 32") and not checks.iban("GB82 WEST 1234 5698 7654 33")
    assert checks.cn("11010519491231002X") and not checks.cn("110105194912310021")
    assert checks.dni("12345678Z") and checks.cpf("529.982.247-25") and checks.pesel("44051401359")
    assert not checks.ssn("000-12-3456") and checks.nino("AB123456C")


@pytest.mark.parametrize("name", ["手机", "身份证号", "first_name", "姓名"])
def test_no_real_value_is_made_where_the_real_ones_are_gone(name: str) -> None:
    kind, cells, _ = REAL[name]
    column = found(name, cells)
    assert not any(cell in str(column.learned) for cell in cells)
    made = sensitive.fakes(replace(column, unique=False), 20_000, np.random.default_rng(0)).to_pylist()
    assert len(made) == 20_000 and not set(made) & set(cells)


def test_no_real_identifier_is_made_of_a_crowded_range() -> None:
    cells = [str(x) for x in rng.permutation(9000)[:2500] + 1000]
    column = found("id", cells)
    made = sensitive.fakes(column, 1000, np.random.default_rng(0)).to_pylist()
    assert len(set(made)) == 1000 and not set(made) & set(cells)
    assert all(re.fullmatch(r"\d{4}", t) for t in made)
