"""The tables of sentences: the same keys and places in each language, and nothing that a page asks for is missing."""

from __future__ import annotations

import ast
import copy
import datetime
import re
import string
from dataclasses import replace
from pathlib import Path

from good import COPY, COST, COVERAGE, GOOD, MEMBER, PAYS

import karat
from karat.assays.faults import FAULTS
from karat.assays.finding import Sample
from karat.assays.keys import KEYS
from karat.assays.sights import NAMED, sentence
from karat.content.table.schema.columns import KINDS
from karat.languages import language
from karat.languages.hearing import again
from karat.report.board import SEEN
from karat.training.diagnostics import watch
from karat.words import firsts, said, term
from karat.worth.inputs import inputs_of
from karat.worth.ledger import total
from karat.worth.policy import Policy
from karat.worth.prices import Prices
from karat.worth.verdict import judge

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
    assert {key.split(".")[1] for key in sees} >= set(NAMED)
    for key in sees:
        assert places(ZH.texts[key]) == places(FAULTS[key.split(".")[1]])
    said = {key for key in ZH.texts if key.startswith(("said.", "heard."))}  # in English those of the code
    assert set(ZH.texts) - names - sees - said == set(EN.texts)
    for key, text in EN.texts.items():
        mine, theirs = places(text) - {"thing", "things"}, places(ZH.texts[key]) - {"thing", "things"}
        assert mine == theirs, key


def literals(node: ast.AST) -> set[str]:
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def test_what_findings_and_verdicts_say_is_said_in_chinese_with_the_same_values() -> None:
    templates: set[str] = set()
    rooms = [(ROOT / "assays").rglob("*.py"), (ROOT / "worth").glob("*.py"), (ROOT / "report").glob("*.py")]
    others = [ROOT / "words.py", *((ROOT / "workflow" / f"{name}.py") for name in ("calibrating", "concluding"))]
    for path in [*(path for room in rooms for path in sorted(room)), *others]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        asked = [node for node in calls if node.func.id in ("said", "term") and node.args]  # type: ignore[attr-defined]
        templates |= set().union(*(literals(node.args[0]) for node in asked))
        if "references" in path.parts:  # how strong what was planted is
            templates |= {text for text in literals(tree) if re.search(r"\{strength:", text) and "\n" not in text}
        place = r"\{(value|count|made)[:}]" if "assays" in path.parts else r"\{[a-z]+[:}]"
        templates |= {text for text in literals(tree) if re.search(place, text)}  # given by their names
    assert len(templates) > 300
    for text in templates:
        assert f"said.{text}" in ZH.texts, text
        there = [(name, spec) for _, name, spec, _ in string.Formatter().parse(text) if name]
        mine = [(name, spec) for _, name, spec, _ in string.Formatter().parse(ZH.texts[f"said.{text}"]) if name]
        assert set(mine) == set(there), text


def test_what_stands_at_the_end_of_a_page_and_beside_its_columns_is_chinese() -> None:
    """Entries of the run and of the data by their names, kinds of columns, and what went wrong while a run learned."""
    data = "path kind what fingerprint count train holdout split classes imbalance exact_duplicates near_duplicates".split()
    office = ast.parse((ROOT / "workflow" / "office.py").read_text(encoding="utf-8"))
    (facts,) = [node for node in ast.walk(office) if isinstance(node, ast.FunctionDef) and node.name == "facts"]
    given = {
        key.value for node in ast.walk(facts) if isinstance(node, ast.Dict) for key in node.keys if key is not None
    }
    for name in (
        *data,
        *given,
        "warnings",
        "between",
        "run",
        "recipe",
        "seed",
        "device",
        "precision",
        "threads",
        "judge",
        "made",
        "real_records",
    ):
        entry = name.replace("_", " ").capitalize()
        assert f"said.{entry}" in ZH.texts, entry
    assert {f"said.{kind}" for kind in (*KINDS, "choice", "number")} <= set(ZH.texts)
    history = [
        {"fraction": 0.5, "skipped": 3, "separated": 0.99, "slope/critic": 1e-9, "active": 0.01, "spread": 0.2}
    ] * 9
    notices = watch(history)
    assert len(notices) == 5
    for notice in notices:
        for text in (notice.name, notice.evidence, notice.remedy):
            assert HAN.search(again(ZH, text) or ""), text


