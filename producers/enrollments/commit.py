"""Turn a judged plan into desired state and messages, in one transaction, all as sets.

Only what may happen becomes desired state. A held or ambiguous change stays in the plan: otherwise the next message
about that person, for whatever reason it was sent, would carry it out after all.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from models import ledger, locks
from models.direction import Direction
from models.message import Kind, Priority
from producers.enrollments.snapshot import Snapshot
from producers.runs.context import RunContext

# Everybody who has an id gets a row here, so that `explain` knows also those who were never acted on.
_PEOPLE = text(
    """
    INSERT INTO person (tenant_id, internal_id, external_id, name, email, email_folded, seen_at)
    SELECT DISTINCT ON (s.internal_id) s.tenant_id, s.internal_id, s.external_id, s.name, s.email, s.email_folded, now()
      FROM snapshot_row s
     WHERE s.run_id = :run AND s.internal_id IS NOT NULL AND s.row_state <> 'double' AND s.course_id = ANY(:courses)
       AND NOT EXISTS (SELECT 1 FROM person p WHERE p.tenant_id = s.tenant_id AND p.internal_id = s.internal_id)
     ORDER BY s.internal_id, s.position
    ON CONFLICT (tenant_id, internal_id) DO NOTHING
    """
)
# A preset person (a link given beforehand) has no name yet.
_NAMES_OF_PRESETS = text(
    """
    UPDATE person p SET name = s.name, email = s.email, email_folded = s.email_folded, seen_at = now()
      FROM snapshot_row s
     WHERE s.run_id = :run AND p.tenant_id = :tenant AND p.internal_id = s.internal_id AND p.seen_at IS NULL
       AND s.row_state <> 'double' AND s.course_id = ANY(:courses)
    """
)
_ENROLLMENTS = text(
    """
    INSERT INTO enrollment (tenant_id, person_id, course_id, external_id, row_state, seen_run, seen_at, outcome, reason,
                            completion_value, completion_read_at)
    SELECT DISTINCT ON (p.id, s.course_id) s.tenant_id, p.id, s.course_id, s.external_id, s.row_state, s.run_id, now(),
           CASE WHEN s.row_state <> 'present' THEN s.row_state END, s.reason, s.completion, now()
      FROM snapshot_row s JOIN person p ON p.tenant_id = s.tenant_id AND p.internal_id = s.internal_id
     WHERE s.run_id = :run AND s.row_state <> 'double' AND s.course_id = ANY(:courses)
       AND NOT EXISTS (SELECT 1 FROM enrollment e WHERE e.person_id = p.id AND e.course_id = s.course_id)
     ORDER BY p.id, s.course_id, s.position
    ON CONFLICT (person_id, course_id) DO NOTHING
    """
)
LEAVING = "(e.desired = 'removed' AND e.state IN ('enrolled', 'new'))"
# Only rows that changed are written: an unchanged roster costs no write here.
_SEEN = text(
    f"""
    UPDATE enrollment e
       SET row_state = s.row_state, external_id = s.external_id, absent_since = NULL, removal_refused = false,
           completion_value = s.completion, completion_read_at = :read_at, seen_run = s.run_id, seen_at = :read_at,
           -- a person who is seen is not removed, whatever the state of the row
           desired = CASE WHEN {LEAVING} THEN 'enrolled' ELSE e.desired END,
           failed_code = CASE WHEN {LEAVING} THEN NULL ELSE e.failed_code END,
           outcome = CASE WHEN s.row_state = 'present' THEN e.outcome ELSE s.row_state END,
           reason = CASE WHEN s.row_state = 'present' THEN e.reason ELSE s.reason END
      FROM snapshot_row s JOIN person p ON p.tenant_id = s.tenant_id AND p.internal_id = s.internal_id
     WHERE s.run_id = :run AND s.course_id = :course AND s.row_state NOT IN ('double', 'blocked')
       AND e.person_id = p.id AND e.course_id = s.course_id
       AND (e.row_state IS DISTINCT FROM s.row_state OR e.external_id IS DISTINCT FROM s.external_id
            OR e.absent_since IS NOT NULL OR e.removal_refused OR {LEAVING}
            OR e.completion_value IS DISTINCT FROM s.completion
            OR (s.row_state <> 'present' AND e.reason IS DISTINCT FROM s.reason))
    """  # noqa: S608  constants only
)
_ABSENT = text(
    """
    UPDATE enrollment e
       SET absent_since = coalesce(e.absent_since, :read_at),
           row_state = CASE WHEN EXISTS (SELECT 1 FROM snapshot_row s WHERE s.run_id = :run AND s.course_id = :course
                                            AND s.tenant_id = p.tenant_id AND s.internal_id = p.internal_id
                                            AND s.row_state = 'blocked')
                            THEN 'blocked' ELSE 'absent' END
      FROM person p
     WHERE e.course_id = :course AND e.tenant_id = :tenant AND p.id = e.person_id AND p.tenant_id = e.tenant_id
       AND (e.absent_since IS NULL OR e.row_state = 'present')
       AND (CAST(:person AS text) IS NULL OR p.internal_id = :person)
       AND NOT EXISTS (SELECT 1 FROM snapshot_row s WHERE s.run_id = :run AND s.course_id = :course
                          AND s.tenant_id = p.tenant_id AND s.internal_id = p.internal_id AND s.row_state <> 'blocked')
    """
)
_WIDTH = text(
    """
    UPDATE course SET width = :width
     WHERE id = :course AND tenant_id = :tenant AND width IS DISTINCT FROM :width
    """
)
_BASE = text(
    """
    UPDATE course SET base_rows = :rows, base_at = :read_at WHERE id = :course AND tenant_id = :tenant
    """
)

# ------------------------------------------------------------------------------------------------- what will be done

_GOING = """
    FROM plan_line l
    JOIN person p ON p.tenant_id = l.tenant_id AND p.internal_id = l.internal_id
   WHERE l.run_id = :run AND (CAST(:lines AS bigint[]) IS NULL OR l.id = ANY(:lines))
