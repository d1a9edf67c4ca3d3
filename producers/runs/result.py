"""What came of a run: outcomes of its rows, its removals, and the status that says how it ended.

Which outcomes there are, and what they mean: ``models.outcomes``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from models.outcomes import NEEDS_DECISION, RemovalOutcome, RowOutcome, zeros
from models.run import RunStatus, SnapshotState
from tenancy import unreached

_FIND = text(
    """SELECT id, tenant_id, direction, status, rows_without_line, snapshot, fence, finished_at IS NOT NULL AS ended
         FROM run WHERE id = :id AND tenant_id = :tenant FOR UPDATE"""
)
_LINES = text(
    """SELECT is_row, outcome, count(*) AS number, sum(calls) AS calls FROM plan_line
        WHERE run_id = :run AND tenant_id = :tenant GROUP BY is_row, outcome"""
)
_STORE = text(
    """
    UPDATE run SET status = :status, reason = coalesce(:reason, reason), outcomes = CAST(:outcomes AS jsonb),
           rows = :rows, calls_acting = :calls, removed = :removed, held_removals = :held,
           pending_removals = unconfirmed + :pending,
           finished_at = coalesce(finished_at, now()), lease_owner = NULL, lease_until = NULL
     WHERE id = :id AND tenant_id = :tenant
       AND (status, outcomes, calls_acting, removed, held_removals, pending_removals)
           IS DISTINCT FROM (:status, CAST(:outcomes AS jsonb), :calls, :removed, :held, unconfirmed + :pending)
    """
)
_FORGET_READ = (
    text("DELETE FROM snapshot_row WHERE run_id = :id AND tenant_id = :tenant"),
    text("DELETE FROM directory_user WHERE run_id = :id AND tenant_id = :tenant"),
)


@dataclass(frozen=True)
class CountedRun:
    """What counting needs of a run."""

    id: str
    tenant_id: int
    direction: str
    status: str
    rows_without_line: dict[str, int]
    snapshot: str | None
    fence: int
    # Before: one of which held lines were released is applied once more
    ended: bool


@dataclass
class Count:
    """Outcomes of the rows and of the removals (which no row stands for)."""

    outcomes: dict[str, int] = field(default_factory=dict)
    removals: dict[str, int] = field(default_factory=dict)
    calls: int = 0


def count(connection: Connection, run: CountedRun) -> Count:
    """Add up a run's plan lines and the rows without one."""
    counted = Count(zeros(run.direction))
    for outcome, number in run.rows_without_line.items():
        counted.outcomes[outcome] = counted.outcomes.get(outcome, 0) + number
    for row in connection.execute(_LINES, {"run": run.id, "tenant": run.tenant_id}):
        into = counted.outcomes if row.is_row else counted.removals
        into[row.outcome] = into.get(row.outcome, 0) + row.number
        counted.calls += row.calls
    return counted


def status_of(counted: Count, snapshot: str | None, *, quarantined: bool = False) -> RunStatus:
    """How a run that was not cut short ended. Pure. Failures come before holds, holds before done."""
    outcomes, removals = counted.outcomes, counted.removals
    if quarantined:
        return RunStatus.QUARANTINED
    if outcomes.get(RowOutcome.FAILED) or removals.get(RowOutcome.FAILED) or snapshot == SnapshotState.PARTIAL:
        return RunStatus.DONE_WITH_FAILURES
    held = any(counts.get(name) for counts in (outcomes, removals) for name in NEEDS_DECISION)
    if held or snapshot == SnapshotState.SUSPECT:
        return RunStatus.DONE_WITH_HOLDS
    return RunStatus.DONE


def store(connection: Connection, run: CountedRun, counted: Count, status: str, *, reason: str | None = None) -> bool:
    """Write the result of a run; the rows it read are no longer needed. False when nothing changed."""
    written = connection.execute(
        _STORE,
        {
            "id": run.id,
            "tenant": run.tenant_id,
            "status": status,
            "reason": reason,
            "outcomes": json.dumps(counted.outcomes),
            "rows": sum(counted.outcomes.values()),
            "calls": counted.calls,
            "removed": counted.removals.get(RemovalOutcome.REMOVED, 0),
            "held": counted.removals.get(RemovalOutcome.HELD, 0),
            "pending": counted.removals.get(RemovalOutcome.PENDING, 0),
        },
    ).rowcount
    if not run.ended:  # one that is counted again says nothing of how the systems are now
        unreached.ended(connection, run.tenant_id, run.direction, status)
    for statement in _FORGET_READ:
        connection.execute(statement, {"id": run.id, "tenant": run.tenant_id})
    return bool(written)


def find(connection: Connection, run_id: str, tenant_id: int) -> CountedRun | None:
    """A run with what counting needs, locked."""
    row = connection.execute(_FIND, {"id": run_id, "tenant": tenant_id}).mappings().first()
    return CountedRun(**row) if row is not None else None


def end(connection: Connection, run_id: str, tenant_id: int, status: str, reason: str | None = None) -> None:
    """End a run that was cut short: failed, stopped, quarantined or paused."""
    run = find(connection, run_id, tenant_id)
    if run is not None:
        store(connection, run, count(connection, run), status, reason=reason)
