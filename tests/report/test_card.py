"""A model card says what was measured with its interval, what was not, and nothing of where it was made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from good import COST, GOOD, PAYS

from karat.report.card import card
from karat.worth.prices import Prices, Source
from karat.worth.reviewed import Reviewed
from karat.worth.verdict import judge

SPEC: dict[str, Any] = {
    "id": "abc123",
    "version": "1",
    "data": "/srv/secret/photos|x",
    "fingerprint": "f" * 64,
    "seed": 0,
    "recipe": {"name": "vae", "family": "/srv/secret/own.py"},
    "minutes": 2.0,
    "steps": None,
    "samples": None,
    "epsilon": None,
    "precision": "fp32",
    "classes": ["a", "b"],
}


def told(prices: Prices = PAYS, people: Reviewed | None = None) -> Any:
    people = people or Reviewed()
    verdict = judge(GOOD, COST, prices, rights=None, labelled=True, people=people)
    report = {
        "verdict": verdict.to_dict(),
        "findings": [f.to_dict() for f in GOOD],
        "facts": {"date": "2026-01-02"},
        "data": {"what": "pictures", "count": 1234, "train": 1000, "holdout": 234, "warnings": []},
        "reproduce": ["karat train photos"],
    }
    return card(SPEC, json.loads(json.dumps(report, default=str)), prices, people)


def test_what_was_measured_stands_with_its_interval_and_what_was_not_is_listed() -> None:
    text = str(told())
    for f in GOOD:
        assert f"| {f.name} |" in text
    assert "## Not measured" in text and "what people accept: nobody looked" in text
    assert "records: 1,234" in text and "rights: owned" in text
    never = str(card(SPEC, None, Prices(), Reviewed()))
    assert "no assay of this run was made" in never and "rights: unknown" in never and "Nothing." in never


def test_what_people_said_stands_with_its_interval_and_who_was_not_believed() -> None:
    text = str(
        told(
            people=Reviewed(
                57, 59, 1.2, 0.1, "with themselves: 3 of 3 times", ("the reviewer 'tom' looked at nothing",)
            )
        )
    )
    assert "57 of 59 accepted (95% interval 88.3% to 99.6%), 1.2 s each. with themselves: 3 of 3 times." in text
    assert "Not counted: the reviewer 'tom' looked at nothing." in text and "nobody looked" not in text


def test_a_card_names_files_and_no_places_and_a_strangers_name_is_no_markdown(tmp_path: Path) -> None:
    found = told(
        Prices(sources=(Source("a|b", "CC BY 4.0", purpose="<b>training</b>"),), source="/srv/secret/prices.toml")
    )
    text, numbers = str(found), json.dumps(found.to_dict())
    assert "/home" not in text and "/home" not in numbers
    assert "photos\\|x" in text and "a\\|b" in text and "<b>" not in text.replace("\\<b\\>", "")
    saved = found.save(tmp_path / "c.json")
    assert json.loads(saved.read_text())["data"]["sources"][0]["licence"] == "CC BY 4.0"
    shipped = found.save(tmp_path / "c.md").read_text()
    assert shipped.startswith("---\nAIGC:") and shipped.endswith(text), "its label, and then what it says"
    assert saved.stat().st_mode & 0o077 == 0
