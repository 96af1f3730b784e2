"""What other parts say in English is said in Chinese by pages: known by its words, with all that stands in it."""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import karat
from karat.languages import language
from karat.server.problems import in_fields
from karat.studio.hearing import again, shown
from karat.worth.policy import PACKS, Policy

ROOT = Path(karat.__file__).parent
EN, ZH = language("en"), language("zh")
ERRORS = ("Problem", "DataError", "FitError", "RunError")
OTHERS = {"guard.py", "hosts.py", "keys.py", "on_ray.py", "documented.py"}  # for who starts a server, and examples


def template(node: ast.expr) -> str | None:
    """A text of the code, each of its places as {}."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def raised(*rooms: str) -> Iterator[str]:
    """The sentences of errors that these rooms raise."""
    for path in (path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if path.name not in OTHERS else ():
            texts: list[ast.expr] = []
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
                texts = node.args
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "message":
                texts = [node.value]
            for each in texts:
                if (text := template(each)) is not None and " " in text and text.replace("{}", "").strip():
                    yield text


def known() -> set[str]:
    keys = [key.removeprefix("heard.") for key in ZH.texts if key.startswith("heard.")]
    return {
        "".join(words + ("" if name is None else "{}") for words, name, *_ in string.Formatter().parse(key))
        for key in keys
    }


def test_each_error_of_the_server_and_the_studio_is_known() -> None:
    found = set(raised("server", "studio"))
    lost = found - known()
    assert len(found) > 80 and not lost, f"say in languages/zh/heard.toml: {lost}"


def noted(*rooms: str) -> Iterator[str]:
    """The notes that these rooms make of data."""
    for path in (path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            texts: list[ast.AST] = []
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("notes.append"):
                texts = [*node.args]
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("note", "notes"):
                texts = [node.value]
            for each in texts:
                inner = {
                    id(part)
                    for joined in ast.walk(each)
                    if isinstance(joined, ast.JoinedStr)
                    for part in ast.walk(joined)
                }
                inner -= {id(joined) for joined in ast.walk(each) if isinstance(joined, ast.JoinedStr)}
                for part in ast.walk(each):
                    text = template(part) if isinstance(part, ast.expr) and id(part) not in inner else None
                    if text is not None and len(text.split()) > 2:
                        yield text


PLACES = ("7", "pictures", "month before day", "s")  # what may stand in them, where that is a word of the sentence
PARTS = {"{}; they were set aside."}  # of a sentence whose beginning is an error's


def test_each_note_on_data_is_known() -> None:
    found = set(noted("content", "data")) - PARTS
    lost = {text for text in found if not any(again(ZH, text.replace("{}", place)) for place in PLACES)}
    assert len(found) > 40 and not lost, f"say in languages/zh/heard.toml: {lost}"


def test_what_policies_want_signed_is_known() -> None:
    for pack in PACKS.glob("*.toml"):
        for one in Policy.load(pack.stem).signatures:
            assert again(ZH, one.what), one.what


@pytest.mark.parametrize(
    ("text", "chinese"),
    [
        (
            "there is no run 'or{d}ers'; it may have been deleted, or renamed.",
            "没有训练 “or{d}ers”；它可能已被删除或改名。",
        ),
        ("form is 'x': did you mean '.csv'?", "格式为 “x”：是不是 “.csv”？"),
        ("minutes is 'a; b'; a number was wanted.", "minutes 为 “a; b”；这里应为数。"),
        ("--keep 3: wanted a share from 0.02 to 1.", "保留比例为 3；应为 0.02 到 1。"),
        (in_fields("--keep 3: wanted a share from 0.02 to 1."), "保留比例为 3；应为 0.02 到 1。"),
        (
            "cannot write karat.json: No space left on device. Nothing was lost.",
            "无法写入 karat.json：磁盘已满。没有丢失任何内容。",
        ),
    ],
)
def test_what_stands_in_a_sentence_is_taken_over(text: str, chinese: str) -> None:
    assert again(ZH, text) == chinese and again(EN, text) == text


def test_what_is_not_known_stays_and_is_marked_as_english() -> None:
    assert shown(ZH, "a <b> of another kind") == '<span lang="en">a &lt;b&gt; of another kind</span>'
    assert shown(EN, "a <b>") == "a &lt;b&gt;"
    assert shown(ZH, "there is no file '<b>' here.") == "这里没有文件 “&lt;b&gt;”。"
    assert again(ZH, "there is no file " * 1000) is None


def test_each_sentence_is_known_again_by_itself() -> None:
    """Or another one would be said in its place: the one with more words is found first."""
    for key in (key.removeprefix("heard.") for key in ZH.texts if key.startswith("heard.")):
        names = [name for _, name, *_ in string.Formatter().parse(key) if name is not None]
        text = key.format_map({name: f"<{i}>" for i, name in enumerate(names)})
        own = ZH.texts[f"heard.{key}"].format_map({name: f"<{i}>" for i, name in enumerate(names)})
        assert again(ZH, text) == own, key
