"""Where a person gives a key, once: a cookie stands for it from then on. On loopback nobody needs one."""

from __future__ import annotations

from fastapi import Request, Response

from karat.server.guard.guard import COOKIE, caller_of
from karat.server.guard.spending import SESSION
from karat.server.served import served
from karat.studio.forms import sent
from karat.studio.page import go, local, page, router

ROUTER = router()
COMMAND = "karat serve --add-key NAME"


@ROUTER.get("/login")
def asked(request: Request, next: str = "/") -> Response:
    """Asks for a key; who needs none or has given one goes on."""
    if caller_of(request).scopes:
        return go(local(next))
    return page(request, "login.html.j2", command=COMMAND, next=local(next), wrong=False)


@ROUTER.post("/login")
async def given(request: Request) -> Response:
    """Goes on with a cookie that scripts cannot read and other sites' forms do not send, or asks again."""
    form = await sent(request)
    then, key = local(str(form.get("next", "/"))), str(form.get("key", "")).strip()
    token = served(request).guard.spending.log_in(key)
    if token is None:
        return page(request, "login.html.j2", command=COMMAND, status=401, next=then, wrong=True)
    answer = go(then)
    secure = request.headers.get("origin", "").startswith("https:")  # a proxy may speak TLS before us
    answer.set_cookie(COOKIE, token, max_age=int(SESSION), httponly=True, samesite="lax", secure=secure)
    return answer


@ROUTER.post("/logout")
def left(request: Request) -> Response:
    """The cookie stands for nothing any more, whoever kept it."""
    if (token := caller_of(request).session) is not None:
        served(request).guard.spending.log_out(token)
    answer = go("/login")
    answer.delete_cookie(COOKIE)
    return answer
