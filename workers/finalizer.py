"""Ends the runs that are being applied, and counts finished ones again while lines of theirs are still pending."""

from __future__ import annotations

from datetime import timedelta

import structlog
from sqlalchemy import Connection, text
from ulid import ULID

from models.base import utc_now
from models.run import RunStatus
from models.session import transaction
from producers import counting

RECOUNT_DAYS = 7
log = structlog.get_logger("workers.finalizer")

# Over: nothing of it can be done now. What waits for another try is pending, and so is what follows such a message,
# and all of a direction that is stopped or was told to wait for longer than anybody would stand by.
_OVER = text(
    """
    SELECT r.id, coalesce(d.state, 'healthy') AS state
      FROM run r LEFT JOIN tenant_direction d ON d.tenant_id = r.tenant_id AND d.direction = r.direction
     WHERE r.status = 'applying'
       AND (d.state IN ('paused', 'quarantined') OR d.wait_until > now() + interval '60 seconds' OR NOT EXISTS (
            SELECT 1 FROM message m LEFT JOIN message a ON a.id = m.after_id
             WHERE m.run_id = r.id
               AND (m.state = 'sent' OR (m.state = 'scheduled' AND m.attempts = 0)
                    OR (m.state = 'ready' AND NOT coalesce(a.state = 'scheduled' AND a.attempts > 0, false)))))
    """
)
_PENDING = text(
    """
    SELECT id FROM run
     WHERE id > :since AND status IN ('done', 'done_with_holds', 'done_with_failures', 'quarantined', 'stopped')
       AND (coalesce((outcomes ->> 'pending')::int, 0) > 0 OR pending_removals > unconfirmed)
    """
)


def finalize() -> int:
    """End what is over; how many runs."""
    with transaction() as connection:
        over = connection.execute(_OVER).all()
    for row in over:
        with transaction() as connection:
            run = counting.find(connection, row.id)
            if run is None or run.status != RunStatus.APPLYING:
                continue
            counted = counting.count(connection, run)
            status = counting.status_of(counted, run.snapshot, quarantined=row.state == "quarantined")
            counting.store(connection, run, counted, status, reason=row.state if row.state != "healthy" else None)
            connection.execute(text("NOTIFY koppeling_runs"))
            log.info("run_ended", run=run.id, tenant=run.tenant_id, direction=run.direction, status=status)
    return len(over)


def recount() -> int:
    """Count runs of the last days again whose pending lines may have been settled since; how many changed."""
    since = str(ULID.from_datetime(utc_now() - timedelta(days=RECOUNT_DAYS)))
    with transaction() as connection:
        ids = connection.execute(_PENDING, {"since": since}).scalars().all()
    changed = 0
    for run_id in ids:
        with transaction() as connection:
            changed += _recount(connection, run_id)
    return changed


def _recount(connection: Connection, run_id: str) -> bool:
    run = counting.find(connection, run_id)
    if run is None:
        return False
    counted = counting.count(connection, run)
    if run.status in (RunStatus.QUARANTINED, RunStatus.STOPPED):
        return counting.store(connection, run, counted, run.status)
    return counting.store(connection, run, counted, counting.status_of(counted, run.snapshot))
