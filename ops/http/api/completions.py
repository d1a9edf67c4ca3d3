"""``/api/completions``: which dates are in AFAS, which are not, and why. They are started in ``runs.py``."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from typing_extensions import TypedDict

from ops import completions
from ops.http.api.answers import Document
from ops.http.api.inputs import Body, IdText, Limit, NumberCursor, OfEvent, OfTenant, Reason, Word, cursor_text
from ops.http.api.need import need

router = APIRouter(prefix="/completions", tags=["completions"])
Number = Annotated[int, Path(ge=1, le=10**18, description="A completion's number.")]
State = Annotated[
    Word | None,
    Query(description="pending, unverified, conflict, orphan, no_date, rejected, failed, closed, verified, unchanged."),
]
READ = [need("completions.read")]


class Completion(TypedDict):
    """A finished course of a person. ``basis``: what a decision about it is based on; ``found``: what AFAS holds.

    ``completed_raw``: as Pluvo told it; ``value``: as it is written; ``puts``: how often that was tried.
    """

    id: int
    tenant: str
    event_id: str
    internal_id: str | None
    pluvo_id: str | None
    state: str
    reason: str | None
    completed_on: date | None
    completed_raw: str | None
    title: str | None
    level: str | None
    field: str | None
    value: str | None
    found: str | None
    first_seen_at: datetime | None
    written_at: datetime | None
    verified_at: datetime | None
    puts: int
    changed_at: datetime | None
    closed: bool
    closed_at: datetime | None
    closed_by: str | None
    closed_reason: str | None
    basis: str


class CompletionPage(TypedDict):
    """Newest first."""

    items: list[Completion]
    next: str | None


class CompletionShown(Completion):
    """With its lines in runs, its calls, its dead letters, and what was decided about it."""

    later: list[Any]
    message: dict[str, Any] | None
    lines: list[dict[str, Any]]
    calls: list[dict[str, Any]]
    dead_letters: list[dict[str, Any]]
    decisions: list[dict[str, Any]]


class Close(Body):
    """``basis`` of the completion as it was looked at: it is refused (409) where it looks otherwise by now."""

    reason: Reason
    basis: IdText | None = None


@router.get("", response_model=CompletionPage, summary="List completions", dependencies=READ)
def list_completions(
    *,
    tenant: OfTenant = None,
    state: State = None,
    all: Annotated[bool, Query(description="Also those that are settled or closed.")] = False,
    event: OfEvent = None,
    limit: Limit = 100,
    cursor: NumberCursor = None,
) -> Document:
    """Those that are not settled: what is to be written, what is not, and why."""
    found = completions.listing(limit, cursor_text(cursor), tenant=tenant, state=state, everything=all, event=event)
    return Document(found.document())


@router.get("/{number}", response_model=CompletionShown, summary="Show a completion", dependencies=READ)
def show_completion(number: Number) -> Document:
    """Its lines in runs, its calls, what was decided about it."""
    return Document(completions.show([str(number)]))


@router.post(
    "/{number}/close",
    response_model=completions.Closed,
    summary="Close a completion",
    dependencies=[need("completions.close")],
)
def close_completion(number: Number, given: Close) -> Document:
    """Accept that AFAS keeps what it has: it is open again once anything of it changes."""
    chosen = completions.find_one([str(number)])
    seen = {chosen["id"]: given.basis or chosen["basis"]}
    return Document(completions.close([chosen["id"]], reason=given.reason, seen=seen))


@router.post(
    "/{number}/retry",
    response_model=completions.Retried,
    summary="Try a completion again",
    dependencies=[need("completions.retry")],
)
def retry_completion(number: Number) -> Document:
    """Now: AFAS is looked at first, and a date of a human is never written over."""
    return Document(completions.retry(completions.find_one([str(number)])["id"]))
