"""``/tenants``, ``/tenants/{slug}`` and its courses: how each customer is doing, and what can be done about it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from models.direction import Direction
from ops import access, audit, lookup, overview
from ops.http.console import choices
from ops.http.console.pages.home import place
from ops.http.console.render import again, page
from ops.problems import AlreadyDecided, NotThere, Problem
from ops.runs import start
from ops.tenants import check, insight, manage, show_fields

router = APIRouter(include_in_schema=False)
Slug = Annotated[str, Path(max_length=60)]
Cursor = Annotated[str | None, Query(max_length=200)]
Way = Annotated[str, Form(max_length=20)]


@router.get("/tenants")
def listing(request: Request, cursor: Cursor = None) -> HTMLResponse:
    """All tenants by slug."""
    return page(request, "tenants.html", found=manage.listing(100, cursor))


@router.get("/tenants/{slug}")
def show(request: Request, slug: Slug, cursor: Cursor = None) -> HTMLResponse:
    """One tenant."""
    return _show(request, slug, cursor)


def _show(
    request: Request, slug: str, cursor: str | None = None, problem: Problem | None = None, **more: Any
) -> HTMLResponse:
    language = choices.language(request)
    try:
        checked = check.last_check(slug, language)
    except NotThere as none:
        if none.code != "not_checked":
            raise
        checked = None
    values = more | {
        "tenant": manage.about(slug),
        "insight": insight.insight(slug, cursor=cursor),
        "item": overview.of(slug),
        "checked": checked,
        "done": audit.recent(slug, 10) if access.may("audit.read", slug) else None,
        "place": place,
    }
    if problem is not None:
        return again(request, "tenant.html", problem, **values)
    return page(request, "tenant.html", **values)


@router.post("/tenants/{slug}/run")
def run(
    request: Request, slug: Slug, direction: Way, full: Annotated[str | None, Form(max_length=5)] = None
) -> Response:
    """Ask for a run, and go to it."""
    try:
        way = lookup.direction(direction)
        options = start.enrollment_options([slug], everyone=False, full=full is not None, person=None)
        if way == Direction.COMPLETIONS:
            options = start.completion_options(since=None, until=None)
        started = start.start(way, [slug], everyone=False, options=options, need_worker=False)
    except Problem as problem:
        return _back(request, slug, problem)
    return RedirectResponse(f"/runs/{started.run_ids[0]}", 303)


@router.post("/tenants/{slug}/pause")
def pause(
    request: Request, slug: Slug, direction: Way = "", reason: Annotated[str, Form(max_length=400)] = ""
) -> Response:
    """Let nothing new begin."""
    try:
        if not manage.pause(slug, reason=reason, direction=direction or None, who=access.actor().name):
            raise AlreadyDecided("paused_already", slug=slug, first=audit.by(manage.paused_by(slug)))
    except Problem as problem:
        return _back(request, slug, problem, typed={"reason": reason, "direction": direction})
    return RedirectResponse(f"/tenants/{slug}", 303)


@router.post("/tenants/{slug}/resume")
def resume(request: Request, slug: Slug, direction: Way = "") -> Response:
    """End a pause or a quarantine, or begin."""
    try:
        if not manage.resume(slug, direction=direction or None, who=access.actor().name):
            first = manage.resumed_by(slug)
            late = AlreadyDecided("not_stopped", slug=slug)
            raise AlreadyDecided("resumed_already", slug=slug, first=audit.by(first)) if first else late
    except Problem as problem:
        return _back(request, slug, problem)
    return RedirectResponse(f"/tenants/{slug}", 303)


@router.post("/tenants/{slug}/check")
def check_now(request: Request, slug: Slug) -> Response:
    """Try both sides, reading only; what is found stays on the page."""
    try:
        check.check(slug)
    except Problem as problem:
        return _back(request, slug, problem)
    return RedirectResponse(f"/tenants/{slug}#check", 303)


def _back(request: Request, slug: str, problem: Problem, **more: Any) -> Response:
    """The tenant's page with what is wrong; of a tenant that isn't there, the page that says so."""
    if problem.status in (403, 404):
        raise problem
    return _show(request, slug, problem=problem, **more)


@router.get("/tenants/{slug}/courses/{event}")
def course(
    request: Request, slug: Slug, event: Annotated[str, Path(max_length=200)], live: bool = False, changed: bool = False
) -> HTMLResponse:
    """One course: its mapping, with ``live`` beside what AFAS shows now."""
    found = insight.course(slug, event)
    columns = problem = None
    if live:
        access.check("fields.run", slug)
        try:
            columns = show_fields.show_fields(
                slug, found["course"]["getconnector"], language=choices.language(request)
            )["columns"]
        except Problem as refused:
            problem = refused
    values: dict[str, Any] = {
        "found": found,
        "changed": changed,
        "live": None if columns is None else {one["column"]: one for one in columns},
    }
    if problem is not None:
        return again(request, "course.html", problem, **values)
    return page(request, "course.html", **values)
