"""What a run is worth: its report in the page, and the conditions under which it may be used, with who signs what."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from karat.output import Output
from karat.server.guard import caller_of
from karat.server.guard.headers import REPORT
from karat.server.problems import Problem
from karat.server.served import Served, served
from karat.studio.forms import sent
from karat.studio.page import go, router, viewer
from karat.studio.reported import reported
from karat.studio.subject import FIRST, run_page, subject
from karat.studio.work import below, command, submit
from karat.worth.policy import PACKS, Policy

ROUTER = router()
PICKS = ("eu", "cn")


@ROUTER.get("/runs/{name}")
def run(request: Request, name: str) -> RedirectResponse:
    """What the role of who looks wants to see first."""
    about = subject(request, name)
    first = "training" if about.working is not None else FIRST[viewer(request).role]
    return go(f"/runs/{quote(about.name, '')}/{first}")


@ROUTER.get("/runs/{name}/verdict")
def verdict(request: Request, name: str) -> HTMLResponse:
    about = subject(request, name)
    said = _language(about.path / "report" / "report.html")
    return run_page(
        request,
        about,
        "verdict.html.j2",
        "verdict",
        command=command("assay", about.path.name),
        reported=said is not None,
        other=said is not None and said != viewer(request).language.say("form.lang"),
    )


def _language(report: Path) -> str | None:
    """The language in which a report was written, None where there is none."""
    try:
        with report.open("rb") as file:
            found = re.search(rb'<html lang="([\w-]+)"', file.read(2000))
    except OSError:
        return None
    return found[1].decode() if found else ""


@ROUTER.get("/runs/{name}/report")
def report(request: Request, name: str) -> HTMLResponse:
    """The report as it was written, with the label of origin that is in it."""
    about = subject(request, name)
    try:
        text = (about.path / "report" / "report.html").read_text(encoding="utf-8")
    except OSError:
        raise Problem(404, "not_found", f"{name} has no report yet; assay it first.") from None
    return HTMLResponse(text, headers={"Content-Security-Policy": REPORT})


@ROUTER.post("/runs/{name}/assay")
async def assay(request: Request, name: str) -> RedirectResponse:
    """Finds its worth anew, in the language of who asks, under a policy where one is named."""
    about, policy = subject(request, name), str((await sent(request)).get("policy", ""))
    named = {"policy": _policy(served(request), policy)} if policy in PICKS else {}
    if about.prices is not None:
        named["prices"] = below(served(request), about.prices)
    options = {"run": about.name, "lang": viewer(request).code, **named}
    submit(request, "assay", options)
    return go(f"/runs/{quote(name, '')}/training")


def _file(parts: Served, pack: str) -> Path:
    """Where the copy of a pack lies in which people sign."""
    return parts.catalogue.root.resolve() / f"policy-{pack}.toml"


def _policy(parts: Served, pack: str) -> str:
    return below(parts, _file(parts, pack)) if _file(parts, pack).is_file() else pack


@ROUTER.get("/runs/{name}/permission")
def permission(request: Request, name: str, policy: str = PICKS[0]) -> HTMLResponse:
    """The conditions under which what it makes may be used, and what a policy wants to be signed, by whom."""
    about, parts = subject(request, name), served(request)
    pack = policy if policy in PICKS else PICKS[0]
    asked = Policy.load(_file(parts, pack) if _file(parts, pack).is_file() else pack)
    return run_page(
        request,
        about,
        "permission.html.j2",
        "permission",
        command=command("assay", about.path.name, policy=_policy(parts, pack)),
        found=reported(about.path),
        policy=asked,
        pack=pack,
        packs=PICKS,
        today=datetime.date.today(),
    )


@ROUTER.post("/runs/{name}/sign")
async def sign(request: Request, name: str) -> RedirectResponse:
    """Writes who signed what into the copy of the policy, where `karat assay --policy` reads it."""
    subject(request, name)
    form, parts = await sent(request), served(request)
    pack, who, what = (str(form.get(key, "")).strip() for key in ("policy", "who", "what"))
    if pack not in PICKS or not who or not who.isprintable() or len(who) > 120:
        raise Problem(400, "bad_signature", viewer(request).t("permission.who_wanted"), "who")
    if (caller := caller_of(request)).key is not None:  # nobody signs as another
        who = f"{who} (key {caller.name})"
    file = _file(parts, pack)
    text = (file if file.is_file() else PACKS / f"{pack}.toml").read_text(encoding="utf-8")
    signed = _signed(text, what, who, datetime.date.today())
    Output(overwrite=True, private=True).write(file, signed.encode())
    return go(f"/runs/{quote(name, '')}/permission?policy={pack}")


def _signed(text: str, what: str, who: str, when: datetime.date) -> str:
    """The TOML with `who` and `when` in the signature about `what`; Problem(400) where it asks for no such one."""
    quoted = who.replace("\\", "\\\\").replace('"', '\\"')
    lines, out, mine, found = text.splitlines(), [], False, False
    for line in lines:
        if line.startswith("["):
            mine = False
        if mine and line.split("=")[0].strip() in ("who", "when"):
            continue
        out.append(line)
        if line.startswith("what") and line.partition("=")[2].strip().strip('"') == what:
            mine = found = True
            out += [f'who = "{quoted}"', f"when = {when.isoformat()}"]
    if not found:
        raise Problem(400, "bad_signature", f"the policy asks nobody to sign {what[:80]!r}.", "what")
    return "\n".join(out) + "\n"
