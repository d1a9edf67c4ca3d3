"""``/``: what needs a person over all tenants. ``/inbox``: each thing that does. ``/help``: the six words, the keys."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from ops import overview
from ops.http.console import states
from ops.http.console.render import again, page
from ops.problems import Problem
from ops.runs import selection

router = APIRouter(include_in_schema=False)
Cursor = Annotated[str | None, Query(max_length=80)]
Told = Annotated[int | None, Query(ge=0, le=100_000)]
# Where a need is settled; of those that are missing the tenant's page says more.
PLACES = {
    "held_removals": ("/holds?tenant={slug}", "holds"),
    "held_changes": ("/holds?tenant={slug}", "holds"),
    "held_base": ("/holds?tenant={slug}", "holds"),
    "dead": ("/dead-letters?tenant={slug}", "dead"),
    "conflict": ("/completions?tenant={slug}&state=conflict", "conflict"),
    "ambiguous": ("/ambiguous?tenant={slug}", "ambiguous"),
    "alert": ("/alerts?tenant={slug}", "alerts"),
}


def place(code: str, slug: str) -> tuple[str, str]:
    """The address where a need is settled, and the code of the words for going there."""
    address, word = PLACES.get(code, ("/tenants/{slug}", "tenant"))
    return address.format(slug=slug), f"inbox.open_{word}"


@router.get("/")
def home(request: Request, cursor: Cursor = None, asked: Told = None, paused: Told = None) -> HTMLResponse:
    """The overview; ``asked`` and ``paused``: what the form on it just did."""
    return _home(request, cursor, asked=asked, paused_now=paused)


def _home(request: Request, cursor: str | None = None, problem: Problem | None = None, **context: Any) -> HTMLResponse:
    found = overview.document(100, cursor)
    values = {"asked": None, "paused_now": None} | context | {"found": found, "place": place, "cursor": cursor}
    if problem is not None:
        return again(request, "overview.html", problem, **values)
    return page(request, "overview.html", **values)


@router.post("/")
def act(
    request: Request,
    verb: Annotated[str, Form(max_length=10)],
    tenant: Annotated[list[str] | None, Form(max_length=1000)] = None,
    direction: Annotated[str, Form(max_length=20)] = "",
    reason: Annotated[str, Form(max_length=400)] = "",
) -> Response:
    """Run or pause the tenants that were chosen."""
    slugs = sorted(set(tenant or []))
    try:
        if verb == "pause":
            told = f"paused={selection.pause(slugs, direction or None, reason=reason)}"
        else:
            told = f"asked={len(selection.run(slugs, direction or None))}"
    except Problem as problem:
        typed = {"tenant": slugs, "direction": direction, "reason": reason}
        return _home(request, problem=problem, typed=typed)
    return RedirectResponse(f"/?{told}", 303)


@router.get("/inbox")
def inbox(request: Request) -> HTMLResponse:
    """What waits for a person, one line for each kind of a tenant."""
    found = overview.inbox()
    return page(request, "inbox.html", found=found, place=place)


@router.get("/help")
def help_(request: Request) -> HTMLResponse:
    """The six words for a state, and the keys."""
    return page(request, "help.html", six_words=states.SIX)
