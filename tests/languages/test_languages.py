"""The tables of sentences: the same keys and places in each language, and nothing that a page asks for is missing."""

from __future__ import annotations

import re
import string
from pathlib import Path

import karat
from karat.assays.faults import FAULTS
from karat.assays.keys import KEYS
from karat.languages import language
from karat.report.board import SEEN
from karat.worth.inputs import inputs_of
from karat.worth.ledger import total
from karat.worth.prices import Prices

ROOT = Path(karat.__file__).parent
EN, ZH = language("en"), language("zh")
HAN = re.compile("[\u4e00-\u9fff]")
SAME = re.compile(
    r"finding\..*\.do|input\..*\.key|form\.(lang|comma|named|yuan)|thing\..*|page\.shares|compare\.spread|print\.(answer|verdict)"
    r"|studio\.nav\.other.*"
)


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_say_the_same_things_with_the_same_places() -> None:
    names = {f"finding.{key}.name" for key in KEYS}  # in English those of the keys, which --require takes
    sees = {key for key in ZH.texts if key.endswith(".sees")}  # in English those of assays/faults.py
    assert {key.split(".")[1] for key in sees} >= set(SEEN)
    for key in sees:
        assert places(ZH.texts[key]) == places(FAULTS[key.split(".")[1]])
    assert set(ZH.texts) - names - sees == set(EN.texts)
    for key, text in EN.texts.items():
        mine, theirs = places(text) - {"thing", "things"}, places(ZH.texts[key]) - {"thing", "things"}
        assert mine == theirs, key


def test_what_is_said_in_chinese_is_chinese() -> None:
    for key, text in ZH.texts.items():
        assert SAME.fullmatch(key) or HAN.search(text) or text == "{of}", key
        assert not re.search(r"[\u4e00-\u9fff][,;?!]", text), f"{key} has a western mark behind a Chinese character"
    assert [key for key, text in EN.texts.items() if HAN.search(text)] == [
        "studio.nav.other_name"
    ]  # as its readers call it


def test_all_that_pages_and_programs_ask_for_is_there() -> None:
    asked = set()
    for path in (ROOT / "report").iterdir():
        text = path.read_text(encoding="utf-8") if path.suffix in (".py", ".j2") else ""
        asked |= {f"page.{key}" for key in re.findall(r"""\bt\(["']([\w.]+)["'][,)]""", text)}
        asked |= set(re.findall(r"""\bsay\(\s*["']([\w.]+)["'][,)]""", text))
    assert len(asked) > 100 and asked <= set(EN.texts)
    for key in KEYS:
        assert f"page.assay.{KEYS[key].assay}" in EN.texts and f"page.better.{KEYS[key].better}" in EN.texts


def test_every_input_of_the_money_has_its_name() -> None:
    prices = Prices(currency="USD", alternative_cost_per_item=1, items_wanted=1, generation_cost_per_item=1)
    for reviewed in (True, False):
        inputs, missing = inputs_of([], total([]), prices, "row", reviewed)
        assert not missing and {f"input.{i.name}.name" for i in inputs} <= set(EN.texts)


def test_a_list_is_said_as_each_language_says_lists() -> None:
    assert EN.listed(["a"]) == "a" and EN.listed(["a", "b", "c"]) == "a, b and c" and EN.listed([]) == ""
    assert ZH.listed(["a", "b", "c"]) == "a、b和c"
    assert EN.listed(list("abcdef"), 2) == "a, b and 4 more" and ZH.listed(list("abcdef"), 2) == "a、b等，另有 4 项"


def test_a_kind_of_record_that_no_table_knows_keeps_its_own_word() -> None:
    assert EN.thing("dot") == {"thing": "dot", "things": "dots"} and ZH.thing("dot")["things"] == "dot"
