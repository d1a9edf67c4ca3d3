"""``/api/dead-letters``: messages that gave up; ``/api/replays``: sending many of them again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from typing_extensions import TypedDict

from ops.dead_letters import MAX_FAILURES, RATE, inbox, replay_batch, replays
from ops.dead_letters.inbox import Filters
from ops.http.api.answers import Document
from ops.http.api.inputs import (
    At,
    BatchId,
    Body,
    Cursor,
    IdText,
    LetterId,
    Limit,
    Moment,
    NumberCursor,
    OfTenant,
    Reason,
    SlugText,
    Text,
    cursor_text,
    example,
)
from ops.http.api.need import need
from ops.problems import First

router = APIRouter(tags=["dead letters"])
Kind = Annotated[Text | None, Query(description="enrollment.upsert, completion.write_back, …")]
ErrorCode = Annotated[Text | None, Query(description="An error's code, or a fingerprint.")]
Fingerprint = Annotated[Text | None, Query(description="Exactly this kind of fault.")]
State = Annotated[
    Literal["open", "replayed", "superseded", "discarded", "all"], Query(description="Open ones, if left out.")
]
ReplayState = Annotated[Literal["running", "done", "stopped", "cancelled"] | None, Query(description="Only these.")]


class Letter(TypedDict):
    """A dead letter in a listing."""

    id: str
    tenant: str | None
    kind: str
    direction: str | None
    internal_id: str | None
    event_id: str | None
    error: str
    message: str | None
    afas_reference: str | None
    attempts: int
    first_failed_at: datetime
    last_failed_at: datetime
    state: str
    fingerprint: str
    code_version: str | None
    replays: int
    run: str | None
    closed_at: datetime | None
    closed_by: str | None
    closed_reason: str | None


class LetterPage(TypedDict):
    """Dead letters, newest first."""

    items: list[Letter]
    next: str | None


class Group(TypedDict):
    """Those of one kind of fault. ``trend``: how many gave up on each of the last days, today last.

    ``tenant``: the first of them by slug; ``newest``: the id of the last one that gave up.
    """

    fingerprint: str
    tenant: str | None
    newest: str
    kind: str
    error: str
    message: str | None
    count: int
    tenants: int
    slugs: list[str]
    first_failed_at: datetime
    last_failed_at: datetime
    trend: list[int]


class GroupPage(TypedDict):
    """The largest first; there is no page after it."""

    items: list[Group]
    next: None


class LetterShown(Letter):
    """With every attempt, the last call (masked), who it is about, and the same work's other letters."""

    history: list[Any]
    last_call: Any
    name: str | None
    email: str | None
    again: dict[str, Any] | None
    before: list[dict[str, Any]]


class ReplayPage(TypedDict):
    """Replays, newest first."""

    items: list[replays.ReplayItem]
    next: str | None


class Cancelled(TypedDict):
    """False when it was over; ``first``: who cancelled it then, if somebody did."""

    batch: str
    cancelled: bool
    first: NotRequired[First]


class Matching(Body):
    """Filters, or ``all`` open ones. ``upto``: none newer than this id, which was the newest when they were counted."""

    model_config = example(tenant="acme", error="email_in_use")

    tenant: SlugText | None = None
    kind: Text | None = None
    error: Text | None = None
    fingerprint: Text | None = None
    since: At | None = None
    until: At | None = None
    upto: IdText | None = None
    all: bool = False

    def filters(self) -> Filters:
        """As the verbs take them."""
        return Filters(
            tenant=self.tenant,
            kind=self.kind,
            error=self.error,
            fingerprint=self.fingerprint,
            since=self.since,
            until=self.until,
            upto=self.upto,
        )


class Chosen(Matching):
    """Either ``ids``, or filters, or ``all`` open ones."""

    ids: Annotated[list[IdText], Field(default_factory=list, max_length=1000)]

    def letters(self) -> list[str]:
        """Their ids."""
        return inbox.choose(self.ids, self.filters(), everything=self.all)


class Replay(Chosen):
    """``rate`` a second at most; none more after ``max_failures`` in a row. Many need a ``reason``."""

    rate: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False, strict=False)] = RATE
    max_failures: Annotated[int, Field(ge=1, le=1_000_000)] = MAX_FAILURES
    reason: Reason | None = None


