"""/healthz and /readyz: whether the process lives, and whether it takes requests."""

from __future__ import annotations

from fastapi import APIRouter

ROUTER = APIRouter(tags=["health"])


@ROUTER.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}
