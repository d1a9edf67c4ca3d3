"""Messages that gave up, as an inbox: list, group, show, choose, discard. ``replay.py`` beside it sends them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from models.dead_letter import DeadLetterState
from models.session import transaction
from ops import access, audit, lookup
from ops.language import Words
from ops.listing import Page, Row, checked_limit, page, rows, where
from ops.problems import Problem

_COLUMNS = """
    SELECT d.id, t.slug AS tenant, d.kind, d.direction, d.internal_id, d.event_id, d.error, d.message,
           d.afas_reference, d.attempts, d.first_failed_at, d.last_failed_at, d.state, d.fingerprint,
           d.code_version, d.replays,
           d.run_id AS run, d.closed_at, d.closed_by, d.closed_reason
      FROM dead_letter d LEFT JOIN tenant t ON t.id = d.tenant_id
"""
_FILTERS = {
    "tenant": "d.tenant_id = :tenant",
    "tenants": "d.tenant_id = ANY(:tenants)",
    "kind": "d.kind = :kind",
    "error": "(d.error = :error OR d.fingerprint = :error)",
    "since": "d.last_failed_at >= :since",
    "until": "d.last_failed_at < :until",
    "state": "d.state = :state",
    "cursor": "d.id < :cursor",
}
# By tenant first, which needs no sorting; what is told in words is that of the newest.
_GROUPS = """
    WITH part AS (
        SELECT d.fingerprint, d.tenant_id, count(*) AS count, min(d.first_failed_at) AS first_failed_at,
               max(d.last_failed_at) AS last_failed_at, max(d.id) AS newest
          FROM dead_letter d {where} GROUP BY d.fingerprint, d.tenant_id
    ), whole AS (
        SELECT p.fingerprint, min(t.slug) AS tenant, count(p.tenant_id) AS tenants, sum(p.count)::bigint AS count,
               min(p.first_failed_at) AS first_failed_at, max(p.last_failed_at) AS last_failed_at,
               max(p.newest) AS newest
          FROM part p LEFT JOIN tenant t ON t.id = p.tenant_id
         GROUP BY p.fingerprint ORDER BY sum(p.count) DESC, p.fingerprint LIMIT :limit
    )
    SELECT w.fingerprint, w.tenant, w.tenants, n.kind, n.error, n.message, w.count, w.first_failed_at,
           w.last_failed_at, w.newest
      FROM whole w JOIN dead_letter n ON n.id = w.newest ORDER BY w.count DESC, w.fingerprint
"""


@dataclass(frozen=True)
class Filters:
    """Which dead letters; None is any. ``error``: a code or a fingerprint. Times by the last failure."""

    tenant: str | None = None
    kind: str | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    state: str | None = None

    @property
    def given(self) -> bool:
        """Whether anything narrows the choice."""
        return any(value is not None for value in (self.tenant, self.kind, self.error, self.since, self.until))

    def values(self, connection: Connection) -> dict[str, object]:
        """What the queries want. Raises Problem for an unknown tenant or state."""
        if self.state is not None and self.state not in set(DeadLetterState):
            raise Problem("state_one_of", listed=", ".join(DeadLetterState))
        tenant = lookup.tenant_id(connection, self.tenant) if self.tenant else None
        wanted = {"kind": self.kind, "error": self.error, "since": self.since, "until": self.until}
        seen = lookup.visible_ids(connection)
        return wanted | {"tenant": tenant, "tenants": seen, "state": self.state, "cursor": None}


def listing(filters: Filters, limit: int = 100, cursor: str | None = None) -> Page:
    """Dead letters, newest first."""
    with transaction() as connection:
        wanted = filters.values(connection) | {"cursor": cursor}
        newest_first = f"{_COLUMNS} {where(_FILTERS, wanted)} ORDER BY d.id DESC LIMIT :limit"
        found = rows(connection, newest_first, limit=checked_limit(limit) + 1, **wanted)
    return page(found, limit, "id")


def groups(filters: Filters, limit: int = 100) -> list[Row]:
    """The same by fingerprint: one line a kind of fault, with how many and since when."""
    with transaction() as connection:
        wanted = filters.values(connection)
        largest_first = _GROUPS.format(where=where(_FILTERS, wanted))
        return rows(connection, largest_first, limit=checked_limit(limit), **wanted)


def show(dead_letter_id: str) -> Row:
    """One dead letter with every attempt, the last call (masked), and who it is about."""
    with transaction() as connection:
        dead_letter_id = lookup.full_id(connection, "dead_letter", dead_letter_id)
        found = rows(connection, f"{_COLUMNS} WHERE d.id = :id", id=dead_letter_id)[0]
        more = rows(
            connection,
            "SELECT d.history, d.last_call, p.name, p.email FROM dead_letter d"
            " LEFT JOIN person p ON p.tenant_id = d.tenant_id AND p.internal_id = d.internal_id WHERE d.id = :id",
            id=dead_letter_id,
        )[0]
    return found | more


def choose(ids: Sequence[str], filters: Filters, *, everything: bool) -> list[str]:
    """The dead letters named, or the open ones that fit the filters, oldest first."""
    if ids and (filters.given or everything):
        raise Problem("ids_or_filters")
    with transaction() as connection:
        if ids:
            return list(dict.fromkeys(lookup.full_id(connection, "dead_letter", one) for one in ids))
        if not filters.given and not everything:
            raise Problem("which_dead_letters")
        wanted = filters.values(connection) | {"state": DeadLetterState.OPEN}
        found = connection.execute(
            text(f"SELECT d.id FROM dead_letter d {where(_FILTERS, wanted)} ORDER BY d.id"),  # noqa: S608 - constants only
            wanted,
        )
        return list(found.scalars())


def discard(ids: Sequence[str], *, reason: str, who: str) -> dict[str, int]:
    """Close dead letters without sending them again. Returns ``{"discarded": 2, "settled": 1}``."""
    access.need("dead_letters.discard")
    audit.need_reason(reason, Words("why.dead_letter"))
    if not ids:
        raise Problem("none_to_discard")
    chosen = choose(ids, Filters(), everything=False)
    with transaction() as connection:
        closed = connection.execute(
            text(
                "UPDATE dead_letter SET state = 'discarded', closed_at = now(), closed_by = :who,"
                " closed_reason = :reason"
                " WHERE id = ANY(:ids) AND state = 'open' RETURNING id, tenant_id"
            ),
            {"ids": chosen, "who": who, "reason": reason},
        ).all()
        for row in closed:
            audit.record(
                connection,
                who=who,
                verb="dead-letters discard",
                tenant_id=row.tenant_id,
                subject=row.id,
                reason=reason,
            )
    return {"discarded": len(closed), "settled": len(chosen) - len(closed)}
