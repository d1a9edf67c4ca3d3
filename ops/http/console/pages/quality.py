"""``/tenants/{slug}/quality``: what is to be put right in AFAS, and its CSV."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from ops import access, quality
from ops.alerts import verbs
from ops.http.console import choices
from ops.http.console.render import again, sheet
from ops.problems import Problem

router = APIRouter(include_in_schema=False)
Slug = Annotated[str, Path(max_length=40)]
Word = Annotated[str | None, Query(max_length=120)]
SHOWN = 100


@router.get("/tenants/{slug}/quality")
def quality_(
    request: Request,
    slug: Slug,
    code: Word = None,
    cursor: Word = None,
    mailed: Annotated[int | None, Query(ge=0, le=10_000)] = None,
) -> HTMLResponse:
    """All of it by kind, or one kind; ``mailed``: how many mails its form just made."""
    return _listed(request, slug, code or None, cursor, mailed)


def _listed(
    request: Request,
    slug: str,
    code: str | None = None,
    cursor: str | None = None,
    mailed: int | None = None,
    *,
    problem: Problem | None = None,
) -> HTMLResponse:
    language = choices.language(request)
    found = quality.document(slug)
    part = quality.page(found, SHOWN, cursor, code=code)
    items = [
        {**one, "sentence": quality.told(one).say(language), "to_do": quality.to_do(one).say(language)}
        for one in part["items"]
    ]
    context: dict[str, Any] = {
        "found": found,
        "items": items,
        "next": part["next"],
        "code": code,
        "codes": [one for one in quality.CODES if found["counts"].get(one)],
        "mailed": mailed,
        "may_mail": access.may("quality.mail", slug),
    }
    return again(request, "quality.html", problem, **context)


@router.post("/tenants/{slug}/quality")
def mail(request: Request, slug: Slug) -> Response:
    """Mail it now, to whom the tenant names for it."""
    try:
        made = verbs.mail_quality(slug)
    except Problem as problem:
        return _listed(request, slug, problem=problem)
    return RedirectResponse(f"/tenants/{slug}/quality?mailed={made}", 303)


@router.get("/tenants/{slug}/quality.csv")
def as_csv(request: Request, slug: Slug) -> Response:
    """All of it, for whoever keeps AFAS."""
    rows = quality.table(quality.document(slug), choices.language(request))
    return sheet(request, f"{slug}-quality", quality.COLUMNS, rows)
