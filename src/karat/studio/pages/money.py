"""What a run is worth in money: the questions of `karat assay --business` as a form, whose answers become its prices.toml."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, Response

from karat.errors import FitError
from karat.output import Output
from karat.studio.forms import sent
from karat.studio.page import go, router, viewer
from karat.studio.reported import reported
from karat.studio.subject import Subject, run_page, subject
from karat.studio.work import command, submit
from karat.worth.business import interview
from karat.worth.prices import FILE_NAME, Prices, find

ROUTER = router()
CHOICES = {  # questions with a choice, and how many answers there are
    "use": 3,
    "rights": 3,
}
YES = ("rules", "looks", "personal")
ASKED = (  # in the order of the interview
    *("use", "currency", "core", "today", "label", "wanted", "years", "have", "rules", "looks", "seconds", "hour"),
    *("rights", "licence", "personal"),
)
KEYS = {  # what is declared already, by question
    "currency": "currency",
    "core": "cpu_core_hour",
    "today": "alternative_cost_per_item",
    "label": "label_cost_per_item",
    "wanted": "items_wanted",
    "years": "value_horizon_years",
    "seconds": "review_seconds_per_item",
    "hour": "review_hour",
}


@ROUTER.get("/runs/{name}/money")
def money(request: Request, name: str) -> HTMLResponse:
    about = subject(request, name)
    return _page(request, about, _declared(find(about.prices, [about.path])))


def _page(request: Request, about: Subject, given: dict[str, str], wrong: str = "", advice: str = "") -> HTMLResponse:
    return run_page(
        request,
        about,
        "money.html.j2",
        "money",
        command=command("assay", about.path.name, business=True),
        status=400 if wrong else 200,
        asked=ASKED,
        choices=CHOICES,
        yes=YES,
        given=given,
        wrong=wrong,
        advice=advice,
        found=reported(about.path),
    )


def _declared(prices: Prices) -> dict[str, str]:
    """What the run's prices.toml says, as answers."""
    given = {}
    for question, key in KEYS.items():
        value: Any = getattr(prices, key)
        if value is not None:
            given[question] = "-".join(f"{v:g}" for v in value) if isinstance(value, tuple) else str(value)
    rights = prices.rights or ""
    words = ("owned", "licensed", "none", "unknown")
    if rights.partition(":")[0] in words:
        given["rights"] = str(words.index(rights.partition(":")[0]) + 1)
        given["licence"] = rights.partition(":")[2].strip()
    if prices.personal in ("some", "none"):
        given["personal"] = "y" if prices.personal == "some" else "n"
    return given


@ROUTER.post("/runs/{name}/money")
async def answer(request: Request, name: str) -> Response:
    """Writes the answers as the run's prices.toml and assays it by them; an answer that cannot be is asked for again."""
    about, seen = subject(request, name), viewer(request)
    form = {key: str(value).strip() for key, value in (await sent(request)).items()}
    texts = {seen.language.say(f"business.ask.{key}"): form.get(key, "") for key in ASKED}
    tried: set[str] = set()

    def ask(text: str) -> str:
        """The answer of the form; a question comes a second time only where its answer could not be read."""
        if text in tried:
            raise FitError(seen.t("money.wrong", answer=texts[text], question=text))
        tried.add(text)
        return texts[text]

    try:
        advice = interview(ask, seen.language)
        for text in texts:
            if texts[text] and text not in tried:  # which goes with another answer
                raise FitError(seen.t("money.unasked", answer=texts[text], question=text))
    except FitError as error:
        return _page(request, about, form, wrong=str(error))
    Output(overwrite=True, private=True).write(about.run.file(FILE_NAME), advice.toml.encode())
    if advice.advice != "train" and "assay" not in form:
        return _page(request, about, form, advice=advice.text)
    submit(request, "assay", {"run": about.name, "lang": seen.code})
    return go(f"/runs/{quote(name, '')}/training")
