"""The report: whole, safe, offline, the same numbers in page and JSON, and readable in a real browser."""

import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pages import Page
from PIL import Image
from sklearn.datasets import load_digits

from karat.assays.details.records import MissingClasses
from karat.assays.finding import Finding, Limit
from karat.languages import language
from karat.provenance.reading import read_label
from karat.report import drawing
from karat.report.page import Exhibits, Pair, environment, write_report
from karat.words import said
from karat.worth.ledger import Entry, total
from karat.worth.prices import Prices
from karat.worth.verdict import judge

EN = language("en")
RELATION = {"words": "occupation is missing exactly where workclass is missing: nearly always, rows 1, 2, 3, 4, 5 " * 3}
HOSTILE = '<script>alert("x")</script><img src=http://x.example/a onerror=1>'
FINDINGS = [
    Finding(
        key="precision",
        value=0.883,
        low=0.861,
        high=0.902,
        real=0.912,
        raised=False,
        summary="88% falls where real data lies.",
        limit=Limit(below=0.85),
    ),
    Finding(
        key="missing classes",
        value=1.0,
        low=1.0,
        high=1.0,
        real=0.0,
        raised=True,
        summary=f"Missing: class {HOSTILE}.",
        detail=MissingClasses(
            names=("0", HOSTILE, "2"), made=(0.5, 0.0, 0.5), real=(0.3, 0.4, 0.3), missing=(HOSTILE,), kind="class"
        ),
        limit=Limit(above=0.0),
    ),
    Finding(
        key="copy rate",
        value=0.003,
        low=0.001,
        high=0.007,
        real=0.0029,
        raised=False,
        summary="No copies were found.",
        limit=Limit(above=0.012),
    ),
    Finding(
        key="authenticity",
        value=float("nan"),
        low=float("nan"),
        high=float("nan"),
        real=0.5,
        raised=False,
        summary="Too few.",
        limit=Limit(below=0.45),
    ),
]
COST = [
    Entry("train", "2026-01-02T03:04:05+00:00", "failed", 61.0, 60.0, 0.0, missing=("cpu_core_hour",)),
    Entry("make", "2026-01-02T03:06:05+00:00", "ok", 0.4, 0.4, 0.0, 1e-5, "x", 5.5e-6, "USD", (), 1000),
]
PRICES = Prices(
    currency="USD",
    cpu_core_hour=0.05,
    alternative_cost_per_item=1.5,
    items_wanted=1e4,
    acceptance=(41, 50),
    rights="owned",
)


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def write(folder: Path, prices: Prices = PRICES, findings: list[Finding] = FINDINGS) -> tuple[str, dict[str, Any]]:
    digits = (load_digits().images * 15.9).astype(np.uint8)
    sheet = png(np.hstack(list(digits[:8])))
    html, numbers = write_report(
        folder,
        title=f"Digits {HOSTILE}",
        verdict=judge(findings, total(COST, prices), prices, rights=None, labelled=True, seed=0),
        findings=findings,
        facts={"run": "digits-1", "seed": 0, "versions": {"karat": "0.1.0"}},
        exhibits=Exhibits(
            ".png", sheet, sheet, [("10%", sheet)], [Pair(png(digits[0]), png(digits[1]), 3.25)], None, sheet
        ),
        curves=[
            {"step": i, "loss": 1 / (1 + i), "gradient norm": np.float32(2.0), "bad": float("nan")} for i in range(500)
        ],
        pairs=[{"made": 0, "training": np.int64(1), "distance": 3.25}],
        cost=COST,
        reproduce=["karat train digits --seed 0", f"# {HOSTILE}"],
        recipe={"family": HOSTILE, "lr": 1e-3},
        diagnostics=[{"name": "mode collapse", "message": HOSTILE, "remedy": "more data"}],
        data={"items": 1797, "size": [8, 8], "between": [RELATION], "skipped": [(HOSTILE, "truncated")]},
    )
    return html.read_text(encoding="utf-8"), json.loads(numbers.read_text(encoding="utf-8"))


