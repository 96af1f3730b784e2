"""What a run is worth: its report in the page."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from karat.server.problems import Problem
from karat.studio.page import go, router, viewer
from karat.studio.subject import FIRST, run_page, subject

ROUTER = router()
POLICY = (  # the report holds its pictures and its style, and no script
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'; "
    "sandbox allow-same-origin"
)


@ROUTER.get("/runs/{name}")
def run(request: Request, name: str) -> RedirectResponse:
    """What the role of who looks wants to see first."""
    about = subject(request, name)
    return go(f"/runs/{about.name}/{FIRST[viewer(request).role]}")


@ROUTER.get("/runs/{name}/verdict")
def verdict(request: Request, name: str) -> HTMLResponse:
    about = subject(request, name)
    reported = (about.path / "report" / "report.html").is_file()
    return run_page(
        request, about, "verdict.html.j2", "verdict", command=f"karat assay {about.path.name}", reported=reported
    )


@ROUTER.get("/runs/{name}/report")
def report(request: Request, name: str) -> HTMLResponse:
    """The report as it was written, with the label of origin that is in it."""
    about = subject(request, name)
    try:
        text = (about.path / "report" / "report.html").read_text(encoding="utf-8")
    except OSError:
        raise Problem(404, "not_found", f"{name} has no report yet; assay it first.") from None
    return HTMLResponse(text, headers={"Content-Security-Policy": POLICY})
