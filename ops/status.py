"""How the system is doing: database, broker, workers, queue, tenants. Numbers only, no names."""

from __future__ import annotations

from typing import Any

import redis
from sqlalchemy import text

import settings
from models.installation import redis_prefix
from models.session import DATABASE_TROUBLE, transaction
from models.tenant import Direction
from models.worker import live_workers
from ops.listing import rows
from tenancy.rate_limit import redis_client
from workers.broker.rights import fault
from workers.maintenance import vital_signs

_LEDGER = """
    SELECT count(*) FILTER (WHERE state = 'ready') AS ready, count(*) FILTER (WHERE state = 'sent') AS in_flight,
           count(*) FILTER (WHERE state = 'scheduled') AS scheduled,
           coalesce(extract(epoch FROM now() - min(created_at)), 0) AS oldest_pending_seconds
      FROM message
"""
_TENANTS = """
    SELECT t.slug AS tenant, t.id,
           coalesce(m.ready, 0) AS ready, coalesce(m.in_flight, 0) AS in_flight, coalesce(m.scheduled, 0) AS scheduled,
           coalesce(m.oldest, 0) AS oldest_pending_seconds,
           (SELECT count(*) FROM hold h WHERE h.tenant_id = t.id AND h.state = 'open') AS held,
           (SELECT count(*) FROM link l WHERE l.tenant_id = t.id AND l.state = 'ambiguous'
               AND l.decision IS NULL) AS ambiguous,
           (SELECT count(*) FROM dead_letter d WHERE d.tenant_id = t.id AND d.state = 'open') AS dead
      FROM tenant t
      LEFT JOIN (SELECT tenant_id, count(*) FILTER (WHERE state = 'ready') AS ready,
                        count(*) FILTER (WHERE state = 'sent') AS in_flight,
                        count(*) FILTER (WHERE state = 'scheduled') AS scheduled,
                        extract(epoch FROM now() - min(created_at)) AS oldest
                   FROM message GROUP BY tenant_id) m ON m.tenant_id = t.id
     ORDER BY t.slug
"""


def broker() -> str:
    """``ok``, ``unreachable``, ``refuses`` (what the engine needs), or ``unknown`` where this command knows of none."""
    url = settings.get().redis_url
    if not url:
        return "unknown"
    try:
        return "refuses" if fault(redis_client(url), redis_prefix()) else "ok"
    except (redis.RedisError, *DATABASE_TROUBLE):
        return "unreachable"


def document() -> dict[str, Any]:
    """As JSON. Raises what SQLAlchemy raises when the database can't be reached."""
    with transaction() as connection:
        # A replica, or an administrator's setting: this command may read, and nothing goes on.
        read_only = connection.execute(text("SELECT current_setting('transaction_read_only')::bool")).scalar_one()
        ledger = rows(connection, _LEDGER)[0]
        tenants = rows(connection, _TENANTS)
        ways = rows(connection, "SELECT tenant_id, direction, state, reason, since, next_run_at FROM tenant_direction")
        alerts = rows(
            connection,
            "SELECT t.slug AS tenant, a.kind, a.subject, a.text, a.opened_at FROM alert a"
            " LEFT JOIN tenant t ON t.id = a.tenant_id WHERE a.closed_at IS NULL ORDER BY a.id",
        )
        workers = len(live_workers(connection))
        services = vital_signs.read(connection)
        loose = connection.execute(
            text("SELECT count(*) FROM dead_letter WHERE state = 'open' AND tenant_id IS NULL")
        ).scalar_one()
        runs = connection.execute(
            text("SELECT count(*) FROM run WHERE status IN ('queued', 'running', 'applying')")
        ).scalar_one()
    for tenant in tenants:
        number = tenant.pop("id")
        mine = {way["direction"]: way for way in ways if way["tenant_id"] == number}
        for name in Direction:
            shown = mine.get(name, {})
            tenant[name.value] = {key: shown.get(key) for key in ("state", "reason", "since", "next_run_at")}
        tenant["oldest_pending_seconds"] = round(float(tenant["oldest_pending_seconds"]), 1)
    return {
        "database": "read only" if read_only else "ok",
        "broker": broker(),
        "workers": workers,
        **services,
        "ready": ledger["ready"],
        "in_flight": ledger["in_flight"],
        "scheduled": ledger["scheduled"],
        "oldest_pending_seconds": round(float(ledger["oldest_pending_seconds"]), 1),
        "runs": runs,
        "held": sum(tenant["held"] for tenant in tenants),
        "ambiguous": sum(tenant["ambiguous"] for tenant in tenants),
        "dead": sum(tenant["dead"] for tenant in tenants) + loose,
        "quarantined": sum(way["state"] == "quarantined" for way in ways),
        "alerts": alerts,
        "tenants": tenants,
    }
