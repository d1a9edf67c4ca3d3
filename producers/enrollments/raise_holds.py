"""Raise a hold for each guard that tripped, renew the one that is open, drop who came back, clear what is overtaken."""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps

from sqlalchemy import Connection, text

from models.base import new_id
from models.run import SnapshotState
from producers.enrollments.guards import Tripped
from producers.enrollments.snapshot import Snapshot
from producers.runs.context import RunContext

EXPIRY_DAYS = 7

_OPEN = text(
    """SELECT id FROM hold WHERE tenant_id = :tenant AND guard = :guard AND state = 'open'
          AND event_id IS NOT DISTINCT FROM :event FOR UPDATE"""
)
_INSERT = text(
    """INSERT INTO hold (id, tenant_id, run_id, guard, event_id, plan_hash, measure, expires_at)
       VALUES (:id, :tenant, :run, :guard, :event, :hash, CAST(:measure AS jsonb),
               now() + make_interval(days => :days))"""
)
# Whoever decides names the plan that was looked at, so each one that brings lines is noted, whatever it is a part of.
_RENEW = text(
    """
    UPDATE hold
       SET plan_hash = :hash, run_id = CASE WHEN :whole THEN :run ELSE run_id END,
           measure = CASE WHEN :whole THEN CAST(:measure AS jsonb) ELSE measure END
     WHERE id = :id AND tenant_id = :tenant
    """
)
_FORGET_LINES = text(
    """DELETE FROM hold_line WHERE hold_id = :id AND tenant_id = :tenant AND state = 'open'
          AND CASE WHEN CAST(:person AS text) IS NULL THEN event_id = ANY(:complete)
                   ELSE internal_id = :person END"""
)
_LINES = text(
    """
    INSERT INTO hold_line (hold_id, tenant_id, enrollment_id, plan_line_id, event_id, internal_id, action, version,
                           revision, before, after)
    SELECT :id, l.tenant_id, l.enrollment_id, l.id, l.event_id, l.internal_id, l.action, e.version,
           coalesce(k.revision, 0), l.before, l.after
      FROM plan_line l JOIN enrollment e ON e.id = l.enrollment_id LEFT JOIN link k ON k.person_id = e.person_id
     WHERE l.run_id = :run AND l.outcome = 'held' AND l.reason = :guard
       AND (CAST(:event AS text) IS NULL OR l.event_id = :event)
    ON CONFLICT (hold_id, enrollment_id) DO UPDATE
       SET plan_line_id = excluded.plan_line_id, action = excluded.action, version = excluded.version,
           revision = excluded.revision, before = excluded.before, after = excluded.after, state = 'open',
           decided_at = NULL
    """
)
# The same is decided in one place: the newest hold.
_ONLY_HERE = text(
    """
    UPDATE hold_line o SET state = 'dropped', decided_at = now()
      FROM hold_line h, plan_line hl, plan_line ol
     WHERE h.hold_id = :id AND h.tenant_id = :tenant AND h.state = 'open'
       AND o.enrollment_id = h.enrollment_id AND o.tenant_id = h.tenant_id AND o.hold_id <> h.hold_id
       AND o.state = 'open' AND hl.id = h.plan_line_id AND hl.tenant_id = h.tenant_id AND hl.run_id = :run
       AND ol.id = o.plan_line_id AND ol.tenant_id = o.tenant_id AND ol.is_row = hl.is_row
    """
)
_MARK = text(
    """UPDATE plan_line SET hold_id = :id
        WHERE run_id = :run AND tenant_id = :tenant AND outcome = 'held' AND reason = :guard
          AND (CAST(:event AS text) IS NULL OR event_id = :event)"""
)
_CLEAR = text(
    """
    UPDATE hold
       SET state = 'cleared', decided_at = now(), decided_reason = 'a later complete snapshot is inside the limits'
     WHERE tenant_id = :tenant AND state = 'open' AND NOT (id = ANY(:kept))
       AND (event_id = ANY(:complete) OR (event_id IS NULL AND :all_complete))
    RETURNING id
    """
)
# A person who was away and is seen again, in any usable snapshot: their removals are not held any more.
_CAME_BACK = text(
    """
    WITH back AS (
        UPDATE hold_line h SET state = 'dropped', decided_at = now()
          FROM plan_line l, hold o
         WHERE h.tenant_id = :tenant AND h.state = 'open' AND l.id = h.plan_line_id AND NOT l.is_row AND NOT l.take_out
           AND o.id = h.hold_id AND o.state = 'open'
           AND EXISTS (SELECT 1 FROM snapshot_row s WHERE s.run_id = :run AND s.course_id = ANY(:courses)
                          AND s.course_id = l.course_id AND s.internal_id = h.internal_id AND s.row_state <> 'blocked')
        RETURNING h.plan_line_id)
    UPDATE plan_line SET outcome = 'dropped', reason = 'came_back', settled_at = now()
     WHERE id IN (SELECT plan_line_id FROM back)
    """
)
# A row that was read and is not held any more is as the newest plan says: settled, planned otherwise, or ambiguous.
_OVERTAKEN = text(
    """
    WITH over AS (
        UPDATE hold_line h SET state = 'dropped', decided_at = now()
          FROM plan_line l
         WHERE h.tenant_id = :tenant AND h.state = 'open' AND l.id = h.plan_line_id AND l.is_row
           AND EXISTS (SELECT 1 FROM snapshot_row s WHERE s.run_id = :run AND s.course_id = ANY(:courses)
                          AND s.course_id = l.course_id AND s.internal_id = h.internal_id)
           AND NOT EXISTS (SELECT 1 FROM plan_line n WHERE n.run_id = :run AND n.enrollment_id = h.enrollment_id
                              AND n.is_row AND n.outcome = 'held')
        RETURNING h.plan_line_id)
    UPDATE plan_line SET outcome = 'unchanged', reason = 'plan_changed', settled_at = now()
     WHERE id IN (SELECT plan_line_id FROM over)
    """
)
_CLOSE_EMPTY = text(
    """UPDATE hold SET state = 'cleared', decided_at = now(), decided_reason = 'nothing on it is planned any more'
        WHERE tenant_id = :tenant AND state = 'open' AND guard <> 'short_snapshot'
          AND NOT EXISTS (SELECT 1 FROM hold_line l WHERE l.hold_id = hold.id AND l.state = 'open')"""
)
_CLOSE_LINES = text(
    """
    UPDATE hold_line l SET state = :state, decided_at = now()
      FROM hold h
     WHERE h.id = ANY(:holds) AND l.hold_id = h.id AND l.tenant_id = h.tenant_id AND l.state = 'open'
    """
)