"""
# As in every transaction that settles messages: messages are locked first, then what they are about.
_LOCK = text(
    f"""
    WITH locked AS MATERIALIZED (
        SELECT m.id FROM message m
         WHERE m.kind = :kind AND m.subject_id = ANY(ARRAY(SELECT l.enrollment_id {_GOING}
                                                              AND l.enrollment_id IS NOT NULL))
         ORDER BY m.id FOR UPDATE)
    SELECT count(*) FROM locked
    """  # noqa: S608  constants only
)
_DESIRED_PEOPLE = text(
    f"""
    UPDATE person t
       SET name = x.name, email = x.email, email_folded = x.email_folded, external_id = x.external_id,
           match = coalesce(x.match, t.match),
           match_account = CASE WHEN x.match IS NULL THEN t.match_account ELSE x.match_account END,
           match_by = CASE WHEN x.match IS NULL THEN t.match_by ELSE x.match_by END,
           match_with = CASE WHEN x.match IS NULL THEN t.match_with ELSE x.match_with END,
           seen_at = now(), version = t.version + 1
      FROM (SELECT p.id, l.name, l.email, l.email_folded, l.external_id, l.match, l.match_account, l.match_by,
                   l.match_with
            {_GOING} AND l.outcome = 'pending' AND l.is_row AND l.changes_person) x
     WHERE t.id = x.id
    """  # noqa: S608  constants only
)
# The same work planned again keeps its version: a message that waits for its next attempt goes on waiting.
_SAME_WORK = """
    (x.outcome = 'pending' AND t.desired = CASE WHEN x.remove THEN 'removed' ELSE 'enrolled' END
     AND (x.remove OR t.fingerprint IS NOT DISTINCT FROM x.fingerprint)
     AND EXISTS (SELECT 1 FROM message m WHERE m.kind = :kind AND m.subject_id = t.id))
