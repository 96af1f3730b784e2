"""A name that comes from data becomes one plain file name, and no two become the same."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from karat.output import (
    BESIDE,
    file_name,
    file_names,
)


@pytest.mark.parametrize(
    "text",
    [
        "../../victim/x",
        "/etc/passwd",
        "a/b\\c",
        "..",
        ".",
        "",
        " ",
        ".hidden",
        "-rf",
        "--",
        "CON",
        "nul.csv",
        "com1.tar.gz",
        "a\0b",
        "a\nb",
        "\u202egnp.exe",
        "\u200bx",
        "x" * 300,
        "\u6f22" * 200,
        "a:b",
        "a|b?*<>",
        "trailing. . ",
        "\ud800",
        "\u2028",
        "e\u0301",
        "C:\\x",
        "~root",
        "\ufeff",
        "x\u0085y",
        "aux .txt",
    ],
)
def test_a_name_from_data_is_one_plain_file_name(text: str, tmp_path: Path) -> None:
    name = file_name(text)
    assert name and name not in (".", "..") and len(name.encode()) <= 200
    assert not set(name) & set('/\\\0:*?"<>|') and name[0] not in ".-~ " and name[-1] not in ". "
    assert not any(unicodedata.category(c).startswith(("Cc", "Cf", "Cs")) for c in name)
    assert name.split(".")[0].strip().upper() not in ("CON", "NUL", "COM1", "AUX")
    (tmp_path / f"{name}{BESIDE}").write_text("x")
    assert [p.name for p in tmp_path.iterdir()] == [f"{name}{BESIDE}"]
    assert file_name(name) == name, "a good name stays"


def test_ordinary_names_stay_as_they_are() -> None:
    for text in (
        "orders",
        "Orders 2024 (new)",
        "caf\u00e9",
        "\u8ba2\u5355",
        "a.b",
        "x_y-z",
        "S\u00e3o Paulo",
        "\U0001f600",
    ):
        assert file_name(text) == text


def test_names_that_a_file_system_may_take_for_one_are_told_apart() -> None:
    texts = [
        "Orders",
        "orders",
        "ORDERS",
        "caf\u00e9",
        "cafe\u0301",
        "a/b",
        "a:b",
        "\ufb01x",
        "fix",
        "label.json",
        "x" * 300,
        "x" * 301,
    ]
    names = file_names(texts)
    folded = [unicodedata.normalize("NFKC", n).casefold() for n in names.values()]
    assert len(set(folded)) == len(texts) and "label.json" not in folded
    assert names["Orders"] == "Orders" and file_names(texts) == names
