"""What needs a person, for the digest: numbers, and alerts that nobody takes care of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from sqlalchemy import Connection, Row, text

from models.completion_state import CLOSED
from ops.alerts import kinds

_COUNTS = text(
    f"""
    SELECT tenant_id, 'held' AS code, count(*) AS number FROM hold
     WHERE state = 'open' AND (CAST(:tenant AS bigint) IS NULL OR tenant_id = :tenant) GROUP BY tenant_id
    UNION ALL
    SELECT tenant_id, 'ambiguous', count(*) FROM link
     WHERE state = 'ambiguous' AND decision IS NULL AND (CAST(:tenant AS bigint) IS NULL OR tenant_id = :tenant)
     GROUP BY tenant_id
    UNION ALL
    SELECT tenant_id, 'dead', count(*) FROM dead_letter
     WHERE state = 'open' AND (CAST(:tenant AS bigint) IS NULL OR tenant_id = :tenant) GROUP BY tenant_id
    UNION ALL
    SELECT t.id, 'conflict', c.number FROM tenant t CROSS JOIN LATERAL (
           SELECT count(*) AS number FROM completion c
            WHERE c.tenant_id = t.id AND c.state = 'conflict' AND NOT {CLOSED}) c
     WHERE c.number > 0 AND (CAST(:tenant AS bigint) IS NULL OR t.id = :tenant)
    """  # noqa: S608  constants only
)
_ALERTS = text(
    """
    SELECT a.tenant_id, a.kind, a.subject, a.parameters FROM alert a
     WHERE a.closed_at IS NULL AND a.acked_at IS NULL AND a.kind <> ALL(:counted)
       AND (CAST(:tenant AS bigint) IS NULL OR a.tenant_id = :tenant)
     ORDER BY a.id
    """
)
_NAMES = text(
    "SELECT id, slug, name, afas->>'environment' AS environment FROM tenant WHERE id = ANY(:ids) ORDER BY slug"
)
MUTES = text("SELECT tenant_id, kind FROM alert_mute WHERE until > now()")
_PAGES = {
    "held": ("/holds?tenant={slug}", "koppeling holds list --tenant {slug}"),
    "ambiguous": ("/ambiguous?tenant={slug}", "koppeling links list --tenant {slug} --state ambiguous"),
    "dead": ("/dead-letters?tenant={slug}", "koppeling dead-letters list --tenant {slug}"),
    "conflict": ("/completions?tenant={slug}&state=conflict", "koppeling explain {slug} ID"),
}
_KIND = {"held": kinds.HOLD, "dead": kinds.DEAD_LETTERS}


class Line(TypedDict):
    """One line of a digest. ``kind`` of an alert, else ``code`` of a count; ``page`` is a path of the console."""

    slug: str | None
    name: str | None
    test: bool
    kind: str | None
    code: str
    parameters: dict[str, Any] | None
    page: str
    command: str


def muted(mutes: Sequence[Row[Any]], tenant: int | None, kind: str | None) -> bool:
    """Whether nobody wants to hear of it. A count that is of no kind is silent only with all of its tenant."""
    return any(one.tenant_id in (None, tenant) and one.kind in (None, kind) for one in mutes)


def lines(connection: Connection, tenant: int | None) -> list[Line]:
    """What needs a person at one tenant, or at all and in the installation itself."""
    mutes = connection.execute(MUTES).all()
    counts = connection.execute(_COUNTS, {"tenant": tenant}).all()
    alerts = connection.execute(_ALERTS, {"tenant": tenant, "counted": list(kinds.COUNTED)}).all()
    ids = {row.tenant_id for row in (*counts, *alerts)}
    named = connection.execute(_NAMES, {"ids": [number for number in ids if number is not None]}).all()
    found: list[Line] = []
    for number, slug, name, environment in [(None, None, None, "production"), *named]:
        lines_: list[tuple[str | None, str, Any, str, str]] = []
        for row in alerts:
            if row.tenant_id == number and not muted(mutes, number, row.kind):
                about = (row.kind, row.subject, slug, row.parameters)
                lines_.append((row.kind, "", row.parameters, kinds.page(*about), kinds.command(*about)))
        for row in counts:
            if row.tenant_id == number and slug and not muted(mutes, number, _KIND.get(row.code)):
                page, command = (one.format(slug=slug) for one in _PAGES[row.code])
                lines_.append((None, row.code, {"count": row.number}, page, command))
        found += [
            {
                "slug": slug,
                "name": name,
                "test": environment != "production",
                "kind": kind,
                "code": code,
                "parameters": parameters,
                "page": page,
                "command": command,
            }
            for kind, code, parameters, page, command in lines_
        ]
    return found
