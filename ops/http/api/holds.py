"""``/api/holds``: what a guard held back."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from typing_extensions import TypedDict

from models.hold import HoldLineState
from ops import holds
from ops.http.api.answers import Document
from ops.http.api.inputs import (
    Body,
    Cursor,
    EventText,
    HashText,
    HoldId,
    Limit,
    Number,
    NumberCursor,
    OfEvent,
    OfTenant,
    PersonText,
    Reason,
    cursor_text,
    example,
)
from ops.http.api.need import need

router = APIRouter(prefix="/holds", tags=["holds"])
State = Annotated[
    Literal["open", "released", "cleared", "expired", "refused", "all"], Query(description="Open ones, if left out.")
]


class Hold(TypedDict):
    """What a hold is about. ``plan_hash``: of the plan that it holds lines of."""

    id: str
    tenant: str
    run: str
    guard: str
    event_id: str | None
    state: str
    created_at: datetime
    expires_at: datetime | None
    measure: dict[str, Any]
    plan_hash: str
    timezone: str
    open_lines: int
    decided_at: datetime | None
    decided_by: str | None
    decided_reason: str | None


class HoldItem(Hold):
    """A hold in a listing. ``lines`` is a count."""

    lines: int


class HoldPage(TypedDict):
    """Holds, newest first."""

    items: list[HoldItem]
    next: str | None


class HoldShown(Hold):
    """A hold with a page of the lines that it keeps back, before and after; ``count`` is of all of them."""

    count: int
    events: list[dict[str, Any]]
    reads: list[dict[str, Any]]
    lines: list[dict[str, Any]]
    next: str | None


class Part(Body):
    """All lines, or those of these events, or of these people."""

    model_config = example(events=["340"])

    events: Annotated[list[EventText], Field(default_factory=list, max_length=1000)]
    persons: Annotated[list[PersonText], Field(default_factory=list, max_length=1000)]


class Release(Part):
    """``lines``: only these, by their ids. ``plan_hash``: of the hold as it was looked at, else it is refused (409)."""

    model_config = example(events=["340"], reason="event was cancelled")

    reason: Reason
    lines: Annotated[list[Number], Field(default_factory=list, max_length=1000)]
    plan_hash: HashText | None = None


class Refuse(Body):
    """The whole hold. ``plan_hash``: as for a release."""

    reason: Reason
    plan_hash: HashText | None = None


@router.get("", response_model=HoldPage, summary="List holds", dependencies=[need("holds.read")])
def list_holds(tenant: OfTenant = None, state: State = "open", limit: Limit = 100, cursor: Cursor = None) -> Document:
    """What is still open, unless another state is asked for."""
    wanted = None if state == "all" else state
    return Document(holds.listing(limit, cursor, tenant=tenant, state=wanted).document())


@router.get("/{hold}", response_model=HoldShown, summary="Show a hold", dependencies=[need("holds.read")])
def show_hold(
    hold: HoldId,
    event: OfEvent = None,
    state: Annotated[HoldLineState | None, Query(description="Only lines in this state.")] = None,
    limit: Limit = 100,
    cursor: NumberCursor = None,
) -> Document:
    """What it counted, the last readings, and the lines it keeps back, before and after."""
    return Document(holds.show(hold, event=event, state=state, limit=limit, cursor=cursor_text(cursor)))


@router.post(
    "/{hold}/preview", response_model=holds.Outlook, summary="Preview a release", dependencies=[need("holds.preview")]
)
def preview_hold(hold: HoldId, given: Part) -> Document:
    """Who would go on now, and who would be dropped because something changed."""
    return Document(holds.preview(hold, events=given.events, persons=given.persons))


@router.post(
    "/{hold}/release", response_model=holds.Released, summary="Release held lines", dependencies=[need("holds.release")]
)
def release_hold(hold: HoldId, given: Release) -> Document:
    """All or some. Each is checked again first: who came back is dropped."""
    done = holds.release(
        hold,
        events=given.events,
        persons=given.persons,
        lines=given.lines,
        plan_hash=given.plan_hash,
        reason=given.reason,
    )
    return Document(done)


@router.post(
    "/{hold}/refuse", response_model=holds.Refused, summary="Refuse a hold", dependencies=[need("holds.refuse")]
)
def refuse_hold(hold: HoldId, given: Refuse) -> Document:
    """Never do what is held; the same lines are not raised again."""
    return Document(holds.refuse(hold, plan_hash=given.plan_hash, reason=given.reason))
