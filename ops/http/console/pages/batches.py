"""``/batches``: runs that were started together, and how one batch goes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse

from ops.http.console.render import page
from ops.runs import batches

router = APIRouter(include_in_schema=False)
Id = Annotated[str, Path(max_length=40)]
Cursor = Annotated[str | None, Query(max_length=80)]
# In the order of the bar.
SHAPES = {
    "done": "ok",
    "done_with_holds": "waits_for_you",
    "done_with_failures": "broken",
    "failed": "broken",
    "quarantined": "broken",
    "not_asked": "waits_for_you",
    "stopped": "stopped",
    "paused": "stopped",
    "applying": "busy",
    "running": "busy",
    "queued": "waits",
}


@router.get("/batches")
def batches_(request: Request, cursor: Cursor = None) -> HTMLResponse:
    """All of them, newest first."""
    return page(request, "batches.html", found=batches.listing(50, cursor), shapes=SHAPES)


@router.get("/batches/{batch}")
def batch_(request: Request, batch: Id, cursor: Cursor = None) -> HTMLResponse:
    """One of them, as it stands."""
    return page(request, "batch.html", found=batches.show(batch, limit=100, cursor=cursor), shapes=SHAPES)
