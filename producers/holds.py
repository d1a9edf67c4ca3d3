"""What guards hold: kept until an operator releases or refuses it, a complete snapshot clears it, or it expires.

A release is bound to the plan it was raised for and looks at every line again: who came back, or changed meanwhile, is
dropped. Released lines go on in the run that planned them.
"""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps
from typing import Any

from sqlalchemy import Connection, text

from models.base import new_id
from models.hold import Guard
from models.run import SnapshotState
from producers.commit import commit_plan
from producers.guards import Tripped
from producers.scope import PreviewScope, Scope
from producers.snapshot import Snapshot

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
_RENEW = text(
    """UPDATE hold SET run_id = :run, plan_hash = :hash, measure = CAST(:measure AS jsonb),
              expires_at = now() + make_interval(days => :days) WHERE id = :id"""
)
_FORGET_LINES = text(
    """DELETE FROM hold_line WHERE hold_id = :id AND state = 'open'
          AND (CAST(:person AS text) IS NULL OR internal_id = :person)"""
)
_LINES = text(
    """
    INSERT INTO hold_line (hold_id, tenant_id, enrollment_id, plan_line_id, event_id, internal_id, action, version,
                           before, after)
    SELECT :id, l.tenant_id, l.enrollment_id, l.id, l.event_id, l.internal_id, l.action, e.version, l.before, l.after
      FROM plan_line l JOIN enrollment e ON e.id = l.enrollment_id
     WHERE l.run_id = :run AND l.outcome = 'held' AND l.reason = :guard
       AND (CAST(:event AS text) IS NULL OR l.event_id = :event)
    ON CONFLICT (hold_id, enrollment_id) DO UPDATE
       SET plan_line_id = excluded.plan_line_id, action = excluded.action, version = excluded.version,
           before = excluded.before, after = excluded.after, state = 'open', decided_at = NULL
    """
)
_MARK = text(
    """UPDATE plan_line SET hold_id = :id WHERE run_id = :run AND outcome = 'held' AND reason = :guard
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
# Who was away and is seen again, in whatever usable snapshot: nothing of theirs is held any more.
_CAME_BACK = text(
    """
    WITH back AS (
        UPDATE hold_line h SET state = 'dropped', decided_at = now()
          FROM plan_line l, hold o
         WHERE h.tenant_id = :tenant AND h.state = 'open' AND l.id = h.plan_line_id AND NOT l.is_row
           AND o.id = h.hold_id AND o.state = 'open'
           AND EXISTS (SELECT 1 FROM snapshot_row s WHERE s.run_id = :run AND s.course_id = ANY(:courses)
                          AND s.course_id = l.course_id AND s.internal_id = h.internal_id AND s.row_state <> 'blocked')
        RETURNING h.plan_line_id)
    UPDATE plan_line SET outcome = 'dropped', reason = 'came_back', settled_at = now()
     WHERE id IN (SELECT plan_line_id FROM back)
    """
)
_CLOSE_EMPTY = text(
    """UPDATE hold SET state = 'cleared', decided_at = now(), decided_reason = 'everybody on it came back'
        WHERE tenant_id = :tenant AND state = 'open'
          AND NOT EXISTS (SELECT 1 FROM hold_line l WHERE l.hold_id = hold.id AND l.state = 'open')"""
)
# A line is still true when its enrollment is as it was planned and the person is as absent, or as present, as then.
_STILL_TRUE = """
    e.version = h.version AND CASE WHEN l.is_row THEN e.row_state = 'present' AND e.absent_since IS NULL
        ELSE e.state IN ('enrolled', 'new') AND (e.absent_since IS NOT NULL OR :guard = 'short_snapshot') END
"""
_CHOOSE = text(
    f"""
    SELECT h.id, h.plan_line_id, l.run_id, {_STILL_TRUE} AS still_true
      FROM hold_line h
      JOIN enrollment e ON e.id = h.enrollment_id
      JOIN plan_line l ON l.id = h.plan_line_id
     WHERE h.hold_id = :id AND h.state = 'open'
       AND (CAST(:events AS text[]) IS NULL OR h.event_id = ANY(:events))
       AND (CAST(:people AS text[]) IS NULL OR h.internal_id = ANY(:people))
     FOR UPDATE OF h
    """  # noqa: S608  constants only
)


class HoldClosed(Exception):
    """The hold was decided, cleared or expired already."""


def store_holds(
    connection: Connection, scope: Scope, tripped: Sequence[Tripped], snapshots: Sequence[Snapshot], plan_hash: str
) -> None:
    """Raise or renew a hold for each guard that tripped; clear those that a complete snapshot has overtaken."""
    courses = [snapshot.course_id for snapshot in snapshots if snapshot.usable]
    connection.execute(_CAME_BACK, {"tenant": scope.tenant_id, "run": scope.run_id, "courses": courses})
    kept = [_raise(connection, scope, trip, plan_hash) for trip in tripped]
    connection.execute(_CLOSE_EMPTY, {"tenant": scope.tenant_id})
    if scope.options.get("person"):
        return
    complete = [snapshot.event_id for snapshot in snapshots if snapshot.state == SnapshotState.COMPLETE]
    cleared = connection.execute(
        _CLEAR,
        {
            "tenant": scope.tenant_id,
            "kept": kept,
            "complete": complete,
            "all_complete": len(complete) == len(snapshots),
        },
    ).scalars()
    _close_lines(connection, list(cleared), "cleared")


def _raise(connection: Connection, scope: Scope, trip: Tripped, plan_hash: str) -> str:
    """A run for one person only adds that person's lines to a hold that is open already."""
    person = scope.options.get("person")
    names = {"tenant": scope.tenant_id, "guard": trip.guard.value, "event": trip.event_id, "person": person}
    found = connection.execute(_OPEN, names).scalar()
    hold_id = str(found) if found else new_id()
    values = names | {
        "id": hold_id,
        "run": scope.run_id,
        "hash": plan_hash,
        "measure": dumps(trip.measure),
        "days": EXPIRY_DAYS,
    }
    if not (found and person):
        connection.execute(_RENEW if found else _INSERT, values)
    connection.execute(_FORGET_LINES, values)
    connection.execute(_LINES, values)
    connection.execute(_MARK, values)
    return hold_id


def _close_lines(connection: Connection, holds: Sequence[str], state: str) -> None:
    connection.execute(
        text("UPDATE hold_line SET state = :state, decided_at = now() WHERE hold_id = ANY(:holds) AND state = 'open'"),
        {"holds": list(holds), "state": state},
    )


def release(
    connection: Connection,
    hold_id: str,
    *,
    reason: str,
    who: str,
    events: Sequence[str] | None = None,
    persons: Sequence[str] | None = None,
) -> dict[str, int]:
    """Let held lines go, all or some; returns ``{"released": n, "dropped": n, "open": n left}``.

    Raises KeyError for an unknown hold, HoldClosed for one that is not open any more.
    """
    hold = _lock(connection, hold_id)
    values = {"id": hold_id, "guard": hold.guard, "events": _some(events), "people": _some(persons)}
    chosen = connection.execute(_CHOOSE, values).all()
    going = [row for row in chosen if row.still_true]
    dropped = [row for row in chosen if not row.still_true]
    _decide(connection, [row.id for row in going], "released")
    _decide(connection, [row.id for row in dropped], "dropped")
    _set_lines(connection, [row.plan_line_id for row in going], "pending", "released")
    _set_lines(connection, [row.plan_line_id for row in dropped], None, "dropped")
    if hold.guard == Guard.SHORT_SNAPSHOT and not events and not persons:
        _new_base(connection, hold)
    for run_id in sorted({row.run_id for row in going}):
        lines = [row.plan_line_id for row in going if row.run_id == run_id]
        commit_plan(connection, PreviewScope(run_id, hold.tenant_id, {}), lines)
    _count_again(connection, [row.run_id for row in chosen])
    left = _finish(connection, hold, "released", reason, who)
    return {"released": len(going), "dropped": len(dropped), "open": left}


def _new_base(connection: Connection, hold: Any) -> None:
    """An operator says that the event really is this small."""
    connection.execute(
        text("UPDATE course SET base_rows = :rows, base_at = now() WHERE tenant_id = :tenant AND event_id = :event"),
        {"rows": hold.measure["rows"], "tenant": hold.tenant_id, "event": hold.event_id},
    )


def refuse(connection: Connection, hold_id: str, *, reason: str, who: str) -> dict[str, int]:
    """Close a hold for good: the same lines are not raised again until the person's situation changes."""
    hold = _lock(connection, hold_id)
    values = {"id": hold_id}
    connection.execute(
        text(
            """UPDATE enrollment e
                  SET removal_refused = e.removal_refused OR NOT l.is_row,
                      refused_fingerprint = CASE WHEN l.is_row THEN l.todo->>'fp' ELSE e.refused_fingerprint END,
                      outcome = CASE WHEN l.is_row THEN 'rejected' ELSE e.outcome END,
                      reason = 'refused_by_operator'
                 FROM hold_line h JOIN plan_line l ON l.id = h.plan_line_id
                WHERE h.hold_id = :id AND h.state = 'open' AND e.id = h.enrollment_id"""
        ),
        values,
    )
    runs = (
        connection.execute(
            text(
                """UPDATE plan_line l SET outcome = CASE WHEN l.is_row THEN 'rejected' ELSE 'refused' END,
                      reason = 'refused_by_operator', settled_at = now()
                 FROM hold_line h WHERE h.hold_id = :id AND h.state = 'open' AND l.id = h.plan_line_id
            RETURNING l.run_id"""
            ),
            values,
        )
        .scalars()
        .all()
    )
    _count_again(connection, [*runs, hold.run_id])
    _close_lines(connection, [hold_id], "refused")
    left = _finish(connection, hold, "refused", reason, who)
    return {"released": 0, "refused": len(runs), "open": left}


def expire(connection: Connection) -> int:
    """Close holds that nobody decided in time; their removals are planned, judged and held afresh if still due."""
    expired = connection.execute(
        text(
            """UPDATE hold SET state = 'expired', decided_at = now()
                WHERE state = 'open' AND expires_at < now() RETURNING id"""
        )
    ).scalars()
    holds = list(expired)
    _close_lines(connection, holds, "expired")
    return len(holds)


def _lock(connection: Connection, hold_id: str) -> Any:
    hold = connection.execute(text("SELECT * FROM hold WHERE id = :id FOR UPDATE"), {"id": hold_id}).first()
    if hold is None:
        raise KeyError(hold_id)
    if hold.state != "open":
        raise HoldClosed(hold.state)
    return hold


def _some(names: Sequence[str] | None) -> list[str] | None:
    return list(names) if names else None


def _decide(connection: Connection, lines: Sequence[int], state: str) -> None:
    connection.execute(
        text("UPDATE hold_line SET state = :state, decided_at = now() WHERE id = ANY(:lines)"),
        {"lines": list(lines), "state": state},
    )


def _set_lines(connection: Connection, lines: Sequence[int], outcome: str | None, reason: str) -> None:
    """``outcome`` None: a row that changed meanwhile counts as unchanged here, a removal as dropped."""
    connection.execute(
        text(
            """UPDATE plan_line SET reason = :reason,
                      outcome = coalesce(:outcome, CASE WHEN is_row THEN 'unchanged' ELSE 'dropped' END)
                WHERE id = ANY(:lines)"""
        ),
        {"lines": list(lines), "outcome": outcome, "reason": reason},
    )


def _finish(connection: Connection, hold: Any, state: str, reason: str, who: str) -> int:
    """Close the hold when no line is open any more; returns how many are."""
    left = connection.execute(
        text("SELECT count(*) FROM hold_line WHERE hold_id = :id AND state = 'open'"), {"id": hold.id}
    ).scalar_one()
    if not left:
        connection.execute(
            text(
                """UPDATE hold SET state = :state, decided_at = now(), decided_by = :who, decided_reason = :reason
                    WHERE id = :id"""
            ),
            {"id": hold.id, "state": state, "who": who, "reason": reason},
        )
    return int(left)


def _count_again(connection: Connection, run_ids: Sequence[str]) -> None:
    """The runs whose held lines became something else are counted again."""
    connection.execute(
        text("UPDATE run SET status = 'applying' WHERE id = ANY(:runs) AND status LIKE 'done%'"),
        {"runs": list(run_ids)},
    )
