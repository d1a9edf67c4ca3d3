"""What came of a run: outcomes of its rows, its removals, and the status that says how it ended.

Which outcomes there are, and what they mean: ``models.outcomes``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, text

from models.outcomes import NEEDS_DECISION, RemovalOutcome, RowOutcome, zeros
from models.run import RunStatus, SnapshotState


@dataclass
class Count:
    """Outcomes of the rows and of the removals (which no row stands for)."""

    outcomes: dict[str, int] = field(default_factory=dict)
    removals: dict[str, int] = field(default_factory=dict)
    calls: int = 0


def count(connection: Connection, run: Row[Any]) -> Count:
    """Add up a run's plan lines and the rows without one."""
    counted = Count(zeros(run.direction))
    for outcome, number in run.rows_without_line.items():
        counted.outcomes[outcome] = counted.outcomes.get(outcome, 0) + int(number)
    rows = connection.execute(
        text(
            """SELECT is_row, outcome, count(*) AS number, sum(calls) AS calls FROM plan_line
                WHERE run_id = :run GROUP BY is_row, outcome"""
        ),
        {"run": run.id},
    )
    for row in rows:
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


def store(connection: Connection, run: Row[Any], counted: Count, status: str, *, reason: str | None = None) -> bool:
    """Write the result of a run; the rows it read are no longer needed. False when nothing changed."""
    written = connection.execute(
        text(
            """
            UPDATE run SET status = :status, reason = coalesce(:reason, reason), outcomes = CAST(:outcomes AS jsonb),
                   rows = :rows, calls_acting = :calls, removed = :removed, held_removals = :held,
                   pending_removals = unconfirmed + :pending,
                   finished_at = coalesce(finished_at, now()), lease_owner = NULL, lease_until = NULL
             WHERE id = :id AND (status, outcomes, calls_acting, removed, held_removals, pending_removals)
                   IS DISTINCT FROM (:status, CAST(:outcomes AS jsonb), :calls, :removed, :held, unconfirmed + :pending)
            """
        ),
        {
            "id": run.id,
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
    for table in ("snapshot_row", "directory_user"):
        connection.execute(text(f"DELETE FROM {table} WHERE run_id = :id"), {"id": run.id})  # noqa: S608  constants
    return bool(written)


def find(connection: Connection, run_id: str) -> Row[Any] | None:
    """A run with what counting needs, locked."""
    return connection.execute(
        text(
            """SELECT id, tenant_id, direction, status, rows_without_line, snapshot, rows, fence, stop_requested
                 FROM run WHERE id = :id FOR UPDATE"""
        ),
        {"id": run_id},
    ).first()


def end(connection: Connection, run_id: str, status: str, reason: str | None = None) -> None:
    """End a run that was cut short: failed, stopped, quarantined or paused."""
    run = find(connection, run_id)
    if run is not None:
        store(connection, run, count(connection, run), status, reason=reason)
