"""Find what an operator named, or say in one line that it isn't there."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from models.tenant import Direction
from ops.problems import Problem


def tenant_id(connection: Connection, slug: str) -> int:
    """The number of a tenant."""
    found = connection.execute(text("SELECT id FROM tenant WHERE slug = :slug"), {"slug": slug}).scalar()
    if found is None:
        raise Problem(f"There is no tenant {slug!r}: `koppeling tenants list` shows them.")
    return int(found)


def direction(word: str) -> Direction:
    """A direction by its name."""
    try:
        return Direction(word)
    except ValueError:
        raise Problem(f"--direction is {' or '.join(Direction)}, not {word!r}.") from None


def person_id(connection: Connection, tenant: int, internal_id: str, slug: str) -> int:
    """The number of a person by their internal id."""
    found = connection.execute(
        text("SELECT id FROM person WHERE tenant_id = :tenant AND internal_id = :internal_id"),
        {"tenant": tenant, "internal_id": internal_id},
    ).scalar()
    if found is None:
        raise Problem(f"{slug} has no person {internal_id!r}: `koppeling explain {slug} {internal_id}` tells more.")
    return int(found)


def one(connection: Connection, sql: str, missing: str, **parameters: Any) -> dict[str, Any]:
    """One row as a dict; a Problem with the text ``missing`` when there is none."""
    row = connection.execute(text(sql), parameters).mappings().first()
    if row is None:
        raise Problem(missing)
    return dict(row)
