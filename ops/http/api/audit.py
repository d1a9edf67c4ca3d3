"""``/api/audit``: who did what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from typing_extensions import TypedDict

from ops import audit
from ops.http.api.answers import Document
from ops.http.api.inputs import Limit, Moment, NumberCursor, OfTenant, Text, cursor_text
from ops.http.api.need import need

router = APIRouter(tags=["audit"])


class Recorded(audit.Done):
    """A verb that changed something."""

    id: int


class AuditPage(TypedDict):
    """Newest first."""

    items: list[Recorded]
    next: str | None


@router.get("/audit", response_model=AuditPage, summary="Who did what", dependencies=[need("audit.read")])
def list_audit(
    *,
    tenant: OfTenant = None,
    who: Annotated[Text | None, Query(description="Only of this person.")] = None,
    verb: Annotated[Text | None, Query(description="Such as `holds release`, or `holds` for all of it.")] = None,
    subject: Annotated[Text | None, Query(description="Only about this: the id of what was changed.")] = None,
    since: Moment = None,
    until: Moment = None,
    limit: Limit = 100,
    cursor: NumberCursor = None,
) -> Document:
    """Every verb that changed something: when, by whom, why."""
    found = audit.listing(
        limit,
        cursor_text(cursor),
        tenant=tenant,
        who=who,
        verb=verb,
        subject=subject,
        since=since,
        until=until,
    )
    return Document(found.document())
