"""``/api/holds``: what a guard held back."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from typing_extensions import TypedDict

from models.hold import HoldState
from ops import access, holds
from ops.http.api.answers import Document
from ops.http.api.inputs import Body, Cursor, EventText, HoldId, Limit, NumberCursor, OfTenant, PersonText, Reason
from ops.http.api.need import need

router = APIRouter(prefix="/holds", tags=["holds"])


class HoldItem(TypedDict):
    """A hold in a listing. ``lines`` is a count."""

    id: str
    tenant: str
    run: str
    guard: str
    event_id: str | None
    state: str
    created_at: datetime
    expires_at: datetime | None
    lines: int


class HoldPage(TypedDict):
    """Holds, newest first."""

    items: list[HoldItem]
    next: str | None


class HoldShown(TypedDict):
    """A hold with every line that it keeps back, before and after."""

    id: str
    tenant: str
    run: str
    guard: str
    event_id: str | None
    state: str
    created_at: datetime
    expires_at: datetime | None
    lines: list[dict[str, Any]]
    next: str | None


class Release(Body):
    """All lines, or those of these events, or of these people."""

    reason: Reason
    events: Annotated[list[EventText], Field(default_factory=list, max_length=1000)]
    persons: Annotated[list[PersonText], Field(default_factory=list, max_length=1000)]


class Refuse(Body):
    """The whole hold."""

    reason: Reason


@router.get("", response_model=HoldPage, summary="List holds", dependencies=[need("holds.read")])
def list_holds(
    tenant: OfTenant = None, state: HoldState | None = HoldState.OPEN, limit: Limit = 100, cursor: Cursor = None
) -> Document:
    """What is still open, unless another state is asked for."""
    return Document(holds.listing(limit, cursor, tenant=tenant, state=state).document())


@router.get("/{hold}", response_model=HoldShown, summary="Show a hold", dependencies=[need("holds.read")])
def show_hold(hold: HoldId, limit: Limit = 1000, cursor: NumberCursor = None) -> Document:
    """With the lines it keeps back, a page of them."""
    return Document(holds.show(hold, limit=limit, cursor=None if cursor is None else str(cursor)))


@router.post(
    "/{hold}/release", response_model=holds.Released, summary="Release held lines", dependencies=[need("holds.release")]
)
def release_hold(hold: HoldId, given: Release) -> Document:
    """All or some. Each is checked again first: who came back is dropped."""
    who = access.actor().name
    return Document(holds.release(hold, events=given.events, persons=given.persons, reason=given.reason, who=who))


@router.post(
    "/{hold}/refuse", response_model=holds.Refused, summary="Refuse a hold", dependencies=[need("holds.refuse")]
)
def refuse_hold(hold: HoldId, given: Refuse) -> Document:
    """Never do what is held; the same lines are not raised again."""
    return Document(holds.refuse(hold, reason=given.reason, who=access.actor().name))
