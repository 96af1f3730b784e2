"""The list of runs: what is being worked at, and all others, searched by each word; those to compare are chosen here."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from karat.server.served import served
from karat.studio.page import page, rendered, router
from karat.studio.shelf import rows
from karat.studio.work import at_work

ROUTER = router()


@ROUTER.get("/runs")
def runs(request: Request, q: str = "") -> HTMLResponse:
    """All runs, or those that hold each word of `q`."""
    found = rows(served(request).catalogue)
    shown = [row for row in found if row.holds(q.lower().split())]
    values: dict[str, Any] = {"rows": shown, "q": q, "total": len(found), "work": at_work(served(request))}
    if request.headers.get("hx-target") == "found":
        return HTMLResponse(rendered(request, "runs_found.html.j2", **values))
    return page(request, "runs.html.j2", command="karat assay RUN", **values)
