"""The first page, the two switches (language and role), and the files that pages need."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from karat.server.problems import Problem
from karat.server.served import served
from karat.studio.page import CODES, LANGUAGE, ROLE, ROLES, STATIC, YEAR, go, local, page, router
from karat.studio.shelf import rows

ROUTER = router()
LATEST = 5


@ROUTER.get("/")
def start(request: Request) -> HTMLResponse:
    """Your data, or try it; below, the runs of late."""
    return page(request, "start.html.j2", command="karat demo", latest=rows(served(request).catalogue)[:LATEST])


@ROUTER.post("/language")
async def language(request: Request) -> RedirectResponse:
    return await _switched(request, LANGUAGE, CODES)


@ROUTER.post("/role")
async def role(request: Request) -> RedirectResponse:
    return await _switched(request, ROLE, ROLES)


async def _switched(request: Request, cookie: str, known: tuple[str, ...]) -> RedirectResponse:
    form = await request.form()
    answer = go(local(str(form.get("next", "/"))))
    if (chosen := str(form.get("to"))) in known:
        answer.set_cookie(cookie, chosen, max_age=YEAR, samesite="lax", httponly=True)
    return answer


@ROUTER.get("/static/{name}")
def static(name: str) -> Response:
    if name not in STATIC:
        raise Problem(404, "not_found", f"there is no file {name!r} here.")
    path, kind = STATIC[name]
    return Response(path.read_bytes(), media_type=kind, headers={"Cache-Control": f"public, max-age={YEAR}, immutable"})
