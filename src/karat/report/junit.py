"""Findings and requirements as test cases, in the XML of JUnit that continuous integration reads.

There is no standard of it; the names are those of https://github.com/testmoapp/junitxml, which all readers share.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from karat.languages import language
from karat.words import score

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding

UNPRINTABLE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML 1.0 cannot hold


def junit(suites: Sequence[tuple[str, Sequence[Finding], Sequence[str], Sequence[str]]], thing: str) -> bytes:
    """The file of (name, findings, requirements, those of them that do not hold) for each thing judged.

    A raised finding fails, one that cannot tell is skipped; a requirement fails where it does not hold.
    """
    root = ElementTree.Element("testsuites", name="karat assay")
    for name, findings, required, failed in suites:
        cases = [_finding(f, thing) for f in findings] + [_requirement(text, failed) for text in required]
        counts = {kind: str(sum(c.find(tag) is not None for c in cases)) for kind, tag in KINDS.items()}
        suite = ElementTree.SubElement(root, "testsuite", {"name": _text(name), "tests": str(len(cases)), **counts})
        suite.extend(cases)
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


KINDS = {"failures": "failure", "skipped": "skipped"}


def _finding(f: Finding, thing: str) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=f"findings.{f.assay}", name=_text(f.name))
    if f.raised:
        say, called = language("en").say, language("en").thing(thing)
        message = say(f"finding.{f.key}.means", **called, of=f.of)
        told = f"{f.summary}\n{score(f.value)}, {f.beside} {score(f.real)}, {f.within}\n"
        do = say(f"do.{language('en').texts[f'finding.{f.key}.do']}", **called)
        ElementTree.SubElement(case, "failure", type="raised", message=_text(message)).text = _text(told + do)
    elif f.state == "cannot tell":
        ElementTree.SubElement(case, "skipped", message=_text(f.judged))
    return case


def _requirement(text: str, failed: Sequence[str]) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname="requirements", name=_text(text))
    for line in failed:
        if line.startswith(f"{text} does not hold"):
            ElementTree.SubElement(case, "failure", type="required", message=_text(line))
    return case


def _text(text: str) -> str:
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