def store_holds(
    connection: Connection,
    context: RunContext,
    tripped: Sequence[Tripped],
    snapshots: Sequence[Snapshot],
    plan_hash: str,
) -> None:
    """Raise or renew a hold for each guard that tripped; clear those that a complete snapshot has overtaken."""
    courses = [snapshot.course_id for snapshot in snapshots if snapshot.usable]
    read = {"tenant": context.tenant_id, "run": context.run_id, "courses": courses}
    connection.execute(_CAME_BACK, read)
    connection.execute(_OVERTAKEN, read)
    complete = [snapshot.event_id for snapshot in snapshots if snapshot.state == SnapshotState.COMPLETE]
    kept = [_raise(connection, context, trip, plan_hash, complete) for trip in tripped]
    connection.execute(_CLOSE_EMPTY, {"tenant": context.tenant_id})
    if context.options.get("person"):
        return
    cleared = connection.execute(
        _CLEAR,
        {
            "tenant": context.tenant_id,
            "kept": kept,
            "complete": complete,
            "all_complete": len(complete) == len(snapshots),
        },
    ).scalars()
    close_lines(connection, list(cleared), "cleared")


def _raise(connection: Connection, context: RunContext, trip: Tripped, plan_hash: str, complete: Sequence[str]) -> str:
    """A run for one person only adds that person's lines to a hold that is open already."""
    person = context.options.get("person")
    names = {"tenant": context.tenant_id, "guard": trip.guard.value, "event": trip.event_id, "person": person}
    found = connection.execute(_OPEN, names).scalar()
    hold_id = str(found) if found else new_id()
    values = names | {
        "id": hold_id,
        "run": context.run_id,
        "hash": plan_hash,
        "measure": dumps(trip.measure),
        "days": EXPIRY_DAYS,
        "complete": [*complete, trip.event_id],
        "whole": not (person or trip.stays),
    }
    connection.execute(_RENEW if found else _INSERT, values)
    if not trip.stays:
        connection.execute(_FORGET_LINES, values)
    context.tell_sizes(connection, held=connection.execute(_LINES, values).rowcount)
    connection.execute(_ONLY_HERE, values)
    connection.execute(_MARK, values)
    return hold_id


def close_lines(connection: Connection, holds: Sequence[str], state: str) -> None:
    connection.execute(_CLOSE_LINES, {"holds": list(holds), "state": state})
