"""``/api/batches``"""

from __future__ import annotations

from fastapi import APIRouter
from typing_extensions import TypedDict

from ops.http.api.answers import Document
from ops.http.api.inputs import BatchId, Cursor, Limit, OfDirection
from ops.http.api.need import need
from ops.runs import batches

router = APIRouter(tags=["runs"])
READ = [need("runs.read")]


class BatchPage(TypedDict):
    """Batches, newest first."""

    items: list[batches.BatchItem]
    next: str | None


@router.get("/batches", response_model=BatchPage, summary="List batches", dependencies=READ)
def list_batches(*, direction: OfDirection = None, limit: Limit = 100, cursor: Cursor = None) -> Document:
    """Runs of several tenants that were started together, newest first."""
    return Document(batches.listing(limit, cursor, direction=direction).document())


@router.get("/batches/{batch}", response_model=batches.BatchShown, summary="Show a batch", dependencies=READ)
def show_batch(batch: BatchId, limit: Limit = 100, cursor: Cursor = None) -> Document:
    """How many tenants are done, what came of their rows, what needs somebody, and a page of its tenants."""
    return Document(batches.show(batch, limit=limit, cursor=cursor))
