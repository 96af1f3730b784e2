"""Drawings of the report as inline SVG: seal, range bars, histograms, curves; colours are the page's own variables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from karat.languages import Language
from karat.words import number, said, score, term, together

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding

POINTS = 240  # per curve: more than the eye resolves at this width
ENDS = "{name} ends at {value}"  # what is said of a curve to who does not see it
HUES = ("c1", "c2", "c3", "c4")
LOST = ' class="lost"'


def seal(word: str, language: Language) -> Markup:
    """A hallmark whose shape, ring and sign tell the three verdicts apart without colour."""
    if word == "gold":
        edge = _polygon(24, 92, 86)
        inside = '<path class="sign" d="M70 101 l20 21 l42 -46"/>'
    elif word == "bubble":
        edge = '<circle class="edge" cx="100" cy="100" r="90"/>'
        inside = (
            '<circle class="sign" cx="92" cy="104" r="30"/><circle class="sign" cx="128" cy="74" r="14"/>'
            '<circle class="sign" cx="131" cy="118" r="8"/><path class="sign thin" d="M76 98 a17 17 0 0 1 12 -12"/>'
        )
    else:
        edge = _polygon(8, 93, 93)
        inside = '<path class="sign" d="M78 82 a22 22 0 1 1 33 19 q-11 7 -11 18"/>'
        inside += '<circle class="dot" cx="100" cy="138" r="6"/>'
    label = language.again(said("Seal: {word}", word=language.say(f"word.{word}.name")))
    name = word.upper() if language.code == "en" else language.say(f"word.{word}.name")
    ring = language.again(said("KARAT ASSAY • {word} • KARAT ASSAY • {word} •", word=name))
    return Markup(
        f'<svg class="seal {escape(word)}" viewBox="0 0 200 200" role="img" aria-label="{escape(label)}">'
        '<defs><path id="ring" d="M100 100 m-69 0 a69 69 0 1 1 138 0 a69 69 0 1 1 -138 0"/></defs>'
        f'{edge}<circle class="line" cx="100" cy="100" r="80"/><circle class="line" cx="100" cy="100" r="61"/>'
        f'<text class="ring"><textPath href="#ring" textLength="425">{escape(ring)}</textPath></text>{inside}</svg>'
    )


def rosette() -> Markup:
    """The engraved ground of a certificate: turning curves, faint."""
    lines = []
    for k in range(9):
        points = []
        for i in range(241):
            a = 2 * math.pi * i / 240
            r = 100 + 14 * k / 2 + (34 + 2 * k) * math.cos(12 * a + k * math.pi / 4.5)
            points.append(f"{200 + r * math.cos(a):.0f} {200 + r * math.sin(a):.0f}")
        lines.append(f'<path d="M{"L".join(points)}Z"/>')
    return Markup(f'<svg class="rosette" viewBox="0 0 400 400" aria-hidden="true">{"".join(lines)}</svg>')


def range_bar(finding: Finding, name: str, limit: str, language: Language) -> Markup:
    """The interval of what was made as a bar with its value, and what real data scores as an upright mark.

    name, limit: what it is called and when it is raised, in the language.
    """
    edges = [v for v in (finding.within.below, finding.within.above) if v is not None and math.isfinite(v)]
    seen = [v for v in (finding.value, *finding.interval, finding.real, *edges) if math.isfinite(v)]
    if not math.isfinite(finding.value) or not seen:
        return Markup('<span class="none">{}</span>').format(language.again(term("not measured")))
    low, high = min(seen), max(seen)
    if low >= 0 and 0.2 < high <= 1:
        low, high = 0.0, 1.0  # a share: its own scale is the honest one
    elif low >= 0:
        low = 0.0
    span = (high - low) or max(abs(high), 1.0)
    low, span = (low if low == 0 else low - 0.06 * span), 1.06 * span

    def at(v: float) -> float:
        return 6 + 188 * min(1.0, max(0.0, (v - low) / span))

    left, right = (at(x if math.isfinite(x) else finding.value) for x in finding.interval)
    state = {"raised": "raised", "ok": "fine"}.get(finding.state, "unknown")
    real = ""
    if math.isfinite(finding.real):
        x = at(finding.real)
        real = f'<path class="real" d="M{x:.1f} 3V21"/><path class="realhead" d="M{x - 4:.1f} 0h8l-4 6z"/>'
    marks = "".join(f'<path class="limit" d="M{at(v):.1f} 4V22"/>' for v in edges)
    told = said(
        "{name}: {value}, from {low} to {high}; {beside} {real}; {limit}",
        name=name,
        value=score(finding.value),
        low=score(finding.interval[0]),
        high=score(finding.interval[1]),
        beside=language.beside(finding.beside),
        real=score(finding.real),
        limit=limit,
    )
    label = language.again(told)
    return Markup(
        f'<svg class="range {state}" viewBox="0 0 200 24" preserveAspectRatio="xMinYMid" '
        f'role="img" aria-label="{escape(label)}">'
        f'<path class="axis" d="M6 13H194"/>{marks}{real}'
        f'<rect class="bar" x="{left:.1f}" y="9" width="{max(2.0, right - left):.1f}" height="8" rx="2"/>'
        f'<circle class="value" cx="{at(finding.value):.1f}" cy="13" r="4.5"/></svg>'
    )


def tip(name: str, made: float, real: float, language: Language) -> str:
    """What is said of one place of a drawing to who points at it."""
    sentence = "{name}: {made:.1f}% of what was made, {real:.1f}% of real"
    return language.again(said(sentence, name=name, made=100 * made, real=100 * real))


def read_out(names: Sequence[str], made: Sequence[float], real: Sequence[float], language: Language) -> str:
    """What is said of a whole drawing to who does not see it."""
    rows = zip(names, made, real, strict=True)
    sentence = "{name}: made {made:.1f}%, real {real:.1f}%"
    return language.again(
        together([said(sentence, name=n, made=100 * m, real=100 * r) for n, m, r in rows], term("; "))
    )


def histogram(classes: Sequence[str], made: Sequence[float], real: Sequence[float], language: Language) -> Markup:
    """Two bars per class, made and real, as shares of their own total; a class that was never made is marked."""
    sums = sum(made) or 1.0, sum(real) or 1.0
    pairs = [(m / sums[0], r / sums[1]) for m, r in zip(made, real, strict=True)]
    top = max([max(p) for p in pairs], default=1.0) or 1.0
    width = max(320.0, 36.0 * len(pairs))
    step = width / max(1, len(pairs))
    bar = min(15.0, step * 0.36)
    out = []
    for i, (name, (m, r)) in enumerate(zip(classes, pairs, strict=True)):
        x = step * (i + 0.5)
        out.append(
            f"<g><title>{escape(tip(name, m, r, language))}</title>"
            f'<rect class="c1" x="{x - bar:.1f}" y="{116 - 100 * m / top:.1f}" width="{bar - 1:.1f}" '
            f'height="{100 * m / top:.1f}"/><rect class="cr" x="{x + 1:.1f}" y="{116 - 100 * r / top:.1f}" '
            f'width="{bar - 1:.1f}" height="{100 * r / top:.1f}"/>'
        )
        if m == 0 and r > 0:
            out.append(f'<text class="lost" x="{x - bar / 2:.1f}" y="112" text-anchor="middle">✕</text>')
        short = name if len(name) <= 8 else name[:7] + "…"
        size = "" if step >= 6.2 * len(short) else f' textLength="{step - 3:.0f}" lengthAdjust="spacingAndGlyphs"'
        out.append(f'<text x="{x:.1f}" y="131" text-anchor="middle"{size}>{escape(short)}</text></g>')
    names = read_out(classes, [m for m, _ in pairs], [r for _, r in pairs], language)
    return Markup(
        f'<svg class="chart histogram" style="max-width:{1.25 * width:.0f}px" viewBox="0 0 {width:.0f} 138" '
        f'role="img" aria-label="{escape(names)}">'
        f'<path class="axis" d="M0 116.5H{width:.0f}"/>{"".join(out)}</svg>'
    )


def steps(
    names: Sequence[str],
    marks: Sequence[tuple[float, str]],
    made: Sequence[float],
    real: Sequence[float],
    language: Language,
) -> Markup:
    """Shares of neighbouring bins: real as a filled ground, made as a line over it; `marks` are (place in 0..1, text)."""
    top = max([*made, *real], default=0.0) or 1.0
    wide = 300 / max(1, len(names))

    def outline(shares: Sequence[float]) -> str:
        return "".join(f"V{96 - 88 * v / top:.1f}h{wide:.2f}" for v in shares)

    tips = "".join(
        f'<rect class="tip" x="{wide * i:.1f}" y="0" width="{wide:.1f}" height="96">'
        f"<title>{escape(tip(name, m, r, language))}</title></rect>"
        for i, (name, m, r) in enumerate(zip(names, made, real, strict=True))
    )
    texts = "".join(
        f'<text class="tick" x="{300 * at:.0f}" y="110" '
        f'text-anchor="{"start" if at < 0.02 else "end" if at > 0.98 else "middle"}">{escape(text)}</text>'
        for at, text in marks
    )
    label = read_out(names, made, real, language)
    return Markup(
        f'<svg class="chart steps" viewBox="0 0 300 114" role="img" aria-label="{escape(label)}">'
        f'<path class="ground" d="M0 96{outline(real)}V96Z"/><path class="line c1" d="M0 96{outline(made)}V96"/>'
        f'<path class="axis" d="M0 96.5H300"/>{texts}{tips}</svg>'
    )


def bars(rows: Sequence[tuple[str, float, float, bool]], language: Language) -> Markup:
    """A pair of lying bars per (name, made, real, whether it is missing from what was made), as shares of one scale."""
    top = max([v for _, m, r, _ in rows for v in (m, r)], default=0.0) or 1.0
    out = []
    for i, (name, m, r, lost) in enumerate(rows):
        y = 19 * i
        short = name if len(name) <= 18 else name[:17] + "…"
        out.append(
            f"<g><title>{escape(tip(name, m, r, language))}</title>"
            f'<text x="104" y="{y + 12}" text-anchor="end"{LOST if lost else ""}>{escape(short)}</text>'
            f'<rect class="c1" x="110" y="{y + 2}" width="{max(0.6, 118 * m / top):.1f}" height="6"/>'
            f'<rect class="cr" x="110" y="{y + 9}" width="{max(0.6, 118 * r / top):.1f}" height="6"/>'
            f'<text class="tick" x="300" y="{y + 12}" text-anchor="end">'
            f'{"✕" if lost else share(m)} <tspan class="beside">{share(r)}</tspan></text></g>'
        )
    label = read_out([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows], language)
    return Markup(
        f'<svg class="chart bars" viewBox="0 0 300 {19 * len(rows) + 2}" role="img" aria-label="{escape(label)}">'
        f"{''.join(out)}</svg>"
    )


def share(x: float) -> str:
    """A share of rows in as few digits as tell it from none: 31%, 2.4%, 0.03%."""
    if x == 0:
        return "0%"
    size = 100 * abs(x)
    return f"{100 * x:.0f}%" if size >= 9.95 else f"{100 * x:.1f}%" if size >= 0.095 else f"{100 * x:.2g}%"


def tornado(rows: Sequence[tuple[str, float, float]], language: Language) -> Markup:
    """How far the net value moves when one input goes from its 10% to its 90% point; zero is upright."""
    ends = [v for _, a, b in rows for v in (a, b)] + [0.0]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0
    out = []
    names = [said("{name}: {low} to {high}", name=name, low=number(a), high=number(b)) for name, a, b in rows]
    for i, (name, a, b) in enumerate(rows):
        left, right = sorted((170 + 340 * (a - low) / span, 170 + 340 * (b - low) / span))
        out.append(
            f'<text x="160" y="{18 + 26 * i}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="c1" x="{left:.1f}" y="{6 + 26 * i}" width="{max(1.5, right - left):.1f}" height="16" rx="2">'
            f"<title>{escape(language.again(names[i]))}</title></rect>"
        )
    zero = 170 + 340 * (0 - low) / span
    tall = 26 * len(rows) + 2
    out.append(f'<path class="zero" d="M{zero:.1f} 0V{tall}"/>')
    for v, anchor in ((low, "start"), (high, "end")):
        x = 170 + 340 * (v - low) / span
        out.append(f'<text class="tick" x="{x:.1f}" y="{tall + 14}" text-anchor="{anchor}">{number(v)}</text>')
    label = language.again(together(names, term("; ")))
    return Markup(
        f'<svg class="chart tornado" viewBox="0 0 520 {tall + 20}" role="img" aria-label="{escape(label)}">'
        f"{''.join(out)}</svg>"
    )


def curves(
    title: str, x_name: str, x: Sequence[float], series: Mapping[str, Sequence[float]], language: Language
) -> Markup:
    """Lines over `x` with axes, ticks and a legend; a line breaks where its value is not finite."""
    thin = {name: _thin(x, y) for name, y in series.items()}
    points = [p for line in thin.values() for p in line if math.isfinite(p[1])]
    if not points:
        return Markup("")
    xs = ticks(min(p[0] for p in points), max(p[0] for p in points), 5)
    ys = ticks(*_without_spikes([p[1] for p in points]), 4)
    x0, x1, y0, y1 = xs[0], xs[-1], ys[0], ys[-1]

    def px(v: float) -> float:
        return 52 + 336 * (v - x0) / (x1 - x0)

    def py(v: float) -> float:
        return 176 - 148 * min(1.03, max(-0.03, (v - y0) / (y1 - y0)))

    out = []
    for v in ys:
        out.append(f'<path class="grid" d="M52 {py(v):.1f}H388"/>')
        out.append(f'<text class="tick" x="46" y="{py(v) + 4:.1f}" text-anchor="end">{number(v)}</text>')
    for v in xs:
        out.append(f'<text class="tick" x="{px(v):.1f}" y="192" text-anchor="middle">{number(v)}</text>')
    out.append('<path class="axis" d="M52 28V176H388"/>')
    legend = 52.0
    for i, (name, line) in enumerate(thin.items()):
        hue = HUES[i % len(HUES)]
        path, pen = [], "M"
        for a, b in line:
            if math.isfinite(b):
                path.append(f"{pen}{px(a):.1f} {py(b):.1f}")
                pen = "L"
            else:
                pen = "M"
        dash = ("", "6 3", "2 3", "8 3 2 3")[i % 4]
        out.append(f'<path class="line {hue}" stroke-dasharray="{dash}" d="{"".join(path)}"/>')
        if len(thin) > 1:
            out.append(f'<path class="line {hue}" stroke-dasharray="{dash}" d="M{legend:.0f} 12h22"/>')
            out.append(f'<text x="{legend + 27:.0f}" y="16">{escape(name)}</text>')
            legend += 50 + 6.4 * len(name)
    out.append(f'<text class="tick" x="388" y="208" text-anchor="end">{escape(x_name)}</text>')
    told = [said(ENDS, name=name, value=number(line[-1][1])) for name, line in thin.items() if line]
    last = language.again(together(told, term("; ")))
    return Markup(
        f'<svg class="chart curves" viewBox="0 0 400 214" role="img" aria-label="{escape(title)}: {escape(last)}">'
        f"{''.join(out)}</svg>"
    )


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers at equal steps (1, 2, 5 times a power of ten); [low, high] lies between the first and the last."""
    if not high > low:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 12) if abs(step) > 1e-9 else k * step for k in range(first, last + 1)]


def _without_spikes(values: Sequence[float]) -> tuple[float, float]:
    """The range of the middle 98%, where a few first or diverging values would flatten all the rest; else all of it."""
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    inner = ordered[len(ordered) // 100], ordered[-1 - len(ordered) // 100]
    return inner if high - low > 3 * (inner[1] - inner[0]) > 0 else (low, high)


def _thin(x: Sequence[float], y: Sequence[float]) -> list[tuple[float, float]]:
    size = max(1, math.ceil(len(x) / POINTS))
    out = []
    for i in range(0, len(x), size):
        part = [v for v in y[i : i + size] if math.isfinite(v)]
        out.append((sum(x[i : i + size]) / len(x[i : i + size]), sum(part) / len(part) if part else math.nan))
    return out


def _polygon(corners: int, outer: float, inner: float) -> str:
    count = corners * (1 if outer == inner else 2)
    points = []
    for i in range(count):
        r = outer if i % 2 == 0 else inner
        a = 2 * math.pi * (i + 0.5) / count
        points.append(f"{100 + r * math.sin(a):.1f},{100 - r * math.cos(a):.1f}")
    return f'<polygon class="edge" points="{" ".join(points)}"/>'
