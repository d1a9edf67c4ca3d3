"""``/tenants/{slug}/quality``: what is to be put right in AFAS, and its CSV."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse

from ops import quality
from ops.http.console import choices
from ops.http.console.pages.completions import download
from ops.http.console.render import page
from ops.terminal import csv_file

router = APIRouter(include_in_schema=False)
Slug = Annotated[str, Path(max_length=40)]
Word = Annotated[str | None, Query(max_length=120)]
SHOWN = 100


@router.get("/tenants/{slug}/quality")
def quality_(request: Request, slug: Slug, code: Word = None, cursor: Word = None) -> HTMLResponse:
    """All of it by kind, or one kind."""
    language = choices.language(request)
    found = quality.document(slug)
    part = quality.page(found, SHOWN, cursor, code=code or None)
    items = [
        {**one, "sentence": quality.told(one).say(language), "to_do": quality.to_do(one).say(language)}
        for one in part["items"]
    ]
    return page(
        request,
        "quality.html",
        found=found,
        items=items,
        next=part["next"],
        code=code,
        codes=[one for one in quality.CODES if found["counts"].get(one)],
    )


@router.get("/tenants/{slug}/quality.csv")
def as_csv(request: Request, slug: Slug) -> Response:
    """All of it, for whoever keeps AFAS."""
    language = choices.language(request)
    rows = quality.table(quality.document(slug), language)
    return download(f"{slug}-quality.csv", csv_file.lines(quality.COLUMNS, rows, language))
