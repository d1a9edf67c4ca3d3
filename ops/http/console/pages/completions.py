"""``/completions``: dates on their way to AFAS and what keeps them; try again, close with a reason, CSV."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

import settings
from models.completion_state import CLOSABLE
from ops import access, completions
from ops.http.console import choices
from ops.http.console.render import again, sheet
from ops.listing import MAX_LIMIT, Page
from ops.problems import Problem
from ops.terminal import csv_file

router = APIRouter(include_in_schema=False)
Word = Annotated[str | None, Query(max_length=80)]
Typed = Annotated[str, Form(max_length=400)]
SHOWN = 50
COLUMNS = (
    *("tenant", "event_id", "internal_id", "pluvo_id", "state", "reason", "completed_on", "found", "field", "title"),
    *("changed_at", "closed_by", "closed_reason", "sentence", "to_do"),
)


@router.get("/completions")
def completions_(
    request: Request, tenant: Word = None, state: Word = None, event: Word = None, cursor: Word = None
) -> HTMLResponse:
    """Those that are not settled, or those of a state."""
    return _listed(request, {"tenant": tenant or None, "state": state or None, "event": event or None}, cursor)


def _listed(
    request: Request,
    filters: dict[str, str | None],
    cursor: str | None = None,
    problem: Problem | None = None,
    **typed: Any,
) -> HTMLResponse:
    counts: dict[str, int] = {}
    try:
        tenant, state, event = (filters[name] for name in ("tenant", "state", "event"))
        found = completions.listing(SHOWN, cursor, tenant=tenant, state=state, event=event)
        counts = completions.counts(filters["tenant"])
    except Problem as refused:
        found, problem = Page([]), problem or refused
    context: dict[str, Any] = {
        "found": found,
        "items": list(completions.sentences(found.items, choices.language(request))),
        "counts": counts,
        "filters": filters,
        "query": urlencode({name: value for name, value in filters.items() if value}),
        "closable": [str(state) for state in CLOSABLE],
        "may": access.actor().role >= access.NEEDS["completions.close"],
        "typed": typed,
    }
    return again(request, "completions.html", problem, **context)


@router.get("/completions.csv")
def as_csv(request: Request, tenant: Word = None, state: Word = None, event: Word = None) -> Response:
    """All of the list, for a spreadsheet."""
    listed = partial(completions.listing, tenant=tenant or None, state=state or None, event=event or None)
    listed(1)  # what can't be asked is said before a file begins
    rows = completions.sentences(csv_file.every(listed), choices.language(request))
    return sheet(request, "completions", COLUMNS, rows)


@router.post("/completions")
def act(
    request: Request,
    *,
    verb: Typed = "retry",
    completion: Annotated[list[str] | None, Form(max_length=MAX_LIMIT)] = None,
    reason: Typed = "",
    tenant: Typed = "",
    state: Typed = "",
    event: Typed = "",
) -> Response:
    """Try again or close those that were ticked: ``completion`` is a number, a colon, and how it looked."""
    filters = {"tenant": tenant or None, "state": state or None, "event": event or None}
    try:
        seen = _seen(completion or [])
        if verb == "close":
            completions.close(list(seen), reason=reason, seen=seen)
        else:
            completions.retry_each(list(seen))
    except Problem as problem:
        return _listed(request, filters, None, problem, reason=reason, completion=completion or [])
    query = urlencode({name: value for name, value in filters.items() if value})
    return RedirectResponse(f"/completions?{query}" if query else "/completions", 303)


def _seen(ticked: list[str]) -> dict[int, str]:
    seen = {}
    for one in ticked:
        number, _, basis = one.partition(":")
        if not (number.isascii() and number.isdigit() and len(number) < 19):
            raise Problem("which_completion")
        seen[int(number)] = basis
    if not seen:
        raise Problem("which_completion")
    return seen


Number = Annotated[int, Path(ge=1, le=2**62)]


@router.get("/completions/{number}")
def completion(request: Request, number: Number) -> HTMLResponse:
    """One of them."""
    return _one(request, number)


def _one(request: Request, number: int, problem: Problem | None = None, **typed: Any) -> HTMLResponse:
    found = completions.show([str(number)])
    (item,) = completions.sentences([found], choices.language(request))
    context: dict[str, Any] = {
        "found": item | {"shown": completions.shown(found["found"])},
        "closable": found["state"] in CLOSABLE and not found["closed"],
        "retryable": found["state"] in completions.RETRYABLE,
        "kept_days": settings.get().ledger_retention // 86_400,
        "may": access.actor().role >= access.NEEDS["completions.close"],
        "typed": typed,
    }
    return again(request, "completion.html", problem, **context)


@router.post("/completions/{number}")
def act_on_one(
    request: Request, number: Number, verb: Typed = "retry", basis: Typed = "", reason: Typed = ""
) -> Response:
    """Try it again, or close it."""
    try:
        if verb == "close":
            completions.close([number], reason=reason, seen={number: basis})
        else:
            completions.retry(number)
    except Problem as problem:
        return _one(request, number, problem, reason=reason)
    return RedirectResponse(f"/completions/{number}", 303)
