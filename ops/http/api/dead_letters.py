"""``/api/dead-letters``: messages that gave up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from typing_extensions import TypedDict

from models.dead_letter import DeadLetterState
from ops import access
from ops.dead_letters import MAX_FAILURES, RATE, inbox, replay_batch
from ops.dead_letters.inbox import Filters
from ops.http.api.answers import Document
from ops.http.api.inputs import (
    BatchId,
    Body,
    Cursor,
    IdText,
    LetterId,
    Limit,
    Moment,
    OfTenant,
    Reason,
    SlugText,
    Text,
    example,
)
from ops.http.api.need import need

router = APIRouter(tags=["dead letters"])
Kind = Annotated[Text | None, Query(description="enrollment.upsert, completion.write_back, …")]
ErrorCode = Annotated[Text | None, Query(description="An error's code, or a fingerprint.")]
State = Annotated[DeadLetterState | None, Query(description="All states where it is `null`.")]


class Letter(TypedDict):
    """A dead letter in a listing."""

    id: str
    tenant: str | None
    kind: str
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


class LetterPage(TypedDict):
    """Dead letters, newest first."""

    items: list[Letter]
    next: str | None


class LetterShown(Letter):
    """With every attempt, the last call (masked), and who it is about."""

    history: list[Any]
    last_call: Any
    name: str | None
    email: str | None


class Discarded(TypedDict):
    """How many were closed, and how many had been before."""

    discarded: int
    settled: int


class Cancelled(TypedDict):
    """False when it was over."""

    batch: str
    cancelled: bool


class Chosen(Body):
    """Either ``ids``, or filters, or ``all`` open ones."""

    model_config = example(tenant="acme", error="email_in_use")

    ids: Annotated[list[IdText], Field(default_factory=list, max_length=1000)]
    tenant: SlugText | None = None
    kind: Text | None = None
    error: Text | None = None
    since: Annotated[datetime, Field(strict=False)] | None = None
    until: Annotated[datetime, Field(strict=False)] | None = None
    all: bool = False

    def letters(self) -> list[str]:
        """Their ids."""
        filters = Filters(self.tenant, self.kind, self.error, _zoned(self.since), _zoned(self.until))
        return inbox.choose(self.ids, filters, everything=self.all)


class Replay(Chosen):
    """``rate`` a second at most; none more after ``max_failures`` in a row."""

    rate: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False, strict=False)] = RATE
    max_failures: Annotated[int, Field(ge=1, le=1_000_000)] = MAX_FAILURES


class Discard(Body):
    """Why is kept with each."""

    ids: Annotated[list[IdText], Field(min_length=1, max_length=1000)]
    reason: Reason


def _zoned(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


@router.get(
    "/dead-letters", response_model=LetterPage, summary="List dead letters", dependencies=[need("dead_letters.read")]
)
def list_letters(
    *,
    tenant: OfTenant = None,
    kind: Kind = None,
    error: ErrorCode = None,
    since: Moment = None,
    until: Moment = None,
    state: State = DeadLetterState.OPEN,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Document:
    """Open ones, unless another state is asked for."""
    filters = Filters(tenant, kind, error, _zoned(since), _zoned(until), state)
    return Document(inbox.listing(filters, limit, cursor).document())


@router.get(
    "/dead-letters/{letter}",
    response_model=LetterShown,
    summary="Show a dead letter",
    dependencies=[need("dead_letters.read")],
)
def show_letter(letter: LetterId) -> Document:
    """Who it is about, every attempt, the last call (masked)."""
    return Document(inbox.show(letter))


@router.post(
    "/dead-letters/discard",
    response_model=Discarded,
    summary="Discard dead letters",
    dependencies=[need("dead_letters.discard")],
)
def discard_letters(given: Discard) -> Document:
    """Close them without sending them again."""
    return Document(inbox.discard(given.ids, reason=given.reason, who=access.actor().name))


@router.post(
    "/dead-letters/preview",
    response_model=replay_batch.Replayed,
    summary="Preview a replay",
    dependencies=[need("dead_letters.read")],
)
def preview_replay(given: Chosen) -> Document:
    """What a replay would do with each; changes nothing."""
    return Document(replay_batch.preview(given.letters()))


@router.post(
    "/replays/{batch}/cancel",
    response_model=Cancelled,
    summary="Cancel a replay",
    dependencies=[need("replays.cancel")],
)
def cancel_replay(batch: BatchId) -> Document:
    """Send nothing more of it."""
    return Document({"batch": batch, "cancelled": replay_batch.cancel(batch)})
