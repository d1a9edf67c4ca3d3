"""``/ambiguous``: people whose account somebody has to decide about. ``…/people/{id}/decide``: one of them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from ops import access, audit
from ops.http.console.pages.people import Cursor, speaking
from ops.http.console.render import again, page
from ops.listing import Page
from ops.people import deciding, links_check
from ops.people.person import opened
from ops.problems import Problem
from ops.tenants import names

router = APIRouter(include_in_schema=False)
PAGE = 50
Slug = Annotated[str, Path(max_length=40)]
PersonId = Annotated[str, Path(max_length=20)]


@router.get("/ambiguous")
def ambiguous(
    request: Request,
    tenant: Annotated[str | None, Query(max_length=40)] = None,
    reason: Annotated[str | None, Query(max_length=60)] = None,
    cursor: Cursor = None,
) -> HTMLResponse:
    """Everybody who waits for a decision, the person who is known the longest first."""
    values: dict[str, Any] = {"tenant": tenant, "reason": reason}
    try:
        found = deciding.waiting(PAGE, cursor, tenant=tenant or None, reason=reason or None)
    except Problem as problem:
        return again(request, "ambiguous.html", problem, **values, found=Page([]))
    return page(request, "ambiguous.html", **values, found=found)


@router.get("/tenants/{slug}/people/{person}/decide")
def one(
    request: Request, slug: Slug, person: PersonId, done: Annotated[str | None, Query(max_length=20)] = None
) -> HTMLResponse:
    """AFAS beside each account, and what follows from each choice. Who looked is recorded."""
    return _one(request, slug, person, done=done)


def _one(request: Request, slug: str, person: str, problem: Problem | None = None, **more: Any) -> HTMLResponse:
    found = deciding.candidates(slug, person)
    opened(slug, found["internal_id"])
    values: dict[str, Any] = {"done": None, "typed": {}} | more
    values |= {
        "slug": slug,
        "tenant": names.of(slug),
        "found": found,
        "speak": speaking(request),
        "history": audit.of(found["internal_id"], slug),
    }
    return again(request, "decide.html", problem, **values)


@router.post("/tenants/{slug}/people/{person}/decide")
def decide(
    request: Request,
    *,
    slug: Slug,
    person: PersonId,
    choice: Annotated[str, Form(max_length=100)],
    seen: Annotated[int, Form(ge=0, le=2_000_000_000)],
    reason: Annotated[str, Form(max_length=400)] = "",
) -> Response:
    """Carry out a choice: ``link PLUVO_ID``, ``create`` or ``ignore``; not when somebody was first."""
    decision, _, account = choice.partition(" ")
    try:
        done = links_check.decide_checked(
            slug,
            person,
            decision,
            account or None,
            who=access.actor().name,
            reason=reason.strip() or None,
            seen=seen,
        )
    except Problem as problem:
        return _one(request, slug, person, problem, typed={"reason": reason, "choice": choice})
    return RedirectResponse(f"/tenants/{slug}/people/{person}/decide?done={done['result']}", 303)
