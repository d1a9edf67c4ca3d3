"""``/api/alerts``: what somebody should know."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field
from typing_extensions import TypedDict

from ops.alerts import verbs
from ops.http.api.answers import Document
from ops.http.api.inputs import (
    Body,
    InLanguage,
    Limit,
    NumberCursor,
    OfTenant,
    Reason,
    SlugText,
    Word,
    cursor_text,
    example,
)
from ops.http.api.need import need

router = APIRouter(tags=["alerts"])
Number = Annotated[int, Path(ge=1, le=10**18, description="The number that the listing shows.")]
State = Annotated[Literal["open", "closed", "all"], Query(description="Open ones, if left out.")]
YEAR = 366 * 86_400


class AlertPage(TypedDict):
    """Alerts, newest first."""

    items: list[verbs.Alert]
    next: str | None


class MutePage(TypedDict):
    """What is silenced."""

    items: list[verbs.Mute]
    next: None


class Delivery(TypedDict):
    """A mail, or a call of a webhook. ``about``: news, digest or test; ``items``: how many things it tells."""

    id: int
    tenant: str | None
    channel: str
    recipient: str
    about: str
    state: str
    code: str | None
    attempts: int
    created_at: datetime
    sent_at: datetime | None
    next_at: datetime | None
    items: int


class DeliveryPage(TypedDict):
    """Newest first."""

    items: list[Delivery]
    next: str | None


class TestSent(TypedDict):
    """To whom a test goes."""

    deliveries: list[verbs.Tested]


class Ack(Body):
    """What is being done is kept with it."""

    model_config = example(reason="asked the customer")

    reason: Reason | None = None


class Silence(Body):
    """Of a tenant, of a kind, of both together, or of ``all``."""

    model_config = example(tenant="acme", seconds=86400, reason="they move to a new AFAS")

    reason: Reason
    seconds: Annotated[int, Field(ge=1, le=YEAR)] = 7 * 86_400
    tenant: SlugText | None = None
    kind: Word | None = None
    all: bool = False


class Test(Body):
    """Of the installation where no tenant is named."""

    model_config = example(tenant="acme")

    tenant: SlugText | None = None


@router.get("/alerts", response_model=AlertPage, summary="List alerts", dependencies=[need("alerts.read")])
def list_alerts(
    *,
    language: InLanguage,
    tenant: OfTenant = None,
    kind: Annotated[Word | None, Query(description="Such as hold or quarantine.")] = None,
    state: State = "open",
    limit: Limit = 100,
    cursor: NumberCursor = None,
) -> Document:
    """Those that are open, unless others are asked for."""
    wanted = None if state == "all" else state
    found = verbs.listing(limit, cursor_text(cursor), tenant=tenant, kind=kind, state=wanted, language=language)
    return Document(found.document())


@router.get("/alerts/sent", response_model=DeliveryPage, summary="Who was told", dependencies=[need("alerts.read")])
def list_deliveries(
    tenant: OfTenant = None,
    alert: Annotated[int | None, Query(ge=1, le=10**18, description="Only what told of this alert.")] = None,
    limit: Limit = 100,
    cursor: NumberCursor = None,
) -> Document:
    """Mails and calls of webhooks, and what came of each."""
    return Document(verbs.deliveries(limit, cursor_text(cursor), tenant=tenant, alert=alert).document())


@router.get("/alerts/mutes", response_model=MutePage, summary="What is silenced", dependencies=[need("alerts.read")])
def list_mutes() -> Document:
    """Until when, and why."""
    return Document({"items": verbs.mutes(), "next": None})


@router.post("/alerts/mutes", response_model=verbs.Mute, summary="Tell nobody", dependencies=[need("alerts.mute")])
def mute_alerts(given: Silence) -> Document:
    """For a while; what opens is listed all the same."""
    made = verbs.mute(
        tenant=given.tenant, kind=given.kind, seconds=given.seconds, reason=given.reason, everything=given.all
    )
    return Document(made)


@router.delete(
    "/alerts/mutes/{number}", response_model=verbs.Mute, summary="End a silence", dependencies=[need("alerts.unmute")]
)
def unmute_alerts(number: Number) -> Document:
    """Before its time."""
    return Document(verbs.unmute(number))


@router.post("/alerts/test", response_model=TestSent, summary="Test the recipients", dependencies=[need("alerts.test")])
def test_alerts(given: Test) -> Document:
    """A mail and a call to each, within seconds; `/api/alerts/sent` tells what came of them."""
    return Document({"deliveries": verbs.send_test(given.tenant)})


@router.post("/alerts/{number}/ack", response_model=verbs.Alert, summary="Take care", dependencies=[need("alerts.ack")])
def ack_alert(number: Number, given: Ack) -> Document:
    """It stays open until it is over, and is no longer in the digest."""
    return Document(verbs.ack(number, reason=given.reason))
