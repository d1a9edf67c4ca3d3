"""``/api/status`` and what else is about the whole."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from typing_extensions import TypedDict

from ops import doctor, overview, status, workers
from ops.http.api.answers import Document
from ops.http.api.inputs import Cursor, InLanguage, Limit
from ops.http.api.need import need

router = APIRouter(tags=["system"])


class AlertShown(TypedDict):
    """An open alert."""

    tenant: str | None
    kind: str
    subject: str | None
    text: str
    opened_at: datetime


class Status(TypedDict):
    """Numbers only, no names."""

    database: str
    broker: str
    workers: int
    ready: int
    in_flight: int
    scheduled: int
    oldest_pending_seconds: float
    runs: int
    held: int
    ambiguous: int
    dead: int
    quarantined: int
    degraded: int
    alerts: list[AlertShown]
    tenants: list[dict[str, Any]]


@router.get(
    "/overview", response_model=overview.Overview, summary="What needs somebody", dependencies=[need("overview.read")]
)
def show_overview(limit: Limit = 100, cursor: Cursor = None) -> Document:
    """Over all tenants that one may see; those that need somebody come first."""
    return Document(overview.document(limit, cursor))


@router.get(
    "/inbox", response_model=overview.Inbox, summary="What waits for a person", dependencies=[need("overview.read")]
)
def show_inbox(limit: Limit = 200) -> Document:
    """One line for each kind of a tenant, the most urgent first."""
    return Document(overview.inbox(limit))


@router.get("/status", response_model=Status, summary="How it goes", dependencies=[need("status.read")])
def show_status() -> Document:
    """Database, broker, workers, queue, held, dead, quarantined, per tenant too."""
    return Document(status.document())


@router.get("/workers", response_model=workers.Workers, summary="Who works", dependencies=[need("system.read")])
def show_workers() -> Document:
    """Worker processes with version, threads and what they do; what one of them does for all; the queue by tenant."""
    return Document(workers.document())


@router.get(
    "/doctor", response_model=doctor.Doctor, summary="Is all as it must be?", dependencies=[need("system.read")]
)
def show_doctor(language: InLanguage) -> Document:
    """One finding a question. The mail server is not asked."""
    return Document(doctor.document(language))
