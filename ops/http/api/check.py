"""What asks AFAS and Pluvo about a tenant, reading only: ``/api/tenants/{slug}/check`` and its like."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from typing_extensions import TypedDict

from ops.http.api.answers import Document
from ops.http.api.inputs import Cursor, InLanguage, Limit, Slug, Text
from ops.http.api.need import need
from ops.runs.adoption import AdoptionReport, adoption
from ops.tenants import check as checks
from ops.tenants import events
from ops.tenants.check_contract import ContractDocument, check_contract
from ops.tenants.handover import Handover, handover
from ops.tenants.show_fields import FieldsDocument, show_fields

router = APIRouter(prefix="/tenants/{slug}", tags=["check"])
Unlinked = Annotated[bool, Query(description="Only events that are not linked.")]
Connector = Annotated[Text | None, Query(description="The name of a GetConnector; else the one in use.")]


class EventPage(TypedDict):
    """Events of AFAS. ``failed``: the code of what kept AFAS from being read to the end."""

    items: list[events.EventItem]
    next: str | None
    failed: str | None


@router.get("/events", response_model=EventPage, summary="List the events of AFAS", dependencies=[need("events.run")])
def list_events(slug: Slug, unlinked: Unlinked = False, limit: Limit = 100, cursor: Cursor = None) -> Document:
    """With their people: linked or not, and why. Asks AFAS."""
    found, failed = events.listing(slug, limit, cursor, unlinked=unlinked)
    return Document(found.document() | {"failed": failed})


@router.get(
    "/fields", response_model=FieldsDocument, summary="Show a GetConnector's columns", dependencies=[need("fields.run")]
)
def list_fields(slug: Slug, language: InLanguage, connector: Connector = None) -> Document:
    """And which of them would be what, with the reason. Asks AFAS."""
    return Document(show_fields(slug, connector, language=language))


@router.get(
    "/check", response_model=checks.CheckDocument, summary="Show the last check", dependencies=[need("tenants.read")]
)
def last_check(slug: Slug, language: InLanguage) -> Document:
    """What it found, without trying anything."""
    return Document(checks.last_check(slug, language))


@router.post("/check", response_model=checks.CheckDocument, summary="Check a tenant", dependencies=[need("check.run")])
def run_check(slug: Slug, language: InLanguage) -> Document:
    """Try both sides, reading only: one line a finding, with what to do about a fault."""
    return Document(checks.check(slug, language=language))


@router.post(
    "/check/contract",
    response_model=ContractDocument,
    summary="Try what is only assumed",
    dependencies=[need("check.run")],
)
def run_contract(slug: Slug, language: InLanguage) -> Document:
    """Every fact about both systems that reading can settle: confirmed, refuted, or not to be settled."""
    return Document(check_contract(slug, language=language))


@router.get(
    "/adoption", response_model=AdoptionReport, summary="Report before a first run", dependencies=[need("adoption.run")]
)
def show_adoption(slug: Slug) -> Document:
    """Who is linked to which account and why, who is made, who waits, what stays. Asks AFAS and Pluvo."""
    return Document(adoption(slug))


@router.get(
    "/handover",
    response_model=Handover,
    summary="The mail to the AFAS administrator",
    dependencies=[need("handover.run")],
)
def show_handover(slug: Slug, language: InLanguage) -> Document:
    """What is still missing in AFAS, of what a check finds now."""
    return Document(handover(slug, language))
