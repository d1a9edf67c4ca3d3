"""What a page about something of a tenant says of the tenant itself."""

from __future__ import annotations

from sqlalchemy import text
from typing_extensions import TypedDict

from models.session import transaction
from ops import access


class TenantName(TypedDict):
    """``environment``: production, test or accept."""

    slug: str
    name: str
    timezone: str
    environment: str


def of(slug: str) -> TenantName:
    """Name, zone and environment of a tenant that one may see. Raises NotThere."""
    access.check("tenants.read", slug)
    with transaction() as connection:
        found = connection.execute(
            text(
                """SELECT slug, name, timezone, coalesce(afas->>'environment', 'production') AS environment
                     FROM tenant WHERE slug = :slug"""
            ),
            {"slug": slug},
        ).first()
    if found is None:
        raise access.no_tenant(repr(slug))
    return {"slug": found.slug, "name": found.name, "timezone": found.timezone, "environment": found.environment}
