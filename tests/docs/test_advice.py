"""Advice can be followed: every command that a message, the help or a page of documentation names is one that there is."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from cyclopts import CycloptsError

import karat
from karat.cli import APP, GLOBAL, VERBS

SOURCE = Path(karat.__file__).parent
PROJECT = SOURCE.parents[1]
PAGES = [*sorted(PROJECT.glob("*.md")), *sorted((PROJECT / "docs").glob("*.md"))]
# What a message fills in: whole options that it puts together, else a word that could be a name or a number.
FILLED = {"source": "--recipe vae", "budget": "--minutes 1", "aimed": "", "out": "", "asked": "--plan 5%"}
# What could be taken for a verb where a command stands in a sentence without marks around it.
LIKELY = {
    *VERBS,
    "check",
    "review",
    "search",
    "serve",
    "label",
    "verify",
    "diagnostics",
    "studio",
    "show",
    "resume",
    "sample",
}
ENDS = r" +#|  +karat |;|&&| \| |\)|…|, |: |\.(?: |$)"  # of a command, outside of quotes


@cache
def texts(path: Path) -> tuple[str, ...]:
    """Every string of a module as a person would meet it, values filled in."""
    return tuple(strings(path))


def strings(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else FILLED.get(ast.unparse(part.value), "1")  # type: ignore[attr-defined]
                for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield re.sub(r"\{(\w+)\}", lambda place: FILLED.get(place[1], "1"), node.value)


def commands(text: str) -> Iterator[str]:
    """What follows `karat` in a text, up to where a command ends; between marks whatever it is, else what is like a verb."""
    for found in re.finditer(r"(?<![\w./-])(`?)karat +(?=[a-z-])([^`\n]*)", text):
        line = re.match(r'(?:"[^"]*"|(?!' + ENDS + r").)*", found[2])[0]  # type: ignore[index]
        word = re.match(r"[a-z-]+", line)
        if word is not None and (found[1] or word[0] in LIKELY):
            yield line.strip().rstrip(".,:")


def fault(command: str) -> str | None:
    """Why the command line would not take it, or None. "RUN" and the like are names; "a|b" are alternatives."""
    said = re.sub(r"\[[^\]]*\]|\.\.\.", "", command)  # [RUN...] is optional
    tried = [said]
    for choice in re.findall(r"(?<=\s)[\w]+(?:\|[\w]+)+", said):
        tried = [t.replace(choice, one, 1) for t in tried for one in choice.split("|")]
    for one in tried:
        try:
            APP.parse_args([w for w in shlex.split(one) if w not in GLOBAL], exit_on_error=False, print_error=False)
        except CycloptsError as error:
            last = shlex.split(one)[-1]  # a verb, or an option, that is only named
            if not ((last in VERBS or last.startswith("--")) and "requires an argument" in str(error)):
                return str(error)
        except ValueError as error:
            return str(error)
    return None


@cache
def options() -> set[str]:
    known = {"--help", "--version", "--install-completion", *GLOBAL}
    for verb in VERBS:
        for argument in APP[verb].assemble_argument_collection(parse_docstring=False):
            known |= {name for name in argument.names if name.startswith("--")}
    return known


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_what_the_source_tells_a_person_to_type_is_a_command(path: Path) -> None:
    for text in texts(path):
        for command in commands(text):
            assert fault(command) is None, f"`karat {command}`: {fault(command)}"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_an_option_that_a_message_names_is_one(path: Path) -> None:
    known = options()
    for text in texts(path):
        if path.parent.name == "privacy" or "argparse" in text:
            continue
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text):
            assert option in known or f"--no-{option[2:]}" in known, f"{option} in {text[:120]!r}"


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_what_the_documentation_shows_is_a_command(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    shown = re.findall(r"```[^\n]*\n(.*?)```", text, re.DOTALL)
    shown += re.findall(r"(?<!`)(`[^`]+`)(?!`)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for part in shown:
        for line in part.split("\n"):
            for command in commands(line):
                assert fault(command) is None, f"`karat {command}`: {fault(command)}"


def test_the_templates_and_pages_of_the_report_name_commands_that_there_are() -> None:
    for path in [*SOURCE.rglob("*.toml"), *SOURCE.rglob("*.j2")]:
        for line in path.read_text(encoding="utf-8").split("\n"):
            for command in re.findall(r"`karat ([^`]+)`", line.replace("{digits}", "5000")):
                assert fault(command) is None, f"{path.name}: `karat {command}`: {fault(command)}"


def test_a_verb_or_an_option_that_does_not_exist_would_be_found() -> None:
    told = (
        "make a few and look (karat search), or `karat assay RUN --colour red`; see `karat train`, and karat did not."
    )
    found = list(commands(told))
    assert found == ["search", "assay RUN --colour red", "train"]
    assert fault("search") and fault("assay RUN --colour red") and fault("assay RUN -n many")
    assert fault("train") is None and fault("assay RUN -n 5000") is None and fault("demo --on table|text") is None
    assert fault("demo --on table|pottery")
