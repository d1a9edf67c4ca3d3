"""Ask for a run, or for its end. The runners of every worker process claim what is queued."""

from __future__ import annotations

import json

from sqlalchemy import Connection, text

from models import ledger
from models.advisory_locks import AdvisoryLock
from models.base import new_id
from models.run import RunOptions, RunStatus
from producers.runs import result

_QUEUED = text(
    """
    SELECT id FROM run
     WHERE tenant_id = :tenant AND direction = :direction AND status = 'queued' AND NOT stop_requested
       AND (trigger = 'preview') = (:trigger = 'preview') AND options = CAST(:options AS jsonb) ORDER BY id LIMIT 1
    """
)
_INSERT = text(
    """
    INSERT INTO run (id, batch, tenant_id, direction, trigger, options, status)
    VALUES (:id, :batch, :tenant, :direction, :trigger, CAST(:options AS jsonb), 'queued')
    """
)
# Those that were refused before they had a plan, since the last run that was not. What was planned waits in the ledger
# and goes on by itself; such a run has the state of its direction as its reason. Whoever only wanted to look looks
# again, and what they saw did nothing of what was refused.
_REFUSED = text(
    """
    WITH doing AS (
        SELECT id, trigger, options, status = 'quarantined' AND reason IS DISTINCT FROM 'quarantined' AS refused
          FROM run
         WHERE tenant_id = :tenant AND direction = :direction AND trigger NOT IN ('preview', 'dry_run'))
    SELECT options, bool_or(trigger = 'reopened') AS tried FROM doing
     WHERE refused AND id > coalesce((SELECT max(id) FROM doing WHERE NOT refused), '')
     GROUP BY options ORDER BY min(id)
    """
)
_LOCK = text("SELECT pg_advisory_xact_lock(:class, hashtext(:key))")
_STATUS = text("SELECT tenant_id, status FROM run WHERE id = :id FOR UPDATE")
_STOP = text("UPDATE run SET stop_requested = true WHERE id = :id AND tenant_id = :tenant")


def request_run(
    connection: Connection,
    tenant_id: int,
    direction: str,
    *,
    trigger: str,
    options: RunOptions | None = None,
    batch: str | None = None,
) -> str:
    """Queue a run and return its id. A queued one with the same options is joined: it is the one follow-up run.

    With the trigger ``preview`` it only plans.
    """
    wanted = json.dumps(options or {})
    key = {"tenant": tenant_id, "direction": direction, "trigger": trigger, "options": wanted}
    lock_runs(connection, tenant_id, direction)
    queued = connection.execute(_QUEUED, key).scalar()
    if queued:
        return str(queued)
    run_id = new_id()
    connection.execute(_INSERT, key | {"id": run_id, "batch": batch or run_id})
    connection.execute(text("NOTIFY koppeling_runs"))
    return run_id


def begin_again(connection: Connection, tenant_id: int, direction: str, *, once: bool = False) -> list[str]:
    """Queue the runs that were refused while they read, now that their direction is open again; their ids.

    ``once``: not those that were begun again so before, as what reopened the direction is less than a run asks for.
    """
    refused = connection.execute(_REFUSED, {"tenant": tenant_id, "direction": direction}).all()
    return [
        request_run(connection, tenant_id, direction, trigger="reopened", options=row.options)
        for row in refused
        if not (once and row.tried)
    ]


def lock_runs(connection: Connection, tenant_id: int, direction: str) -> None:
    """Until this transaction ends, no other one queues or claims a run of this tenant and direction."""
    connection.execute(
        _LOCK,
        {"class": AdvisoryLock.RUNS, "key": f"{tenant_id}:{direction}"},
    )


def request_stop(connection: Connection, run_id: str) -> str | None:
    """Stop a run: no new write begins after this commits. Its status then, or None for an unknown one.

    A queued one and one that applies are ``stopped`` at once: what is not begun leaves the ledger (the desired state
    stays, so the next run does it). A running one stops at its producer's next check.
    """
    row = connection.execute(_STATUS, {"id": run_id}).first()
    if row is None:
        return None
    status = str(row.status)
    if status not in (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.APPLYING):
        return status
    connection.execute(_STOP, {"id": run_id, "tenant": row.tenant_id})
    if status == RunStatus.RUNNING:
        return status
    ledger.withdraw(connection, run_id)
    result.end(connection, run_id, row.tenant_id, RunStatus.STOPPED)
    connection.execute(text("NOTIFY koppeling_runs"))
    return RunStatus.STOPPED
