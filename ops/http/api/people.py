"""``/api/people``: find somebody. ``/api/tenants/{slug}/people``: everything known about them.

No name or address stands in an address.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from ops.http.api.answers import Document
from ops.http.api.inputs import Body, PersonId, Slug, SlugText, Text, cursor_text, example
from ops.http.api.need import need
from ops.listing import MAX_LIMIT
from ops.people.explain import Explained, explain
from ops.people.person import opened
from ops.people.search import MAX_TEXT, Found, search

router = APIRouter(tags=["people"])
Page = Annotated[int, Field(ge=1, le=MAX_LIMIT)]


class Who(Body):
    """Internal id, external id, address or Pluvo id. ``ask``: AFAS is asked as well, for an internal id.

    ``limit`` and ``cursor`` are of the history.
    """

    model_config = example(who="p.jansen@example.nl")

    who: Text
    ask: bool = False
    limit: Page = 100
    cursor: Annotated[str, Field(max_length=60, pattern=r"^[0-9T:.~+-]+$")] | None = None


class Words(Body):
    """A name or parts of it, an address, or an id of AFAS or Pluvo."""

    model_config = example(text="jansen")

    text: Annotated[Text, Field(max_length=MAX_TEXT)]
    tenant: SlugText | None = None
    limit: Page = 50
    cursor: Annotated[int, Field(ge=0, le=10**18 - 1)] | None = None


@router.post("/people/search", response_model=Found, summary="Find people", dependencies=[need("people.search")])
def search_people(given: Words) -> Document:
    """In all tenants that one may see, or in one."""
    return Document(search(given.text, tenant=given.tenant, limit=given.limit, cursor=cursor_text(given.cursor)))


@router.get(
    "/tenants/{slug}/people/{internal_id}",
    response_model=Explained,
    summary="Explain a person",
    dependencies=[need("people.open")],
)
def show_person(slug: Slug, internal_id: PersonId) -> Document:
    """Everything known and done about them: why they are, or are not, in Pluvo. Who looked is recorded."""
    return _told(slug, explain(slug, internal_id))


@router.post(
    "/tenants/{slug}/people/explain",
    response_model=Explained,
    summary="Explain somebody by any id or address",
    dependencies=[need("people.open")],
)
def explain_person(slug: Slug, given: Who) -> Document:
    """The same; somebody never seen gets an answer too."""
    return _told(slug, explain(slug, given.who, limit=given.limit, cursor=given.cursor, ask_now=given.ask))


def _told(slug: str, found: Explained) -> Document:
    for person in found["people"]:
        opened(slug, person["internal_id"])
    return Document(found)
