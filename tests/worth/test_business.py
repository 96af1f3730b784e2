"""A few answers become a prices.toml that loads again, and may say that something else than training is the thing to do."""

import io
from pathlib import Path

import pytest

import karat
from karat.errors import FitError
from karat.languages import language
from karat.worth.business import Advice, interview
from karat.worth.prices import Prices

CONTENT = {
    "use": "1",
    "currency": "eur",
    "core": "0.04",
    "today": "0.8-1.5",
    "wanted": "10,000",
    "years": "2",
    "have": "",
    "rules": "n",
}
PEOPLE = {"looks": "y", "seconds": "15 to 30", "hour": "40", "rights": "2", "licence": "CC BY 4.0", "personal": "n"}
ANSWERS = CONTENT | PEOPLE


def answered(code: str = "en", **changed: str) -> Advice:
    words = language(code)
    asked = {words.say(f"business.ask.{key}"): answer for key, answer in (ANSWERS | changed).items()}
    return interview(lambda text: asked[text] + "\n", words)


@pytest.mark.parametrize("code", ["en", "zh"])
def test_the_answers_become_prices_with_units_and_sources_that_load_again(tmp_path: Path, code: str) -> None:
    found = answered(code)
    path = tmp_path / "prices.toml"
    path.write_text(found.toml, encoding="utf-8")
    assert found.advice == "train" and Prices.load(path).declared() == found.prices.declared()
    assert found.prices.alternative_cost_per_item == (0.8, 1.5) and found.prices.rights == "licensed: CC BY 4.0"
    lines = [line for line in found.toml.splitlines() if " = " in line]
    assert len(lines) == 9 and all("  # " in line and "20" in line.split("#")[1] for line in lines)


@pytest.mark.parametrize(
    ("changed", "advice"),
    [
        ({"rights": "3"}, "rights"),
        ({"have": "10000"}, "retrieve"),
        ({"rules": "yes"}, "rules"),
        ({"wanted": "200"}, "buy"),
        ({"seconds": "600"}, "buy"),
        ({"use": "2", "label": "0.01", "looks": "n"}, "buy"),
        ({"use": "2", "label": "0.5", "looks": "n"}, "train"),
        ({"today": "", "wanted": ""}, "train"),
    ],
)
def test_what_is_cheaper_than_training_is_said(changed: dict[str, str], advice: str) -> None:
    assert answered(**changed).advice == advice
    assert answered("zh", **changed).text != answered(**changed).text


def test_an_answer_that_cannot_be_read_is_asked_for_again_and_not_for_ever() -> None:
    lines = iter(["four", "0", "2", "", "many", "-3", "12", *[""] * 8])
    assert interview(lambda _: next(lines), language("en")).prices.label_cost_per_item == 12
    with pytest.raises(FitError, match="start again"):
        answered(wanted="ever so many")
    with pytest.raises(FitError, match="quotes"):
        answered(licence='MIT"\nrights = "owned')


def test_the_verb_asks_and_writes_and_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    goal = tmp_path / "prices.toml"
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(ANSWERS.values()) + "\n"))
    found = karat.assay(business=True, prices=goal)
    assert isinstance(found, Advice) and found.advice == "train" and Prices.load(goal).items_wanted == 10_000
    assert "How many items do you need" in capsys.readouterr().out
    with pytest.raises(karat.KaratError, match="overwrite"):
        karat.assay(business=True, prices=goal)
    monkeypatch.setattr("sys.stdin", io.StringIO("1\n"))
    with pytest.raises(FitError, match="ended before"):
        karat.assay(business=True, prices=tmp_path / "other.toml")
    assert not (tmp_path / "other.toml").exists()
