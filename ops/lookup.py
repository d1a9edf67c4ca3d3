"""Find what an operator named, or say in one line that it isn't there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from sqlalchemy import Connection, text

from models.afas_values import person_number
from models.direction import Direction
from models.folding import fold_account
from ops import access
from ops.problems import NotThere, Problem

if TYPE_CHECKING:
    from sqlmodel import Session

    from models.tenant import Tenant

Numbered = Literal["run", "hold", "dead_letter"]
no_tenant = access.no_tenant
PLUVO_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


def tenant_id(connection: Connection, slug: str) -> int:
    """The number of a tenant that one may see."""
    access.check("tenants.read", slug)
    found = connection.execute(text("SELECT id FROM tenant WHERE slug = :slug"), {"slug": slug}).scalar()
    if found is None:
        raise no_tenant(repr(slug))
    return int(found)


def tenant(opened: Session, slug: str) -> Tenant:
    """A tenant with its settings and secrets."""
    from sqlmodel import select  # noqa: PLC0415  who looks at rows alone needs no objects

    from models.tenant import Tenant  # noqa: PLC0415

    access.check("tenants.read", slug)
    found = opened.exec(select(Tenant).where(Tenant.slug == slug)).one_or_none()
    if found is None:
        raise no_tenant(repr(slug))
    return found


def visible_ids(connection: Connection) -> list[int] | None:
    """The numbers of the tenants that who acts may see, for ``tenant_id = ANY(:…)``; None is no limit."""
    slugs = access.visible()
    if slugs is None:
        return None
    found = connection.execute(text("SELECT id FROM tenant WHERE slug = ANY(:slugs)"), {"slugs": slugs})
    return list(found.scalars())


def direction(word: str) -> Direction:
    """A direction by its name."""
    try:
        return Direction(word)
    except ValueError:
        raise Problem("direction", word=word) from None


def person_id(connection: Connection, tenant: int, internal_id: str, slug: str) -> int:
    """The number of a person by their internal id."""
    found = connection.execute(
        text("SELECT id FROM person WHERE tenant_id = :tenant AND internal_id = :internal_id"),
        {"tenant": tenant, "internal_id": internal_id},
    ).scalar()
    if found is None:
        raise NotThere("no_person", slug=slug, internal_id=internal_id)
    return int(found)


def none_of(table: Numbered, given: str) -> NotThere:
    """What is said of an id that nothing has, or nothing any more."""
    return NotThere(f"no_{table}", given=given)


def full_id(connection: Connection, table: Numbered, given: str) -> str:
    """The id that is meant: written out, a beginning that only one has, or ``last`` for the newest.

    Of what one may see: the id of another tenant's is told like one that nothing has.
    """
    wanted = {"tenants": visible_ids(connection), "given": given.strip().upper()}
    seen = "true" if wanted["tenants"] is None else "tenant_id = ANY(:tenants)"
    if given.lower() == "last":
        newest = text(f"SELECT id FROM {table} WHERE {seen} ORDER BY id DESC LIMIT 1")  # noqa: S608  constants
        found = connection.execute(newest, wanted).scalars().all()
    else:
        begins = text(f"SELECT id FROM {table} WHERE starts_with(id, :given) AND {seen} ORDER BY id LIMIT 2")  # noqa: S608  constants
        found = connection.execute(begins, wanted).scalars().all()
    if not found or not given.strip():
        raise none_of(table, given)
    if len(found) > 1:
        raise Problem(f"several_{table}s", given=given)
    return str(found[0])


def checked_id(internal_id: str) -> str:
    """An internal id (CdId) in its one form: ``00080`` and ``80.0`` are 80."""
    found = person_number(internal_id)
    if found is None:
        raise Problem("no_internal_id", given=internal_id[:60])
    return found


def checked_account(pluvo_id: str) -> str:
    """A Pluvo id (a UUID); not an address, not a ref."""
    account = fold_account(pluvo_id.strip())
    if not PLUVO_ID.fullmatch(account):
        raise Problem("no_pluvo_id", given=account)
    return account
