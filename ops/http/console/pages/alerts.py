"""``/alerts``: what somebody should know, who was told, what is silenced. ``/alerts/{id}``: one of them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from ops import audit
from ops.alerts import kinds, verbs
from ops.http.console import choices
from ops.http.console.render import again, page
from ops.listing import Page
from ops.problems import Problem

router = APIRouter(include_in_schema=False)
Slug = Annotated[str | None, Query(max_length=40)]
Number = Annotated[int, Path(ge=1, le=10**15)]
# How long a silence may be, in the words of the form: {code: seconds}
SPANS = {"4h": 14_400, "1d": 86_400, "7d": 604_800, "30d": 2_592_000}
FEW = 15


@router.get("/alerts")
def listing(  # noqa: PLR0917  the filters of the page
    request: Request,
    tenant: Slug = None,
    kind: Annotated[str | None, Query(max_length=40)] = None,
    state: Annotated[str, Query(max_length=10)] = "open",
    cursor: Annotated[str | None, Query(max_length=40)] = None,
    done: Annotated[str | None, Query(max_length=10)] = None,
) -> HTMLResponse:
    """Open ones, unless others are asked for; ``done``: what the form on it just did."""
    return _listing(request, tenant=tenant, kind=kind, state=state, cursor=cursor, done=done)


def _listing(  # noqa: PLR0917  the filters of the page
    request: Request,
    tenant: str | None = None,
    kind: str | None = None,
    state: str = "open",
    cursor: str | None = None,
    done: str | None = None,
    problem: Problem | None = None,
    typed: dict[str, Any] | None = None,
) -> HTMLResponse:
    wanted = {"tenant": tenant or None, "kind": kind or None, "state": None if state == "all" else state}
    try:
        found = verbs.listing(50, cursor, **wanted, language=choices.language(request))
        deliveries = verbs.deliveries(FEW, tenant=tenant or None)
    except Problem as refused:
        found, deliveries, problem = Page([]), Page([]), problem or refused
    values: dict[str, Any] = {
        "found": found,
        "silences": verbs.mutes(),
        "deliveries": deliveries,
        "filters": {"tenant": tenant or "", "kind": kind or "", "state": state},
        "kinds": kinds.KINDS,
        "spans": SPANS,
        "done": done,
        "typed": typed,
    }
    if problem is not None:
        return again(request, "alerts.html", problem, **values)
    return page(request, "alerts.html", **values)


@router.get("/alerts/{number}")
def show(request: Request, number: Number) -> HTMLResponse:
    """One alert: what to do, who takes care of it, who was told."""
    return _show(request, number)


def _show(request: Request, number: int, problem: Problem | None = None, **typed: str) -> HTMLResponse:
    found = verbs.show(number, choices.language(request))
    values: dict[str, Any] = {
        "found": found,
        "deliveries": verbs.deliveries(FEW, alert=number),
        "history": audit.of(f"alert {number}", found["tenant"]),
        "typed": typed,
    }
    if problem is not None:
        return again(request, "alert.html", problem, **values)
    return page(request, "alert.html", **values)


@router.post("/alerts/mute")
def mute(
    request: Request,
    reason: Annotated[str, Form(max_length=400)] = "",
    tenant: Annotated[str, Form(max_length=40)] = "",
    kind: Annotated[str, Form(max_length=40)] = "",
    span: Annotated[str, Form(max_length=10)] = "7d",
) -> Response:
    """Tell nobody for a while."""
    try:
        verbs.mute(tenant=tenant.strip() or None, kind=kind or None, seconds=SPANS.get(span, 0), reason=reason)
    except Problem as problem:
        typed = {"tenant": tenant, "kind": kind, "span": span, "reason": reason}
        return _listing(request, problem=problem, typed=typed)
    return RedirectResponse("/alerts?done=muted#silences", 303)


@router.post("/alerts/mutes/{number}/end")
def unmute(request: Request, number: Number) -> Response:
    """End a silence."""
    try:
        verbs.unmute(number)
    except Problem as problem:
        return _listing(request, problem=problem)
    return RedirectResponse("/alerts?done=unmuted#silences", 303)


@router.post("/alerts/test")
def send_test(request: Request, tenant: Annotated[str, Form(max_length=40)] = "") -> Response:
    """Mail every recipient, within seconds; what came of it stands in the list below the form."""
    try:
        verbs.send_test(tenant.strip() or None)
    except Problem as problem:
        return _listing(request, problem=problem, typed={"test_tenant": tenant})
    return RedirectResponse("/alerts?done=tested#deliveries", 303)


@router.post("/alerts/{number}/ack")
def ack(request: Request, number: Number, reason: Annotated[str, Form(max_length=400)] = "") -> Response:
    """Take care of it."""
    try:
        verbs.ack(number, reason=reason)
    except Problem as problem:
        return _show(request, number, problem, reason=reason)
    return RedirectResponse(f"/alerts/{number}", 303)