def test_the_page_is_whole_and_loads_nothing(tmp_path: Path) -> None:
    text, _ = write(tmp_path)
    page = Page(text)
    assert page.open == []
    assert not {t for t, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for tag, attributes in page.tags:
        assert not [a for a in attributes if a.startswith("on")], (tag, attributes)
        for name in ("src", "href", "xlink:href", "data", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,"))
        if tag == "img":
            assert attributes.get("alt")
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style and "url(" not in style[1] and "@import" not in style[1]
    assert "http://" not in text.replace("http://x.example", "") and "https://" not in text
    assert len(text) < 1_000_000
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_strangers_text_stays_text(tmp_path: Path) -> None:
    text, numbers = write(tmp_path)
    assert "<script" not in text and "<img src=http" not in text
    assert text.count("&lt;script&gt;") >= 7 and numbers["recipe"]["family"] == HOSTILE


def test_the_json_has_every_number_in_full_and_null_for_none(tmp_path: Path) -> None:
    _, numbers = write(tmp_path)
    assert [Finding.read(f) for f in numbers["findings"][:3]] == FINDINGS[:3]
    assert numbers["findings"][3]["value"] is None and numbers["curves"][3]["bad"] is None
    assert numbers["curves"][3]["loss"] == 0.25 and numbers["pairs"][0]["training"] == 1
    assert numbers["cost"]["entries"][0]["status"] == "failed" and numbers["cost"]["total"]["failed"] == 1
    assert numbers["verdict"]["word"] in numbers["verdict"]["sentence"].lower()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "report.json"]


def test_page_and_json_carry_one_label_of_origin_that_tells_when_they_are_changed(tmp_path: Path) -> None:
    _, numbers = write(tmp_path)
    path = tmp_path / "report.html"
    found = read_label(path)
    assert found is not None and found.count == 1 and found.intact is True
    assert numbers["AIGC"]["Label"] == "1" and numbers["AIGC"]["ProduceID"] == found.fields["ProduceID"]
    path.write_text(path.read_text().replace("gold", "lead"))
    again = read_label(path)
    assert again is not None and again.intact is False


def test_page_and_json_tell_the_same_verdict_for_each_word(tmp_path: Path) -> None:
    copied = replace(FINDINGS[2], value=0.2, raised=True, summary="20% are copies.")
    cases = {
        "gold": write(tmp_path / "g", replace(PRICES, personal="none"), [f for f in FINDINGS if not f.raised]),
        "bubble": write(tmp_path / "b", findings=[copied]),
        "unproven": write(tmp_path / "u", Prices()),
    }
    for word, (text, numbers) in cases.items():
        assert numbers["verdict"]["word"] == word
        assert f'<b class="word {word}">{word.upper()}</b>' in text and f'aria-label="Seal: {word}"' in text
    assert "What to do first" in cases["unproven"][0] and "What to do first" not in cases["gold"][0]


def test_a_report_of_nothing_still_stands(tmp_path: Path) -> None:
    verdict = judge([], total([]), Prices(), rights=None, labelled=None, seed=0)
    html, _ = write_report(
        tmp_path,
        title="Empty",
        verdict=verdict,
        findings=[],
        facts={},
        exhibits=Exhibits(),
        curves=[],
        pairs=[],
        cost=[],
        reproduce=[],
        recipe={},
        diagnostics=[],
        data={},
    )
    assert Page(html.read_text(encoding="utf-8")).open == []


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 8))
def test_ticks_are_even_round_and_hold_the_range(low: float, width: float, about: int) -> None:
    high = low + width
    if high > low:
        marks = drawing.ticks(low, high, about)
        slack = max(1e-6 * (marks[1] - marks[0]), 4 * math.ulp(max(abs(low), abs(high))))
        assert marks[0] <= low + slack and marks[-1] >= high - slack and 2 <= len(marks) <= about + 3


def test_curves_break_at_what_is_not_finite_and_name_their_lines() -> None:
    svg = drawing.curves("Losses", "step", [0, 1, 2, 3], {"critic": [1, float("nan"), 2, 3], "maker": [0, 1, 2, 3]}, EN)
    assert len(re.findall(r'd="M[^"]*M', svg)) == 1 and "critic" in svg and "maker" in svg
    assert drawing.curves("x", "step", [0, 1], {"a": [float("inf"), float("nan")]}, EN) == ""
    assert "nan" not in svg


def test_a_class_that_was_never_made_is_marked() -> None:
    svg = drawing.histogram(["a", "b"], [1, 0], [1, 1], EN)
    assert svg.count("✕") == 1 and "b: 0.0% of what was made" in svg


def test_a_browser_shows_it_on_screen_phone_and_paper(tmp_path: Path, browser: Any) -> None:
    write(tmp_path)
    said: list[str] = []
    asked: list[str] = []
    for width, scheme in ((1200, "light"), (1200, "dark"), (360, "light")):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "report.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        assert page.locator(".seal").bounding_box()["width"] > 100
        body = page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
        ink, paper = ([int(v) for v in re.findall(r"\d+", colour)] for colour in body)
        assert abs(_luminance(ink) - _luminance(paper)) > 0.6
        assert (_luminance(paper) > 0.5) == (scheme == "light")
    paper_pages = page.pdf(format="A4")
    assert paper_pages.startswith(b"%PDF") and said == []
    assert all(url.startswith(("file:", "data:")) for url in asked)


def _luminance(rgb: list[int]) -> float:
    r, g, b = ((v / 255) ** 2.2 for v in rgb[:3])
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_what_content_says_of_records_is_said_in_the_language_of_the_page_and_their_own_words_stay() -> None:
    """Captions of nearest pairs and what is read out of a sound; a cell that holds the same words is data."""
    html = (
        '<img alt="Spectrogram, low tones below, time to the right"><audio aria-label="Sound: 0.51 s, -12 dB"></audio>'
        '<th><span class="ours">made row 2 and training row 7: an exact copy</span> · <span class="ours">1 of 6 cells differ'
        '</span></th><td>an exact copy</td><span class="ours">a &lt;b&gt; of its own</span>'
    )
    fragment = environment().filters["fragment"]
    assert fragment(html.encode(), language("en")) == html
    assert fragment(html.encode(), language("zh")) == (
        '<img alt="声谱图：下为低音，时间向右"><audio aria-label="声音：0.51 s，-12 dB"></audio>'
        '<th><span class="ours">第 2 条生成的记录与第 7 条训练记录：完全相同的复制品</span> · '
        '<span class="ours">6 个单元格中有 1 个不同</span></th>'
        '<td>an exact copy</td><span class="ours">a &lt;b&gt; of its own</span>'
    )


def test_a_text_before_a_sentence_leaves_it_one() -> None:
    text = "" + said("; no more than chance explains.")
    assert language("zh").again(said("Worst: {named}.", named="x") + text).endswith("；没有超出偶然所能解释的。")
