"""What answers at ``/``."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

TEXT = """\
Koppeling is running.

This address serves health (/healthz, /readyz) and Pluvo's webhooks (/webhooks/pluvo/...).
There are no pages to work with: use the command, for example `koppeling status`.
"""
router = APIRouter()


@router.get("/", include_in_schema=False)
async def front() -> PlainTextResponse:
    """Say what this is."""
    return PlainTextResponse(TEXT)
