"""``/api/tenants/{slug}/people``: everything known about somebody. No name or address stands in an address."""

from __future__ import annotations

from fastapi import APIRouter

from ops.http.api.answers import Document
from ops.http.api.inputs import Body, PersonId, Slug, Text
from ops.http.api.need import need
from ops.people.explain import Explained, explain

router = APIRouter(prefix="/tenants/{slug}/people", tags=["people"])


class Who(Body):
    """Internal id, external id, address or Pluvo id."""

    who: Text


@router.get("/{internal_id}", response_model=Explained, summary="Explain a person", dependencies=[need("people.open")])
def show_person(slug: Slug, internal_id: PersonId) -> Document:
    """Everything known and done about them: why they are, or are not, in Pluvo."""
    return Document(explain(slug, internal_id))


@router.post(
    "/explain",
    response_model=Explained,
    summary="Explain somebody by any id or address",
    dependencies=[need("people.open")],
)
def explain_person(slug: Slug, given: Who) -> Document:
    """The same; somebody never seen gets an answer too."""
    return Document(explain(slug, given.who))
