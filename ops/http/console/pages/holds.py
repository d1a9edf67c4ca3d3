"""``/holds``: what guards hold back. ``/holds/{id}``: is it real? Then release all of it, some of it, or refuse."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, Field

from models.hold import HoldLineState, HoldState
from ops import access, audit, holds
from ops.http.console import choices
from ops.http.console.pages.filters import HoldQuery
from ops.http.console.render import again, page, sheet
from ops.listing import Page, Row
from ops.problems import Problem
from ops.terminal import csv_file
from ops.terminal.guards import arithmetic

router = APIRouter(include_in_schema=False)
PAGE = 50
LINES = 100
CSV_COLUMNS = ("event_id", "internal_id", "action", "before", "after", "state", "reason", "absent_since", "decided_at")
Reason = Annotated[str, Form(max_length=400)]
Plan = Annotated[str, Form(max_length=80)]


@router.get("/holds")
def listed(request: Request, wanted: Annotated[HoldQuery, Query()]) -> HTMLResponse:
    """Holds, newest first: those that are open, unless another state or ``all`` is asked for."""
    state = None if wanted.state == "all" else wanted.state or "open"
    context: dict[str, Any] = {"wanted": wanted, "states": [*HoldState], "state": state}
    try:
        found = holds.listing(PAGE, wanted.cursor, tenant=wanted.tenant or None, state=state)
    except Problem as problem:
        return again(request, "holds.html", problem, **context, found=Page([]))
    items = [hold | {"told": _told(hold, request)} for hold in found.items]
    return page(request, "holds.html", **context, found=Page(items, found.next))


def _told(hold: Row, request: Request) -> str:
    return arithmetic(hold["guard"], hold["measure"], choices.language(request))


@router.get("/holds/{hold_id}")
def shown(request: Request, hold_id: str, wanted: Annotated[HoldQuery, Query()]) -> HTMLResponse:
    """One hold."""
    return page(request, "hold.html", **_context(request, hold_id, wanted))


def _context(request: Request, hold_id: str, wanted: HoldQuery) -> dict[str, Any]:
    hold = holds.show(
        hold_id, event=wanted.event or None, state=wanted.state or None, limit=LINES, cursor=wanted.cursor
    )
    outlook = None
    if hold["state"] == HoldState.OPEN and access.may("holds.preview", hold["tenant"]):
        outlook = holds.preview(hold["id"])
    return {
        "hold": hold | {"told": _told(hold, request)},
        "outlook": outlook,
        "would": {line["id"]: line["why"] for line in outlook["lines"]} if outlook else {},
        "wanted": wanted,
        "states": [*HoldLineState],
        "done": audit.of(hold["id"]),
    }


@router.get("/holds/{hold_id}/lines.csv")
def lines_csv(request: Request, hold_id: str, wanted: Annotated[HoldQuery, Query()]) -> Response:
    """Its lines as a file."""
    chosen = {"event": wanted.event or None, "state": wanted.state or None}
    first = holds.show(hold_id, **chosen, limit=1)

    def part(size: int, after: str | None) -> Page:
        found = holds.show(first["id"], **chosen, limit=size, cursor=after)
        return Page(found["lines"], found["next"])

    return sheet(request, f"hold-{first['id']}", CSV_COLUMNS, csv_file.every(part))


class Chosen(BaseModel):
    """What is released: ``which`` is all or chosen. ``plan``: the hold's plan as the page showed it."""

    which: str = Field(max_length=10)
    reason: str = Field("", max_length=400)
    line: list[Annotated[int, Field(ge=1, lt=2**63)]] = Field(default=[], max_length=2000)
    plan: str = Field("", max_length=80)


@router.post("/holds/{hold_id}/release")
def release(request: Request, hold_id: str, given: Annotated[Chosen, Form()]) -> Response:
    """Let it go on: what was chosen, or all of it."""
    lines = [] if given.which == "all" else sorted(set(given.line))
    try:
        if given.which != "all" and not lines:
            raise Problem("hold_none_chosen")
        holds.release(hold_id, events=[], persons=[], lines=lines, plan_hash=given.plan or None, reason=given.reason)
    except Problem as problem:
        return _refused(request, hold_id, problem, {"reason": given.reason, "line": given.line})
    return RedirectResponse(f"/holds/{hold_id}", 303)


@router.post("/holds/{hold_id}/refuse")
def refuse(request: Request, hold_id: str, why: Reason = "", plan: Plan = "") -> Response:
    """Never do what is held. ``plan``: as for a release."""
    try:
        holds.refuse(hold_id, plan_hash=plan or None, reason=why)
    except Problem as problem:
        return _refused(request, hold_id, problem, {"why": why})
    return RedirectResponse(f"/holds/{hold_id}", 303)


def _refused(request: Request, hold_id: str, problem: Problem, typed: dict[str, Any]) -> Response:
    if problem.status in (403, 404):
        raise problem
    return again(request, "hold.html", problem, **_context(request, hold_id, HoldQuery()), typed=typed)
