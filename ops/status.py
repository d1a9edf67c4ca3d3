"""How the system is doing: database, broker, workers, queue, tenants. Numbers only, no names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis

import settings
from models.direction import Direction, Health
from models.installation import redis_prefix
from models.session import DATABASE_TROUBLE, has_room, takes_writes, transaction
from models.worker import live_workers
from ops import lookup
from ops.alerts.kinds import CREDENTIAL_ENDS
from ops.degraded import DEGRADED, mark
from ops.listing import Row, rows
from tenancy import vital_signs
from tenancy.redis_connection import connect
from tenancy.redis_rights import fault

# With what is seen of it: all, or some tenants.
_TENANTS = "SELECT id, slug, timezone, afas->>'environment' AS environment FROM tenant WHERE {where} ORDER BY slug"
_WAYS = "SELECT tenant_id, direction, state, reason, since, next_run_at FROM tenant_direction WHERE {where}"
_ALERTS = """
    SELECT t.slug AS tenant, a.kind, a.subject, a.text, a.opened_at FROM alert a
      LEFT JOIN tenant t ON t.id = a.tenant_id WHERE a.closed_at IS NULL AND {where} ORDER BY a.id
"""
_RUNS = "SELECT count(*) FROM run WHERE status IN ('queued', 'running', 'applying') AND {where}"
# Of each tenant, by one pass through each table. A dead letter may name no tenant.
_COUNTED = (
    """SELECT tenant_id, count(*) FILTER (WHERE state = 'ready') AS ready,
              count(*) FILTER (WHERE state = 'sent') AS in_flight,
              count(*) FILTER (WHERE state = 'scheduled') AS scheduled,
              round(extract(epoch FROM now() - min(created_at)), 1)::float AS oldest_pending_seconds
         FROM message WHERE {where} GROUP BY tenant_id""",
    "SELECT tenant_id, count(*) AS held FROM hold WHERE state = 'open' AND {where} GROUP BY tenant_id",
    """SELECT tenant_id, count(*) AS ambiguous FROM link WHERE state = 'ambiguous' AND decision IS NULL AND {where}
        GROUP BY tenant_id""",
    "SELECT tenant_id, count(*) AS dead FROM dead_letter WHERE state = 'open' AND {where} GROUP BY tenant_id",
)
_NAMES = ("ready", "in_flight", "scheduled", "oldest_pending_seconds", "held", "ambiguous", "dead")
_NOTHING = dict.fromkeys(_NAMES, 0) | {"oldest_pending_seconds": 0.0}


def broker() -> str:
    """``ok``, ``unreachable``, ``refuses`` (what the engine needs), or ``unknown`` where this command knows of none."""
    found = settings.get()
    if not found.redis_url:
        return "unknown"
    try:
        refuses = bool(fault(connect(found.need_redis()), redis_prefix()))
    except (redis.RedisError, *DATABASE_TROUBLE):
        return "unreachable"
    if found.broker_url and not refuses:
        from workers.broker import rabbitmq_trouble  # noqa: PLC0415  few have one

        trouble = rabbitmq_trouble.look(found.broker_url)
        return "ok" if trouble is None else "unreachable" if trouble.code == "unreachable" else "refuses"
    return "refuses" if refuses else "ok"


def is_well(found: Mapping[str, Any]) -> bool:
    """Whether nothing in a ``document`` needs anybody: everything answers, works, and goes on."""
    works = all(found[name] == "ok" for name in ("database", "broker", *vital_signs.SERVICES))
    needs_somebody = any(found[name] for name in ("held", "ambiguous", "dead", "quarantined", "degraded"))
    # What ends in weeks is no trouble of today.
    needs_somebody |= any(alert["kind"] != CREDENTIAL_ENDS for alert in found["alerts"])
    return works and not needs_somebody


def _seen(column: str, tenants: list[int] | None) -> str:
    """The condition that a row is of a tenant that who acts may see."""
    return "true" if tenants is None else f"{column} = ANY(:seen)"


def document() -> dict[str, Any]:
    """As JSON. Raises what SQLAlchemy raises when the database can't be reached."""
    with transaction() as connection:
        # A replica, or an administrator's setting: this command may read, and nothing goes on.
        read_only = not takes_writes(connection)
        seen = lookup.visible_ids(connection)
        tenants = rows(connection, _TENANTS.format(where=_seen("id", seen)), seen=seen)
        counts: dict[int | None, Row] = {}
        for statement in _COUNTED:
            for row in rows(connection, statement.format(where=_seen("tenant_id", seen)), seen=seen):
                counts.setdefault(row["tenant_id"], dict(_NOTHING)).update(row)
        found = rows(connection, _WAYS.format(where=_seen("tenant_id", seen)), seen=seen)
        mark(connection, found)
        ways = {(row.pop("tenant_id"), row.pop("direction")): row for row in found}
        alerts = rows(connection, _ALERTS.format(where=_seen("a.tenant_id", seen)), seen=seen)
        workers = len(live_workers(connection))
        services = vital_signs.read(connection)
        runs = rows(connection, _RUNS.format(where=_seen("tenant_id", seen)), seen=seen)[0]["count"]
        full = not has_room(connection)
    of_all = {name: [count[name] for count in counts.values()] for name in _NAMES}
    no_way = dict.fromkeys(("state", "reason", "since", "next_run_at"))
    return {
        "database": "read only" if read_only else "disk full" if full else "ok",
        "broker": broker(),
        "workers": workers,
        **services,
        **{name: sum(of_all[name]) for name in ("ready", "in_flight", "scheduled")},
        "oldest_pending_seconds": max(of_all["oldest_pending_seconds"], default=0.0),
        "runs": runs,
        **{name: sum(of_all[name]) for name in ("held", "ambiguous", "dead")},
        "quarantined": sum(way["state"] == Health.QUARANTINED for way in ways.values()),
        "degraded": sum(way["state"] == DEGRADED for way in ways.values()),
        "alerts": alerts,
        "tenants": [
            {"tenant": tenant["slug"], "environment": tenant["environment"], "timezone": tenant["timezone"]}
            | {name: counts.get(tenant["id"], _NOTHING)[name] for name in _NAMES}
            | {way.value: ways.get((tenant["id"], way), no_way) for way in Direction}
            for tenant in tenants
        ],
    }
