"""``/people``: search. ``/tenants/{slug}/people/{id}``: one person, or why they are not in Pluvo."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

import settings
from models.afas_values import person_number
from ops import access, audit
from ops.http.console import choices
from ops.http.console.render import again, page
from ops.language import Language, Words
from ops.people import links
from ops.people.explain import Explained, explain
from ops.people.next_action import said
from ops.people.person import opened, replay
from ops.people.search import keep, kept, search
from ops.problems import NotThere, Problem
from ops.runs.selection import run_person
from ops.tenants import names

router = APIRouter(include_in_schema=False)
PAGE = 50
HISTORY = 50
Slug = Annotated[str, Path(max_length=40)]
# An id as a URL may have it: never an address.
PersonId = Annotated[str, Path(max_length=64)]
Cursor = Annotated[str | None, Query(max_length=80)]
_AN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def speaking(request: Request) -> Any:
    """How a template says a step: a code with params, as a page says it."""
    language: Language = choices.language(request)
    return partial(said, language=language, page=True)


def person_at(slug: str, internal_id: str) -> str:
    """The address of a person."""
    return f"/tenants/{slug}/people/{internal_id}"


@router.get("/people")
def people(
    request: Request,
    *,
    search_id: Annotated[str | None, Query(alias="search", max_length=40)] = None,
    id_: Annotated[str | None, Query(alias="id", max_length=64)] = None,
    tenant: Annotated[str | None, Query(max_length=40)] = None,
    cursor: Cursor = None,
    erased: Annotated[str | None, Query(max_length=40)] = None,
) -> HTMLResponse:
    """The form; and who was found, of a search that was kept or of an id."""
    asked = None
    if search_id:
        stored = kept(search_id)
        asked, tenant = stored["text"], stored["tenant"]
    elif id_ and _AN_ID.fullmatch(id_):
        asked = id_
    elif id_:
        raise NotThere("search_over")
    found = search(asked, tenant=tenant, limit=PAGE, cursor=cursor) if asked else None
    context = _search(asked, tenant, found)
    if asked and tenant and found and not found["items"] and context["number"] is None:
        # Nobody of that name: what may be the reason, of this one tenant
        told = explain(tenant, asked)
        context |= {"unseen": None if told["found"] else told, "zone": names.of(tenant)["timezone"]}
    return page(request, "people.html", **context, speak=speaking(request), erased=erased)


def _search(asked: str | None, tenant: str | None, found: object = None) -> dict[str, Any]:
    number = person_number(asked) if asked else None
    return {"asked": asked, "tenant": tenant, "found": found, "number": number, "unseen": None}


@router.post("/people")
def find(
    request: Request,
    q: Annotated[str, Form(max_length=400)] = "",
    tenant: Annotated[str, Form(max_length=40)] = "",
) -> Response:
    """Search, and go to the one who is found, or to the list of them."""
    try:
        found = search(q, tenant=tenant or None, limit=2)
        if len(found["items"]) == 1 and not found["next"]:
            (one,) = found["items"]
            return RedirectResponse(person_at(one["tenant"], one["internal_id"]), 303)
        return RedirectResponse(f"/people?search={keep(q, tenant or None)}", 303)
    except Problem as problem:
        context = _search(None, tenant or None)
        typed = {"q": q, "tenant": tenant}
        return again(request, "people.html", problem, **context, speak=speaking(request), erased=None, typed=typed)


@router.post("/people/ask")
def why(tenant: Annotated[str, Form(max_length=40)], who: Annotated[str, Form(max_length=64)]) -> RedirectResponse:
    """From a search that found nobody to the page that says why."""
    access.check("people.read", tenant)
    number = person_number(who)
    if number is None:
        raise Problem("ask_number", given=who)
    return RedirectResponse(person_at(tenant, number), 303)


@router.get("/tenants/{slug}/people/{person}")
def one(
    request: Request,
    *,
    slug: Slug,
    person: PersonId,
    cursor: Cursor = None,
    ask: Annotated[bool, Query()] = False,
    run: Annotated[str | None, Query(max_length=40)] = None,
    batch: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """Everything known of a person; of who was never seen, why not. ``ask``: AFAS is asked now."""
    if not _AN_ID.fullmatch(person):
        raise NotThere("no_person", slug=slug, internal_id=person)
    told = explain(slug, person, limit=HISTORY, cursor=cursor, ask_now=ask)
    if len(told["people"]) > 1:
        return RedirectResponse(f"/people?id={person}&tenant={slug}", 303)
    if not told["found"]:
        return _never_seen(request, slug, person, told)
    (found,) = told["people"]
    if found["internal_id"] != person:
        return RedirectResponse(person_at(slug, found["internal_id"]), 303)
    opened(slug, person)
    return _shown(request, slug, told, run=run, batch=batch, cursor=cursor)


def _shown(request: Request, slug: str, told: Explained, problem: Problem | None = None, **more: Any) -> HTMLResponse:
    (found,) = told["people"]
    kept_for = settings.get()
    values = {"run": None, "batch": None, "cursor": None, "typed": {}} | more
    values |= {
        "slug": slug,
        "tenant": names.of(slug),
        "person": found,
        "asked": told.get("asked"),
        "speak": speaking(request),
        "history": audit.of(found["internal_id"], slug),
        "payload_days": kept_for.payload_retention // 86400,
        "ledger_days": kept_for.ledger_retention // 86400,
        "erase_reasons": links.ERASE_REASONS,
    }
    return again(request, "person.html", problem, **values)


def _never_seen(request: Request, slug: str, person: str, told: Explained) -> HTMLResponse:
    values = {"slug": slug, "tenant": names.of(slug), "who": person, "told": told, "speak": speaking(request)}
    return page(request, "never_seen.html", **values, number=person_number(person))


@router.post("/tenants/{slug}/people/{person}")
def act(
    request: Request,
    *,
    slug: Slug,
    person: PersonId,
    verb: Annotated[str, Form(max_length=20)],
    reason: Annotated[str, Form(max_length=400)] = "",
    seen: Annotated[int | None, Form(ge=0, le=2_000_000_000)] = None,
) -> Response:
    """Work on them now, send again what gave up, forget their link, or erase them."""
    here = person_at(slug, person)
    who = access.actor().name
    try:
        if verb == "sync":
            return RedirectResponse(f"{here}?run={run_person(slug, person)}", 303)
        if verb == "replay":
            return RedirectResponse(f"{here}?batch={replay(slug, person)}", 303)
        if verb == "unlink":
            audit.need_reason(reason, Words("why.link"))
            links.remove(slug, person, erase=False, who=who, reason=reason, seen=seen)
            return RedirectResponse(here, 303)
        if verb == "erase":
            links.remove(slug, person, erase=True, who=who, reason=reason)
            return RedirectResponse(f"/people?erased={slug}", 303)
        raise Problem("no_such_verb", verb=verb)
    except Problem as problem:
        told = explain(slug, person, limit=HISTORY)
        if len(told["people"]) != 1:
            raise
        return _shown(request, slug, told, problem, typed={"verb": verb, "reason": reason})
