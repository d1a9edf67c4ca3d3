"""``/onboard/{slug}/live``: from stored to live. Check, look who comes to which account, preview the first run, run."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from models.direction import Health
from models.run import PREVIEW
from ops import access
from ops.http.console import choices
from ops.http.console.render import page
from ops.language import Language
from ops.problems import Problem
from ops.runs import history, previews
from ops.runs.adoption import adoption, first_of_each
from ops.tenants import check, manage

router = APIRouter(include_in_schema=False)
Slug = Annotated[str, Path(max_length=40)]
SHOWN = 50  # people of a group; a file has all of them


@router.get("/onboard/{slug}/live")
def live(request: Request, slug: Slug) -> HTMLResponse:
    """How far it is."""
    return _live(request, slug)


@router.post("/onboard/{slug}/check")
def check_now(slug: Slug) -> Response:
    """Try both sides and keep what was found."""
    check.check(slug)
    return RedirectResponse(f"/onboard/{slug}/live#check", 303)


@router.post("/onboard/{slug}/preview")
def preview(request: Request, slug: Slug) -> Response:
    """Have a worker make the plan of the first run, and go to look at it."""
    try:
        started = previews.begin([slug], everyone=False, options={}, need_worker=True)
    except Problem as problem:
        return _live(request, slug, problem)
    return RedirectResponse(f"/previews/{started.run_ids[0]}", 303)


@router.get("/onboard/{slug}/adoption")
def report(request: Request, slug: Slug) -> HTMLResponse:
    """Who would come to which account; both sides are read for it."""
    access.check("adoption.run", slug)
    found = manage.about(slug)
    told = adoption(slug)
    shown = first_of_each(told, SHOWN)
    groups = [(name, count, shown[name]) for name, count in told["counts"].items()]
    return page(request, "adoption.html", found=found, groups=groups)


def _live(request: Request, slug: str, problem: Problem | None = None) -> HTMLResponse:
    language = choices.language(request)
    found = manage.about(slug)
    context: dict[str, Any] = {
        "found": found,
        "checked": _checked(slug, language),
        "preview": next(iter(history.listing(1, tenant=slug, trigger=PREVIEW).items), None),
        "begun": found["enrollments"]["state"] not in (None, Health.NEW),
        "problem": problem.say(language) if problem else None,
    }
    return page(request, "go_live.html", problem.status if problem else 200, **context)


def _checked(slug: str, language: Language) -> check.CheckDocument | None:
    try:
        return check.last_check(slug, language)
    except Problem:
        return None