"""
_DESIRED_ENROLLMENTS = text(
    f"""
    UPDATE enrollment t
       SET desired = CASE WHEN x.remove THEN 'removed' ELSE 'enrolled' END, archive = x.archive,
           take_out = t.take_out OR x.take_out,
           fingerprint = coalesce(x.fingerprint, t.fingerprint),
           version = CASE WHEN {_SAME_WORK} THEN t.version ELSE t.version + 1 END,
           applied_version = CASE WHEN x.outcome = 'pending' THEN t.applied_version ELSE t.version + 1 END,
           state = CASE WHEN x.outcome = 'kept' THEN 'kept' ELSE t.state END,
           failed_code = NULL, outcome = x.outcome, reason = x.reason
      FROM (SELECT p.id AS person_id, l.course_id, l.outcome, l.reason, l.fingerprint,
                   NOT (l.is_row OR l.take_out) AS remove, l.archive, l.take_out
            {_GOING} AND l.outcome IN ('pending', 'unchanged', 'kept')) x
     WHERE t.person_id = x.person_id AND t.course_id = x.course_id
    """  # noqa: S608  constants only
)
_NOTE_OUTCOMES = text(
    f"""
    UPDATE enrollment t SET outcome = x.outcome, reason = x.reason
      FROM (SELECT p.id AS person_id, l.course_id, l.outcome, l.reason {_GOING}
               AND l.outcome IN ('ambiguous', 'held', 'failed', 'rejected')
               -- a place left behind says nothing about the row
               AND NOT l.take_out) x
     WHERE t.person_id = x.person_id AND t.course_id = x.course_id
       AND (t.outcome, t.reason) IS DISTINCT FROM (x.outcome, x.reason)
    """  # noqa: S608  constants only
)
# What was let go once and is judged anew waits like the rest.
_HOLD_MOVES = text(
    f"""
    UPDATE enrollment t SET take_out = false
      FROM (SELECT l.enrollment_id AS id {_GOING} AND l.outcome = 'held' AND l.take_out) x
     WHERE t.id = x.id AND t.take_out
    """  # noqa: S608  constants only
)
_AMBIGUOUS = text(
    f"""
    INSERT INTO link AS k (tenant_id, person_id, state, reason, candidates)
    SELECT DISTINCT ON (p.id) l.tenant_id, p.id, 'ambiguous', l.reason, l.before->'candidates'
    {_GOING} AND l.outcome = 'ambiguous'
     ORDER BY p.id, l.id
    ON CONFLICT (person_id) DO UPDATE
       SET state = 'ambiguous', reason = excluded.reason, candidates = excluded.candidates, updated_at = now()
     WHERE k.state <> 'ignored'
       AND (k.state, k.reason, k.candidates) IS DISTINCT FROM ('ambiguous', excluded.reason, excluded.candidates)
    """  # noqa: S608  constants only
)
_SET_ENROLLMENT = text(
    """
    UPDATE plan_line l SET enrollment_id = e.id
      FROM person p JOIN enrollment e ON e.person_id = p.id
     WHERE l.run_id = :run AND l.enrollment_id IS NULL AND p.tenant_id = l.tenant_id AND p.internal_id = l.internal_id
       AND e.course_id = l.course_id
    """
)
# An older line for the same enrollment that still waits is now this run's business.
_SUPERSEDE = text(
    """
    UPDATE plan_line o
       SET outcome = CASE WHEN l.is_row AND NOT o.is_row THEN 'dropped' ELSE o.outcome END, settled_at = now(),
           reason = CASE WHEN l.is_row AND NOT o.is_row THEN 'came_back' ELSE 'superseded' END
      FROM message m, plan_line l
     WHERE l.run_id = :run AND (CAST(:lines AS bigint[]) IS NULL OR l.id = ANY(:lines)) AND l.outcome = 'pending'
       AND m.kind = :kind AND m.subject_id = l.enrollment_id AND o.id = m.plan_line_id AND o.id <> l.id
       AND m.tenant_id = l.tenant_id AND o.tenant_id = l.tenant_id
       AND o.outcome = 'pending'
    """
)
# One account, one lock: persons who share an account are never out together either.
_SEND = ledger.enqueue_from(
    f"""
    SELECT l.tenant_id, CAST(:kind AS text), :direction, e.id,
           {locks.UPSERT_KEY},
           -- what is released goes on although its run was stopped
           e.version, (SELECT r.id FROM run r WHERE r.id = l.run_id AND r.status <> 'stopped'), l.id,
           CAST(NULL AS bigint), CAST(:priority AS smallint),
           l."full"
      FROM plan_line l
      JOIN enrollment e ON e.id = l.enrollment_id
      JOIN person p ON p.id = e.person_id
      {locks.UPSERT_JOINS}
     WHERE l.run_id = :run AND (CAST(:lines AS bigint[]) IS NULL OR l.id = ANY(:lines))
       AND l.outcome = 'pending'
     ORDER BY l.id
    """  # noqa: S608  constants
)
# First the line of the person whose account or address must come free; then the person's other events, after the one
# that makes the account.
# (What names a row twice gives an index to each step, whatever PostgreSQL knows of how many rows there are by now.)
_AFTER = ledger.queue_behind(
    """
    SELECT m.id, first.id AS first_id
      FROM message m, plan_line l, plan_line fl, message first
     WHERE l.run_id = :run AND m.plan_line_id = l.id AND l.after_person IS NOT NULL
       AND fl.run_id = :run AND fl.tenant_id = l.tenant_id AND fl.internal_id = l.after_person AND fl.is_row
       AND fl.changes_person AND first.plan_line_id = fl.id AND first.id <> m.id
       AND m.tenant_id = l.tenant_id AND first.tenant_id = l.tenant_id
       AND m.kind = :kind AND m.subject_id = l.enrollment_id
       AND first.kind = :kind AND first.subject_id = fl.enrollment_id
    """
)
_AFTER_ACCOUNT = ledger.queue_behind(
    """
    SELECT m.id, first.id AS first_id
      FROM message m, plan_line l, plan_line fl, message first
     WHERE l.run_id = :run AND m.plan_line_id = l.id AND l.action = 'enroll' AND m.after_id IS NULL
       AND fl.run_id = :run AND fl.tenant_id = l.tenant_id AND fl.internal_id = l.internal_id
       AND fl.action IN ('create', 'link') AND first.plan_line_id = fl.id AND first.id <> m.id
       AND m.tenant_id = l.tenant_id AND first.tenant_id = l.tenant_id
       AND m.kind = :kind AND m.subject_id = l.enrollment_id
       AND first.kind = :kind AND first.subject_id = fl.enrollment_id
    """
)


def lock_messages(connection: Connection, context: RunContext, lines: list[int] | None = None) -> None:
    """Lock what is under way for the plan's lines, before anything that it is about."""
    connection.execute(_LOCK, {"run": context.run_id, "lines": lines, "kind": Kind.UPSERT.value})


