"""``/audit``: who did what, when and why."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse

from ops import audit
from ops.http.console.render import again, page, sheet
from ops.listing import Page
from ops.problems import Problem
from ops.terminal import csv_file

router = APIRouter(include_in_schema=False)
Word = Annotated[str | None, Query(max_length=120)]
SHOWN = 100
COLUMNS = ("at", "who", "verb", "tenant", "subject", "reason", "detail")


Filters = dict[str, str | None]


def _filters(
    *,
    tenant: Word = None,
    who: Word = None,
    verb: Word = None,
    subject: Word = None,
    since: Word = None,
    until: Word = None,
) -> Filters:
    given = {"tenant": tenant, "who": who, "verb": verb, "subject": subject, "since": since, "until": until}
    return {name: (value or "").strip() or None for name, value in given.items()}


Wanted = Annotated[Filters, Depends(_filters)]


@router.get("/audit")
def audit_(request: Request, filters: Wanted, cursor: Word = None) -> HTMLResponse:
    """Newest first."""
    query = urlencode({name: value for name, value in filters.items() if value})
    try:
        found = _listed(filters, SHOWN, cursor)
    except Problem as problem:
        return again(request, "audit.html", problem, found=Page([]), filters=filters, query=query)
    return page(request, "audit.html", found=found, filters=filters, query=query)


@router.get("/audit.csv")
def as_csv(request: Request, filters: Wanted) -> Response:
    """All of the list, for a spreadsheet."""
    _listed(filters, 1, None)  # what can't be asked is said before a file begins
    return sheet(request, "audit", COLUMNS, csv_file.every(partial(_listed, filters)))


def _listed(filters: Filters, limit: int, cursor: str | None) -> Page:
    times = {name: _instant(filters[name], name) for name in ("since", "until")}
    named = {name: filters[name] for name in ("tenant", "who", "verb", "subject")}
    return audit.listing(limit, cursor, since=times["since"], until=times["until"], **named)


def _instant(value: str | None, name: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if value else None
    except ValueError:
        raise Problem("no_instant", option=name) from None
    return found.replace(tzinfo=UTC) if found and not found.tzinfo else found
