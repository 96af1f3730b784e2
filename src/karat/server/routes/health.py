"""/healthz, /readyz and /metrics: whether the process lives, whether it takes requests, and how it fares."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from karat.server.problems import Problem
from karat.server.served import Served, served

ROUTER = APIRouter(tags=["health"])


@ROUTER.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@ROUTER.get("/readyz", responses={503: {"description": "The server is being stopped."}})
async def readyz(parts: Annotated[Served, Depends(served)]) -> dict[str, str]:
    """The process takes requests."""
    if parts.guard.draining:
        raise Problem(503, "stopping", "the server is being stopped; ask another.", headers={"retry-after": "5"})
    return {"status": "ready"}


@ROUTER.get("/metrics", response_class=Response)
async def metrics(parts: Annotated[Served, Depends(served)]) -> Response:
    """Counters in Prometheus' text format."""
    return Response(generate_latest(parts.guard.registry), media_type=CONTENT_TYPE_LATEST)
