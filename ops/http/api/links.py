"""``/api/links``: which AFAS person is which Pluvo user."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from models.person import LinkState
from ops import access
from ops.http.api.answers import Document
from ops.http.api.inputs import (
    AccountText,
    Body,
    HashText,
    Limit,
    NumberCursor,
    OfTenant,
    PersonId,
    Reason,
    Slug,
    cursor_text,
    example,
    storable,
)
from ops.http.api.need import need
from ops.people import deciding, links, links_check, links_import
from ops.people.person import opened

router = APIRouter(tags=["links"])


class Link(TypedDict):
    """The link of one person. ``candidates`` are accounts that may be theirs, while nobody has decided."""

    tenant: str
    internal_id: str
    pluvo_id: str | None
    state: str | None
    candidates: list[Any]
    external_id: NotRequired[str | None]
    ref: NotRequired[str | None]
    linked_by: NotRequired[str | None]
    reason: NotRequired[str | None]
    decision: NotRequired[str | None]
    archived: NotRequired[bool]
    created_at: NotRequired[datetime]
    updated_at: NotRequired[datetime]


class LinkPage(TypedDict):
    """Links, the oldest person first."""

    items: list[Link]
    next: str | None


class LinkShown(Link):
    """With what was decided about it."""

    history: list[dict[str, Any]]


class Unlinked(TypedDict):
    """How many rows went, by table."""

    tenant: str
    internal_id: str
    removed: dict[str, int]


class SetLink(Body):
    """``sure``: also where the account is somebody else's already."""

    pluvo_id: AccountText
    reason: Reason | None = None
    sure: bool = False


class Decision(Body):
    """``pluvo_id`` belongs to ``link``. ``seen``: the revision that was looked at, else it is refused (409)."""

    model_config = example(decision="create", reason="asked her")

    decision: Literal["link", "create", "ignore"]
    pluvo_id: AccountText | None = None
    reason: Reason | None = None
    seen: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None


class LinkFile(Body):
    """``csv`` as the command reads it: tenant,internal_id,pluvo_id (or pluvo_email).

    ``sure``: also where an account is somebody else's already. ``seen``: of the preview that was looked at; what is
    otherwise by now is refused (409).
    """

    model_config = example(csv="tenant,internal_id,pluvo_id\nacme,80,7d4f9c1e-0b52-4c0b-9a55-0c1f0a6d2b11\n")

    csv: Annotated[str, Field(max_length=500_000), AfterValidator(storable)]
    sure: bool = False
    seen: HashText | None = None


class LinksImported(TypedDict):
    """How many lines did what."""

    linked: int
    moved: int
    unchanged: int


@router.post(
    "/links/import", response_model=LinksImported, summary="Set many links", dependencies=[need("links.import")]
)
def import_links(given: LinkFile) -> Document:
    """All lines are right, or nothing is stored."""
    who = access.actor().name
    return Document(links_import.run_text(given.csv, "csv", who=who, sure=given.sure, seen=given.seen))


@router.post(
    "/links/import/preview",
    response_model=links_import.ImportPreview,
    summary="Preview an import of links",
    dependencies=[need("links.import")],
)
def preview_import(given: LinkFile) -> Document:
    """What each line would do; nothing is stored. Asks Pluvo."""
    return Document(links_import.preview_text(given.csv, "csv", sure=given.sure))


@router.get("/links", response_model=LinkPage, summary="List links", dependencies=[need("links.read")])
def list_links(
    tenant: OfTenant = None, state: LinkState | None = None, limit: Limit = 100, cursor: NumberCursor = None
) -> Document:
    """Those that wait for a decision are `ambiguous`."""
    return Document(links.listing(limit, cursor_text(cursor), tenant=tenant, state=state).document())


@router.get(
    "/tenants/{slug}/links/{internal_id}",
    response_model=LinkShown,
    summary="Show a link",
    dependencies=[need("links.read")],
)
def show_link(slug: Slug, internal_id: PersonId) -> Document:
    """With its candidates and what was decided about it."""
    return Document(links.show(slug, internal_id))


@router.get(
    "/tenants/{slug}/links/{internal_id}/candidates",
    response_model=deciding.Deciding,
    summary="Show who it may be",
    dependencies=[need("links.candidates")],
)
def show_candidates(slug: Slug, internal_id: PersonId) -> Document:
    """A person beside the accounts that may be theirs, as Pluvo has them now, and what each choice does.

    Who looked is recorded.
    """
    found = deciding.candidates(slug, internal_id)
    opened(slug, found["internal_id"])
    return Document(found)


@router.put(
    "/tenants/{slug}/links/{internal_id}",
    response_model=links.LinkDone,
    summary="Set a link",
    dependencies=[need("links.set")],
)
def set_link(slug: Slug, internal_id: PersonId, given: SetLink) -> Document:
    """Give an existing Pluvo user their AFAS id, also before the person was seen. The next run acts on it."""
    who = access.actor().name
    done = links_check.set_checked(slug, internal_id, given.pluvo_id, sure=given.sure, who=who, reason=given.reason)
    return Document(done)


@router.post(
    "/tenants/{slug}/links/{internal_id}/decide",
    response_model=links.LinkDone,
    summary="Decide who it is",
    dependencies=[need("links.decide")],
)
def decide_link(slug: Slug, internal_id: PersonId, given: Decision) -> Document:
    """Remembered; the next run acts on it."""
    done = links_check.decide_checked(
        slug,
        internal_id,
        given.decision,
        given.pluvo_id,
        who=access.actor().name,
        reason=given.reason,
        seen=given.seen,
    )
    return Document(done)


@router.delete(
    "/tenants/{slug}/links/{internal_id}",
    response_model=Unlinked,
    summary="Remove a link",
    dependencies=[need("links.remove")],
)
def remove_link(
    slug: Slug,
    internal_id: PersonId,
    erase: Annotated[bool, Query(description="Erase all that is known of the person here.")] = False,
) -> Document:
    """The next run matches the person anew. Nothing changes in AFAS or Pluvo."""
    gone = links.remove(slug, internal_id, erase=erase, who=access.actor().name)
    return Document({"tenant": slug, "internal_id": internal_id, "removed": gone})
