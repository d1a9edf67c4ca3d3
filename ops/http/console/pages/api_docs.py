"""``/api/docs``: the API as people read it, made here from its OpenAPI document."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from ops.http.api.reference import Reference, reference
from ops.http.console.render import page

router = APIRouter(include_in_schema=False)


@router.get("/api/docs")
def docs(request: Request) -> HTMLResponse:
    """All operations by noun, each with a curl line."""
    state = request.app.state
    found: Reference | None = getattr(state, "api_reference", None)
    if found is None:
        found = state.api_reference = reference(state.api.openapi())
    return page(request, "api_docs.html", found=found)
