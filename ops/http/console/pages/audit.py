"""``/audit``: who did what, when and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from ops import audit
from ops.http.console import choices
from ops.http.console.pages.completions import download
from ops.http.console.render import page
from ops.listing import MAX_LIMIT, Page
from ops.problems import Problem
from ops.terminal import csv_file

router = APIRouter(include_in_schema=False)
Word = Annotated[str | None, Query(max_length=120)]
SHOWN = 100
MOST_IN_FILE = 50_000
COLUMNS = ("at", "who", "verb", "tenant", "subject", "reason", "detail")
# Where the subject of a verb is shown: of the first word of the verb.
PLACES = {"holds": "/holds/", "runs": "/runs/", "dead-letters": "/dead-letters/", "replays": "/replays/"}


@router.get("/audit")
def audit_(
    request: Request,
    *,
    tenant: Word = None,
    who: Word = None,
    verb: Word = None,
    subject: Word = None,
    since: Word = None,
    until: Word = None,
    cursor: Word = None,
) -> HTMLResponse:
    """Newest first."""
    filters = _filters(tenant=tenant, who=who, verb=verb, subject=subject, since=since, until=until)
    found = _listed(filters, SHOWN, cursor)
    return page(request, "audit.html", found=found, filters=filters, query=urlencode(_given(filters)), places=PLACES)


@router.get("/audit.csv")
def as_csv(
    request: Request,
    *,
    tenant: Word = None,
    who: Word = None,
    verb: Word = None,
    subject: Word = None,
    since: Word = None,
    until: Word = None,
) -> Response:
    """All of the list, for a spreadsheet."""
    filters = _filters(tenant=tenant, who=who, verb=verb, subject=subject, since=since, until=until)
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    while len(rows) < MOST_IN_FILE:
        part = _listed(filters, MAX_LIMIT, cursor)
        rows += part.items
        cursor = part.next
        if cursor is None:
            break
    return download("audit.csv", csv_file.lines(COLUMNS, rows, choices.language(request)))


def _filters(**given: str | None) -> dict[str, str | None]:
    return {name: (value or "").strip() or None for name, value in given.items()}


def _given(filters: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in filters.items() if value}


def _listed(filters: dict[str, str | None], limit: int, cursor: str | None) -> Page:
    times = {name: _instant(filters[name], name) for name in ("since", "until")}
    named = {name: filters[name] for name in ("tenant", "who", "verb", "subject")}
    return audit.listing(limit, cursor, since=times["since"], until=times["until"], **named)


def _instant(value: str | None, name: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if value else None
    except ValueError:
        raise Problem("no_instant", option=name) from None
    return found.replace(tzinfo=UTC) if found and not found.tzinfo else found
