"""Ends the runs that are being applied, and counts finished ones again while lines of theirs are still pending."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Row, text
from ulid import ULID

from loops import each
from models.base import utc_now
from models.run import RunStatus
from models.session import transaction
from producers.runs import result

RECOUNT_DAYS = 7
log = structlog.get_logger("workers.runs.finalizer")

# Comes again within a minute: a call slot or an account's place was not free.
_SOON = "m.state = 'scheduled' AND m.attempts = 0 AND m.run_at <= now() + interval '60 seconds'"
_APPLYING = text(
    f"""
    SELECT r.id, r.tenant_id, coalesce(d.state, 'healthy') AS state,
           coalesce(d.state IN ('paused', 'quarantined') OR d.wait_until > now() + interval '60 seconds', false)
               AS stands_still,
           EXISTS (SELECT 1 FROM message m WHERE m.run_id = r.id AND m.state = 'sent')
               OR EXISTS (SELECT 1 FROM message m WHERE m.run_id = r.id AND {_SOON}) AS works,
           EXISTS (SELECT 1 FROM message m WHERE m.run_id = r.id AND m.state = 'ready') AS has_ready
      FROM run r LEFT JOIN tenant_direction d ON d.tenant_id = r.tenant_id AND d.direction = r.direction
     WHERE r.status = 'applying' ORDER BY r.id
    """  # noqa: S608  a constant
)
# A ready message waits for one that is tried again later when it follows that one or comes after it with the same lock;
# also when there are other waiting messages between the two.
_MAY_GO = text(
    f"""
    WITH RECURSIVE kept AS (
        SELECT m.id, m.state, m.lock, m.tenant_id, m.direction, m.after_id FROM message m
         WHERE m.tenant_id = :tenant AND m.state = 'scheduled' AND NOT ({_SOON})
        UNION
        SELECT n.id, n.state, n.lock, n.tenant_id, n.direction, n.after_id FROM kept k CROSS JOIN LATERAL (
            SELECT m.* FROM message m WHERE m.after_id = k.id AND m.state = 'ready'
             UNION ALL
            SELECT m.* FROM message m
             WHERE k.state = 'ready' AND m.state = 'ready' AND m.lock = k.lock AND m.tenant_id = k.tenant_id
               AND m.direction = k.direction AND m.id > k.id AND k.after_id IS DISTINCT FROM m.id) AS n
    )
    SELECT EXISTS (SELECT 1 FROM message m WHERE m.run_id = :run AND m.state = 'ready'
                      AND NOT EXISTS (SELECT 1 FROM kept WHERE kept.id = m.id))
    """  # noqa: S608  a constant
)
_PENDING = text(
    """
    SELECT id, tenant_id FROM run
     WHERE id > :since AND status IN ('done', 'done_with_holds', 'done_with_failures', 'quarantined', 'stopped')
       AND (coalesce((outcomes ->> 'pending')::int, 0) > 0 OR pending_removals > unconfirmed)
    """
)


@dataclass(frozen=True)
class Applying:
    """A run being applied: how its direction is, and whether messages of it are out, come soon, or are ready."""

    id: str
    tenant_id: int
    state: str
    stands_still: bool
    works: bool
    has_ready: bool


def finalize() -> int:
    """End the runs of which nothing can be done now; how many go on.

    What waits for another try is pending, and so is all that waits for it, and all of a direction that is stopped or
    was told to wait for longer than a minute.
    """
    with transaction() as connection:
        applying = [Applying(*row) for row in connection.execute(_APPLYING)]
        over = [run for run in applying if _is_over(connection, run)]
    return len(applying) - each("run to end", over, _end)


def _is_over(connection: Connection, run: Applying) -> bool:
    if run.stands_still or run.works:
        return run.stands_still
    return not (run.has_ready and connection.execute(_MAY_GO, {"run": run.id, "tenant": run.tenant_id}).scalar())


def _end(applying: Applying) -> None:
    with transaction() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '2s'"))  # one that is locked comes again
        run = result.find(connection, applying.id, applying.tenant_id)
        if run is None or run.status != RunStatus.APPLYING:
            return
        counted = result.count(connection, run)
        status = result.status_of(counted, run.snapshot, quarantined=applying.state == "quarantined")
        reason = None if applying.state in ("healthy", "new") else applying.state
        result.store(connection, run, counted, status, reason=reason)
        connection.execute(text("NOTIFY koppeling_runs"))
        log.info("run_ended", run=run.id, tenant=run.tenant_id, direction=run.direction, status=status)


def recount() -> int:
    """Count runs of the last days again whose pending lines may have been settled since; how many changed."""
    since = str(ULID.from_datetime(utc_now() - timedelta(days=RECOUNT_DAYS)))
    with transaction() as connection:
        pending = connection.execute(_PENDING, {"since": since}).all()
    changed: list[str] = []

    def count(run: Row[Any]) -> None:
        with transaction() as connection:
            if _recount(connection, run.id, run.tenant_id):
                changed.append(run.id)

    each("run to count", pending, count)
    return len(changed)


def _recount(connection: Connection, run_id: str, tenant_id: int) -> bool:
    run = result.find(connection, run_id, tenant_id)
    if run is None:
        return False
    counted = result.count(connection, run)
    if run.status in (RunStatus.QUARANTINED, RunStatus.STOPPED):
        return result.store(connection, run, counted, run.status)
    return result.store(connection, run, counted, result.status_of(counted, run.snapshot))
