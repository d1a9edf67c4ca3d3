"""``/links``: which AFAS person is which Pluvo user. ``/links/import``: many at once, looked at before."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import HTMLResponse, RedirectResponse

from models.person import LinkState
from ops import access
from ops.http.console.pages.people import Cursor, person_at, speaking
from ops.http.console.render import again
from ops.listing import Page
from ops.people import links, links_check, links_import
from ops.problems import AlreadyDecided, Problem

router = APIRouter(include_in_schema=False)
PAGE = 100
# Of a file that comes by a form; larger ones go by the command.
MOST_BYTES = 500_000
# The same once more in a form of ours, where each end of a line is two characters. Starlette takes 1 MB.
MOST_TEXT = 2 * MOST_BYTES
SHOWN_LINES = 500
COUNTS = ("linked", "moved", "unchanged")


@router.get("/links")
def mapping(
    request: Request,
    tenant: Annotated[str | None, Query(max_length=40)] = None,
    state: Annotated[str | None, Query(max_length=20)] = None,
    cursor: Cursor = None,
    imported: Annotated[str | None, Query(max_length=40, pattern=r"^\d+-\d+-\d+$")] = None,
) -> HTMLResponse:
    """The mapping, and the form that adds to it."""
    return _mapping(request, tenant, state, cursor, imported=imported)


def _mapping(
    request: Request,
    tenant: str | None = None,
    state: str | None = None,
    cursor: str | None = None,
    *,
    problem: Problem | None = None,
    imported: str | None = None,
    typed: dict[str, Any] | None = None,
) -> HTMLResponse:
    try:
        found = links.listing(PAGE, cursor, tenant=tenant or None, state=state or None)
    except Problem as refused:
        found, problem = Page([]), problem or refused
    counts = dict(zip(COUNTS, map(int, imported.split("-")), strict=True)) if imported else None
    values: dict[str, Any] = {"found": found, "tenant": tenant, "state": state, "states": list(LinkState)}
    values |= {"imported": counts, "typed": typed or {}}
    # In some tenant of theirs: which one it is, the form says.
    role = access.actor().role
    values |= {"can_set": role >= access.NEEDS["links.set"], "can_import": role >= access.NEEDS["links.import"]}
    return again(request, "links.html", problem, **values)


@router.post("/links")
def set_(
    request: Request,
    *,
    tenant: Annotated[str, Form(max_length=40)] = "",
    internal_id: Annotated[str, Form(max_length=40)] = "",
    pluvo_id: Annotated[str, Form(max_length=80)] = "",
    reason: Annotated[str, Form(max_length=400)] = "",
    sure: Annotated[bool, Form()] = False,
) -> Response:
    """Give an existing Pluvo user their AFAS id."""
    try:
        done = links_check.set_checked(
            tenant, internal_id, pluvo_id, sure=sure, move=sure, who=access.actor().name, reason=reason.strip() or None
        )
    except Problem as problem:
        typed = {"tenant": tenant, "internal_id": internal_id, "pluvo_id": pluvo_id, "reason": reason, "sure": sure}
        return _mapping(request, problem=problem, typed=typed)
    return RedirectResponse(person_at(tenant, done["internal_id"]), 303)


@router.get("/links/import")
def import_form(request: Request) -> HTMLResponse:
    """Choose a file."""
    access.need("links.import")
    return _import(request)


def _import(request: Request, problem: Problem | None = None, **more: Any) -> HTMLResponse:
    values: dict[str, Any] = {"told": None, "content": "", "name": "", "sure": False, "typed": {}} | more
    values |= {"speak": speaking(request), "most": MOST_BYTES, "shown": SHOWN_LINES}
    return again(request, "links_import.html", problem, **values)


@router.post("/links/import/preview")
def preview(
    request: Request,
    file: Annotated[UploadFile | None, File()] = None,
    content: Annotated[str, Form(max_length=MOST_TEXT)] = "",
    name: Annotated[str, Form(max_length=200)] = "",
    sure: Annotated[bool, Form()] = False,
) -> HTMLResponse:
    """What each line of a file would do; nothing is stored."""
    access.need("links.import")
    try:
        if file is not None and file.filename:
            content, name = _text_of(file), file.filename[:100]
        told = links_import.preview_text(content, name or "links.csv", sure=sure)
    except Problem as problem:
        return _import(request, problem, sure=sure)
    return _import(request, told=told, content=content, name=name, sure=sure)


def _text_of(file: UploadFile) -> str:
    raw = file.file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise Problem("links_file_large", most=MOST_BYTES)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeError:
        raise Problem("links_file_text") from None


@router.post("/links/import")
def run(
    request: Request,
    content: Annotated[str, Form(max_length=MOST_TEXT)],
    name: Annotated[str, Form(max_length=200)] = "links.csv",
    seen: Annotated[str | None, Form(max_length=40)] = None,
    sure: Annotated[bool, Form()] = False,
) -> Response:
    """Import what was looked at: all of it or nothing. What changed since is shown once more."""
    name = name or "links.csv"
    try:
        done = links_import.run_text(content, name, who=access.actor().name, ask=True, sure=sure, seen=seen)
    except AlreadyDecided as problem:
        told = links_import.preview_text(content, name, sure=sure)
        return _import(request, problem, told=told, content=content, name=name, sure=sure)
    except Problem as problem:
        return _import(request, problem, sure=sure)
    return RedirectResponse(f"/links?imported={'-'.join(str(done[one]) for one in COUNTS)}", 303)
