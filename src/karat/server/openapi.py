"""/openapi.json: OpenAPI 3.1 of the API, with an example of every error that a route may answer."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from karat.server.routes.documented import EXAMPLES, Error

ABOUT = """
Made content by HTTP, of generators that learned from your own data; every answer with made content carries its label of origin, in
the file and in the header `x-karat-label`. The routes of OpenAI's API are as its clients know them. Errors have one shape.
"""
KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key of `karat serve --add-key`; none is needed on this machine as long as none was made.",
}


def described(app: FastAPI) -> dict[str, Any]:
    """What the routes under /v1 take and answer, and those that tell how the server is; pages for people are not in it."""
    if app.openapi_schema is None:
        about: dict[str, Any] = {"title": app.title, "version": app.version, "description": ABOUT.strip()}
        found = get_openapi(**about, openapi_version="3.1.0", routes=app.routes)
        found["paths"] = {p: item for p, item in found["paths"].items() if p.startswith("/v1/") or p in HEALTH}
        schemas = found["components"]["schemas"]
        schemas |= _own_schemas()
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        found["components"]["securitySchemes"] = {"key": KEY}
        found["security"] = [{}, {"key": []}]
        for path, item in found["paths"].items():
            for operation in item.values() if path not in HEALTH else ():
                _describe_errors(operation)
        app.openapi_schema = found
    return app.openapi_schema


HEALTH = ("/healthz", "/readyz")  # which ask for no key
ALWAYS = (401, 403, 413, 500)  # whatever is asked
BODY = {"application/json": (400, 415, 422), "multipart/form-data": (400, 422)}  # where there is such a body


def _own_schemas() -> dict[str, Any]:
    whole = Error.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**whole.pop("$defs"), "Error": whole}


def _describe_errors(operation: dict[str, Any]) -> None:
    """Those that the route names, and those that follow from what it takes; FastAPI's own is none of them."""
    responses, takes = operation["responses"], operation.get("parameters", [])
    own = {
        int(status)
        for status, each in responses.items()
        if int(status) in EXAMPLES and "HTTPValidationError" not in str(each)
    }
    own |= {*ALWAYS, *(status for kind in operation.get("requestBody", {}).get("content", {}) for status in BODY[kind])}
    own |= {404} if any(each["in"] == "path" for each in takes) else set()
    own |= (
        {422}
        if any(each["schema"].keys() & {"enum", "minimum", "anyOf"} for each in takes if each["in"] == "query")
        else set()
    )
    responses.pop("422", None)
    for status in sorted(own):
        about, problem = EXAMPLES[status]
        content = {"schema": {"$ref": "#/components/schemas/Error"}, "example": problem.body()}
        responses[str(status)] = {"description": about, "content": {"application/json": content}}
