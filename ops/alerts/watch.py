"""Alerts that follow from what stands in the database: opened while it is so, closed when it is no longer.

Looking costs one statement that writes nothing. Only tenants with a difference are locked, one at a time and the
tenant first, as who removes it does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy import Connection, Row, text

from models.credential_end import AFAS_ENDS
from models.session import transaction
from models.worker import live_workers
from ops.alerts import kinds
from tenancy import vital_signs
from tenancy.alerts import close_alert, open_alert

# So long without any worker before somebody is woken: restarts take a minute.
NO_WORKER_SECONDS = 180
# So many open dead letters are told at once, and again at ten times as many; fewer come with the digest.
MANY_DEAD_LETTERS = 10
_WANTED = text(
    f"""
    SELECT h.tenant_id, 'hold' AS kind, h.id AS subject, 0 AS step,
           jsonb_build_object('code', h.guard, 'event', h.event_id, 'count',
               (SELECT count(*) FROM hold_line l WHERE l.hold_id = h.id AND l.state = 'open')) AS parameters
      FROM hold h WHERE h.state = 'open'
    UNION ALL
    SELECT d.tenant_id, 'run_failed', d.direction, 0,
           jsonb_build_object('direction', d.direction, 'code', split_part(r.reason, ':', 1), 'run', r.id)
      FROM tenant_direction d CROSS JOIN LATERAL (
           SELECT id, status, reason FROM run
            WHERE tenant_id = d.tenant_id AND direction = d.direction
              AND status NOT IN ('queued', 'running', 'applying', 'stopped', 'dry_run', 'paused')
              AND trigger NOT IN ('preview', 'dry_run')
            ORDER BY id DESC LIMIT 1) r
     WHERE r.status = 'failed' AND d.state NOT IN ('quarantined', 'paused')
       AND NOT EXISTS (SELECT 1 FROM alert a WHERE a.tenant_id = d.tenant_id AND a.kind = 'unreached'
                          AND a.closed_at IS NULL AND starts_with(a.subject, d.direction || ' '))
    UNION ALL
    SELECT c.tenant_id, 'check_failed', NULL, 0,
           jsonb_build_object('count', jsonb_array_length(f.faults), 'code', f.faults->0->'code',
                              'about', f.faults->0->'parameters')
      FROM tenant_check c CROSS JOIN LATERAL (
           SELECT jsonb_path_query_array(c.findings, '$[*] ? (@.ok == false)') AS faults) f
     WHERE f.faults <> '[]'
    UNION ALL
    SELECT t.id, 'credential_ends', CAST(e.day AS text),
           CASE WHEN d.days < 0 THEN 5 WHEN d.days <= 7 THEN 4 WHEN d.days <= 14 THEN 3 WHEN d.days <= 30 THEN 2
                ELSE 1 END,
           jsonb_build_object('day', e.day, 'count', d.days)
      FROM tenant t CROSS JOIN LATERAL (SELECT {AFAS_ENDS} AS day) e
           CROSS JOIN LATERAL (
               SELECT e.day - CAST(CAST(:now AS timestamptz) AT TIME ZONE t.timezone AS date) AS days) d
     WHERE d.days <= 60
    UNION ALL
    SELECT tenant_id, 'dead_letters', NULL, CAST(floor(log(count(*))) AS int), jsonb_build_object('count', count(*))
      FROM dead_letter WHERE state = 'open' GROUP BY tenant_id HAVING count(*) >= :many
    """  # noqa: S608  constants only
)
_OPEN = text(
    "SELECT id, tenant_id, kind, subject, step, parameters FROM alert WHERE closed_at IS NULL AND kind = ANY(:kinds)"
)
_TENANT = text("SELECT id FROM tenant WHERE id = :tenant FOR KEY SHARE")
_CHANGE = text(
    """
    UPDATE alert SET parameters = CAST(:parameters AS jsonb), text = :words, step = :step,
           told_at = CASE WHEN :step > step THEN NULL ELSE told_at END,
           acked_at = CASE WHEN :step > step THEN NULL ELSE acked_at END
     WHERE id = :id AND closed_at IS NULL
    """
)
Key = tuple[int | None, str, str | None]
log = structlog.get_logger("ops.alerts.watch")


def look(now: Any = None) -> int:
    """Bring the alerts in line with what is so; how many changed."""
    with transaction() as connection:
        wanted = _by_key(connection.execute(_WANTED, {"now": now or "now", "many": MANY_DEAD_LETTERS}).all())
        there = _by_key(connection.execute(_OPEN, {"kinds": list(kinds.WATCHED)}).all())
    differing = [
        key
        for key in wanted.keys() | there.keys()
        if key not in there or key not in wanted or _told(there[key]) != _told(wanted[key])
    ]
    for tenant in sorted({key[0] for key in differing}, key=lambda number: number or 0):
        with transaction() as connection:
            if tenant is not None and connection.execute(_TENANT, {"tenant": tenant}).scalar() is None:
                continue  # removed meanwhile
            for key in sorted((key for key in differing if key[0] == tenant), key=lambda one: (one[1], one[2] or "")):
                _apply(connection, key, there.get(key), wanted.get(key))
    return len(differing)


def _by_key(found: Any) -> dict[Key, Row[Any]]:
    return {(row.tenant_id, row.kind, row.subject): row for row in found}


def _told(row: Row[Any]) -> tuple[int, Mapping[str, Any]]:
    return row.step, row.parameters


def _apply(connection: Connection, key: Key, there: Row[Any] | None, wanted: Row[Any] | None) -> None:
    tenant, kind, subject = key
    if wanted is None:
        close_alert(connection, tenant, kind, subject)
        return
    words = kinds.sentence(kind, wanted.parameters, "en")
    if there is None:
        open_alert(connection, tenant, kind, subject, words, wanted.parameters, wanted.step)
        return
    values = {"id": there.id, "parameters": json.dumps(wanted.parameters), "words": words, "step": wanted.step}
    connection.execute(_CHANGE, values)


@dataclass
class Workers:
    """Whether any worker is alive, as this process sees it go by."""

    none_since: float | None = field(default=None)

    def look(self) -> None:
        """Tell when none has been for some minutes; where some are, whether any of them leads."""
        with transaction() as connection:
            alive = bool(live_workers(connection))
            used = bool(connection.execute(text("SELECT EXISTS (SELECT 1 FROM tenant)")).scalar())
            if alive or not used:
                self.none_since = None
                close_alert(connection, None, kinds.WORKERS, None)
            elif self.none_since is None:
                self.none_since = time.monotonic()
            elif time.monotonic() - self.none_since >= NO_WORKER_SECONDS:
                told = {"count": NO_WORKER_SECONDS // 60}
                words = kinds.sentence(kinds.WORKERS, told, "en")
                if open_alert(connection, None, kinds.WORKERS, None, words, told):
                    log.error("no_worker")
        if alive:
            vital_signs.watch()