class Discard(Chosen):
    """Why is kept with each."""

    model_config = example(error="no_room", reason="licence extended")

    reason: Reason


def _filters(
    *,
    tenant: OfTenant = None,
    kind: Kind = None,
    error: ErrorCode = None,
    fingerprint: Fingerprint = None,
    since: Moment = None,
    until: Moment = None,
    state: State = "open",
) -> Filters:
    return Filters(
        tenant=tenant,
        kind=kind,
        error=error,
        fingerprint=fingerprint,
        since=since,
        until=until,
        state=None if state == "all" else state,
    )


Given = Annotated[Filters, Depends(_filters)]
READ = [need("dead_letters.read")]


@router.get("/dead-letters", response_model=LetterPage, summary="List dead letters", dependencies=READ)
def list_letters(filters: Given, limit: Limit = 100, cursor: Cursor = None) -> Document:
    """Open ones, unless another state is asked for."""
    return Document(inbox.listing(filters, limit, cursor).document())


@router.get("/dead-letters/groups", response_model=GroupPage, summary="Kinds of fault", dependencies=READ)
def list_groups(filters: Given, limit: Limit = 100) -> Document:
    """How many of each, of which tenants, since when."""
    return Document({"items": inbox.groups(filters, limit), "next": None})


@router.get("/dead-letters/{letter}", response_model=LetterShown, summary="Show a dead letter", dependencies=READ)
def show_letter(letter: LetterId) -> Document:
    """Who it is about, every attempt, the last call (masked)."""
    return Document(inbox.show(letter))


@router.post("/dead-letters/count", response_model=inbox.Chosen, summary="Count dead letters", dependencies=READ)
def count_letters(given: Matching) -> Document:
    """The open ones that fit; give its `newest` as `upto` to decide about no others."""
    return Document(inbox.count(given.filters()))


@router.post(
    "/dead-letters/discard",
    response_model=inbox.Discarded,
    summary="Discard dead letters",
    dependencies=[need("dead_letters.discard")],
)
def discard_letters(given: Discard) -> Document:
    """Close them without sending them again: those named, or all open ones that fit."""
    if given.ids or not (given.filters().given or given.all):
        return Document(inbox.discard(given.letters(), reason=given.reason))
    return Document(inbox.discard_matching(given.filters(), everything=given.all, reason=given.reason))


@router.post(
    "/dead-letters/replay",
    response_model=replays.Begun,
    status_code=202,
    summary="Replay dead letters",
    dependencies=[need("dead_letters.replay")],
)
def start_replay(given: Replay) -> Document:
    """One as a canary, then the rest by itself. `Location` is the address of the replay."""
    begun = replays.begin(given.letters(), rate=given.rate, max_failures=given.max_failures, reason=given.reason)
    where = {"Location": f"/api/replays/{begun['batch']}"}
    return Document(begun, status_code=202, headers=where)


@router.post("/replays/preview", response_model=replays.Previewed, summary="Preview a replay", dependencies=READ)
def preview_replay(given: Chosen) -> Document:
    """How many of these would come to which end, and why; changes nothing."""
    if given.ids:
        return Document(replays.preview(given.letters()))
    return Document(replays.preview_matching(given.filters(), everything=given.all))


@router.get("/replays", response_model=ReplayPage, summary="List replays", dependencies=[need("replays.read")])
def list_replays(state: ReplayState = None, limit: Limit = 100, cursor: Cursor = None) -> Document:
    """Newest first."""
    return Document(replays.listing(limit, cursor, state=state).document())


@router.get(
    "/replays/{batch}", response_model=replays.Shown, summary="Show a replay", dependencies=[need("replays.read")]
)
def show_replay(batch: BatchId, limit: Limit = 100, cursor: NumberCursor = None) -> Document:
    """Its canary, what is done, what failed again and why. Sends nothing."""
    return Document(replays.show(batch, limit=limit, cursor=cursor_text(cursor)))


@router.post(
    "/replays/{batch}/cancel",
    response_model=Cancelled,
    summary="Cancel a replay",
    dependencies=[need("replays.cancel")],
)
def cancel_replay(batch: BatchId) -> Document:
    """Send nothing more of it."""
    full = replays.full_id(batch)
    done = replay_batch.cancel(full)
    first = None if done else replay_batch.cancelled_by(full)
    return Document({"batch": full, "cancelled": done} | ({"first": first} if first else {}))