def record_roster(connection: Connection, context: RunContext, snapshots: list[Snapshot]) -> None:
    """Note who was seen, who was not, and what their completion columns show."""
    run = {
        "run": context.run_id,
        "tenant": context.tenant_id,
        "courses": [snapshot.course_id for snapshot in snapshots if snapshot.usable],
    }
    context.tell_sizes(connection, people=connection.execute(_PEOPLE, run).rowcount)
    connection.execute(_NAMES_OF_PRESETS, run)
    context.tell_sizes(connection, enrollments=connection.execute(_ENROLLMENTS, run).rowcount)
    connection.execute(_SET_ENROLLMENT, run)
    # Whoever changes several courses does it in this order.
    for snapshot in sorted(snapshots, key=lambda one: one.course_id):
        values = run | {
            "course": snapshot.course_id,
            "read_at": snapshot.read_at,
            "person": context.options.get("person"),
        }
        if snapshot.usable:
            connection.execute(_SEEN, values)
        if snapshot.width is not None:
            connection.execute(_WIDTH, values | {"width": snapshot.width})
        if snapshot.state == "complete":
            connection.execute(_ABSENT, values)
            if context.options.get("person") is None:
                connection.execute(_BASE, values | {"rows": snapshot.rows})


def commit_plan(connection: Connection, context: RunContext, lines: list[int] | None = None) -> int:
    """Make the plan's open lines (or only ``lines``) desired state and messages; returns how many messages.

    Run inside the transaction that holds the run, after ``lock_messages``: either all of it happened, or none.
    """
    values = {
        "run": context.run_id,
        "lines": lines,
        "kind": Kind.UPSERT.value,
        "direction": Direction.ENROLLMENTS.value,
        "priority": Priority.INTERACTIVE if context.options.get("person") or lines else Priority.NORMAL,
    }
    connection.execute(_DESIRED_PEOPLE, values)
    connection.execute(_DESIRED_ENROLLMENTS, values)
    connection.execute(_NOTE_OUTCOMES, values)
    connection.execute(_HOLD_MOVES, values)
    connection.execute(_AMBIGUOUS, values)
    connection.execute(_SUPERSEDE, values)
    sent = connection.execute(_SEND, values).rowcount
    context.tell_sizes(connection, messages=sent)
    connection.execute(_AFTER, values)
    connection.execute(_AFTER_ACCOUNT, values)
    connection.execute(text("NOTIFY koppeling_ledger"))
    return sent
