"""The page of findings has every key that a judge can speak of, and says all of each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import karat
from karat.assays.keys import KEYS
from karat.languages import language

ROOT = Path(karat.__file__).parent
PAGE = (ROOT.parents[1] / "docs/findings.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if line.startswith("| `")]


def test_every_key_has_one_row_of_the_page_under_its_assay_and_no_row_is_of_a_key_that_is_none() -> None:
    found: dict[str, str] = {}
    assay = ""
    for line in PAGE.splitlines():
        if line.startswith("## "):
            assay = re.split(r"\W", line[3:])[0].lower()
        if key := re.match(r"\| `([^`]+)` \|", line):
            assert key[1] not in found, f"{key[1]} has two rows"
            found[key[1]] = assay
    assert found == {key: row.assay for key, row in KEYS.items()}


def test_a_row_says_what_a_finding_means_when_it_lies_how_it_is_computed_and_where() -> None:
    for key, *told in ROWS:
        assert len(told) == 4 and all(told), key
        files = re.findall(r"`([\w/]+\.py)`", told[-1])
        assert files, f"{key} names no file"
        for name in files:
            assert (ROOT / name).is_file(), f"{key}: there is no {name}"


def test_the_file_that_a_row_names_makes_or_reads_that_finding() -> None:
    for key, *told in ROWS:
        for name in re.findall(r"`([\w/]+\.py)`", told[-1]):
            text = (ROOT / name).read_text(encoding="utf-8")
            assert f'"{key.strip("`")}"' in text, f"{name} does not speak of {key}"


@pytest.mark.parametrize("code", ["en", "zh"])
def test_every_key_is_told_in_every_language_what_it_asks_what_it_means_and_what_to_do(code: str) -> None:
    """A new finding needs its row in `src/karat/languages/en/findings.toml` and in `zh/findings.toml`."""
    texts = language(code).texts
    told = {key.split(".")[1] for key in texts if key.startswith("finding.")}
    assert told == set(KEYS)
    for key in KEYS:
        row = {part: texts[f"finding.{key}.{part}"] for part in ("asks", "means", "do")}
        assert row["asks"].endswith(("?", "？")) and row["means"].endswith((".", "。"))
        assert f"do.{row['do']}" in texts
        assert code == "en" or texts[f"finding.{key}.name"]
