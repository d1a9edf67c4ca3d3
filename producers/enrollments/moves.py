"""Removals from a former place in Pluvo: the course has another target now, or the person another account.

The person is in the new place already, which is done first. Taking them out of the old one is a removal like any other:
the guards judge it, also where a whole event moves.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text

from models.run import SnapshotState
from models.tenant import Tenant
from producers.enrollments.facts_sql import JOINED, SETTLED
from producers.enrollments.snapshot import Snapshot
from producers.runs.context import RunContext

_INSERT = text(
    f"""
    INSERT INTO plan_line (run_id, tenant_id, course_id, enrollment_id, event_id, internal_id, is_row, action, kind,
                           outcome, reason, before, take_out, "full")
    SELECT s.run_id, s.tenant_id, c.id, e.id, c.event_id, p.internal_id, false,
           CASE WHEN f.failed THEN 'none' ELSE 'unenroll' END, CASE WHEN f.failed THEN NULL ELSE 'removal' END,
           CASE WHEN f.failed THEN 'failed' ELSE 'pending' END,
           CASE WHEN f.failed THEN e.failed_code
                WHEN e.left_behind @> jsonb_build_array(jsonb_build_object('account', l.pluvo_id)) THEN 'target_changed'
                ELSE 'account_changed' END,
           jsonb_build_object('name', p.applied_name, 'email', p.applied_email, 'places', e.left_behind), true, :full
    {
        JOINED.replace(
            "WHERE",
            '''
     CROSS JOIN LATERAL (SELECT coalesce(e.failed_version = e.version AND e.failed_settings = :settings, false)
                                AND e.failed_code IS NOT NULL AS failed) f WHERE''',
        )
    }
       AND {SETTLED} AND e.tenant_id = :tenant AND e.left_behind <> '[]'
       AND NOT EXISTS (SELECT 1 FROM message m WHERE m.kind = 'enrollment.upsert' AND m.subject_id = e.id)
     ORDER BY c.event_id, length(p.internal_id), p.internal_id
    """  # noqa: S608  constants only
)
# In a full run those have a line already, to be looked at. The message of the move does both: an enrollment has one at
# a time, and the newest plan says one thing of it.
_LOOKED_AT_BY_IT = text(
    """
    DELETE FROM plan_line r USING plan_line m
     WHERE r.run_id = :run AND r.tenant_id = :tenant AND m.run_id = :run AND m.tenant_id = r.tenant_id
       AND m.enrollment_id = r.enrollment_id
       AND m.take_out AND m.outcome = 'pending' AND r.is_row AND r.outcome = 'pending'
    """
)


def plan_moves(connection: Connection, context: RunContext, tenant: Tenant, snapshots: Sequence[Snapshot]) -> int:
    """A removal line for each enrollment that left a place behind, from complete listings only.

    Returns how many rows had a line and have none any more, as in a run that is not full: they are unchanged.
    """
    if tenant.removals.policy == "keep":
        return 0
    complete = [snapshot.course_id for snapshot in snapshots if snapshot.state == SnapshotState.COMPLETE]
    values = {"run": context.run_id, "tenant": context.tenant_id, "courses": complete}
    full = bool(context.options.get("full"))
    connection.execute(_INSERT, values | {"settings": tenant.settings_version, "full": full})
    return connection.execute(_LOOKED_AT_BY_IT, values).rowcount if full else 0
