"""Made content leaves labelled, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from karat.provenance.label import KEYWORD, Label, parse
from karat.server.answers import HEADER, Labelled, LabelledStream


def test_an_answer_says_its_label_in_a_header() -> None:
    label = Label("karat", "run1", "seed5", "1.0")
    assert parse(Labelled(b"x", label, "text/plain").headers[HEADER]) == label.fields()


def test_an_answer_without_a_label_cannot_be_written() -> None:
    none: Any = None
    with pytest.raises(TypeError, match="Label"):
        Labelled(b"x", none, "text/plain")
    with pytest.raises(TypeError, match="Label"):
        LabelledStream(none, {KEYWORD: "1"}, "text/plain")  # type: ignore[arg-type]