def test_what_would_have_been_seen_is_said_in_chinese() -> None:
    copies = replace(COPY, samples=(Sample(1_000, 100, "made", 0.03),))
    blind = replace(MEMBER, samples=(Sample(100, 1_000, "made"),))
    assert sentence([copies, blind], "row") == (
        "In so many rows these tests would have seen, 19 times of 20: 3% copies. "
        f"Too few to see a fault of any size: {MEMBER.name}."
    )
    assert ZH.again(sentence([copies, blind], "row")) == (
        "以这样多的记录，这些检验在 20 次中有 19 次能看见：3% 的复制品。"
        f"记录太少，任何大小的瑕疵都看不见：{ZH.texts[f'finding.{MEMBER.key}.name']}。"
    )


def test_a_sentence_is_said_again_with_all_that_stands_in_it() -> None:
    told = said(
        "{column}: {made:.1%} of what was made is {grain}, of unseen real rows {real:.1%}",
        column="{a}",
        made=0.5,
        grain=said("a multiple of {n}", n=5),
        real=0.25,
    )
    text = told + said("; printed otherwise than in real data: {listed}.", listed=firsts(list("abcdefghij")))
    assert text == (
        "{a}: 50.0% of what was made is a multiple of 5, of unseen real rows 25.0%; printed otherwise than in real data: "
        "a, b, c, d, e, f, g, h and more."
    )
    assert EN.again(text) == text and ZH.again("what is no sentence stays") == "what is no sentence stays"
    assert ZH.again(text) == (
        "{a}：生成内容中 50.0% 为 5 的倍数，未见过的真实记录中为 25.0%；写法与真实数据不同的列：a, b, c, d, e, f, g, h 等。"
    )
    assert ZH.again(copy.deepcopy(text)) == ZH.again(text)


def test_what_is_said_in_chinese_is_chinese() -> None:
    for key, text in ZH.texts.items():
        words = re.search("[A-Za-z]{2}", re.sub(r"\{.*?\}", "", text))
        assert SAME.fullmatch(key) or HAN.search(text) or not words, key
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


def test_a_verdict_is_said_in_chinese_with_nothing_left_in_english() -> None:
    lost = replace(COVERAGE, value=0.5, low=0.4, high=0.6, raised=True)
    few = replace(COVERAGE, samples=(Sample(30, 1_250, "made"),))
    open_ = replace(PAYS, rights=None, acceptance=None, currency="CNY")
    day = datetime.date(2026, 1, 1)
    asked = [r for pack in ("cn", "eu") for r in Policy.load(pack).reasons(GOOD, None, day)]
    for findings, prices in ((GOOD, PAYS), ([COPY, lost], open_), ([COPY, MEMBER, few], open_), ([], Prices())):
        v = judge(findings, COST, prices, rights=None, labelled=None, thing="row")
        inputs = [text for i in v.inputs for text in (i.unit, i.basis)]
        settle = [] if v.settle is None else [v.settle.what]
        for text in (v.sentence, *(r.text for r in (*v.reasons, *asked)), *settle, *inputs):
            told = re.sub(
                r"`.*?`|prices.toml|\(\w+\)|（\w+）|AUC|USD|GB 45438|Gartner|\w+_\w+|\"[^\"]*\"|rights|labels|personal",
                "",
                ZH.again(text),
            )
            assert not re.search("[A-Za-z]{2}|CN¥", told), told
    for pack in ("cn", "eu"):
        assert all(HAN.search(ZH.again(term(s.what))) for s in Policy.load(pack).signatures)
